#!/usr/bin/env python3
"""Kills a broker while it compacts and readers are at old offsets, and then at every step of a swap.

    scripts/faults/crash_in_compaction.py [--short] [--cycles 50]

Segments of 1 MiB, two idempotent producers of a few keys, cleaners that never rest, DeleteRecords now and then, and readers
that keep to the log's old end. In each cycle the broker is killed and started. Always: the last value of each key is what
was acknowledged last, or what was sent after it; what is there is where it was acknowledged; offsets never go back; the
log's start is where it was; and who reads is given offsets from the one that it has asked for on, or is told
OFFSET_OUT_OF_RANGE before the log's start, and only there.

Then the files of one log are renamed one after the other, as a cleaning and its swap do, and each time the broker is killed
in front of the next rename. After each: the next start finds the same last values, nothing is left over, and Kafka's
DumpLogSegments accepts what lay there, what was on its way there, and what the start has made of it.
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from injection import FaultyKlamm
from load import PATIENCE_S, Klamm, Load, create_topics, main, parser, stored, toolchains
from probes import Connection, Fetcher

from harness.dump_log import complaints

KEYS = 40
SETTINGS = {
    "log.segment.bytes": "1048576",
    "log.retention.check.interval.ms": "100",
    "log.segment.delete.delay.ms": "200",
    "log.cleaner.backoff.ms": "50",
    "log.cleaner.min.cleanable.ratio": "0.01",
    "auto.create.topics.enable": "false",
}
OFFSET_OUT_OF_RANGE = 1
# NOT_LEADER_OR_FOLLOWER and UNKNOWN_TOPIC_OR_PARTITION: just after a start.
SOON = (3, 6)
# What is called so after a start is left over.
INTERRUPTED = (".cleaned", ".swap", ".deleted")


def number_of(value):
    """The number of a value, which tells its key."""
    return int(value.split(b":", 2)[1])


def key_of(value):
    """The key that a value was sent with: each producer has its own."""
    return value.split(b":", 1)[0], number_of(value) % KEYS


class KeyedLoad(Load):
    """A producer whose values replace older ones of the same keys."""

    def run(self):
        """Sends until told to stop, then waits for the last acknowledgements."""
        while not self.stopping.is_set():
            # A key stays in its partition.
            topic, partition = self.partitions[self.sent % KEYS % len(self.partitions)]
            value = f"{self.name}:{self.sent:09d}:".ljust(self.size, "x").encode()
            try:
                key = f"{self.name}-{self.sent % KEYS}"
                self.producer.produce(topic, value, key, partition, on_delivery=self.on_delivery)
                self.sent += 1
            except BufferError:
                self.stopping.wait(0.01)
            self.producer.poll(0)
            if self.sent % 20 == 0:
                self.stopping.wait(self.pause_s)
        self.producer.flush(PATIENCE_S)


class OldReader(Fetcher):
    """Reads a partition from the old end of its log, over and over."""

    def __init__(self, port, partition, starts):
        self.starts = starts
        super().__init__(port, partition)

    def step(self, connection, offset):
        """One fetch; returns where to go on."""
        code, records = connection.fetch(self.partition, offset, max_bytes=200_000)
        if code == OFFSET_OUT_OF_RANGE:
            self.out_of_range += 1
            if offset >= self.starts[self.partition]:
                self.wrong.append(f"{offset} is out of range, and the log starts at {self.starts[self.partition]}")
            return self.starts[self.partition]
        if code:
            if code not in SOON:
                self.wrong.append(f"code {code} at {offset}")
            time.sleep(0.02)
            return offset
        self.reads += 1
        following, at = offset, 0
        while at + 61 <= len(records):
            first = int.from_bytes(records[at : at + 8], "big")
            last = first + int.from_bytes(records[at + 23 : at + 27], "big")
            if last < following:
                self.wrong.append(f"a batch that ends at {last} for {following}")
            following = last + 1
            at += 12 + int.from_bytes(records[at + 8 : at + 12], "big")
        # From before the log's start on, when its end is reached.
        return following if records else max(0, self.starts[self.partition] - random.randrange(200))


def last_values(records):
    """The last value of each key, with its offset."""
    return {key_of(value): (offset, value) for offset, value in records}


def check(broker, partitions, loads, starts, wrong):
    """Compares what is there with what was acknowledged; the number of records that were there."""
    acknowledged = [(where, value) for load in loads for value, where in load.acknowledged.copy().items()]
    found, count = stored(broker.bootstrap, partitions, wrong, moving=True), 0
    for partition in partitions:
        records, start = found[partition], starts[partition]
        count += len(records)
        offsets = [offset for offset, _ in records]
        if offsets != sorted(set(offsets)):
            wrong.append(f"{partition}: offsets go back")
        if offsets and offsets[0] < start:
            wrong.append(f"{partition}: the log starts at {offsets[0]}, not at {start}")
        place, last = {value: offset for offset, value in records}, last_values(records)
        promised = sorted((where[2], value) for where, value in acknowledged if where[:2] == partition)
        wrong += [f"{value[:20]} moved" for offset, value in promised if place.get(value, offset) != offset]
        for key, (offset, value) in last_values(promised).items():
            if offset >= start and (key not in last or number_of(last[key][1]) < number_of(value)):
                wrong.append(
                    f"{partition}@{offset}: {value[:20]} was the last one of {key}, and there is {last.get(key)}"
                )
    return count


def delete_records(broker, partitions, loads, starts):
    """Lets each log begin in the middle of what was acknowledged."""
    connection = Connection(broker.port)
    for partition in partitions:
        last = max(
            (where[2] for load in loads for where in load.acknowledged.copy().values() if where[:2] == partition)
        )
        # Noted before, since readers may be told so before the answer.
        starts[partition] = max(starts[partition], last // 2)
        while connection.delete_records(partition, starts[partition], PATIENCE_S * 1000) in SOON:
            time.sleep(0.02)


def wait_until_acknowledged(partitions, loads):
    """Waits until each partition holds something: a producer whose first requests are all killed has nothing to lose."""
    deadline = time.monotonic() + PATIENCE_S
    while {where[:2] for load in loads for where in load.acknowledged.copy().values()} != set(partitions):
        if time.monotonic() > deadline:
            raise RuntimeError("no partition takes anything")
        time.sleep(0.01)


def run_under_load(promises, cycles):
    """Kills at random moments."""
    with Klamm(SETTINGS) as broker:
        partitions = create_topics(broker.bootstrap, ["compacted"], 2, cleanup_policy="compact,delete", retention_ms=-1)
        loads = [KeyedLoad(broker.bootstrap, name, partitions, size=3000, pause_s=0.01) for name in ("one", "two")]
        starts, wrong, checked = dict.fromkeys(partitions, 0), [], 0
        readers = [OldReader(broker.port, partition, starts) for partition in partitions]
        wait_until_acknowledged(partitions, loads)
        for cycle in range(cycles):
            time.sleep(random.uniform(0.3, 1.0))
            broker.kill()
            broker.start()
            checked += check(broker, partitions, loads, starts, wrong)
            if cycle % 5 == 2:
                delete_records(broker, partitions, loads, starts)
        for client in (*loads, *readers):
            client.stop()
        broker.kill()
        broker.start()
        left = check(broker, partitions, loads, starts, wrong)
        sent, refused = sum(len(load.acknowledged) for load in loads), sum(reader.out_of_range for reader in readers)
        print(f"{cycles} kills, {sent} acknowledged, {left} left, {sum(reader.reads for reader in readers)} old reads, "
              f"{refused} refused")  # fmt: skip
        promises.check("the last value of each key is the one that was acknowledged last", checked + left, wrong)
        promises.check("logs were compacted", sent, [] if left < sent - sum(starts.values()) else [f"{left} left"])
        reads, misread = sum(reader.reads for reader in readers), [line for reader in readers for line in reader.wrong]
        promises.check("old readers get what follows, or OFFSET_OUT_OF_RANGE before the start", reads, misread)
        lines = broker.log.read_text(errors="replace").splitlines()
        promises.check("no panic, no error", cycles, [line for line in lines if "panicked" in line or "ERROR" in line])


def keep_state(folder, kept, step):
    """Copies what is in a log's folder for the judge: the segments, and those that were on their way."""
    for suffix, name in (("", "left"), (".swap", "swapping"), (".cleaned", "cleaned")):
        copy = kept / f"{name}-{step}"
        for path in folder.glob(f"*.log{suffix}"):
            copy.mkdir(parents=True, exist_ok=True)
            offset = path.name.split(".", 1)[0]
            for kind in (".log", ".index", ".timeindex", ".txnindex", ".snapshot"):
                # An index follows its segment, and in between has the older name.
                files = [folder / f"{offset}{kind}{ending}" for ending in {suffix, ".cleaned" if suffix else ""}]
                for file in filter(Path.exists, files):
                    shutil.copy(file, copy / f"{offset}{kind}")


