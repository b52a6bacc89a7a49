"""Starts the drop-in image as test containers' modules do, without a container engine.

The image's root is this machine's with `docker/root` and the program laid over it, in a mount namespace of its own; a network
namespace keeps its ports apart. Each module runs its own command there and brings its own script, as the image's user and as
root, and a stock client produces and consumes at the address that it is told.

    main.py [--show] [NAME...]     the modules whose names hold one of these; --show prints the containers' logs
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kafka_modules  # noqa: E402
import redpanda_modules  # noqa: E402
from confluent_kafka import Consumer, Producer  # noqa: E402
from container import Container, Image, build, may_be_appuser, raise_loopback  # noqa: E402
from contract import IS_HEALTHY, PORT_IS_OPEN, Module  # noqa: E402
from health import CHECKS  # noqa: E402

MODULES = kafka_modules.MODULES + redpanda_modules.MODULES
NOT_SERVED = kafka_modules.NOT_SERVED + redpanda_modules.NOT_SERVED
INSIDE = "KLAMM_IMAGE_ROOT"
PATIENCE_S = 20


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


def is_open(container, port):
    """The rule of Testcontainers for Node: from outside, and by one of three commands inside."""
    try:
        socket.create_connection(("localhost", port), 1).close()
    except OSError:
        return False
    listening = f"cat /proc/net/tcp* | awk '{{print $2}}' | grep -i :{port:04x}"
    commands = (["/bin/sh", "-c", listening], ["/bin/bash", "-c", f"</dev/tcp/localhost/{port}"])
    return any(container.execute(command).returncode == 0 for command in commands)


def is_ready(module, container, log):
    """Whether the module's own rule is met."""
    if module.waits_for == PORT_IS_OPEN:
        return is_open(container, module.port)
    if module.waits_for == IS_HEALTHY:
        return container.execute(container.image.health).returncode == 0
    return any(re.fullmatch(module.waits_for, line) for line in log.read_text().splitlines())


def wait_for(module, container, log, process):
    """Waits as the module does."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_ready(module, container, log):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{module.waits_for}: not so:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def bring(module, container):
    """Brings the module's script and files into the container that waits for them."""

    def files():
        for path, text in module.late_files.items():
            container.copy(path, text)

    if not module.script_comes_first:
        files()
    if module.runs:
        done = container.execute([word.replace("SCRIPT", module.script) for word in module.runs])
        if done.returncode != 0:
            raise RuntimeError(f"{module.runs}: {done.stderr}")
    elif module.path:
        container.copy(module.path, module.script, module.mode)
    if module.script_comes_first:
        # As long as it may take; the script runs by then.
        time.sleep(0.3)
        files()


def run(module, container, log):
    """Starts one module's container and talks to it."""
    for path, text in module.files.items():
        container.copy(path, text)
    try:
        process = container.start(module.entrypoint, module.command, log)
        if module.path or module.late_files:
            time.sleep(0.3)
            bring(module, container)
        wait_for(module, container, log, process)
        health = container.execute(container.image.health)
        if health.returncode != 0:
            raise RuntimeError(f"health check: {health.stderr}")
        if not exchanges(f"localhost:{module.port}"):
            raise RuntimeError(f"a client did not get back what it sent:\n{log.read_text()[-2000:]}")
        if not module.command and not container.stops(process):
            raise RuntimeError("SIGTERM does not stop it cleanly")
    finally:
        container.end()


def check_health(layer, image):
    """Tries the health checks that people paste: each fails without a broker, and succeeds with one. The number of failures."""
    container, log = Container(layer, image, {}, users()[0]), layer.parent / "log"
    # The Dockerfile installs nc; on this machine it may be missing.
    missing = [check for check in CHECKS if check.startswith("nc ") and not shutil.which("nc")]
    checks = [check for check in CHECKS if check not in missing]

    def outcomes():
        # Without a broker, Kafka's tools ask on for a minute.
        return [container.execute(["timeout", "5", "/bin/sh", "-c", check]) for check in checks]

    try:
        before = outcomes()
        alone = Module("health checks")
        wait_for(alone, container, log, container.start(None, [], log))
        after = outcomes()
    finally:
        container.end()
    failed = 0
    for check, without, served in zip(checks, before, after, strict=True):
        fine = without.returncode != 0 and served.returncode == 0
        failed += not fine
        if not fine:
            print(
                f"without a broker {without.returncode}, with one {served.returncode}: {served.stdout}{served.stderr}"
            )
        print(f"{'PASS' if fine else 'FAIL'} health check: {check}", flush=True)
    for check in missing:
        print(f"SKIP health check: {check} (nc is not on this machine)")
    return failed


def users():
    """The users that each module is tried as."""
    if may_be_appuser():
        return ["appuser", "root"]
    print("SKIP as appuser: this user namespace has no second user")
    return ["root"]


def run_all(layer, image, names, show):
    """Runs each module as each user; the number of failures."""
    log, failed = layer.parent / "log", 0
    for module in (module for module in MODULES if any(name in module.name for name in names)):
        for user in [module.user] if module.user else users():
            try:
                run(module, Container(layer, image, module.environment, user), log)
                print(f"PASS {module.name}, as {user}", flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"{error}\nFAIL {module.name}, as {user}", flush=True)
            if show:
                print(log.read_text())
    return failed


def inside(arguments):
    """Runs the modules in the namespaces."""
    raise_loopback()
    with tempfile.TemporaryDirectory(prefix="klamm-image-") as directory:
        # The image's user must come through to its root.
        os.chmod(directory, 0o755)
        image = Image()
        try:
            subprocess.run(["mount", "-t", "tmpfs", "image", directory], check=True, capture_output=True)
            layer = build(Path(directory), image)
            Container(layer, image, {}, "root").end()
        except subprocess.CalledProcessError as error:
            print(f"SKIP image: its root cannot be mounted here: {error.stderr.decode().strip()}")
            return 0
        failed = run_all(layer, image, arguments.names or [""], arguments.show)
        if not arguments.names or "health" in arguments.names:
            failed += check_health(layer, image)
        subprocess.run(["umount", "--lazy", directory], check=False)
    for what in NOT_SERVED:
        print(f"SKIP {what}")
    return 1 if failed else 0


def main():
    """Enters the namespaces first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("names", nargs="*")
    if INSIDE in os.environ:
        return inside(parser.parse_args())
    parser.parse_args()
    if not shutil.which("unshare"):
        print("SKIP image: unshare is not installed")
        return 0
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *mapped, "--mount", "--net", "--propagation", "private"]
    # Containers, as a rule, may not.
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        print("SKIP image: no namespaces can be made here")
        return 0
    command = [*unshare, sys.executable, __file__, *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
