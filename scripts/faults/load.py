"""What the fault scripts share: clients under load that remember what they were promised, and the check of it.

Importing this module goes on in the environment that has the client, installing it if need be.
"""

import argparse
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "compat-tests"))

from harness import toolchains  # noqa: E402
from harness.broker import Klamm, answers, broker_class  # noqa: E402

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewTopic,
        ResourceType,
    )
except ImportError:  # Go on in the environment that has the client, installing it if need be.
    interpreter = toolchains.python("confluent-kafka")
    os.execv(interpreter, [str(interpreter), *sys.argv])

__all__ = [
    "AdminClient",
    "AlterConfigOpType",
    "ConfigEntry",
    "ConfigResource",
    "Consumer",
    "KafkaError",
    "KafkaException",
    "Klamm",
    "NewTopic",
    "Producer",
    "ResourceType",
    "TopicPartition",
    "answers",
    "broker_class",
    "toolchains",
]

PATIENCE_S = 60
BATCH, PAUSE_S = 50, 0.005  # About 10,000 records a second from each producer.
QUICK = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 10, "log_level": 0}
GROUP = "fault-readers"
SCRIPT = Path(sys.argv[0]).stem


class Load:
    """One producer that sends numbered values to all partitions and remembers what was acknowledged."""

    def __init__(self, bootstrap, name, partitions, pause_s=PAUSE_S, size=300, **options):
        """`options` are the client's beside those of an idempotent producer that gives nothing up; `size` is a mean."""
        self.name = name
        self.partitions = list(partitions)
        self.pause_s = pause_s
        self.size = size
        self.acknowledged = {}  # value -> (topic, partition, offset)
        self.failed = []
        self.sent = 0
        self.stopping = threading.Event()
        defaults = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 1}
        limits = {"message.timeout.ms": 300_000, "queue.buffering.max.messages": 5000}
        options = {key.replace("_", "."): value for key, value in options.items()}
        self.producer = Producer({**defaults, **limits, **QUICK, **options, "error_cb": self.on_error})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_error(self, error):
        """A fatal error means that the broker broke the idempotent protocol."""
        if error.fatal():
            self.failed.append(str(error))

    def on_delivery(self, error, message):
        """Remembers an acknowledgement, or a failure."""
        if error is None:
            self.acknowledged[message.value()] = (message.topic(), message.partition(), message.offset())
        elif error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self.failed.append(str(error))

    def run(self):
        """Sends until told to stop, then waits for the last acknowledgements."""
        while not self.stopping.is_set():
            for _ in range(BATCH):
                topic, partition = self.partitions[self.sent % len(self.partitions)]
                length = self.size // 2 + self.sent * 7 % self.size
                value = f"{self.name}:{self.sent:09d}:".ljust(length, "x").encode()
                try:
                    self.producer.produce(topic, value, partition=partition, on_delivery=self.on_delivery)
                    self.sent += 1
                except BufferError:
                    break
            self.producer.poll(0)
            self.stopping.wait(self.pause_s)
        self.producer.flush(PATIENCE_S)

    def stop(self):
        """Ends the load when everything is answered, and its connections."""
        self.stopping.set()
        self.thread.join()
        self.producer = None

    def abandon(self):
        """Ends the load as the death of its process would: nobody learns what becomes of what was sent last."""
        self.stopping.set()
        while self.thread.is_alive():
            # Again and again: the thread may have sent more, and would wait for its acknowledgement.
            self.producer.purge()
            self.thread.join(0.1)
        self.producer = None


class Reader:
    """A member of a group that reads everything and commits; it remembers the commits that were acknowledged."""

    def __init__(self, bootstrap, topics, group=GROUP, **options):
        self.topics = list(topics)
        self.committed = {}  # (topic, partition) -> offset
        self.commits = 0
        self.rebalances = 0
        self.read = 0
        self.stopping = threading.Event()
        defaults = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
        timing = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "enable.auto.commit": False}
        options = {key.replace("_", "."): value for key, value in options.items()}
        self.consumer = Consumer({**defaults, **timing, **QUICK, **options})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_assign(self, _consumer, _partitions):
        """Counts how often the group gave out its partitions."""
        self.rebalances += 1

    def run(self):
        """Reads and commits until told to stop."""
        self.consumer.subscribe(self.topics, on_assign=self.on_assign)
        while not self.stopping.is_set():
            records = [message for message in self.consumer.consume(500, timeout=0.05) if message.error() is None]
            self.read += len(records)
            if records:
                self.commit()
        self.consumer.close()

    def commit(self):
        """Commits the position; a commit that fails while the broker is down promises nothing."""
        try:
            stored = self.consumer.commit(asynchronous=False)
        except KafkaException:
            return
        for partition in stored or []:
            if partition.error is None:
                self.committed[partition.topic, partition.partition] = partition.offset
                self.commits += 1

    def stop(self):
        """Ends the reading."""
        self.stopping.set()
        self.thread.join()


def admin(bootstrap):
    """A client for administration."""
    return AdminClient({"bootstrap.servers": bootstrap, **QUICK})


def create_topics(bootstrap, topics, partitions=3, replicas=1, **config):
    """Creates topics with `config`, whose keys are written with underscores for points."""
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    wanted = [NewTopic(topic, partitions, replicas, config=config) for topic in topics]
    client = admin(bootstrap)
    for future in client.create_topics(wanted, request_timeout=PATIENCE_S).values():
        future.result(PATIENCE_S)
    return [(topic, partition) for topic in topics for partition in range(partitions)]


def delete_topics(bootstrap, topics):
    """Deletes topics."""
    client = admin(bootstrap)
    for future in client.delete_topics(list(topics)).values():
        future.result(PATIENCE_S)


