"""Tests as one writes them with the fixture `klamm`."""

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_a_broker_of_its_own(klamm, attempt):
    producer = KafkaProducer(bootstrap_servers=klamm)
    offset = producer.send("payments", b"paid").get(10).offset
    producer.close()
    assert offset == 0
    consumer = KafkaConsumer(bootstrap_servers=klamm, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    consumer.assign([TopicPartition("payments", 0)])
    assert next(consumer).value == b"paid"
    consumer.close()
