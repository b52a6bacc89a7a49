#!/usr/bin/env python3
"""Takes the power away from a broker's disk under load, again and again, and checks what the clients were promised.

    scripts/faults/power_loss.py [--short] [--fs ext4,xfs] [--flush broker,topic,os] [--cycles 10] [--seed N]

The data is on a loop-mounted file system. In each cycle, 0 to 600 ms after records were acknowledged, some random files
are synced (as a system writes back what it likes), the broker is stopped with SIGSTOP, the file system is shut down
without its journal (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN), the broker is killed, the disk mounted again, the broker
started. Two idempotent producers write to six partitions with small segments, a group's consumer commits, and a third
client creates topics, writes a record to each and deletes some of them.

With `broker` (log.flush.interval.messages=1) and `topic` (flush.messages=1 on the topics) the clients live on, and at the
end nothing acknowledged is lost, nothing is doubled, and there is no hole; with `broker` committed offsets are kept too.
With `os` (Kafka's defaults) each cycle has new producers, and a power loss takes a suffix of each partition at most. In
all modes the leader epoch rises, so that clients notice what is gone (KIP-320), topics whose creation was acknowledged
exist, and those whose deletion was acknowledged do not.
"""

import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from disks import LoopDisk
from load import (
    GROUP,
    PATIENCE_S,
    QUICK,
    KafkaException,
    Klamm,
    Load,
    Producer,
    Reader,
    admin,
    committed_offsets,
    create_topics,
    main,
    parser,
    stored,
    topic_names,
    violations,
)
from probes import Connection

TOPICS = ["power-0", "power-1"]
# Clients that remember a deleted topic must not bring it back.
SETTINGS = {"log.segment.bytes": "1048576", "auto.create.topics.enable": "false"}
FLUSH = {"broker": ({"log.flush.interval.messages": "1"}, {}), "topic": ({}, {"flush_messages": 1}), "os": ({}, {})}
NEW_TOPIC_EVERY_S = 0.1


class Newcomers:
    """Creates topics, writes one record to each and deletes every second; remembers which of it was acknowledged."""

    def __init__(self, bootstrap, config):
        self.bootstrap = bootstrap
        self.config = config
        self.created = set()
        self.doomed = set()  # Their deletion was asked for.
        self.deleted = set()
        self.records = {}  # topic -> value
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Goes on until told to stop."""
        client = admin(self.bootstrap)
        options = {"bootstrap.servers": self.bootstrap, "acks": "all", "enable.idempotence": True}
        producer = Producer({**options, **QUICK, "message.timeout.ms": 300_000})
        number = 0
        while not self.stopping.wait(NEW_TOPIC_EVERY_S):
            number += 1
            topic = f"new-{number}"
            try:
                create_topics(self.bootstrap, [topic], 1, **self.config)
                self.created.add(topic)
                value = f"first of {topic}".encode()
                producer.produce(topic, value, partition=0, on_delivery=self.on_delivery)
                producer.flush(PATIENCE_S)
                if number % 2 == 0:
                    self.doomed.add(topic)
                    client.delete_topics([topic])[topic].result(PATIENCE_S)
                    self.deleted.add(topic)
            except (KafkaException, TimeoutError):
                continue  # It may have happened or not.

    def on_delivery(self, error, message):
        """Remembers an acknowledged record."""
        if error is None:
            self.records[message.topic()] = message.value()

    def stop(self):
        """Ends the work, but not before a topic was deleted, which on a busy machine takes longer than the short form."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.deleted and time.monotonic() < deadline:
            time.sleep(0.05)
        self.stopping.set()
        self.thread.join()


