"""Compares what command-line tools print, step by step, in two ways.

Apache Kafka's own tools are run against Apache Kafka and against the broker under test. And the tools of `klamm` that stand
in for them are run against a broker of the same kind as theirs; those steps are called `shims SECTION`.

    compat-tests/run.sh tools             AGAINST=kafka in the environment has Apache Kafka tested in place of Klamm
    compat-tests/run.sh shims             the second comparison alone
    python3 compat-tests/java/tools/main.py [--show] [--shims] [--processes] [SECTION...]

--show prints Kafka's answers to every step. Kafka's tools run in long-lived JVMs, which `klamm.ToolHost` makes look new to
each; with --processes every run is a process of its own, as a person's is, and prints the same.
`steps/SECTION.txt` are the steps; `steps.py` explains their form. Zero differences pass; so do those that
`expected_differences.txt`, and `expected_shim_differences.txt`, name with a reason.
"""

import argparse
import difflib
import fnmatch
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from comparable import without_traces  # noqa: E402
from programs import SHIMS, OurPrograms, Programs, class_archive  # noqa: E402
from steps import Run, read_steps  # noqa: E402

from harness.broker import ApacheKafka, broker_class  # noqa: E402

# Klamm has no eligible leader replicas; with them Kafka sets min.insync.replicas for the whole cluster, which every topic shows.
FEATURES = ["eligible.leader.replicas.version=0"]
# The steps' files, in their order; a later section meets the topics of those before it.
SECTIONS = ["topics", "configs", "logs", "groups", "cluster", "clients", "console", "storage", "transactions"]

# What is only about tools that klamm does not stand in for; the few others in it are compared by the other sections.
WITHOUT_SHIMS = {"transactions"}


def steps_of(section):
    """The steps of a section."""
    return read_steps(HERE / "steps" / f"{section}.txt")


def has_shims(section):
    """Whether a section runs any tool that klamm stands in for."""
    return section not in WITHOUT_SHIMS and any(not SHIMS.isdisjoint(step.words) for step in steps_of(section))


def run_section(broker, programs, section):
    """Runs one section against one broker; returns its notes: step -> (lines of output, exit status)."""
    run = Run(broker, programs)
    try:
        run.all(steps_of(section))
    except Exception:  # The other sections are still worth comparing.
        run.notes["broke off"] = (traceback.format_exc(limit=-4).splitlines(), None)
    finally:
        run.close()
    return run.notes


def differences(ours, theirs):
    """The lines that only one of two outputs has: `- ` before Apache Kafka's, `+ ` before the broker's."""
    changes = difflib.ndiff(theirs, ours)
    return [change for change in changes if change.startswith(("- ", "+ "))]


def terse(notes):
    """Notes without what Java tells of an error a second time."""
    return {step: (without_traces(lines), status) for step, (lines, status) in notes.items()}


