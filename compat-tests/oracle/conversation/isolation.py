"""Partitions with transactions: Produce, Fetch and ListOffsets by isolation level, DescribeProducers, WriteTxnMarkers."""

import time

from batches import START_MS, batch

from conversation.fetch import body as fetching
from conversation.fetch import partition
from conversation.offsets import listing
from conversation.produce import request
from conversation.transactional import (
    Producer,
    adding,
    ask_settled,
    marker,
    settled,
    transactional_batch,
    wait_for_coordinator,
)

LEVELS = {"uncommitted": 0, "committed": 1}


def talk(broker):
    """Runs the section."""
    wait_for_coordinator(broker)
    for version in broker.versions("Produce", 7, 9, 11, 12, 13):
        if version >= 3:
            productions(broker, version)
            broken_rules(broker, version)
    for version in (4, 5):
        reading(broker, version)
    long_polls(broker)
    producers(broker)
    markers(broker)
    deleted_records(broker)


def look(broker, step, name, versions=(4, 11, 13), offsets=(0,)):
    """Notes what a partition shows to readers of both isolation levels."""
    for level, isolation in LEVELS.items():
        for version in versions:
            for offset in offsets:
                body = fetching(broker, partition(0, offset), name=name, IsolationLevel=isolation)
                broker.ask(f"{step}: {level} from {offset}", "Fetch", version, body)
        broker.ask(f"{step}: {level}, latest", "ListOffsets", 7, listing(name, (0, -1), isolation=isolation))


def who_wrote(broker, step, name, *partitions):
    """Notes a partition's producers."""
    body = {"Topics": [{"Name": name, "PartitionIndexes": list(partitions or (0,))}]}
    broker.ask(step, "DescribeProducers", 0, body)


def productions(broker, version):
    """Produce with a transactional id whose transaction is open, or is not."""
    name = f"isolation.produce.{version}"
    broker.create_topic(name, 2)
    producer = Producer(broker, name)

    def send(step, sequence, partition=0, now=None, transactional_id=name, **options):
        records = transactional_batch(now or producer.now, sequence, **options)
        body = request(broker, name, records, partition, transaction=transactional_id)
        return ask_settled(broker, step, "Produce", version, body)

    if version < 12:
        # Later versions would add the partition by sending to it.
        send("before it is added", 0)
        producer.add({name: [0]})
    send("first", 0)
    send("first again", 0)
    send("second", 1, values=["a", "b"])
    send("a gap", 9)
    for offset in (-1, 1):
        send(f"epoch {offset:+}", 3, now=(producer.id, producer.epoch + offset))
    send("another producer", 0, now=(producer.id + 100_000, 0))
    send("another transactional id", 3, transactional_id=f"{name}.unknown")
    send("no transactional id", 3, transactional_id=None)
    send("empty transactional id", 3, transactional_id="")
    if version < 12:
        send("a partition that is not added", 0, partition=1)
    else:
        send("another partition", 0, partition=1)
    broker.note(f"ended, v{version}", producer.end(version=4 if version < 12 else 5))
    if version < 12:
        send("after the end", 3)
        producer.add({name: [1]})
        send("of another partition's transaction", 3)
        producer.add({name: [0]})
        send("in the next transaction", 3)
    else:
        send("after the end, new epoch", 0)
        send("after the end, old epoch", 3, now=(producer.id, producer.epoch - 1))
    who_wrote(broker, f"producers v{version}", name, 0, 1)
    producer.end(commits=False, version=4 if version < 12 else 5)
    look(broker, f"after produce v{version}", name, versions=(11,))


