"""Fixtures of the kafka-python suites."""

import pytest
from clients import Clients


@pytest.fixture
def clients(bootstrap):
    """Clients of the broker under test, closed with the test."""
    made = Clients(bootstrap)
    yield made
    made.close()
