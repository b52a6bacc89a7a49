"""Produce and InitProducerId: good batches, every kind of bad one, sequences of idempotent producers."""

import gzip
import time
import uuid

from batches import START_MS, batch, legacy, record
from talk import UNANSWERED_S

COORDINATOR_LOAD_IN_PROGRESS = 14


def request(broker, name, records, partition=0, acks=-1, transaction=None):
    """A Produce request with one partition's records, by name and by id."""
    data = {"Name": name, "TopicId": broker.topic_ids.get(name, uuid.UUID(int=99))}
    data["PartitionData"] = [{"Index": partition, "Records": records}]
    return {"TransactionalId": transaction, "Acks": acks, "TimeoutMs": 5000, "TopicData": [data]}


def talk(broker):
    """Runs the section."""
    for version in broker.versions("Produce", 3, 7, 9, 12):
        if version >= 3:
            by_version(broker, version)
    batches = bad_batches()
    for version in (7, 9, 13):
        name = f"produce.bad.{version}"
        broker.create_topic(name, len(batches), max_message_bytes="2000")
        for partition, (step, records) in enumerate(batches.items()):
            # Kafka never answers `null`.
            options = {"patience": UNANSWERED_S} if records is None else {}
            broker.ask_alone(step, "Produce", version, request(broker, name, records, partition), **options)
    other_topics(broker)
    producer_ids(broker)
    sequences(broker)


