"""Has Prometheus's own programs read the broker's metrics: promtool checks the text, and a Prometheus that scrapes it runs
every query of the dashboard for kafka_exporter, Grafana's 7589.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402

from harness.broker import Klamm, free_port  # noqa: E402

PATIENCE_S = 40
TOPIC, GROUP, JOB = "orders", "kitchen", "klamm"
RECORDS, READ = 30, 10

# Gauges with an ending that Prometheus's conventions keep for histograms, or with a unit that is no base unit:
# kafka_exporter's and JMX's names, not ours.
FOREIGN_NAMES = {
    "kafka_consumergroup_current_offset_sum",
    "kafka_consumergroup_lag_sum",
    "kafka_log_logcleanermanager_time_since_last_run_ms",
    "kafka_log_logcleanermanager_uncleanable_partitions_count",
    "kafka_server_socketservermetrics_connection_count",
}

# What the dashboard's panels ask, and what fills its three lists; `label_values(m, l)` becomes `count by (l) (m)`.
QUERIES = [
    'sum(rate(kafka_topic_partition_current_offset{instance="$instance",topic=~"$topic"}[1m])) by (topic)',
    'sum(kafka_consumergroup_lag{instance="$instance",topic=~"$topic"}) by (consumergroup, topic)',
    'sum(delta(kafka_topic_partition_current_offset{instance=~"$instance",topic=~"$topic"}[5m])/5) by (topic)',
    'sum(delta(kafka_consumergroup_current_offset{instance=~"$instance",topic=~"$topic"}[5m])/5) by (consumergroup, topic)',
    'sum by (topic) (kafka_topic_partitions{instance="$instance",topic=~"$topic"})',
    "count by (job) (kafka_consumergroup_current_offset)",
    'count by (instance) (kafka_consumergroup_current_offset{job=~"$job"})',
    'count by (topic) (kafka_topic_partition_current_offset{instance="$instance",topic!="__consumer_offsets",topic!="--kafka"})',
    # Not the dashboard's: those of brokers and their latencies.
    'sum(rate(kafka_server_brokertopicmetrics_messagesin_total{instance="$instance",topic="$topic"}[1m])) by (topic)',
    'histogram_quantile(0.99, sum(rate(klamm_request_duration_seconds_bucket{request="Produce"}[1m])) by (le))',
    'sum(rate(kafka_network_requestmetrics_errors_total{error="NONE"}[1m])) by (request)',
]


def get(url):
    """The body of an answer."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def produce(bootstrap, count):
    """Sends records to the topic, which is created with the first one."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(count):
        producer.produce(TOPIC, f"order {number}".encode())
    if producer.flush(PATIENCE_S) > 0:
        raise RuntimeError("records were not acknowledged")


def leave_lag(bootstrap):
    """Has a group commit that it has read some of the records."""
    settings = {"bootstrap.servers": bootstrap, "group.id": GROUP, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.subscribe([TOPIC])
    messages = consumer.consume(READ, PATIENCE_S)
    if not messages:
        raise RuntimeError("nothing was consumed")
    offsets = [TopicPartition(TOPIC, message.partition(), message.offset() + 1) for message in messages]
    consumer.commit(offsets=offsets[-1:], asynchronous=False)
    consumer.close()


def check(text):
    """What promtool says of the names that are ours, or that have nothing to do with conventions."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    complaints = (done.stdout + done.stderr).decode().splitlines()
    # 3 is "complaints"; whatever else is an error of reading.
    if done.returncode not in (0, 3):
        return complaints or [f"promtool ends with {done.returncode}"]
    return [line for line in complaints if line.split(" ")[0] not in FOREIGN_NAMES]


@contextmanager
def prometheus(target):
    """A Prometheus that scrapes `target` each second; yields its address."""
    with tempfile.TemporaryDirectory(prefix="klamm-prometheus-") as directory:
        scrape = {"job_name": JOB, "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        config = Path(directory) / "prometheus.yml"
        config.write_text(json.dumps({"scrape_configs": [scrape]}))
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/data"]
        with (Path(directory) / "log").open("wb") as log:
            process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
            try:
                yield address
            finally:
                process.terminate()
                process.wait()


def ask(address, query):
    """The series that a query finds at this moment; none while Prometheus starts."""
    try:
        answer = json.loads(get(f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}"))
    except OSError:
        return []
    return [series for series in answer["data"]["result"] if series["value"][1] != "NaN"]


def unanswered(address, instance):
    """The queries that find nothing, although there is time for a few scrapes."""
    missing = [query.replace("$instance", instance).replace("$topic", TOPIC).replace("$job", JOB) for query in QUERIES]
    deadline = time.monotonic() + PATIENCE_S
    while missing and time.monotonic() < deadline:
        missing = [query for query in missing if not ask(address, query)]
        time.sleep(0.5)
    return missing


def send_on(bootstrap, over):
    """Sends records until it is over."""
    while not over.wait(0.5):
        produce(bootstrap, RECORDS)


def report(name, failures):
    """Prints a test's line, and what was wrong."""
    print(f"{'FAIL' if failures else 'PASS'} {name}", *failures, sep="\n    ", flush=True)
    return not failures


def main():
    """The exit status tells whether all went well."""
    http = f"127.0.0.1:{free_port()}"
    with Klamm({"klamm.http.bind": http}) as broker:
        produce(broker.bootstrap, RECORDS)
        leave_lag(broker.bootstrap)
        passed = report("promtool is content with what is scraped", check(get(f"http://{http}/metrics")))
        over = threading.Event()
        sending = threading.Thread(target=send_on, args=(broker.bootstrap, over))
        sending.start()
        try:
            with prometheus(http) as address:
                missing = unanswered(address, http)
        finally:
            over.set()
            sending.join()
        passed &= report(f"Prometheus finds series for all {len(QUERIES)} queries", missing)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
