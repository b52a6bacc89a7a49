#!/usr/bin/env python3
"""Kills a broker with SIGKILL under load, again and again, and checks what the clients were promised.

    scripts/crash_test.py [--cycles 50] [--seed N] [--against klamm|kafka] [--data-dir DIR]

Two idempotent producers (acks=all) fill 12 partitions of 4 topics, and a group's consumer commits what it has read. In each
cycle the broker is killed 0 to 500 ms after its load began and started again on the same data; the clients live on. At
the end: nothing acknowledged is lost, nothing is doubled, each producer's order is kept, committed offsets are kept.
The environment's KLAMM names the binary. Exit status 1 tells that a promise was broken.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))

from harness import toolchains  # noqa: E402
from harness.broker import broker_class  # noqa: E402

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:  # Go on in the environment that has the client, installing it if need be.
    interpreter = toolchains.python("confluent-kafka")
    os.execv(interpreter, [str(interpreter), *sys.argv])

TOPICS = [f"crash-{number}" for number in range(4)]
PARTITIONS = [(topic, partition) for topic in TOPICS for partition in range(3)]
GROUP = "crash-readers"
PATIENCE_S = 60
BATCH, PAUSE_S = 50, 0.005  # About 10,000 records a second from each producer.
QUICK = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 10, "log_level": 0}
# Small segments, so that crashes also meet rolling.
SETTINGS = {"log.segment.bytes": "1048576"}


class Load:
    """One idempotent producer that sends numbered values to all partitions and remembers what was acknowledged."""

    def __init__(self, bootstrap, name):
        self.name = name
        self.acknowledged = {}  # value -> (topic, partition, offset)
        self.failed = []
        self.sent = 0
        self.stopping = threading.Event()
        options = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 1}
        limits = {"message.timeout.ms": 300_000, "queue.buffering.max.messages": 5000}
        self.producer = Producer({**options, **limits, **QUICK, "error_cb": self.on_error})
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def on_error(self, error):
        """A fatal error means that the broker broke the idempotent protocol."""
        if error.fatal():
            self.failed.append(str(error))

    def on_delivery(self, error, message):
        """Remembers an acknowledgement, or a failure."""
        if error is not None:
            self.failed.append(str(error))
        else:
            self.acknowledged[message.value()] = (message.topic(), message.partition(), message.offset())

    def run(self):
        """Sends until told to stop, then waits for the last acknowledgements."""
        while not self.stopping.is_set():
            for _ in range(BATCH):
                topic, partition = PARTITIONS[self.sent % len(PARTITIONS)]
                value = f"{self.name}:{self.sent:09d}:".ljust(100 + self.sent % 400, "x").encode()
                try:
                    self.producer.produce(topic, value, partition=partition, on_delivery=self.on_delivery)
                    self.sent += 1
                except BufferError:
                    break
            self.producer.poll(PAUSE_S)
        self.producer.flush(PATIENCE_S)

    def stop(self):
        """Ends the load."""
        self.stopping.set()
        self.thread.join()


class Reader:
    """A member of a group that reads everything and commits; it remembers the commits that were acknowledged."""

    def __init__(self, bootstrap):
        self.committed = {}  # (topic, partition) -> offset
        self.commits = 0
        self.stopping = threading.Event()
        options = {"bootstrap.servers": bootstrap, "group.id": GROUP, "auto.offset.reset": "earliest"}
        timing = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "enable.auto.commit": False}
        self.consumer = Consumer({**options, **timing, **QUICK})
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        """Reads and commits until told to stop."""
        self.consumer.subscribe(TOPICS)
        while not self.stopping.is_set():
            if any(message.error() is None for message in self.consumer.consume(500, timeout=0.05)):
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


def create_topics(bootstrap):
    """Creates the topics, 3 partitions each."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    for future in admin.create_topics([NewTopic(topic, 3, 1) for topic in TOPICS]).values():
        future.result(PATIENCE_S)


def run_cycles(broker, loads, reader, arguments):
    """Kills and restarts the broker; every fourth time before it has acknowledged anything since its start."""
    chance = random.Random(arguments.seed)
    deadline = time.monotonic() + PATIENCE_S
    while not reader.commits and time.monotonic() < deadline:
        time.sleep(0.01)
    for cycle in range(arguments.cycles):
        before = sum(len(load.acknowledged) for load in loads)
        deadline = time.monotonic() + PATIENCE_S
        while cycle % 4 != 3 and sum(len(load.acknowledged) for load in loads) == before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no progress in cycle {cycle}:\n{broker.log_tail()}")
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.5))
        broker.kill()
        started = time.monotonic()
        broker.start()
        ready_ms = (time.monotonic() - started) * 1000
        total = sum(len(load.acknowledged) for load in loads)
        print(
            f"cycle {cycle + 1}: ready after {ready_ms:.0f} ms, {total} acknowledged, {reader.commits} commits",
            flush=True,
        )


