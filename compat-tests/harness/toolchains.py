"""Installs what the suites need, once, into one cache directory, with each language's ordinary client."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

COMPAT_TESTS = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("KLAMM_COMPAT_CACHE", Path.home() / ".cache/klamm-compat"))


class Missing(Exception):
    """A toolchain is not on this machine and cannot be installed; the message names it."""


def run(command, failure=Missing, **options):
    """Runs an installer or compiler quietly; what it said becomes the error's message."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        raise failure(f"{' '.join(map(str, command[:4]))}: {(result.stdout + result.stderr).strip()[-600:]}")
    return result.stdout


def need(program):
    """Fails with `Missing` unless the program is on the path."""
    if shutil.which(program) is None:
        raise Missing(f"{program} is not installed")


@contextmanager
def installed_once(target, *inputs):
    """Yields True when `target` must be (re)built: it is absent, or one of the files `inputs` has changed since."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp = target.parent / f"{target.name}.stamp"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = not stamp.exists() or stamp.read_text() != digest
        if stale:
            stamp.unlink(missing_ok=True)
        yield stale
        stamp.write_text(digest)


def python(name):
    """The interpreter of the virtual environment for `python/requirements/<name>.txt`."""
    requirements = COMPAT_TESTS / "python/requirements" / f"{name}.txt"
    environment = CACHE / "python" / name
    with installed_once(environment, requirements) as stale:
        if stale:
            run([sys.executable, "-m", "venv", "--clear", environment])
            pip = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run([*pip, "-r", requirements])
            if name == "kafka-python-2.0.2":
                replace_vendored_six(environment)
    return environment / "bin/python"


def replace_vendored_six(environment):
    """kafka-python 2.0.2 carries a six that Python 3.12 cannot import from: every start puts today's six in its place."""
    site_packages = next(environment.glob("lib/python3*/site-packages"))
    line = "import sys, six; sys.modules['kafka.vendor.six.moves'] = six.moves\n"
    (site_packages / "vendored_six.pth").write_text(line)


def maven(goals, name="java"):
    """The command that runs Maven's goals in a folder; what they make goes to the cache."""
    project, folder = COMPAT_TESTS / name / "pom.xml", CACHE / name
    return ["mvn", "-q", "-B", "-Dstyle.color=never", "-f", project, f"-Dcache={folder}", *goals]


def kafka_classpath():
    """The class path of Apache Kafka's broker, clients and tools."""
    need("java")
    need("mvn")
    jars = CACHE / "java/lib"
    with installed_once(jars, COMPAT_TESTS / "java/pom.xml") as stale:
        if stale:
            shutil.rmtree(jars, ignore_errors=True)
            run(maven(["dependency:copy-dependencies"]))
    return f"{jars}/*"


def java_tests_classpath(appended=False):
    """The class path of the Java tests, compiled, and of the clients that they test; `appended` to that of Kafka alone."""
    jars, target = kafka_classpath(), CACHE / "java/target"
    project = COMPAT_TESTS / "java"
    with installed_once(target, project / "pom.xml", *sorted(project.glob("src/**/*.java"))) as stale:
        if stale:
            shutil.rmtree(target, ignore_errors=True)
            run(maven(["compile"]), failure=RuntimeError)
    return f"{jars}:{target}/classes" if appended else f"{target}/classes:{jars}"


def frameworks_classpath():
    """The class path of the frameworks and of the programs in `frameworks/`, compiled."""
    need("java")
    need("mvn")
    project, target = COMPAT_TESTS / "frameworks", CACHE / "frameworks/target"
    with installed_once(target, project / "pom.xml", *sorted(project.glob("src/**/*.java"))) as stale:
        if stale:
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir(parents=True)
            run(maven(["dependency:copy-dependencies", "compile"], "frameworks"))
    return f"{target}/classes:{target.parent}/lib/*"


def node_modules():
    """The folder to run the Node tests in: a copy of `node/` with its packages installed."""
    need("node")
    need("npm")
    source, folder = COMPAT_TESTS / "node", CACHE / "node"
    with installed_once(folder, source / "package.json", source / "package-lock.json") as stale:
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, folder)
            run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder)
    return folder / "node_modules"


def debian(program, package=None):
    """The path of a program; root gets it from Debian's package `package`, else of the same name."""
    if shutil.which(program) is None:
        install_debian(package or program)
    need(program)
    return shutil.which(program)


def install_debian(package):
    """Installs one of Debian's packages, as root can; one process at a time."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{package} is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-y", "-qq", package], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
