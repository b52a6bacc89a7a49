"""Row 15: what topics and groups cost beside the records in them: creation, deletion, commits, the first answer of a group.

Requests are asked for on raw connections from this process, one after another, so that each one's time is the broker's.
"""

import struct
import threading
import time
import uuid

import admin
import clients
import trials
from clients import Void
from ranges import latencies, percentile

# How many topics there are when creating one more is measured.
TOPICS = (0, 1_000, 5_000)
# How many are created in one request that is not measured.
AT_ONCE = 250
# For how long topics are created beside a deletion: both brokers remove files a second after their answer.
BESIDE_S = 3.0
# Between two creations beside a deletion.
PAUSE_S = 0.005
# Commits that are under way at once on a connection.
WINDOW = 100
GROUP_TOPIC = "administration-groups"
COMMIT_VERSION, FETCH_VERSION = 7, 5
PATIENCE_S = 60


def topics_named(prefix, number):
    """That many names."""
    return [f"{prefix}-{index}" for index in range(number)]


def created(connection, names, partitions=1):
    """Creates topics in one request; how long it took, in microseconds."""
    topics = [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1} for name in names]
    began = time.perf_counter()
    answer = connection.ask("CreateTopics", 5, {"Topics": topics, "timeoutMs": PATIENCE_S * 1000})
    took = (time.perf_counter() - began) * 1e6
    refused = [topic for topic in answer["Topics"] if topic["ErrorCode"] != 0]
    if refused:
        raise Void(f"not created: {refused[:3]}")
    return took


def deleted(connection, names):
    """Deletes topics in one request; how long it took, in microseconds."""
    began = time.perf_counter()
    answer = connection.ask("DeleteTopics", 3, {"TopicNames": names, "TimeoutMs": PATIENCE_S * 1000})
    took = (time.perf_counter() - began) * 1e6
    refused = [topic for topic in answer["Responses"] if topic["ErrorCode"] != 0]
    if refused:
        raise Void(f"not deleted: {refused[:3]}")
    return took


def fill(connection, prefix, number, partitions=1):
    """Creates many topics; their names."""
    names = topics_named(prefix, number)
    for start in range(0, number, AT_ONCE):
        created(connection, names[start : start + AT_ONCE], partitions)
    return names


def remove(trial, names):
    """Deletes a round's topics and waits until their files are gone: that work is not the next one's."""
    admin.delete_topics(trial.participant.port, names)
    deadline = time.monotonic() + PATIENCE_S
    while any(trial.participant.data.glob(f"{trial.topic}-*")):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{trial.participant.name}: files of deleted topics are there after {PATIENCE_S} s")
        time.sleep(0.05)


def creation(trial):
    """The median time that one more topic takes beside none, a thousand and five thousand."""
    connection = admin.connect(trial.participant.port)
    count, result, existing = max(20, trial.count), {}, []
    for number in TOPICS:
        existing += fill(connection, f"{trial.topic}-{number}", int(number * min(1.0, trial.scale)) - len(existing))
        measured = topics_named(f"{trial.topic}-{number}-measured", count)
        result[f"p50_us_at_{number}"] = percentile(sorted(created(connection, [name]) for name in measured), 0.5)
        deleted(connection, measured)
    connection.close()
    remove(trial, existing)
    first, *_, last = (result[f"p50_us_at_{number}"] for number in TOPICS)
    return {**result, "over_empty": last / first}


def beside(trial, names):
    """Deletes topics in one request while others are created: how long the one took, and the others' latencies."""
    port, taken, made = trial.participant.port, [], []
    stop = threading.Event()

    def create():
        connection = admin.connect(port)
        while not stop.is_set():
            made.append(f"{trial.topic}-beside-{len(made)}")
            taken.append(created(connection, made[-1:]))
            time.sleep(PAUSE_S)
        connection.close()

    creator = threading.Thread(target=create)
    connection = admin.connect(port)
    creator.start()
    answered = deleted(connection, names)
    time.sleep(BESIDE_S)
    stop.set()
    creator.join()
    connection.close()
    if len(taken) < len(made):
        raise Void("a topic could not be created beside the deletion")
    remove(trial, made)
    return {"answer_us": answered, "slowest_us": max(taken), **latencies(taken)}


