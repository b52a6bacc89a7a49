"""Elections, reassignments, the quorum and its voters, features, brokers, and topics page by page."""

import uuid

METADATA = "__cluster_metadata"
SOME_ID = uuid.UUID(int=7)


def talk(broker):
    """Runs the section."""
    broker.create_topic("cluster.t", 2)
    elections(broker)
    reassignments(broker)
    quorum(broker)
    voters(broker)
    features(broker)
    brokers(broker)
    pages(broker)


def election(*topics, kind=0, timeout=10_000):
    """An election in some topics' partitions; no topics at all mean everything."""
    wanted = [{"Topic": name, "Partitions": partitions} for name, partitions in topics]
    return {"ElectionType": kind, "TopicPartitions": wanted, "TimeoutMs": timeout}


def elections(broker):
    """ElectLeaders."""
    cases = {
        "that has its leader": election(("cluster.t", [0, 1])),
        "of no topics": election(),
        "of no partitions": election(("cluster.t", [])),
        "of an unknown partition": election(("cluster.t", [0, 9, -1])),
        "of an unknown topic": election(("cluster.unknown", [0]), ("cluster.t", [0])),
        "of an invalid name": election(("a/b", [0])),
        "of the same partition twice": election(("cluster.t", [0, 0])),
        "of the same topic twice": election(("cluster.t", [0]), ("cluster.t", [1])),
        "of the same topic and partition twice": election(("cluster.t", [1]), ("cluster.t", [1])),
        "unclean": election(("cluster.t", [0]), kind=1),
        "unclean, of an unknown topic": election(("cluster.unknown", [0]), kind=1),
        "of an unknown kind": election(("cluster.t", [0]), kind=7),
        "of an unknown kind and no topics": election(kind=7),
        "of a negative kind": election(("cluster.t", [0]), kind=-1),
        "without time": election(("cluster.t", [0]), timeout=0),
        "of all": {**election(), "TopicPartitions": None},
        "unclean, of all": {**election(kind=1), "TopicPartitions": None},
        "of an unknown kind, of all": {**election(kind=7), "TopicPartitions": None},
    }
    for version in broker.versions("ElectLeaders", 1):
        for name, body in cases.items():
            answer = broker.main.ask("ElectLeaders", version, body)
            if body["TopicPartitions"] is None and isinstance(answer, dict):
                # Which topics there are is not this section's business; what is told of one of them is.
                results = answer["ReplicaElectionResults"]
                answer["ReplicaElectionResults"] = [one for one in results if one["Topic"] == "cluster.t"]
            broker.note(f"election {name}, ElectLeaders v{version}", answer)


def reassignment(name, *partitions):
    """New replicas for partitions of one topic: pairs of index and brokers."""
    wanted = [{"PartitionIndex": index, "Replicas": brokers} for index, brokers in partitions]
    return {"Name": name, "Partitions": wanted}


def reassignments(broker):
    """AlterPartitionReassignments and ListPartitionReassignments."""
    node, name = broker.node, "cluster.t"
    cases = {
        "to the same": [reassignment(name, (0, [node]), (1, [node]))],
        "of nothing": [],
        "of no partitions": [reassignment(name)],
        "to nobody": [reassignment(name, (0, []))],
        "to an unknown broker": [reassignment(name, (0, [777]))],
        "to one more, unknown": [reassignment(name, (0, [node, 777]))],
        "to a negative broker": [reassignment(name, (0, [-1]))],
        "to the same broker twice": [reassignment(name, (0, [node, node]))],
        "to nobody and to the same": [reassignment(name, (0, []), (1, [node]))],
        "of an unknown topic": [reassignment("cluster.unknown", (0, [node]))],
        "of an unknown topic, cancelled": [reassignment("cluster.unknown", (0, None))],
        "of an invalid name": [reassignment("a/b", (0, [node]))],
        "of an unknown partition": [reassignment(name, (9, [node]), (-1, [node]))],
        "cancelled": [reassignment(name, (0, None))],
        "of the same partition twice": [reassignment(name, (0, [node]), (0, [node]))],
        "of the same topic twice": [reassignment(name, (0, [node])), reassignment(name, (1, [node]))],
    }
    for version in broker.versions("AlterPartitionReassignments"):
        for step, topics in cases.items():
            body = {"TimeoutMs": 10_000, "Topics": topics}
            broker.ask(f"reassignment {step}", "AlterPartitionReassignments", version, body)
        body = {"TimeoutMs": 10_000, "AllowReplicationFactorChange": False}
        for step in ("to the same", "to nobody", "to one more, unknown", "to the same broker twice"):
            rigid = {**body, "Topics": cases[step]}
            broker.ask(f"reassignment with as many replicas, {step}", "AlterPartitionReassignments", version, rigid)
    listed = {
        "all": None,
        "none": [],
        "one topic": [{"Name": name, "PartitionIndexes": [0, 1]}],
        "an unknown partition": [{"Name": name, "PartitionIndexes": [9, -1]}],
        "an unknown topic": [{"Name": "cluster.unknown", "PartitionIndexes": [0]}],
        "a topic twice": [{"Name": name, "PartitionIndexes": [0, 0]}, {"Name": name, "PartitionIndexes": [0]}],
    }
    for step, topics in listed.items():
        body = {"TimeoutMs": 10_000, "Topics": topics}
        broker.ask(f"reassignments of {step}", "ListPartitionReassignments", 0, body)


