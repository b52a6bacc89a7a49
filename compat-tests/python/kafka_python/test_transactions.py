"""Transactions with kafka-python: what is committed is read, all of it; nothing else is."""

import pytest
from clients import PATIENCE_S, VERSION, read, values, wait_until
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

# PRODUCER_FENCED, which is INVALID_PRODUCER_EPOCH in the versions of EndTxn that older clients speak.
FENCED = 90 if VERSION >= (3,) else 47


def transactional(clients, name, **options):
    """A transactional producer that is ready."""
    producer = clients.producer(transactional_id=name, acks="all", enable_idempotence=True, **options)
    producer.init_transactions()
    return producer


def send(producer, topic, *sent, partition=0):
    """Sends values within a transaction and waits until the broker has them."""
    futures = [producer.send(topic, value.encode(), partition=partition) for value in sent]
    producer.flush()
    return [future.get(PATIENCE_S).offset for future in futures]


def end(clients, topic, partition=0, isolation="read_committed"):
    """A partition's last stable offset, or its high watermark."""
    asked = TopicPartition(topic, partition)
    return clients.consumer(isolation_level=isolation).end_offsets([asked])[asked]


def visible(clients, topic, partition=0, isolation="read_committed"):
    """All values that a partition shows now, from its beginning up to where this reader must stop."""
    consumer, asked = clients.consumer(isolation_level=isolation), TopicPartition(topic, partition)
    consumer.assign([asked])
    consumer.seek_to_beginning(asked)
    last, found = consumer.end_offsets([asked])[asked], []

    def is_read():
        for batch in consumer.poll(timeout_ms=50).values():
            found.extend(batch)
        return consumer.position(asked) >= last

    wait_until(is_read, lambda: f"{consumer.position(asked)} of {last}: {values(found)}")
    return values(found)


def committed(clients, group, topic):
    """What a group has committed for partition 0, or None."""
    return clients.consumer(group_id=group).committed(TopicPartition(topic, 0))


def test_commit(clients, name):
    """Two partitions in one transaction: nothing is stable before the commit, all of it after."""
    clients.create(name, 2)
    producer = transactional(clients, name)
    producer.begin_transaction()
    assert send(producer, name, "a", "b") == [0, 1]
    send(producer, name, "c", partition=1)
    assert visible(clients, name) == visible(clients, name, 1) == []
    assert visible(clients, name, isolation="read_uncommitted") == ["a", "b"]
    assert (end(clients, name), end(clients, name, isolation="read_uncommitted")) == (0, 2)
    producer.commit_transaction()
    assert (visible(clients, name), visible(clients, name, 1)) == (["a", "b"], ["c"])
    assert end(clients, name) == end(clients, name, isolation="read_uncommitted") == 3


def test_abort(clients, name):
    clients.create(name)
    producer = transactional(clients, name)
    for value, ends in (
        ("never", producer.abort_transaction),
        ("a", producer.commit_transaction),
        ("never again", producer.abort_transaction),
        ("b", producer.commit_transaction),
    ):
        producer.begin_transaction()
        send(producer, name, value)
        ends()
    assert visible(clients, name) == ["a", "b"]
    assert visible(clients, name, isolation="read_uncommitted") == ["never", "a", "never again", "b"]


def test_interleaved_producers(clients, name):
    """The reader of a partition waits for its oldest open transaction; aborted records are told apart by producer."""
    clients.create(name)
    slow, quick = transactional(clients, f"{name}-slow"), transactional(clients, f"{name}-quick")
    slow.begin_transaction()
    send(slow, name, "slow 1")
    quick.begin_transaction()
    send(quick, name, "quick 1")
    quick.commit_transaction()
    clients.fill(name, ["plain"])
    assert visible(clients, name) == []
    quick.begin_transaction()
    send(quick, name, "quick 2")
    slow.abort_transaction()
    assert visible(clients, name) == ["quick 1", "plain"]
    quick.commit_transaction()
    assert visible(clients, name) == ["quick 1", "plain", "quick 2"]


@pytest.mark.parametrize("commits", [True, False])
def test_consume_transform_produce(clients, name, commits):
    """The offsets of what was consumed are committed with what was made of it, or not at all."""
    source, target = clients.create(f"{name}-in"), clients.create(f"{name}-out")
    clients.fill(source, ["a", "b", "c"])
    consumer = clients.consumer(source, group_id=name, isolation_level="read_committed")
    producer = transactional(clients, name)
    taken = read(consumer, 3)
    producer.begin_transaction()
    send(producer, target, *(value.upper() for value in values(taken)))
    offsets = {TopicPartition(source, 0): OffsetAndMetadata(3, "", -1)}
    producer.send_offsets_to_transaction(offsets, consumer.group_metadata() if VERSION >= (3,) else name)
    (producer.commit_transaction if commits else producer.abort_transaction)()
    assert visible(clients, target) == (["A", "B", "C"] if commits else [])
    assert committed(clients, name, source) == (3 if commits else None)


def test_successor_fences_its_predecessor(clients, name):
    """A second producer of the same id aborts what the first began, and the first can do nothing more."""
    clients.create(name)
    zombie = transactional(clients, name)
    zombie.begin_transaction()
    send(zombie, name, "of the zombie")
    successor = transactional(clients, name)
    assert visible(clients, name) == []
    with pytest.raises(KafkaError) as refused:
        zombie.commit_transaction()
    assert refused.value.errno == FENCED
    successor.begin_transaction()
    send(successor, name, "of the successor")
    successor.commit_transaction()
    assert visible(clients, name) == ["of the successor"]


def test_timeout_aborts(clients, name):
    """The coordinator ends a transaction whose time is over; its producer learns of that."""
    clients.create(name)
    producer = transactional(clients, name, transaction_timeout_ms=1000)
    producer.begin_transaction()
    send(producer, name, "too late")
    wait_until(lambda: end(clients, name) == 2, lambda: end(clients, name))
    assert visible(clients, name) == []
    with pytest.raises(KafkaError):
        producer.commit_transaction()


@pytest.mark.skipif(VERSION < (3,), reason="this version's admin client knows no transactions")
def test_hanging_transaction_is_aborted(clients, name):
    """The admin client lists and describes an open transaction, and ends it."""
    clients.create(name)
    producer = transactional(clients, name)
    producer.begin_transaction()
    send(producer, name, "left behind")
    admin, partition = clients.admin(), TopicPartition(name, 0)
    listed = [one for ones in admin.list_transactions().values() for one in ones if one.transactional_id == name]
    described = admin.describe_transactions([name])[name]
    assert [one.producer_id for one in listed] == [described.producer_id]
    state = admin.describe_producers([partition])[partition].active_producers[0]
    assert (state.producer_id, state.current_transaction_start_offset) == (described.producer_id, 0)
    assert end(clients, name) == 0
    admin.abort_transaction(aborting(partition, state))
    assert end(clients, name) == 2
    assert visible(clients, name) == []


def aborting(partition, state):
    """What to abort: the open transaction of a partition's producer."""
    from kafka.admin import AbortTransactionSpec  # Older versions have none.

    return AbortTransactionSpec(partition, state.producer_id, state.producer_epoch, state.coordinator_epoch)
