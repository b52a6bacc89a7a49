"""The transaction coordinator: InitProducerId, AddPartitionsToTxn, EndTxn, and what it tells of its transactions."""

import time

from conversation.transactional import (
    Producer,
    adding,
    ask_settled,
    describe,
    ending,
    initialising,
    settled,
    transaction,
    wait_for_coordinator,
)

TOPIC = "transactions.topic"
LONG = "x" * 32_767
# What a producer may be when it ends its transaction: how each state is reached, by a version of EndTxn.
STATES = {
    "empty": lambda producer: None,
    "fenced and empty": lambda producer: settled(
        producer.broker, "InitProducerId", 3, initialising(producer.name, producer=producer.now)
    ),
    "ongoing": lambda producer: producer.add({TOPIC: [0]}),
    "ongoing by version 5": lambda producer: producer.add({TOPIC: [0]}, version=5),
    "committed by version 4": lambda producer: (producer.add({TOPIC: [0]}), producer.end(True, 4)),
    "aborted by version 4": lambda producer: (producer.add({TOPIC: [0]}), producer.end(False, 4)),
    "committed by version 5": lambda producer: (producer.add({TOPIC: [0]}, 5), ended_unnoticed(producer, True)),
    "aborted by version 5": lambda producer: (producer.add({TOPIC: [0]}, 5), ended_unnoticed(producer, False)),
    "ongoing after a commit by version 5": lambda producer: (
        producer.add({TOPIC: [0]}, 5),
        producer.end(True, 5),
        producer.add({TOPIC: [1]}, 5),
    ),
    "aborted while empty by version 5": lambda producer: ended_unnoticed(producer, False),
    "fenced while ongoing": lambda producer: (
        producer.add({TOPIC: [0]}),
        settled(producer.broker, "InitProducerId", 3, initialising(producer.name)),
        describe(producer.broker, producer.name),
    ),
}


def ended_unnoticed(producer, commits):
    """Ends a transaction by version 5, whose answer the producer does not hear: it keeps the epoch that it had."""
    settled(producer.broker, "EndTxn", 5, ending(producer.name, producer.now, commits))
    describe(producer.broker, producer.name)


def talk(broker):
    """Runs the section."""
    coordinators(broker)
    broker.create_topic(TOPIC, 3)
    broker.create_topic("transactions.other", 2)
    for version in broker.versions("InitProducerId", 1, 2, 3, 4, 5):
        if version <= 5:
            first_ids(broker, version)
            bad_ids(broker, version)
            known_producers(broker, version)
    for version in broker.versions("AddPartitionsToTxn", 2, 3, 4, 5):
        additions(broker, version)
    batched_additions(broker)
    for version in broker.versions("EndTxn", 3, 4, 5):
        endings(broker, version)
        bad_endings(broker, version)
    initialisations(broker)
    timeouts(broker)
    deleted_topic(broker)
    descriptions(broker)
    for version in broker.versions("ListTransactions", 1):
        listings(broker, version)


def coordinators(broker):
    """FindCoordinator for transactions."""
    wait_for_coordinator(broker)
    for version in broker.versions("FindCoordinator", 1, 2, 3, 4, 5):
        if version == 0:
            continue

        def find(step, *keys, kind=1):
            old = {"Key": keys[0], "KeyType": kind} if keys else {"KeyType": kind}
            broker.ask(step, "FindCoordinator", version, {**old, "CoordinatorKeys": list(keys)})

        find("a transactional id", "transactions")
        find("an empty transactional id", "")
        find("a long transactional id", LONG)
        find("a type that is none", "transactions", kind=9)
        if version >= 4:
            find("two transactional ids", "transactions", "other")
            find("no transactional id")


def first_ids(broker, version):
    """A transactional id that nobody has used, and its producers one after the other."""
    name = f"init.{version}"
    for step in ("first", "second", "third"):
        ask_settled(broker, step, "InitProducerId", version, initialising(name))
    broker.note(f"described after three, v{version}", describe(broker, name))
    ask_settled(broker, "another timeout", "InitProducerId", version, initialising(name, 5000))
    broker.note(f"described with another timeout, v{version}", describe(broker, name))
    first = settled(broker, "InitProducerId", version, initialising(name))["ProducerId"]
    second = settled(broker, "InitProducerId", version, initialising(name))["ProducerId"]
    broker.note(f"the producer id stays, v{version}", first == second)