def expected(file):
    """The rules of a file of expected differences: (pattern of `SECTION: step | line`, reason)."""
    lines = (HERE / file).read_text().splitlines()
    rules = [line.rsplit(" => ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern.strip(), reason.strip()) for pattern, reason in rules]


def other_broker():
    """The broker to compare with Apache Kafka."""
    against = broker_class(os.environ.get("AGAINST", "klamm"))
    return against(features=FEATURES) if against is ApacheKafka else against()


class Comparison:
    """Compares what two runs of a section noted. `rules` are the expected differences, `name` stands before a section's."""

    def __init__(self, name, file):
        self.name = name
        self.rules = expected(file)
        self.used = set()

    def compare(self, section, ours, theirs):
        """Prints what differs in a section, and a line that counts it; returns whether all differences are expected."""
        wrong, section = 0, self.name + section
        for step in {**theirs, **ours}:
            missing = (["no such step"], None)
            (mine, my_status), (kafka, status) = ours.get(step, missing), theirs.get(step, missing)
            found = differences(mine, kafka)
            if my_status != status:
                found += [f"- exit status {status}", f"+ exit status {my_status}"]
            found = self.unexpected(f"{section}: {step}", found)
            if found:
                wrong += 1
                print(f"FAIL {section}: {step}")
                print("".join(f"    {line}\n" for line in found), end="")
        print(f"{'FAIL' if wrong else 'PASS'} {section}: {len(theirs)} programs, {wrong} differ", flush=True)
        return not wrong

    def unexpected(self, step, found):
        """The differences of a step that no rule expects."""
        for rule in self.rules:
            matching = [line for line in found if fnmatch.fnmatchcase(f"{step} | {line}", rule[0])]
            self.used |= {rule} if matching else set()
            found = [line for line in found if line not in matching]
        return found

    def print_unused(self):
        """Names the rules that no difference needed."""
        for rule in self.rules:
            if rule not in self.used:
                print(f"    not needed any more: {rule[0]}")


def unexpected_statuses(section, notes, wanted):
    """Prints the steps that Apache Kafka itself ends otherwise than the steps' file says."""
    bad = [(step, notes[step][1], wanted[step]) for step in wanted if step in notes and notes[step][1] != wanted[step]]
    for step, status, expected_status in bad:
        print(f"FAIL {section}: {step}: Apache Kafka ends with status {status}, not {expected_status}")
        print("".join(f"    {line}\n" for line in notes[step][0]), end="")
    return not bad


def show(kafka, sections, shares_jvm):
    """Prints Kafka's answers to every step."""
    with Programs(class_archive(kafka.bootstrap), shares_jvm) as programs:
        for section in sections:
            for step, (lines, status) in run_section(kafka, programs, section).items():
                print(f"{section}: {step}", *lines, f"exit status {status}", sep="\n    ", flush=True)


class Lane:
    """Runs sections one after another on one broker, beside other lanes."""

    def __init__(self, broker, programs, sections):
        self.thread, self.programs = ThreadPoolExecutor(1), programs
        self.runs = {section: self.thread.submit(run_section, broker, programs, section) for section in sections}

    def __enter__(self):
        return self.runs

    def __exit__(self, *_):
        self.thread.shutdown(cancel_futures=True)
        self.programs.close()


def compare_all(kafka, sections, shares_jvm):
    """Runs the sections on all brokers at the same time and compares; `kafka` is None for the tools of klamm alone."""
    with ExitStack() as opened:
        broker, shims_broker = opened.enter_context(other_broker()), opened.enter_context(other_broker())
        how = class_archive((kafka or broker).bootstrap), shares_jvm
        on_klamm = opened.enter_context(Lane(broker, Programs(*how), sections))
        on_kafka = opened.enter_context(Lane(kafka, Programs(*how), sections)) if kafka else {}
        with_shims = opened.enter_context(Lane(shims_broker, OurPrograms(*how), list(filter(has_shims, sections))))
        tools = Comparison("", "expected_differences.txt")
        shims = Comparison("shims ", "expected_shim_differences.txt")
        good = True
        for section in sections:
            runs = {"on klamm": on_klamm, "on kafka": on_kafka, "shims": with_shims}
            notes = {name: lane[section].result() for name, lane in runs.items() if section in lane}
            if kafka:
                wanted = {step.name: step.status for step in steps_of(section) if step.noted}
                good &= unexpected_statuses(section, notes["on kafka"], wanted)
                if "broke off" in notes["on kafka"]:
                    good = False
                    print(f"FAIL {section}: broke off", *notes["on kafka"]["broke off"][0], sep="\n    ")
                good &= tools.compare(section, notes["on klamm"], notes["on kafka"])
            if "shims" in notes:
                good &= shims.compare(section, terse(notes["shims"]), terse(notes["on klamm"]))
        if sections == SECTIONS:
            for comparison in [tools, shims] if kafka else [shims]:
                comparison.print_unused()
    return good


def main():
    """Starts the brokers and compares what the tools print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print what the tools say to Apache Kafka, and stop")
    parser.add_argument("--shims", action="store_true", help="compare the tools of klamm with Kafka's, and no brokers")
    parser.add_argument("--processes", action="store_true", help="start a JVM for every run of a tool")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    arguments = parser.parse_args()
    sections, shares_jvm = arguments.sections or SECTIONS, not arguments.processes
    if arguments.shims:
        return 0 if compare_all(None, list(filter(has_shims, sections)), shares_jvm) else 1
    with ApacheKafka(features=FEATURES) as kafka:
        if arguments.show:
            show(kafka, sections, shares_jvm)
            return 0
        return 0 if compare_all(kafka, sections, shares_jvm) else 1


if __name__ == "__main__":
    sys.exit(main())
