"""A pytest plugin: one line for each test, as `main.py` counts them, and the fixtures that all Python suites share."""

import os
import sys
import uuid

import pytest

OUTCOMES = {"passed": "PASS", "failed": "FAIL", "skipped": "SKIP"}


def pytest_runtest_logreport(report):
    """Prints the outcome of a test's call, or of its setup when that decided it."""
    if report.when == "call" or report.outcome != "passed":
        name = report.nodeid.split("/")[-1].removeprefix("test_").replace(".py::test_", ": ").replace("_", " ")
        sys.__stdout__.write(f"\n{OUTCOMES[report.outcome]} {name} ({report.duration:.1f} s)\n")
        sys.__stdout__.flush()


def pytest_report_teststatus(report):
    """Leaves pytest's own progress marks out."""
    return report.outcome, "", ""


@pytest.fixture(scope="session")
def bootstrap():
    """The address of the broker under test."""
    return os.environ["BROKER"]


@pytest.fixture
def name(request):
    """A name for topics and groups that no other test uses."""
    return f"{request.node.originalname.removeprefix('test_').replace('_', '-')}-{uuid.uuid4().hex[:6]}"
