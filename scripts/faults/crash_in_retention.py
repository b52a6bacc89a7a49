#!/usr/bin/env python3
"""Kills a broker while retention deletes segments and readers are at old offsets.

    scripts/faults/crash_in_retention.py [--short] [--cycles 50]

Segments of 1 MiB, retention of 4 MiB per partition, checked every 100 ms; two idempotent producers; and readers that keep
to the log's start, so that segments are deleted under them. In each cycle the broker is killed and started. Always: what is
behind the log's start is what was acknowledged there, without a hole, nothing doubled, nothing lost; the log's start never
goes back; old readers get right data or OFFSET_OUT_OF_RANGE; and the log does not grow beyond its retention.
"""

import random
import sys
import time

from load import Klamm, Load, create_topics, main, parser, stored
from probes import Fetcher

SETTINGS = {
    "log.segment.bytes": "1048576",
    "log.retention.check.interval.ms": "100",
    "log.segment.delete.delay.ms": "200",
    "auto.create.topics.enable": "false",
}
RETENTION_BYTES = 4 << 20
OFFSET_OUT_OF_RANGE = 1
# NOT_LEADER_OR_FOLLOWER and UNKNOWN_TOPIC_OR_PARTITION: just after a start.
SOON = (3, 6)


class OldReader(Fetcher):
    """Reads a partition from its start, over and over; where it is refused, further on."""

    def step(self, connection, offset):
        """One fetch; returns where to go on."""
        code, records = connection.fetch(self.partition, offset, max_bytes=300_000)
        if code == OFFSET_OUT_OF_RANGE:
            self.out_of_range += 1
            return offset + 500 if self.out_of_range % 20 else 0
        if code:
            if code not in SOON:
                self.wrong.append(f"code {code} at {offset}")
            time.sleep(0.02)
            return offset
        self.reads += 1
        first = int.from_bytes(records[:8], "big") if len(records) > 61 else offset
        # The batch that holds the offset may begin before it.
        if first > offset + 100_000 or (records and first + 10_000 < offset):
            self.wrong.append(f"a batch of offset {first} for {offset}")
        return offset + 200 if records else 0


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--cycles", type=int, default=50)
    arguments = arguments.parse_args()
    cycles = 3 if arguments.short else arguments.cycles
    with Klamm(SETTINGS) as broker:
        partitions = create_topics(broker.bootstrap, ["short"], 2, retention_bytes=RETENTION_BYTES)
        loads = [Load(broker.bootstrap, name, partitions, size=3000, pause_s=0.02) for name in ("one", "two")]
        readers = [OldReader(broker.port, partition) for partition in partitions]
        starts, wrong, checked = dict.fromkeys(partitions, 0), [], 0
        for _ in range(cycles):
            time.sleep(random.uniform(0.3, 1.0))
            broker.kill()
            broker.start()
            checked += check(broker, partitions, loads, starts, wrong)
        for client in (*loads, *readers):
            client.stop()
        broker.kill()
        broker.start()
        checked += check(broker, partitions, loads, starts, wrong)
        print(
            f"{cycles} kills, {sum(len(load.acknowledged) for load in loads)} acknowledged, {sum(starts.values())} deleted, "
            f"{sum(reader.reads for reader in readers)} old reads, {sum(reader.out_of_range for reader in readers)} refused"
        )
        promises.check("what is behind the log's start is what was acknowledged", checked, wrong)
        promises.check("segments were deleted", sum(starts.values()), [])
        promises.check("old readers get right data or OFFSET_OUT_OF_RANGE", sum(reader.reads for reader in readers),
                       [line for reader in readers for line in reader.wrong])  # fmt: skip
        time.sleep(1)
        sizes = {path.name: sum(file.stat().st_size for file in path.iterdir()) for path in broker.data.glob("short-*")}
        large = [f"{name}: {size}" for name, size in sizes.items() if size > RETENTION_BYTES + (2 << 20)]
        promises.check("the logs are no larger than their retention allows", len(sizes), large)
        lines = broker.log.read_text(errors="replace").splitlines()
        promises.check("no panic, no error", cycles, [line for line in lines if "panicked" in line or "ERROR" in line])


def check(broker, partitions, loads, starts, wrong):
    """Compares what is there with what was acknowledged; the number of records that were there."""
    promised = {}
    for load in loads:
        promised.update({where: value for value, where in load.acknowledged.copy().items()})
    found, count = stored(broker.bootstrap, partitions, wrong, moving=True), 0
    for key, records in found.items():
        if not records:
            continue
        first, last = records[0][0], records[-1][0]
        if first < starts[key]:
            wrong.append(f"{key}: the log's start went back from {starts[key]} to {first}")
        starts[key] = max(starts[key], first)
        by_offset = dict(records)
        # Retention goes on while the log is read.
        gaps = [offset for offset in range(first, last + 1) if offset not in by_offset]
        if gaps:
            wrong.append(f"{key}: {len(gaps)} offsets are missing from {gaps[0]} on")
        for (topic, partition, offset), value in promised.items():
            if (topic, partition) == key and offset >= first and by_offset.get(offset) != value and offset <= last:
                wrong.append(f"{key}@{offset}")
        behind = [where for where in promised if where[:2] == key and where[2] > last]
        if behind:
            wrong.append(f"{key}: {len(behind)} behind the end")
        values = list(by_offset.values())
        if len(values) != len(set(values)):
            wrong.append(f"{key}: doubled values")
        count += len(records)
    return count


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
