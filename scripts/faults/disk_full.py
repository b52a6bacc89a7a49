#!/usr/bin/env python3
"""Fills the disk under a broker, three times, and makes room again in three ways.

    scripts/faults/disk_full.py [--short] [--fs tmpfs,ext4] [--mib 48]

Two idempotent producers write until nothing more is acknowledged. Room is made by DeleteRecords, by DeleteTopics, and by
removing a file of somebody else. While the disk is full: Produce answers KAFKA_STORAGE_ERROR, a log line says what to do,
everything can be read, the broker lives. When there is room, the producers go on by themselves within ten seconds. At the
end, and again after `kill -9`: nothing acknowledged is lost, nothing is doubled, and a topic that was created while the
disk was full works if its creation was acknowledged.
"""

import sys
import time
import uuid

from disks import LoopDisk, SmallDisk
from load import (
    PATIENCE_S,
    QUICK,
    KafkaError,
    KafkaException,
    Klamm,
    Load,
    Producer,
    TopicPartition,
    admin,
    create_topics,
    delete_topics,
    main,
    parser,
    stored,
    violations,
)

# Deleted segments give their room back soon.
SETTINGS = {"log.segment.bytes": "1048576", "log.segment.delete.delay.ms": "500", "auto.create.topics.enable": "false"}
FULL_AFTER_S = 1.5
RECOVERS_WITHIN_S = 10


def wait_until_full(broker, loads):
    """Waits until nothing is acknowledged any more."""
    count, since, deadline = -1, time.monotonic(), time.monotonic() + PATIENCE_S
    while time.monotonic() - since < FULL_AFTER_S:
        if broker.process.poll() is not None:
            raise RuntimeError(f"the broker ended:\n{broker.log_tail()}")
        if time.monotonic() > deadline:
            raise RuntimeError("the disk does not get full")
        now = acknowledged(loads)
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.05)


def acknowledged(loads):
    """How many records were acknowledged."""
    return sum(len(load.acknowledged) for load in loads)


def refusal(bootstrap, partition, tries=200):
    """The name of the error that a producer without retries gets, at the latest after so many records; "none" without."""
    errors = []
    options = {"bootstrap.servers": bootstrap, "retries": 0, "message.timeout.ms": 10_000, "acks": "all"}
    producer = Producer({**options, **QUICK})
    for _ in range(tries):
        # No two are equal: what is stored twice is looked for.
        value = uuid.uuid4().hex * 625
        producer.produce(partition[0], value, partition=partition[1], on_delivery=lambda error, _: errors.append(error))
        producer.flush(PATIENCE_S)
        if errors[-1] is not None:
            return errors[-1].name()
    return "none"


def seconds_until_progress(loads):
    """How long it takes until more is acknowledged; at most twice as long as it may."""
    count, started = acknowledged(loads), time.monotonic()
    while acknowledged(loads) < count + 100 and time.monotonic() - started < 2 * RECOVERS_WITHIN_S:
        time.sleep(0.01)
    return time.monotonic() - started


def delete_records(bootstrap, partition):
    """Deletes all records of a partition, again while the broker cannot."""
    client, deadline = admin(bootstrap), time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.delete_records([TopicPartition(*partition, -1)])[TopicPartition(*partition)].result(
                PATIENCE_S
            )
        except KafkaException as error:
            print(f"    DeleteRecords: {error.args[0].name()}", flush=True)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def create_while_full(bootstrap):
    """Whether the creation of a topic is acknowledged while nothing can be written."""
    try:
        create_topics(bootstrap, ["late"], 1)
        return True
    except KafkaException as error:
        print(f"    CreateTopics: {error.args[0].name()}", flush=True)
        return False


def prepare(broker, disk, mib):
    """Topics with something to be deleted, and a file of somebody else."""
    bootstrap = broker.bootstrap
    kept = create_topics(bootstrap, ["kept"], 3)
    spare = [*create_topics(bootstrap, ["trimmed"], 1), *create_topics(bootstrap, ["deleted"], 1)]
    (disk.path / "ballast").write_bytes(b"x" * (mib << 20 >> 3))
    filler = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5})
    for topic, partition in spare:
        for _ in range(mib << 20 >> 3 >> 14):
            filler.produce(topic, b"x" * (1 << 14), partition=partition)
        filler.flush(PATIENCE_S)
    return kept


def run_on(promises, disk, mib):
    """Fills one file system three times."""
    broker = Klamm(SETTINGS, disk.home)
    broker.data = disk.path / "data"
    with broker:
        bootstrap = broker.bootstrap
        kept = prepare(broker, disk, mib)
        # What waits in them when there is room again must not fill it.
        few = {"queue_buffering_max_messages": 500}
        loads = [Load(bootstrap, name, kept, size=1500, **few) for name in ("one", "two")]
        ways = {
            "DeleteRecords": lambda: delete_records(bootstrap, ("trimmed", 0)),
            "DeleteTopics": lambda: delete_topics(bootstrap, ["deleted"]),
            "somebody else": (disk.path / "ballast").unlink,
        }
        refusals, waits, unread, late = [], [], [], False
        for name, make_room in ways.items():
            wait_until_full(broker, loads)
            refusals.append(refusal(bootstrap, kept[0]))
            found = stored(bootstrap, kept, [])
            if sum(map(len, found.values())) < acknowledged(loads):
                unread.append(name)
            late = late or (name == "somebody else" and create_while_full(bootstrap))
            make_room()
            waits.append(seconds_until_progress(loads))
            print(
                f"full with {acknowledged(loads)} acknowledged: {refusals[-1]}; goes on {waits[-1]:.2f} s after {name}"
            )
        for load in loads:
            load.stop()
        wrong = [code for code in refusals if code != KafkaError(KafkaError.KAFKA_STORAGE_ERROR).name()]
        promises.check("a full disk answers KAFKA_STORAGE_ERROR", len(refusals), wrong)
        promises.check("everything is readable meanwhile", len(refusals), unread)
        slow = [wait for wait in waits if wait > RECOVERS_WITHIN_S]
        promises.check(f"producing goes on by itself within {RECOVERS_WITHIN_S} s", len(waits), slow)
        lines = [line for line in broker.log.read_text(errors="replace").splitlines() if "No space left" in line]
        silent = [] if any("free" in line for line in lines) else lines[:1] or ["no line at all"]
        promises.check("a log line says what to do", len(lines), silent)
        promises.check_all(violations(bootstrap, kept, loads))
        broker.kill()
        broker.start()
        print("---- after kill -9")
        promises.check_all(violations(bootstrap, kept, loads))
        if late:
            refused = refusal(bootstrap, ("late", 0), tries=1)
            promises.check("a topic that was created meanwhile works", 1, [] if refused == "none" else [refused])


def run(promises):
    """Runs all that the arguments name."""
    arguments = parser(__doc__)
    arguments.add_argument("--fs", default="tmpfs,ext4")
    arguments.add_argument("--mib", type=int, default=48)
    arguments = arguments.parse_args()
    for kind in ["tmpfs"] if arguments.short else arguments.fs.split(","):
        print(f"---- {kind} of {arguments.mib} MiB", flush=True)
        size = arguments.mib << 20
        with SmallDisk(size) if kind == "tmpfs" else LoopDisk(kind, size) as disk:
            run_on(promises, disk, arguments.mib)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