class Rig:
    """A broker on a disk that loses power, its clients, and what was found out after each loss."""

    def __init__(self, disk, flush, chance):
        settings, self.config = FLUSH[flush]
        self.disk = disk
        self.is_durable = flush != "os"
        self.chance = chance
        self.broker = Klamm({**SETTINGS, **settings}, disk.home)
        self.broker.data = disk.path / "data"
        self.loads = []
        self.known = {}  # (topic, partition) -> values, by offset, that were there after the last power loss
        self.wrong = []
        self.lost = 0
        self.reads = 0
        self.epochs = []  # before and after each power loss

    def begin(self):
        """Starts the broker and those clients that live through all cycles."""
        self.broker.start()
        self.partitions = create_topics(self.broker.bootstrap, TOPICS, **self.config)
        self.known = {key: [] for key in self.partitions}
        self.newcomers = Newcomers(self.broker.bootstrap, self.config)
        self.reader = Reader(self.broker.bootstrap, TOPICS)
        if self.is_durable:
            self.new_loads()

    def new_loads(self):
        """Two more producers."""
        count = len(self.loads)
        names = [f"load-{count + number}" for number in range(2)]
        self.loads += [Load(self.broker.bootstrap, name, self.partitions, pause_s=0.03, size=1500) for name in names]

    def acknowledged(self):
        """How many records were acknowledged to all producers."""
        return sum(len(load.acknowledged) for load in self.loads)

    def cycle(self):
        """Load, loss of power, start, and what is there then."""
        if not self.is_durable:
            self.new_loads()
        before, deadline = self.acknowledged(), time.monotonic() + PATIENCE_S
        while self.acknowledged() == before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no progress:\n{self.broker.log_tail()}")
            time.sleep(0.001)
        time.sleep(self.chance.uniform(0, 0.6))
        self.write_back_some()
        epoch = Connection(self.broker.port).leader_epoch(TOPICS[0])
        # It acknowledges nothing while the file system shuts down: whoever has no power sends no answers, whatever an
        # fsync says that the shutdown interrupts.
        self.broker.process.send_signal(signal.SIGSTOP)
        self.disk.lose_power()
        self.broker.kill()
        if not self.is_durable:
            for load in self.loads[-2:]:
                load.abandon()
        promised = [(value, where) for load in self.loads[-2:] for value, where in load.acknowledged.copy().items()]
        self.disk.power_on()
        started = time.monotonic()
        self.broker.start()
        ready_ms = (time.monotonic() - started) * 1000
        self.epochs.append((epoch, Connection(self.broker.port).leader_epoch(TOPICS[0])))
        lost = self.compare(promised)
        return ready_ms, lost

    def write_back_some(self):
        """Has some files reach the disk before others, newer ones too."""
        if self.is_durable and self.chance.random() < 0.5:
            return
        # Topics are deleted meanwhile, which this walk does not mind.
        files = [Path(folder) / name for folder, _, names in os.walk(self.broker.data) for name in names]
        # Without any of the records nothing would be tested.
        some_log = self.chance.choice(
            [path for path in files if path.parent.name[:-2] in TOPICS and path.suffix == ".log"]
        )
        for path in [some_log, *self.chance.sample(files, len(files) // 4)]:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            os.fsync(descriptor)
            os.close(descriptor)

    def compare(self, promised):
        """Notes what is wrong with what is behind the known offsets; returns how many acknowledged records are lost."""
        start = {key: len(values) for key, values in self.known.items()}
        found = stored(self.broker.bootstrap, self.partitions, self.wrong, start)
        for key, values in self.known.items():
            records = found.get(key, [])
            if [offset for offset, _ in records] != list(range(len(values), len(values) + len(records))):
                self.wrong.append(f"{key}: hole behind {len(values)}: {records[:1]} {records[-1:]}")
            values += [value for _, value in records]
            self.reads += len(records)
        lost = 0
        for value, (topic, partition, offset) in promised:
            values = self.known[topic, partition]
            if offset >= len(values):
                lost += 1
            elif values[offset] != value:
                self.wrong.append(f"{topic}-{partition}@{offset}: {values[offset][:20]} for {value[:20]}")
        if lost and self.is_durable:
            self.wrong.append(f"{lost} acknowledged records are lost")
        if not self.is_durable:
            # What is lost is lost, and known to be; its offsets go to others.
            for load in self.loads[-2:]:
                load.acknowledged = {
                    value: where for value, where in load.acknowledged.items() if where[2] < len(self.known[where[:2]])
                }
        self.lost += lost
        return lost

    def end(self):
        """Ends the clients."""
        for client in [self.newcomers, self.reader, *(self.loads[-2:] if self.is_durable else [])]:
            client.stop()

    def conclude(self, promises, cycles):
        """Checks everything once more, on a broker that was killed and started again."""
        self.broker.kill()
        self.broker.start()
        bootstrap = self.broker.bootstrap
        promises.check("after each power loss each partition is what it was, and more", self.reads, self.wrong)
        stale = [epochs for epochs in self.epochs if None in epochs or epochs[1] <= epochs[0]]
        promises.check("the leader epoch is a new one after each power loss", len(self.epochs), stale)
        checks = violations(bootstrap, self.partitions, self.loads)
        for promise, tested, violated in checks:
            if self.is_durable or "failed" not in promise:
                promises.check(promise, tested, violated)
        names, made = topic_names(bootstrap), self.newcomers
        promises.check(
            "topics whose creation was acknowledged exist", len(made.created), made.created - made.doomed - names
        )
        promises.check("topics whose deletion was acknowledged are gone", len(made.deleted), made.deleted & names)
        if self.is_durable:
            self.check_first_records(promises, names)
        if self.broker.settings.get("log.flush.interval.messages") == "1":
            committed = committed_offsets(bootstrap, self.partitions, GROUP)
            behind = [key for key, offset in self.reader.committed.items() if committed[key] < offset]
            promises.check("committed offsets are kept", self.reader.commits, behind)
        text = self.broker.log.read_text(errors="replace")
        promises.check("no panic", cycles, [line for line in text.splitlines() if "panicked" in line])
        strays = [path.name for path in self.broker.data.iterdir() if path.name.endswith("-stray")]
        print(
            f"    {self.acknowledged() + (0 if self.is_durable else self.lost)} acknowledged, {self.lost} lost, "
            f"{self.reader.commits} commits, {len(made.created)} topics, {len(strays)} set aside"
        )

    def check_first_records(self, promises, names):
        """The records in the topics that were new."""
        expected = {(topic, 0): value for topic, value in self.newcomers.records.items() if topic in names}
        found = stored(self.broker.bootstrap, list(expected), [])
        absent = [key for key, value in expected.items() if found[key] != [(0, value)]]
        promises.check("the first records of new topics are kept", len(expected), absent)


def run_cycles(promises, kind, flush, cycles, seed):
    """One file system, one way to flush."""
    chance = random.Random(f"{seed} {kind} {flush}")
    with LoopDisk(kind) as disk:
        rig = Rig(disk, flush, chance)
        print(f"---- {kind}, flush by {flush}, {cycles} power losses", flush=True)
        try:
            rig.begin()
            for cycle in range(cycles):
                ready_ms, lost = rig.cycle()
                print(
                    f"cycle {cycle + 1}: ready after {ready_ms:.0f} ms, {rig.reads} records there, {lost} lost",
                    flush=True,
                )
            rig.end()
            rig.conclude(promises, cycles)
        except BaseException:
            print(rig.broker.log_tail(), flush=True)
            raise
        finally:
            rig.broker.kill()


def run(promises):
    """Runs all that the arguments name."""
    arguments = parser(__doc__)
    arguments.add_argument("--fs", default="ext4,xfs")
    arguments.add_argument("--flush", default=",".join(FLUSH))
    arguments.add_argument("--cycles", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = arguments.parse_args()
    print(f"seed {arguments.seed}")
    wanted, cycles = itertools.product(arguments.fs.split(","), arguments.flush.split(",")), arguments.cycles
    if arguments.short:
        wanted, cycles = [("ext4", "broker"), ("ext4", "os"), ("xfs", "broker")], 2
    for kind, flush in wanted:
        run_cycles(promises, kind, flush, cycles, arguments.seed)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
