"""Who works in a run: producers, transactional ones, copying jobs, consumers and the observer, each a thread of its own."""

import itertools
import random
import threading
import time

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from history import Read, Send, Transaction, now_ns

TRANSACTION_TIMEOUT_MS = 6000
PATIENCE_S = 20
# librdkafka may ask for ever after a connection was cut, beyond this.
OFFSETS_PATIENCE_S = 3
QUICK = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 200,
}
# A proxy cuts connections, and a broker dies: that is the run's purpose, and no news.
QUIET = {"log_level": 0, "log.connection.close": False}
# Each is the end of a producer's life.
LETHAL = (KafkaError._FATAL, KafkaError._FENCED, KafkaError._STATE)


class Actor(threading.Thread):
    """A thread that works in steps until it is told to stop; what it may do next is drawn from its own seed."""

    def __init__(self, run, name):
        super().__init__(name=name, daemon=True)
        self.run_of, self.history = run, run.history
        self.random = random.Random(f"{run.seed} {name}")
        self.lives = itertools.count(1)
        self.failure = None

    def common(self, **options):
        """The configuration of a client."""
        given = {key.replace("_", "."): value for key, value in options.items()}
        error = {"error_cb": lambda error: self.history.error(error.code())}
        return {"bootstrap.servers": self.run_of.bootstrap, **QUICK, **QUIET, **error, **given}

    def run(self):
        try:
            while not self.run_of.is_over:
                self.step()
            self.finish()
        except Exception as failure:  # The run must not go on without it unnoticed.
            self.failure = failure
            raise

    def finish(self):
        """What is left to do in the end."""

    def send(self, producer, partition, writer, transaction="", value=None, once=True):
        """Sends a value of its own and notes what becomes of it."""
        value = value or f"{writer}-{next(self.run_of.numbers)}"
        sent = Send(value, partition, writer, now_ns(), transaction, once)
        self.history.sends[value] = sent

        def done(error, message):
            if error is None:
                sent.acked_ns, sent.offset, sent.outcome = now_ns(), message.offset(), "ok"
            else:
                self.history.error(error.code())
                sent.outcome = "fail" if error.code() == KafkaError._PURGE_QUEUE else "unknown"

        topic, index = partition
        while True:
            try:
                producer.produce(topic, value, partition=index, on_delivery=done)
                return value
            except BufferError:
                producer.poll(0.05)


class PlainProducer(Actor):
    """Sends values without transactions; `once` is the idempotent kind."""

    def __init__(self, run, name, partitions, once):
        super().__init__(run, name)
        self.partitions, self.once, self.producer = partitions, once, None

    def step(self):
        if self.producer is None:
            self.writer = f"{self.name}.{next(self.lives)}"
            order = {"enable.idempotence": True} if self.once else {"max.in.flight": 1}
            self.producer = Producer({**self.common(acks="all", linger_ms=2, message_timeout_ms=60_000), **order})
        try:
            for _ in range(self.random.randint(1, 20)):
                self.send(self.producer, self.random.choice(self.partitions), self.writer, once=self.once)
            self.producer.poll(0)
        except KafkaException as error:
            self.history.error(error.args[0].code())
            self.producer = None
        self.run_of.pause(0.05)

    def finish(self):
        if self.producer is not None:
            self.producer.flush(60)


