#!/usr/bin/env python3
"""Has a broker do everything at once for a long time, and looks whether it gets fatter.

    scripts/faults/soak.py [--short] [--minutes 10]

Idempotent producers with each codec, a plain one, a reader that keeps reading all from the start, groups whose members come
and go, topics that are created, enlarged, configured and deleted, records deleted, connections opened and closed, retention
of small segments. At the end, with all clients gone: sockets are back to what they were and open files within what the data
needs, resident memory has grown by less than 5% over the second half (of a run of ten minutes or more), the logs are no
larger than their retention allows, no line of the log is an error, nothing acknowledged is lost or doubled.
"""

import os
import socket
import sys
import threading
import time
from pathlib import Path

from load import (
    PATIENCE_S,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    KafkaException,
    Klamm,
    Load,
    Reader,
    ResourceType,
    TopicPartition,
    admin,
    create_topics,
    delete_topics,
    main,
    parser,
    stored,
    violations,
)

SETTINGS = {
    "log.segment.bytes": "1048576",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "auto.create.topics.enable": "false",
}
RETENTION_BYTES = 8 << 20
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# A measurement of less than this is noise.
MEANINGFUL_MINUTES = 10


class Chores:
    """A thread that repeats `work` until told to stop; failures are remembered."""

    def __init__(self, work, every_s):
        self.work = work
        self.every_s = every_s
        self.done = 0
        self.failed = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Goes on until told to stop."""
        while not self.stopping.wait(self.every_s):
            try:
                self.work(self.done)
                self.done += 1
            except (KafkaException, RuntimeError, OSError) as error:
                self.failed.append(f"{self.work.__name__}: {error}")

    def stop(self):
        """Ends it."""
        self.stopping.set()
        self.thread.join()


def chores(broker, partitions):
    """All that is done besides producing."""
    bootstrap = broker.bootstrap

    def visit_group(number):
        reader = Reader(bootstrap, ["kept-lz4", "rolled"], group=f"visitors-{number % 5}")
        time.sleep(1)
        reader.stop()

    def make_topic(number):
        topic = f"made-{number}"
        create_topics(bootstrap, [topic], 3)
        entry = ConfigEntry("retention.ms", "1000000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        client = admin(bootstrap)
        for future in client.incremental_alter_configs([resource]).values():
            future.result(PATIENCE_S)
        load = Load(bootstrap, f"made-{number}", [(topic, 0), (topic, 1)])
        time.sleep(0.2)
        load.stop()
        delete_topics(bootstrap, [topic])

    def delete_records(_):
        client, wanted = admin(bootstrap), TopicPartition("trimmed", 0, -1)
        for future in client.delete_records([wanted]).values():
            future.result(PATIENCE_S)

    def knock(_):
        for _ in range(20):
            socket.create_connection(("127.0.0.1", broker.port)).close()

    def read_all(_):
        stored(bootstrap, partitions, [])

    def describe(_):
        client = admin(bootstrap)
        client.list_topics(timeout=PATIENCE_S)
        client.list_consumer_groups().result(PATIENCE_S)

    every = [(visit_group, 0.5), (make_topic, 1), (delete_records, 2), (knock, 0.5), (read_all, 5), (describe, 1)]
    return [Chores(work, seconds) for work, seconds in every]


def resident_kib(broker):
    """The process's resident memory."""
    text = Path(f"/proc/{broker.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def sockets(broker):
    """How many sockets the process has open."""
    folder, found = Path(f"/proc/{broker.process.pid}/fd"), 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(folder / name).startswith("socket")
        except FileNotFoundError:
            continue
    return found


def threads(broker):
    """How many threads the process has."""
    return len(os.listdir(f"/proc/{broker.process.pid}/task"))


def growth(samples):
    """By which part a straight line through the second half of the samples rises over that half."""
    half = samples[len(samples) // 2 :]
    count, mean = len(half), sum(half) / len(half)
    middle = (count - 1) / 2
    slope = sum((at - middle) * (value - mean) for at, value in enumerate(half)) / sum(
        (at - middle) ** 2 for at in range(count)
    )
    return slope * count / mean


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=MEANINGFUL_MINUTES)
    arguments = arguments.parse_args()
    minutes = 0.1 if arguments.short else arguments.minutes
    with Klamm(SETTINGS) as broker:
        kept = [key for codec in CODECS for key in create_topics(broker.bootstrap, [f"kept-{codec}"], 2)]
        rolled = create_topics(broker.bootstrap, ["rolled", "trimmed"], 2, retention_bytes=RETENTION_BYTES)
        base = sockets(broker)
        # What is kept and compared at the end grows with the time: it comes slowly.
        loads = []
        for codec in CODECS:
            mine = [key for key in kept if key[0].endswith(codec)]
            loads.append(Load(broker.bootstrap, f"load-{codec}", mine, pause_s=0.5, compression_type=codec))
        fast = Load(broker.bootstrap, "fast", rolled, size=1000, pause_s=0.02, enable_idempotence=False)
        fast.acknowledged = Forgetful()
        reader = Reader(broker.bootstrap, [f"kept-{codec}" for codec in CODECS])
        others, samples = chores(broker, kept), []
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            time.sleep(1)
            samples.append(resident_kib(broker))
            if len(samples) % 60 == 0:
                done = {chore.work.__name__: chore.done for chore in others}
                print(
                    f"minute {len(samples) // 60}: {samples[-1] >> 10} MiB, {threads(broker)} threads, {done}",
                    flush=True,
                )
        for client in [*others, *loads, fast, reader]:
            client.stop()
        time.sleep(3)
        print(f"{fast.sent + sum(load.sent for load in loads)} records, {sum(chore.done for chore in others)} chores, "
              f"{min(samples) >> 10} to {max(samples) >> 10} MiB, second half {growth(samples):+.1%}")  # fmt: skip
        failed = [line for chore in others for line in chore.failed]
        promises.check("every chore is done", sum(chore.done for chore in others), failed)
        fat = [f"{growth(samples):+.1%}"] if minutes >= MEANINGFUL_MINUTES and growth(samples) > 0.05 else []
        promises.check("resident memory does not grow", len(samples), fat)
        deadline = time.monotonic() + 10
        while sockets(broker) > base and time.monotonic() < deadline:
            time.sleep(0.1)
        promises.check(
            "sockets are closed", base, [f"{sockets(broker)} after {base}"] if sockets(broker) > base else []
        )
        sizes = {
            path.name: sum(file.stat().st_size for file in path.iterdir()) for path in broker.data.glob("rolled-*")
        }
        large = [f"{name}: {size}" for name, size in sizes.items() if size > RETENTION_BYTES + (3 << 20)]
        promises.check("logs are no larger than their retention allows", len(sizes), large)
        promises.check_all(violations(broker.bootstrap, kept, loads, reader))
        lines = broker.log.read_text(errors="replace").splitlines()
        promises.check("no errors in the log", 1, [line for line in lines if "ERROR" in line or "panicked" in line])


class Forgetful(dict):
    """Takes acknowledgements and keeps none."""

    def __setitem__(self, key, value):
        pass


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
