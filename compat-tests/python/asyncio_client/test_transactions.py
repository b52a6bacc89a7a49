"""Transactions with aiokafka: what is committed is read, all of it; nothing else is."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from event_loop import PATIENCE_S, read, values


async def transactional(clients, name, **options):
    """A transactional producer that is ready."""
    return await clients.producer(transactional_id=name, **options)


async def send(producer, topic, *sent, partition=0):
    """Sends values within a transaction and waits until the broker has them."""
    for value in sent:
        await producer.send_and_wait(topic, value.encode(), partition=partition)


async def end(clients, topic, partition=0, isolation="read_committed"):
    """A partition's last stable offset, or its high watermark."""
    consumer, asked = await clients.consumer(isolation_level=isolation), TopicPartition(topic, partition)
    return (await consumer.end_offsets([asked]))[asked]


async def visible(clients, topic, partition=0, isolation="read_committed"):
    """All values that a partition shows now, from its beginning up to where this reader must stop."""
    consumer, asked = await clients.consumer(isolation_level=isolation), TopicPartition(topic, partition)
    consumer.assign([asked])
    await consumer.seek_to_beginning(asked)
    last, found = (await consumer.end_offsets([asked]))[asked], []
    async with asyncio.timeout(PATIENCE_S):
        while await consumer.position(asked) < last:
            for batch in (await consumer.getmany(timeout_ms=50)).values():
                found.extend(record.value.decode() for record in batch)
    return found


async def test_commit(clients, name):
    """Two partitions in one transaction: nothing is stable before the commit, all of it after."""
    await clients.create(name, 2)
    producer = await transactional(clients, name)
    async with producer.transaction():
        await send(producer, name, "a", "b")
        await send(producer, name, "c", partition=1)
        assert await visible(clients, name) == await visible(clients, name, 1) == []
        assert await visible(clients, name, isolation="read_uncommitted") == ["a", "b"]
        assert (await end(clients, name), await end(clients, name, isolation="read_uncommitted")) == (0, 2)
    assert (await visible(clients, name), await visible(clients, name, 1)) == (["a", "b"], ["c"])
    assert await end(clients, name) == await end(clients, name, isolation="read_uncommitted") == 3


async def test_abort(clients, name):
    """An exception within the block aborts; what is sent afterwards is untouched by that."""
    await clients.create(name)
    producer = await transactional(clients, name)
    with pytest.raises(ZeroDivisionError):
        async with producer.transaction():
            await send(producer, name, "never")
            raise ZeroDivisionError
    async with producer.transaction():
        await send(producer, name, "a")
    assert await visible(clients, name) == ["a"]
    assert await visible(clients, name, isolation="read_uncommitted") == ["never", "a"]


async def test_interleaved_producers(clients, name):
    """The reader of a partition waits for its oldest open transaction; aborted records are told apart by producer."""
    await clients.create(name)
    slow, quick = await transactional(clients, f"{name}-slow"), await transactional(clients, f"{name}-quick")
    await slow.begin_transaction()
    await send(slow, name, "slow 1")
    async with quick.transaction():
        await send(quick, name, "quick 1")
    await clients.fill(name, ["plain"])
    assert await visible(clients, name) == []
    async with quick.transaction():
        await send(quick, name, "quick 2")
        await slow.abort_transaction()
        assert await visible(clients, name) == ["quick 1", "plain"]
    assert await visible(clients, name) == ["quick 1", "plain", "quick 2"]


@pytest.mark.parametrize("commits", [True, False])
async def test_consume_transform_produce(clients, name, commits):
    """The offsets of what was consumed are committed with what was made of it, or not at all."""
    source, target = f"{name}-in", f"{name}-out"
    await clients.create(source)
    await clients.create(target)
    await clients.fill(source, ["a", "b", "c"])
    consumer = await clients.consumer(source, group_id=name, isolation_level="read_committed")
    producer = await transactional(clients, name)
    taken = await values(consumer, 3)
    await producer.begin_transaction()
    await send(producer, target, *(value.upper() for value in taken))
    await producer.send_offsets_to_transaction({TopicPartition(source, 0): 3}, name)
    await (producer.commit_transaction() if commits else producer.abort_transaction())
    assert await visible(clients, target) == (["A", "B", "C"] if commits else [])
    other = await clients.consumer(group_id=name)
    assert await other.committed(TopicPartition(source, 0)) == (3 if commits else None)


async def test_waiting_reader_gets_the_commit(clients, name):
    """A reader that waits at the end of what is stable is woken by the marker."""
    await clients.create(name)
    consumer = await clients.consumer(name, isolation_level="read_committed")
    producer = await transactional(clients, name)
    for number in range(3):
        waiting = asyncio.create_task(read(consumer, 1))
        async with producer.transaction():
            await send(producer, name, f"{number}")
            assert not waiting.done()
        assert (await waiting)[0].value == b"%d" % number


async def test_successor_fences_its_predecessor(clients, name):
    """A second producer of the same id aborts what the first began, and the first can do nothing more."""
    await clients.create(name)
    zombie = await transactional(clients, name)
    await zombie.begin_transaction()
    await send(zombie, name, "of the zombie")
    successor = await transactional(clients, name)
    assert await visible(clients, name) == []
    with pytest.raises(ProducerFenced):
        await zombie.commit_transaction()
    async with successor.transaction():
        await send(successor, name, "of the successor")
    assert await visible(clients, name) == ["of the successor"]


async def test_timeout_aborts(clients, name):
    """The coordinator ends a transaction whose time is over; its producer learns of that."""
    await clients.create(name)
    producer = await transactional(clients, name, transaction_timeout_ms=1000)
    await producer.begin_transaction()
    await send(producer, name, "too late")
    async with asyncio.timeout(PATIENCE_S):
        while await end(clients, name) < 2:
            await asyncio.sleep(0.05)
    assert await visible(clients, name) == []
    with pytest.raises(KafkaError):
        await producer.commit_transaction()
