"""Clusters of several brokers that a test starts, each node a broker and a controller: of Klamm, or of Apache Kafka."""

import shutil
import socket
import struct
import tempfile
import time
from pathlib import Path

from harness.broker import ApacheKafka, Klamm, free_port

# A group's and a transaction's state survives what their topics survive.
SETTINGS = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    "default.replication.factor": "3",
}
FORMING_DEADLINE_S = 60


class KlammNode(Klamm):
    """One node of a cluster of Klamm."""

    def __init__(self, cluster, node_id, directory, settings):
        own = {"node.id": str(node_id), "controller.quorum.voters": cluster.voters}
        super().__init__({**SETTINGS, **settings, **own}, directory)
        self.node_id = node_id


class KafkaNode(ApacheKafka):
    """One node of a cluster of Apache Kafka."""

    def __init__(self, cluster, node_id, directory, settings):
        super().__init__({**SETTINGS, **settings}, directory)
        self.node_id, self.controller_port, self.voters = node_id, cluster.controller_ports[node_id], cluster.voters

    def properties(self):
        """The content of server.properties."""
        own = {"node.id": str(self.node_id), "controller.quorum.voters": self.voters}
        return {**super().properties(), **self.settings, **own}


class Cluster:
    """Some nodes, by their ids from 1 on; their data is thrown away at `close`."""

    def __init__(self, kind="klamm", size=3, settings=None):
        """`kind` is `klamm` or `kafka`; `settings` are every node's."""
        self.directory = Path(tempfile.mkdtemp(prefix="klamm-cluster-"))
        self.controller_ports = {node_id: free_port() for node_id in range(1, size + 1)}
        self.voters = ",".join(f"{node_id}@127.0.0.1:{port}" for node_id, port in self.controller_ports.items())
        make = {"klamm": KlammNode, "kafka": KafkaNode}[kind]
        self.nodes = {
            node_id: make(self, node_id, self.directory / f"node-{node_id}", settings or {})
            for node_id in self.controller_ports
        }

    @property
    def bootstrap(self):
        """The addresses that clients begin with: every node's."""
        return ",".join(node.bootstrap for node in self.nodes.values())

    def start(self):
        """Starts the nodes at once, and waits until each answers; how long that took, in seconds."""
        started = time.monotonic()
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.wait_until_it_answers()
        return time.monotonic() - started

    def running(self):
        """The nodes whose processes are there."""
        return [node for node in self.nodes.values() if node.process is not None]

    def controller_id(self):
        """The node that leads the metadata quorum; None while nobody knows one."""
        for node in self.running():
            leader = quorum_leader(node.port)
            if leader is not None and leader >= 0:
                return leader
        return None

    def wait_for_controller(self):
        """The node that leads the metadata quorum, once there is one."""
        deadline = time.monotonic() + FORMING_DEADLINE_S
        while (found := self.controller_id()) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the quorum has no leader:\n{self.log_tails()}")
            time.sleep(0.02)
        return found

    def log_tails(self):
        """The last lines that each node printed."""
        return "\n".join(f"--- node {node.node_id}\n{node.log_tail()}" for node in self.nodes.values())

    def log_text(self):
        """All that the nodes have printed."""
        return "".join(node.log.read_text(errors="replace") for node in self.nodes.values() if node.log.exists())

    def close(self):
        """Kills what still runs and removes the data."""
        for node in self.nodes.values():
            node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def quorum_leader(port):
    """Whom the broker at `port` says to lead the metadata quorum, by DescribeQuorum v0; None where it cannot tell."""
    name = b"__cluster_metadata"
    header = struct.pack(">hhihB", 55, 0, 1, -1, 0)
    body = bytes([2, len(name) + 1]) + name + bytes([2]) + struct.pack(">iB", 0, 0) + bytes([0, 0])
    request = header + body
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(2)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", exactly(connection, 4))
            answer = exactly(connection, length)
    except OSError:
        return None
    # The correlation id, no tagged fields, no error, one topic; its name and one partition, which begins with its index.
    at = 4 + 1
    (error,) = struct.unpack_from(">h", answer, at)
    if error or answer[at + 2] != 2:
        return None
    at += 3 + 1 + len(name) + 1
    _, partition_error, leader = struct.unpack_from(">ihi", answer, at)
    return None if partition_error else leader


def exactly(connection, count):
    """The next `count` bytes of a connection."""
    received = b""
    while len(received) < count:
        more = connection.recv(count - len(received))
        if not more:
            raise OSError("the connection was closed")
        received += more
    return received
