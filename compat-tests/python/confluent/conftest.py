"""Fixtures of the confluent-kafka suite."""

import pytest
from librdkafka import Clients


@pytest.fixture
def clients(bootstrap):
    """Clients of the broker under test."""
    made = Clients(bootstrap)
    yield made
    for consumer in made.consumers:
        consumer.close()
