#!/usr/bin/env python3
"""Takes brokers away from a cluster of three, again and again, in each of the ways in which one can be lost.

    scripts/faults/lost_brokers.py [--short] [--rounds 200] [--seed N] [--against klamm|kafka] [--keep-data]

Two idempotent producers write to replicated partitions with acks=all, a transactional producer commits and aborts, and a
group reads and commits. Each round takes a broker away: the leader of a partition, a follower, the controller, or two at
once; by SIGKILL, SIGTERM or SIGSTOP. Then it comes back, and all replicas must be in sync again before the next round.

Nothing acknowledged is lost or doubled, each producer's order is kept, committed offsets are kept, and who reads committed
records sees whole transactions only. It prints for how long no partition's producer was answered, by way of loss: medians
and the longest of all partitions and rounds.
"""

import random
import signal
import sys
import threading
import time
from collections import defaultdict

from load import (
    PATIENCE_S,
    QUICK,
    Consumer,
    KafkaException,
    Load,
    Producer,
    Reader,
    TopicPartition,
    admin,
    create_topics,
    main,
    parser,
    violations,
)

from harness.cluster import Cluster

SETTINGS = {
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
}
TOPIC, TRANSACTIONS = "replicated", "decided"
PARTITIONS = 6
FROZEN_S = 15  # Longer than a broker's session.
WAYS = [
    "kill leader",
    "kill follower",
    "kill controller",
    "stop leader",
    "stop controller",
    "freeze leader",
    "kill two",
]
SHORT_WAYS = ["kill leader", "kill controller", "stop leader"]
HEALING_DEADLINE_S = 90


class TimedLoad(Load):
    """A load that knows for how long each partition was not answered."""

    def __init__(self, *arguments, **options):
        self.last, self.longest = {}, {}
        super().__init__(*arguments, **options)

    def on_delivery(self, error, message):
        """Notes when."""
        super().on_delivery(error, message)
        if error is None:
            now, partition = time.monotonic(), message.partition()
            gap = now - self.last.get(partition, now)
            self.last[partition] = now
            self.longest[partition] = max(gap, self.longest.get(partition, 0.0))

    def take_gaps(self):
        """The longest time between two answers of each partition since this was asked last."""
        gaps, self.longest = self.longest, {}
        return list(gaps.values())


