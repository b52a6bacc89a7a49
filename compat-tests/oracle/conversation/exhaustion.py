"""The end of a producer id's epochs: another producer id takes over, for InitProducerId and for EndTxn of version 5."""

from conversation.transactional import (
    Producer,
    adding,
    ask_settled,
    describe,
    ending,
    initialising,
    settled,
    wait_for_coordinator,
)

LAST_EPOCH = 32_766
TOPIC = "exhaustion.topic"


def talk(broker):
    """Runs the section."""
    wait_for_coordinator(broker)
    broker.create_topic(TOPIC)
    by_commits, by_starts = Producer(broker, "exhausted.commits"), Producer(broker, "exhausted.starts")
    exhaust(broker, by_commits, LAST_EPOCH - 3)
    commits(broker, by_commits)
    exhaust(broker, by_starts, LAST_EPOCH - 1)
    starts(broker, by_starts)


def exhaust(broker, producer, epoch):
    """Starts a producer over and over, without waiting for each answer, until its epoch is `epoch`."""
    connection = broker.connect()
    body = broker.messages["InitProducerIdRequest"].encode(4, initialising(producer.name))
    while producer.epoch < epoch:
        asked = min(epoch - producer.epoch, 500)
        for _ in range(asked):
            connection.send("InitProducerId", 4, body)
        answers = [connection.receive() for _ in range(asked)]
        # A start that meets the one before it changes nothing.
        producer.epoch = max([producer.epoch, *(answer["ProducerEpoch"] for answer in answers)])
    broker.note(f"{producer.name}: epoch", producer.epoch)


def commits(broker, producer):
    """Each transaction of version 5 has an epoch of its own, up to the last and beyond it."""
    for number in range(6):
        before, first = producer.now, producer.id
        commits_this = number % 2 == 0
        ask_settled(broker, f"add {number}", "AddPartitionsToTxn", 5, adding(producer.name, producer.now, {TOPIC: [0]}))
        broker.note(f"sent {number}", producer.send(TOPIC))
        broker.note(f"ended {number}", producer.end(commits_this, 5))
        broker.note(f"ended {number}: the producer id stays", producer.id == first)
        broker.note(f"ended {number}: described", describe(broker, producer.name))
        for step, now, result in (
            ("again", before, commits_this),
            ("the other way", before, not commits_this),
            ("with the new epoch", producer.now, commits_this),
        ):
            answer = ask_settled(broker, f"ended {number}, {step}", "EndTxn", 5, ending(producer.name, now, result))
            if answer["ErrorCode"] == 0:
                # An abort of what is empty has an epoch of its own as well.
                producer.id, producer.epoch, producer.sequences = answer["ProducerId"], answer["ProducerEpoch"], {}
        late = adding(producer.name, before, {TOPIC: [0]})
        ask_settled(broker, f"ended {number}, added with the old epoch", "AddPartitionsToTxn", 3, late)
        described = describe(broker, producer.name)
        broker.note(f"ended {number}: described at last", described)
        producer.id, producer.epoch, producer.sequences = described["ProducerId"], described["ProducerEpoch"], {}


def starts(broker, producer):
    """A producer that knows its epoch, and newcomers, at the last epoch and beyond it."""
    known, started = [producer.now], None
    for number in range(3):
        for turn in ("", " again"):
            body = initialising(producer.name, producer=known[-1])
            answer = ask_settled(broker, f"start {number}{turn}", "InitProducerId", 4, body)
            broker.note(f"start {number}{turn}: the producer id stays", answer["ProducerId"] == known[-1][0])
            started = started if turn else (answer["ProducerId"], answer["ProducerEpoch"])
        known.append(started)
        broker.note(f"start {number}: described", describe(broker, producer.name))
    for number, now in enumerate(known):
        ask_settled(broker, f"end of start {number}", "EndTxn", 4, ending(producer.name, now))
    answer = settled(broker, "InitProducerId", 4, initialising(producer.name))
    broker.note("a newcomer at last", answer)
