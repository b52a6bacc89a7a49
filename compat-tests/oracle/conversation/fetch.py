"""Fetch: offsets, limits, waiting, epochs, sessions."""

import time
import uuid

from batches import batch

from conversation.produce import request

NAME = "fetch.topic"


def partition(index, offset, size=1_000_000, epoch=-1, last_epoch=-1):
    """One partition of a Fetch request."""
    return {
        "Partition": index,
        "CurrentLeaderEpoch": epoch,
        "FetchOffset": offset,
        "LastFetchedEpoch": last_epoch,
        "LogStartOffset": -1,
        "PartitionMaxBytes": size,
    }


def body(broker, *partitions, name=NAME, wait=0, least=0, most=50_000_000, session=(0, -1), **others):
    """A Fetch request for partitions of one topic."""
    topic = {"Topic": name, "TopicId": broker.topic_ids.get(name, uuid.UUID(int=99)), "Partitions": list(partitions)}
    fields = {
        "ReplicaId": -1,
        "MaxWaitMs": wait,
        "MinBytes": least,
        "MaxBytes": most,
        "Topics": [topic] if partitions else [],
    }
    return {**fields, "SessionId": session[0], "SessionEpoch": session[1], **others}


def talk(broker):
    """Runs the section."""
    broker.create_topic(NAME, 3)
    for values in (["a", "b"], ["c"], ["d", "e", "f"]):
        broker.main.ask("Produce", 9, request(broker, NAME, batch(values)))
    broker.main.ask("Produce", 9, request(broker, NAME, batch(["x", "y"], codec="gzip"), 1))
    for version in broker.versions("Fetch", 5, 7, 11, 12, 13, 16):
        reading(broker, version)
        refused(broker, version)
        if version >= 7:
            sessions(broker, version)
    waiting(broker)


def reading(broker, version):
    """Good reads with different limits."""

    def fetch(step, *arguments, **options):
        broker.ask(step, "Fetch", version, body(broker, *arguments, **options))

    for offset in (0, 1, 2, 5, 6):
        fetch(f"from {offset}", partition(0, offset))
    fetch("several partitions", partition(0, 3), partition(1, 0), partition(2, 0))
    fetch("committed only", partition(0, 0), IsolationLevel=1)
    fetch("one byte of the partition", partition(0, 0, size=1))
    fetch("0 bytes of the partition", partition(0, 0, size=0))
    fetch("one byte in all", partition(0, 0), partition(1, 0), most=1)
    fetch("0 bytes in all", partition(0, 0), most=0)
    fetch("all bytes", partition(0, 0, size=2**31 - 1), most=2**31 - 1)
    fetch("one and a half batches", partition(0, 0, size=100))
    fetch("more at least than at most", partition(0, 0), least=1000, most=10, wait=10)
    fetch("nothing", most=100)


def refused(broker, version):
    """Offsets, partitions, topics and epochs that are not there."""

    def fetch(step, *arguments, **options):
        broker.ask_alone(step, "Fetch", version, body(broker, *arguments, **options))

    for offset in (-1, -5, 7, 2**62):
        fetch(f"from {offset}", partition(0, offset))
    fetch("unknown partition", partition(9, 0), partition(0, 5))
    fetch("partition -1", partition(-1, 0))
    fetch("unknown topic", partition(0, 0), name="fetch.unknown")
    fetch("a partition twice", partition(0, 0), partition(0, 3))
    fetch("negative sizes", partition(0, 0, size=-1), most=-1)
    fetch("isolation level 5", partition(0, 0), IsolationLevel=5)
    if version >= 9:
        fetch("newer leader epoch", partition(0, 0, epoch=8))
        fetch("this leader epoch", partition(0, 0, epoch=0))
    if version >= 12:
        fetch("last epoch newer", partition(0, 0, last_epoch=5))
        fetch("last epoch right", partition(0, 3, last_epoch=0))
        fetch("other cluster", partition(0, 0), ClusterId="not this one")


def sessions(broker, version):
    """Incremental fetch sessions."""
    identity, api = broker.topic_ids[NAME], "Fetch"

    def fetch(step, *arguments, **options):
        return broker.ask(f"session: {step}", api, version, body(broker, *arguments, **options))

    answer = fetch("new", partition(0, 3), partition(1, 2), partition(2, 0), session=(0, 0))
    session = answer["SessionId"]
    fetch("nothing changed", session=(session, 1))
    fetch("moved on", partition(0, 6), session=(session, 2))
    fetch("an old epoch", session=(session, 1))
    fetch("an epoch ahead", session=(session, 9))
    forgotten = [{"Topic": NAME, "TopicId": identity, "Partitions": [1, 2]}]
    fetch("forgotten", session=(session, 3), ForgottenTopicsData=forgotten)
    fetch("a partition is back", partition(1, 0), session=(session, 4))
    fetch("with an unknown partition", partition(8, 0), session=(session, 5))
    fetch("unknown session", session=(12345, 1))
    fetch("unknown session, full", partition(0, 5), session=(12345, 0))
    fetch("closed", session=(session, -1))
    fetch("after its end", session=(session, 6))


def waiting(broker):
    """A long poll ends by its time or by a record; it does not hold other connections up."""
    started = time.monotonic()
    broker.ask("waits its time", "Fetch", 12, body(broker, partition(0, 6), wait=300, least=1))
    broker.note("waited about its time", 0.25 < time.monotonic() - started < 2)
    connection = broker.connect()
    connection.send("Fetch", 12, body(broker, partition(2, 0), wait=10_000, least=1))
    broker.ask("another connection meanwhile", "Metadata", 1, {"Topics": []})
    started = time.monotonic()
    broker.main.ask("Produce", 9, request(broker, NAME, batch(["late"]), 2))
    broker.note("woken by a record", connection.receive())
    broker.note("woken at once", time.monotonic() - started < 2)
    started = time.monotonic()
    broker.ask(
        "an error does not wait", "Fetch", 12, body(broker, partition(0, 99), partition(1, 9), wait=5000, least=1)
    )
    broker.note("answered at once", time.monotonic() - started < 2)