def bad_ids(broker, version):
    """Timeouts and transactional ids that are none."""
    for timeout in (0, -1, -(2**31), 1, 900_000, 900_001, 2**31 - 1):
        ask_settled(
            broker, f"timeout {timeout}", "InitProducerId", version, initialising(f"init.timeout.{version}", timeout)
        )
    ask_settled(broker, "empty", "InitProducerId", version, initialising(""))
    broker.ask_alone("as long as can be", "InitProducerId", version, initialising(f"{LONG[:-2]}.{version}"))
    if version >= 2:
        broker.ask_alone("64 KiB", "InitProducerId", version, initialising("x" * 65_536))
    odd = f"a b/../\n\0é.{version}"
    ask_settled(broker, "strange characters", "InitProducerId", version, initialising(odd))


def known_producers(broker, version):
    """InitProducerId with a producer id and an epoch, as a producer asks that knows its own (KIP-360)."""
    if version < 3:
        return
    for offset in (-1, 0, 1):
        name = f"init.known.{version}.{offset}"
        producer = Producer(broker, name)
        settled(broker, "InitProducerId", 4, initialising(name, producer=producer.now))
        known = (producer.id, producer.epoch + 1 + offset)
        ask_settled(broker, f"epoch {offset:+}", "InitProducerId", version, initialising(name, producer=known))
        ask_settled(broker, f"epoch {offset:+} again", "InitProducerId", version, initialising(name, producer=known))
        broker.note(f"epoch {offset:+} described, v{version}", describe(broker, name))
    name = f"init.unknown.{version}"
    body = initialising(name, producer=(4_000_000, 3))
    ask_settled(broker, "a producer id for a new transactional id", "InitProducerId", version, body)
    producer = Producer(broker, f"{name}.other")
    body = initialising(producer.name, producer=(producer.id + 100_000, producer.epoch))
    ask_settled(broker, "another producer id", "InitProducerId", version, body)
    for step, known in (
        ("id without epoch", (producer.id, -1)),
        ("epoch without id", (-1, 3)),
        ("epoch -2", (producer.id, -2)),
    ):
        broker.ask_alone(step, "InitProducerId", version, initialising(producer.name, producer=known))


def additions(broker, version):
    """AddPartitionsToTxn with one transaction."""
    name = f"add.{version}"
    producer = Producer(broker, name)
    producer.end(False)  # A producer of version 2 begins in a later epoch than one that was only initialised.

    def add(step, topics, **changed):
        fields = {"name": name, "producer": producer.now, **changed}
        ask_settled(broker, step, "AddPartitionsToTxn", version, adding(fields["name"], fields["producer"], topics))

    add("no topic", {})
    broker.note(f"after no topic, v{version}", describe(broker, name))
    add("no partition", {TOPIC: []})
    broker.note(f"after no partition, v{version}", describe(broker, name))
    add("first", {TOPIC: [0]})
    add("the same again", {TOPIC: [0]})
    add("more", {TOPIC: [1, 2], "transactions.other": [1]})
    add("a partition twice", {TOPIC: [1, 1]})
    add("unknown partition", {TOPIC: [9, 0]})
    add("partition -1", {TOPIC: [-1]})
    add("unknown topic", {"transactions.unknown": [0], TOPIC: [2]})
    add("a topic without a name", {"": [0]})
    add("the groups' topic", {"__transaction_state": [0]})
    add("unknown transactional id", {TOPIC: [0]}, name="add.unknown")
    add("empty transactional id", {TOPIC: [0]}, name="")
    add("another producer id", {TOPIC: [0]}, producer=(producer.id + 100_000, producer.epoch))
    add("producer id -1", {TOPIC: [0]}, producer=(-1, -1))
    for offset in (-1, 1):
        add(f"epoch {offset:+}", {TOPIC: [0]}, producer=(producer.id, producer.epoch + offset))
    broker.note(f"all that was added, v{version}", describe(broker, name))
    producer.end(version=4)
    add("after the end", {TOPIC: [0]})
    broker.note(f"after the end, v{version}", describe(broker, name))