class TransactionalProducer(Actor):
    """Commits most of its transactions, aborts some, dies within some, and meets its own successor in a few."""

    def __init__(self, run, name, partitions):
        super().__init__(run, name)
        self.partitions, self.producer, self.writer = partitions, None, ""

    def new_producer(self):
        """A producer of this id that is ready, and so fences its predecessor; None where the broker does not let it be."""
        options = self.common(transactional_id=self.name, linger_ms=1, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS)
        producer = Producer(options)
        while not self.run_of.is_torn_down:
            try:
                producer.init_transactions(PATIENCE_S)
                self.writer = f"{self.name}.{next(self.lives)}"
                return producer
            except KafkaException as error:
                self.history.error(error.args[0].code())
                if not error.args[0].retriable():
                    return None
        return None

    def step(self):
        self.producer = self.producer or self.new_producer()
        if self.producer is None:
            return
        name = f"{self.writer} {next(self.run_of.numbers)}"
        transaction = self.history.transactions[name] = Transaction(name)
        fate = self.random.random()
        try:
            self.producer.begin_transaction()
            for partition in self.random.choices(self.partitions, k=self.random.randint(1, 4)):
                for _ in range(self.random.randint(1, 4)):
                    transaction.values.append(self.send(self.producer, partition, self.writer, name))
            if fate < 0.05:
                self.producer.flush(1)
                self.producer = None
            elif fate < 0.07:
                zombie, self.producer = self.producer, self.new_producer()
                self.commit(zombie, transaction)
            elif fate < 0.17:
                self.producer.flush(PATIENCE_S)
                self.producer.abort_transaction(PATIENCE_S)
            elif not self.commit(self.producer, transaction):
                self.producer = None
            elif fate > 0.95:
                self.go_on_beside_successor()
        except KafkaException as error:
            self.recover(error.args[0])

    def go_on_beside_successor(self):
        """Has a successor take over where no transaction is open. Nothing of what its predecessor then tries may count."""
        zombie, writer = self.producer, self.writer
        self.producer = self.new_producer()
        if self.producer is None:
            return
        name = f"{writer} {next(self.run_of.numbers)}"
        transaction = self.history.transactions[name] = Transaction(name, has_successor=True)
        try:
            zombie.begin_transaction()
            for partition in self.random.choices(self.partitions, k=2):
                transaction.values.append(self.send(zombie, partition, writer, name))
            self.commit(zombie, transaction)
        except KafkaException as error:
            self.history.error(error.args[0].code())

    def commit(self, producer, transaction):
        """Commits; returns whether the producer may go on."""
        if producer is None:
            return False
        transaction.commit_ns, transaction.outcome = now_ns(), "unknown"
        while True:
            try:
                producer.commit_transaction(PATIENCE_S)
                transaction.outcome = "committed"
                return True
            except KafkaException as error:
                self.history.error(error.args[0].code())
                if error.args[0].retriable() and not self.run_of.is_torn_down:
                    continue
                if error.args[0].txn_requires_abort():
                    return self.abort(producer)
                return False

    def abort(self, producer):
        """Aborts; returns whether the producer may go on."""
        try:
            producer.abort_transaction(PATIENCE_S)
            return True
        except KafkaException as error:
            self.history.error(error.args[0].code())
            return False

    def recover(self, error):
        """Goes on after an error, with this producer or another."""
        self.history.error(error.code())
        if error.code() in LETHAL or error.fatal() or self.producer is None or not self.abort(self.producer):
            self.producer = None


class Copier(TransactionalProducer):
    """Copies what is committed in one topic to another, and commits how far it came in the same transactions."""

    def __init__(self, run, name, group, source, target):
        super().__init__(run, name, [])
        self.group, self.source, self.target = group, source, target
        self.consumer = None

    def step(self):
        self.producer = self.producer or self.new_producer()
        if self.producer is None:
            return
        if self.consumer is None:
            options = self.common(group_id=self.group, isolation_level="read_committed", auto_offset_reset="earliest")
            quick = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "enable.auto.commit": False}
            self.consumer = Consumer({**options, **quick, "fetch.wait.max.ms": 50})
            self.consumer.subscribe([self.source])
        messages = [message for message in self.consumer.consume(50, 0.2) if message.error() is None]
        if messages and not self.copy(messages):
            # What was taken and not committed is taken again by a new member.
            self.consumer.close()
            self.consumer = None

    def copy(self, messages):
        """Copies messages in one transaction; returns whether that is certain."""
        name = f"{self.writer} {next(self.run_of.numbers)}"
        transaction = self.history.transactions[name] = Transaction(name)
        try:
            self.producer.begin_transaction()
            for message in messages:
                value = f"copy {message.value().decode()} {next(self.run_of.numbers)}"
                partition = (self.target, message.partition())
                transaction.values.append(self.send(self.producer, partition, self.writer, name, value))
            last = {message.partition(): message.offset() + 1 for message in messages}
            offsets = [TopicPartition(self.source, index, offset) for index, offset in last.items()]
            metadata = self.consumer.consumer_group_metadata()
            self.commit_within(offsets, metadata)
        except KafkaException as error:
            self.recover(error.args[0])
            return False
        if not self.commit(self.producer, transaction):
            self.producer = None
        return transaction.outcome == "committed"

    def commit_within(self, offsets, metadata):
        """Commits offsets within the transaction. A producer that never comes back from that is left behind, with it."""
        failures = []

        def ask(producer):
            try:
                producer.send_offsets_to_transaction(offsets, metadata, OFFSETS_PATIENCE_S)
            except KafkaException as error:
                failures.append(error)

        asking = threading.Thread(target=ask, args=[self.producer], daemon=True)
        asking.start()
        asking.join(2 * OFFSETS_PATIENCE_S)
        if asking.is_alive():
            self.producer = None
            failures = [KafkaException(KafkaError(KafkaError._TIMED_OUT))]
        if failures:
            raise failures[0]

    def finish(self):
        deadline = time.monotonic() + PATIENCE_S * 3
        while not self.has_copied_all() and time.monotonic() < deadline:
            self.step()
        if self.consumer is not None:
            self.consumer.close()

    def has_copied_all(self):
        """Whether the group has committed all that there is to copy."""
        last = self.run_of.source_offsets
        if last is None or self.consumer is None:
            return False
        try:
            committed = self.consumer.committed([TopicPartition(*partition) for partition in last], PATIENCE_S)
        except KafkaException as error:
            self.history.error(error.args[0].code())
            return False
        return all(partition.offset > last[partition.topic, partition.partition] for partition in committed)