def broken_rules(broker, version):
    """Batches that do not fit the transactional id beside them."""
    name = f"isolation.rules.{version}"
    broker.create_topic(name)
    producer = Producer(broker, name)
    producer.add({name: [0]})
    plain = {"producer_id": producer.id, "producer_epoch": producer.epoch, "base_sequence": 0}
    for step, records in (
        ("a plain batch", batch()),
        ("an idempotent batch", batch(**plain)),
        ("a control batch", transactional_batch(producer.now, 0, attributes=48)),
        ("no sequence", transactional_batch(producer.now, -1)),
        ("sequence -2", transactional_batch(producer.now, -2)),
        ("no producer", transactional_batch((-1, -1), 0)),
        ("not from the first", transactional_batch(producer.now, 5)),
        ("two batches", transactional_batch(producer.now, 0) + transactional_batch(producer.now, 1)),
    ):
        body = request(broker, name, records, transaction=name)
        answer = broker.connect().ask("Produce", version, body)
        broker.note(f"{step}, Produce v{version}", answer)
    producer.end(commits=False)


def reading(broker, version):
    """Two producers in one partition: what each reader sees, after each step, from every offset."""
    name = f"isolation.reading.{version}"
    broker.create_topic(name)
    one, other = Producer(broker, f"{name}.one"), Producer(broker, f"{name}.other")
    step = f"EndTxn v{version}"
    one.add({name: [0]})
    look(broker, f"{step}, added", name)
    one.send(name, values=["a", "b"])
    broker.main.ask("Produce", 9, request(broker, name, batch(["plain"])))
    other.add({name: [0]})
    other.send(name, values=["c"])
    look(broker, f"{step}, two open", name, offsets=(0, 2, 3, 4))
    other.end(True, version)
    look(broker, f"{step}, the later committed", name, offsets=(0, 3))
    one.send(name, values=["d"])
    one.end(False, version)
    look(broker, f"{step}, the earlier aborted", name, offsets=range(7))
    other.add({name: [0]})
    other.send(name, values=["e"])
    look(broker, f"{step}, the next one open", name, offsets=(0, 4, 7))
    other.end(False, version)
    one.add({name: [0]})
    one.end(True, version)
    look(broker, f"{step}, at last", name, versions=(4, 5, 7, 11, 12, 13, 17), offsets=(0, 1, 4, 7, 8, 9))
    who_wrote(broker, f"{step}, producers at last", name)
    for level, isolation in LEVELS.items():
        for what, timestamp in (("earliest", -2), ("newest", -3), ("at the start", START_MS), ("later", START_MS + 11)):
            for asked in (2, 7, 9):
                body = listing(name, (0, timestamp), isolation=isolation)
                broker.ask(f"{step}: {level}, {what}", "ListOffsets", asked, body)
    small = fetching(broker, partition(0, 0, size=1), name=name, IsolationLevel=1)
    broker.ask(f"{step}: committed, one byte", "Fetch", 11, small)


def long_polls(broker):
    """A reader that waits is woken by the marker; one that asks for records only, by records."""
    name = "isolation.waiting"
    broker.create_topic(name)
    producer = Producer(broker, name)
    for number, commits in enumerate((True, False)):
        producer.add({name: [0]})
        producer.send(name)
        connection = broker.connect()
        body = fetching(broker, partition(0, 2 * number), name=name, wait=4000, least=1, IsolationLevel=1)
        connection.send("Fetch", 11, body)
        time.sleep(0.05)  # It waits by then, or answers at once: the answer is the same.
        started = time.monotonic()
        producer.end(commits)
        broker.note(f"woken by a {'commit' if commits else 'abort'}", connection.receive())
        broker.note(f"woken at once by a {'commit' if commits else 'abort'}", time.monotonic() - started < 2)


