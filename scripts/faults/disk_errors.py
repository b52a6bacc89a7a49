#!/usr/bin/env python3
"""Has writes, fsyncs and reads of a broker fail with EIO, and checks what the clients were promised.

    scripts/faults/disk_errors.py [--short] [--syncs 20]

A write that fails (rows F10 of the fault table): the producer is told KAFKA_STORAGE_ERROR, the process ends with status 1
and says why. The Nth fsync that fails, for N from 1 on (F11), of a partition's files or of the metadata: nothing is
acknowledged that the fsync should have covered, it is not tried again, and the process ends with status 1. A read that
fails (F12): KAFKA_STORAGE_ERROR for that partition and never OFFSET_OUT_OF_RANGE; others are served, and that partition
too once the disk is well. After each of them a new start has everything that was acknowledged, and the producers that
have lived through it double nothing.
"""

import sys
import time

from injection import FaultyKlamm, drop_from_page_cache
from load import (
    PATIENCE_S,
    QUICK,
    Consumer,
    KafkaError,
    KafkaException,
    Load,
    TopicPartition,
    create_topics,
    main,
    parser,
    stored,
    violations,
)
from probes import Connection

SETTINGS = {"log.segment.bytes": "1048576", "auto.create.topics.enable": "false"}
ENDS_WITHIN_S = 10
KAFKA_STORAGE_ERROR = 56


def wait_for_progress(loads, count=100):
    """Waits until each producer has some more acknowledgements."""
    for load in loads:
        before, deadline = len(load.acknowledged), time.monotonic() + PATIENCE_S
        while len(load.acknowledged) < before + count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{load.name} gets no acknowledgements: {load.failed[:3]}")
            time.sleep(0.005)


def end_by(promises, what, broker, kind, pattern, after=0, act=None):
    """One broker that ends because calls fail; what it has acknowledged is there after a new start."""
    bad, good = (
        create_topics(broker.bootstrap, ["bad"], 1, flush_messages=1),
        create_topics(broker.bootstrap, ["good"], 2),
    )
    # It may give up: what it is told is looked at, and what was acknowledged.
    frank = Load(broker.bootstrap, "frank", bad, retries=0, enable_idempotence=False, pause_s=0.02)
    loads = [Load(broker.bootstrap, name, [*bad, *good], pause_s=0.02) for name in ("one", "two")]
    wait_for_progress(loads)
    broker.arm(kind, pattern, error="EIO", after=after)
    if act is not None:
        act(broker)
    status = broker.exit_status(ENDS_WITHIN_S)
    hits = broker.hits(kind)
    broker.kill()
    broker.disarm()
    frank.abandon()
    wrong = [] if status == 1 else [f"status {status}"]
    if "Input/output error" not in broker.log_text:
        wrong.append("no line in the log")
    if kind == "sync" and hits > 1:
        # Two partitions may fail at the same moment; a second try for the same one may not be.
        print(f"    {hits} fsyncs failed")
    promises.check(f"{what}: the broker ends with status 1 and says why", hits, wrong)
    broker.start()
    wait_for_progress(loads)
    for load in loads:
        load.stop()
    frank.failed.clear()
    promises.check_all(violations_of(what, broker.bootstrap, [*bad, *good], [*loads, frank]))


def violations_of(what, bootstrap, partitions, loads):
    """The promises about the data, named after the fault."""
    for promise, tested, violated in violations(bootstrap, partitions, loads):
        yield f"{what}: {promise}", tested, violated


def refused_write(promises):
    """A write of a partition fails."""
    with FaultyKlamm(SETTINGS) as broker:
        end_by(promises, "write", broker, "write", "/bad-0/0")
        text = broker.log_text
        promises.check("write: the log says what to do", 1, [] if "look at the disk" in text else [text[-500:]])


def refused_syncs(promises, count):
    """The Nth fsync fails: of the partitions', and of the metadata's when a topic is created."""
    for after in range(count):
        with FaultyKlamm(SETTINGS) as broker:
            end_by(promises, f"fsync {after + 1}", broker, "sync", "-0/", after)
    with FaultyKlamm(SETTINGS) as broker:
        acknowledged = []

        def create(broker):
            try:
                create_topics(broker.bootstrap, ["doubtful"], 1)
                acknowledged.append("doubtful")
            except KafkaException as error:
                print(f"    CreateTopics: {error.args[0].name()}")

        end_by(promises, "fsync of the metadata", broker, "sync", "/metadata/", act=create)
        promises.check("fsync of the metadata: CreateTopics is not acknowledged", 1, acknowledged)


def read_codes(bootstrap, partition, for_s=1.0):
    """What a consumer that begins at the log's start gets: the number of records, and the errors' names."""
    options = {"bootstrap.servers": bootstrap, "group.id": "reads", "enable.auto.commit": False}
    consumer = Consumer({**options, **QUICK, "auto.offset.reset": "error", "fetch.error.backoff.ms": 50})
    consumer.assign([TopicPartition(*partition, 0)])
    count, codes, deadline = 0, set(), time.monotonic() + for_s
    while time.monotonic() < deadline:
        for message in consumer.consume(1000, timeout=0.1):
            if message.error() is None:
                count += 1
            else:
                codes.add(message.error().name())
    consumer.close()
    return count, codes


def refused_reads(promises):
    """Reads of a partition fail where they need the disk."""
    with FaultyKlamm(SETTINGS) as broker:
        bad, good = create_topics(broker.bootstrap, ["bad"], 1), create_topics(broker.bootstrap, ["good"], 1)
        load = Load(broker.bootstrap, "one", [*bad, *good], size=2000)
        wait_for_progress([load], 4000)
        load.stop()
        drop_from_page_cache(broker.data)
        broker.arm("read", "/bad-0/", error="EIO")
        drop_from_page_cache(broker.data / "bad-0")
        code, _ = Connection(broker.port).fetch(bad[0], 0)
        promises.check("read: Fetch answers KAFKA_STORAGE_ERROR", 1, [] if code == KAFKA_STORAGE_ERROR else [code])
        count, codes = read_codes(broker.bootstrap, bad[0])
        hits = broker.hits("read")
        print(f"    {hits} reads failed; a consumer got {count} records and {sorted(codes) or 'no error'}")
        # librdkafka tells its user of errors other than those after which it tries again.
        wrong = codes - {KafkaError(KafkaError.KAFKA_STORAGE_ERROR).name()}
        promises.check("read: a consumer is told of no other error", hits, wrong)
        promises.check("read: nothing is skipped", 1, [count] if count else [])
        promises.check(
            "read: other partitions are served", 1, [] if read_codes(broker.bootstrap, good[0])[0] else ["nothing"]
        )
        broker.disarm()
        expected = sum(key == bad[0] for key in map(lambda where: where[:2], load.acknowledged.values()))
        found = len(stored(broker.bootstrap, bad, [])[bad[0]])
        promises.check(
            "read: the partition is served when the disk is well", expected, [found] if found != expected else []
        )
        promises.check("read: the broker lives", 1, [] if broker.process.poll() is None else [broker.log_tail()])


def run(promises):
    """Runs all of it."""
    arguments = parser(__doc__)
    arguments.add_argument("--syncs", type=int, default=20)
    arguments = arguments.parse_args()
    refused_write(promises)
    refused_syncs(promises, 1 if arguments.short else arguments.syncs)
    refused_reads(promises)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
