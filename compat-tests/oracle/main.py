"""Holds one conversation with Apache Kafka and with the broker under test, and compares what they answer.

    compat-tests/run.sh oracle          AGAINST=kafka in the environment compares Apache Kafka with itself
    python3 compat-tests/oracle/main.py --show NAME       prints Kafka's answers to the steps whose name holds NAME
    python3 compat-tests/oracle/main.py topics groups     holds these sections alone

Zero differences pass; so do those that `expected_differences.txt` names with a reason.
"""

import argparse
import fnmatch
import glob
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import codec  # noqa: E402
from connection import Connection  # noqa: E402
from conversation import SECTIONS  # noqa: E402
from talk import Talk  # noqa: E402

from harness.broker import ApacheKafka, broker_class  # noqa: E402
from harness.toolchains import kafka_classpath  # noqa: E402

# What is served; the table of ApiVersions is compared for these.
SERVED = """Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup
DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics InitProducerId OffsetForLeaderEpoch CreatePartitions
DeleteGroups OffsetDelete DescribeCluster DescribeTopicPartitions ElectLeaders AlterPartitionReassignments
ListPartitionReassignments DescribeQuorum AddRaftVoter RemoveRaftVoter DescribeAcls CreateAcls DeleteAcls
CreateDelegationToken RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DescribeConfigs
AlterConfigs IncrementalAlterConfigs ListConfigResources DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials
AlterUserScramCredentials UpdateFeatures UnregisterBroker DeleteRecords DescribeLogDirs AlterReplicaLogDirs
DescribeProducers AddPartitionsToTxn AddOffsetsToTxn EndTxn WriteTxnMarkers TxnOffsetCommit DescribeTransactions
ListTransactions""".split()
# A session of a day is refused and one of ten seconds is not, whatever a broker's default is.
SETTINGS = {"group.max.session.timeout.ms": "600000"}


def section_name(section):
    """The name of a section: its module's."""
    return section.__name__.split(".")[-1]


def served_ranges(port, messages):
    """The versions that a broker advertises: name -> (first, last)."""
    names = {
        message.key: name.removesuffix("Request") for name, message in messages.items() if name.endswith("Request")
    }
    connection = Connection(port, messages)
    answer = connection.ask("ApiVersions", 3, {"ClientSoftwareName": "oracle", "ClientSoftwareVersion": "1"})
    connection.close()
    return {
        names[row["ApiKey"]]: (row["MinVersion"], row["MaxVersion"])
        for row in answer["ApiKeys"]
        if row["ApiKey"] in names
    }


def hold(broker, messages, ranges, sections):
    """Holds sections of the conversation with one broker; returns its notes. One that breaks off notes that."""
    notes = {}
    for section in sections:
        talk = Talk(broker.port, messages, ranges)
        talk.section = section_name(section)
        try:
            section.talk(talk)
        except Exception:  # The other sections are still worth comparing.
            talk.note("broke off", traceback.format_exc(limit=-4))
        finally:
            talk.close()
        notes.update(talk.notes)
    return notes


def served_only(notes, messages):
    """Reduces the ApiVersions tables to the served keys, so that a broker with fewer APIs can be compared."""
    keys = {messages[f"{name}Request"].key for name in SERVED}
    for answer in notes.values():
        if isinstance(answer, dict) and isinstance(answer.get("ApiKeys"), list):
            answer["ApiKeys"] = [row for row in answer["ApiKeys"] if row["ApiKey"] in keys]
    return notes


def differences(ours, theirs, path=""):
    """Yields (path, ours, theirs) wherever two notes differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {**theirs, **ours}:
            yield from differences(ours.get(key, "absent"), theirs.get(key, "absent"), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, f"{path}.{index}")
    elif ours != theirs:
        yield path, ours, theirs


def expected():
    """The rules of `expected_differences.txt`: (pattern of `step | path`, reason)."""
    lines = (HERE / "expected_differences.txt").read_text().splitlines()
    rules = [line.split(" => ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern.strip(), reason.strip()) for pattern, reason in rules]


def compare(ours, theirs, sections):
    """Prints a line for each section and each difference; returns whether all differences are expected."""
    rules, used, good = expected(), set(), True
    for section in sections:
        name = section_name(section)
        steps = [step for step in {**theirs, **ours} if step.startswith(f"{name}: ")]
        wrong = 0
        if f"{name}: broke off" in theirs:
            # Answers that nobody asked for are equal.
            wrong += 1
            print(f"FAIL {name}: broke off\n{theirs[f'{name}: broke off']}")
        for step in steps:
            found = list(differences(ours.get(step, "no such step"), theirs.get(step, "no such step")))
            for rule in rules:
                matching = [one for one in found if fnmatch.fnmatchcase(f"{step} | {one[0]}", rule[0])]
                used |= {rule} if matching else set()
                found = [one for one in found if one not in matching]
            if found:
                wrong += 1
                print(f"FAIL {step}")
                for path, mine, kafka in found:
                    print(f"    {step} | {path}: {mine!r}, Kafka {kafka!r}")
        print(f"{'FAIL' if wrong else 'PASS'} {name}: {len(steps)} answers, {wrong} differ")
        good &= not wrong
    for rule in rules:
        if rule not in used and sections == SECTIONS:
            print(f"    not needed any more: {rule[0]}")
    return good


def main():
    """Starts both brokers, talks to them at the same time and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", metavar="NAME", help="print Kafka's answers to these steps")
    parser.add_argument("sections", nargs="*", help="the sections to hold, by name; all of them where none is named")
    arguments = parser.parse_args()
    sections = [one for one in SECTIONS if section_name(one) in arguments.sections] or SECTIONS
    messages = codec.load(glob.glob(kafka_classpath().replace("*", "kafka-clients-4*.jar"))[0])
    with ApacheKafka(SETTINGS) as kafka:
        ranges = served_ranges(kafka.port, messages)
        if arguments.show is not None:
            for step, answer in hold(kafka, messages, ranges, sections).items():
                if arguments.show in step:
                    print(f"{step}\n    {answer}")
            return 0
        with broker_class(os.environ.get("AGAINST", "klamm"))(SETTINGS) as broker, ThreadPoolExecutor(2) as pool:
            both = pool.map(lambda one: served_only(hold(one, messages, ranges, sections), messages), (broker, kafka))
            return 0 if compare(*both, sections) else 1


if __name__ == "__main__":
    sys.exit(main())
