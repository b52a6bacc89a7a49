#!/usr/bin/env python3
"""Kills a broker with SIGKILL under load, again and again, and checks what the clients were promised.

    scripts/crash_test.py [--cycles 50] [--seed N] [--against klamm|kafka] [--data-dir DIR]

Two idempotent producers (acks=all) fill 12 partitions of 4 topics, and a group's consumer commits what it has read. In each
cycle the broker is killed 0 to 500 ms after its load began and started again on the same data; the clients live on. At
the end: nothing acknowledged is lost, nothing is doubled, each producer's order is kept, committed offsets are kept.
The environment's KLAMM names the binary. Exit status 1 tells that a promise was broken.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from load import PATIENCE_S, Load, Promises, Reader, broker_class, create_topics, violations  # noqa: E402

TOPICS = [f"crash-{number}" for number in range(4)]
# Small segments, so that crashes also meet rolling.
SETTINGS = {"log.segment.bytes": "1048576"}


def await_more(broker, count, what):
    """Waits until `count` gives more than it does now."""
    before, deadline = count(), time.monotonic() + PATIENCE_S
    while count() == before:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what} in {PATIENCE_S} s:\n{broker.log_tail()}")
        time.sleep(0.001)


def run_cycles(broker, loads, reader, arguments):
    """Kills and restarts the broker; every fourth time before it has acknowledged anything since its start.

    Every tenth cycle lasts until there are commits: a reader that has lost its membership in a crash gets its partitions
    only when its old one has timed out, and each start gives that one its whole session anew, as in Kafka.
    """
    chance = random.Random(arguments.seed)
    for cycle in range(arguments.cycles):
        if cycle % 10 == 0:
            await_more(broker, lambda: reader.commits, "commit")
        if cycle % 4 != 3:
            await_more(broker, lambda: sum(len(load.acknowledged) for load in loads), "acknowledgement")
        time.sleep(chance.uniform(0, 0.5))
        broker.kill()
        started = time.monotonic()
        broker.start()
        ready_ms = (time.monotonic() - started) * 1000
        total = sum(len(load.acknowledged) for load in loads)
        print(
            f"cycle {cycle + 1}: ready after {ready_ms:.0f} ms, {total} acknowledged, {reader.commits} commits",
            flush=True,
        )


def main():
    """Runs the cycles and prints a line for each promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--against", choices=["klamm", "kafka"], default=os.environ.get("AGAINST", "klamm"))
    parser.add_argument("--data-dir", help="an empty or absent directory, kept afterwards; thrown away by default")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    promises = Promises()
    with broker_class(arguments.against)(SETTINGS, arguments.data_dir) as broker:
        partitions = create_topics(broker.bootstrap, TOPICS)
        loads = [Load(broker.bootstrap, name, partitions) for name in ("one", "two")]
        reader = Reader(broker.bootstrap, TOPICS)
        try:
            run_cycles(broker, loads, reader, arguments)
        finally:
            for client in (*loads, reader):
                client.stop()
        broker.kill()
        broker.start()
        promises.check_all(violations(broker.bootstrap, partitions, loads, reader))
    return promises.status


if __name__ == "__main__":
    sys.exit(main())
