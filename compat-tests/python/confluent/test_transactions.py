"""Transactions with confluent-kafka: what is committed is read, all of it; nothing else is."""

import time

import confluent_kafka
import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from librdkafka import PATIENCE_S, read, values


def transactional(clients, name, **options):
    """A transactional producer that is ready."""
    producer = clients.producer(transactional_id=name, **options)
    producer.init_transactions(PATIENCE_S)
    return producer


def send(producer, topic, *sent, partition=0):
    """Sends values within a transaction and waits until the broker has them."""
    for value in sent:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(PATIENCE_S) == 0


def visible(clients, topic, partition=0, isolation="read_committed"):
    """All values that a partition shows now, from its beginning up to where this reader must stop."""
    consumer = clients.consumer("nobody", isolation_level=isolation, enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found = []
    while (message := consumer.poll(PATIENCE_S)) is not None:
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            return found
        found.append(message.value().decode())
    pytest.fail(f"no end of the partition after {found}")


def end_offset(clients, topic, isolation):
    """A partition's last stable offset, or its high watermark."""
    partition = TopicPartition(topic, 0)
    asked = clients.admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=isolation)
    return asked[partition].result(PATIENCE_S).offset


def stable(clients, topic):
    """A partition's last stable offset."""
    return end_offset(clients, topic, IsolationLevel.READ_COMMITTED)


def end(clients, topic):
    """A partition's high watermark."""
    return end_offset(clients, topic, IsolationLevel.READ_UNCOMMITTED)


def committed(clients, group, topic):
    """What a group has committed for partition 0; negative is nothing."""
    return clients.consumer(group).committed([TopicPartition(topic, 0)], PATIENCE_S)[0].offset


def until(condition):
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_commit(clients, name):
    """Two partitions in one transaction: nothing is stable before the commit, all of it after."""
    clients.create(name, 2)
    producer = transactional(clients, name)
    producer.begin_transaction()
    send(producer, name, "a", "b")
    send(producer, name, "c", partition=1)
    assert visible(clients, name) == visible(clients, name, 1) == []
    assert visible(clients, name, isolation="read_uncommitted") == ["a", "b"]
    assert (stable(clients, name), end(clients, name)) == (0, 2)
    producer.commit_transaction(PATIENCE_S)
    assert (visible(clients, name), visible(clients, name, 1)) == (["a", "b"], ["c"])
    assert stable(clients, name) == end(clients, name) == 3  # The marker has an offset, too.


def test_abort(clients, name):
    clients.create(name)
    producer = transactional(clients, name)
    producer.begin_transaction()
    send(producer, name, "never")
    producer.abort_transaction(PATIENCE_S)
    producer.begin_transaction()
    send(producer, name, "a")
    producer.commit_transaction(PATIENCE_S)
    assert visible(clients, name) == ["a"]
    assert visible(clients, name, isolation="read_uncommitted") == ["never", "a"]


def test_many_transactions_in_turn(clients, name):
    """Every third is aborted; the offsets of what is left tell where the markers are."""
    clients.create(name)
    producer = transactional(clients, name)
    for number in range(60):
        producer.begin_transaction()
        send(producer, name, f"{number}")
        (producer.abort_transaction if number % 3 == 2 else producer.commit_transaction)(PATIENCE_S)
    consumer = clients.consumer("nobody", isolation_level="read_committed")
    consumer.assign([TopicPartition(name, 0, 0)])
    kept = [number for number in range(60) if number % 3 != 2]
    assert [(int(message.value()), message.offset()) for message in read(consumer, 40)] == [(n, 2 * n) for n in kept]


def test_transactions_without_records(clients, name):
    clients.create(name)
    producer = transactional(clients, name)
    for _ in range(2):
        producer.begin_transaction()
        producer.commit_transaction(PATIENCE_S)
        producer.begin_transaction()
        producer.abort_transaction(PATIENCE_S)
    assert end(clients, name) == 0


def test_interleaved_producers(clients, name):
    """The reader of a partition waits for its oldest open transaction; aborted records are told apart by producer."""
    clients.create(name)
    slow, quick = transactional(clients, f"{name}-slow"), transactional(clients, f"{name}-quick")
    slow.begin_transaction()
    send(slow, name, "slow 1")
    quick.begin_transaction()
    send(quick, name, "quick 1")
    quick.commit_transaction(PATIENCE_S)
    clients.fill(name, ["plain"])
    assert visible(clients, name) == []
    assert (stable(clients, name), end(clients, name)) == (0, 4)
    quick.begin_transaction()
    send(quick, name, "quick 2")
    send(slow, name, "slow 2")
    slow.abort_transaction(PATIENCE_S)
    assert visible(clients, name) == ["quick 1", "plain"]
    assert stable(clients, name) == 4  # Where "quick 2" is.
    quick.commit_transaction(PATIENCE_S)
    assert visible(clients, name) == ["quick 1", "plain", "quick 2"]
    everything = ["slow 1", "quick 1", "plain", "quick 2", "slow 2"]
    assert visible(clients, name, isolation="read_uncommitted") == everything


