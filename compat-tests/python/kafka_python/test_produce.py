"""Producing: acknowledgements, keys, headers, compression, sizes, timestamps, idempotence."""

import pytest
from clients import VERSION, read, values
from kafka.errors import MessageSizeTooLargeError


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acks(clients, name, acks):
    if acks == 0 and (2, 3) <= VERSION < (3,):
        pytest.skip("this version's acks=0 records do not arrive at Apache Kafka 4.1 either")
    clients.create(name)
    options = {"enable_idempotence": False} if VERSION >= (2, 3) else {}
    producer = clients.producer(acks=acks, **options)
    sent = [producer.send(name, b"%d" % number).get(20) for number in range(3)]
    producer.close()
    if acks != 0:
        assert [metadata.offset for metadata in sent] == [0, 1, 2]
    assert values(read(clients.consumer(name), 3)) == ["0", "1", "2"]


def test_key_headers_null_value(clients, name):
    clients.create(name)
    producer = clients.producer()
    headers = [("trace", b"abc"), ("trace", b"again"), ("empty", b"")]
    sent = producer.send(name, key=b"user-10", value=None, headers=headers, timestamp_ms=1_600_000_000_000).get(20)
    assert sent.timestamp == 1_600_000_000_000
    record = read(clients.consumer(name), 1)[0]
    assert (record.key, record.value, list(record.headers)) == (b"user-10", None, headers)
    assert (record.timestamp, record.timestamp_type) == (1_600_000_000_000, 0)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compression(clients, name, codec):
    clients.create(name)
    expected = [f"{codec} {number} " + "x" * 200 for number in range(500)]
    sent = clients.fill(name, expected, compression_type=codec, linger_ms=20)
    assert [metadata.offset for metadata in sent] == list(range(500))
    assert values(read(clients.consumer(name), 500)) == expected


def test_big_messages(clients, name):
    clients.create(name)
    expected = [letter * 900_000 for letter in "abc"]
    clients.fill(name, expected)
    assert values(read(clients.consumer(name), 3)) == expected


def test_too_large_message(clients, name):
    clients.create(name, max_message_bytes="20000")
    with pytest.raises(MessageSizeTooLargeError):
        clients.producer().send(name, b"x" * 30_000).get(20)
    assert clients.producer().send(name, b"small").get(20).offset == 0


def test_log_append_time(clients, name):
    clients.create(name, message_timestamp_type="LogAppendTime")
    sent = clients.producer().send(name, b"now", timestamp_ms=1000).get(20)
    record = read(clients.consumer(name), 1)[0]
    assert record.timestamp_type == 1
    assert record.timestamp == sent.timestamp > 1_600_000_000_000


def test_same_key_same_partition(clients, name):
    """`user-10` is on partition 2 of 3 for every client with Kafka's murmur2."""
    clients.create(name, partitions=3)
    producer = clients.producer()
    sent = [producer.send(name, key=b"user-10", value=b"%d" % number).get(20) for number in range(3)]
    assert [(metadata.partition, metadata.offset) for metadata in sent] == [(2, 0), (2, 1), (2, 2)]


@pytest.mark.skipif(VERSION < (2, 3), reason="this version has no idempotent producer")
def test_idempotent_producer(clients, name):
    clients.create(name, partitions=2)
    producer = clients.producer(enable_idempotence=True, acks="all")
    futures = [producer.send(name, b"%d" % number, partition=number % 2) for number in range(1000)]
    producer.flush()
    assert [future.get(20).offset for future in futures] == [number // 2 for number in range(1000)]
    numbers = [int(value) for value in values(read(clients.consumer(name), 1000))]
    assert sorted(numbers) == list(range(1000))
