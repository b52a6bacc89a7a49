"""What the operating system tells about processes and about the machine, and how the machine is made ready."""

import ctypes
import os
import resource
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
BROKER_CORE = 0
CLIENT_CORE = 1
MIN_IDLE = 0.90
# A process that is no part of the measurement and takes more than this of a core spoils a round.
MAX_FOREIGN = 0.05
MIB = 1024 * 1024


def machine_ticks():
    """(idle, all) ticks of all cores since boot."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def idle_share(seconds=2.0):
    """How idle the machine is, 0 to 1, over some seconds."""
    idle, total = machine_ticks()
    time.sleep(seconds)
    idle_after, total_after = machine_ticks()
    return (idle_after - idle) / max(1, total_after - total)


def stat_fields(pid):
    """The fields of /proc/<pid>/stat from the state on, so that utime is [11] and stime [12]; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid):
    """User and system time of a process, in seconds, by its own clock: the ticks of /proc are too coarse for short loads."""
    try:
        # The kernel's number of that clock, which the C library's clock_getcpuclockid makes in the same way.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def status_mib(pid, key):
    """A memory line of /proc/<pid>/status, such as VmHWM, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def reset_peak(pid):
    """Makes VmHWM start again from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def foreign_seconds(own):
    """CPU seconds of every process that is neither a kernel thread, nor this one, nor in `own`, by process id."""
    seconds = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in own and int(entry) != os.getpid():
            fields = stat_fields(entry)
            # Kernel threads work for whoever is measured: the parent of all of them is process 2.
            if fields and fields[1] not in ("2", str(os.getpid())) and entry != "2":
                seconds[entry] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def pin_self():
    """This process, and so every client that it starts, runs on the clients' core."""
    os.sched_setaffinity(0, {min(CLIENT_CORE, os.cpu_count() - 1)})


def pinned(command):
    """The command of a broker, which runs on the brokers' core."""
    return ["taskset", "-c", str(BROKER_CORE), *map(str, command)]


def pre_touch(directory, size):
    """Writes and deletes a data set of the size of a round's, so that memory and disk blocks were used before.

    Memory that was free for a second or two is not enough: a virtual machine's host may have taken it away, and bringing it
    back makes the next writes several times as slow.
    """
    path = Path(directory) / "pre-touch"
    block = os.urandom(MIB)
    with path.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(block)
    path.unlink()
    settle()


def settle():
    """Has dirty pages written now and not in the middle of what is measured next."""
    os.sync()


def drop_page_cache():
    """Forgets what files hold; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1\n")


def die_with_parent():
    """For a child: ends with this process, even when it is killed; PR_SET_PDEATHSIG is 1, SIGKILL 9."""
    ctypes.CDLL(None).prctl(1, 9)


def as_broker():
    """For a broker's process: ends with this one, and may open as many files as the machine lets it."""
    die_with_parent()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def description():
    """What a reader must know of the machine."""
    model = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {"kernel": os.uname().release, "cores": os.cpu_count(), "cpu": model[0] if model else "?",
            "open files": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}  # fmt: skip
