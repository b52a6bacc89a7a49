"""Makes `tests/fixtures/kafka-4.1-data.*`: data directories that Apache Kafka 4.1 wrote, and what they hold.

    python3 -m harness.make_fixture     (from compat-tests/, with confluent-kafka's environment)

`clean` was stopped with SIGTERM; `killed` with SIGKILL, and the last batch of topic `torn` was cut in the middle afterwards,
as a power failure may do. `expected` lists, for each of the two, every partition, record, committed offset and dynamic
configuration; `describe` lines are what Kafka's own kafka-configs says of quotas and credentials.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import toolchains
from harness.broker import REPOSITORY, ApacheKafka
from harness.tool_host import ToolHost, host_command

try:
    from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
except ImportError:
    interpreter = toolchains.python("confluent-kafka")
    os.execv(interpreter, [str(interpreter), "-m", "harness.make_fixture"])

FIXTURES = REPOSITORY / "tests/fixtures"
START_MS = 1_700_000_000_000
PATIENCE_S = 30
SETTINGS = {
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "log.retention.ms": "-1",
    "log.cleaner.enable": "false",
    "log.flush.start.offset.checkpoint.interval.ms": "500",
    # A snapshot of the metadata now and then, so that the log goes on behind one.
    "metadata.log.max.snapshot.interval.ms": "3000",
}
# For consumers that read to the end of one partition after another: a question waits for the answer to the fetch before it.
IMPATIENT = {"fetch.wait.max.ms": 10}
TOPICS = {
    "plain": {"index.interval.bytes": "100"},
    "compressed": {},
    "segments": {"segment.ms": "1000", "index.interval.bytes": "10"},
    "appended": {"message.timestamp.type": "LogAppendTime"},
    "compacted": {"cleanup.policy": "compact"},
    "trimmed": {},
    "transactional": {},
    "torn": {},
    "enlarged": {},
}
# What kafka-configs is told, one call each.
DYNAMIC = [
    "--entity-type topics --entity-name torn --add-config segment.bytes=1048576,max.message.bytes=100000",
    "--entity-type topics --entity-name torn --delete-config max.message.bytes",
    "--entity-type brokers --entity-name 1 --add-config max.connections.per.ip=900",
    "--entity-type brokers --entity-default --add-config message.max.bytes=2000000",
    "--entity-type groups --entity-name fixture-group --add-config consumer.session.timeout.ms=50000",
    "--entity-type client-metrics --entity-name fixture --add-config interval.ms=60000",
    "--user ann --client-defaults --add-config producer_byte_rate=1024,request_percentage=12.5",
    "--entity-type ips --entity-name 127.0.0.9 --add-config connection_creation_rate=7",
    "--entity-type users --entity-name ann --add-config SCRAM-SHA-256=[iterations=4096,password=secret]",
    "--entity-type users --entity-name bob --add-config SCRAM-SHA-512=[iterations=4097,password=secret]",
    "--entity-type users --entity-name bob --delete-config SCRAM-SHA-512",
]
PARTITIONS = [(topic, partition) for topic in TOPICS for partition in range({"plain": 2, "enlarged": 3}.get(topic, 1))]


class Writer:
    """Fills the topics of one broker."""

    def __init__(self, bootstrap):
        self.bootstrap = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.bootstrap)

    def send(self, topic, values, partition=0, start_ms=START_MS, step_ms=10, keys=None, **options):
        """Sends one batch of values, `step_ms` of time apart, by a producer of its own."""
        settings = {key.replace("_", "."): value for key, value in options.items()}
        producer = Producer({**self.bootstrap, "linger.ms": 200, **settings})
        for number, value in enumerate(values):
            key = keys[number] if keys else None
            headers = [("number", str(number)), ("number", b"again")] if number == 0 else None
            producer.produce(topic, value, key, partition, timestamp=start_ms + step_ms * number, headers=headers)
        producer.flush(PATIENCE_S)

    def fill(self):
        """Writes everything that `expected` will tell of."""
        gone = NewTopic("gone", 1, 1)
        self.admin.create_topics([gone])["gone"].result(PATIENCE_S)
        self.send("gone", ["deleted"])
        self.admin.delete_topics(["gone"])["gone"].result(PATIENCE_S)
        new = [NewTopic(topic, 2 if topic == "plain" else 1, 1, config=config) for topic, config in TOPICS.items()]
        for future in self.admin.create_topics(new).values():
            future.result(PATIENCE_S)
        for partition in range(2):
            for batch in range(3):
                values = [f"plain-{partition}-{batch}-{number}" for number in range(10)]
                self.send("plain", values, partition, enable_idempotence=batch < 2)
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            self.send("compressed", [f"{codec}-{number}" for number in range(20)], compression_type=codec)
        for number in range(5):
            self.send("segments", [f"segment-{number}-{i}" for i in range(3)], start_ms=START_MS + 60_000 * number)
        self.send("appended", [f"appended-{number}" for number in range(4)])
        keys = ["a", "b", "a", "c", "b"]
        self.send("compacted", ["1", "2", "3", "4", None], keys=keys)
        self.send("trimmed", [f"trimmed-{number}" for number in range(10)], batch_num_messages=1)
        self.admin.delete_records([TopicPartition("trimmed", 0, 4)])[TopicPartition("trimmed", 0)].result(PATIENCE_S)
        self.transactions()
        self.send("torn", ["whole-0", "whole-1"])
        self.send("torn", ["cut-0", "cut-1"])
        self.admin.create_partitions([NewPartitions("enlarged", 3)])["enlarged"].result(PATIENCE_S)
        for partition in range(3):
            self.send("enlarged", [f"enlarged-{partition}"], partition)
        self.commit("fixture-group", "plain", 0, 17)
        self.commit("fixture-group", "plain", 1, 30)
        self.commit("other-group", "compressed", 0, 80)

    def transactions(self):
        """One committed and one aborted transaction."""
        producer = Producer({**self.bootstrap, "transactional.id": "fixture"})
        producer.init_transactions(PATIENCE_S)
        for name, finish in (("committed", producer.commit_transaction), ("aborted", producer.abort_transaction)):
            producer.begin_transaction()
            for number in range(3):
                producer.produce("transactional", f"{name}-{number}", partition=0, timestamp=START_MS + number)
            producer.flush(PATIENCE_S)
            finish(PATIENCE_S)

    def commit(self, group, topic, partition, offset):
        """A consumer without a group's membership commits for it."""
        consumer = Consumer({**self.bootstrap, "group.id": group})
        position = TopicPartition(topic, partition, offset, metadata=f"at {offset}")
        consumer.commit(offsets=[position], asynchronous=False)
        consumer.close()


