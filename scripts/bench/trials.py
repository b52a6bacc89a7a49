"""What is done with one participant in one round of a scenario, and what is observed of it meanwhile."""

import contextlib
import time
from dataclasses import dataclass

import clients
import machine
import swarms
from clients import Void

RATE = 1000
FILLED = "filled"
# Records at the beginning of a latency measurement that are not counted: connections are made then.
SKIP = 500
# How long a broker has to begin with thousands of long polls.
POLLS_BEGIN_S = 0.5
# How long the producer of the row with a catching-up reader is observed: for less than that reader needs.
CATCH_UP_S = 0.8
# A reader that took this much CPU time has connected and receives records.
READS_AFTER_CPU_S = 0.06
READER_PATIENCE_S = 10


@dataclass
class Trial:
    """One participant's turn; `number` tells rounds apart, `scale` makes all counts smaller."""

    scenario: object
    participant: object
    number: int
    scale: float

    @property
    def topic(self):
        """The round's own topic."""
        return f"{self.scenario.name}-{self.number}"

    @property
    def count(self):
        """How many records."""
        return max(1, int(self.scenario.count * self.scale))

    @property
    def bootstrap(self):
        """The participant's address."""
        return self.participant.bootstrap


def observed(trial, action):
    """What an action measured, with the CPU time and the memory that the broker took meanwhile."""
    broker = trial.participant
    machine.pre_touch(broker.directory.parent, trial.scenario.pre_touch_bytes(trial.scale))
    machine.reset_peak(broker.pid)
    foreign, cpu, child = machine.foreign_seconds({broker.pid}), machine.cpu_seconds(broker.pid), clients.child_seconds()
    started = time.monotonic()
    result = action()
    wall = time.monotonic() - started
    cpu = machine.cpu_seconds(broker.pid) - cpu
    others = machine.foreign_seconds({broker.pid})
    most_foreign = max((seconds - foreign.get(pid, seconds) for pid, seconds in others.items()), default=0.0)
    result |= {"cpu_s": cpu, "peak_mib": machine.status_mib(broker.pid, "VmHWM"), "foreign": most_foreign / wall}
    # A client that tells it was active for less than it ran: starting and ending take it no CPU time to speak of.
    active = result.pop("active_s", wall)
    child = result.pop("client_s", clients.child_seconds() - child)
    result |= {"client_busy": min(1.0, child / active), "broker_busy": min(1.0, cpu / active)}
    if "payload_bytes" in result:
        result["cpu_s_per_gb"] = cpu / (result["payload_bytes"] / 1e9)
    return result


def swarm_observed(trial, command):
    """`observed` with a swarm whose connections are there before."""
    with swarms.connected(command) as begin:
        return observed(trial, begin)


def on_new_topic(trial, action, expected=None, observe=observed):
    """`observed`, or another, with a topic of the round's own, which must hold all records at the end."""
    scenario, broker = trial.scenario, trial.participant
    broker.create_topic(trial.topic, scenario.partitions, scenario.configs)
    result = observe(trial, action)
    held = broker.record_count(trial.topic, scenario.partitions)
    expected = result["records"] if expected is None else expected
    if held is not None and held != expected:
        raise Void(f"{expected} records acknowledged, {held} in the log")
    result["log_bytes"] = broker.topic_bytes(trial.topic)
    broker.delete_topics([trial.topic])
    return result


def produce(trial):
    """As many records as go, by librdkafka."""
    return on_new_topic(trial, lambda: clients.produce(trial.bootstrap, trial.topic, trial.count, trial.scenario.size))


def java_produce(trial):
    """As many records as go, by ProducerPerformance."""
    codec = trial.scenario.choices.get("codec", "none")
    warm_up = trial.count // 3

    size = trial.scenario.size
    action = lambda: clients.java_produce(trial.bootstrap, trial.topic, trial.count, size, warm_up, codec=codec)  # noqa: E731
    return with_wire_cost(on_new_topic(trial, action))


