"""CreateTopics, CreatePartitions, DeleteTopics."""

import uuid

from conversation.metadata import BAD_NAMES


def topic(name, partitions=1, replication=1, assignments=(), **configs):
    """One topic to create; assignments are lists of brokers by partition."""
    return {
        "Name": name,
        "NumPartitions": partitions,
        "ReplicationFactor": replication,
        "Assignments": [{"PartitionIndex": index, "BrokerIds": brokers} for index, brokers in assignments],
        "Configs": [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()],
    }


def talk(broker):
    """Runs the section."""
    for version in broker.versions("CreateTopics", 4, 5):
        creating(broker, version)
    refused(broker)
    created_configs(broker)
    growing(broker)
    deleting(broker)


def create(broker, step, version, *topics, **options):
    """Asks for topics; their configurations are compared in a step of their own."""
    options = {"timeoutMs": 10_000, **options}
    answer = broker.main.ask("CreateTopics", version, {"Topics": list(topics), **options})
    for created in answer["Topics"]:
        if created.get("Configs"):
            created["Configs"] = "some"
    broker.note(f"{step}, CreateTopics v{version}", answer)


def creating(broker, version):
    """Good requests and those that every version refuses."""
    name = f"topics.v{version}"
    create(broker, "new", version, topic(name, 2))
    create(broker, "again", version, topic(name, 2))
    create(broker, "only validated", version, topic(f"{name}.dry", 3), validateOnly=True)
    create(broker, "one good, one bad", version, topic(f"{name}.good"), topic("bad/name"))
    create(broker, "the same twice", version, topic(f"{name}.twice"), topic(f"{name}.twice"), topic(f"{name}.once"))
    create(broker, "none", version)
    create(broker, "without time", version, topic(f"{name}.late"), topic("bad/name"), timeoutMs=0)
    create(broker, "with less than no time", version, topic(f"{name}.late"), timeoutMs=-1)
    create(broker, "none, without time", version, timeoutMs=0)
    create(broker, "assigned", version, topic(f"{name}.assigned", -1, -1, [(0, [broker.node]), (1, [broker.node])]))
    if version >= 4:
        create(broker, "defaults", version, topic(f"{name}.defaults", -1, -1))


def refused(broker):
    """Each reason to refuse a topic, in the newest version."""
    node, name = broker.node, "topics.refused"
    cases = {
        "0 partitions": topic(name, 0),
        "-2 partitions": topic(name, -2),
        "replication 0": topic(name, 1, 0),
        "replication -2": topic(name, 1, -2),
        "replication 3": topic(name, 1, 3),
        "assignment with count": topic(name, 2, -1, [(0, [node])]),
        "assignment with replication": topic(name, -1, 1, [(0, [node])]),
        "assignment with a hole": topic(name, -1, -1, [(0, [node]), (2, [node])]),
        "assignment from 1": topic(name, -1, -1, [(1, [node])]),
        "assignment of one partition twice": topic(name, -1, -1, [(0, [node]), (0, [node])]),
        "assignment to nobody": topic(name, -1, -1, [(0, [])]),
        "assignment to the same broker twice": topic(name, -1, -1, [(0, [node, node])]),
        "assignment to an unknown broker": topic(name, -1, -1, [(0, [777])]),
        "unknown config": topic(name, no_such_key="1"),
        "bad config number": topic(name, retention_ms="soon"),
        "config out of range": topic(name, segment_bytes="1"),
        "bad config choice": topic(name, cleanup_policy="burn"),
        "null config": topic(name, retention_ms=None),
        "config beyond the replicas": topic(name, min_insync_replicas="3"),
        "internal name": topic("__consumer_offsets"),
    }
    for step, case in cases.items():
        create(broker, step, 7, case)
        if case["Name"] == name:  # A case that was not refused must not spoil the next one.
            broker.main.ask("DeleteTopics", 1, {"TopicNames": [name], "TimeoutMs": 10_000})
    for bad, text in BAD_NAMES.items():
        create(broker, f"name {bad}", 7, topic(text))
    create(broker, "name that collides later", 7, topic("topics.collide_1"))
    create(broker, "name that collides", 7, topic("topics_collide.1"))
    create(broker, "a billion partitions", 7, topic(name, 1_000_000_000))


