"""Metadata, DescribeCluster, DescribeTopicPartitions, FindCoordinator."""

import uuid

BAD_NAMES = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "path": "../x",
    "slash": "a/b",
    "space": "a b",
    "NUL": "a\0b",
    "umlaut": "\u00fc",
    "250 letters": "x" * 250,
}


def talk(broker):
    """Runs the section."""
    topic_id = broker.create_topic("metadata.known", 3)
    for version in broker.versions("Metadata", 1, 4, 8, 9, 10, 12):
        by_version(broker, version, topic_id)
    for name, bad in BAD_NAMES.items():
        for version in (1, 9, 13):
            broker.ask(f"name {name}", "Metadata", version, {"Topics": [{"Name": bad}], "AllowAutoTopicCreation": True})
    broker.ask(
        "249 letters without creation",
        "Metadata",
        9,
        {"Topics": [{"Name": "y" * 249}], "AllowAutoTopicCreation": False},
    )
    auto_creation(broker)
    cluster(broker)
    topic_partitions(broker, topic_id)
    coordinators(broker)


def by_version(broker, version, topic_id):
    """The same questions in one version."""
    everything = {"Topics": [] if version == 0 else None, "AllowAutoTopicCreation": False}
    broker.ask("all topics", "Metadata", version, everything)
    if version > 0:
        broker.ask("no topic", "Metadata", version, {"Topics": []})
    known = {"Name": "metadata.known"}
    broker.ask("known topic", "Metadata", version, {"Topics": [known]})
    broker.ask("known topic twice", "Metadata", version, {"Topics": [known, known]})
    if version >= 4:
        unknown = {"Topics": [{"Name": "metadata.unknown"}, known], "AllowAutoTopicCreation": False}
        broker.ask("unknown topic", "Metadata", version, unknown)
    if 8 <= version:
        asking = {
            "Topics": [known],
            "IncludeTopicAuthorizedOperations": True,
            "IncludeClusterAuthorizedOperations": True,
        }
        broker.ask("authorized operations", "Metadata", version, asking)
    if version >= 12:
        broker.ask("by id", "Metadata", version, {"Topics": [{"TopicId": topic_id, "Name": None}]})
        broker.ask("unknown id", "Metadata", version, {"Topics": [{"TopicId": uuid.UUID(int=77), "Name": None}]})
        broker.ask("neither id nor name", "Metadata", version, {"Topics": [{"Name": None}]})
    elif version >= 10:
        broker.ask_alone("by id too early", "Metadata", version, {"Topics": [{"TopicId": topic_id, "Name": None}]})


def auto_creation(broker):
    """A topic that is created by asking for it is there soon after, with the default of one partition."""
    broker.main.ask("Metadata", 9, {"Topics": [{"Name": "metadata.auto"}], "AllowAutoTopicCreation": True})
    broker.wait_for_leaders("metadata.auto", 1)
    broker.ask("created by asking", "Metadata", 9, {"Topics": [{"Name": "metadata.auto"}]})


def cluster(broker):
    """DescribeCluster and its endpoint types."""
    for version in broker.versions("DescribeCluster", 1):
        broker.ask("cluster", "DescribeCluster", version, {})
        broker.ask("cluster operations", "DescribeCluster", version, {"IncludeClusterAuthorizedOperations": True})
        if version >= 1:
            broker.ask("controllers", "DescribeCluster", version, {"EndpointType": 2})
            broker.ask("endpoint type 9", "DescribeCluster", version, {"EndpointType": 9})
    broker.ask("fenced brokers too", "DescribeCluster", 2, {"IncludeFencedBrokers": True})


def topic_partitions(broker, topic_id):
    """DescribeTopicPartitions: names, the limit and the cursor."""
    known, api = {"Name": "metadata.known"}, "DescribeTopicPartitions"
    broker.create_topic("metadata.other", 2)
    other = {"Name": "metadata.other"}
    for step, body in {
        "known": {"Topics": [known]},
        "two topics": {"Topics": [other, known]},
        "unknown": {"Topics": [{"Name": "metadata.unknown"}, known]},
        "invalid name": {"Topics": [{"Name": "a/b"}]},
        "twice": {"Topics": [known, known]},
        "limit 2": {"Topics": [known, other], "ResponsePartitionLimit": 2},
        "limit 4": {"Topics": [known, other], "ResponsePartitionLimit": 4},
        "limit 0": {"Topics": [known], "ResponsePartitionLimit": 0},
        "cursor": {"Topics": [known, other], "Cursor": {"TopicName": "metadata.known", "PartitionIndex": 1}},
        "cursor at another topic": {
            "Topics": [known, other],
            "Cursor": {"TopicName": "metadata.mean", "PartitionIndex": 0},
        },
        "cursor negative": {"Topics": [known], "Cursor": {"TopicName": "metadata.known", "PartitionIndex": -1}},
    }.items():
        broker.ask_alone(step, api, 0, body)


def coordinators(broker):
    """FindCoordinator for groups."""
    broker.main.ask("FindCoordinator", 1, {"Key": "metadata-group", "KeyType": 0})
    broker.wait_for_coordinator("metadata-group")
    for version in broker.versions("FindCoordinator", 1, 3, 4):
        keys = {"Key": "metadata-group", "CoordinatorKeys": ["metadata-group", "another"], "KeyType": 0}
        broker.ask("group", "FindCoordinator", version, keys)
        broker.ask("empty key", "FindCoordinator", version, {**keys, "Key": "", "CoordinatorKeys": [""]})
        if version >= 4:
            broker.ask("no keys", "FindCoordinator", version, {**keys, "CoordinatorKeys": []})
        if version >= 1:
            broker.ask_alone("key type 9", "FindCoordinator", version, {**keys, "KeyType": 9})
