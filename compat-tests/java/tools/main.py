"""Runs Apache Kafka's own command-line tools against Apache Kafka and the broker under test, and compares what they print.

    compat-tests/run.sh tools             AGAINST=kafka in the environment compares Apache Kafka with itself
    python3 compat-tests/java/tools/main.py [--show] [SECTION...]        --show prints Kafka's answers to every step

`steps/SECTION.txt` are the steps; `steps.py` explains their form. Zero differences pass; so do those that
`expected_differences.txt` names with a reason.
"""

import argparse
import difflib
import fnmatch
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from programs import Programs, class_archive  # noqa: E402
from steps import Run, read_steps  # noqa: E402

from harness.broker import ApacheKafka, broker_class  # noqa: E402

# Klamm has no eligible leader replicas; with them Kafka sets min.insync.replicas for the whole cluster, which every topic shows.
FEATURES = ["eligible.leader.replicas.version=0"]
# The steps' files, in their order; a later section meets the topics of those before it.
SECTIONS = ["topics", "configs", "logs", "groups", "cluster", "clients"]


def run_section(broker, programs, section):
    """Runs one section against one broker; returns its notes: step -> (lines of output, exit status)."""
    run = Run(broker, programs)
    try:
        run.all(read_steps(HERE / "steps" / f"{section}.txt"))
    except Exception:  # The other sections are still worth comparing.
        run.notes["broke off"] = (traceback.format_exc(limit=-4).splitlines(), None)
    finally:
        run.close()
    return run.notes


def differences(ours, theirs):
    """The lines that only one of two outputs has: `- ` before Apache Kafka's, `+ ` before the broker's."""
    changes = difflib.ndiff(theirs, ours)
    return [change for change in changes if change.startswith(("- ", "+ "))]


def expected():
    """The rules of `expected_differences.txt`: (pattern of `SECTION: step | line`, reason)."""
    lines = (HERE / "expected_differences.txt").read_text().splitlines()
    rules = [line.rsplit(" => ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern.strip(), reason.strip()) for pattern, reason in rules]


def other_broker():
    """The broker to compare with Apache Kafka."""
    against = broker_class(os.environ.get("AGAINST", "klamm"))
    return against(features=FEATURES) if against is ApacheKafka else against()


def compare(section, ours, theirs, rules, used):
    """Prints what differs in a section, and a line that counts it; returns whether all differences are expected."""
    wrong = 0
    for step in {**theirs, **ours}:
        missing = (["no such step"], None)
        (mine, my_status), (kafka, status) = ours.get(step, missing), theirs.get(step, missing)
        found = differences(mine, kafka)
        if my_status != status:
            found += [f"- exit status {status}", f"+ exit status {my_status}"]
        for rule in rules:
            matching = [line for line in found if fnmatch.fnmatchcase(f"{section}: {step} | {line}", rule[0])]
            used |= {rule} if matching else set()
            found = [line for line in found if line not in matching]
        if found:
            wrong += 1
            print(f"FAIL {section}: {step}")
            print("".join(f"    {line}\n" for line in found), end="")
    print(f"{'FAIL' if wrong else 'PASS'} {section}: {len(theirs)} programs, {wrong} differ", flush=True)
    return not wrong


def unexpected_statuses(section, notes, wanted):
    """Prints the steps that Apache Kafka itself ends otherwise than the steps' file says."""
    bad = [(step, notes[step][1], wanted[step]) for step in wanted if step in notes and notes[step][1] != wanted[step]]
    for step, status, expected_status in bad:
        print(f"FAIL {section}: {step}: Apache Kafka ends with status {status}, not {expected_status}")
        print("".join(f"    {line}\n" for line in notes[step][0]), end="")
    return not bad


def main():
    """Starts both brokers, runs the sections on both at the same time and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print what the tools say to Apache Kafka, and stop")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    arguments = parser.parse_args()
    chosen, good, rules, used = arguments.sections or SECTIONS, True, expected(), set()
    with ApacheKafka(features=FEATURES) as kafka, ThreadPoolExecutor(2) as pool:
        programs = Programs(class_archive(kafka.bootstrap))
        if arguments.show:
            for section in chosen:
                for step, (lines, status) in run_section(kafka, programs, section).items():
                    print(f"{section}: {step}", *lines, f"exit status {status}", sep="\n    ", flush=True)
            return 0
        with other_broker() as broker:
            for section in chosen:
                ours, theirs = pool.map(lambda one: run_section(one, programs, section), (broker, kafka))
                wanted = {
                    step.name: step.status for step in read_steps(HERE / "steps" / f"{section}.txt") if step.noted
                }
                good &= unexpected_statuses(section, theirs, wanted)
                good &= compare(section, ours, theirs, rules, used)
    for rule in rules if chosen == SECTIONS else []:
        if rule not in used:
            print(f"    not needed any more: {rule[0]}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
