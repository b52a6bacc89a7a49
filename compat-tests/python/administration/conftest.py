"""The fixture of the administration suite."""

import pytest
from libraries import opened


@pytest.fixture(scope="session")
def clients(bootstrap):
    """Clients of the broker under test."""
    yield from opened(bootstrap)
