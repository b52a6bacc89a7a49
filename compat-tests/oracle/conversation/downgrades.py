"""Transactions while an older transaction.version is finalized, by clients that heed it and by such that do not."""

from conversation.fetch import body as fetching
from conversation.fetch import partition
from conversation.isolation import look
from conversation.transactional import Producer, adding, ask_settled, describe, initialising, wait_for_coordinator
from conversation.transactions import TOPIC, endings

FEATURE = "transaction.version"
UPGRADE, SAFE_DOWNGRADE = 1, 2


def talk(broker):
    """Runs the section."""
    wait_for_coordinator(broker)
    # Unless the section about transactions has been held before.
    topic = {"Name": TOPIC, "NumPartitions": 3, "ReplicationFactor": 1}
    broker.main.ask("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 10_000})
    broker.wait_for_leaders(TOPIC, 3)
    before = Producer(broker, "before the downgrades")
    before.add({TOPIC: [0]}, 5)
    for level in (1, 0):
        finalise(broker, level, SAFE_DOWNGRADE)
        in_version(broker, level)
    broker.note("begun before the downgrades", before.end(True, 4))
    broker.note("begun before the downgrades, described", describe(broker, before.name))
    during = Producer(broker, "begun while downgraded")
    during.add({TOPIC: [0]})
    for refused in (3, -1):
        update(broker, f"to {refused}", refused, UPGRADE)
    finalise(broker, 2, UPGRADE)
    broker.note("begun while downgraded", during.end(True, 5))
    broker.note("begun while downgraded, described", describe(broker, during.name))


def update(broker, step, level, kind):
    """Asks for another level of the feature."""
    updates = [{"Feature": FEATURE, "MaxVersionLevel": level, "UpgradeType": kind}]
    return broker.ask(
        step, "UpdateFeatures", 1, {"timeoutMs": 10_000, "FeatureUpdates": updates, "ValidateOnly": False}
    )


def finalise(broker, level, kind):
    """Finalizes a level and waits until the broker tells it."""
    update(broker, f"to {level}", level, kind)
    for _ in range(1000):
        software = {"ClientSoftwareName": "oracle", "ClientSoftwareVersion": "1"}
        features = broker.main.ask("ApiVersions", 4, software)["FinalizedFeatures"]
        found = [row["MaxVersionLevel"] for row in features if row["Name"] == FEATURE] or [0]
        if found == [level]:
            break
    broker.note(f"finalized {level}", found)
    broker.settle()


def in_version(broker, level):
    """What transactions are like in one version."""
    prefix = f"in version {level}, "
    # Clients of version 2 stop Apache Kafka's coordinator at version 0 for their transactional id, until it restarts.
    newest = 5 if level else 4
    if level:
        for version in (4, 5):
            endings(broker, version, prefix, offsets=(0,))
    name = f"downgrades.{level}"
    broker.create_topic(name)
    producer = Producer(broker, name)
    broker.note(f"{prefix}sent without being added", producer.send(name, version=11))
    if level:
        broker.note(f"{prefix}sent without being added, Produce v12", producer.send(name, version=12))
    broker.note(f"{prefix}described", describe(broker, name))
    for version in range(3, newest + 1):
        body = adding(name, producer.now, {name: [0]})
        ask_settled(broker, f"{prefix}added", "AddPartitionsToTxn", version, body)
    broker.note(f"{prefix}sent", producer.send(name))
    broker.note(f"{prefix}ended", producer.end(True, 4))
    ask_settled(broker, f"{prefix}started again", "InitProducerId", 5, initialising(name, producer=producer.now))
    look(broker, f"{prefix}seen", name, versions=(11,))
    broker.ask(f"{prefix}read", "Fetch", 16, fetching(broker, partition(0, 0), name=name, IsolationLevel=1))
