#!/usr/bin/env python3
"""Lets a broker start hardly any threads.

    scripts/faults/few_threads.py [--short] [--threads 12] [--seconds 20]

The process belongs to a user of its own that may have so many threads. Producers write to many partitions with
flush.messages=1, each of which waits for fsyncs in threads of their own, topics are created and deleted, a group reads.
All goes on, only slower: no send fails, nothing is lost or doubled, and there is no panic.
"""

import os
import shutil
import sys
import time

from load import Klamm, Load, Reader, create_topics, delete_topics, main, parser, toolchains, violations

SETTINGS = {"auto.create.topics.enable": "false"}
# Nobody's: its threads are only this broker's.
USER = 61_234


class PoorKlamm(Klamm):
    """The broker under test, as a user with few threads."""

    def __init__(self, settings, threads):
        super().__init__(settings)
        if os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("prlimit") is None:
            raise toolchains.Missing("only root, with setpriv and prlimit, can start it as another user")
        self.threads = threads
        # The user may neither enter where this is built nor make its directory.
        self.binary = self.directory / "klamm"
        self.data.mkdir(parents=True)
        for path in (self.directory, self.data):
            os.chown(path, USER, USER)

    def command(self):
        program, *rest = super().command()
        if not self.binary.exists():
            shutil.copy(program, self.binary)
        limits = ["prlimit", f"--nproc={self.threads}:{self.threads}"]
        return [*limits, "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", self.binary, *rest]


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--threads", type=int, default=12)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments = arguments.parse_args()
    seconds = 3 if arguments.short else arguments.seconds
    with PoorKlamm(SETTINGS, arguments.threads) as broker:
        partitions = create_topics(broker.bootstrap, ["poor"], 24, flush_messages=1)
        loads = [Load(broker.bootstrap, name, partitions, pause_s=0.02) for name in ("one", "two", "three")]
        reader = Reader(broker.bootstrap, ["poor"])
        deadline, number, most = time.monotonic() + seconds, 0, 0
        while time.monotonic() < deadline:
            number += 1
            create_topics(broker.bootstrap, [f"poor-{number}"], 4)
            delete_topics(broker.bootstrap, [f"poor-{number}"])
            most = max(most, len(os.listdir(f"/proc/{broker.process.pid}/task")))
            time.sleep(0.2)
        for client in (*loads, reader):
            client.stop()
        print(f"{most} threads at most, {number} topics made and deleted")
        promises.check("the limit was felt", most, [] if most >= arguments.threads - 1 else [most])
        promises.check_all(violations(broker.bootstrap, partitions, loads, reader))
        text = broker.log.read_text(errors="replace")
        promises.check("no panic", 1, [line for line in text.splitlines() if "panicked" in line])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