def java_produce_words(trial):
    """The same with what can be compressed as well as most data."""
    choices = {"warm_up": trial.count // 3, "codec": trial.scenario.choices["codec"]}
    with clients.words_file(trial.scenario.size) as payload:
        action = lambda: clients.java_produce(  # noqa: E731
            trial.bootstrap, trial.topic, trial.count, trial.scenario.size, payload=payload, **choices
        )
        return with_wire_cost(on_new_topic(trial, action))


def with_wire_cost(result):
    """Adds what the broker takes for a GB of the log, which holds what the client has compressed."""
    return result | {"cpu_s_per_wire_gb": result["cpu_s"] / (result["log_bytes"] / 1e9)}


def produce_latency(trial):
    """Records at a rate, each on its own."""
    count = max(2 * SKIP, trial.count)
    size = trial.scenario.size
    return on_new_topic(trial, lambda: clients.produce_latency(trial.bootstrap, trial.topic, count, size, RATE, SKIP))


def end_to_end(trial):
    """From one client to another."""
    count = max(2 * SKIP, trial.count)
    size = trial.scenario.size
    return on_new_topic(trial, lambda: clients.end_to_end(trial.bootstrap, trial.topic, 1, count, size, RATE, SKIP))


def java_end_to_end(trial):
    """From one client to itself."""
    count = max(SKIP, trial.count)
    return on_new_topic(trial, lambda: clients.java_end_to_end(trial.bootstrap, trial.topic, count, trial.scenario.size))


def fill(trial):
    """A topic that all rounds read."""
    scenario, broker = trial.scenario, trial.participant
    broker.create_topic(FILLED, scenario.partitions, scenario.configs)
    clients.produce(trial.bootstrap, FILLED, trial.count, scenario.size)
    held = broker.record_count(FILLED, scenario.partitions)
    if held not in (None, trial.count):
        raise Void(f"{trial.count} records acknowledged, {held} in the log")


def consume(trial):
    """All that `fill` wrote, by librdkafka, while the page cache holds it."""
    return observed(trial, lambda: clients.consume(trial.bootstrap, FILLED, trial.scenario.partitions, trial.count))


def consume_cold(trial):
    """The same when nothing is in the page cache."""
    machine.drop_page_cache()
    return consume(trial)


def java_consume(trial):
    """The same by ConsumerPerformance."""
    return observed(trial, lambda: clients.java_consume(trial.bootstrap, FILLED, trial.count))


def steady_latency(trial):
    """Records at a rate, each on its own, from a client that sleeps between them."""
    scenario, seconds = trial.scenario, max(2 * SKIP, trial.count) / RATE
    port = trial.participant.port
    command = swarms.producing(port, trial.topic, scenario.partitions, 1, RATE, seconds, scenario.size)
    return on_new_topic(trial, command, observe=swarm_observed)


def catch_up(trial):
    """Latency of a producer, alone and while a reader takes all that `fill` wrote.

    Both clients have one core: the producer goes first there, and the reader's socket buffer is the default of Kafka's consumer
    (`receive.buffer.bytes`), since the kernel is not interrupted while it copies what is in it.
    """
    port, partitions, size = trial.participant.port, trial.scenario.partitions, trial.scenario.size
    count = max(1, int(RATE * CATCH_UP_S * trial.scale))
    command = swarms.producing(port, trial.topic, partitions, 1, RATE, count / RATE, size)

    def action():
        with swarms.connected(command) as warm_up:
            warm_up()
        with swarms.connected(command, is_urgent=True) as begin:
            alone = begin()
        with swarms.connected(command, is_urgent=True) as begin, reading(trial) as reader:
            during = begin()
            if reader.poll() is not None:
                raise Void("the reader had ended before the producer had")
            flow = clients.consumed(clients.finish(reader), trial.count)
        of_producer = {name: during[name] for name in ("p50_us", "p99_us", "late_us")}
        return {**flow, **of_producer, "alone_p99_us": alone["p99_us"], "over_alone": during["p99_us"] / alone["p99_us"]}

    return on_new_topic(trial, action, expected=3 * count)


@contextlib.contextmanager
def reading(trial):
    """A client that reads what `fill` wrote, and has begun to."""
    # From an offset: the beginning is asked for only half a second later.
    command = clients.rdkafka_consumer(
        trial.bootstrap, FILLED, trial.scenario.partitions, trial.count, offset=0, **{"socket.receive.buffer.bytes": 64 * 1024}
    )
    with clients.start(command) as reader:
        try:
            deadline = time.monotonic() + READER_PATIENCE_S
            while machine.cpu_seconds(reader.pid) < READS_AFTER_CPU_S:
                if time.monotonic() > deadline or reader.poll() is not None:
                    raise Void("the reader does not read")
                time.sleep(0.001)
            yield reader
        finally:
            reader.kill()


def many_clients(trial):
    """Many producers, each to its own topic, and a consumer behind each; latency is end to end.

    Each partition has a record before: one broker makes a partition's files when it creates it, the other at the first record,
    and ext4 looks long for an inode that was not deleted within the last minute.
    """
    scenario, broker = trial.scenario, trial.participant
    number = fewer(trial)
    each = max(200, trial.count // number)
    topics = [f"{trial.topic}-{index}" for index in range(number)]
    for topic in topics:
        broker.create_topic(topic, scenario.partitions, scenario.configs)
        with swarms.connected(swarms.first_records(broker.port, topic, scenario.partitions)) as begin:
            begin()
    action = lambda: clients.pairs(trial.bootstrap, topics, scenario.partitions, each, scenario.size, offset=1)  # noqa: E731
    result = observed(trial, action)
    broker.delete_topics(topics)
    return result


def fewer(trial):
    """The scenario's number of clients, less of them in a small run."""
    return max(2, int(trial.scenario.choices["clients"] * min(1.0, trial.scale * 2)))


def many_connections(trial):
    """Many connections with few requests each, sent at their times whatever the broker does."""
    scenario, connections = trial.scenario, fewer(trial)
    rate = scenario.choices["rate"]
    seconds = trial.count / (connections * rate)
    port, topic, partitions = trial.participant.port, trial.topic, scenario.partitions
    command = swarms.producing(port, topic, partitions, connections, rate, seconds, scenario.size)
    return on_new_topic(trial, command, observe=swarm_observed)


def long_polls(trial):
    """Many fetches that wait at the end of one partition, which one append wakes all."""
    return on_new_topic(trial, polling(trial, fewer(trial), POLLS_BEGIN_S), observe=swarm_observed)


def steady_end_to_end(trial):
    """From an append to the answer of the one fetch that waits for it, record after record; no thread spins."""
    return on_new_topic(trial, polling(trial, 1, 1 / RATE), observe=swarm_observed)


def polling(trial, connections, pause_s):
    """The swarm's command for long polls."""
    return swarms.polling(trial.participant.port, trial.topic, connections, trial.count, trial.scenario.size, pause_s)


def start_empty(trial):
    """From exec to the first answer, with nothing on disk; and the memory a second later."""
    broker = trial.participant
    broker.wipe()
    broker.prepare()
    return started(broker)


def started(broker, ready=lambda: None):
    """Starts, waits until `ready` returns, looks at the memory, stops."""
    began = time.perf_counter()
    broker.launch()
    ready()
    milliseconds = (time.perf_counter() - began) * 1000
    time.sleep(1)
    idle = machine.status_mib(broker.pid, "VmRSS")
    broker.stop()
    return {"start_ms": milliseconds, "idle_mib": idle}


def topics_of(trial):
    """The topics of the start with many partitions: name and partitions."""
    per_topic = min(trial.scenario.partitions, trial.count)
    return [(f"many-{index}", per_topic) for index in range(max(1, trial.count // per_topic))]


def fill_partitions(trial):
    """Creates many partitions and stops."""
    broker = trial.participant
    broker.prepare()
    broker.launch()
    for name, partitions in topics_of(trial):
        broker.create_topic(name, partitions, {})
    broker.stop()


def start_full(trial):
    """From exec until the last partition answers."""
    broker = trial.participant
    name, partitions = topics_of(trial)[-1]

    def ready():
        while broker.record_count(name, partitions) is None:
            time.sleep(0.001)

    return started(broker, ready)
