"""Fixtures of the kafka-python suites."""

import pytest
from clients import VERSION, Clients

# Transactions came with 2.3.
collect_ignore = ["test_transactions.py"] if VERSION < (2, 3) else []


@pytest.fixture
def clients(bootstrap):
    """Clients of the broker under test, closed with the test."""
    made = Clients(bootstrap)
    yield made
    made.close()
