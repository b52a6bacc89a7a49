"""aiokafka: producers, consumers and groups in one event loop."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError
from event_loop import PATIENCE_S, read, values


async def sharing(consumers, partitions):
    """Waits until each partition has exactly one of the members and each member has one."""
    for _ in range(PATIENCE_S * 20):
        owned = [sorted(partition.partition for partition in consumer.assignment()) for consumer in consumers]
        if all(owned) and sorted(sum(owned, [])) == list(range(partitions)):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"never shared: {owned}")


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_acks(clients, name, acks):
    await clients.create(name)
    await clients.fill(name, ["a", "b"], acks=acks)
    assert await values(await clients.consumer(name), 2) == ["a", "b"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compression(clients, name, codec):
    await clients.create(name)
    expected = [f"{number} " + codec * 50 for number in range(300)]
    sent = await clients.fill(name, expected, compression_type=codec, linger_ms=20)
    assert [metadata.offset for metadata in sent] == list(range(300))
    assert await values(await clients.consumer(name), 300) == expected


async def test_key_headers_null_value(clients, name):
    await clients.create(name)
    producer = await clients.producer()
    headers = [("trace", b"1"), ("trace", b"2")]
    await producer.send_and_wait(name, key=b"user-10", value=None, headers=headers, timestamp_ms=1_600_000_000_000)
    record = (await read(await clients.consumer(name), 1))[0]
    assert (record.key, record.value, list(record.headers)) == (b"user-10", None, headers)
    assert record.timestamp == 1_600_000_000_000


async def test_log_append_time(clients, name):
    await clients.create(name, message_timestamp_type="LogAppendTime")
    sent = (await clients.fill(name, ["a"]))[0]
    record = (await read(await clients.consumer(name), 1))[0]
    assert record.timestamp_type == 1 and record.timestamp == sent.timestamp > 1_600_000_000_000


async def test_too_large_message(clients, name):
    await clients.create(name, max_message_bytes="10000")
    with pytest.raises(MessageSizeTooLargeError):
        await clients.fill(name, ["x" * 20_000])


async def test_big_messages(clients, name):
    await clients.create(name)
    expected = [letter * 900_000 for letter in "abc"]
    await clients.fill(name, expected)
    assert await values(await clients.consumer(name), 3) == expected


async def test_idempotent_producer(clients, name):
    await clients.create(name)
    expected = [str(number) for number in range(1000)]
    sent = await clients.fill(name, expected, enable_idempotence=True)
    assert [metadata.offset for metadata in sent] == list(range(1000))
    assert await values(await clients.consumer(name), 1000) == expected


async def test_auto_creation(clients, name):
    assert (await clients.fill(name, ["a"]))[0].offset == 0


async def test_topics_by_admin(clients, name):
    admin = await clients.admin()
    await clients.create(name, partitions=2)
    again = await clients.create(name)
    assert again.topic_errors[0][1] == TopicAlreadyExistsError.errno
    await admin.create_partitions({name: NewPartitions(3)})
    assert len((await admin.describe_topics([name]))[0]["partitions"]) == 3
    await admin.delete_topics([name])
    assert name not in await admin.list_topics()


@pytest.mark.parametrize("assignor", ["range", "roundrobin"])
async def test_rebalance(clients, name, assignor):
    await clients.create(name, partitions=4)
    options = {"group_id": name}
    if assignor == "roundrobin":
        options["partition_assignment_strategy"] = [RoundRobinPartitionAssignor]
    members = [await clients.consumer(name, **options) for _ in range(3)]
    await sharing(members, 4)
    leaver = members.pop()
    clients.started.remove(leaver)
    await leaver.stop()
    await sharing(members, 4)


async def test_static_member(clients, name):
    await clients.create(name, partitions=2)
    members = [await clients.consumer(name, group_id=name, group_instance_id=instance) for instance in ("one", "two")]
    await sharing(members, 2)
    had = members[1].assignment()
    clients.started.remove(members[1])
    await members[1].stop()
    again = await clients.consumer(name, group_id=name, group_instance_id="two")
    await sharing([members[0], again], 2)
    assert again.assignment() == had


async def test_commit_and_continue(clients, name):
    await clients.create(name)
    await clients.fill(name, ["a", "b", "c"])
    partition = TopicPartition(name, 0)
    consumer = await clients.consumer(name, group_id=name)
    assert await consumer.committed(partition) is None
    await read(consumer, 2)
    await consumer.commit({partition: 2})
    assert await consumer.committed(partition) == 2
    clients.started.remove(consumer)
    await consumer.stop()
    assert await values(await clients.consumer(name, group_id=name), 1) == ["c"]


async def test_manual_assign_and_commit(clients, name):
    await clients.create(name)
    await clients.fill(name, ["a", "b"])
    partition = TopicPartition(name, 0)
    consumer = await clients.consumer(group_id=name)
    consumer.assign([partition])
    await read(consumer, 2)
    await consumer.commit()
    assert await consumer.committed(partition) == 2


async def test_offsets_and_seek(clients, name):
    await clients.create(name)
    producer = await clients.producer()
    for number in range(5):
        await producer.send_and_wait(name, b"%d" % number, timestamp_ms=1_700_000_000_000 + number * 1000)
    partition = TopicPartition(name, 0)
    consumer = await clients.consumer(name)
    assert await consumer.beginning_offsets([partition]) == {partition: 0}
    assert await consumer.end_offsets([partition]) == {partition: 5}
    found = await consumer.offsets_for_times({partition: 1_700_000_002_500})
    assert found[partition].offset == 3
    consumer.seek(partition, 3)
    assert await values(consumer, 2) == ["3", "4"]
    await consumer.seek_to_beginning(partition)
    assert await values(consumer, 1) == ["0"]
    await consumer.seek_to_end(partition)
    assert await consumer.position(partition) == 5


async def test_groups_by_admin(clients, name):
    await clients.create(name)
    await clients.fill(name, ["a"])
    consumer = await clients.consumer(name, group_id=name)
    await sharing([consumer], 1)
    await read(consumer, 1)
    await consumer.commit()
    admin = await clients.admin()
    assert (name, "consumer") in [tuple(group[:2]) for group in await admin.list_consumer_groups()]
    response = (await admin.describe_consumer_groups([name]))[0]
    _, group, state, protocol_type, *_ = response.groups[0]
    assert (group, state, protocol_type) == (name, "Stable", "consumer")
    offsets = await admin.list_consumer_group_offsets(name)
    assert offsets[TopicPartition(name, 0)].offset == 1
