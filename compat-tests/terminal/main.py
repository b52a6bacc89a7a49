"""Runs klamm's commands in a terminal, presses keys there, and looks at what is shown.

    compat-tests/run.sh terminal
    KLAMM=target/debug/klamm python3 compat-tests/terminal/main.py [NAME...]

Each test prints a line `PASS name` or `FAIL name`, and what was shown in the end.
"""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.broker import Klamm, klamm_binary  # noqa: E402

PATIENCE_S = 30
CTRL_C, CTRL_D = b"\x03", b"\x04"
# What moves the cursor, and erases.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execv(klamm_binary(), ["klamm", *arguments])
        self.shown = ""

    def read(self):
        """Reads what is there; False when the command has closed the terminal."""
        if select.select([self.master], [], [], 0.1)[0]:
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                return False
            self.shown += ESCAPES.sub("", data.decode(errors="replace")).replace("\r\n", "\n")
            return bool(data)
        return True

    def await_text(self, pattern, after=0):
        """Waits until a pattern is shown behind a position; returns the match."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if match := re.compile(pattern).search(self.shown, after):
                return match
            if not self.read() and not re.compile(pattern).search(self.shown, after):
                break
        raise AssertionError(f"{pattern!r} was not shown:\n{self.shown[-2000:]}")

    def press(self, keys):
        """Presses keys; returns the position in what is shown."""
        position = len(self.shown)
        os.write(self.master, keys)
        return position

    def echoes(self):
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def end(self):
        """Reads the rest and returns the exit status."""
        deadline = time.monotonic() + PATIENCE_S
        status = None
        while status is None and time.monotonic() < deadline:
            self.read()
            pid, waited = os.waitpid(self.pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(waited) if pid else None
        while self.read() and select.select([self.master], [], [], 0)[0]:
            pass
        os.close(self.master)
        assert status is not None, f"it does not end:\n{self.shown[-2000:]}"
        return status


def klamm(*arguments, stdin=""):
    """Runs a command without a terminal; returns what it says on stdout."""
    run = subprocess.run([klamm_binary(), *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.returncode == 0, f"{arguments} ends with {run.returncode}: {run.stderr}"
    return run.stdout


def produce(broker, topic, *values):
    """Sends records."""
    klamm("topic", "produce", topic, *values, "-b", broker.bootstrap)


def test_tail_shows_the_last_records_and_follows(broker):
    produce(broker, "tailed", "one", "two", "three")
    tail = Terminal("topic", "tail", "tailed", "-n", "2", "-b", broker.bootstrap)
    tail.await_text(r"two\n.*three\n")
    produce(broker, "tailed", "four")
    tail.await_text(r"tailed-0  3    four\n")
    tail.press(CTRL_C)
    assert tail.end() == 0
    assert "one" not in tail.shown, tail.shown
    assert "consumed 3 records" in tail.shown, tail.shown


def test_whoever_consumes_from_the_end_is_told_of_older_records(broker):
    produce(broker, "older", "one", "two")
    consume = Terminal("topic", "consume", "older", "-o", "end", "-b", broker.bootstrap)
    consume.await_text(r"nothing to read yet; .* 2 records are older: -o start reads them\.")
    consume.press(CTRL_C)
    assert consume.end() == 0
    assert "consumed 0 records" in consume.shown, consume.shown


def test_lines_that_are_typed_are_sent_at_once(broker):
    typing = Terminal("topic", "produce", "typed", "-b", broker.bootstrap)
    typing.await_text(r"Each line is a record of typed; Ctrl-D ends\.")
    typing.press(b"hello\n")
    typing.await_text(r"typed-0 offset 0\n")
    typing.press(b"again\n")
    typing.await_text(r"typed-0 offset 1\n")
    typing.press(CTRL_D)
    assert typing.end() == 0
    assert klamm("topic", "consume", "typed", "-o", ":end", "-b", broker.bootstrap) == "hello\nagain\n"


def test_the_console_producer_prompts(broker):
    console = Terminal("kafka-console-producer", "--bootstrap-server", broker.bootstrap, "--topic", "console")
    console.await_text(r"^>")
    console.press(b"hello\n")
    console.await_text(r"hello\n>")
    console.press(CTRL_D)
    assert console.end() == 0
    assert klamm("topic", "consume", "console", "-o", ":end", "-b", broker.bootstrap) == "hello\n"


def orders_of(demo, group):
    """How many orders a group has read, those that it has read again as well."""
    return int(re.findall(rf"^{group} +(\d+)", demo.shown, re.MULTILINE)[-1])


def test_the_demo_hears_keys_and_leaves_the_terminal_as_it_was(broker):
    demo = Terminal("demo", "orders", "--rate", "20", "-b", broker.bootstrap)
    demo.await_text(r"kitchen +[1-9]")
    assert not demo.echoes()
    paused = demo.press(b"p")
    demo.await_text(r"kitchen +\d+ +[1-9]\d* .*\[paused\]", paused)
    resumed = demo.press(b"p")
    demo.await_text(r"kitchen +\d+ +0 ", resumed)
    demo.press(b"r")
    deadline = time.monotonic() + PATIENCE_S
    while orders_of(demo, "billing") <= orders_of(demo, "delivery"):
        assert demo.read() and time.monotonic() < deadline, f"billing does not read again:\n{demo.shown[-2000:]}"
    demo.press(b"q")
    assert demo.end() == 0
    lags = r"kitchen lags by \d+, delivery lags by \d+, billing lags by \d+"
    assert re.search(rf"\d+ orders sent; {lags}\n$", demo.shown), demo.shown


def test_the_demo_ends_with_ctrl_c(broker):
    demo = Terminal("demo", "orders", "-b", broker.bootstrap)
    demo.await_text(r"orders sent\. The newest: \{")
    demo.press(CTRL_C)
    assert demo.end() == 0


def test_the_demo_without_a_terminal_tells_lines_and_ends(_broker):
    lines = klamm("demo", "orders", "--orders", "6", "--rate", "50").splitlines()
    assert sum(line.startswith("sent ") for line in lines) == 6, lines
    for group in ("kitchen", "delivery", "billing"):
        assert sum(line.startswith(group) for line in lines) == 6, lines
    assert lines[-1] == "6 orders sent; kitchen lags by 0, delivery lags by 0, billing lags by 0", lines


def main():
    """Runs the tests that are named, or all."""
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    good = True
    with Klamm() as broker:
        for name, test in tests.items():
            if sys.argv[1:] and not any(wanted in name for wanted in sys.argv[1:]):
                continue
            try:
                test(broker)
                print(f"PASS {name}", flush=True)
            except AssertionError as error:
                good = False
                print(f"FAIL {name}\n    " + str(error).replace("\n", "\n    "), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
