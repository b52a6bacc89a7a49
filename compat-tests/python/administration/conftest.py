"""The fixture of the administration suite."""

import pytest
from libraries import Clients


@pytest.fixture(scope="session")
def clients(bootstrap):
    """Clients of the broker under test."""
    made = Clients(bootstrap)
    yield made
    made.python.close()
