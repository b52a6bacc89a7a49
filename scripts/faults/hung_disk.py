#!/usr/bin/env python3
"""Freezes the disk under a broker that is written to, and asks it meanwhile for what needs no disk.

    scripts/faults/hung_disk.py [--short] [--fs ext4,xfs] [--seconds 30] [--producers 4]

While the file system is frozen (as fsfreeze does) and the producers' records wait for it, ApiVersions, Metadata, a member's
heartbeats and fetches of another partition, which is in the page cache, are asked for ten times a second: each is answered
within 100 ms. After the thaw the producers go on, nothing acknowledged is lost and nothing is doubled. What a fetch of a
partition that is written to takes is told, and not promised.
"""

import sys
import time

from disks import LoopDisk
from load import PATIENCE_S, Klamm, Load, create_topics, main, parser, violations
from probes import late, probes

SETTINGS = {"log.segment.bytes": "16777216", "auto.create.topics.enable": "false"}
BOUND_MS = 100


def percentile(values, part):
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def run_on(promises, kind, seconds, producers):
    """One file system."""
    with LoopDisk(kind) as disk:
        broker = Klamm(SETTINGS, disk.home)
        broker.data = disk.path / "data"
        with broker:
            busy = create_topics(broker.bootstrap, ["busy"], 3)
            quiet = create_topics(broker.bootstrap, ["quiet"], 1)
            fill = Load(broker.bootstrap, "fill", [*quiet, *busy], size=2000)
            time.sleep(1)
            fill.stop()
            loads = [Load(broker.bootstrap, f"load-{number}", busy, pause_s=0.02) for number in range(producers)]
            asked = probes(broker.port, quiet[0], busy[0])
            time.sleep(2)
            before = {probe.name: probe.take() for probe in asked}
            disk.freeze()
            try:
                time.sleep(seconds)
                during = {probe.name: probe.take() for probe in asked}
            finally:
                disk.thaw()
            count, started = sum(len(load.acknowledged) for load in loads), time.monotonic()
            while sum(len(load.acknowledged) for load in loads) == count and time.monotonic() < started + PATIENCE_S:
                time.sleep(0.01)
            print(f"{kind}: producing goes on {time.monotonic() - started:.2f} s after the thaw")
            for client in [*asked, *loads]:
                client.stop()
            report(promises, kind, seconds, asked, before, during)
            promises.check_all(violations(broker.bootstrap, [*busy, *quiet], [*loads, fill]))


def report(promises, kind, seconds, asked, before, during):
    """A line for each probe. Some answers may come later: it takes a moment until the disk is known to hang."""
    for probe in asked:
        usual, frozen = before[probe.name], during[probe.name]
        print(
            f"{kind}: {probe.name}: {len(frozen)} asked, p50 {percentile(frozen, 0.5):.1f} ms, "
            f"max {max(frozen, default=0):.0f} ms; before that p50 {percentile(usual, 0.5):.1f}, max {max(usual):.0f} ms"
        )
        if "busy" in probe.name:
            continue
        wrong = late(frozen, BOUND_MS) if len(frozen) > seconds * 2 else [f"only {len(frozen)} answers"]
        promises.check(f"{kind}: {probe.name} is answered within {BOUND_MS} ms", len(frozen), [*wrong, *probe.errors])


def run(promises):
    """Runs all that the arguments name."""
    arguments = parser(__doc__)
    arguments.add_argument("--fs", default="ext4,xfs")
    arguments.add_argument("--seconds", type=float, default=30)
    arguments.add_argument("--producers", type=int, default=4)
    arguments = arguments.parse_args()
    kinds, seconds = (["ext4"], 3) if arguments.short else (arguments.fs.split(","), arguments.seconds)
    for kind in kinds:
        run_on(promises, kind, seconds, arguments.producers)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
