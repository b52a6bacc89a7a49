#!/usr/bin/env python3
"""Stops the broker's process with SIGSTOP for a while, and lets it go on.

    scripts/faults/frozen_process.py [--short] [--pauses 1,10,30]

Two idempotent producers write, and two members of a group with a session of ten seconds read and commit. After each
pause producers and members go on by themselves: the group is not rebalanced after pauses shorter than half a session, and
after longer ones, when the members have given their broker up, all are in it again within fifteen seconds. Nothing
acknowledged is lost, nothing is doubled, committed offsets are kept.
"""

import signal
import sys
import time

from load import PATIENCE_S, Klamm, Load, Reader, create_topics, main, parser, violations

SETTINGS = {"auto.create.topics.enable": "false"}
SESSION_S = 10


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--pauses", default="1,10,30")
    arguments = arguments.parse_args()
    pauses = [1, 3] if arguments.short else [float(pause) for pause in arguments.pauses.split(",")]
    with Klamm(SETTINGS) as broker:
        partitions = create_topics(broker.bootstrap, ["frozen"], 6)
        loads = [Load(broker.bootstrap, name, partitions, pause_s=0.02) for name in ("one", "two")]
        session = {"session_timeout_ms": SESSION_S * 1000}
        readers = [Reader(broker.bootstrap, ["frozen"], **session) for _ in range(2)]
        wait_for(lambda: all(reader.commits for reader in readers))
        time.sleep(2)
        kicked, slow = [], []
        for pause in pauses:
            before = sum(reader.rebalances for reader in readers)
            broker.process.send_signal(signal.SIGSTOP)
            time.sleep(pause)
            broker.process.send_signal(signal.SIGCONT)
            started = time.monotonic()
            counts = [len(load.acknowledged) for load in loads] + [reader.commits for reader in readers]
            wait_for(
                lambda counts=counts: all(
                    now > then
                    for now, then in zip(
                        [len(load.acknowledged) for load in loads] + [reader.commits for reader in readers],
                        counts,
                        strict=True,
                    )
                )
            )
            taken = time.monotonic() - started
            time.sleep(1)
            rebalances = sum(reader.rebalances for reader in readers) - before
            print(
                f"{pause:.0f} s: all go on {taken:.2f} s after it, {rebalances} times partitions were assigned",
                flush=True,
            )
            if rebalances and pause < SESSION_S / 2:
                kicked.append(f"{pause} s: {rebalances}")
            if taken > 15:
                slow.append(f"{pause} s: {taken:.1f} s")
        promises.check("a pause shorter than a session rebalances nobody", len(pauses), kicked)
        promises.check("producers and members go on within 15 s", len(pauses), slow)
        for client in [*loads, *readers]:
            client.stop()
        committed = readers[0]
        for reader in readers[1:]:
            committed.commits += reader.commits
            for key, offset in reader.committed.items():
                committed.committed[key] = max(offset, committed.committed.get(key, 0))
        promises.check_all(violations(broker.bootstrap, partitions, loads, committed))


def wait_for(condition):
    """Waits until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("nothing goes on")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
