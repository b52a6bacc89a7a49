"""What is neither config nor group: records, directories, elections, reassignments, users, access, the quorum."""

import pytest
from aiokafka import TopicPartition as AioPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from confluent_kafka import ConsumerGroupTopicPartitions, ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka import TopicPartition as PythonPartition
from kafka import admin as python
from kafka.errors import LogDirNotFoundError, SecurityDisabledError
from kafka.structs import TopicPartitionReplica
from libraries import PATIENCE_S, wait_until


def code(future):
    """The error code that a call of confluent-kafka ends with."""
    with pytest.raises(KafkaException) as error:
        future.result(PATIENCE_S)
    return error.value.args[0].code()


async def test_records_are_deleted(clients, bootstrap, name):
    """Each client deletes some; kafka-python sees where the log begins."""
    clients.create(name)
    clients.fill(name, 8)
    partition = TopicPartition(name, 0, 2)
    assert clients.confluent.delete_records([partition])[partition].result(PATIENCE_S).low_watermark == 2
    assert clients.start_offset(name) == 2
    deleted = clients.python.delete_records({PythonPartition(name, 0): 4})
    assert deleted[PythonPartition(name, 0)]["low_watermark"] == 4
    assert clients.start_offset(name) == 4
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        records = {AioPartition(name, 0): RecordsToDelete(before_offset=-1)}
        assert await admin.delete_records(records) == {AioPartition(name, 0): 8}
    finally:
        await admin.close()
    assert clients.start_offset(name) == 8


def test_records_beyond_the_end_are_not_deleted(clients, name):
    clients.create(name)
    clients.fill(name, 1)
    partition = TopicPartition(name, 0, 5)
    assert code(clients.confluent.delete_records([partition])[partition]) == KafkaError.OFFSET_OUT_OF_RANGE
    assert clients.start_offset(name) == 0


def test_log_directories(clients, name):
    clients.create(name, partitions=2)
    clients.fill(name, 3)
    (answer,) = clients.python.describe_log_dirs([name])
    (directory,) = answer["log_dirs"]
    assert answer["broker"] == 1 and directory["error_code"] == 0
    assert directory["total_bytes"] > directory["usable_bytes"] > 0
    sizes = {part["partition_index"]: part["partition_size"] for part in directory["topics"][0]["partitions"]}
    # A batch of one record of ten bytes takes 78.
    assert sizes == {0: 3 * 78, 1: 0}
    replica = TopicPartitionReplica(name, 0, 1)
    assert clients.python.alter_replica_log_dirs({replica: "/nowhere"}) == {replica: LogDirNotFoundError}
    here = clients.python.alter_replica_log_dirs({replica: directory["log_dir"]})
    assert here[replica] is None or here[replica].__name__ == "NoError"


def test_elections(clients, name):
    clients.create(name)
    partitions = [TopicPartition(name, 0), TopicPartition(f"{name}-missing", 0)]
    elected = clients.confluent.elect_leaders(ElectionType.PREFERRED, partitions).result(PATIENCE_S)
    codes = {partition.topic: error and error.code() for partition, error in elected.items()}
    assert codes == {name: KafkaError.ELECTION_NOT_NEEDED, f"{name}-missing": KafkaError.UNKNOWN_TOPIC_OR_PART}
    answer = clients.python.elect_leaders(1, {name: [0]}, raise_errors=False)
    assert answer.replica_election_results[0].partition_result[0].error_code == KafkaError.ELECTION_NOT_NEEDED


def test_reassignments(clients, name):
    clients.create(name)
    here, nowhere = PythonPartition(name, 0), PythonPartition(f"{name}-missing", 0)
    answers = clients.python.alter_partition_reassignments({here: [1], nowhere: [1]})
    assert answers[here] is None and answers[nowhere].__name__ == "UnknownTopicOrPartitionError"
    assert clients.python.list_partition_reassignments() == {}
    cancelled = clients.python.alter_partition_reassignments({here: None})
    assert cancelled[here].__name__ == "NoReassignmentInProgressError"


def test_quorum_and_features(clients):
    quorum = clients.python.describe_metadata_quorum()
    (partition,) = quorum["topics"][0]["partitions"]
    assert partition["leader_id"] == 1 and [voter["replica_id"] for voter in partition["current_voters"]] == [1]
    assert partition["high_watermark"] > 0 and partition["observers"] == []
    # 27 is 4.1-IV1.
    assert clients.python.describe_features()["metadata.version"]["finalized"] == (27, 27)