def cleanings(broker):
    """How many cleanings of the log there were."""
    return broker.log_text.count("compacted a log partition=swapped-0")


def wait_for_rename(broker, folder, before):
    """Whether a rename waits; not where a cleaning is done, and all that it has replaced is gone."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if broker.hits("rename"):
            return True
        if cleanings(broker) > before and not any(folder.glob("*.deleted")):
            return False
        time.sleep(0.01)
    raise RuntimeError(f"nothing was compacted: {sorted(path.name for path in folder.iterdir())}")


def fill(broker, partition, folder, segments):
    """Adds segments to the log."""
    count = len(list(folder.glob("*.log"))) + segments
    load = KeyedLoad(broker.bootstrap, "one", [partition], size=3000, pause_s=0.1)
    load.sent = broker.sent
    while len(list(folder.glob("*.log"))) < count:
        time.sleep(0.01)
    load.stop()
    broker.sent = load.sent


def make_pristine(broker, folder):
    """A log of small segments that were cleaned, which a cleaning makes one, and of a large one; what its last values are."""
    with broker:
        [partition] = create_topics(broker.bootstrap, ["swapped"], 1, cleanup_policy="compact")
        broker.sent = 0
        fill(broker, partition, folder, 2)
        broker.stop()
        broker.settings["log.cleaner.enable"] = "true"
        broker.start()
        wait_for_rename(broker, folder, 0)
        broker.stop()
        broker.settings["log.cleaner.enable"] = "false"
        broker.start()
        fill(broker, partition, folder, 1)
        expected = last_values(stored(broker.bootstrap, [partition], [])[partition])
        broker.stop()
    return partition, expected


def run_at_every_step(promises, directory):
    """Kills in front of each rename of one cleaning."""
    broker = FaultyKlamm({**SETTINGS, "log.cleaner.enable": "false"}, directory)
    pristine, folder, kept = directory / "pristine", broker.data / "swapped-0", directory / "kept"
    partition, expected = make_pristine(broker, folder)
    shutil.copytree(broker.data, pristine)
    broker.settings["log.cleaner.enable"] = "true"
    wrong, left_over, step = [], [], 0
    while True:
        shutil.rmtree(broker.data)
        shutil.copytree(pristine, broker.data)
        before = cleanings(broker)
        broker.arm("rename", "/swapped-0/0", after=step, delay_ms=600_000)
        with broker:
            if not wait_for_rename(broker, folder, before):
                break
        broker.disarm()
        keep_state(folder, kept, step)
        with broker:
            found = stored(broker.bootstrap, [partition], wrong)[partition]
            wrong += [] if last_values(found) == expected else [f"step {step}: the last values differ"]
            wait_for_rename(broker, folder, cleanings(broker) - 1)
            broker.stop()
        left_over += [path.name for path in folder.iterdir() if path.name.endswith(INTERRUPTED)]
        keep_state(folder, kept, f"{step}9999")
        step += 1
    print(f"killed in front of each of {step} renames")
    promises.check("after a kill at any step of a cleaning the last values are the same", step, wrong)
    promises.check("nothing is left over", step, left_over)
    # Each new segment has two names before its own, and each old one gives its name up, of three files each.
    promises.check("every rename of two swaps was one", step, [] if step >= 3 * (2 * 2 + 3) else [f"only {step}"])
    judge(promises, kept, step)


def judge(promises, kept, step):
    """Has Kafka's own program read all that was there."""
    try:
        toolchains.kafka_classpath()
    except toolchains.Missing as missing:
        print(f"SKIP crash_in_compaction: DumpLogSegments ({missing})")
        return
    complaint = complaints(kept)
    folders = len(list(kept.iterdir()))
    promises.check("DumpLogSegments accepts each state", folders if folders > 2 * step else 0, complaint.splitlines())


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--cycles", type=int, default=50)
    arguments = arguments.parse_args()
    run_under_load(promises, 3 if arguments.short else arguments.cycles)
    with tempfile.TemporaryDirectory(prefix="klamm-compaction-") as directory:
        run_at_every_step(promises, Path(directory))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
