"""The few places where kafka-python 2.0.2, 2.3.3 and 3.0.12 are called differently."""

import threading
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

VERSION = tuple(int(part) for part in kafka.__version__.split("."))
PATIENCE_S = 20
CONSUMER_DEFAULTS = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "session_timeout_ms": 6000,
    "heartbeat_interval_ms": 300,
}


class Clients:
    """Makes clients of one broker and closes them all."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.made = []

    def _make(self, kind, *arguments, **options):
        self.made.append(kind(*arguments, bootstrap_servers=self.bootstrap, **options))
        return self.made[-1]

    def producer(self, **options):
        """A producer; its sends wait 20 s at most."""
        return self._make(KafkaProducer, **{"max_block_ms": PATIENCE_S * 1000, **options})

    def consumer(self, *topics, **options):
        """A consumer with CONSUMER_DEFAULTS and other options."""
        return self._make(KafkaConsumer, *topics, **{**CONSUMER_DEFAULTS, **options})

    def admin(self):
        """An admin client."""
        return self._make(KafkaAdminClient)

    def create(self, topic, partitions=1, **configs):
        """Creates a topic and returns its name."""
        entries = {key.replace("_", "."): value for key, value in configs.items()}
        self.admin().create_topics([NewTopic(topic, partitions, 1, topic_configs=entries)])
        return topic

    def fill(self, topic, values, **options):
        """Sends string values in order, acknowledged by all; returns the records' metadata."""
        producer = self.producer(acks="all", **options)
        futures = [producer.send(topic, value.encode()) for value in values]
        producer.flush()
        return [future.get(PATIENCE_S) for future in futures]

    def close(self):
        """Closes everything that was made, newest first."""
        for client in reversed(self.made):
            client.close()


def read(consumer, count, poll_ms=200):
    """Polls, `poll_ms` at a time, until `count` records came; more than that is a failure."""
    records = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < count and time.monotonic() < deadline:
        for batch in consumer.poll(timeout_ms=poll_ms).values():
            records.extend(batch)
    assert len(records) == count, f"{len(records)} of {count} records"
    return records


def values(records):
    """The records' values as strings."""
    return [record.value.decode() for record in records]


class Member:
    """A consumer that polls in its own thread, as members of a group must; kafka-python's join blocks its caller."""

    def __init__(self, clients, topic, group, **options):
        self.records = []
        self.partitions = set()
        self.leaving = threading.Event()
        self.consumer = clients.consumer(topic, group_id=group, **options)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Polls until the member is told to leave."""
        while not self.leaving.is_set():
            for batch in self.consumer.poll(timeout_ms=50).values():
                self.records.extend(batch)
            self.partitions = {partition.partition for partition in self.consumer.assignment()}
        self.consumer.close(autocommit=False)

    def leave(self):
        """Leaves the group as a closed consumer does."""
        self.leaving.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


def wait_until(condition, state):
    """Waits until the condition holds; a failure shows `state()`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, state()
        time.sleep(0.02)


def list_groups(admin):
    """The ids of all groups."""
    if VERSION >= (3,):
        return [group["group_id"] for group in admin.list_groups()]
    return [group for group, _ in admin.list_consumer_groups()]


def describe_group(admin, group):
    """A group as (state, protocol type, number of members)."""
    if VERSION >= (3,):
        described = admin.describe_groups([group])[group]
        return described["group_state"], described["protocol_type"], len(described["members"])
    described = admin.describe_consumer_groups([group])[0]
    return described.state, described.protocol_type, len(described.members)


def group_offsets(admin, group):
    """A group's committed offsets by partition."""
    if VERSION >= (3,):
        listed = admin.list_group_offsets({group: None})[group]
    else:
        listed = admin.list_consumer_group_offsets(group)
    return {partition: metadata.offset for partition, metadata in listed.items()}


def delete_group(admin, group):
    """Deletes a group; returns the name of the error, or None."""
    if VERSION >= (3,):
        outcome = admin.delete_groups([group])[group]
        return None if outcome == "OK" else outcome
    error = admin.delete_consumer_groups([group])[0][1]
    return None if error is kafka.errors.NoError else error.__name__