def test_scram_users(clients, name):
    """Added by one client, seen by the other, and the other way round."""
    strong = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192)
    added = clients.confluent.alter_user_scram_credentials([UserScramCredentialUpsertion(name, strong, b"secret")])
    added[name].result(PATIENCE_S)
    seen = clients.python.describe_user_scram_credentials([name])[name]["credential_infos"]
    assert [(info["mechanism"].name, info["iterations"]) for info in seen] == [("SCRAM_SHA_256", 8192)]
    second = python.UserScramCredentialUpsertion(name, python.ScramMechanism.SCRAM_SHA_512, "secret", 4096)
    assert clients.python.alter_user_scram_credentials([second]) == {name: None}
    described = clients.confluent.describe_user_scram_credentials([name])[name].result(PATIENCE_S)
    assert len(described.scram_credential_infos) == 2
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        deletion = UserScramCredentialDeletion(name, mechanism)
        clients.confluent.alter_user_scram_credentials([deletion])[name].result(PATIENCE_S)
    assert name not in clients.python.describe_user_scram_credentials()
    assert code(clients.confluent.describe_user_scram_credentials([name])[name]) == KafkaError.RESOURCE_NOT_FOUND
    weak = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 1)
    refused = clients.confluent.alter_user_scram_credentials([UserScramCredentialUpsertion(name, weak, b"secret")])
    assert code(refused[name]) == KafkaError.UNACCEPTABLE_CREDENTIAL


def test_no_authorizer(clients, name):
    pattern = (ResourceType.TOPIC, name, ResourcePatternType.LITERAL)
    allowed = ("User:alice", "*", AclOperation.READ, AclPermissionType.ALLOW)
    (created,) = clients.confluent.create_acls([AclBinding(*pattern, *allowed)]).values()
    assert code(created) == KafkaError.SECURITY_DISABLED
    wanted = AclBindingFilter(*pattern, *allowed)
    (deleted,) = clients.confluent.delete_acls([wanted]).values()
    assert code(deleted) == KafkaError.SECURITY_DISABLED
    resource = python.ResourcePattern(python.ResourceType.TOPIC, name)
    rule = ("User:alice", "*", python.ACLOperation.READ, python.ACLPermissionType.ALLOW, resource)
    with pytest.raises(SecurityDisabledError):
        clients.python.describe_acls(python.ACLFilter(*rule))


def test_producers(clients, name):
    """The producer state of a partition tells of an idempotent producer, and of none other."""
    clients.create(name, partitions=2)
    clients.fill(name, 2, enable_idempotence=True)
    clients.fill(name, 1)
    empty, written = PythonPartition(name, 1), PythonPartition(name, 0)
    described = clients.python.describe_producers([empty, written])
    assert described[empty].active_producers == []
    (producer,) = described[written].active_producers
    assert (producer.producer_epoch, producer.last_sequence) == (0, 1)


def test_partitions_page_by_page(clients, name):
    clients.create(f"{name}-a", partitions=3)
    clients.create(f"{name}-b", partitions=2)
    topics, cursor, pages = [f"{name}-b", f"{name}-a"], None, []
    while cursor is not None or not pages:
        answer = clients.python.describe_topic_partitions(topics, response_partition_limit=2, cursor=cursor)
        pages.append([(t["name"], p["partition_index"]) for t in answer["topics"] for p in t["partitions"]])
        cursor = answer["next_cursor"]
    assert sum(pages, []) == [*((f"{name}-a", part) for part in range(3)), *((f"{name}-b", part) for part in range(2))]
    assert [len(page) for page in pages] == [2, 2, 1]


async def test_offsets_of_a_group(clients, bootstrap, name):
    """Committed by an administrator with one client, read by two others, deleted by a third."""
    clients.create(name)
    clients.fill(name, 3)
    request = [ConsumerGroupTopicPartitions(name, [TopicPartition(name, 0, 2)])]
    clients.confluent.alter_consumer_group_offsets(request)[name].result(PATIENCE_S)
    partition = PythonPartition(name, 0)
    wait_until(lambda: partition in clients.python.list_group_offsets({name: None})[name])
    assert clients.python.list_group_offsets({name: None})[name][partition].offset == 2
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        assert (await admin.list_consumer_group_offsets(name))[AioPartition(name, 0)].offset == 2
    finally:
        await admin.close()
    (group,) = [group for group in clients.python.list_groups() if group["group_id"] == name]
    assert (group["group_state"], group["group_type"].lower()) == ("Empty", "classic")
    assert clients.python.delete_groups([name]) == {name: "OK"}
    listed = clients.confluent.list_consumer_groups().result(PATIENCE_S)
    assert name not in [group.group_id for group in listed.valid]