def metadata_partition(name=METADATA, *indexes):
    """The question about partitions of one topic."""
    return {"TopicName": name, "Partitions": [{"PartitionIndex": index} for index in indexes]}


def quorum(broker):
    """DescribeQuorum: offsets and epochs are a broker's own, their order is not."""
    for version in broker.versions("DescribeQuorum", 1):
        answer = broker.main.ask("DescribeQuorum", version, {"Topics": [metadata_partition(METADATA, 0)]})
        for partition in answer["Topics"][0]["Partitions"] if isinstance(answer, dict) else []:
            voters = partition["CurrentVoters"]
            partition["LeaderEpoch"] = partition["LeaderEpoch"] > 0
            behind = [voter["LogEndOffset"] - partition["HighWatermark"] for voter in voters]
            partition["HighWatermark"] = partition["HighWatermark"] > 0
            for voter, offsets in zip(voters, behind, strict=True):
                # Kafka's leader writes an empty record now and then, whose commit may be under way.
                voter["LogEndOffset"] = "at the high watermark" if 0 <= offsets <= 1 else offsets
                voter["ReplicaId"] = "the node" if voter["ReplicaId"] == broker.node else voter["ReplicaId"]
        broker.note(f"quorum, DescribeQuorum v{version}", answer)
        cases = {
            "nothing": [],
            "no partitions": [metadata_partition()],
            "another partition": [metadata_partition(METADATA, 1)],
            "a partition twice": [metadata_partition(METADATA, 0, 0)],
            "the topic twice": [metadata_partition(METADATA, 0), metadata_partition(METADATA, 0)],
            "a topic": [metadata_partition("cluster.t", 0)],
            "an unknown topic": [metadata_partition("cluster.unknown", 0, -1)],
        }
        for step, topics in cases.items():
            broker.ask(f"quorum of {step}", "DescribeQuorum", version, {"Topics": topics})


def voters(broker):
    """AddRaftVoter and RemoveRaftVoter, of a quorum that was not made to be changed."""
    listener = {"Name": "CONTROLLER", "Host": "127.0.0.1", "Port": 9}
    good = {"VoterId": 5, "VoterDirectoryId": SOME_ID, "Listeners": [listener], "TimeoutMs": 1_000}
    cases = {
        "new": good,
        "of another cluster": {**good, "ClusterId": "another"},
        "without a directory": {**good, "VoterDirectoryId": uuid.UUID(int=0)},
        "with a negative id": {**good, "VoterId": -1},
        "without listeners": {**good, "Listeners": []},
        "with another listener": {**good, "Listeners": [{**listener, "Name": "ELSEWHERE"}]},
        "that is one": {**good, "VoterId": broker.node},
        "without time": {**good, "TimeoutMs": -1},
        "with the same listener twice": {**good, "Listeners": [listener, listener]},
    }
    for step, body in cases.items():
        body = {"ClusterId": None, **body}
        broker.ask(f"voter {step}", "AddRaftVoter", 0, body)
        leaving = {key: body[key] for key in ("ClusterId", "VoterId", "VoterDirectoryId")}
        broker.ask(f"voter {step}", "RemoveRaftVoter", 0, leaving)


def update(feature, level, kind=1, **options):
    """One change of a feature: kind 1 upgrades, 2 and 3 downgrade."""
    return {"Feature": feature, "MaxVersionLevel": level, "UpgradeType": kind, **options}


