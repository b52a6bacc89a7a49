"""The list of suites: how each is installed and which command runs it."""

from dataclasses import dataclass
from typing import Callable

from harness import toolchains
from harness.toolchains import CACHE, COMPAT_TESTS

PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", COMPAT_TESTS / "python/pytest.ini"]


@dataclass
class Suite:
    """One program that prints a line `PASS|FAIL|SKIP name` for each of its tests.

    `prepare` installs what the suite needs and returns its command; it raises `toolchains.Missing` when it cannot.
    A suite with `broker` finds the address of a fresh broker in the environment's BROKER; one without starts its own.
    One that is `part_of` another is run only when it is named.
    """

    name: str
    prepare: Callable[[], list]
    broker: bool = True
    part_of: str = ""


def pytest_suite(name, folder, environment=None):
    """A suite of pytest files in `compat-tests/<folder>`, run in the virtual environment of that name."""
    return Suite(name, lambda: [toolchains.python(environment or name), *PYTEST, COMPAT_TESTS / folder])


def java():
    """Runs the compiled Java tests."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [
        "java",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        quiet,
        "-cp",
        toolchains.java_tests_classpath(),
        "klamm.Main",
    ]


def node():
    """Runs the Node tests; Node finds kafkajs by NODE_PATH."""
    toolchains.node_modules()
    reporter = COMPAT_TESTS / "node/reporter.js"
    tests = sorted(COMPAT_TESTS.glob("node/*.test.js"))
    modules = f"NODE_PATH={CACHE / 'node/node_modules'}"
    return ["env", modules, "node", "--test", "--test-concurrency=1", f"--test-reporter={reporter}", *tests]


def frameworks():
    """Runs the frameworks, which are Python packages and Java jars."""
    toolchains.frameworks_classpath()
    return [toolchains.python("frameworks"), *PYTEST, COMPAT_TESTS / "frameworks"]


def kcat():
    """Runs the kcat tests, which need a Python with pytest besides."""
    toolchains.debian("kcat")
    return [toolchains.python("confluent-kafka"), *PYTEST, COMPAT_TESTS / "c"]


def tools():
    """Runs Kafka's own command-line tools, which need no Python package."""
    toolchains.java_tests_classpath()
    return [toolchains.sys.executable, COMPAT_TESTS / "java/tools/main.py"]


def shims():
    """Runs the tools of klamm that stand in for Kafka's, beside Kafka's."""
    return [*tools(), "--shims"]


def oracle():
    """Runs the oracle's conversation, which needs Apache Kafka's jars and no Python package."""
    toolchains.kafka_classpath()
    return [toolchains.sys.executable, COMPAT_TESTS / "oracle/main.py"]


def image():
    """Starts the image as test containers' modules do, which needs neither a container engine nor an image."""
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS / "image/main.py"]


def terminal():
    """Presses keys in klamm's commands, which needs no Python package."""
    return [toolchains.sys.executable, COMPAT_TESTS / "terminal/main.py"]


def metrics():
    """Has promtool and a Prometheus read the metrics."""
    toolchains.debian("prometheus")
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS / "metrics/main.py"]


def takeover():
    """Moves a directory from Apache Kafka to Klamm and back."""
    toolchains.java_tests_classpath()
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS / "takeover/main.py"]


def compaction():
    """Has Apache Kafka and Klamm compact the same workload."""
    toolchains.kafka_classpath()
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS / "compaction/main.py"]


def consistency():
    """The short form of the workload under faults whose whole history is checked."""
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS / "consistency/main.py"]


def cluster():
    """The same on three brokers, which are taken away one by one."""
    return [*consistency(), "--brokers", "3", "--seconds", "25", "--faults", "8"]


def crash():
    """Runs a few cycles of `scripts/crash_test.py`."""
    script = COMPAT_TESTS.parent / "scripts/crash_test.py"
    return [toolchains.python("confluent-kafka"), script, "--cycles", "4"]


def faults():
    """Runs the short forms of the scripts in `scripts/faults`; what the machine lacks is skipped by each, by name."""
    return [toolchains.python("confluent-kafka"), COMPAT_TESTS.parent / "scripts/faults/all.py", "--short"]


# The longest first, so that none of them is left when all others are over.
SUITES = [
    Suite("frameworks", frameworks),
    Suite("tools", tools, broker=False),
    Suite("shims", shims, broker=False, part_of="tools"),
    Suite("oracle", oracle, broker=False),
    Suite("faults", faults, broker=False),
    Suite("image", image, broker=False),
    Suite("java", java),
    pytest_suite("kafka-python-2.0.2", "python/kafka_python"),
    pytest_suite("kafka-python-2.3.3", "python/kafka_python"),
    pytest_suite("kafka-python-3.0.12", "python/kafka_python"),
    pytest_suite("examples", "python/examples", "kafka-python-3.0.12"),
    pytest_suite("aiokafka", "python/asyncio_client"),
    pytest_suite("confluent-kafka", "python/confluent"),
    pytest_suite("administration", "python/administration"),
    Suite("kafkajs", node),
    Suite("kcat", kcat),
    Suite("metrics", metrics, broker=False),
    Suite("terminal", terminal, broker=False),
    Suite("takeover", takeover, broker=False),
    Suite("compaction", compaction, broker=False),
    Suite("consistency", consistency, broker=False),
    Suite("cluster", cluster, broker=False),
    Suite("crash", crash, broker=False),
]
