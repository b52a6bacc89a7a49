"""Moves from Apache Kafka 4.1 to Klamm and back on one data directory, and has Klamm refuse what it cannot take over.

Kafka fills a directory: topics of all kinds, transactions, a cleaned compacted topic, groups of both protocols, dynamic
configurations, quotas, SCRAM credentials. Klamm takes it over and must serve what Kafka's clients have seen, go on with it, and
keep it over a restart. Then Kafka's DumpLogSegments judges the files, and Kafka itself goes on with them.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import (  # noqa: E402
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from harness import make_fixture  # noqa: E402
from harness.broker import ApacheKafka, Klamm, klamm_binary  # noqa: E402
from harness.dump_log import complaints  # noqa: E402

PATIENCE_S = make_fixture.PATIENCE_S
# The records are from 2023.
KEEP = {"log.retention.ms": "-1"}
KAFKA = {**make_fixture.SETTINGS, "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "200"}
CLEANED = {
    "cleanup.policy": "compact",
    "segment.ms": "300",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "100",
}


def test(name):
    """Decorates a test: its line is printed, and its failure is told and counted."""

    def decorate(function):
        try:
            function()
        except Exception as error:  # noqa: BLE001 - any failure is a line
            print(f"FAIL {name}: {error}", flush=True)
            FAILED.append(name)
        else:
            print(f"PASS {name}", flush=True)
        return function

    return decorate


FAILED = []


def read_all(bootstrap, topic, partition):
    """All records that an application sees in a partition."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True}
    settings |= make_fixture.IMPATIENT
    consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    found = []
    while True:
        message = consumer.poll(PATIENCE_S)
        if message is None or message.error():
            break
        found.append((message.offset(), message.timestamp(), message.key(), message.value(), message.headers()))
    consumer.close()
    return found


def fill_cleaned(bootstrap):
    """A compacted topic that Kafka's cleaner has been at."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("cleaned", 1, 1, config=CLEANED)])["cleaned"].result(PATIENCE_S)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(40):
        value = None if number % 8 == 7 else f"{number}"
        producer.produce("cleaned", value, f"key-{number % 5}")
        if number % 4 == 3:
            producer.flush(PATIENCE_S)
            time.sleep(0.2)
    producer.flush(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while len(read_all(bootstrap, "cleaned", 0)) > 20:
        if time.monotonic() > deadline:
            raise RuntimeError("Kafka's cleaner did nothing")
        producer.produce("cleaned", "roll", "key-0")
        producer.flush(PATIENCE_S)
        time.sleep(0.5)


def consume_by(bootstrap, group, protocol):
    """A group of that protocol reads `plain` and commits; the partitions with their positions."""
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe(["plain"])
    if not consumer.consume(20, PATIENCE_S):
        raise RuntimeError(f"a group of the protocol {protocol} has read nothing")
    consumer.commit(asynchronous=False)
    consumer.close()


def committed(bootstrap, group):
    """What the group has committed for `plain`."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    found = consumer.committed([TopicPartition("plain", partition) for partition in range(2)], PATIENCE_S)
    consumer.close()
    return [partition.offset for partition in found]


def seen(bootstrap):
    """Everything that clients see of the directory."""
    lines = list(make_fixture.expected(bootstrap))
    # The keys of one line come in no order.
    lines += [" ".join(sorted(line.replace(",", " ").split())) for line in make_fixture.dynamic(bootstrap)]
    lines += [f"cleaned {record}" for record in read_all(bootstrap, "cleaned", 0)]
    lines += [f"transactional {record}" for record in read_all(bootstrap, "transactional", 0)]
    for group in ("classic-group", "consumer-group"):
        lines.append(f"committed {group} {committed(bootstrap, group)}")
    return lines


def expect_equal(before, after):
    """Fails with the lines that differ."""
    if before != after:
        missing = [line for line in before if line not in after][:5]
        added = [line for line in after if line not in before][:5]
        raise AssertionError(f"missing {missing}, instead {added}")