def producers(broker):
    """DescribeProducers."""
    name = "isolation.producers"
    broker.create_topic(name, 2)
    who_wrote(broker, "nobody", name)
    producer = Producer(broker, name)
    producer.add({name: [0]})
    who_wrote(broker, "somebody who has sent nothing", name)
    broker.main.ask("Produce", 9, request(broker, name, batch(["plain", "plain"])))
    producer.send(name, values=["a", "b"])
    who_wrote(broker, "an open transaction", name)
    producer.end()
    who_wrote(broker, "a transaction that has ended", name)
    producer.add({name: [0]})
    producer.send(name)
    who_wrote(broker, "the next one", name)
    producer.end(False)
    who_wrote(broker, "an unknown partition", name, 0, 9, -1)
    who_wrote(broker, "an unknown topic", "isolation.unknown")
    who_wrote(broker, "a partition twice", name, 0, 0)
    broker.ask("no topic", "DescribeProducers", 0, {"Topics": []})


def markers(broker):
    """WriteTxnMarkers, as another broker's coordinator, or an administrator, sends it."""
    name = "isolation.markers"
    broker.create_topic(name, 3)
    producer = Producer(broker, name)

    def write(step, *written):
        ask_settled(broker, step, "WriteTxnMarkers", 1, {"Markers": list(written)})

    def begin():
        producer.add({name: [0]})
        producer.send(name)

    unknown = (4_000_000, 0)
    write("a producer that the partition does not know", marker(unknown, {name: [1]}))
    who_wrote(broker, "the unknown one", name, 1)
    write("again", marker(unknown, {name: [1]}, commits=False))
    begin()
    write("an older epoch", marker((producer.id, producer.epoch - 1), {name: [0]}))
    look(broker, "still open", name, versions=(11,))
    write("aborted", marker(producer.now, {name: [0]}, commits=False))
    who_wrote(broker, "aborted by a marker", name)
    write("aborted again", marker(producer.now, {name: [0]}, commits=False))
    look(broker, "aborted by a marker", name, versions=(11,))
    broker.note("the next sequence after that", producer.send(name))
    write("a newer epoch", marker((producer.id, producer.epoch + 1), {name: [0]}, coordinator_epoch=3))
    who_wrote(broker, "a newer epoch of both", name)
    write("an older coordinator", marker((producer.id, producer.epoch + 1), {name: [0]}, coordinator_epoch=2))
    write("the same coordinator", marker((producer.id, producer.epoch + 1), {name: [0]}, coordinator_epoch=3))
    write("coordinator epoch -1", marker((producer.id, producer.epoch + 1), {name: [0]}, coordinator_epoch=-1))
    write("unknown partition and topic", marker(unknown, {name: [9, 1], "isolation.unknown": [0]}))
    write("two of one producer", marker(unknown, {name: [1]}), marker(unknown, {name: [2]}, commits=False))
    write("two producers", marker(unknown, {name: [1]}), marker((4_000_001, 5), {name: [1]}))
    write("no partition", marker(unknown, {name: []}))
    write("no topic", marker(unknown, {}))
    write("nothing")
    who_wrote(broker, "producers of all partitions", name, 0, 1, 2)
    look(broker, "all markers", name, versions=(11,))


def deleted_records(broker):
    """Records of an open transaction that are deleted: what is stable begins where the log does."""
    name = "isolation.deleted"
    broker.create_topic(name)
    producer = Producer(broker, name)
    producer.add({name: [0]})
    producer.send(name, values=["a", "b", "c"])

    def delete(step, offset):
        body = {"Topics": [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Offset": offset}]}], "TimeoutMs": 5000}
        broker.ask(step, "DeleteRecords", 2, body)

    delete("deleted in part", 2)
    look(broker, "deleted in part", name, versions=(11,), offsets=(0, 2))
    delete("deleted wholly", 3)
    look(broker, "deleted wholly", name, versions=(11,), offsets=(3,))
    who_wrote(broker, "producer of deleted records", name)
    broker.note("one more record", producer.send(name))
    broker.note("deleted, then ended", producer.end())
    look(broker, "ended after records were deleted", name, versions=(11,), offsets=(3, 4))
    settled(broker, "AddPartitionsToTxn", 3, adding(producer.name, producer.now, {name: [0]}))
