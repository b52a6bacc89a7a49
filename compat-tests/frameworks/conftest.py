"""Fixtures of the frameworks' tests."""

import os

import pytest

from harness.broker import broker_class

# Compaction is to happen while the test runs.
CLEANER = {
    "log.cleaner.backoff.ms": "100",
    "offsets.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
}


@pytest.fixture
def broker():
    """A broker that the test may kill; it comes back at the same address with the same data."""
    with broker_class(os.environ["AGAINST"])(CLEANER) as started:
        yield started
