"""Runs the example programs as a beginner would and checks what they claim."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

FOLDER = Path(__file__).parent
ORDER = re.compile(r"(\w+): order (\d+) of (\S+) \(partition (\d+) offset (\d+)\)")
PATIENCE_S = 30


def listen_to_ctrl_c():
    """Undoes what a background job inherits: that Ctrl-C is ignored, by the programs that it starts as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Program:
    """One example program that runs; `lines` grows as it prints."""

    def __init__(self, bootstrap, name, *arguments):
        command = [sys.executable, FOLDER / f"{name}.py", *arguments]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "BOOTSTRAP": bootstrap},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=listen_to_ctrl_c,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Collects lines until the program ends."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def orders(self):
        """The orders it printed so far: (number, table, partition, offset)."""
        found = filter(None, map(ORDER.match, list(self.lines)))
        return [(int(m[2]), m[3], int(m[4]), int(m[5])) for m in found]

    def numbers(self):
        """The numbers of the orders it printed so far, sorted."""
        return sorted(order[0] for order in self.orders())

    def partitions(self):
        """The partitions it was assigned last."""
        told = [line for line in list(self.lines) if "has partitions" in line]
        return re.findall(r"\d+", told[-1]) if told else []

    def finish(self):
        """Waits for a program that ends by itself; returns what it printed."""
        assert self.process.wait(PATIENCE_S) == 0, self.lines
        self.reader.join()
        return self.lines

    def end(self, how=signal.SIGKILL):
        """Ends the program with a signal."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        self.reader.join()


def wait_until(condition, what):
    """Waits until the condition holds; `what` tells the reader of a failure what never came."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what()}"
        time.sleep(0.05)


@pytest.fixture
def start(bootstrap):
    """Starts example programs on a broker that knows no payments and no orders; ends them with the test."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    known = {"payments", "orders"} & set(admin.list_topics())
    if known:
        admin.delete_topics(sorted(known))
    admin.close()
    programs = []

    def start_program(name, *arguments):
        programs.append(Program(bootstrap, name, *arguments))
        return programs[-1]

    yield start_program
    for program in programs:
        program.process.kill()
        program.process.wait()


def test_payments(start):
    """The consumer gets every payment once, one user's payments in order, and Ctrl-C ends it cleanly."""
    assert start("payments_producer").finish() == ["sent 10 payments"]
    consumer = start("payments_consumer")
    wait_until(lambda: len(consumer.lines) >= 10, lambda: consumer.lines)
    consumer.end(signal.SIGINT)
    payments = [tuple(re.findall(r"payment (\d+): user-(\d) paid (\d+)", line)[0]) for line in consumer.lines]
    for user in range(3):
        assert [int(p[0]) for p in payments if p[1] == str(user)] == list(range(user, 10, 3))
    assert len(payments) == 10 and consumer.process.returncode == 0


def test_orders_story(start):
    """Three groups get every order; billing is killed, comes back and continues; a replay shows all again."""
    start("orders_topic").finish()
    groups = [start("orders_group", name) for name in ("kitchen", "delivery", "billing")]
    start("orders_producer", "1", "20").finish()
    for group in groups:
        wait_until(lambda group=group: group.numbers() == list(range(1, 21)), lambda group=group: group.lines)

    billing = groups.pop()
    billing.end()
    start("orders_producer", "21", "30").finish()
    for group in groups:
        wait_until(lambda group=group: group.numbers() == list(range(1, 31)), lambda group=group: group.lines)
    billing = start("orders_group", "billing")
    wait_until(lambda: billing.numbers() == list(range(21, 31)), lambda: billing.lines)

    replay = start("orders_replay")
    replay.finish()
    assert replay.numbers() == list(range(1, 31))
    same_key_same_partition_in_order(replay.orders())
    same_key_same_partition_in_order(groups[0].orders())
    assert sorted(replay.orders()) == sorted(groups[0].orders())


def same_key_same_partition_in_order(orders):
    """Every table's orders are in one partition, in the order in which they were sent."""
    for table in {order[1] for order in orders}:
        mine = [order for order in orders if order[1] == table]
        assert len({partition for _, _, partition, _ in mine}) == 1
        assert [number for number, *_ in mine] == sorted(number for number, *_ in mine)


def test_four_members(start):
    """Four members have a partition each; one is killed and its partition moves to another."""
    start("orders_topic").finish()
    members = [start("orders_group", "team") for _ in range(4)]
    wait_until(
        lambda: sorted(member.partitions() for member in members) == [["0"], ["1"], ["2"], ["3"]],
        lambda: [member.lines for member in members],
    )
    start("orders_producer", "1", "16").finish()
    wait_until(
        lambda: sorted(number for member in members for number in member.numbers()) == list(range(1, 17)),
        lambda: [member.lines for member in members],
    )
    dead = members.pop()
    dead.end()
    wait_until(
        lambda: sorted(partition for member in members for partition in member.partitions()) == ["0", "1", "2", "3"],
        lambda: [member.lines for member in members],
    )
    start("orders_producer", "17", "32").finish()
    everything = [*members, dead]
    wait_until(
        lambda: sorted(number for member in everything for number in member.numbers()) == list(range(1, 33)),
        lambda: [member.lines for member in everything],
    )
