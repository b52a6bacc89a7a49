"""The swarm: thousands of connections in one thread. They are open before it begins, and until what it did was observed."""

import contextlib
import os
import re
import subprocess

import clients
import install
from clients import Void

MEASURED = re.compile(r"(\w+)=([\d.]+)")


def producing(port, topic, partitions, connections, rate, seconds, size, records=1):
    """The command with `rate` Produce requests a second on each connection, one batch of `records` records in each."""
    return [install.swarm(), "produce", port, topic, partitions, connections, rate, seconds, size, records]


def first_records(port, topic, partitions):
    """The command that appends one record to each partition."""
    return producing(port, topic, partitions, connections=1, rate=1000, seconds=partitions / 1000, size=1)


def polling(port, topic, connections, rounds, size, pause_s):
    """The command with all connections waiting at the end of a partition, woken by one append per round after `pause_s`."""
    return [install.swarm(), "poll", port, topic, connections, rounds, size, pause_s]


def transacting(port, topic, partitions, connections, ids, seconds, records, size):
    """The command with one transaction of one batch after the other on each connection, which has `ids` transactional ids;
    the batches alone where it has none."""
    return [install.swarm(), "transactions", port, topic, partitions, connections, ids, seconds, records, size]


@contextlib.contextmanager
def connected(command, is_urgent=False):
    """A swarm with all its connections; yields what has it begin and returns what it measured. Raises `Void` at its errors.

    One that `is_urgent` goes before all other clients on their core, so that it does not measure what they do to it.
    """
    with clients.start(command, stdin=subprocess.PIPE) as process:
        try:
            if is_urgent:
                os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))
            first = process.stdout.readline()
            if first != "ready\n":
                raise Void(f"not every connection could be made: {(first + process.stdout.read())[-500:]}")
            yield lambda: measured(process)
        finally:
            # It has told what it measured, or it failed.
            process.kill()


def measured(process):
    """Lets the swarm begin; its figures."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write("\n")
        process.stdin.flush()
    said = []
    for line in process.stdout:
        said.append(line)
        figures = {name: float(figure) for name, figure in MEASURED.findall(line)}
        if "p99_us" in figures:
            break
    else:
        figures = {"errors": 1}
    if figures.pop("errors", 0) or figures.pop("missing", 0):
        raise Void("".join(said)[-500:])
    return {**figures, "records": int(figures["records"]), "payload_bytes": int(figures["payload_bytes"])}
