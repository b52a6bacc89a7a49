"""Measures three nodes of Klamm beside three nodes of Apache Kafka, in turns: A B A B.

    python3 scripts/bench/clusters.py [--rounds N] [--megabytes N] [--only klamm,kafka] [--out FILE]

Each turn starts a cluster on empty directories and measures: how long it takes until every node answers and the quorum has a
leader; what each node has resident when idle; librdkafka's throughput with acks=all to a topic of one replica and to one of
three, with the processor time of all nodes per gigabyte; and how fast a follower that was away catches up. All nodes and
clients share the machine's cores: figures are to be compared within one run only. How long clients go without an answer when a
broker is lost is told by scripts/faults/lost_brokers.py, for both.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "compat-tests"), str(HERE.parents[1] / "compat-tests/oracle")]

import clients  # noqa: E402
import install  # noqa: E402
import machine  # noqa: E402
import participants  # noqa: E402

from harness import cluster as harness  # noqa: E402

RECORD_BYTES = 1000
PARTITIONS = 6
SETTLE_S = 3
CATCH_UP_DEADLINE_S = 120
SETTINGS = {"auto.create.topics.enable": "false", "log.segment.delete.delay.ms": "1000"}


class MeasuredKafkaNode(harness.KafkaNode):
    """A node of the newest Apache Kafka 4 with 1 GB of heap, as its own script starts it."""

    def java(self, main_class, *arguments):
        return ["java", *participants.KAFKA_JVM, "-cp", f"{install.kafka_jars()}/*", main_class, *arguments]


def kafka_tool(tool, *arguments):
    """Runs one of Kafka's tools; what it printed."""
    command = ["java", *clients.JVM, "-cp", f"{install.kafka_jars()}/*", f"org.apache.kafka.tools.{tool}", *arguments]
    return clients.finish(clients.start(command))


def create_topic(bootstrap, name, replicas):
    """Creates a topic, with Kafka's own tool for both."""
    words = ["--create", "--topic", name, "--partitions", str(PARTITIONS), "--replication-factor", str(replicas)]
    minimum = "2" if replicas > 1 else "1"
    kafka_tool("TopicCommand", "--bootstrap-server", bootstrap, *words, "--config", f"min.insync.replicas={minimum}")


def processor_seconds(nodes):
    """What the nodes' processes have used."""
    return sum(machine.cpu_seconds(node.process.pid) for node in nodes)


def produce(cluster, topic, count):
    """Throughput to a topic, and what all nodes used for it."""
    nodes = list(cluster.nodes.values())
    before = processor_seconds(nodes)
    measured = clients.produce(cluster.bootstrap, topic, count, RECORD_BYTES)
    gigabytes = count * RECORD_BYTES / 1e9
    return {"mb_s": measured["mb_s"], "cpu_s_per_gb": (processor_seconds(nodes) - before) / gigabytes}


def log_bytes(node, topic):
    """What a node's logs of a topic hold."""
    return sum(path.stat().st_size for path in node.data.glob(f"{topic}-*/*.log"))


def catch_up(cluster, topic, count):
    """How fast a node that missed `count` records gets them, in MB/s from when its logs begin to grow."""
    nodes = list(cluster.nodes.values())
    away = nodes[-1]
    away.stop()
    missed = log_bytes(away, topic)
    clients.produce(cluster.bootstrap, topic, count, RECORD_BYTES)
    wanted = log_bytes(nodes[0], topic)
    away.launch()
    wait_for_bytes(away, topic, missed + 1)
    already, started = log_bytes(away, topic), time.monotonic()
    wait_for_bytes(away, topic, wanted)
    seconds = time.monotonic() - started
    away.wait_until_it_answers()
    return (wanted - already) / seconds / 1e6


def wait_for_bytes(node, topic, wanted):
    """Waits until a node's logs of a topic hold as many bytes."""
    deadline = time.monotonic() + CATCH_UP_DEADLINE_S
    while log_bytes(node, topic) < wanted:
        if time.monotonic() > deadline:
            raise clients.Void(f"a follower has {log_bytes(node, topic)} of {wanted} bytes after {CATCH_UP_DEADLINE_S} s")
        time.sleep(0.002)


def turn(kind, count):
    """Everything of one kind of cluster."""
    cluster = harness.Cluster(kind, settings=SETTINGS)
    if kind == "kafka":
        for node in cluster.nodes.values():
            node.__class__ = MeasuredKafkaNode
            node.directory.mkdir(parents=True, exist_ok=True)
            node.command()
    try:
        started = time.monotonic()
        cluster.start()
        cluster.wait_for_controller()
        figures = {"up_s": time.monotonic() - started}
        time.sleep(SETTLE_S)
        figures["idle_mib"] = max(machine.status_mib(node.process.pid, "VmRSS") for node in cluster.nodes.values())
        for name, replicas in (("alone", 1), ("replicated", 3)):
            create_topic(cluster.bootstrap, name, replicas)
            produce(cluster, name, count // 10)
            figures |= {f"{name}_{metric}": value for metric, value in produce(cluster, name, count).items()}
        figures["loaded_mib"] = max(machine.status_mib(node.process.pid, "VmHWM") for node in cluster.nodes.values())
        figures["catch_up_mb_s"] = catch_up(cluster, "replicated", count)
        return figures
    finally:
        cluster.close()


def main():
    """Takes the turns and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1000, help="how much each producer sends")
    parser.add_argument("--only", default="klamm,kafka", help="who is measured; klamm,klamm tells how far two alike differ")
    parser.add_argument("--out", type=Path, help="a file for all figures, as JSON")
    arguments = parser.parse_args()
    names, found = arguments.only.split(","), []
    for number in range(arguments.rounds):
        turns = list(enumerate(names))
        for index, kind in turns if number % 2 == 0 else reversed(turns):
            figures = turn(kind, arguments.megabytes * 1_000_000 // RECORD_BYTES)
            found.append({"round": number, "participant": f"{kind}-{index}", **figures})
            print(json.dumps(found[-1]), flush=True)
    for participant in sorted({entry["participant"] for entry in found}):
        mine = [entry for entry in found if entry["participant"] == participant]
        medians = {key: round(statistics.median(entry[key] for entry in mine), 3) for key in mine[0] if "_" in key}
        print(participant, medians)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
