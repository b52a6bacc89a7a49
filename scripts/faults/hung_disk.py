#!/usr/bin/env python3
"""Freezes the disk under a broker that is written to, and asks it meanwhile for what needs no disk.

    scripts/faults/hung_disk.py [--short] [--fs ext4,xfs] [--seconds 30] [--producers 4]

While the file system is frozen (as fsfreeze does) and the producers' records wait for it, ApiVersions, Metadata, a member's
heartbeats and fetches of what is in the page cache, of a partition that is written to as of another one, are asked for ten
times a second: each is answered within 100 ms. After the thaw the producers go on, nothing acknowledged is lost and nothing
is doubled.

Before that, without a file system of its own, only fsyncs hang: Produce, CreateTopics and DeleteRecords are answered with
REQUEST_TIMED_OUT at their timeouts, and what they have asked for is done once. Then a write hangs: who reads goes on.
"""

import sys
import time

from disks import LoopDisk
from injection import FaultyKlamm
from load import PATIENCE_S, Klamm, Load, create_topics, main, parser, violations
from probes import Connection, late, probes

SETTINGS = {"log.segment.bytes": "16777216", "auto.create.topics.enable": "false"}
BOUND_MS = 100
# What a request with a timeout gives, how late the answer may come on a busy machine, and what it says.
TIMEOUT_MS, GRACE_MS, REQUEST_TIMED_OUT = 500, 1500, 7
# As good as for ever.
HANGS_MS = 600_000


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
        wrong = late(frozen, BOUND_MS) if len(frozen) > seconds * 2 else [f"only {len(frozen)} answers"]
        promises.check(f"{kind}: {probe.name} is answered within {BOUND_MS} ms", len(frozen), [*wrong, *probe.errors])


def timed(ask, *arguments):
    """What `ask` gives, and how many milliseconds it took."""
    started = time.monotonic()
    return ask(*arguments), (time.monotonic() - started) * 1000


def run_with_hanging_calls(promises):
    """Fsyncs hang, then a write."""
    with FaultyKlamm(SETTINGS) as broker:
        [source] = create_topics(broker.bootstrap, ["source"], 1)
        [flushed] = create_topics(broker.bootstrap, ["flushed"], 1, flush_messages=1)
        fill = Load(broker.bootstrap, "fill", [source])
        time.sleep(0.5)
        fill.stop()
        client = Connection(broker.port)
        _, records = client.fetch(source, 0)
        # An idempotent producer's: who sends it again doubles nothing.
        batch = records[: 12 + int.from_bytes(records[8:12], "big")]
        broker.arm("sync", "/", delay_ms=HANGS_MS)
        asked = {
            "Produce with acks=1": (lambda: client.produce(flushed, batch, 1, TIMEOUT_MS)[0]),
            "Produce with acks=all": (lambda: client.produce(flushed, batch, -1, TIMEOUT_MS)[0]),
            "DeleteRecords": (lambda: client.delete_records(source, 1, TIMEOUT_MS)),
            "CreateTopics": (lambda: client.create_topic("late", TIMEOUT_MS)),
        }
        for name, ask in asked.items():
            code, took = timed(ask)
            in_time = TIMEOUT_MS <= took <= TIMEOUT_MS + GRACE_MS and code == REQUEST_TIMED_OUT
            wrong = [] if in_time else [f"code {code} after {took:.0f} ms"]
            print(f"an fsync hangs: {name} with a timeout of {TIMEOUT_MS} ms: code {code} after {took:.0f} ms")
            promises.check(f"{name} is answered at its timeout while an fsync hangs", 1, wrong)
        broker.disarm()
        again = client.produce(flushed, batch, -1, PATIENCE_S * 1000)
        promises.check("the batch that was sent three times is there once", 1, [again] if again != (0, 0) else [])
        started = time.monotonic()
        while client.leader_epoch("late") is None and time.monotonic() < started + PATIENCE_S:
            time.sleep(0.05)
        late_topic = [] if client.leader_epoch("late") is not None else ["it is not there"]
        promises.check("the topic that was asked for in vain is there in the end", 1, late_topic)
        broker.arm("write", "/source-0/", delay_ms=HANGS_MS)
        load = Load(broker.bootstrap, "load", [source])
        time.sleep(0.5)
        (code, records), took = timed(client.fetch, source, 1, 100_000)
        wrong = (
            [] if records and not code and took <= GRACE_MS else [f"code {code}, {len(records)} bytes, {took:.0f} ms"]
        )
        print(f"a write hangs: Fetch of its partition: code {code}, {len(records)} bytes after {took:.0f} ms")
        promises.check("a partition is read while its append hangs", 1, wrong)
        promises.check("nothing is acknowledged meanwhile", 1, list(load.acknowledged))
        broker.disarm()
        load.stop()
        promises.check("producing goes on after that", len(load.acknowledged), load.failed)


def run(promises):
    """Runs all that the arguments name."""
    arguments = parser(__doc__)
    arguments.add_argument("--fs", default="ext4,xfs")
    arguments.add_argument("--seconds", type=float, default=30)
    arguments.add_argument("--producers", type=int, default=4)
    arguments = arguments.parse_args()
    run_with_hanging_calls(promises)
    kinds, seconds = (["ext4"], 3) if arguments.short else (arguments.fs.split(","), arguments.seconds)
    for kind in kinds:
        run_on(promises, kind, seconds, arguments.producers)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