def topic_names(bootstrap):
    """The names of all topics that the broker knows."""
    return set(admin(bootstrap).list_topics(timeout=PATIENCE_S).topics)


def bounds(consumer, partitions, denied):
    """The first and the end offset of each partition; refusals go to `denied`.

    Just after its start a broker may say that it does not lead a partition yet, as Apache Kafka does: clients try again.
    """
    found, deadline = {}, time.monotonic() + PATIENCE_S
    for key in partitions:
        while key not in found:
            try:
                found[key] = consumer.get_watermark_offsets(TopicPartition(*key), PATIENCE_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                    denied.append((key, str(error)))
                if time.monotonic() > deadline:
                    raise
    return found


def stored(bootstrap, partitions, denied, start=None, moving=False):
    """What the partitions hold from the offsets in `start` on: (topic, partition) -> list of (offset, value).

    With `moving`, records are deleted meanwhile: what lies before the log's start afterwards is left out.
    """
    options = {"bootstrap.servers": bootstrap, "group.id": "fault-check", "enable.auto.commit": False}
    consumer = Consumer({**options, **QUICK, "auto.offset.reset": "earliest" if moving else "error"})
    found, left = defaultdict(list), {}
    for key, (first, end) in bounds(consumer, partitions, denied).items():
        first = max(first, (start or {}).get(key, 0))
        if first < end:
            left[key] = end
            consumer.incremental_assign([TopicPartition(*key, first)])
    deadline = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        messages = consumer.consume(10_000, timeout=0.2)
        if messages:  # Millions of records take longer; the patience is for those that do not come.
            deadline = time.monotonic() + PATIENCE_S
        for message in messages:
            key = (message.topic(), message.partition())
            if message.error() is not None:
                denied.append((key, str(message.error())))
                continue
            found[key].append((message.offset(), message.value()))
            if message.offset() + 1 >= left.get(key, 0):
                left.pop(key, None)
    if moving:
        for key, (first, _) in bounds(consumer, partitions, denied).items():
            found[key] = [(offset, value) for offset, value in found[key] if offset >= first]
    consumer.close()
    if left:
        raise RuntimeError(f"not readable to the end: {left}, {denied[:5]}")
    return found


def committed_offsets(bootstrap, partitions, group=GROUP):
    """The group's committed offsets: (topic, partition) -> offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, **QUICK})
    answer = consumer.committed([TopicPartition(*key) for key in partitions], PATIENCE_S)
    consumer.close()
    return {(partition.topic, partition.partition): partition.offset for partition in answer}


def violations(bootstrap, partitions, loads, reader=None, group=GROUP):
    """Yields each promise with how much it was tested and a list of what broke it."""
    denied = []
    found = stored(bootstrap, partitions, denied)
    yield "no partition is denied", len(partitions), denied
    place = {value: (*key, offset) for key, records in found.items() for offset, value in records}
    acknowledged = {value: where for load in loads for value, where in load.acknowledged.items()}
    total = sum(len(records) for records in found.values())
    yield "no send failed", sum(load.sent for load in loads), [reason for load in loads for reason in load.failed]
    lost = [(value[:20], where) for value, where in acknowledged.items() if place.get(value) != where]
    yield "nothing acknowledged is lost or moved", len(acknowledged), lost
    yield "nothing is doubled", total, doubled(found)
    gaps = [key for key, records in found.items() if [offset for offset, _ in records] != list(range(len(records)))]
    yield "offsets have no gaps", len(found), gaps
    yield "each producer's order is kept in each partition", len(found) * len(loads), disorder(found, loads)
    if reader is not None:
        committed = committed_offsets(bootstrap, partitions, group)
        forgotten = [
            (key, offset, committed[key]) for key, offset in reader.committed.items() if committed[key] < offset
        ]
        yield "committed offsets are kept", reader.commits, forgotten


def doubled(found):
    """The values that are there more than once."""
    seen, again = set(), []
    for records in found.values():
        again += [value[:20] for _, value in records if value in seen or seen.add(value)]
    return again


def disorder(found, loads):
    """The partitions in which a producer's values are not in the order of their numbers."""
    wrong = []
    for key, records in found.items():
        for load in loads:
            mine = [value for _, value in records if value.startswith(load.name.encode() + b":")]
            wrong += [key] if mine != sorted(mine) else []
    return wrong


class Promises:
    """The lines about what was promised; `status` is the script's exit status."""

    def __init__(self):
        self.status = 0

    def check(self, promise, tested, violated):
        """Prints one line; `violated` lists what broke the promise. One that was not tested at all is broken too."""
        violated = list(violated)
        broken = bool(violated) or not tested
        outcome = "FAIL" if broken else "PASS"
        print(f"{outcome} {SCRIPT}: {promise} ({tested} checked, {len(violated)} violations)", flush=True)
        if violated:
            print(f"    {violated[:5]}", flush=True)
        self.status |= int(broken)

    def check_all(self, lines):
        """Prints a line for each of `violations`."""
        for promise, tested, violated in lines:
            self.check(promise, tested, violated)


def parser(doc):
    """An argument parser whose help is the script's docstring, with the short form that the test command runs."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the form that the test command runs")
    return parser


def main(run):
    """Runs a script: it gets the promises to check. What the machine lacks skips it, by name."""
    promises = Promises()
    try:
        run(promises)
    except toolchains.Missing as missing:
        # As for every missing toolchain: a failed test in CI.
        is_failure = os.environ.get("CI") == "true"
        print(f"{'FAIL' if is_failure else 'SKIP'} {SCRIPT} ({missing})")
        sys.exit(int(is_failure))
    print(f"{SCRIPT}: {'a promise was broken' if promises.status else 'all promises were kept'}")
    sys.exit(promises.status)
