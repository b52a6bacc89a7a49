"""Starts the drop-in image as test containers' modules do, without a container engine.

The image's root is this machine's with `docker/root` and the program laid over it, in a mount namespace of its own; each
module runs its own command there and brings its own script, and a stock client produces and consumes at the address that
it is told. Ports are the image's, 9092 to 9094: they must be free.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Consumer, Producer  # noqa: E402
from modules import MODULES  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
KLAMM = os.environ.get("KLAMM", str(REPOSITORY / "target/release/klamm"))
INSIDE = "KLAMM_IMAGE_ROOT"
PATIENCE_S = 20
DATA = "var/lib/kafka/data"


def lay_over(directory):
    """Mounts the image's root: this machine's, with what the Dockerfile adds. Its path."""
    upper, work, root = (directory / name for name in ("upper", "work", "root"))
    for path in (work, root, upper / "usr/local/bin"):
        path.mkdir(parents=True)
    shutil.copytree(REPOSITORY / "docker/root", upper, dirs_exist_ok=True)
    shutil.copy2(KLAMM, upper / "usr/local/bin/klamm")
    for path in (DATA, "opt/kafka", "mnt/shared/config", "etc/kafka/secrets"):
        (upper / path).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "image", "-o", options, root], check=True, capture_output=True)
    for name in ("proc", "dev"):
        subprocess.run(["mount", "--rbind", f"/{name}", root / name], check=True, capture_output=True)
    return root


def exchanges(bootstrap):
    """Whether a stock client gets back what it sends, by the address that it is told."""
    topic, value = f"topic-{uuid.uuid4()}", b"through the image"
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value)
    if producer.flush(PATIENCE_S) > 0:
        return False
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    return message is not None and message.value() == value


def wait_for(pattern, log, process):
    """Waits for a line of the container's log, as the module does."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(re.fullmatch(pattern, line) for line in log.read_text().splitlines()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no line is {pattern}:\n{log.read_text()[-2000:]}")
        time.sleep(0.01)


def run(module, root, log):
    """Starts one module's container and talks to it."""
    shutil.rmtree(root / DATA)
    (root / DATA).mkdir()
    for name in ("configure", "ensure"):
        shutil.copy2(REPOSITORY / "docker/root/etc/confluent/docker" / name, root / "etc/confluent/docker" / name)
    script = root / module.path.lstrip("/") if module.path else None
    if script:
        script.unlink(missing_ok=True)
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "KLAMM_CONFIG": "/etc/klamm/klamm.yaml", **module.environment}
    command = ["chroot", root, *module.command]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        if script:
            time.sleep(0.3)
            script.write_text(module.script)
            script.chmod(0o777)
        wait_for(module.waits_for, log, process)
        health = subprocess.run(["chroot", root, "klamm", "healthcheck"], env=environment, capture_output=True, text=True)
        if health.returncode != 0:
            raise RuntimeError(f"healthcheck: {health.stderr}")
        if not exchanges(f"localhost:{module.port}"):
            raise RuntimeError(f"a client did not get back what it sent:\n{log.read_text()[-2000:]}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def inside():
    """Runs all modules in the mount namespace."""
    failed = 0
    # Not in /tmp of the image's root, which would be in itself.
    with tempfile.TemporaryDirectory(prefix="klamm-image-") as directory:
        try:
            subprocess.run(["mount", "-t", "tmpfs", "image", directory], check=True, capture_output=True)
            root = lay_over(Path(directory))
        except subprocess.CalledProcessError as error:
            print(f"SKIP image: its root cannot be mounted here: {error.stderr.decode().strip()}")
            return 0
        for module in MODULES:
            try:
                run(module, root, Path(directory) / "log")
                print(f"PASS {module.name}", flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"{error}\nFAIL {module.name}", flush=True)
        subprocess.run(["umount", "--recursive", "--lazy", root], check=False)
        subprocess.run(["umount", "--lazy", directory], check=False)
    return 1 if failed else 0


def main():
    """Enters a mount namespace first."""
    if INSIDE in os.environ:
        return inside()
    if not shutil.which("unshare"):
        print("SKIP image: unshare is not installed")
        return 0
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *mapped, "--mount", "--propagation", "private"]
    # Containers, as a rule, may not.
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        print("SKIP image: no mount namespace can be made here")
        return 0
    return subprocess.run([*unshare, sys.executable, __file__], env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
