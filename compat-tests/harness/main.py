"""Runs the suites against a broker and counts their tests.

    run.sh [--against klamm|kafka] [--jobs N] [--list] [SUITE...]

Environment: KLAMM is the binary under test (default target/release/klamm); BROKER=host:port uses a broker that runs
already; KLAMM_COMPAT_CACHE is where clients are installed; with CI=true a missing toolchain is a failure.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from harness import dump_log  # noqa: E402
from harness.broker import broker_class  # noqa: E402
from harness.suites import SUITES  # noqa: E402
from harness.toolchains import COMPAT_TESTS, Missing  # noqa: E402

# A hung suite ends the run; on a machine that is busy besides, the longest takes ten minutes.
SUITE_DEADLINE_S = 1200
TEST_LINE = re.compile(r"^(PASS|FAIL|SKIP) (.*)$")
COUNTS = {"PASS": 0, "FAIL": 0, "SKIP": 0}
PRINTING = threading.Lock()


def report(outcome, suite, what, details=""):
    """Prints and counts one test; details follow a failure."""
    with PRINTING:
        COUNTS[outcome] += 1
        print(f"{outcome} {suite.name}: {what}", flush=True)
        if details and outcome == "FAIL":
            print("    " + details.replace("\n", "\n    "), flush=True)


def report_output(suite, output, status, log_tail):
    """Reports each test line of a suite; what a failed suite said otherwise follows, once."""
    tests = [match.groups() for match in map(TEST_LINE.match, output.splitlines()) if match]
    for outcome, what in tests:
        report(outcome, suite, what)
    failed = any(outcome == "FAIL" for outcome, _ in tests)
    if failed or status != 0 or not tests:
        rest = "\n".join(line for line in output.splitlines() if line.strip() and not TEST_LINE.match(line))
        details = f"{rest[-12000:]}\n--- last lines of the broker\n{log_tail}"
        if failed:
            print("    " + details.replace("\n", "\n    "), flush=True)
        else:
            report("FAIL", suite, f"ended with status {status}, {len(tests)} tests run", details)


def run_command(suite, command, against, bootstrap):
    """Runs a suite's program to its end; returns its output and exit status."""
    environment = {**os.environ, "BROKER": bootstrap or "", "AGAINST": against, "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(COMPAT_TESTS)
    environment.setdefault("KLAMM", str(COMPAT_TESTS.parent / "target/release/klamm"))
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=environment,
            timeout=SUITE_DEADLINE_S,
            check=False,
        )
        return done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace"), "none, its time was over"


def run_with_own_broker(suite, command, against):
    """Runs a suite on a fresh broker, then asks Kafka's log dump tool about the data that the broker leaves."""
    with broker_class(against)() as broker:
        output, status = run_command(suite, command, against, broker.bootstrap)
        running = broker.process.poll() is None
        report_output(suite, output, status, broker.log_tail())
        report(
            "PASS" if running and broker.stop() in (0, 143) else "FAIL",
            suite,
            "broker stops cleanly",
            broker.log_tail(),
        )
        try:
            complaints = dump_log.complaints(broker.data)
            report("FAIL" if complaints else "PASS", suite, "Kafka's tools read the data directory", complaints)
        except Missing as missing:
            report_missing(suite, f"Kafka's tools read the data directory ({missing})")


def report_missing(suite, what):
    """A missing toolchain is a skipped test on a person's machine and a failed one in CI."""
    report("FAIL" if os.environ.get("CI") == "true" else "SKIP", suite, what)


def run_suite(suite, against):
    """Installs, runs and reports one suite."""
    started = time.monotonic()
    try:
        command = suite.prepare()
        bootstrap = os.environ.get("BROKER")
        if suite.broker and not bootstrap:
            run_with_own_broker(suite, command, against)
        else:
            output, status = run_command(suite, command, against, bootstrap)
            report_output(suite, output, status, "")
    except Missing as missing:
        report_missing(suite, str(missing))
    except Exception as error:  # One suite's trouble must not hide the results of the others.
        report("FAIL", suite, "could not be run", f"{type(error).__name__}: {error}")
    print(f"---- {suite.name}: {time.monotonic() - started:.1f} s", flush=True)


def main():
    """Runs the suites that the arguments name; the exit status tells whether all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", choices=["klamm", "kafka"], default="klamm", help="the broker that suites start")
    parser.add_argument("--jobs", type=int, default=3, help="how many suites run at a time")
    parser.add_argument("--list", action="store_true", help="name the suites and stop")
    parser.add_argument("suites", nargs="*", help="names of suites, or their beginnings; all by default")
    arguments = parser.parse_args()
    wanted = tuple(arguments.suites) or ("",)
    chosen = [suite for suite in SUITES if suite.name.startswith(wanted) and (arguments.suites or not suite.part_of)]
    if arguments.list or not chosen:
        print("\n".join(suite.name for suite in SUITES))
        return 0 if arguments.list else 2
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda suite: run_suite(suite, arguments.against), chosen))
    print(f"{COUNTS['PASS']} passed, {COUNTS['FAIL']} failed, {COUNTS['SKIP']} skipped")
    return 1 if COUNTS["FAIL"] or not COUNTS["PASS"] else 0


if __name__ == "__main__":
    sys.exit(main())
