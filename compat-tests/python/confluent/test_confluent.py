"""confluent-kafka, that is librdkafka: what most languages' clients are built on."""

import time

import pytest
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import NewPartitions, OffsetSpec
from librdkafka import PATIENCE_S, read, values


def sharing(consumers, partitions):
    """Polls all consumers until each partition has exactly one of them and each of them has one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        owned = [[partition.partition for partition in consumer.assignment()] for consumer in consumers]
        if all(owned) and sorted(sum(owned, [])) == list(range(partitions)):
            return owned
        assert time.monotonic() < deadline, owned
        for consumer in consumers:
            consumer.poll(0.05)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(clients, name, acks):
    clients.create(name)
    clients.fill(name, ["a", "b"], acks=acks)
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    assert values(read(consumer, 2)) == ["a", "b"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compression(clients, name, codec):
    clients.create(name)
    expected = [f"{number} " + codec * 50 for number in range(300)]
    delivered = clients.fill(name, expected, compression_type=codec, linger_ms=20)
    assert [message.offset() for message in delivered] == list(range(300))
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    assert values(read(consumer, 300)) == expected


def test_key_headers_null_value(clients, name):
    clients.create(name)
    producer = clients.producer()
    headers = [("trace", b"1"), ("trace", b"2"), ("none", None)]
    producer.produce(name, key="user-10", value=None, headers=headers, timestamp=1_600_000_000_000)
    producer.flush(PATIENCE_S)
    consumer = clients.consumer(name)
    consumer.assign([TopicPartition(name, 0, 0)])
    message = read(consumer, 1)[0]
    assert (message.key(), message.value(), message.headers()) == (b"user-10", None, headers)
    assert message.timestamp()[1] == 1_600_000_000_000


def test_log_append_time(clients, name):
    clients.create(name, message_timestamp_type="LogAppendTime")
    clients.fill(name, ["a"])
    consumer = clients.consumer(name)
    consumer.assign([TopicPartition(name, 0, 0)])
    kind, timestamp = read(consumer, 1)[0].timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME and timestamp > 1_600_000_000_000


def test_big_messages(clients, name):
    clients.create(name)
    expected = [letter * 900_000 for letter in "abc"]
    clients.fill(name, expected)
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    assert values(read(consumer, 3)) == expected


def test_too_large_message(clients, name):
    clients.create(name, max_message_bytes="10000")
    with pytest.raises(KafkaException) as refused:
        clients.fill(name, ["x" * 20_000])
    assert refused.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_idempotent_producer(clients, name):
    clients.create(name)
    expected = [str(number) for number in range(5000)]
    delivered = clients.fill(name, expected, enable_idempotence=True, linger_ms=1)
    assert [message.offset() for message in delivered] == list(range(5000))
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    assert values(read(consumer, 5000)) == expected


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_rebalance(clients, name, strategy):
    clients.create(name, partitions=4)
    options = {"partition_assignment_strategy": strategy}
    members = [clients.consumer(name, **options) for _ in range(3)]
    for count, member in enumerate(members, 1):
        member.subscribe([name])
        sharing(members[:count], 4)
    members.pop().close()
    sharing(members, 4)


def test_static_members(clients, name):
    clients.create(name, partitions=2)
    first = clients.consumer(name, group_instance_id="one")
    second = clients.consumer(name, group_instance_id="two")
    for member in (first, second):
        member.subscribe([name])
    before = sharing([first, second], 2)
    second.close()
    again = clients.consumer(name, group_instance_id="two")
    again.subscribe([name])
    assert sharing([first, again], 2) == before


def test_static_member_is_fenced(clients, name):
    """A second member of the same instance id takes the place of the first, which gets FENCED_INSTANCE_ID."""
    clients.create(name)
    first = clients.consumer(name, group_instance_id="one")
    first.subscribe([name])
    sharing([first], 1)
    second = clients.consumer(name, group_instance_id="one")
    second.subscribe([name])
    sharing([second], 1)
    deadline = time.monotonic() + PATIENCE_S
    error = None
    while error is None and time.monotonic() < deadline:
        second.poll(0.05)
        message = first.poll(0.05)
        error = message.error() if message is not None else None
    assert error is not None and error.code() == KafkaError._FATAL, error


def test_commit_and_continue(clients, name):
    clients.create(name)
    clients.fill(name, ["a", "b", "c"])
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    assert consumer.committed([TopicPartition(name, 0)], PATIENCE_S)[0].offset == -1001
    message = read(consumer, 2)[-1]
    consumer.commit(message, asynchronous=False)
    assert consumer.committed([TopicPartition(name, 0)], PATIENCE_S)[0].offset == 2
    consumer.close()
    again = clients.consumer(name)
    again.subscribe([name])
    assert values(read(again, 1)) == ["c"]
    again.commit(asynchronous=True)
    deadline = time.monotonic() + PATIENCE_S
    while again.committed([TopicPartition(name, 0)], PATIENCE_S)[0].offset != 3:
        assert time.monotonic() < deadline
        again.poll(0.02)


def test_watermarks_and_times(clients, name):
    clients.create(name)
    producer = clients.producer()
    for number in range(5):
        producer.produce(name, b"x", partition=0, timestamp=1_700_000_000_000 + number * 1000)
        producer.flush(PATIENCE_S)
    consumer = clients.consumer(name)
    partition = TopicPartition(name, 0)
    assert consumer.get_watermark_offsets(partition, PATIENCE_S) == (0, 5)
    found = consumer.offsets_for_times([TopicPartition(name, 0, 1_700_000_002_500)], PATIENCE_S)
    assert found[0].offset == 3
    specs = {OffsetSpec.earliest(): 0, OffsetSpec.latest(): 5, OffsetSpec.max_timestamp(): 4}
    for spec, offset in specs.items():
        listed = clients.admin.list_offsets({partition: spec})[partition].result(PATIENCE_S)
        assert listed.offset == offset


def test_seek(clients, name):
    clients.create(name)
    clients.fill(name, ["a", "b", "c"])
    consumer = clients.consumer(name)
    consumer.assign([TopicPartition(name, 0, 0)])
    read(consumer, 3)
    consumer.seek(TopicPartition(name, 0, 1))
    assert values(read(consumer, 2)) == ["b", "c"]


def test_unknown_topic_without_auto_creation(clients, name):
    """A consumer does not create topics unless it asks to."""
    consumer = clients.consumer(name)
    consumer.subscribe([name])
    deadline = time.monotonic() + PATIENCE_S
    message = None
    while message is None and time.monotonic() < deadline:
        message = consumer.poll(0.1)
    assert message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert name not in clients.admin.list_topics(timeout=PATIENCE_S).topics


def test_auto_creation(clients, name):
    assert clients.fill(name, ["a"], partition=-1)[0].offset() == 0


def test_topics_by_admin(clients, name):
    clients.create(name, partitions=2)
    described = clients.admin.describe_topics(TopicCollection([name]))[name].result(PATIENCE_S)
    assert [partition.leader.id for partition in described.partitions] == [described.partitions[0].leader.id] * 2
    clients.admin.create_partitions([NewPartitions(name, 4)])[name].result(PATIENCE_S)
    assert len(clients.admin.list_topics(name, timeout=PATIENCE_S).topics[name].partitions) == 4
    clients.admin.delete_topics([name])[name].result(PATIENCE_S)
    with pytest.raises(KafkaException) as refused:
        clients.admin.delete_topics([name])[name].result(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    with pytest.raises(KafkaException) as refused:
        clients.create("not/valid")
    assert refused.value.args[0].code() == KafkaError.TOPIC_EXCEPTION


def test_cluster_by_admin(clients):
    cluster = clients.admin.describe_cluster().result(PATIENCE_S)
    assert len(cluster.nodes) == 1 and cluster.cluster_id and cluster.controller.id == cluster.nodes[0].id


def test_groups_by_admin(clients, name):
    clients.create(name, partitions=2)
    clients.fill(name, ["a", "b"])
    consumer = clients.consumer(name, client_id="observed")
    consumer.subscribe([name])
    sharing([consumer], 2)
    listed = clients.admin.list_consumer_groups().result(PATIENCE_S).valid
    assert [group.state.name for group in listed if group.group_id == name] == ["STABLE"]
    described = clients.admin.describe_consumer_groups([name])[name].result(PATIENCE_S)
    assert (described.state.name, described.partition_assignor) == ("STABLE", "range")
    member = described.members[0]
    assert member.client_id == "observed" and len(member.assignment.topic_partitions) == 2
    with pytest.raises(KafkaException) as refused:
        clients.admin.delete_consumer_groups([name])[name].result(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    consumer.close()
    clients.admin.delete_consumer_groups([name])[name].result(PATIENCE_S)


def test_offsets_by_admin(clients, name):
    clients.create(name)
    request = [ConsumerGroupTopicPartitions(name, [TopicPartition(name, 0, 7)])]
    clients.admin.alter_consumer_group_offsets(request)[name].result(PATIENCE_S)
    listed = clients.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)])[name].result(PATIENCE_S)
    assert [(p.topic, p.partition, p.offset) for p in listed.topic_partitions] == [(name, 0, 7)]
