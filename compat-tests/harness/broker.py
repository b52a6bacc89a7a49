"""Brokers that a test starts on free loopback ports: Klamm, or Apache Kafka as its oracle. Both have the same interface."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# What both brokers are started with: short waits where Kafka's defaults make tests slow, nothing else.
SETTINGS = {
    # Not 0: kafka-python 3.0 loses a rejoin whose poll() ends meanwhile, with Apache Kafka as well.
    "group.initial.rebalance.delay.ms": "200",
    "group.min.session.timeout.ms": "500",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # How often transactions are looked through for those whose time is over.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
}

START_DEADLINE_S = 60
STOP_DEADLINE_S = 30


def free_port():
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether a Kafka broker answers ApiVersions v0 on this port."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(8)) > 0
    except OSError:
        return False


def klamm_binary():
    """The program under test; the environment's KLAMM names another than the release build."""
    return Path(os.environ.get("KLAMM", REPOSITORY / "target/release/klamm")).resolve()


class Broker:
    """One broker process on a data directory. `start`, `stop` and `kill` may be repeated: port and data stay."""

    def __init__(self, settings=None, directory=None):
        """`settings` are broker properties beside SETTINGS; without `directory` the data is thrown away at `close`."""
        self.owns_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="klamm-compat-"))
        self.data = self.directory / "data"
        self.log = self.directory / "broker.log"
        self.settings = {**SETTINGS, **(settings or {})}
        self.port = free_port()
        self.process = None

    @property
    def bootstrap(self):
        """The address that clients connect to."""
        return f"127.0.0.1:{self.port}"

    def command(self):
        """The command line that starts this broker."""
        raise NotImplementedError

    def start(self):
        """Starts the process and waits until it answers."""
        self.launch()
        return self.wait_until_it_answers()

    def launch(self):
        """Starts the process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)

    def wait_until_it_answers(self):
        """Waits until the process that was started answers."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not start:\n{self.log_tail()}")
            time.sleep(0.01)
        return self

    def stop(self):
        """Stops the process with SIGTERM. Returns its exit status; a process that ignores the signal is an error."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} ignored SIGTERM for {STOP_DEADLINE_S} s:\n{self.log_tail()}") from None
        self.process = None
        return status

    def kill(self):
        """Ends the process with SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        """Kills what still runs and removes the data, if nobody else owns it."""
        self.kill()
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines=40):
        """The last lines that the broker printed."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


class Klamm(Broker):
    """The broker under test."""

    name = "Klamm"

    def command(self):
        command = [klamm_binary(), "start", "--listen", self.bootstrap, "--data-dir", self.data]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return command


class ApacheKafka(Broker):
    """Apache Kafka 4.1 from its published artifacts: a combined broker and controller."""

    name = "Apache Kafka"
    CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
    JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

    def __init__(self, settings=None, directory=None, features=()):
        """`features`, such as `group.version=0`, are finalized at other levels than this release's."""
        super().__init__(settings, directory)
        self.controller_port = free_port()
        self.features = [word for feature in features for word in ("--feature", feature)]

    def java(self, main_class, *arguments):
        """The command line that runs a class of Apache Kafka."""
        from harness.toolchains import kafka_classpath  # Starting Klamm needs no Java.

        return ["java", *self.JVM, "-cp", kafka_classpath(), main_class, *arguments]

    def command(self):
        properties = self.directory / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()))
        if not (self.data / "meta.properties").exists():
            storage = ["format", "-t", self.CLUSTER_ID, "-c", str(properties), *self.features]
            format_storage = self.java("kafka.tools.StorageTool", *storage)
            subprocess.run(format_storage, check=True, capture_output=True)
        return self.java("kafka.Kafka", str(properties))

    def properties(self):
        """The content of server.properties."""
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.data),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            **self.settings,
        }


def broker_class(name):
    """The class behind the name that `--against` takes."""
    return {"klamm": Klamm, "kafka": ApacheKafka}[name]
