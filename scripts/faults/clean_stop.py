#!/usr/bin/env python3
"""Stops a broker with SIGTERM under load, again and again.

    scripts/faults/clean_stop.py [--short] [--cycles 100]

Two idempotent producers write to six partitions with small segments, a group's member reads and commits. Each time: the
process ends with status 0 within ten seconds, its directory is marked as cleanly stopped, and the next start recovers
nothing. At the end nothing acknowledged is lost, nothing is doubled, committed offsets are kept.
"""

import random
import sys
import time

from load import PATIENCE_S, Klamm, Load, Reader, create_topics, main, parser, violations

SETTINGS = {"log.segment.bytes": "1048576", "auto.create.topics.enable": "false"}
STOPS_WITHIN_S = 10


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--cycles", type=int, default=100)
    arguments = arguments.parse_args()
    cycles = 3 if arguments.short else arguments.cycles
    statuses, slow, unmarked, longest = [], [], [], 0
    with Klamm(SETTINGS) as broker:
        partitions = create_topics(broker.bootstrap, ["stopped-0", "stopped-1"])
        loads = [Load(broker.bootstrap, name, partitions, pause_s=0.02, size=1500) for name in ("one", "two")]
        reader = Reader(broker.bootstrap, ["stopped-0", "stopped-1"])
        for cycle in range(cycles):
            before, deadline = sum(len(load.acknowledged) for load in loads), time.monotonic() + PATIENCE_S
            while sum(len(load.acknowledged) for load in loads) == before and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.5))
            started = time.monotonic()
            status = broker.stop()
            taken = time.monotonic() - started
            longest = max(longest, taken)
            if status != 0:
                statuses.append(f"cycle {cycle + 1}: {status}")
            if taken > STOPS_WITHIN_S:
                slow.append(f"cycle {cycle + 1}: {taken:.1f} s")
            if not (broker.data / ".kafka_cleanshutdown").exists():
                unmarked.append(f"cycle {cycle + 1}")
            broker.start()
        for client in (*loads, reader):
            client.stop()
        print(f"{cycles} stops, the longest took {longest:.2f} s")
        promises.check("the process ends with status 0", cycles, statuses)
        promises.check(f"it takes at most {STOPS_WITHIN_S} s", cycles, slow)
        promises.check("the directory is marked as cleanly stopped", cycles, unmarked)
        lines = broker.log.read_text(errors="replace").splitlines()
        # The consensus library warns where the machine is too busy to answer in time.
        promises.check(
            "nothing is recovered", cycles, [line for line in lines if "WARN klamm" in line or "ERROR" in line]
        )
        promises.check_all(violations(broker.bootstrap, partitions, loads, reader))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
