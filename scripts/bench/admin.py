"""Topics of a broker, asked for on a raw connection, with the codec of the oracle."""

import time

from install import kafka_jars

from codec import load
from connection import Connection

# Kafka makes a thousand partitions in seconds, not at once.
PATIENCE_S = 120
MESSAGES = {}


def connect(port):
    """A connection that speaks the messages of the published kafka-clients jar."""
    if not MESSAGES:
        MESSAGES.update(load(next(kafka_jars().glob("kafka-clients-*.jar"))))
    connection = Connection(port, MESSAGES)
    connection.socket.settimeout(PATIENCE_S)
    return connection


def create_topic(port, name, partitions, configs):
    """Creates a topic and waits until each partition has a leader that answers."""
    connection = connect(port)
    entries = [{"Name": key, "Value": value} for key, value in configs.items()]
    topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": entries}
    answer = connection.ask("CreateTopics", 5, {"Topics": [topic], "timeoutMs": PATIENCE_S * 1000})
    if answer["Topics"][0]["ErrorCode"] != 0:
        raise RuntimeError(f"topic {name}: {answer}")
    connection.close()
    wait_for_leaders(port, name, partitions)


def wait_for_leaders(port, name, partitions):
    """Waits until every partition answers ListOffsets."""
    deadline = time.monotonic() + PATIENCE_S
    while end_offsets(port, name, partitions) is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"topic {name} has no leaders")
        time.sleep(0.01)


def end_offsets(port, name, partitions):
    """The sum of a topic's end offsets, which is the number of its records; None while a partition has no leader."""
    return end_offsets_of(port, name, range(partitions))


def end_offsets_of(port, name, indexes):
    """The same of some of a topic's partitions."""
    connection = connect(port)
    asked = [{"PartitionIndex": index, "Timestamp": -1} for index in indexes]
    answer = connection.ask("ListOffsets", 4, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": asked}]})
    connection.close()
    found = answer["Topics"][0]["Partitions"]
    if any(partition["ErrorCode"] != 0 for partition in found):
        return None
    return sum(partition["Offset"] for partition in found)


def delete_topics(port, names):
    """Deletes topics; their files go soon after."""
    connection = connect(port)
    connection.ask("DeleteTopics", 3, {"TopicNames": names, "TimeoutMs": PATIENCE_S * 1000})
    connection.close()
