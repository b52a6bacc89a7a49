"""DeleteRecords, log directories, and the producers of a log."""

import time

from batches import batch


def talk(broker):
    """Runs the section."""
    deleting_records(broker)
    directories(broker)
    producers(broker)


def produce(broker, topic, *batches):
    """Appends batches to partition 0."""
    for records in batches:
        data = [{"Name": topic, "PartitionData": [{"Index": 0, "Records": records}]}]
        answer = broker.main.ask("Produce", 9, {"Acks": -1, "TimeoutMs": 5_000, "TopicData": data})
        assert answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0, answer


def deleting_records(broker):
    """DeleteRecords."""
    for version in broker.versions("DeleteRecords", 1):
        name = f"logs.delete.v{version}"
        broker.create_topic(name, 2)
        compacted = f"{name}.compacted"
        broker.create_topic(compacted, 1, cleanup_policy="compact")
        now = int(time.time() * 1000)  # Older records are retention's at any moment.
        produce(broker, name, batch(["a", "b", "c"], base_timestamp=now), batch(["d"], base_timestamp=now))

        def delete(step, *topics, timeout=10_000, version=version):
            asked = [
                {"Name": topic, "Partitions": [{"PartitionIndex": index, "Offset": offset} for index, offset in where]}
                for topic, where in topics
            ]
            broker.ask(f"records {step}", "DeleteRecords", version, {"Topics": asked, "TimeoutMs": timeout})

        def first(step, name=name):
            asked = [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": -2}]}]
            answer = broker.main.ask("ListOffsets", 1, {"ReplicaId": -1, "Topics": asked})
            broker.note(f"first offset after {step} of {name}", answer)

        delete("of nothing")
        delete("of no partitions", (name, []))
        delete("before 0", (name, [(0, 0)]))
        delete("before 2", (name, [(0, 2)]))
        first("2")
        delete("before 2 again", (name, [(0, 2)]))
        delete("before 1, which is gone", (name, [(0, 1)]))
        delete("beyond the end", (name, [(0, 5)]))
        delete("before -2", (name, [(0, -2)]))
        delete("of an unknown topic", ("logs.unknown", [(0, 1)]), (name, [(0, 2)]))
        delete("of an unknown partition", (name, [(9, 0), (-1, 0)]))
        delete("of an invalid name", ("a/b", [(0, 0)]))
        delete("of a compacted topic", (compacted, [(0, 0)]))
        delete("of an internal topic", ("__consumer_offsets", [(0, 0)]))
        delete("of the same partition twice", (name, [(0, 2), (0, 3)]))
        first("twice")
        delete("of the same topic twice", (name, [(0, 3)]), (name, [(1, 0)]))
        delete("without time", (name, [(0, 3)]), timeout=0)
        delete("with less than no time", (name, [(0, 3)]), timeout=-1)
        delete("up to the end", (name, [(0, -1), (1, -1)]))
        first("the end")


def directories(broker):
    """DescribeLogDirs and AlterReplicaLogDirs."""
    name = "logs.dirs"
    broker.create_topic(name, 2)
    produce(broker, name, batch(["a", "b", "c"]))
    path = None
    for version in broker.versions("DescribeLogDirs", 2, 3):

        def describe(step, topics, version=version):
            answer = broker.main.ask("DescribeLogDirs", version, {"Topics": topics})
            for found in answer["Results"] if isinstance(answer, dict) else []:
                nonlocal path
                path = found["LogDir"]
                found["LogDir"] = "the directory"
                for field in ("TotalBytes", "UsableBytes"):
                    if field in found:
                        found[field] = found[field] > 0
                if topics is None:
                    # Of all that is there, what is known to be alike.
                    found["Topics"] = [topic for topic in found["Topics"] if topic["Name"] == name]
            broker.note(f"directories of {step}, DescribeLogDirs v{version}", answer)

        def topic(topic, *partitions):
            return {"Topic": topic, "Partitions": list(partitions)}

        describe("all", None)
        describe("none", [])
        describe("a topic", [topic(name, 0, 1)])
        describe("one partition", [topic(name, 1)])
        describe("no partitions", [topic(name)])
        describe("an unknown partition", [topic(name, 9, -1, 0)])
        describe("an unknown topic", [topic("logs.unknown", 0)])
        describe("the same partition twice", [topic(name, 0, 0)])
        describe("the same topic twice", [topic(name, 0), topic(name, 1)])
    for version in broker.versions("AlterReplicaLogDirs"):
        for step, dirs in {
            "to where it is": [(path, name, [0])],
            "to nowhere": [("/nowhere/at/all", name, [0])],
            "to a relative path": [("data", name, [0])],
            "to a path without a name": [("", name, [0])],
            "of nothing": [],
            "of no partitions": [(path, name, [])],
            "of an unknown topic": [(path, "logs.unknown", [0])],
            "of an unknown topic to nowhere": [("/nowhere/at/all", "logs.unknown", [0])],
            "of an unknown partition": [(path, name, [9, -1])],
            "of an invalid name": [(path, "a/b", [0])],
            "of the same partition twice": [(path, name, [0, 0])],
            "of one partition to two places": [(path, name, [0]), ("/nowhere/at/all", name, [0])],
        }.items():
            body = [
                {"Path": where, "Topics": [{"Name": topic, "Partitions": partitions}]}
                for where, topic, partitions in dirs
            ]
            broker.ask(f"replica {step}", "AlterReplicaLogDirs", version, {"Dirs": body})


def producers(broker):
    """DescribeProducers."""
    name = "logs.producers"
    broker.create_topic(name, 2)
    ours = {"producer_id": 4_000, "producer_epoch": 3}
    produce(
        broker,
        name,
        batch(["a"]),
        batch(["b", "c"], base_sequence=0, **ours),
        batch(["d"], base_sequence=2, **ours),
        batch(["e"], producer_id=4_001, producer_epoch=0, base_sequence=0),
    )

    def describe(step, *topics):
        asked = [{"Name": topic, "PartitionIndexes": indexes} for topic, indexes in topics]
        answer = broker.main.ask("DescribeProducers", 0, {"Topics": asked})
        for topic in answer["Topics"] if isinstance(answer, dict) else []:
            for partition in topic["Partitions"]:
                # Their ids are the script's own here.
                active = [[f"id {one.pop('ProducerId')}", one] for one in partition["ActiveProducers"]]
                partition["ActiveProducers"] = sorted(active, key=lambda one: one[0])
        broker.note(f"producers of {step}, DescribeProducers v0", answer)

    describe("a log", (name, [0]))
    describe("a log without any", (name, [1]))
    describe("both", (name, [0, 1]))
    describe("nothing")
    describe("no partitions", (name, []))
    describe("an unknown partition", (name, [9, -1]))
    describe("an unknown topic", ("logs.unknown", [0]))
    describe("an invalid name", ("a/b", [0]))
    describe("the same partition twice", (name, [0, 0]))
    describe("the same topic twice", (name, [0]), (name, [1]))
