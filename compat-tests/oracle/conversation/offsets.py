"""ListOffsets and OffsetForLeaderEpoch."""

from batches import START_MS, batch

from conversation.produce import request

# Record n has the timestamp START_MS + TIMES[n]; the newest is not the last.
TIMES = (0, 10, 20, 1000, 1010, 5000, 2000)


def talk(broker):
    """Runs the section."""
    name = "offsets.topic"
    broker.create_topic(name, 2)
    for first, values in ((0, "abc"), (1000, "de"), (5000, "f"), (2000, "g")):
        broker.main.ask("Produce", 9, request(broker, name, batch(list(values), base_timestamp=START_MS + first)))
    for version in broker.versions("ListOffsets", 4, 6, 7, 8, 9):
        times(broker, name, version)
        errors(broker, name, version)
    for version in broker.versions("OffsetForLeaderEpoch", 3):
        epochs(broker, name, version)


def listing(name, *partitions, isolation=0, replica=-1):
    """A ListOffsets request; partitions are (index, timestamp) or (index, timestamp, leader epoch)."""
    fields = ("PartitionIndex", "Timestamp", "CurrentLeaderEpoch")
    asked = [dict(zip(fields, partition, strict=False)) for partition in partitions]
    asked = [{"CurrentLeaderEpoch": -1, **partition} for partition in asked]
    return {"ReplicaId": replica, "IsolationLevel": isolation, "Topics": [{"Name": name, "Partitions": asked}]}


def times(broker, name, version):
    """Every timestamp of interest, and the special ones."""
    special = {
        "latest": -1,
        "earliest": -2,
        "newest": -3,
        "earliest local": -4,
        "tiered": -5,
        "pending": -6,
        "-99": -99,
    }
    for step, timestamp in special.items():
        broker.ask_alone(step, "ListOffsets", version, listing(name, (0, timestamp)))
        broker.ask_alone(f"{step} of an empty partition", "ListOffsets", version, listing(name, (1, timestamp)))
    for after in (-1000, 0, 5, 15, 20, 21, 1005, 1011, 3000, 5000, 5001):
        broker.ask(f"{after} ms after the first", "ListOffsets", version, listing(name, (0, START_MS + after)))
    broker.ask("timestamp 0", "ListOffsets", version, listing(name, (0, 0)))
    broker.ask("committed only", "ListOffsets", version, listing(name, (0, -1), isolation=1))


def errors(broker, name, version):
    """Partitions that are not there, twice there, or of another epoch."""
    broker.ask("unknown partition", "ListOffsets", version, listing(name, (7, -1), (-1, -1), (0, -1)))
    broker.ask("unknown topic", "ListOffsets", version, listing("offsets.unknown", (0, -1)))
    broker.ask("a partition twice", "ListOffsets", version, listing(name, (0, -1), (0, -2)))
    broker.ask("no partition", "ListOffsets", version, listing(name))
    broker.ask("no topic", "ListOffsets", version, {"ReplicaId": -1})
    broker.ask_alone("isolation level 7", "ListOffsets", version, listing(name, (0, -1), isolation=7))
    if version >= 4:
        broker.ask("newer leader epoch", "ListOffsets", version, listing(name, (0, -1, 50)))
        broker.ask("this leader epoch", "ListOffsets", version, listing(name, (0, -1, 0)))
        broker.ask("epoch -5", "ListOffsets", version, listing(name, (0, -1, -5)))


def epochs(broker, name, version):
    """End offsets of leader epochs."""

    def ask(step, topic, partition, leader_epoch, current=-1):
        asked = {"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": leader_epoch}
        body = {"ReplicaId": -1, "Topics": [{"Topic": topic, "Partitions": [asked]}]}
        broker.ask(step, "OffsetForLeaderEpoch", version, body)

    ask("epoch 0", name, 0, 0)
    ask("epoch 5", name, 0, 5)
    ask("epoch -1", name, 0, -1)
    ask("empty partition", name, 1, 0)
    ask("unknown partition", name, 9, 0)
    ask("unknown topic", "offsets.unknown", 0, 0)
    ask("current epoch newer", name, 0, 0, current=9)
    ask("current epoch right", name, 0, 0, current=0)
    broker.ask("no topic", "OffsetForLeaderEpoch", version, {"ReplicaId": -1})
