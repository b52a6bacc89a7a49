"""One run of the conversation with one broker: asks, notes every answer under a name, and makes two brokers' notes comparable."""

import re
import time
import uuid

from batches import describe
from connection import Connection

# How long to wait for an answer that Kafka is known to owe for ever.
UNANSWERED_S = 2
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NODE_FIELDS = {"NodeId", "BrokerId", "LeaderId", "ControllerId", "ReplicaNodes", "IsrNodes"}
# Texts for people, or their absence.
TEXTS = {"ErrorMessage", "BatchIndexErrorMessage"}
# Values that a broker chooses; what matters is whether they are there.
CHOSEN = {
    "Port": 0,
    "ClusterId": None,
    "SessionId": 0,
    "ProducerId": -1,
    "FinalizedFeaturesEpoch": -1,
}
ORDER = (
    "Name",
    "Topic",
    "TopicId",
    "ApiKey",
    "GroupId",
    "Key",
    "PartitionIndex",
    "Partition",
    "MemberId",
    "GroupInstanceId",
)


class Talk:
    """Answers of one broker. `section` is set by the runner; names of steps are unique within a section."""

    def __init__(self, port, messages, ranges):
        """`ranges` are the versions that the oracle serves: API name -> (first, last)."""
        self.port = port
        self.messages = messages
        self.ranges = ranges
        self.notes = {}
        self.section = ""
        self.connections = []
        self.main = self.connect(lasting=True)
        self.node = self.main.ask("Metadata", 1, {"Topics": []})["Brokers"][0]["NodeId"]
        self.topic_ids = {}

    def connect(self, lasting=False):
        """Another connection; closed with the talk."""
        self.connections.append(Connection(self.port, self.messages, lasting))
        return self.connections[-1]

    def note(self, step, answer):
        """Notes an answer; returns it as it came."""
        name = f"{self.section}: {step}"
        assert name not in self.notes, f"two steps are named {name}"
        self.notes[name] = self.comparable(answer)
        return answer

    def ask(self, step, api, version, body, on=None, **options):
        """Asks on the main connection, or on another; notes the answer under the step's name and version."""
        connection = on or self.main
        return self.note(f"{step}, {api} v{version}", connection.ask(api, version, body, **options))

    def ask_alone(self, step, api, version, body, **options):
        """Asks on a connection of its own, for requests that may close it."""
        connection = self.connect()
        answer = connection.ask(api, version, body, **options)
        connection.close()
        return self.note(f"{step}, {api} v{version}", answer)

    def versions(self, api, *wanted):
        """The versions to try: those wanted, the first and the last that the API has."""
        first, last = self.ranges[api]
        return sorted({first, last, *(version for version in wanted if first <= version <= last)})

    def create_topic(self, name, partitions=1, **configs):
        """Creates a topic without noting anything; returns its id once its partitions can be used."""
        entries = [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()]
        topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": entries}
        answer = self.main.ask("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 10_000})
        assert answer["Topics"][0]["ErrorCode"] == 0, answer
        self.topic_ids[name] = answer["Topics"][0]["TopicId"]
        self.wait_for_leaders(name, partitions)
        return self.topic_ids[name]

    def wait_for_leaders(self, name, partitions):
        """Waits until all partitions of a topic have a leader that knows it."""
        asked = [{"PartitionIndex": index, "Timestamp": -1} for index in range(partitions)]
        body = {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": asked}]}
        for _ in range(500):
            topic = self.main.ask("Metadata", 1, {"Topics": [{"Name": name}]})["Topics"][0]
            leaders = self.main.ask("ListOffsets", 1, body)["Topics"][0]["Partitions"]
            if len(topic["Partitions"]) == partitions and not any(
                p["ErrorCode"] for p in (*topic["Partitions"], *leaders)
            ):
                return
            time.sleep(0.01)
        raise AssertionError(f"no leaders for {name}")

    def settle(self):
        """Leaves a broker the time to follow what its controller has decided: Kafka's answers before it does."""
        time.sleep(0.3)

    def wait_for_coordinator(self, group):
        """Waits until the group's coordinator is ready."""
        for _ in range(500):
            found = self.main.ask("FindCoordinator", 1, {"Key": group, "KeyType": 0})
            if (
                found["ErrorCode"] == 0
                and self.main.ask("DescribeGroups", 0, {"Groups": [group]})["Groups"][0]["ErrorCode"] == 0
            ):
                return
            time.sleep(0.01)
        raise AssertionError(f"no coordinator for {group}")

    def comparable(self, value, name=""):
        """An answer with chosen values replaced, in an order of its own."""
        if isinstance(value, dict):
            return {key: self.comparable(content, key) for key, content in value.items()}
        if isinstance(value, list):
            elements = [self.comparable(element, name) for element in value]
            if all(isinstance(element, dict) for element in elements):
                elements.sort(key=lambda element: [*(str(element.get(field)) for field in ORDER), repr(element)])
            # The partitions of a transaction are told in no order.
            return sorted(elements) if name == "Partitions" and elements and isinstance(elements[0], int) else elements
        if name in TEXTS:
            return "a text or none"
        if name in CHOSEN:
            return value if value in (CHOSEN[name], "") else f"some {name}"
        if name in NODE_FIELDS and value == self.node:
            return "the node"
        if isinstance(value, uuid.UUID):
            return "some id" if value.int else "no id"
        if isinstance(value, int) and not isinstance(value, bool) and abs(value / 1000 - time.time()) < 86_400:
            return "now"
        if isinstance(value, str):
            return UUID.sub("UUID", value)
        if isinstance(value, bytes):
            return self.comparable(describe(value)) if name == "Records" else value.hex()
        return value

    def close(self):
        """Closes all connections."""
        for connection in self.connections:
            connection.close()