def features(broker):
    """UpdateFeatures: what changes nothing or is refused, for the sections after this one need the cluster as it is."""
    cases = {
        "nothing": [],
        "unknown": [update("no.such.feature", 1)],
        "unknown, removed": [update("no.such.feature", 0, 3)],
        "too new a metadata version": [update("metadata.version", 9_999)],
        "too old a metadata version": [update("metadata.version", 1, 3)],
        "a negative metadata version": [update("metadata.version", -3)],
        "the metadata version removed": [update("metadata.version", 0, 3)],
        "the same metadata version": [update("metadata.version", 27)],
        "an older metadata version without leave": [update("metadata.version", 26)],
        "an unknown kind": [update("metadata.version", 27, 9)],
        "no kind": [update("metadata.version", 27, 0)],
        "one twice": [update("metadata.version", 27), update("metadata.version", 27)],
        "one good, one unknown": [update("metadata.version", 27), update("no.such.feature", 1)],
        "without a name": [update("", 1)],
    }
    for version in broker.versions("UpdateFeatures", 1):
        for step, updates in cases.items():
            if version == 0:
                # Version 0 knows only whether a downgrade is allowed.
                updates = [{**one, "AllowDowngrade": one["UpgradeType"] != 1} for one in updates]
            for dry in (False, True) if version else (False,):
                body = {"timeoutMs": 10_000, "FeatureUpdates": updates, "ValidateOnly": dry}
                broker.ask(f"features, {step}{', only validated' * dry}", "UpdateFeatures", version, body)


def brokers(broker):
    """DescribeCluster and UnregisterBroker."""
    for version in broker.versions("DescribeCluster", 1):
        for kind in (0, 1, 2, 3, -1):
            for fenced in (False, True):
                body = {
                    "EndpointType": kind,
                    "IncludeFencedBrokers": fenced,
                    "IncludeClusterAuthorizedOperations": fenced,
                }
                step = f"endpoints {kind}{' with the fenced ones' * fenced}"
                broker.ask(step, "DescribeCluster", version, body)
    for step, node in {"unknown": 777, "negative": -1}.items():
        broker.ask(f"broker {step} unregistered", "UnregisterBroker", 0, {"BrokerId": node})


def pages(broker):
    """DescribeTopicPartitions with its cursor."""
    for name in ("cluster.p", "cluster.q", "cluster.r"):
        broker.create_topic(name, 3)

    def page(step, names, limit=2_000, cursor=None):
        at = cursor and {"TopicName": cursor[0], "PartitionIndex": cursor[1]}
        body = {"Topics": [{"Name": name} for name in names], "ResponsePartitionLimit": limit, "Cursor": at}
        broker.ask(f"page {step}", "DescribeTopicPartitions", 0, body)

    three = ["cluster.r", "cluster.p", "cluster.q"]
    page("of three topics", three)
    page("of the same topic twice", ["cluster.p", "cluster.p"])
    for limit in (0, -1, 1, 2, 3, 4, 9):
        page(f"of three topics with a limit of {limit}", three, limit)
    page("with an unknown topic", ["cluster.unknown", "cluster.p"])
    page("with unknown topics and a limit of 1", ["cluster.a", "cluster.p", "cluster.o", "cluster.s"], 1)
    page("with unknown topics at the limit", ["cluster.p", "cluster.pp", "cluster.q"], 3)
    page("with unknown topics behind the limit", ["cluster.p", "cluster.pp"], 3)
    page("of invalid names", ["a/b", "x" * 300, ".."])
    page("of no name", [""])
    page("from a cursor", three, 4, ("cluster.q", 1))
    page("from a cursor at the end of a topic", three, 4, ("cluster.q", 3))
    page("from a cursor behind a topic", three, 4, ("cluster.q", 99))
    page("from the last partition", three, 4, ("cluster.r", 2))
    page("from a negative partition", three, 4, ("cluster.q", -1))
    page("from a topic that was not asked for", three, 4, ("cluster.pp", 0))
    page("from a topic behind all", three, 4, ("cluster.z", 0))
    page("from an unknown topic that was asked for", [*three, "cluster.pp"], 4, ("cluster.pp", 1))
    page("of all from a negative partition", [], 4, ("cluster.q", -1))
    page("of all from an unknown topic", [], 4, ("cluster.pp", 1))
    page("of all from a topic", [], 4, ("cluster.p", 2))
    page("of all from a topic without a name", [], 1, ("", 0))
