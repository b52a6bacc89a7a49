#!/usr/bin/env python3
"""Has a broker serve many more partitions than it may open files, and tells how long each step took.

    scripts/open_files.py [--limit 256] [--topics 50] [--partitions 100] [--clients 20]

The limit is the process's hard one. Every partition gets a record from a producer, every record is read back; so again
after `kill -9` and after a clean stop, with idle clients connected besides. The environment's KLAMM names the binary.
Exit status 1 tells that something was refused or lost.
"""

import argparse
import os
import resource
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))

from harness import broker as brokers  # noqa: E402
from harness import toolchains  # noqa: E402

try:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:  # Go on in the environment that has the client, installing it if need be.
    interpreter = toolchains.python("confluent-kafka")
    os.execv(interpreter, [str(interpreter), *sys.argv])

PATIENCE_S = 180


def timed(what, work):
    """Runs `work` and prints how long it took."""
    started = time.monotonic()
    result = work()
    print(f"{what}: {time.monotonic() - started:.2f} s", flush=True)
    return result


def create(bootstrap, topics, partitions):
    """Creates the topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics]).values():
        future.result(PATIENCE_S)


def produce(bootstrap, places):
    """Appends one record to each partition with acks=all; returns what was refused."""
    refused = []

    def delivered(error, message):
        if error is not None:
            refused.append((message.topic(), message.partition(), str(error)))

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5})
    for topic, partition in places:
        producer.produce(topic, b"x" * 100, partition=partition, on_delivery=delivered)
        producer.poll(0)
    left = producer.flush(PATIENCE_S)
    return refused + ["no answer"] * left


def missing(bootstrap, places, each):
    """The partitions that do not give `each` records."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "all", "enable.auto.commit": False})
    consumer.assign([TopicPartition(*place, 0) for place in places])
    left = dict.fromkeys(places, each)
    deadline = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=0.2):
            place = (message.topic(), message.partition())
            if place in left:
                left[place] -= 1
                if left[place] == 0:
                    del left[place]
    consumer.close()
    return list(left)


def run(arguments):
    """Yields a name and what was wrong for each step."""
    topics = [f"many-{number}" for number in range(arguments.topics)]
    places = [(topic, partition) for topic in topics for partition in range(arguments.partitions)]
    # A clean stop syncs some files for each partition.
    brokers.STOP_DEADLINE_S = PATIENCE_S
    broker = brokers.broker_class("klamm")()
    limit = arguments.limit
    # What the broker's process is started with; this one needs no more either.
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with broker:
        timed(f"{len(topics)} topics created", lambda: create(broker.bootstrap, topics, arguments.partitions))
        for cycle, end in enumerate([broker.kill, broker.stop, broker.stop]):
            idle = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(arguments.clients)]
            refused = timed(f"{len(places)} records appended", lambda: produce(broker.bootstrap, places))
            yield f"round {cycle + 1}: every append is acknowledged", refused
            absent = timed("all read", lambda each=cycle + 1: missing(broker.bootstrap, places, each))
            yield f"round {cycle + 1}: every record is read", absent
            for connection in idle:
                connection.close()
            status = timed("ended", end)
            yield f"round {cycle + 1}: the end is as asked for", [status] if status else []
            timed("started", broker.start)
        print(broker.log_tail(3))


def main():
    """Prints a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--partitions", type=int, default=100)
    parser.add_argument("--clients", type=int, default=20)
    broken = False
    for step, wrong in run(parser.parse_args()):
        print(f"{'FAIL' if wrong else 'PASS'} {step}{f': {len(wrong)}, {wrong[:3]}' if wrong else ''}", flush=True)
        broken |= bool(wrong)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
