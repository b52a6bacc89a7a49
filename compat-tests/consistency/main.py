"""A workload under faults, and whether anything that happened in it breaks an invariant; see checker.py for those.

    compat-tests/run.sh consistency          the short form
    python3 compat-tests/consistency/main.py --seconds 900 --sends 100000 --transactions 1000 --faults 100 [--brokers 3]

A run goes on for its seconds and until it has its sends, committed transactions and faults. Faults are kill -9, SIGSTOP, and
frames that a proxy holds back: all of them for a while, or those that end transactions, add partitions or produce, each alone
and beyond the end of its connection. The seed decides what is done; the clients' threads decide when.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
sys.dont_write_bytecode = True

import confluent_kafka  # noqa: E402
from actors import Assigned, Copier, Observer, PlainProducer, TransactionalProducer  # noqa: E402
from checker import violations  # noqa: E402
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # noqa: E402
from history import History  # noqa: E402
from planted import FAULTS, unfound  # noqa: E402

from harness.broker import broker_class  # noqa: E402
from harness.cluster import Cluster  # noqa: E402

PARTITIONS = 3
TOPICS = ("plain", "transactional", "source", "copy")
COPIERS = 2
# Produce; AddPartitionsToTxn and AddOffsetsToTxn. Not EndTxn and TxnOffsetCommit: the epoch that shields from late ones
# (KIP-890) is not librdkafka's yet, and with it Apache Kafka, too, ends the next transaction by them.
LATE = ([0], [24, 25], [0, 24, 25])
HEALING_S = 60


class Run:
    """One run: the broker, its proxy, the actors and what they saw."""

    def __init__(self, arguments):
        self.arguments, self.seed = arguments, arguments.seed
        self.history, self.numbers = History(), itertools.count(1)
        self.is_over = self.is_torn_down = False
        self.faults = 0
        self.random = random.Random(self.seed)
        self.ended = threading.Event()
        self.source_offsets, self.last = None, {}
        self.brokers, self.proxies = [], []

    def start(self):
        """Starts the brokers, each behind a proxy of its own, which is also the way between them."""
        kind, size = os.environ.get("AGAINST", "klamm"), self.arguments.brokers
        if size > 1:
            self.cluster = Cluster(kind, size)
            self.brokers = list(self.cluster.nodes.values())
        else:
            self.brokers = [broker_class(kind)()]
        addresses = [self.start_proxy(broker) for broker in self.brokers]
        self.bootstrap = ",".join(addresses)
        for broker, address in zip(self.brokers, addresses, strict=True):
            broker.settings["advertised.listeners"] = f"PLAINTEXT://{address}"
            broker.launch()
        for broker in self.brokers:
            broker.wait_until_it_answers()
        if size > 1:
            self.cluster.wait_for_controller()
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics([NewTopic(topic, PARTITIONS, size) for topic in TOPICS]).values():
            future.result(30)

    def start_proxy(self, broker):
        """Starts a proxy for a broker; returns its address."""
        program = [sys.executable, HERE / "proxy.py", str(broker.port)]
        proxy = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.proxies.append(proxy)
        return f"127.0.0.1:{int(proxy.stdout.readline())}"

    def pause(self, seconds):
        """Waits, unless the run is over."""
        self.ended.wait(seconds)

    def tell_proxies(self, line):
        """Tells the proxies what to do."""
        for proxy in self.proxies:
            proxy.stdin.write(line + "\n")
            proxy.stdin.flush()
            proxy.stdout.readline()

    def work(self):
        """Runs the actors under faults, heals, and waits until they have finished."""
        of = {topic: [(topic, index) for index in range(PARTITIONS)] for topic in TOPICS}
        everything = [partition for partitions in of.values() for partition in partitions]
        self.history.copies = list(zip(of["source"], of["copy"], strict=True))
        actors = [PlainProducer(self, f"idempotent{number}", of["plain"] + of["source"], True) for number in range(2)]
        actors += [PlainProducer(self, "atleastonce", of["plain"], False)]
        written = of["transactional"] + of["source"]
        actors += [TransactionalProducer(self, f"transactional{number}", written) for number in range(3)]
        actors += [Copier(self, f"copier{number}", "copiers", "source", "copy") for number in range(COPIERS)]
        for number, isolation in enumerate(("read_committed", "read_committed", "read_uncommitted")):
            actors.append(Assigned(self, f"assigned{number}", isolation, everything))
        actors.append(Observer(self, "observer", everything, {"copiers": "source"}))
        for actor in actors:
            actor.start()
        started = time.monotonic()
        while not self.has_enough(time.monotonic() - started):
            self.pause(self.random.uniform(*self.arguments.between))
            self.fault()
        self.tell_proxies("pass")
        self.is_over = True
        self.ended.set()
        self.wait_until_stable(everything)
        copiers = [actor for actor in actors if isinstance(actor, Copier)]
        join(copiers, HEALING_S)
        self.last = {isolation: self.last_offsets_of(everything, isolation) for isolation in self.history.final}
        join(actors, HEALING_S)
        self.is_torn_down = True
        return [actor for actor in actors if actor.is_alive() or actor.failure]

    def has_enough(self, seconds):
        """Whether the run has lasted, and has done, what it must."""
        counts, wanted = self.history.counts(), self.arguments
        is_done = (
            counts["acknowledged"] >= wanted.sends
            and counts.get("committed", 0) >= wanted.transactions
            and self.faults >= wanted.faults
        )
        return seconds >= wanted.seconds and is_done or seconds >= wanted.at_most

    def fault(self):
        """One fault, and its end."""
        kind, broker = self.random.choice(("kill", "stop", "slow", "late", "late")), self.random.choice(self.brokers)
        if kind == "kill":
            broker.kill()
            if len(self.brokers) > 1:
                self.pause(self.random.uniform(0, 3))
            broker.start()
        elif kind == "stop":
            broker.process.send_signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(0.1, 2))
            broker.process.send_signal(signal.SIGCONT)
        else:
            keys = " ".join(map(str, self.random.choice(LATE))) if kind == "late" else ""
            self.tell_proxies(f"{kind} {self.random.randint(20, 1000 if keys else 100)} {keys}")
            time.sleep(self.random.uniform(0.2, 1))
            self.tell_proxies("pass")
        self.faults += 1

    def last_offsets(self, isolation):
        """The last offsets that a reader can see; None while they may still change."""
        return self.last.get(isolation)

    def ends(self, partitions):
        """Both ends of partitions; nothing while the broker does not tell them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        asked = {TopicPartition(*partition): OffsetSpec.latest() for partition in partitions}
        found = []
        for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            futures = admin.list_offsets(asked, isolation_level=isolation)
            try:
                found.append({(tp.topic, tp.partition): future.result(30).offset for tp, future in futures.items()})
            except KafkaException:
                return {}
        return {partition: (found[0][partition], found[1][partition]) for partition in partitions}

    def wait_until_stable(self, partitions):
        """Waits until no transaction is open and nothing is sent, apart from copies; then tells copiers how far to go."""
        deadline, before = time.monotonic() + HEALING_S, None
        while time.monotonic() < deadline:
            now = {partition: ends for partition, ends in self.ends(partitions).items() if partition[0] != "copy"}
            if now and now == before and all(stable == high for stable, high in now.values()):
                break
            before = now
            time.sleep(0.5)
        sources = [source for source, _ in self.history.copies]
        self.source_offsets = self.last_offsets_of(sources, "read_committed")

    def last_offsets_of(self, partitions, isolation):
        """The offset of the last record that each partition shows, if it shows any."""
        return {partition: found[-1][0] for partition, found in self.read_all(partitions, isolation).items() if found}

    def read_all(self, partitions, isolation):
        """All that partitions show: partition -> [(offset, value)]."""
        options = {"bootstrap.servers": self.bootstrap, "group.id": "final", "enable.partition.eof": True}
        consumer = Consumer({**options, "isolation.level": isolation, "fetch.wait.max.ms": 50})
        consumer.assign([TopicPartition(*partition, confluent_kafka.OFFSET_BEGINNING) for partition in partitions])
        found, unread = {partition: [] for partition in partitions}, set(partitions)
        deadline = time.monotonic() + HEALING_S
        while unread and time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.1):
                partition = (message.topic(), message.partition())
                if message.error() is None:
                    found[partition].append((message.offset(), message.value().decode()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(partition)
        consumer.close()
        if unread:
            raise TimeoutError(f"no end of {unread}")
        return found

    def look_at_the_end(self):
        """Reads everything once more, with new clients."""
        everything = [(topic, index) for topic in TOPICS for index in range(PARTITIONS)]
        deadline = time.monotonic() + HEALING_S
        while time.monotonic() < deadline:
            self.history.final_ends = self.ends(everything)
            if self.history.final_ends and all(stable == high for stable, high in self.history.final_ends.values()):
                break
            time.sleep(0.2)
        for isolation, records in self.history.final.items():
            records.update(self.read_all(everything, isolation))

    def close(self):
        """Ends the proxies and the brokers."""
        self.is_torn_down = True
        for proxy in self.proxies:
            proxy.stdin.close()
            proxy.wait()
        for broker in self.brokers:
            broker.close()


def join(actors, seconds):
    """Waits for actors to finish."""
    deadline = time.monotonic() + seconds
    for actor in actors:
        actor.join(max(0, deadline - time.monotonic()))


def trouble(actor):
    """Why an actor has not finished."""
    frame = sys._current_frames().get(actor.ident)
    where = "".join(traceback.format_stack(frame)[-3:]) if frame else ""
    return f"{actor.name}: {actor.failure or 'is stuck'} {where}"


def say(passed, what, details=()):
    """Prints the line of one check, and a few of its details."""
    print(f"{'PASS' if passed else 'FAIL'} {what}", *list(details)[:10], sep="\n    ", flush=True)
    return passed


def parsed():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="how long the workload runs at least")
    parser.add_argument("--at-most", type=float, default=3600, help="how long it runs at most")
    parser.add_argument("--sends", type=int, default=1000, help="acknowledged sends that there must be")
    parser.add_argument("--transactions", type=int, default=50, help="committed transactions that there must be")
    parser.add_argument("--faults", type=int, default=6, help="faults that there must be")
    parser.add_argument("--brokers", type=int, default=1, help="more than one are a cluster that keeps each topic on all")
    parser.add_argument(
        "--between", type=float, nargs=2, default=(0.5, 1.5), help="seconds between faults, at least and at most"
    )
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="decides what is done")
    return parser.parse_args()


def main():
    """Runs the workload and checks it; the exit status tells whether all is well."""
    run = Run(parsed())
    if not say(not unfound(), f"the checker finds {len(FAULTS)} planted faults", unfound()):
        return 1
    try:
        run.start()
        stuck = run.work()
        run.look_at_the_end()
        log = "".join(broker.log.read_text(errors="replace") for broker in run.brokers)
    finally:
        run.close()
    counts = {**run.history.counts(), "faults": run.faults, "seed": run.seed}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    good = say(not stuck, f"everybody finishes: {told}", map(trouble, stuck))
    for name, found in violations(run.history).items():
        good &= say(not found, name, found)
    panics = [line for line in log.splitlines() if "panic" in line]
    good &= say(not panics, "I18 no panic", panics)
    errors = {KafkaError(code).name(): count for code, count in run.history.errors.items() if count}
    print(f"errors that clients saw: {errors}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