class Assigned(Actor):
    """Reads all partitions from their beginning, goes back there now and then, and in the end sees everything."""

    def __init__(self, run, name, isolation, partitions):
        super().__init__(run, name)
        self.isolation, self.partitions, self.consumer, self.generation = isolation, partitions, None, 0
        self.seen = {}

    def step(self):
        if self.consumer is None:
            options = self.common(group_id=self.name, isolation_level=self.isolation, auto_offset_reset="earliest")
            self.consumer = Consumer({**options, "enable.auto.commit": False, "fetch.wait.max.ms": 50})
            self.from_the_beginning()
        elif self.random.random() < 1 / 64 and not self.run_of.is_over:
            self.from_the_beginning()
        for message in self.consumer.consume(500, 0.1):
            if message.error() is not None:
                self.history.error(message.error().code())
                continue
            partition = (message.topic(), message.partition())
            read = Read(self.name, self.generation, partition, message.offset(), message.value().decode(), now_ns())
            self.history.reads[self.isolation].append(read)
            self.seen[partition] = max(message.offset(), self.seen.get(partition, -1))

    def from_the_beginning(self):
        """Reads all of it again."""
        self.generation += 1
        self.consumer.assign([TopicPartition(topic, index, 0) for topic, index in self.partitions])

    def finish(self):
        deadline = time.monotonic() + PATIENCE_S * 6
        while not self.has_seen_all() and time.monotonic() < deadline:
            self.step()
        self.consumer.close()

    def has_seen_all(self):
        """Whether it has come to the end of what is there."""
        last = self.run_of.last_offsets(self.isolation)
        return last is not None and all(self.seen.get(tp, -1) >= offset for tp, offset in last.items())


class Observer(Actor):
    """Asks for the ends of all partitions, and for what groups have committed."""

    def __init__(self, run, name, partitions, groups):
        super().__init__(run, name)
        self.partitions, self.groups, self.admin = partitions, groups, None
        self.members = {}

    def step(self):
        self.look()
        self.run_of.pause(0.1)

    def look(self):
        """Asks for all of it once."""
        if self.admin is None:
            self.admin = AdminClient(self.common(socket_timeout_ms=3000))
        asked = {TopicPartition(topic, index): OffsetSpec.latest() for topic, index in self.partitions}
        found, started = [], now_ns()
        for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            try:
                futures = self.admin.list_offsets(asked, isolation_level=isolation, request_timeout=3)
                found.append({(tp.topic, tp.partition): future.result(5).offset for tp, future in futures.items()})
            except KafkaException as error:
                self.history.error(error.args[0].code())
                return
        for partition in self.partitions:
            # What librdkafka calls a success may be an offset of -1001, which no broker can send: it has none.
            if min(found[0][partition], found[1][partition]) >= 0:
                self.history.ends[partition].append((started, now_ns(), found[0][partition], found[1][partition]))
            else:
                self.history.error(KafkaError._NO_OFFSET)
        for group, source in self.groups.items():
            self.look_at(group, [TopicPartition(*partition) for partition in self.partitions if partition[0] == source])

    def look_at(self, group, partitions):
        """Notes what a group has committed; what it has not yet is nothing."""
        if group not in self.members:
            self.members[group] = Consumer(self.common(group_id=group, enable_auto_commit=False))
        try:
            for partition in self.members[group].committed(partitions, 3):
                if partition.error is None and partition.offset >= 0:
                    key = (group, (partition.topic, partition.partition))
                    self.history.committed[key].append(partition.offset)
                elif self.history.committed.get((group, (partition.topic, partition.partition))):
                    self.history.committed[group, (partition.topic, partition.partition)].append(partition.offset)
        except KafkaException as error:
            self.history.error(error.args[0].code())

    def finish(self):
        for member in self.members.values():
            member.close()
