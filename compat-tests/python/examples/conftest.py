"""A broker for each test: in memory, on a free port, there in milliseconds. To be copied into one's own project."""

import os
import subprocess
import time

import pytest


@pytest.fixture
def klamm(tmp_path):
    """The address of a broker that belongs to the test alone; KLAMM names the program, otherwise it is on the PATH."""
    ready = tmp_path / "ready"
    program = os.environ.get("KLAMM", "klamm")
    arguments = ["start", "--memory", "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
    with (tmp_path / "log").open("w") as log:
        broker = subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=tmp_path)
    while not ready.exists():
        if broker.poll() is not None:
            raise RuntimeError((tmp_path / "log").read_text())
        time.sleep(0.001)
    yield ready.read_text().strip()
    broker.terminate()
    broker.wait(10)