def expected(bootstrap):
    """The lines of `expected`: partitions, records and committed offsets, as clients see them."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "check", "isolation.level": "read_uncommitted"}
    consumer = Consumer({**settings, **IMPATIENT})
    for topic, partition in PARTITIONS:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), PATIENCE_S)
        yield f"partition {topic} {partition} {low} {high}"
        consumer.assign([TopicPartition(topic, partition, low)])
        last = high - 1 - (topic == "transactional")  # The last record there is a marker, which clients do not see.
        offset = -1
        while offset < last:
            message = consumer.poll(PATIENCE_S)
            offset = message.offset()
            assert message.timestamp()[0] != TIMESTAMP_NOT_AVAILABLE
            key, value = ("-" if field is None else field.decode() for field in (message.key(), message.value()))
            yield f"record {topic} {partition} {offset} {message.timestamp()[1]} {key} {value}"
    consumer.close()
    for group in ("fixture-group", "other-group"):
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
        for found in reader.committed([TopicPartition(*key) for key in PARTITIONS], PATIENCE_S):
            if found.offset >= 0:
                yield f"committed {group} {found.topic} {found.partition} {found.offset} {found.metadata}"
        reader.close()


class Configs:
    """Kafka's kafka-configs for one broker, in one JVM for many calls."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.host = ToolHost(host_command(*ApacheKafka.JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"))

    def __call__(self, words):
        """Runs the tool and returns the lines that it prints."""
        arguments = ["--bootstrap-server", self.bootstrap, *words.split()]
        output, status, goes_on = self.host.run("kafka.admin.ConfigCommand", arguments, "")
        if status != 0 or not goes_on:
            raise RuntimeError(f"kafka-configs {words} ends with {status}: {output}")
        return output.splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.host.close()