def ends(consumer, denied):
    """The end offset of each partition that holds something; refusals go to `denied`.

    Just after its start a broker may say that it does not lead a partition yet, as Apache Kafka does: clients try again.
    """
    found, deadline = {}, time.monotonic() + PATIENCE_S
    for key in PARTITIONS:
        while key not in found:
            try:
                found[key] = consumer.get_watermark_offsets(TopicPartition(*key), PATIENCE_S)[1]
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                    denied.append((key, str(error)))
                if time.monotonic() > deadline:
                    raise
    return {key: end for key, end in found.items() if end > 0}


def stored(bootstrap, denied):
    """Everything that the partitions hold: (topic, partition) -> list of (offset, value)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "crash-check", "enable.auto.commit": False})
    found, left = defaultdict(list), ends(consumer, denied)
    consumer.assign([TopicPartition(*key, 0) for key in left])
    deadline = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=0.2):
            key = (message.topic(), message.partition())
            found[key].append((message.offset(), message.value()))
            if message.offset() + 1 >= left.get(key, 0):
                left.pop(key, None)
    consumer.close()
    if left:
        raise RuntimeError(f"not readable to the end: {left}")
    return found


def committed_offsets(bootstrap):
    """The group's committed offsets: (topic, partition) -> offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP})
    answer = consumer.committed([TopicPartition(*key) for key in PARTITIONS], PATIENCE_S)
    consumer.close()
    return {(partition.topic, partition.partition): partition.offset for partition in answer}


def violations(bootstrap, loads, reader):
    """Yields each promise with how much it was tested and a list of what broke it."""
    denied = []
    found, committed = stored(bootstrap, denied), committed_offsets(bootstrap)
    yield "a restarted broker denies no partition", len(PARTITIONS), denied
    place = {value: (*key, offset) for key, records in found.items() for offset, value in records}
    acknowledged = {value: where for load in loads for value, where in load.acknowledged.items()}
    total = sum(len(records) for records in found.values())
    yield "no send failed", sum(load.sent for load in loads), [reason for load in loads for reason in load.failed]
    lost = [value for value, where in acknowledged.items() if place.get(value) != where]
    yield "nothing acknowledged is lost or moved", len(acknowledged), lost
    seen, doubled = set(), []
    for records in found.values():
        doubled += [value for _, value in records if value in seen or seen.add(value)]
    yield "nothing is doubled", total, doubled
    gaps = [key for key, records in found.items() if [offset for offset, _ in records] != list(range(len(records)))]
    yield "offsets have no gaps", len(found), gaps
    disorder = []
    for key, records in found.items():
        for load in loads:
            mine = [value for _, value in records if value.startswith(load.name.encode() + b":")]
            disorder += [key] if mine != sorted(mine) else []
    yield "each producer's order is kept in each partition", len(found) * len(loads), disorder
    forgotten = [(key, offset, committed[key]) for key, offset in reader.committed.items() if committed[key] < offset]
    yield "committed offsets are kept", reader.commits, forgotten


def main():
    """Runs the cycles and prints a line for each promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--against", choices=["klamm", "kafka"], default=os.environ.get("AGAINST", "klamm"))
    parser.add_argument("--data-dir", help="an empty or absent directory, kept afterwards; thrown away by default")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with broker_class(arguments.against)(SETTINGS, arguments.data_dir) as broker:
        create_topics(broker.bootstrap)
        loads, reader = [Load(broker.bootstrap, name) for name in ("one", "two")], Reader(broker.bootstrap)
        try:
            run_cycles(broker, loads, reader, arguments)
        finally:
            for client in (*loads, reader):
                client.stop()
        broker.kill()
        broker.start()
        broken = False
        for promise, tested, violated in violations(broker.bootstrap, loads, reader):
            print(f"{'FAIL' if violated else 'PASS'} {promise} ({tested} checked, {len(violated)} violations)")
            if violated:
                print(f"    {violated[:5]}")
            broken |= bool(violated)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