def tree(directory):
    """A digest of every file below a directory."""
    files = sorted(path for path in Path(directory).rglob("*") if path.is_file())
    return [(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files]


def start_klamm(data):
    """A start of Klamm that must fail."""
    command = [klamm_binary(), "start", "--listen", "127.0.0.1:0", "--data-dir", data]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refusal(data):
    """What Klamm says when it refuses the directory, which must stay as it is."""
    before = tree(data)
    done = start_klamm(data)
    assert done.returncode == 1, f"it ends with {done.returncode}: {done.stdout}{done.stderr}"
    assert tree(data) == before, "something was changed"
    return done.stderr


def move(directory):
    """There and back again."""
    kafka, klamm = ApacheKafka(KAFKA, directory), Klamm(KEEP, directory)
    extra = [(topic, 0) for topic in ("plain", "cleaned", "transactional")]

    @test("Kafka fills a directory, and Klamm takes it over with all that clients see of it")
    def _():
        with kafka:
            make_fixture.Writer(kafka.bootstrap).fill()
            fill_cleaned(kafka.bootstrap)
            make_fixture.alter(kafka.bootstrap)
            consume_by(kafka.bootstrap, "classic-group", "classic")
            consume_by(kafka.bootstrap, "consumer-group", "consumer")
            before = seen(kafka.bootstrap)
            kafka.stop()
        with klamm:
            expect_equal(before, seen(klamm.bootstrap))
            log = klamm.log_tail(200)
            for phrase in ("taken over: 12 topics with", "SCRAM credentials", "not taken over: the features"):
                assert phrase in log, f"the log does not say {phrase!r}: {log}"
            producer = Producer({"bootstrap.servers": klamm.bootstrap, "enable.idempotence": True})
            for topic, partition in extra:
                producer.produce(topic, b"written by Klamm", b"key-0", partition)
            assert producer.flush(PATIENCE_S) == 0
            consume_by(klamm.bootstrap, "classic-group", "classic")
            assert klamm.stop() == 0

    @test("Klamm keeps it over a restart, and DumpLogSegments accepts what it has written")
    def _():
        with klamm:
            for topic, partition in extra:
                assert read_all(klamm.bootstrap, topic, partition)[-1][3] == b"written by Klamm", topic
            assert klamm.stop() == 0
        complaint = complaints(klamm.data)
        assert not complaint, complaint

    @test("Kafka goes on with the directory after Klamm")
    def _():
        with klamm:
            before = [read_all(klamm.bootstrap, *one) for one in make_fixture.PARTITIONS]
            offsets = committed(klamm.bootstrap, "classic-group")
            klamm.stop()
        (klamm.data / "metadata").rename(klamm.data / "__cluster_metadata-0")
        with kafka:
            after = [read_all(kafka.bootstrap, *one) for one in make_fixture.PARTITIONS]
            assert before == after, "records differ"
            assert committed(kafka.bootstrap, "classic-group") == offsets
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            producer.produce("plain", b"written by Kafka again", partition=0)
            assert producer.flush(PATIENCE_S) == 0
            kafka.stop()
        with klamm:
            assert read_all(klamm.bootstrap, "plain", 0)[-1][3] == b"written by Kafka again"
            klamm.stop()


def refuse(directory):
    """What stands in the way is named, all of it at once."""
    settings = {
        **make_fixture.SETTINGS,
        "log.dirs": f"{directory}/data,{directory}/other",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
    }
    kafka = ApacheKafka(settings, directory)

    @test("what cannot be taken over is named, and the directory is not touched")
    def _():
        with kafka:
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            topics = [NewTopic("spread", 4, 1)]
            admin.create_topics(topics)["spread"].result(PATIENCE_S)
            place = (ResourceType.TOPIC, "spread", ResourcePatternType.LITERAL)
            acl = AclBinding(*place, "User:ann", "*", AclOperation.READ, AclPermissionType.ALLOW)
            admin.create_acls([acl])[acl].result(PATIENCE_S)
            producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "open"})
            producer.init_transactions(PATIENCE_S)
            producer.begin_transaction()
            for partition in range(4):
                producer.produce("spread", b"not committed", partition=partition)
            producer.flush(PATIENCE_S)
            kafka.stop()
        told = refusal(kafka.data)
        for phrase in ("access control lists (1 entries)", "2 log directories", "transactions are open in spread-"):
            assert phrase in told, f"{phrase!r} is not in: {told}"

    @test("a directory of a Kafka that runs, or was killed, is refused")
    def _():
        with kafka:
            told = start_klamm(kafka.data).stderr
            assert "in use by another process" in told, told
            kafka.kill()
        told = refusal(kafka.data)
        assert "has not stopped cleanly" in told, told


def main():
    """Runs the tests, each with directories of its own."""
    for story in (move, refuse):
        directory = tempfile.mkdtemp(prefix="klamm-takeover-")
        try:
            story(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