def alter(bootstrap):
    """Sets everything that `dynamic` will tell of."""
    with Configs(bootstrap) as configs:
        for words in DYNAMIC:
            configs(f"--alter {words}")


def dynamic(bootstrap):
    """The lines of `expected` about what can be set while a broker runs."""
    with Configs(bootstrap) as configs:
        for kind, names in (
            ("topics", TOPICS),
            ("brokers", ["1", None]),
            ("groups", ["fixture-group"]),
            ("client-metrics", ["fixture"]),
        ):
            for name in names:
                entity = f"--entity-name {name}" if name else "--entity-default"
                for line in configs(f"--describe --entity-type {kind} {entity}"):
                    own = re.match(r"  (\S+)=(\S+) sensitive=false synonyms=\{DYNAMIC_(\w+)CONFIG:", line)
                    if own and (name is None) == (own[3] == "DEFAULT_BROKER_"):
                        yield f"config {kind} {name or '-'} {own[1]} {own[2]}"
        for kind in ("users", "clients", "ips"):
            yield from (f"describe {line}" for line in configs(f"--describe --entity-type {kind}"))
        pair = "--user ann --client-defaults"
        yield from (f"describe {line}" for line in configs(f"--describe {pair}"))


def tear(data):
    """Cuts the last batch of `torn` in the middle."""
    log = data / "torn-0/00000000000000000000.log"
    os.truncate(log, log.stat().st_size - 20)


def pack(data, target):
    """Writes a small archive that is the same for the same files."""
    fixed = ["--sort=name", "--mtime=2025-01-01", "--owner=0", "--group=0", "--numeric-owner", "--sparse"]
    left_out = ["--exclude=./bootstrap.checkpoint", "--exclude=./.lock"]
    command = ["tar", *fixed, *left_out, "-I", "gzip -9n", "-cf", target, "-C", data, "."]
    subprocess.run([str(part) for part in command], check=True)


def main():
    """Makes both archives and the list."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    lines = [line for line in __doc__.splitlines()[4:] if line]
    lines = ["# " + line for line in lines] + ["# partition TOPIC PARTITION LOG_START_OFFSET LOG_END_OFFSET"]
    lines += [
        "# record TOPIC PARTITION OFFSET TIMESTAMP KEY VALUE   (- is null)",
        "# committed GROUP TOPIC PARTITION OFFSET METADATA",
        "# config TYPE NAME KEY VALUE   (- is the default of all)",
        "# describe LINE",
    ]
    for kind in ("clean", "killed"):
        with tempfile.TemporaryDirectory() as directory, ApacheKafka(SETTINGS, directory) as broker:
            Writer(broker.bootstrap).fill()
            alter(broker.bootstrap)
            found = [*expected(broker.bootstrap), *dynamic(broker.bootstrap)]
            if kind == "clean":
                broker.stop()
            else:
                time.sleep(1.5)  # The log start offset of `trimmed` is on disk then.
                broker.kill()
                tear(broker.data)
                found = [line for line in found if " cut-" not in line]
                found = ["partition torn 0 0 2" if line.startswith("partition torn") else line for line in found]
            pack(broker.data, FIXTURES / f"kafka-4.1-data.{kind}.tar.gz")
            lines += [f"directory {kind}", *found]
    Path(FIXTURES / "kafka-4.1-data.expected.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
