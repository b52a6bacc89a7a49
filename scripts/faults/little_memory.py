#!/usr/bin/env python3
"""Gives a broker little memory and many greedy clients.

    scripts/faults/little_memory.py [--short] [--mib 256] [--idle 3000] [--greedy 200]

The process is in a memory cgroup of 256 MiB. Thousands of connections are idle; others announce the largest frames there
are and send a part of them, or ask for the largest answers and never read one. Meanwhile two idempotent producers write.
The process is not killed for its memory, the producers go on, and a new client is answered within five seconds.
"""

import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

from load import Klamm, Load, answers, create_topics, main, parser, toolchains, violations
from probes import FETCH, array, text

SETTINGS = {"auto.create.topics.enable": "false"}
CONTROLLERS = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]


class CagedKlamm(Klamm):
    """The broker under test, in a cgroup of its own."""

    def __init__(self, settings, limit):
        super().__init__(settings)
        root = next((root for root in CONTROLLERS if list(root.glob("memory.limit_in_bytes"))), None)
        if os.geteuid() != 0 or root is None:
            raise toolchains.Missing("there is no memory controller of cgroups (version 1) that may be used")
        self.cage = root / f"klamm-fault-{os.getpid()}"
        try:
            self.cage.mkdir()
            (self.cage / "memory.limit_in_bytes").write_text(str(limit))
        except OSError as error:
            raise toolchains.Missing(f"no cgroup can be made: {error}")

    def command(self):
        enter = f'echo $$ > {self.cage}/cgroup.procs && exec "$0" "$@"'
        return ["sh", "-c", enter, *super().command()]

    def close(self):
        super().close()
        self.cage.rmdir()


def greedy(port, partition, number):
    """A connection that announces a large frame, or asks for large answers that it does not read."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    if number % 2:
        # Half of the 100 MB of socket.request.max.bytes is announced, one MB of it sent.
        connection.settimeout(1)
        frame = struct.pack(">ihhi", 50 << 20, 0, 3, 1) + text("greedy") + bytes(1 << 20)
        try:
            connection.sendall(frame)
        except OSError:
            pass
        return connection
    topic, index = partition
    body = struct.pack(">iiiib", -1, 0, 1, 50 << 20, 0)
    body += array([text(topic) + array([struct.pack(">iqi", index, 0, 50 << 20)])])
    request = struct.pack(">hhi", FETCH, 4, 7) + text("greedy") + body
    try:
        for _ in range(20):
            connection.sendall(struct.pack(">i", len(request)) + request)
    except OSError:
        pass
    return connection


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--mib", type=int, default=256)
    arguments.add_argument("--idle", type=int, default=3000)
    arguments.add_argument("--greedy", type=int, default=200)
    arguments = arguments.parse_args()
    idle_count, greedy_count = (500, 60) if arguments.short else (arguments.idle, arguments.greedy)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with CagedKlamm(SETTINGS, arguments.mib << 20) as broker:
        partitions = create_topics(broker.bootstrap, ["caged"], 3)
        loads = [Load(broker.bootstrap, name, partitions, size=3000) for name in ("one", "two")]
        time.sleep(2)
        crowd = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(idle_count)]
        crowd += [greedy(broker.port, partitions[0], number) for number in range(greedy_count)]
        before = sum(len(load.acknowledged) for load in loads)
        started = time.monotonic()
        while not answers(broker.port) and time.monotonic() < started + 30:
            time.sleep(0.1)
        taken = time.monotonic() - started
        time.sleep(2)
        progress = sum(len(load.acknowledged) for load in loads) - before
        status = Path(f"/proc/{broker.process.pid}/status").read_text() if broker.process.poll() is None else ""
        rss = next((line.split(":")[1].strip() for line in status.splitlines() if line.startswith("VmHWM")), "gone")
        print(
            f"{len(crowd)} connections; the most resident memory was {rss}; a new client was answered in {taken:.2f} s"
        )
        ended = [] if broker.process.poll() is None else [f"status {broker.process.returncode}"]
        promises.check("the process lives", 1, ended)
        promises.check("a new client is answered within 5 s", 1, [] if taken < 5 else [f"{taken:.1f} s"])
        promises.check("producers go on", progress, [])
        for connection in crowd:
            connection.close()
        for load in loads:
            load.stop()
        promises.check_all(violations(broker.bootstrap, partitions, loads))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
