"""Who is measured: Apache Kafka, Klamm twice, and the floors. All are pinned to one core; those that wait are stopped."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import admin
import install
import machine

from harness import broker as harness
from harness.broker import ApacheKafka, Broker, Klamm

# The same policy for both, and deleted topics go before the next round.
SETTINGS = {
    "log.segment.delete.delay.ms": "1000",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
}
# What only Kafka needs: one replica of everything, as many threads as there are cores, and patience with a broker that was stopped for a while.
KAFKA_SETTINGS = {
    "num.network.threads": "2",
    "num.io.threads": "2",
    "broker.session.timeout.ms": "3600000",
    "controller.quorum.request.timeout.ms": "60000",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}
# Kafka's own start script passes these.
KAFKA_JVM = [
    "-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]  # fmt: skip
PROBE_S = 0.0005
# How long the files of deleted topics may stay.
DELETED_S = 60


class Participant:
    """What the measurement needs of a broker, beside what the compatibility tests' harness gives."""

    is_floor = False

    @property
    def pid(self):
        """The process."""
        return self.process.pid

    def launch(self):
        """Starts the process and returns the seconds until it answered a request."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = machine.pinned(self.command())
        with self.log.open("ab") as log:
            started = time.perf_counter()
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.directory, preexec_fn=machine.as_broker
            )
        while not harness.answers(self.port):
            if self.process.poll() is not None or time.perf_counter() - started > harness.START_DEADLINE_S:
                raise RuntimeError(f"{self.name} did not start:\n{self.log_tail()}")
            time.sleep(PROBE_S)
        return time.perf_counter() - started

    def pause(self):
        """Lets it take no CPU time while another is measured."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Goes on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        """Removes all data of a process that does not run."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def prepare(self):
        """What happens once before a start and is not part of it."""

    def create_topic(self, name, partitions, configs):
        """Creates a topic that is ready when this returns."""
        admin.create_topic(self.port, name, partitions, configs)

    def delete_topics(self, names):
        """Deletes topics and waits until their files are gone: that work is not the next one's."""
        admin.delete_topics(self.port, names)
        deadline = time.monotonic() + DELETED_S
        while any(any(self.data.glob(f"{name}-*")) for name in names):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: files of deleted topics are there after {DELETED_S} s")
            time.sleep(0.05)

    def record_count(self, name, partitions):
        """How many records a topic holds."""
        return admin.end_offsets(self.port, name, partitions)

    def record_count_of(self, name, indexes):
        """The same of some of its partitions."""
        return admin.end_offsets_of(self.port, name, indexes)

    def topic_bytes(self, name):
        """How many bytes a topic's segments hold."""
        return sum(path.stat().st_size for path in self.data.glob(f"{name}-*/*.log"))


class MeasuredKlamm(Participant, Klamm):
    """The binary under test, as it is by default."""

    def __init__(self, name, directory):
        super().__init__(SETTINGS, directory / name)
        self.name = name


class MeasuredKafka(Participant, ApacheKafka):
    """The newest Apache Kafka 4 in one process, with 1 GB of heap."""

    def __init__(self, name, directory):
        super().__init__({**SETTINGS, **KAFKA_SETTINGS}, directory / name)
        self.name = name

    def java(self, main_class, *arguments):
        return ["java", *KAFKA_JVM, "-cp", f"{install.kafka_jars()}/*", main_class, *arguments]

    def prepare(self):
        """Formats the storage."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.command()


class Floor(Participant, Broker):
    """A minimal program that speaks just enough of the protocol; it knows no topics and takes any."""

    is_floor = True

    def __init__(self, name, directory, partitions=1):
        super().__init__({}, directory / name)
        self.name = name
        self.partitions = partitions

    def command(self):
        self.data.mkdir(parents=True, exist_ok=True)
        return [install.floors(), self.name, str(self.port), str(self.partitions), str(self.data)]

    def create_topic(self, name, partitions, configs):
        """Starts again, with as many partitions and without data: a floor has one topic."""
        self.kill()
        self.wipe()
        self.partitions = partitions
        self.launch()

    def delete_topics(self, names):
        """Leaves the files for the next start, which removes them."""

    def record_count(self, name, partitions):
        return None

    def topic_bytes(self, name):
        return sum(path.stat().st_size for path in self.data.glob("*.log"))


KAFKA, KLAMM, AGAIN = "kafka", "klamm", "klamm-again"


def participant(name, directory):
    """The participant of that name, not started."""
    directory = Path(directory)
    if name == KAFKA:
        return MeasuredKafka(name, directory)
    if name in (KLAMM, AGAIN):
        return MeasuredKlamm(name, directory)
    return Floor(name, directory)


def versions():
    """What was measured."""
    binary = os.environ.get("KLAMM", harness.REPOSITORY / "target/release/klamm")
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return {"klamm": done.stdout.strip(), "kafka": install.KAFKA_VERSION, "librdkafka": install.RDKAFKA_VERSION}
