#!/usr/bin/env python3
"""Uses up the broker's file descriptors with connections, and gives them back.

    scripts/faults/few_files.py [--short] [--limit 96] [--connects 300]

The broker may open few files. Many more clients connect and stay, some of whom it cannot take. Meanwhile those who were
connected before are served, segments are rolled, and the process does not spin: it uses less than 30% of a processor
besides what the load takes. When the crowd is gone, new clients are served, the number of descriptors is what it was,
no partition is offline, nothing acknowledged is lost and nothing is doubled.
"""

import os
import socket
import sys
import time

from load import PATIENCE_S, Klamm, Load, answers, create_topics, main, parser, violations

SETTINGS = {"log.segment.bytes": "1048576", "auto.create.topics.enable": "false"}
SPIN_PART = 0.3


def descriptors(broker, kind=""):
    """How many descriptors the process has open, of all kinds or of one, such as `socket`."""
    folder, found = f"/proc/{broker.process.pid}/fd", 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(f"{folder}/{name}").startswith(kind)
        except FileNotFoundError:
            continue
    return found


def processor_s(broker):
    """Seconds of a processor that the process has taken."""
    fields = open(f"/proc/{broker.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def crowd(port, count):
    """Connections that stay; the system's queue holds some that the broker never takes."""
    found, refused = [], 0
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(0.2 if refused < 10 else 0.001)
        try:
            connection.connect(("127.0.0.1", port))
            found.append(connection)
        except OSError:
            connection.close()
            refused += 1
    return found


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--limit", type=int, default=96)
    arguments.add_argument("--connects", type=int, default=300)
    arguments = arguments.parse_args()
    broker = Klamm(SETTINGS)
    command = broker.command
    broker.command = lambda: ["prlimit", f"--nofile={arguments.limit}:{arguments.limit}", *command()]
    with broker:
        partitions = create_topics(broker.bootstrap, ["few"], 6)
        load = Load(broker.bootstrap, "one", partitions, size=2000, pause_s=0.02)
        time.sleep(1.5)
        base, before = descriptors(broker, "socket"), len(load.acknowledged)
        connections = crowd(broker.port, arguments.connects)
        time.sleep(1)
        most = descriptors(broker)
        promises.check("who was connected is served", len(load.acknowledged) - before, load.failed)
        load.stop()
        # Nobody asks for anything now.
        time.sleep(0.5)
        used = processor_s(broker)
        time.sleep(2)
        used = (processor_s(broker) - used) / 2
        print(
            f"{len(connections)} connected, {base} sockets before, {most} descriptors then; {used:.0%} of a processor"
        )
        is_few = len(connections) < arguments.connects or most >= arguments.limit - 10
        promises.check("there were too few descriptors", most, [] if is_few else [f"{most} of {arguments.limit}"])
        promises.check("the broker does not spin", 1, [] if used < SPIN_PART else [f"{used:.0%}"])
        for connection in connections:
            connection.close()
        started = time.monotonic()
        while not answers(broker.port) and time.monotonic() < started + PATIENCE_S:
            time.sleep(0.1)
        promises.check("a new client is served within 5 s", 1, [] if time.monotonic() < started + 5 else ["later"])
        after = Load(broker.bootstrap, "two", partitions, size=2000, pause_s=0.02)
        time.sleep(1.5)
        after.stop()
        deadline = time.monotonic() + 10
        while descriptors(broker, "socket") > base and time.monotonic() < deadline:
            time.sleep(0.1)
        left = descriptors(broker, "socket")
        promises.check("descriptors are given back", base, [] if left <= base else [f"{left} after {base}"])
        promises.check_all(violations(broker.bootstrap, partitions, [load, after]))
        offline = [line for line in broker.log.read_text(errors="replace").splitlines() if "offline" in line]
        promises.check("the log directory is not offline", 1, offline)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
