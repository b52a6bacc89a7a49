#!/usr/bin/env python3
"""Makes each fsync of a broker's disk slow, and looks who waits for it.

    scripts/faults/slow_disk.py [--short] [--delay-ms 300] [--seconds 10]

Producers write to a topic with flush.messages=1, each of whose fsyncs takes that long. Another topic, with Kafka's default
flushing, is written to and read at the same time, and ApiVersions, Metadata, heartbeats and fetches are asked for: none of
them waits for a disk that is slow for others. What is produced together shares an fsync: there are many more records than
fsyncs have time for. Nothing acknowledged is lost, nothing is doubled.
"""

import sys
import time

from injection import FaultyKlamm
from load import Load, create_topics, main, parser, violations
from probes import late, probes

SETTINGS = {"log.segment.bytes": "16777216", "auto.create.topics.enable": "false"}
BOUND_MS = 100


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--delay-ms", type=int, default=300)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments = arguments.parse_args()
    seconds = 3 if arguments.short else arguments.seconds
    with FaultyKlamm(SETTINGS) as broker:
        slow = create_topics(broker.bootstrap, ["slow"], 3, flush_messages=1)
        quick = create_topics(broker.bootstrap, ["quick"], 3)
        loads = [Load(broker.bootstrap, f"slow-{number}", slow, pause_s=0.02) for number in range(2)]
        other = Load(broker.bootstrap, "quick", quick, pause_s=0.02)
        time.sleep(1)
        asked = probes(broker.port, quick[0], slow[0])
        broker.arm("sync", "/", delay_ms=arguments.delay_ms)
        time.sleep(1)
        for probe in asked:
            probe.take()
        before, others = sum(len(load.acknowledged) for load in loads), len(other.acknowledged)
        time.sleep(seconds)
        taken = {probe.name: probe.take() for probe in asked}
        flushed = sum(len(load.acknowledged) for load in loads) - before
        others = len(other.acknowledged) - others
        broker.disarm()
        for client in [*asked, *loads, other]:
            client.stop()
        print(f"{flushed} records acknowledged after an fsync, {others} without, in {seconds:.0f} s")
        for probe in asked:
            times = sorted(taken[probe.name])
            print(f"{probe.name}: p50 {times[len(times) // 2]:.1f} ms, max {times[-1]:.0f} ms")
            promises.check(
                f"{probe.name} is answered within {BOUND_MS} ms", len(times), [*late(times, BOUND_MS), *probe.errors]
            )
        each = seconds * 1000 / arguments.delay_ms * len(slow)
        promises.check("records share an fsync", flushed, [] if flushed > 10 * each else [flushed])
        promises.check("others do not wait for it", others, [] if others > seconds * 100 else [others])
        promises.check_all(violations(broker.bootstrap, [*slow, *quick], [*loads, other]))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