def by_version(broker, version):
    """Acknowledgements and destinations in one version."""
    name = f"produce.v{version}"
    broker.create_topic(name, 2)
    for acks in (-1, 1):
        broker.ask(f"acks {acks}", "Produce", version, request(broker, name, batch(["a", "b"]), acks=acks))
    broker.ask("second partition", "Produce", version, request(broker, name, batch(["a"]), partition=1))
    for acks in (2, -2):
        broker.ask_alone(f"acks {acks}", "Produce", version, request(broker, name, batch(), acks=acks))
    for partition in (2, -1, 2**31 - 1):
        broker.ask(f"partition {partition}", "Produce", version, request(broker, name, batch(), partition=partition))
    broker.ask("unknown topic", "Produce", version, request(broker, "produce.unknown", batch()))
    broker.ask("no topic", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TransactionalId": None})
    twice = request(broker, name, batch())
    twice["TopicData"][0]["PartitionData"] *= 2
    broker.ask_alone("a partition twice", "Produce", version, twice)
    again = request(broker, name, batch(["z"]))
    again["TopicData"] *= 2
    broker.ask_alone("a topic twice", "Produce", version, again)
    broker.ask_alone("a transaction nobody began", "Produce", version, request(broker, name, batch(), transaction="tx"))
    without_answer(broker, version, name)


def without_answer(broker, version, name):
    """acks=0: no answer when it works, the connection's end when it does not."""
    connection = broker.connect()
    connection.write(connection.frame("Produce", version, request(broker, name, batch(), acks=0)))
    broker.note(f"the next answer after acks 0 v{version}", connection.ask("Metadata", 1, {"Topics": [{"Name": name}]}))
    connection.write(connection.frame("Produce", version, request(broker, name, batch(crc=1), acks=0)))
    broker.note(f"acks 0 with a bad batch, v{version}", connection.is_closed_after(b""))


def bad_batches():
    """Batches that a broker must refuse, or not, by what is special about them."""
    hour = 3_600_000
    now = int(time.time() * 1000)
    wrong_record = record(0, None, b"a")[:-1]
    return {
        "wrong CRC": batch(crc=1),
        "length too long": batch(length=500),
        "length too short": batch(length=60),
        "length 0": batch(length=0),
        "length negative": batch(length=-5),
        "shorter than a header": batch()[:40],
        "header only": batch(values=[], last_offset_delta=0),
        "magic 0": legacy(0),
        "magic 1": legacy(1),
        "magic 3": batch(magic=3),
        "magic 1 in a new header": batch(magic=1),
        "two batches": batch() + batch(),
        "a few bytes behind": batch() + b"surplus",
        "too short to hold its records": batch(length=49),
        "half a batch behind": batch() + batch()[:40],
        "empty bytes": b"",
        "null": None,
        "base offset 5": batch(base_offset=5),
        "last offset delta too large": batch(["a", "b"], last_offset_delta=5),
        "last offset delta too small": batch(["a", "b"], last_offset_delta=0),
        "last offset delta negative": batch(["a"], last_offset_delta=-1),
        "count too large": batch(["a"], count=5, last_offset_delta=4),
        "count too small": batch(["a", "b"], count=1, last_offset_delta=0),
        "count 0": batch(["a"], count=0),
        "count negative": batch(["a"], count=-1),
        "count huge": batch(["a"], count=2**31 - 1, last_offset_delta=2**31 - 2),
        "record cut": batch(payload=wrong_record),
        "bytes after the records": batch(payload=record(0, None, b"a") + b"zz"),
        "offset deltas not consecutive": batch(["a", "b"], payload=record(0, None, b"a") + record(5, None, b"b")),
        "control batch": batch(attributes=32),
        "transactional without id": batch(attributes=16, producer_id=7, producer_epoch=0, base_sequence=0),
        "transactional without producer": batch(attributes=16),
        "producer id without sequence": batch(producer_id=7, producer_epoch=0, base_sequence=-1),
        "producer id without epoch": batch(producer_id=7, producer_epoch=-1, base_sequence=0),
        "sequence without producer id": batch(base_sequence=3),
        "append time bit": batch(attributes=8),
        "unused attribute bits": batch(attributes=0x4000),
        "delete horizon bit": batch(attributes=64),
        "codec 5": batch(attributes=5),
        "codec 7": batch(attributes=7),
        "leader epoch 9": batch(leader_epoch=9),
        "too large": batch(["x" * 3000]),
        "as large as allowed": batch(["x" * 1900]),
        "gzip": batch(["a", "b", "c"], codec="gzip"),
        "gzip garbage": batch(codec="gzip", payload=b"garbage"),
        "zstd garbage": batch(codec="zstd", payload=b"garbage"),
        "lz4 garbage": batch(codec="lz4", payload=b"garbage"),
        "snappy garbage": batch(codec="snappy", payload=b"garbage"),
        "gzip without a max timestamp": batch(["a", "b"], codec="gzip", max_timestamp=-1),
        "gzip, max timestamp wrong": batch(["a", "b"], codec="gzip", max_timestamp=now + 48 * hour),
        "gzip, record cut": batch(codec="gzip", payload=gzip.compress(wrong_record, mtime=0)),
        "gzip, bytes after the records": batch(
            codec="gzip", payload=gzip.compress(record(0, None, b"a") + b"zz", mtime=0)
        ),
        "gzip, count too large": batch(["a", "b"], codec="gzip", count=5, last_offset_delta=4),
        "gzip, offset deltas not consecutive": batch(
            ["a", "b"], codec="gzip", payload=gzip.compress(record(0, None, b"a") + record(5, None, b"b"))
        ),
        "gzip, timestamp far in the future": batch(codec="gzip", base_timestamp=now + 48 * hour, max_timestamp=0),
        "timestamp far in the future": batch(base_timestamp=now + 48 * hour),
        "timestamp long ago": batch(base_timestamp=0),
        "timestamp -1": batch(base_timestamp=-1),
        "timestamp -5": batch(base_timestamp=-5),
        "timestamp -2^63": batch(base_timestamp=-(2**63)),
        "max timestamp wrong": batch(max_timestamp=START_MS + hour),
        "null value": batch([None]),
        "with key": batch(["a"], keys=["k"]),
    }


def other_topics(broker):
    """What a topic's configuration changes."""
    broker.create_topic("produce.compacted", cleanup_policy="compact")
    broker.ask("compacted without key", "Produce", 9, request(broker, "produce.compacted", batch(["a", "b"])))
    compressed = batch(["a", "b"], codec="gzip")
    broker.ask("compacted without key, gzip", "Produce", 9, request(broker, "produce.compacted", compressed))
    broker.ask("compacted with key", "Produce", 9, request(broker, "produce.compacted", batch(["a"], keys=["k"])))
    broker.create_topic("produce.appended", message_timestamp_type="LogAppendTime")
    broker.ask("log append time", "Produce", 9, request(broker, "produce.appended", batch(base_timestamp=5)))
    broker.create_topic("produce.strict", message_timestamp_before_max_ms="1000")
    broker.ask("timestamp before the limit", "Produce", 9, request(broker, "produce.strict", batch()))
    broker.create_topic("produce.insync", min_insync_replicas="2")
    broker.ask("not enough replicas", "Produce", 9, request(broker, "produce.insync", batch()))
    broker.ask("not enough replicas, acks 1", "Produce", 9, request(broker, "produce.insync", batch(), acks=1))
    broker.create_topic("produce.zstd")
    broker.ask("zstd too early", "Produce", 3, request(broker, "produce.zstd", batch(codec="zstd", payload=b"x")))


def producer_ids(broker):
    """InitProducerId without transactions."""
    body = {"TransactionalId": None, "TransactionTimeoutMs": 60_000, "ProducerId": -1, "ProducerEpoch": -1}
    while broker.main.ask("InitProducerId", 1, body)["ErrorCode"] == COORDINATOR_LOAD_IN_PROGRESS:
        time.sleep(0.02)
    for version in broker.versions("InitProducerId", 2, 3, 4):
        broker.ask("new", "InitProducerId", version, body)
        broker.ask("timeout 0", "InitProducerId", version, {**body, "TransactionTimeoutMs": 0})
        broker.ask("empty transactional id", "InitProducerId", version, {**body, "TransactionalId": ""})
        if version >= 3:
            broker.ask("with an id already", "InitProducerId", version, {**body, "ProducerId": 1, "ProducerEpoch": 3})
            broker.ask("epoch without id", "InitProducerId", version, {**body, "ProducerEpoch": 3})


def sequences(broker):
    """Sequence numbers: in order, repeated, with gaps, from older and newer epochs."""
    broker.create_topic("produce.sequences", 2)
    body = {"TransactionalId": None, "TransactionTimeoutMs": 60_000}
    producer = broker.main.ask("InitProducerId", 1, body)["ProducerId"]

    def send(step, sequence, values=("a",), epoch=0, partition=0, producer_id=producer):
        records = batch(values, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)
        broker.ask(f"sequence: {step}", "Produce", 9, request(broker, "produce.sequences", records, partition))

    send("first", 0, ["a", "b"])
    send("first again", 0, ["a", "b"])
    send("next", 2)
    send("gap", 9)
    send("before the last", 0, ["a", "b"])
    send("part of the first", 0, ["a"])
    for number in range(3, 9):
        send(f"number {number}", number)
    send("older than five batches", 0, ["a", "b"])
    send("oldest of five", 4)
    send("new epoch not from 0", 7, epoch=1)
    send("new epoch", 0, epoch=1)
    send("old epoch", 9, epoch=0)
    send("epoch far ahead", 0, epoch=5)
    send("unknown producer, first is 5", 5, producer_id=producer + 1000)
    send("unknown producer goes on", 6, producer_id=producer + 1000)
    send("near the end", 2**31 - 2, producer_id=producer + 2000, values=["a", "b"])
    send("wrapped", 0, producer_id=producer + 2000)
    send("other partition", 0, partition=1)