def batched_additions(broker):
    """AddPartitionsToTxn as brokers ask: several transactions, and such that are only to be verified."""
    for version in broker.versions("AddPartitionsToTxn", 4, 5):
        if version < 4:
            continue
        one, other = Producer(broker, f"batch.{version}.one"), Producer(broker, f"batch.{version}.other")
        one.add({TOPIC: [0, 1]})

        def verify(step, *transactions):
            ask_settled(broker, step, "AddPartitionsToTxn", version, {"Transactions": list(transactions)})

        def checked(producer, topics, now=None):
            return transaction(producer.name, now or producer.now, topics, verify=True)

        verify("verified", checked(one, {TOPIC: [0]}))
        verify("verified in part", checked(one, {TOPIC: [0, 2]}))
        verify("verified, of an empty transaction", checked(other, {TOPIC: [0]}))
        verify("verified, unknown topic", checked(one, {"transactions.unknown": [0], TOPIC: [0]}))
        verify("verified, unknown id", transaction("batch.unknown", one.now, {TOPIC: [0]}, verify=True))
        verify("verified, empty id", transaction("", one.now, {TOPIC: [0]}, verify=True))
        verify("verified, another producer", checked(one, {TOPIC: [0]}, other.now))
        verify("verified, epoch -1", checked(one, {TOPIC: [0]}, (one.id, one.epoch - 1)))
        verify("verified, epoch +1", checked(one, {TOPIC: [0]}, (one.id, one.epoch + 1)))
        verify("verified, nothing", checked(one, {}))
        verify("two transactions", checked(one, {TOPIC: [1]}), transaction(other.name, other.now, {TOPIC: [2]}))
        verify("one good, one bad", checked(one, {TOPIC: [1]}), transaction("batch.unknown", (1, 1), {TOPIC: [2]}))
        other.end()
        verify("verified after the end", checked(other, {TOPIC: [2]}))
        broker.note(f"untouched by verifying, v{version}", describe(broker, one.name))


def endings(broker, version, prefix="", offsets=(-1, 0, 1)):
    """EndTxn in every state that a transaction may be in, by producers of this epoch and of those around it."""
    for state, reach in STATES.items():
        for result in ("commit", "abort"):
            for offset in offsets:
                name = f"{prefix}end.{version}.{state}.{result}.{offset}"
                producer = Producer(broker, name)
                settled(broker, "InitProducerId", 4, initialising(name, producer=producer.now))
                producer.epoch += 1
                reach(producer)
                now = (producer.id, producer.epoch + offset)
                step = f"{prefix}{result} while {state}, epoch {offset:+}"
                answer = ask_settled(broker, step, "EndTxn", version, ending(name, now, result == "commit"))
                if answer.get("ProducerId", -1) >= 0:
                    broker.note(f"{step}: the producer id stays, v{version}", answer["ProducerId"] == producer.id)
                broker.note(f"{step}: described, v{version}", describe(broker, name))
                ask_settled(broker, f"{step}, again", "EndTxn", version, ending(name, now, result == "commit"))
                ask_settled(
                    broker, f"{step}, and the other way", "EndTxn", version, ending(name, now, result != "commit")
                )
                broker.note(f"{step}: described at last, v{version}", describe(broker, name))


def bad_endings(broker, version):
    """EndTxn for transactional ids and producers that there are not."""
    producer = Producer(broker, f"end.bad.{version}")
    producer.add({TOPIC: [0]})
    for step, name, now in (
        ("unknown transactional id", "end.unknown", producer.now),
        ("empty transactional id", "", producer.now),
        ("another producer id", producer.name, (producer.id + 100_000, producer.epoch)),
        ("producer id -1", producer.name, (-1, -1)),
        ("epoch far ahead", producer.name, (producer.id, 32_767)),
        ("epoch -1", producer.name, (producer.id, -1)),
    ):
        ask_settled(broker, step, "EndTxn", version, ending(name, now))
    broker.note(f"untouched by bad endings, v{version}", describe(broker, producer.name))


