#!/usr/bin/env python3
"""Runs every script of this folder.

    scripts/faults/all.py [--short] [SCRIPT...]

`--short` runs the short forms, two at a time, as the test command does. The exit status is 1 if any broke a promise.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# Those that take longest begin.
SCRIPTS = [
    "power_loss",
    "rolling_restart",
    "lost_brokers",
    "soak",
    "disk_errors",
    "disk_full",
    "frozen_process",
    "little_memory",
    "hung_disk",
    "clock_jumps",
    "few_files",
    "clean_stop",
    "slow_disk",
    "crash_in_start",
    "crash_in_retention",
    "crash_in_compaction",
    "few_threads",
]
SHORT_DEADLINE_S = 120


def run_short(name):
    """Runs one short form and prints what it said; returns its exit status."""
    started, command = time.monotonic(), [sys.executable, FOLDER / f"{name}.py", "--short"]
    try:
        done = subprocess.run(command, check=False, timeout=SHORT_DEADLINE_S, capture_output=True, text=True)
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = f"{(late.stdout or b'').decode()}FAIL {name}: was not done after {SHORT_DEADLINE_S} s\n", 1
    if status and "FAIL " not in output:
        output += f"FAIL {name}: ended with status {status}\n"
    print(f"{output}---- {name}: {time.monotonic() - started:.1f} s", flush=True)
    return status


def run_long(name):
    """Runs one script as it is; returns its exit status."""
    return subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=False).returncode


def main():
    """Runs them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the forms that the test command runs")
    parser.add_argument(
        "scripts", nargs="*", default=SCRIPTS, metavar="SCRIPT", help="names without .py; all by default"
    )
    arguments = parser.parse_args()
    run, jobs = (run_short, 2) if arguments.short else (run_long, 1)
    with ThreadPoolExecutor(jobs) as pool:
        statuses = list(pool.map(run, arguments.scripts))
    return int(any(statuses))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