def test_waiting_reader_gets_the_commit(clients, name):
    """A reader that waits at the end of what is stable is woken by the marker, not by its time."""
    clients.create(name)
    consumer = clients.consumer("nobody", isolation_level="read_committed", fetch_wait_max_ms=15_000)
    consumer.assign([TopicPartition(name, 0, 0)])
    producer = transactional(clients, name)
    for number in range(3):
        producer.begin_transaction()
        send(producer, name, f"{number}")
        assert consumer.poll(0.3) is None
        producer.commit_transaction(PATIENCE_S)
        message = consumer.poll(5)
        assert message is not None and message.value() == b"%d" % number


@pytest.mark.parametrize("commits", [True, False])
def test_consume_transform_produce(clients, name, commits):
    """The offsets of what was consumed are committed with what was made of it, or not at all."""
    source, target = clients.create(f"{name}-in"), clients.create(f"{name}-out")
    clients.fill(source, ["a", "b", "c"])
    consumer = clients.consumer(name, isolation_level="read_committed")
    consumer.subscribe([source])
    producer = transactional(clients, name)
    taken = read(consumer, 3)
    producer.begin_transaction()
    send(producer, target, *(value.upper() for value in values(taken)))
    position = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), PATIENCE_S)
    (producer.commit_transaction if commits else producer.abort_transaction)(PATIENCE_S)
    assert visible(clients, target) == (["A", "B", "C"] if commits else [])
    assert committed(clients, name, source) == (3 if commits else confluent_kafka.OFFSET_INVALID)
    consumer.close()
    clients.consumers.remove(consumer)
    clients.fill(source, ["d"])
    again = clients.consumer(name)
    again.subscribe([source])
    assert values(read(again, 1 if commits else 4))[-1] == "d"


def test_offsets_of_a_former_member(clients, name):
    """A member that has left the group must not commit offsets for it, within a transaction either."""
    source, target = clients.create(f"{name}-in"), clients.create(f"{name}-out")
    clients.fill(source, ["a", "b"])
    consumer = clients.consumer(name)
    consumer.subscribe([source])
    read(consumer, 2)
    metadata = consumer.consumer_group_metadata()
    consumer.close()
    clients.consumers.remove(consumer)
    producer = transactional(clients, name)
    producer.begin_transaction()
    send(producer, target, "never")
    with pytest.raises(KafkaException) as refused:
        producer.send_offsets_to_transaction([TopicPartition(source, 0, 2)], metadata, PATIENCE_S)
    assert refused.value.args[0].txn_requires_abort()
    producer.abort_transaction(PATIENCE_S)
    assert visible(clients, target) == []
    assert committed(clients, name, source) == confluent_kafka.OFFSET_INVALID


def test_successor_fences_its_predecessor(clients, name):
    """A second producer of the same id aborts what the first began, and the first can do nothing more."""
    clients.create(name)
    zombie = transactional(clients, name)
    zombie.begin_transaction()
    send(zombie, name, "of the zombie")
    successor = transactional(clients, name)
    assert visible(clients, name) == []
    assert stable(clients, name) == end(clients, name) == 2
    with pytest.raises(KafkaException) as refused:
        zombie.commit_transaction(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError._FENCED and refused.value.args[0].fatal()
    successor.begin_transaction()
    send(successor, name, "of the successor")
    successor.commit_transaction(PATIENCE_S)
    assert visible(clients, name) == ["of the successor"]


def test_zombie_cannot_write(clients, name):
    clients.create(name)
    zombie = transactional(clients, name)
    zombie.begin_transaction()
    send(zombie, name, "before")
    transactional(clients, name)
    with pytest.raises(KafkaException) as refused:
        send(zombie, name, "after")
    assert refused.value.args[0].code() == KafkaError._FENCED
    assert visible(clients, name) == []
    assert visible(clients, name, isolation="read_uncommitted") == ["before"]


def test_timeout_aborts(clients, name):
    """The coordinator ends a transaction whose time is over; its producer learns of that and aborts."""
    clients.create(name)
    producer = transactional(clients, name, transaction_timeout_ms=1000)
    producer.begin_transaction()
    send(producer, name, "too late")
    assert stable(clients, name) == 0
    until(lambda: stable(clients, name) == 2)
    assert visible(clients, name) == []
    with pytest.raises(KafkaException) as refused:
        producer.commit_transaction(PATIENCE_S)
    assert refused.value.args[0].fatal() or refused.value.args[0].txn_requires_abort()
    next_one = transactional(clients, name)
    next_one.begin_transaction()
    send(next_one, name, "in time")
    next_one.commit_transaction(PATIENCE_S)
    assert visible(clients, name) == ["in time"]


def test_timeout_that_is_too_long(clients, name):
    producer = clients.producer(transactional_id=name, transaction_timeout_ms=1_000_000)
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_compressed_and_large(clients, name):
    """Batches of a transaction that are compressed, and more of them than one answer holds."""
    clients.create(name)
    producer = transactional(clients, name, compression_type="lz4", linger_ms=5)
    expected = [f"{number} " + "x" * 1000 for number in range(2000)]
    for ends, sent in ((producer.abort_transaction, expected[::-1]), (producer.commit_transaction, expected)):
        producer.begin_transaction()
        send(producer, name, *sent)
        ends(PATIENCE_S)
    assert visible(clients, name) == expected
