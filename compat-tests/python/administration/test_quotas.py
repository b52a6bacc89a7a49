"""A client over its quota is slowed to it, also after kill -9; one beside it without a quota is not."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import confluent_kafka
import pytest
from kafka.protocol.admin import AlterClientQuotasRequest
from libraries import PATIENCE_S, opened

from harness.broker import broker_class

# Bytes per second.
QUOTA = 1_000_000
# As long as the broker looks back: a client that was silent may take ten seconds' worth at once, as in Kafka, and then
# has to wait. Only over the whole window is what it takes its quota.
WINDOW_S = 11
ALONE_S = 3
VALUE = bytes(1000)


@pytest.fixture(scope="module")
def broker():
    """A broker of this module's own, to be killed."""
    with broker_class(os.environ["AGAINST"])() as started:
        yield started


@pytest.fixture(scope="module")
def clients(broker):
    """Clients of that broker; they find it again after its crash, for its port stays."""
    yield from opened(broker.bootstrap)


def limit(clients, client_id, key):
    """Sets a quota of a client id. kafka-python knows the request and has no method for it."""
    of = AlterClientQuotasRequest.EntryData
    entry = of(
        entity=[of.EntityData(entity_type="client-id", entity_name=client_id)],
        ops=[of.OpData(key=key, value=float(QUOTA), remove=False)],
    )
    manager = clients.python._manager
    request = AlterClientQuotasRequest(entries=[entry], validate_only=False)
    response = manager.run(manager.send, request)
    assert [entry.error_code for entry in response.entries] == [0], response


def producer(clients, client_id, **options):
    """A producer of small batches, so that the last one before a wait weighs little."""
    options = {key.replace("_", "."): value for key, value in options.items()}
    settings = {"bootstrap.servers": clients.bootstrap, "client.id": client_id, "batch.size": 16_384}
    return confluent_kafka.Producer({**settings, **options})


def produced(clients, topic):
    """How many bytes per second `slow-producer` gets rid of in a window; it always has more."""
    acknowledged = 0

    def count(error, message):
        nonlocal acknowledged
        assert error is None, error
        acknowledged += len(message.value())

    slow = producer(clients, "slow-producer", queue_buffering_max_messages=500)
    end = time.monotonic() + WINDOW_S
    while time.monotonic() < end:
        try:
            slow.produce(topic, VALUE, partition=0, on_delivery=count)
        except BufferError:
            slow.poll(0.02)
    rate = acknowledged / WINDOW_S
    slow.purge()
    return rate


def consumed(clients, topic):
    """How many bytes per second `slow-consumer` reads in a window; there is always more."""
    settings = {"bootstrap.servers": clients.bootstrap, "client.id": "slow-consumer", "group.id": topic}
    slow = confluent_kafka.Consumer({**settings, "max.partition.fetch.bytes": 50_000, "enable.auto.commit": False})
    slow.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    read, end = 0, time.monotonic() + WINDOW_S
    while time.monotonic() < end:
        for message in slow.consume(500, 0.02):
            assert message.error() is None, message.error()
            read += len(message.value())
    slow.close()
    return read / WINDOW_S


def p99(clients, topic, seconds):
    """The 99th percentile of the seconds that `free` waits for a record's acknowledgement."""
    free, took, end = producer(clients, "free", linger_ms=0), [], time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        free.produce(topic, b"x", partition=0)
        assert free.flush(PATIENCE_S) == 0
        took.append(time.monotonic() - started)
    return sorted(took)[len(took) * 99 // 100]


def slowed(clients, name):
    """Has both slow clients and `free` work beside each other; returns the two rates and the p99."""
    with ThreadPoolExecutor(3) as pool:
        writing = pool.submit(produced, clients, f"{name}-in")
        reading = pool.submit(consumed, clients, f"{name}-out")
        waiting = pool.submit(p99, clients, f"{name}-free", WINDOW_S)
        rates = {"producer": writing.result(), "consumer": reading.result()}
    return rates, waiting.result()


def is_near_quota(rates):
    """Whether every rate is within a tenth of the quota."""
    return all(abs(rate - QUOTA) <= QUOTA / 10 for rate in rates.values())


def test_a_slowed_client_beside_a_free_one(broker, clients, name):
    for topic in ("in", "out", "free"):
        clients.create(f"{name}-{topic}")
    filler = producer(clients, "filler")
    for _ in range(2 * WINDOW_S * QUOTA // len(VALUE)):
        filler.produce(f"{name}-out", VALUE, partition=0)
    assert filler.flush(PATIENCE_S) == 0
    limit(clients, "slow-producer", "producer_byte_rate")
    limit(clients, "slow-consumer", "consumer_byte_rate")

    alone = p99(clients, f"{name}-free", ALONE_S)
    rates, beside = slowed(clients, name)
    assert is_near_quota(rates), rates
    # Who is held up by another's throttle waits for most of a second.
    assert beside <= 3 * alone + 0.05, f"p99 {alone} s alone, {beside} s beside slowed clients"

    broker.kill()
    broker.start()
    rates, _ = slowed(clients, name)
    assert is_near_quota(rates), f"after kill -9: {rates}"
