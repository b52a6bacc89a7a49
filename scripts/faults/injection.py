"""A broker whose system calls fail or wait when a script says so, by the shim beside this file."""

import contextlib
import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "compat-tests"))

from harness import toolchains  # noqa: E402
from harness.broker import Klamm  # noqa: E402

KINDS = {"write": 0, "sync": 1, "read": 2, "rename": 3}
KIND = struct.Struct("iiii")
PATTERN_AT = KIND.size * len(KINDS)
PAGE = PATTERN_AT + 256


class FaultyKlamm(Klamm):
    """The broker under test, on a file system that fails as told; `log_text` is what it printed."""

    def __init__(self, settings=None, directory=None):
        super().__init__(settings, directory)
        compiler = shutil.which("cc")
        if compiler is None:
            raise toolchains.Missing("there is no C compiler for the shim")
        self.shim = self.directory / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", self.shim, source, "-ldl"], check=True)
        self.control_path = self.directory / "control"
        self.control_path.write_bytes(bytes(PAGE))
        with self.control_path.open("r+b") as file:
            self.control = mmap.mmap(file.fileno(), PAGE)

    def command(self):
        variables = [f"LD_PRELOAD={self.shim}", f"FAULT_CONTROL={self.control_path}"]
        return ["env", *variables, *super().command()]

    def arm(self, kind, pattern, error=0, after=0, delay_ms=0):
        """From now on calls of this kind on files with `pattern` in their paths fail or wait, but the first `after` of them."""
        self.disarm()
        number = getattr(errno, error) if error else 0
        KIND.pack_into(self.control, KINDS[kind] * KIND.size, number, after, delay_ms, 0)
        self.control[PATTERN_AT : PATTERN_AT + 256] = pattern.encode().ljust(256, b"\0")

    def disarm(self):
        """Everything works again."""
        self.control[PATTERN_AT : PATTERN_AT + 256] = bytes(256)
        self.control[:PATTERN_AT] = bytes(PATTERN_AT)

    def hits(self, kind):
        """How many calls have failed, or had to wait, since `arm`."""
        return KIND.unpack_from(self.control, KINDS[kind] * KIND.size)[3]

    @property
    def log_text(self):
        """What the broker has printed since it was first started."""
        return self.log.read_text(errors="replace")

    def exit_status(self, within_s):
        """The status with which the process ends by itself; None if it lives on."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None


def drop_from_page_cache(directory, suffix=".log"):
    """Has the system forget the bytes of the files below `directory`, which are synced first."""
    for path in Path(directory).rglob(f"*{suffix}"):
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