def initialisations(broker):
    """InitProducerId in every state that a transaction may be in, with and without the producer's own id and epoch."""
    for state, reach in STATES.items():
        for knows in (None, -1, 0, 1):
            name = f"reinit.{state}.{knows}"
            producer = Producer(broker, name)
            settled(broker, "InitProducerId", 4, initialising(name, producer=producer.now))
            producer.epoch += 1
            reach(producer)
            known = (-1, -1) if knows is None else (producer.id, producer.epoch + knows)
            step = f"while {state}, {'a newcomer' if knows is None else f'epoch {knows:+}'}"
            for turn in ("", ", again"):
                body = initialising(name, producer=known)
                answer = ask_settled(broker, f"{step}{turn}", "InitProducerId", 5, body)
                broker.note(f"{step}{turn}: described", describe(broker, name))
            broker.note(f"{step}: the producer id stays", answer["ProducerId"] in (producer.id, -1))
            broker.ask(f"{step}, then adding", "AddPartitionsToTxn", 3, adding(name, producer.now, {TOPIC: [0]}))


def timeouts(broker):
    """A transaction whose time is over, and what its producer may still do."""
    late = {version: Producer(broker, f"late.{version}", timeout=300) for version in (4, 5)}
    for version, producer in late.items():
        producer.add({TOPIC: [0]}, version=version - 1 if version == 4 else 5)
    for version, producer in late.items():
        while describe(broker, producer.name)["TransactionState"] == "Ongoing":
            time.sleep(0.02)
        broker.note(f"timed out, v{version}", describe(broker, producer.name))
        body = adding(producer.name, producer.now, {TOPIC: [0]})
        ask_settled(broker, f"late, of version {version}, and adding", "AddPartitionsToTxn", 3, body)
        for step, commits in (("committed too late", True), ("aborted too late", False)):
            ask_settled(broker, step, "EndTxn", version, ending(producer.name, producer.now, commits))
        broker.note(f"long after its time, v{version}", describe(broker, producer.name))
        body = initialising(producer.name, producer=producer.now)
        ask_settled(broker, f"late, of version {version}, and with its epoch", "InitProducerId", 5, body)
        ask_settled(broker, f"late, of version {version}, and anew", "InitProducerId", 5, initialising(producer.name))


def deleted_topic(broker):
    """A transaction whose partition is deleted meanwhile ends all the same."""
    broker.create_topic("transactions.deleted")
    producer = Producer(broker, "deleted")
    producer.add({"transactions.deleted": [0], TOPIC: [0]})
    producer.send("transactions.deleted")
    body = {"TopicNames": ["transactions.deleted"], "TimeoutMs": 10_000}
    assert broker.main.ask("DeleteTopics", 5, body)["Responses"][0]["ErrorCode"] == 0
    broker.settle()
    broker.note("deleted meanwhile, described", describe(broker, "deleted"))
    broker.note("deleted meanwhile, committed", producer.end())
    broker.note("deleted meanwhile, described at last", describe(broker, "deleted"))


def descriptions(broker):
    """DescribeTransactions."""
    producer = Producer(broker, "describe")

    def ask(step, *names):
        broker.ask(step, "DescribeTransactions", 0, {"TransactionalIds": list(names)})

    ask("empty", "describe")
    producer.add({TOPIC: [2, 0], "transactions.other": [1]})
    ask("ongoing", "describe")
    ask("several", "describe", "describe.unknown", "init.4")
    ask("the same twice", "describe", "describe")
    ask("no name", "")
    ask("none")
    producer.end()
    ask("committed", "describe")


def listings(broker, version):
    """ListTransactions with all its filters; the transactions are those of this whole section, where not filtered."""
    known = describe(broker, "describe")["ProducerId"]

    def ask(step, **filters):
        broker.ask(step, "ListTransactions", version, filters)

    ask("all")
    ask("ongoing", StateFilters=["Ongoing"])
    ask("of two states", StateFilters=["Ongoing", "CompleteCommit"])
    ask("of a state that is none", StateFilters=["Ongoing", "ongoing", "Broken", ""])
    ask("only of states that are none", StateFilters=["Broken"])
    ask("of a producer", ProducerIdFilters=[known])
    ask("of an unknown producer", ProducerIdFilters=[known, 4_000_000])
    ask("of no such producer", ProducerIdFilters=[-5])
    ask("of a producer in another state", ProducerIdFilters=[known], StateFilters=["Empty"])
    if version >= 1:
        for duration in (-1, 0, 1, 3_600_000, -5):
            ask(f"as long as {duration}", DurationFilter=duration)
    if version >= 2:
        for pattern in ("describe", "desc.*", "init\\.[0-3]", "", "no such", "(", "[a", "(?i)DESCRIBE"):
            ask(f"like {pattern!r}", TransactionalIdPattern=pattern)