class Transactions:
    """A transactional producer: each transaction writes one value to every partition, and is committed or aborted."""

    def __init__(self, bootstrap, partitions):
        self.committed, self.aborted, self.unknown = set(), set(), set()
        self.count = partitions
        self.bootstrap = bootstrap
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        """A producer that has taken the transactional id over."""
        options = {"bootstrap.servers": self.bootstrap, "transactional.id": "mover", "transaction.timeout.ms": 30_000}
        while not self.stopping.is_set():
            producer = Producer({**options, **QUICK, "linger.ms": 1})
            try:
                producer.init_transactions(10)
                return producer
            except KafkaException:
                pass
        return None

    def run(self):
        """Goes from transaction to transaction until told to stop."""
        producer, number = self.connect(), 0
        while not self.stopping.is_set() and producer is not None:
            number += 1
            value = f"{number:09d}"
            try:
                self.decide(producer, value, commits=number % 4 != 0)
            except KafkaException:
                # Whether a commit that was under way has come true is not known.
                if value not in self.aborted:
                    self.unknown.add(value)
                producer = self.connect()
            time.sleep(0.01)

    def decide(self, producer, value, commits):
        """One transaction."""
        producer.begin_transaction()
        for partition in range(self.count):
            producer.produce(TRANSACTIONS, value.encode(), partition=partition)
        if commits:
            self.retried(producer, producer.commit_transaction)
            self.committed.add(value)
        else:
            self.aborted.add(value)
            self.retried(producer, producer.abort_transaction)

    def retried(self, producer, end):
        """Ends a transaction, as often as the client asks for."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return end(10)
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort() and end != producer.abort_transaction:
                    self.retried(producer, producer.abort_transaction)
                    raise
                if not error.retriable() or time.monotonic() > deadline:
                    raise

    def stop(self):
        """Ends with the transaction that is under way."""
        self.stopping.set()
        self.thread.join()


def transaction_violations(bootstrap, transactions):
    """Yields the promises about transactions."""
    options = {"bootstrap.servers": bootstrap, "group.id": "decided-check", "enable.auto.commit": False}
    consumer = Consumer({**options, **QUICK, "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TRANSACTIONS, partition, 0) for partition in range(transactions.count)])
    seen, ended = defaultdict(list), set()
    deadline = time.monotonic() + PATIENCE_S
    while len(ended) < transactions.count and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=0.5):
            if message.error() is None:
                seen[message.value().decode()].append(message.partition())
            else:
                ended.add(message.partition())
    consumer.close()
    if len(ended) < transactions.count:
        raise RuntimeError(f"committed records are not readable to the end: {ended}")
    lost = [value for value in transactions.committed if sorted(seen[value]) != list(range(transactions.count))]
    yield "committed transactions are there, once and whole", len(transactions.committed), lost
    torn = [value for value in transactions.unknown if len(seen[value]) not in (0, transactions.count)]
    yield "no transaction is torn", len(seen), torn
    yield "nothing aborted is read", len(transactions.aborted), [value for value in transactions.aborted if seen[value]]


class Rounds:
    """The cluster under load, and what is done to it."""

    def __init__(self, cluster, chance):
        self.cluster, self.chance = cluster, chance
        self.gaps, self.healing = defaultdict(list), defaultdict(list)

    def partitions(self, topic=TOPIC):
        """The metadata of the partitions of a topic; none while no broker answers."""
        try:
            found = admin(self.cluster.bootstrap).list_topics(topic, timeout=5).topics[topic]
        except KafkaException:
            return []
        return list(found.partitions.values())

    def victims(self, way):
        """The nodes that a way of loss means at this moment."""
        nodes = self.cluster.nodes
        if way.endswith("controller"):
            return [nodes[self.cluster.wait_for_controller()]]
        if way.endswith("two"):
            return self.chance.sample(list(nodes.values()), 2)
        partition = self.chance.choice(self.partitions())
        if way.endswith("follower"):
            return [nodes[self.chance.choice([id for id in partition.replicas if id != partition.leader])]]
        return [nodes[partition.leader]]

    def take(self, way, loads):
        """One round."""
        victims = self.victims(way)
        for load in loads:
            load.take_gaps()
        if way.startswith("freeze"):
            self.freeze(victims)
        else:
            for victim in victims:
                victim.stop() if way.startswith("stop") else victim.kill()
            time.sleep(self.chance.uniform(1, 3))
            for victim in victims:
                victim.start()
        healed = self.wait_until_healed(loads)
        self.healing[way].append(healed)
        self.gaps[way] += [gap for load in loads for gap in load.take_gaps()]

    def freeze(self, victims):
        """Lets processes stand still for longer than their session."""
        for victim in victims:
            victim.process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        for victim in victims:
            victim.process.send_signal(signal.SIGCONT)

    def wait_until_healed(self, loads):
        """Waits until every replica is in sync and every partition is answered; how long that took, in seconds."""
        started = time.monotonic()
        deadline, begun = started + HEALING_DEADLINE_S, time.monotonic()

        def is_healed():
            partitions = self.partitions() + self.partitions(TRANSACTIONS)
            in_sync = partitions and all(len(partition.isrs) == 3 and partition.leader > 0 for partition in partitions)
            return in_sync and all(load.last.get(index, 0) > begun for load in loads for index in range(PARTITIONS))

        while not is_healed():
            if time.monotonic() > deadline:
                state = [(at.id, at.leader, sorted(at.isrs)) for at in self.partitions()]
                raise RuntimeError(f"not healed after {HEALING_DEADLINE_S} s: {state}\n{self.cluster.log_tails()}")
            time.sleep(0.05)
        return time.monotonic() - started

    def report(self):
        """Prints the gaps."""
        for way, gaps in self.gaps.items():
            gaps, healing = sorted(gaps), sorted(self.healing[way])
            print(
                f"{way}: {len(healing)} rounds; no answer for p50 {gaps[len(gaps) // 2]:.2f} s, "
                f"p99 {gaps[len(gaps) * 99 // 100]:.2f} s, max {gaps[-1]:.2f} s; "
                f"in sync again after p50 {healing[len(healing) // 2]:.2f} s, max {healing[-1]:.2f} s",
                flush=True,
            )


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--ways", help=f"comma-separated; of {', '.join(WAYS)}")
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments.add_argument("--against", choices=["klamm", "kafka"], default="klamm")
    arguments = arguments.parse_args()
    ways = arguments.ways.split(",") if arguments.ways else SHORT_WAYS if arguments.short else WAYS
    rounds = len(ways) if arguments.short else arguments.rounds
    print(f"seed {arguments.seed}", flush=True)
    with Cluster(arguments.against, settings=SETTINGS) as cluster:
        bootstrap = cluster.bootstrap
        cluster.wait_for_controller()
        partitions = create_topics(bootstrap, [TOPIC], PARTITIONS, replicas=3)
        create_topics(bootstrap, [TRANSACTIONS], 3, replicas=3)
        loads = [TimedLoad(bootstrap, name, partitions, pause_s=0.02) for name in ("one", "two")]
        reader = Reader(bootstrap, [TOPIC])
        transactions = Transactions(bootstrap, 3)
        work = Rounds(cluster, random.Random(arguments.seed))
        work.wait_until_healed(loads)
        for number in range(rounds):
            work.take(ways[number % len(ways)], loads)
        for client in [*loads, reader, transactions]:
            client.stop()
        work.report()
        promises.check_all(violations(bootstrap, partitions, loads, reader))
        promises.check_all(transaction_violations(bootstrap, transactions))
        promises.check("no panic", 1, ["panicked"] if "panicked" in cluster.log_text() else [])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
