"""Consuming without a group: where to start, seeking, looking offsets up."""

import pytest
from clients import read, values
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata


@pytest.fixture
def filled(clients, name):
    """A topic with the values 0 to 9, a second apart, on one partition."""
    clients.create(name)
    producer = clients.producer()
    for number in range(10):
        producer.send(name, b"%d" % number, timestamp_ms=1_700_000_000_000 + 1000 * number).get(20)
    return TopicPartition(name, 0)


def assigned(clients, partition, **options):
    """A consumer of one partition."""
    consumer = clients.consumer(**options)
    consumer.assign([partition])
    return consumer


def test_from_beginning(clients, filled):
    assert values(read(assigned(clients, filled), 10)) == [str(number) for number in range(10)]


def test_from_latest(clients, filled):
    consumer = assigned(clients, filled, auto_offset_reset="latest")
    assert consumer.position(filled) == 10
    clients.fill(filled.topic, ["new"])
    assert values(read(consumer, 1)) == ["new"]


def test_seek(clients, filled):
    consumer = assigned(clients, filled)
    consumer.seek(filled, 7)
    assert values(read(consumer, 3)) == ["7", "8", "9"]
    consumer.seek_to_beginning(filled)
    assert consumer.position(filled) == 0
    consumer.seek_to_end(filled)
    assert consumer.position(filled) == 10


def test_seek_out_of_range_resets(clients, filled):
    consumer = assigned(clients, filled)
    consumer.seek(filled, 5000)
    assert values(read(consumer, 10))[0] == "0"


def test_offsets(clients, filled):
    consumer = clients.consumer()
    assert consumer.beginning_offsets([filled]) == {filled: 0}
    assert consumer.end_offsets([filled]) == {filled: 10}
    middle = consumer.offsets_for_times({filled: 1_700_000_004_500})[filled]
    assert (middle.offset, middle.timestamp) == (5, 1_700_000_005_000)
    assert consumer.offsets_for_times({filled: 1_800_000_000_000}) == {filled: None}


def test_by_timestamp(clients, filled):
    consumer = assigned(clients, filled)
    consumer.seek(filled, consumer.offsets_for_times({filled: 1_700_000_008_000})[filled].offset)
    assert values(read(consumer, 2)) == ["8", "9"]


def test_lag(clients, filled):
    consumer = assigned(clients, filled, max_poll_records=4)
    read(consumer, 4)
    assert consumer.highwater(filled) - consumer.position(filled) == 6


def test_small_fetches(clients, filled):
    """A fetch limit below one batch still returns that batch."""
    consumer = assigned(clients, filled, max_partition_fetch_bytes=1, fetch_max_bytes=1)
    assert values(read(consumer, 10)) == [str(number) for number in range(10)]


def test_pause_resume(clients, filled):
    consumer = assigned(clients, filled)
    consumer.pause(filled)
    assert not consumer.poll(timeout_ms=300)
    consumer.resume(filled)
    read(consumer, 10)


def test_manual_assign_and_commit(clients, filled, name):
    """A simple consumer commits to a group that has no members."""
    consumer = assigned(clients, filled, group_id=name)
    read(consumer, 10)
    consumer.commit()
    assert consumer.committed(filled) == 10
    clients.fill(filled.topic, ["new"])
    assert values(read(assigned(clients, filled, group_id=name), 1)) == ["new"]


def test_commit_with_too_large_metadata(clients, filled, name):
    consumer = assigned(clients, filled, group_id=name)
    try:
        offset = OffsetAndMetadata(3, "m" * 5000, -1)
    except TypeError:
        offset = OffsetAndMetadata(3, "m" * 5000)  # 2.0.2 knows no leader epoch.
    with pytest.raises(KafkaError):
        consumer.commit({filled: offset})
    assert consumer.committed(filled) is None