def large_deletion(trial):
    """Deletes one topic with much in it."""
    trial.participant.create_topic(trial.topic, trial.scenario.partitions, {})
    clients.produce(trial.bootstrap, trial.topic, trial.count, trial.scenario.size)
    return trials.observed(trial, lambda: beside(trial, [trial.topic]))


def many_deletions(trial):
    """Deletes many empty topics in one request."""
    connection = admin.connect(trial.participant.port)
    names = fill(connection, trial.topic, trial.count, trial.scenario.partitions)
    connection.close()
    return trials.observed(trial, lambda: beside(trial, names))


def commit_body(group, offset):
    """One partition's offset, committed by nobody in particular."""
    partition = {"PartitionIndex": 0, "CommittedOffset": offset, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}
    return {
        "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "GroupInstanceId": None,
        "Topics": [{"Name": GROUP_TOPIC, "Partitions": [partition]}],
    }  # fmt: skip


def committed_offset(connection, group):
    """What a group has committed; None while its coordinator does not answer."""
    topics = [{"Name": GROUP_TOPIC, "PartitionIndexes": [0]}]
    answer = connection.ask("OffsetFetch", FETCH_VERSION, {"GroupId": group, "Topics": topics})
    if not isinstance(answer, dict) or answer["ErrorCode"] != 0:
        return None
    return answer["Topics"][0]["Partitions"][0]["CommittedOffset"]


def wait_for_coordinator(connection, group):
    """Waits until a group's coordinator answers; the first question has its topic made."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = connection.ask("FindCoordinator", 2, {"Key": group, "KeyType": 0})
        if found["ErrorCode"] == 0 and committed_offset(connection, group) is not None:
            return
        if time.monotonic() > deadline:
            raise Void("the group has no coordinator")
        time.sleep(0.02)


def commit_many(connection, group, count):
    """Commits `count` times with a window of requests under way; the broker's answers come in order."""
    frame = connection.frame("OffsetCommit", COMMIT_VERSION, commit_body(group, 42))
    framed = struct.pack(">i", len(frame)) + frame
    ends = []
    for start in range(0, count, WINDOW):
        window = min(WINDOW, count - start)
        connection.socket.sendall(framed * window)
        for _ in range(window):
            size = connection.read(4)
            ends = connection.read(struct.unpack(">i", size)[0]) if size else None
            if ends is None:
                raise Void("the connection was closed")
            if ends[-2:] != b"\0\0":
                raise Void(f"a commit was refused: {ends!r}")


def commits(trial):
    """Commits of one group, on one connection."""
    broker, group = trial.participant, f"{trial.topic}-{uuid.uuid4()}"
    broker.create_topic(GROUP_TOPIC, 1, {})
    connection = admin.connect(broker.port)
    wait_for_coordinator(connection, group)

    def action():
        began = time.perf_counter()
        commit_many(connection, group, trial.count)
        return {"commits_s": trial.count / (time.perf_counter() - began)}

    result = trials.observed(trial, action)
    connection.close()
    broker.delete_topics([GROUP_TOPIC])
    return result | {"cost_us": result["cpu_s"] / trial.count * 1e6}


def fill_commits(trial):
    """Many commits, and a stop."""
    broker = trial.participant
    broker.prepare()
    broker.launch()
    broker.create_topic(GROUP_TOPIC, 1, {})
    connection = admin.connect(broker.port)
    wait_for_coordinator(connection, GROUP_TOPIC)
    commit_many(connection, GROUP_TOPIC, trial.count)
    connection.close()
    broker.stop()


def first_answer(trial):
    """From exec until a group's offset is answered; the offsets' log has to be read for that."""
    broker = trial.participant

    def ready():
        deadline = time.monotonic() + PATIENCE_S
        connection = admin.connect(broker.port)
        while committed_offset(connection, GROUP_TOPIC) != 42:
            if time.monotonic() > deadline:
                raise Void("the group's offset is not answered")
            time.sleep(0.001)
        connection.close()

    return trials.started(broker, ready)
