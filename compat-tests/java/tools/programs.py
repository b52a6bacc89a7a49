"""Command-line tools by the names of Kafka's scripts, and how each is run: Apache Kafka's by Java, or klamm in their place."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.broker import klamm_binary
from harness.tool_host import ToolHost, host_command
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
# The tools that end their process otherwise than the others do, so that they need one.
ALONE = {"kafka-verifiable-consumer", "kafka-verifiable-producer"}
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
# For the JVM that many tools run in.
HOST = ["-Xmx384m"]
# More than the minute during which a client asks again.
PATIENCE_S = 75


class Programs:
    """Runs tools in a directory of its own. With an archive of loaded classes, a JVM takes half the time to start.

    Tools that run to their end share one long-lived JVM after another, unless each is to have a process of its own.
    """

    def __init__(self, archive=None, shares_jvm=True):
        self.classpath = kafka_classpath()
        self.archive = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive else []
        self.shares_jvm = shares_jvm
        self.directory = Path(tempfile.mkdtemp(prefix="klamm-tools-"))
        # Times of day are printed in the local zone.
        self.environment = {**os.environ, "TZ": "UTC"}
        self.host = None

    def command(self, tool, arguments, *options):
        """The command line of a tool."""
        return ["java", *JVM, *self.archive, *options, "-cp", self.classpath, MAIN_CLASSES[tool], *arguments]

    def start(self, tool, arguments, stdin=subprocess.DEVNULL):
        """Starts a tool; its errors go where its output goes."""
        return subprocess.Popen(
            self.command(tool, arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.directory,
            env=self.environment,
        )

    def run(self, tool, arguments, text=""):
        """Runs a tool to its end with `text` as its input; returns its output and exit status."""
        if self.shares_jvm and tool not in ALONE:
            return self.run_in_host(tool, arguments, text)
        return self.run_alone(tool, arguments, text)

    def run_alone(self, tool, arguments, text):
        """Runs a tool in a process of its own."""
        process = self.start(tool, arguments, subprocess.PIPE)
        try:
            output, _ = process.communicate(text, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nkilled after {PATIENCE_S} s"
        return output, process.returncode

    def run_in_host(self, tool, arguments, text):
        """Runs a tool in the JVM that others have run in."""
        if self.host is None:
            command = host_command(*JVM, *HOST, *self.archive)
            self.host = ToolHost(command, self.directory, self.environment, PATIENCE_S)
        output, status, goes_on = self.host.run(MAIN_CLASSES[tool], arguments, text)
        if not goes_on:
            self.host = None
        return output, status

    def empty_directory(self):
        """Removes what was written into the directory."""
        for entry in self.directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def close(self):
        """Ends the JVM and removes the directory."""
        if self.host is not None:
            self.host.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class OurPrograms(Programs):
    """Starts klamm in the place of the tools that it stands in for, and the others as `Programs` does."""

    def command(self, tool, arguments, *options):
        if tool in SHIMS:
            return [klamm_binary(), tool, *arguments]
        return super().command(tool, arguments, *options)

    def run(self, tool, arguments, text=""):
        return self.run_alone(tool, arguments, text) if tool in SHIMS else super().run(tool, arguments, text)


def class_archive(bootstrap):
    """The archive of the classes that tools load, made once with a broker's help; None where the JVM cannot make it."""
    archive = CACHE / "java/tools.jsa"
    topic = ["--topic", "class-archive"]
    samples = [
        ("kafka-configs", ["--describe", "--entity-type", "topics"]),
        ("kafka-consumer-groups", ["--list"]),
        ("kafka-console-producer", topic),
        ("kafka-console-consumer", [*topic, "--partition", "0", "--timeout-ms", "1000"]),
        ("kafka-topics", ["--delete", *topic]),
    ]
    with installed_once(archive, COMPAT_TESTS / "java/pom.xml") as stale, Programs() as plain:
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
