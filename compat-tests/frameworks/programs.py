"""Java programs, and what is written and read beside them."""

import subprocess
import time
from contextlib import contextmanager

import confluent_kafka
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from harness.toolchains import frameworks_classpath

PATIENCE_S = 90
JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def java(main_class, *arguments):
    """The command line of a Java program."""
    return ["java", *JVM, "-cp", frameworks_classpath(), main_class, *arguments]


def run(main_class, *arguments):
    """Runs a Java program to its end; returns the last line that it printed."""
    done = subprocess.run(
        java(main_class, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout.splitlines()[-1]


def produce(bootstrap, topic, values):
    """Sends string values, each with itself as its key and each once."""
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, key=value)
    assert producer.flush(PATIENCE_S) == 0


def create(bootstrap, topic, partitions=1, **configs):
    """Creates a topic; returns the admin client."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {key.replace("_", "."): value for key, value in configs.items()}
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(PATIENCE_S)
    return admin


def config(admin, topic, key):
    """The value of a topic's config."""
    resource = ConfigResource("topic", topic)
    return admin.describe_configs([resource])[resource].result(PATIENCE_S)[key].value


def consume(bootstrap, topic, count):
    """The values of a topic's first records, once there are so many."""
    options = {"bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer({**options, "topic.metadata.refresh.interval.ms": 500})
    consumer.subscribe([topic])
    deadline, values = time.monotonic() + PATIENCE_S, []
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value().decode())
    consumer.close()
    assert len(values) == count, values
    return values


def crash(broker):
    """`kill -9`, and a start on what that left."""
    broker.kill()
    broker.start()


def until(holds, what, log):
    """Waits until `holds()` is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what()}\n{log.read_text()[-4000:]}"
        time.sleep(0.1)


@contextmanager
def running(log, directory, main_class, *arguments):
    """A Java program that runs while the block does, and is killed at its end."""
    with log.open("a") as output:
        process = subprocess.Popen(java(main_class, *arguments), stdout=output, stderr=output, cwd=directory)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
