"""What the machine itself can do, in the same run: loopback TCP, writing to the page cache, reading a file."""

import os
import subprocess

import install
import machine
from ranges import median_range

from harness.broker import free_port


def rate(command):
    """The MB/s that a floor prints."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e6


def loopback(size):
    """From the clients' core to the brokers' core."""
    port = free_port()
    sink = subprocess.Popen(machine.pinned([install.floors(), "sink", port]), preexec_fn=machine.die_with_parent)
    found = rate([install.floors(), "source", port, size])
    sink.wait()
    return found


def page_cache_write(directory, size):
    """Megabyte after megabyte, from the brokers' core."""
    return rate(machine.pinned([install.floors(), "write", directory / "floor", size]))


def cold_read(directory, size):
    """A file from the disk."""
    path = directory / "floor"
    with path.open("wb", buffering=0) as file:
        for _ in range(max(1, size // machine.MIB)):
            file.write(os.urandom(machine.MIB))
    machine.drop_page_cache()
    found = rate(machine.pinned([install.floors(), "read", path]))
    path.unlink()
    return found


def measure(directory, scale, rounds):
    """name -> (median, low, high) in MB/s."""
    size = max(64 * machine.MIB, int(2 * 1024 * machine.MIB * scale))
    machine.pre_touch(directory, size)
    floors = {
        "loopback TCP": lambda: loopback(2 * size),
        "page cache write": lambda: page_cache_write(directory, size),
        "sequential cold read": lambda: cold_read(directory, size),
    }
    return {name: median_range([floor() for _ in range(rounds)]) for name, floor in floors.items()}
