"""Whether the consistency run is able to go red: seven bugs are planted in the broker, and a run must find each of them.

    python3 compat-tests/consistency/planted_bugs.py              builds a broker with the feature `planted-bugs`
    python3 compat-tests/consistency/planted_bugs.py --broker PATH --only keep-epoch

For each bug main.py runs, with one seed after the other, until an invariant is broken; ten minutes are too long. Then it runs
without a bug, on the same build, and must find nothing. The exit status is 1 if a bug is not found, or something is that is
not there. It takes minutes, and is in no suite. The Python is one that has what `harness/suites.py` gives to consistency.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FEATURE = "planted-bugs"

# By the names of src/planted_bugs.rs.
BUGS = {
    "acknowledge-unwritten": "a batch is acknowledged and never written",
    "skip-deduplication": "sequence numbers are not checked",
    "expose-undecided": "the high watermark stands for the last stable offset",
    "forget-aborted": "a delayed fetch does not tell what is aborted",
    "rewind-committed": "a loaded coordinator has older committed offsets",
    "keep-epoch": "InitProducerId does not bump the epoch",
    "truncate-by-high-watermark": "a start after a crash truncates by the high watermark",
}
LIMIT_S = 600
CLEAN_RUNS = 2
# A broker with a bug may never let as much happen as a run asks for.
AT_MOST_S = 45


@dataclass
class Outcome:
    """How one run of main.py went: its invariants that are broken, whether it says that all is well, and what it printed."""

    broken: list
    is_green: bool
    printed: str


def build():
    """Builds a broker in which bugs can be planted; returns where it is."""
    subprocess.run(["cargo", "build", "--locked", "--features", FEATURE], cwd=REPOSITORY, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "debug/klamm"


def run(broker, bug, seed, limit_s):
    """Runs main.py once, with this bug or, if it is empty, none; ends it, and all that it started, after the limit."""
    environment = {key: value for key, value in os.environ.items() if key not in ("AGAINST", "KLAMM_PLANTED_BUG")}
    environment |= {"KLAMM": str(broker)} | ({"KLAMM_PLANTED_BUG": bug} if bug else {})
    command = [sys.executable, HERE / "main.py", "--seed", str(seed), "--at-most", str(AT_MOST_S)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    process = subprocess.Popen(command, env=environment, **options)
    try:
        printed, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
    # That it has failed otherwise, or hangs, is no finding: it might be for any reason.
    broken = [line.removeprefix("FAIL ") for line in printed.splitlines() if line.startswith("FAIL I")]
    return Outcome(broken, process.returncode == 0, printed)


def find(broker, bug, seeds):
    """Whether runs find a bug in time; prints how."""
    started, runs, outcome = time.monotonic(), 0, None
    while (left_s := started + LIMIT_S - time.monotonic()) > 0:
        outcome, runs = run(broker, bug, next(seeds), left_s), runs + 1
        if outcome.broken:
            break
    seconds = round(time.monotonic() - started)
    found = f"in {seconds} s, run {runs}, by {', '.join(outcome.broken)}" if outcome.broken else f"not in {seconds} s"
    print(f"{'PASS' if outcome.broken else 'FAIL'} {bug} ({BUGS[bug]}): {found}", flush=True)
    if not outcome.broken:
        print(outcome.printed[-4000:])
    return bool(outcome.broken)


def find_nothing(broker, seed):
    """Whether a run without a bug is green."""
    started = time.monotonic()
    outcome = run(broker, "", seed, LIMIT_S)
    seconds = round(time.monotonic() - started)
    print(
        f"{'PASS' if outcome.is_green else 'FAIL'} nothing is planted, nothing is found: {seconds} s, seed {seed}",
        flush=True,
    )
    if not outcome.is_green:
        print(outcome.printed[-4000:])
    return outcome.is_green


def main():
    """Plants one bug after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, help="a klamm with the feature, instead of one that is built")
    parser.add_argument("--only", action="append", choices=BUGS, help="only this bug; may be repeated")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="decides the seeds of all runs")
    arguments = parser.parse_args()
    broker = (arguments.broker or build()).resolve()
    draw = random.Random(arguments.seed)
    seeds = iter(lambda: draw.randrange(1 << 24), None)
    print(f"seed {arguments.seed}", flush=True)
    good = [find(broker, bug, seeds) for bug in arguments.only or BUGS]
    good += [find_nothing(broker, next(seeds)) for _ in range(CLEAN_RUNS)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
