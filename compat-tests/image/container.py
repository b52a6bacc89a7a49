"""The image without a container engine: its root in a mount namespace, and programs that run in it as in a container."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
KLAMM = os.environ.get("KLAMM", str(REPOSITORY / "target/release/klamm"))
ROOT_FILES = REPOSITORY / "docker/root"
APPUSER = 1000


class Image:
    """What the last stage of the Dockerfile says of a container that nobody configures."""

    def __init__(self):
        text = (REPOSITORY / "docker/Dockerfile").read_text().replace("\\\n", "")
        stage = text.rsplit("\nFROM ", 1)[1]
        lines = [line.split(" ", 1) for line in stage.splitlines() if " " in line]
        self.environment = {}
        for words in (shlex.split(rest) for name, rest in lines if name == "ENV"):
            self.environment.update(pair.split("=", 1) for pair in words)
        last = dict(lines)
        self.directory = last["WORKDIR"]
        self.command = json.loads(last["CMD"])
        self.entrypoint = json.loads(last.get("ENTRYPOINT", "[]"))
        self.health = json.loads(last["HEALTHCHECK"].split(" CMD ", 1)[1])
        self.owned_directories = re.search(r"install -d -o appuser -g appuser ([^&\n]*)", stage).group(1).split()
        self.groups = [0] if "--groups root" in stage else []


def raise_loopback():
    """Brings up the loopback device, which a new network namespace has down."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from("16sh", fcntl.ioctl(any_socket, get_flags, request))[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def build(directory, image):
    """Makes what the Dockerfile lays over its base: the image's layer."""
    layer = directory / "layer"
    (layer / "usr/local/bin").mkdir(parents=True)
    shutil.copytree(ROOT_FILES, layer, dirs_exist_ok=True, symlinks=True)
    for owned in image.owned_directories:
        (layer / owned.lstrip("/")).mkdir(parents=True, exist_ok=True)
    give_to_appuser(layer, image)
    shutil.copy2(KLAMM, layer / "usr/local/bin/klamm")
    # As a container has it, with the names that compose files and modules give it.
    (layer / "etc/hosts").write_text(f"127.0.0.1 localhost broker kafka broker-1 {socket.gethostname()}\n")
    return layer


def give_to_appuser(layer, image):
    """As `COPY --chown` and `install -o` do: all files, and the directories that the base does not have."""
    if not may_be_appuser():
        return
    for path in layer.rglob("*"):
        within = path.relative_to(layer)
        if not path.is_dir() or str(Path("/") / within) in image.owned_directories or not (Path("/") / within).exists():
            os.chown(path, APPUSER, APPUSER, follow_symlinks=False)


def may_be_appuser():
    """Whether this process may become uid 1000: not in a user namespace with one user."""
    done = subprocess.run(
        ["setpriv", f"--reuid={APPUSER}", f"--regid={APPUSER}", "--clear-groups", "true"], capture_output=True
    )
    return done.returncode == 0


class Container:
    """One container of the image, which begins with nothing but the image."""

    def __init__(self, layer, image, environment, user):
        self.image, self.user = image, user
        self.environment = {**image.environment, **environment}
        self.processes = []
        # Not in /tmp of the container, which would be in itself.
        self.directory = Path(tempfile.mkdtemp(dir=layer.parent))
        self.directory.chmod(0o755)
        self.root = self.directory / "root"
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir()
        layers = f"lowerdir={layer}:/,upperdir={self.directory}/upper,workdir={self.directory}/work"
        subprocess.run(["mount", "-t", "overlay", "image", "-o", layers, self.root], check=True, capture_output=True)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", self.root / name], check=True, capture_output=True)

    def enter(self):
        """In the new process: the container's root, directory and user."""
        os.chroot(self.root)
        os.chdir(self.image.directory)
        if self.user == "appuser":
            os.setgroups(self.image.groups)
            os.setgid(APPUSER)
            os.setuid(APPUSER)

    def start(self, entrypoint, command, log):
        """Runs the container's main process, the image's own where none is given; `log` gets its output."""
        entrypoint = self.image.entrypoint if entrypoint is None else entrypoint
        command = [*entrypoint, *(command or self.image.command)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
                preexec_fn=self.enter,
            )
        self.processes.append(process)
        return process

    def execute(self, command):
        """Runs a command beside it, as `docker exec` does."""
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            preexec_fn=self.enter,
            timeout=30,
            check=False,
        )

    def copy(self, path, text, mode=0o777):
        """Writes a file, as `docker cp` does."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def stops(self, process):
        """Whether `docker stop` ends it within its ten seconds, and cleanly; a shell between would not pass the signal on."""
        process.terminate()
        try:
            return process.wait(10) == 0
        except subprocess.TimeoutExpired:
            return False

    def end(self):
        """Kills all of it, and leaves nothing."""
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        subprocess.run(["umount", "--recursive", "--lazy", self.root], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
