"""Fixtures of the aiokafka suite."""

import pytest
from event_loop import Clients


@pytest.fixture
async def clients(bootstrap):
    """Clients of the broker under test."""
    made = Clients(bootstrap)
    yield made
    await made.stop()
