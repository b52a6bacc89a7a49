"""Counts the instructions of produce (also compressed), fetch, commit (alone, and a hundred pipelined) and
heartbeat, and fails when a path became more expensive.

    python3 scripts/bench/instructions.py [--record] [--binary PATH]

Counted per 10,000 records (one commit and one heartbeat stand for a record), by callgrind: repeatable, whatever else
the machine does. `--record` writes what was found to tests/bench/instructions.txt; else that is what is compared with.
Without valgrind, which root gets from Debian's packages, nothing is counted: a failure if CI=true.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY / "compat-tests"))

from harness import toolchains  # noqa: E402

RECORDED = REPOSITORY / "tests/bench/instructions.txt"
# More than this above the recorded figure fails; two runs of one binary differ by less than 1%.
TOLERANCE = 0.05
PER_RECORDS = 10_000
# path -> (requests that are counted, records in each)
# So many that what a start takes, which differs by a few requests, is lost in them.
PATHS = {
    "produce": (300, 100), "produce-lz4": (300, 100), "produce-zstd": (300, 100), "fetch": (4000, 100),
    "commit": (2000, 1), "commits": (100, 100), "heartbeat": (2000, 1),
}  # fmt: skip
COLLECTED = re.compile(r"Collected : (\d+)")
HEADER = f"""# Instructions per {PER_RECORDS:,} records, as callgrind counts them; written by scripts/bench/instructions.py --record.
# It fails when a path takes more than {TOLERANCE:.0%} more.
"""


def built():
    """The path of the driver, built as the broker is; the program is built beside it."""
    command = ["cargo", "build", "--release", "--locked", "--bench", "instructions", "--message-format=json"]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    executables = [message for message in messages if message.get("executable")]
    return next(message["executable"] for message in executables if message["target"]["name"] == "instructions")


def collected(binary, path, times):
    """All instructions of one process."""
    with tempfile.TemporaryDirectory() as directory:
        # CRC-32C takes the same instructions as outside: valgrind knows the processor's own.
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out", binary, path, str(times)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = COLLECTED.search(done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{path}: {done.stderr[-2000:]}")
    return int(found[1])


def count(binary, path):
    """Instructions per PER_RECORDS: the difference of two runs, so that starting and stopping are not counted."""
    times, records = PATHS[path]
    few, many = (collected(binary, path, number) for number in (0, times))
    return round((many - few) / (times * records) * PER_RECORDS)


def recorded():
    """path -> the figure to compare with."""
    if not RECORDED.exists():
        return {}
    lines = [line.split() for line in RECORDED.read_text().splitlines() if line and not line.startswith("#")]
    return {path: int(figure) for path, figure in lines}


def compare(found):
    """Prints one test line for each path; whether none is too expensive."""
    before = recorded()
    passed = 0
    for path, figure in found.items():
        change = figure / before[path] - 1 if path in before else None
        fine = change is not None and change <= TOLERANCE
        passed += fine
        words = "nothing recorded" if change is None else f"{change:+.1%} to the recorded {before[path]:,}"
        print(f"{'PASS' if fine else 'FAIL'} {path}: {figure:,} instructions per {PER_RECORDS:,} records, {words}")
    print(f"{passed} passed, {len(found) - passed} failed")
    return passed == len(found)


def need_valgrind():
    """Ends the program where there is no valgrind."""
    try:
        toolchains.debian("valgrind")
    except toolchains.Missing as missing:
        if os.environ.get("CI") == "true":
            sys.exit(f"FAIL {missing}")
        print(f"0 passed, 0 failed, 1 skipped: {missing}")
        sys.exit(0)


def main():
    """The exit status tells whether every path is as cheap as recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write down what is found")
    parser.add_argument("--binary", help="a driver that is built already")
    arguments = parser.parse_args()
    need_valgrind()
    binary = arguments.binary or built()
    with ThreadPoolExecutor(2) as workers:
        found = dict(zip(PATHS, workers.map(lambda path: count(binary, path), PATHS)))
    if arguments.record:
        RECORDED.write_text(HEADER + "".join(f"{path} {figure}\n" for path, figure in found.items()))
    sys.exit(0 if compare(found) else 1)


if __name__ == "__main__":
    main()