def created_configs(broker):
    """The configurations of a created topic: names, values, sources."""
    asked = topic("topics.configs", cleanup_policy="compact", retention_ms="1000", max_message_bytes="5000")
    answer = broker.main.ask("CreateTopics", 7, {"Topics": [asked], "timeoutMs": 10_000})
    for config in sorted(answer["Topics"][0].get("Configs") or [], key=lambda config: config["Name"]):
        broker.note(f"config {config['Name']} of a created topic", config)


def growing(broker):
    """CreatePartitions."""
    broker.create_topic("topics.grow", 2)
    api, node, count = "CreatePartitions", broker.node, 2
    for version in broker.versions(api, 1, 2):

        def grow(step, *wanted, **options):
            topics = [{"Assignments": None, **one} for one in wanted]
            broker.ask(step, api, version, {"Topics": topics, "TimeoutMs": 10_000, **options})

        grow("only validated", {"Name": "topics.grow", "Count": count + 1}, ValidateOnly=True)
        count += 1
        grow("one more", {"Name": "topics.grow", "Count": count})
        grow("the same", {"Name": "topics.grow", "Count": count})
        grow("fewer", {"Name": "topics.grow", "Count": 1})
        grow("zero", {"Name": "topics.grow", "Count": 0})
        grow("unknown topic", {"Name": "topics.unknown", "Count": 3})
        grow("invalid name", {"Name": "a/b", "Count": 3})
        grow("the same twice", {"Name": "topics.grow", "Count": 90}, {"Name": "topics.grow", "Count": 91})
        grow("none")
        grow("without time", {"Name": "topics.grow", "Count": count + 1}, {"Name": "a/b", "Count": 3}, TimeoutMs=0)
        grow("none, without time", TimeoutMs=0)
        more = {"Name": "topics.grow", "Count": count + 1}
        grow("assigned to an unknown broker", {**more, "Assignments": [{"BrokerIds": [777]}]})
        grow("assigned too many", {**more, "Assignments": [{"BrokerIds": [node]}, {"BrokerIds": [node]}]})
        grow("assigned to nobody", {**more, "Assignments": [{"BrokerIds": []}]})
        count += 1
        grow("assigned", {**more, "Assignments": [{"BrokerIds": [node]}]})


def deleting(broker):
    """DeleteTopics by name and by id."""
    api = "DeleteTopics"
    for version in broker.versions(api, 4, 5):
        name = f"topics.delete.v{version}"
        identity = broker.create_topic(name)
        wait = {"TimeoutMs": 10_000}
        names = [name, "topics.unknown"]
        late = {"TopicNames": names, "Topics": [{"Name": one} for one in names], "TimeoutMs": 0}
        broker.ask("without time", api, version, late)
        broker.ask("none, without time", api, version, {"TopicNames": [], "Topics": [], "TimeoutMs": 0})
        broker.ask(
            "known and unknown", api, version, {"TopicNames": names, "Topics": [{"Name": one} for one in names], **wait}
        )
        broker.ask("none", api, version, {"TopicNames": [], "Topics": [], **wait})
        twice = ["topics.configs", "topics.configs"]
        broker.ask(
            "the same twice", api, version, {"TopicNames": twice, "Topics": [{"Name": one} for one in twice], **wait}
        )
        broker.ask("invalid name", api, version, {"TopicNames": ["a/b"], "Topics": [{"Name": "a/b"}], **wait})
        if version >= 6:
            broker.ask("by an id that is gone", api, version, {"Topics": [{"TopicId": identity, "Name": None}], **wait})
            other = broker.create_topic(f"{name}.id")
            by_id = {"TopicId": other, "Name": None}
            broker.ask("by id twice", api, version, {"Topics": [by_id, by_id], **wait})
            broker.ask("by name and id", api, version, {"Topics": [{"TopicId": other, "Name": f"{name}.id"}], **wait})
            broker.ask("by nothing", api, version, {"Topics": [{"Name": None}], **wait})
            broker.ask("by unknown id", api, version, {"Topics": [{"TopicId": uuid.UUID(int=5), "Name": None}], **wait})
            broker.ask("by id", api, version, {"Topics": [by_id], **wait})
    broker.ask(
        "deleted topics are gone",
        "Metadata",
        9,
        {"Topics": [{"Name": "topics.delete.v1"}], "AllowAutoTopicCreation": False},
    )
