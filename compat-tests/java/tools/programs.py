"""Command-line tools by the names of Kafka's scripts, and how each is started as a program of its own: Apache Kafka's by Java,
or klamm in their place."""

import os
import subprocess

from harness.broker import klamm_binary
from harness.toolchains import CACHE, COMPAT_TESTS, installed_once, kafka_classpath

# Script -> main class, as the scripts of Kafka's distribution name them.
MAIN_CLASSES = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-dump-log": "kafka.tools.DumpLogSegments",
    "kafka-e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}
# The tools that klamm stands in for, as `klamm TOOL`.
SHIMS = {
    "kafka-broker-api-versions",
    "kafka-cluster",
    "kafka-configs",
    "kafka-console-consumer",
    "kafka-console-producer",
    "kafka-consumer-groups",
    "kafka-get-offsets",
    "kafka-groups",
    "kafka-storage",
    "kafka-topics",
}
# The tools that ask no broker.
LOCAL = {"kafka-storage", "kafka-dump-log"}
# What a tool says by its log alone is part of what it tells; the others print the same besides, and clients are silent.
LOGGING = {
    "defaultLogLevel": "off",
    "log.org.apache.kafka.tools.consumer": "error",
    "log.org.apache.kafka.clients.producer.internals.ErrorLoggingCallback": "error",
    "showThreadName": "false",
    "showLogName": "false",
}
JVM = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
JVM += [f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in LOGGING.items()]
PATIENCE_S = 60


class Programs:
    """Starts tools. With an archive of loaded classes, a JVM takes half the time to start."""

    def __init__(self, archive=None):
        self.classpath = kafka_classpath()
        self.archive = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive else []

    def command(self, tool, arguments, *options):
        """The command line of a tool."""
        return ["java", *JVM, *self.archive, *options, "-cp", self.classpath, MAIN_CLASSES[tool], *arguments]

    def start(self, tool, arguments, directory, stdin=subprocess.DEVNULL):
        """Starts a tool in a working directory; its errors go where its output goes."""
        # Times of day are printed in the local zone.
        environment = {**os.environ, "TZ": "UTC"}
        return subprocess.Popen(
            self.command(tool, arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=directory,
            env=environment,
        )

    def run(self, tool, arguments, directory, text=""):
        """Runs a tool to its end with `text` as its input; returns its output and exit status."""
        process = self.start(tool, arguments, directory, subprocess.PIPE)
        try:
            output, _ = process.communicate(text, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nkilled after {PATIENCE_S} s"
        return output, process.returncode


class OurPrograms(Programs):
    """Starts klamm in the place of the tools that it stands in for, and the others as `programs` does."""

    def __init__(self, programs):
        self.classpath, self.archive = programs.classpath, programs.archive

    def command(self, tool, arguments, *options):
        if tool in SHIMS:
            return [klamm_binary(), tool, *arguments]
        return super().command(tool, arguments, *options)


def class_archive(bootstrap):
    """The archive of the classes that tools load, made once with a broker's help; None where the JVM cannot make it."""
    archive, plain = CACHE / "java/tools.jsa", Programs()
    topic = ["--topic", "class-archive"]
    samples = [
        ("kafka-configs", ["--describe", "--entity-type", "topics"]),
        ("kafka-consumer-groups", ["--list"]),
        ("kafka-console-producer", topic),
        ("kafka-console-consumer", [*topic, "--partition", "0", "--timeout-ms", "1000"]),
        ("kafka-topics", ["--delete", *topic]),
    ]
    with installed_once(archive, COMPAT_TESTS / "java/pom.xml") as stale:
        if stale:
            archive.unlink(missing_ok=True)
            classes = {}
            for tool, arguments in samples:
                names = archive.with_suffix(f".{tool}")
                listing = f"-XX:DumpLoadedClassList={names}"
                command = plain.command(tool, [*arguments, "--bootstrap-server", bootstrap], listing)
                subprocess.run(command, input="a\n", text=True, capture_output=True, timeout=PATIENCE_S, check=False)
                classes.update(dict.fromkeys(names.read_text().splitlines() if names.exists() else []))
                names.unlink(missing_ok=True)
            listed = archive.with_suffix(".classes")
            listed.write_text("\n".join(classes) + "\n")
            dump = ["-Xshare:dump", f"-XX:SharedClassListFile={listed}", f"-XX:SharedArchiveFile={archive}"]
            subprocess.run(["java", *JVM, *dump, "-cp", plain.classpath], capture_output=True, check=False)
    return archive if archive.exists() else None
