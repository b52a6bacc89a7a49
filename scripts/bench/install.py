"""Installs what is measured beside Klamm, and the clients, once, into a cache directory; from package registries only."""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY / "compat-tests"), str(REPOSITORY / "compat-tests/oracle")]

from harness import toolchains  # noqa: E402
from harness.toolchains import installed_once, maven, need, run  # noqa: E402

CACHE = Path(os.environ.get("KLAMM_BENCH_CACHE", Path.home() / ".cache/klamm-bench"))
# The newest release of which every artifact is published.
KAFKA_VERSION = os.environ.get("KLAMM_BENCH_KAFKA", "4.3.1")
# The crate that carries librdkafka's sources.
RDKAFKA_CRATE = "rdkafka-sys"
RDKAFKA_VERSION = "4.10.0+2.12.1"


def kafka_jars():
    """The folder with Apache Kafka's broker, clients and tools."""
    need("java")
    need("mvn")
    folder = CACHE / f"kafka-{KAFKA_VERSION}"
    with installed_once(folder, toolchains.COMPAT_TESTS / "java/pom.xml") as stale:
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
            run([*maven(["dependency:copy-dependencies"]), f"-Dkafka.version={KAFKA_VERSION}", f"-Dcache={folder}"])
    return folder / "lib"


def rdkafka_sources():
    """librdkafka's sources inside the crate, which cargo fetches."""
    pattern = f"registry/src/*/{RDKAFKA_CRATE}-{RDKAFKA_VERSION}/librdkafka"
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    if not any(home.glob(pattern)):
        project = CACHE / "rdkafka-fetch"
        (project / "src").mkdir(parents=True, exist_ok=True)
        (project / "src/lib.rs").write_text("")
        dependency = f'[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\n{RDKAFKA_CRATE} = "={RDKAFKA_VERSION}"\n'
        (project / "Cargo.toml").write_text(dependency)
        run(["cargo", "fetch", "--manifest-path", project / "Cargo.toml"])
    return next(home.glob(pattern))


def zstd_headers():
    """zstd for librdkafka, by Debian's package where that can be installed; lz4 and snappy are in librdkafka itself."""
    if not Path("/usr/include/zstd.h").exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-y", "-qq", "libzstd-dev"], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def rdkafka_performance():
    """The path of librdkafka's own load generator, compiled here."""
    for program in ("cargo", "gcc", "g++", "make"):
        need(program)
    folder = CACHE / f"librdkafka-{RDKAFKA_VERSION}"
    with installed_once(folder, HERE / "install.py") as stale:
        if stale:
            zstd_headers()
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(rdkafka_sources(), folder)
            run(["./configure", "--disable-sasl", "--disable-ssl", "--disable-curl"], cwd=folder)
            run(["make", "-j2", "-C", "src"], cwd=folder)
            run(["make", "-C", "examples", "rdkafka_performance"], cwd=folder)
    return folder / "examples/rdkafka_performance"


def compiled(name):
    """The path of the program whose C sources lie in the folder `name`; what such programs share lies in `common`."""
    need("gcc")
    binary, common = CACHE / name, HERE / "common"
    sources = sorted((HERE / name).glob("*.[ch]"))
    with installed_once(binary, *sources, *sorted(common.glob("*.h"))) as stale:
        if stale:
            units = [source for source in sources if source.suffix == ".c"]
            run(["gcc", "-O2", "-march=native", "-Wall", "-Wextra", "-Werror", "-I", common, "-o", binary, *units])
    return binary


def floors():
    """The path of the compiled floors."""
    return compiled("floors")


def swarm():
    """The path of the load generator with thousands of connections."""
    return compiled("swarm")
