"""File systems of their own for a broker's data, and what can happen to them: power loss, no room, a disk that hangs."""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "compat-tests"))

from harness import toolchains  # noqa: E402

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same number, _IOR('X', 125, u32).
SHUTDOWN = 0x8004587D
# Neither the data nor the journal in memory reaches the disk.
WITHOUT_LOG_FLUSH = 2
# FIFREEZE and FITHAW, _IOWR('X', 119 and 120, int): what fsfreeze asks for, without a process to be started meanwhile.
FREEZE, THAW = 0xC0045877, 0xC0045878
# Debian's package with the tools of each kind of file system.
PACKAGES = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
# mkfs.xfs refuses less than 300 MB. The file is sparse.
IMAGE_BYTES = 1 << 30


def need_root():
    """Fails with `Missing` unless file systems can be mounted here."""
    if os.geteuid() != 0:
        raise toolchains.Missing("only root can mount file systems")


def run(*command):
    """Runs a command of the system; it must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class Disk:
    """A mounted file system, in a directory of its own; gone when the context ends."""

    def __init__(self):
        need_root()
        self.home = Path(tempfile.mkdtemp(prefix="klamm-fault-"))
        self.path = self.home / "mounted"
        self.path.mkdir()

    def mount(self):
        """Mounts it."""
        raise NotImplementedError

    def unmount(self):
        """Unmounts it; whoever has just been killed may hold it for a moment longer."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return run("umount", self.path)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def __enter__(self):
        try:
            self.mount()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_):
        if os.path.ismount(self.path):
            self.unmount()
        shutil.rmtree(self.home, ignore_errors=True)


class LoopDisk(Disk):
    """A file system of the kind `kind` (ext4, xfs) in a file."""

    def __init__(self, kind, size=IMAGE_BYTES):
        super().__init__()
        toolchains.debian(f"mkfs.{kind}", PACKAGES[kind])
        self.image = self.home / "image"
        with self.image.open("wb") as image:
            image.truncate(size)
        run(f"mkfs.{kind}", "-q", self.image)

    def mount(self):
        try:
            run("mount", "-o", "loop", self.image, self.path)
        except RuntimeError as error:
            raise toolchains.Missing(str(error))

    def lose_power(self):
        """From now on nothing reaches the disk, neither data nor journal."""
        self.control(SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))

    def control(self, request, argument=0):
        """Asks something of the file system."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, request, argument)
        finally:
            os.close(directory)

    def power_on(self):
        """Mounts again what has reached the disk. Nobody may have files of it open."""
        self.unmount()
        self.mount()

    def freeze(self):
        """Whoever writes waits until `thaw`."""
        self.control(FREEZE)

    def thaw(self):
        """The disk goes on."""
        self.control(THAW)


class SmallDisk(Disk):
    """A file system in memory that holds `size` bytes."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def mount(self):
        try:
            run("mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path)
        except RuntimeError as error:
            raise toolchains.Missing(str(error))

    def free(self):
        """How many bytes can be written."""
        volume = os.statvfs(self.path)
        return volume.f_bavail * volume.f_frsize
