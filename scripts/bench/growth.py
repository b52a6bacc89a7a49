"""Row 14: what a record costs the broker with more and more partitions, connections and bytes, at one load.

A turn climbs a ladder of N. What is judged is the power of N that broker CPU time, memory and start time grow with, and
whether a record, or a byte, costs as much at the ladder's end as at its beginning.
"""

import time

import machine
import swarms
import trials
from clients import Void
from ladders import exponent, last_over_first, most_growth

PARTITIONS = (1, 10, 100, 1_000, 10_000)
CONNECTIONS = (1, 10, 100, 1_000)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
# What the ladders that are about something else have of it.
FEW_PARTITIONS, FEW_CONNECTIONS = 10, 10
# Produce requests a second on all connections, and bytes a second where records grow: no load that fills a core.
RATE, BYTE_RATE = 5_000, 200_000_000
# Kafka's producer fills a batch up to `batch.size`, 16 KiB by default; larger records are alone.
BATCH = 16 * 1024
# More than a batch with the largest record.
MAX_BATCH = 2 * SIZES[-1]
TOPIC = "growth"
# What the report shows of each N.
COLUMNS = {
    "partitions": ("cost_us", "p99_us", "peak_mib", "start_ms", "idle_mib"),
    "connections": ("cost_us", "p99_us", "peak_mib"),
    "sizes": ("cpu_s_per_gb", "p99_us", "peak_mib"),
}


def climbed(points):
    """A turn's result: its points, and what disturbed them."""
    points = [{**point, "cost_us": point["cpu_s"] / point["records"] * 1e6} for point in points]
    return {"points": points, "foreign": max(point["foreign"] for point in points)}


def loaded(trial, topic, partitions, connections, requests, rate=RATE, size=None, records=1):
    """What the broker took for so many requests, sent at a rate by all connections together."""
    size = size or trial.scenario.size
    each = rate / connections
    seconds = requests / rate
    port = trial.participant.port
    return trials.swarm_observed(trial, swarms.producing(port, topic, partitions, connections, each, seconds, size, records))


def with_partitions(trial, number):
    """A broker with nothing but one topic: under load, then started again. Its files are made before it is measured."""
    broker = trial.participant
    broker.wipe()
    broker.prepare()
    broker.launch()
    broker.create_topic(TOPIC, number, {})
    loaded(trial, TOPIC, number, FEW_CONNECTIONS, max(number, RATE))
    found = loaded(trial, TOPIC, number, FEW_CONNECTIONS, trial.count)
    stop(broker)
    return {"n": number, **found, **trials.started(broker, lambda: wait_for_partition(broker, number - 1))}


def stop(broker):
    """Stops once all is on the disk, so that the stop does not wait for each file; one that takes too long all the same voids."""
    machine.settle()
    try:
        broker.stop()
    except RuntimeError as reason:
        raise Void(str(reason))


def wait_for_partition(broker, index):
    """Waits until one partition of the topic answers."""
    while broker.record_count_of(TOPIC, [index]) is None:
        time.sleep(0.001)


def partitions(trial):
    """The ladder of partitions of one topic, each request to the next of them."""
    try:
        result = climbed([with_partitions(trial, number) for number in PARTITIONS])
    finally:
        trial.participant.kill()
    points = result["points"]
    return {
        **result, **cpu(points), "peak_exponent": exponent(points, "peak_mib"), "start_exponent": exponent(points, "start_ms"),
    }  # fmt: skip


def cpu(points):
    """How CPU time grows where all N have the same load."""
    return {
        "cost_ratio": last_over_first(points, "cost_us"), "most_growth": most_growth(points, "cost_us"),
        "cpu_exponent": exponent(points, "cpu_s"),
    }  # fmt: skip


def connections(trial):
    """The ladder of connections that share one load, evenly."""
    points = []
    for number in CONNECTIONS:
        points.append({"n": number, **on_topic(trial, number, number, trial.count)})
    result = climbed(points)
    return {**result, **cpu(result["points"])}


def on_topic(trial, number, clients, requests, **load):
    """`loaded` with a topic for that N alone."""
    topic, broker = f"{trial.topic}-{number}", trial.participant
    broker.create_topic(topic, FEW_PARTITIONS, trial.scenario.configs)
    # The first appends make files.
    loaded(trial, topic, FEW_PARTITIONS, clients, max(clients, FEW_PARTITIONS), **load)
    found = loaded(trial, topic, FEW_PARTITIONS, clients, requests, **load)
    broker.delete_topics([topic])
    return found


def sizes(trial):
    """The ladder of record sizes: the same bytes, in batches as producers make them."""
    points = []
    for size in SIZES:
        records = max(1, BATCH // size)
        requests = max(1, round(trial.count * trial.scenario.size / (size * records)))
        rate = BYTE_RATE / (size * records)
        found = on_topic(trial, size, FEW_CONNECTIONS, requests, rate=rate, size=size, records=records)
        points.append({"n": size, **found})
    result = climbed(points)
    points = result["points"]
    # A record of ten times the size may take ten times the CPU time; a byte may not take more.
    return {
        **result, "byte_ratio": last_over_first(points, "cpu_s_per_gb"), "most_growth": most_growth(points, "cpu_s_per_gb"),
        "cpu_exponent": exponent(points, "cost_us"),
    }  # fmt: skip
