"""Offsets within transactions: AddOffsetsToTxn, TxnOffsetCommit, and OffsetFetch of what is stable."""

from conversation.commits import commit, lookup
from conversation.groups import Member, leaving, syncing
from conversation.transactional import (
    Producer,
    adding_offsets,
    ask_settled,
    committing,
    describe,
    settled,
    wait_for_coordinator,
)

TOPIC = "txn.offsets.topic"


def talk(broker):
    """Runs the section."""
    wait_for_coordinator(broker)
    broker.create_topic(TOPIC, 3)
    broker.wait_for_coordinator("txn.offsets")
    for version in broker.versions("AddOffsetsToTxn", 1, 2, 3):
        additions(broker, version)
    for version in broker.versions("TxnOffsetCommit", 2, 3, 4, 5):
        for commits in (True, False):
            pending(broker, version, commits)
        refused(broker, version)
        if version >= 3:
            members(broker, version)
    beside_plain_commits(broker)
    administration(broker)


def additions(broker, version):
    """AddOffsetsToTxn."""
    name = f"txn.offsets.add.{version}"
    producer = Producer(broker, name)

    def add(step, transactional_id=name, now=None, group=name):
        body = adding_offsets(transactional_id, now or producer.now, group)
        ask_settled(broker, step, "AddOffsetsToTxn", version, body)

    add("first")
    add("again")
    add("another group", group=f"{name}.other")
    add("empty group", group="")
    add("unknown transactional id", transactional_id="txn.offsets.unknown")
    add("empty transactional id", transactional_id="")
    add("another producer", now=(producer.id + 100_000, producer.epoch))
    for offset in (-1, 1):
        add(f"epoch {offset:+}", now=(producer.id, producer.epoch + offset))
    broker.note(f"partitions of groups, v{version}", describe(broker, name)["Topics"])
    broker.note(f"ended, v{version}", producer.end())
    add("after the end")
    producer.end(False)


def fetch(broker, step, group, *partitions, versions=(5, 7, 8, 9)):
    """Notes a group's offsets, all and those that are stable."""
    for version in versions:
        for stable in (False, True) if version >= 7 else (False,):
            kind = "stable" if stable else "any"
            broker.ask(f"{step}, {kind}", "OffsetFetch", version, lookup(group, partitions or (0, 1, 2), TOPIC, stable))


def offer(producer, group, version):
    """Makes a transaction ready for a group's offsets, as clients of the version do."""
    if version < 5:
        settled(producer.broker, "AddOffsetsToTxn", 3, adding_offsets(producer.name, producer.now, group))


def end(producer, commits, version):
    """Ends the transaction as clients of the version do."""
    return producer.end(commits, 4 if version < 5 else 5)


def pending(broker, version, commits):
    """Offsets that are committed, or aborted, with their transaction; what everybody sees before and after."""
    group = f"txn.offsets.{version}.{'commit' if commits else 'abort'}"
    broker.main.ask("OffsetCommit", 6, commit(group, (0, 5, "plain"), (1, 6), name=TOPIC))
    producer = Producer(broker, group)

    def add(step, *partitions):
        body = committing(group, producer.now, group, *partitions, topic=TOPIC)
        ask_settled(broker, f"{group}: {step}", "TxnOffsetCommit", version, body)

    if version < 5:
        add("before it is added", (0, 7))
        fetch(broker, f"{group}: before it is added, offsets", group, versions=(8,))
    offer(producer, group, version)
    fetch(broker, f"{group}: added, offsets", group, versions=(8,))
    add("first", (0, 7, "within"), (2, 8))
    fetch(broker, f"{group}: pending", group)
    broker.ask(f"{group}: pending, everything", "OffsetFetch", 8, lookup(group, stable=True, everything=True))
    add("again", (0, 9, "within, again"))
    fetch(broker, f"{group}: pending again", group, versions=(8,))
    broker.note(f"{group}: ended", end(producer, commits, version))
    fetch(broker, f"{group}: ended, offsets", group)
    add("after the end", (0, 11))
    broker.note(f"{group}: ended at last", end(producer, False, version))
    fetch(broker, f"{group}: ended at last, offsets", group, versions=(8,))


def refused(broker, version):
    """TxnOffsetCommit that is refused, as a whole or for a partition."""
    name = f"txn.offsets.refused.{version}"
    producer = Producer(broker, name)
    offer(producer, name, version)

    def add(step, *partitions, transactional_id=name, now=None, group=name, topic=TOPIC, **member):
        body = committing(transactional_id, now or producer.now, group, *partitions, topic=topic, **member)
        ask_settled(broker, f"refused: {step}", "TxnOffsetCommit", version, body)

    add("unknown topic", (0, 1), topic="txn.offsets.unknown")
    add("unknown partition beside a good one", (9, 1), (-1, 1), (1, 4))
    add("metadata too long beside a good one", (0, 1, "m" * 4097), (1, 5))
    add("negative offset", (2, -5))
    add("null metadata", (2, 6, None))
    add("a partition twice", (0, 20), (0, 21))
    add("no partition")
    add("empty group", (0, 1), group="")
    add("another group", (0, 1), group=f"{name}.other")
    add("unknown transactional id", (0, 1), transactional_id="txn.offsets.unknown")
    add("empty transactional id", (0, 1), transactional_id="")
    add("another producer", (0, 1), now=(producer.id + 100_000, producer.epoch))
    add("no producer", (0, 1), now=(-1, -1))
    for offset in (-1, 1):
        add(f"epoch {offset:+}", (0, 1), now=(producer.id, producer.epoch + offset))
    fetch(broker, f"refused, pending, v{version}", name, versions=(8,))
    broker.note(f"refused: ended, v{version}", end(producer, True, version))
    fetch(broker, f"refused, ended, v{version}", name, versions=(8,))


def members(broker, version):
    """TxnOffsetCommit by members of a group, by former ones and from outside."""
    group = f"txn.offsets.members.{version}"
    member = Member(broker, group, 5)
    member.join()
    broker.main.ask("SyncGroup", 3, syncing(group, member.id, member.generation, [(member.id, b"mine")]))
    producer = Producer(broker, group)
    offer(producer, group, version)

    def add(step, offset, member="", generation=-1, instance=None):
        body = committing(
            group,
            producer.now,
            group,
            (0, offset),
            topic=TOPIC,
            member=member,
            generation=generation,
            instance=instance,
        )
        ask_settled(broker, f"members: {step}", "TxnOffsetCommit", version, body)

    add("a member", 1, member.id, member.generation)
    add("an older generation", 2, member.id, member.generation - 1)
    add("a newer generation", 3, member.id, member.generation + 1)
    add("an unknown member", 4, "nobody", member.generation)
    add("a member without generation", 5, member.id)
    add("a generation without member", 6, "", member.generation)
    add("an instance it is not", 7, member.id, member.generation, "static")
    add("from outside", 8)
    fetch(broker, f"members, pending, v{version}", group, 0, versions=(8,))
    broker.main.ask("LeaveGroup", 3, leaving(group, (member.id, None)))
    add("a former member", 9, member.id, member.generation)
    broker.note(f"members: ended, v{version}", end(producer, True, version))
    fetch(broker, f"members, ended, v{version}", group, 0, versions=(8,))


def beside_plain_commits(broker):
    """Plain commits while others are pending: the later of the two in the log counts."""
    for commits in (True, False):
        for step, plain_first in (("plain first", True), ("plain last", False)):
            name = f"txn.offsets.{step}.{commits}".replace(" ", ".")
            producer = Producer(broker, name)
            offer(producer, name, 4)
            plain, within = commit(name, (0, 3, "plain"), name=TOPIC), (0, 4, "within")
            if plain_first:
                broker.main.ask("OffsetCommit", 6, plain)
            body = committing(name, producer.now, name, within, topic=TOPIC)
            settled(broker, "TxnOffsetCommit", 3, body)
            if not plain_first:
                broker.ask(f"{name}: plain commit beside it", "OffsetCommit", 6, plain)
            fetch(broker, f"{name}: pending", name, 0, versions=(8,))
            producer.end(commits)
            fetch(broker, f"{name}: ended", name, 0, versions=(8,))


def administration(broker):
    """Groups with pending offsets: listed, described, their offsets deleted, and they themselves."""
    name = "txn.offsets.admin"
    producer = Producer(broker, name)
    offer(producer, name, 4)
    body = committing(name, producer.now, name, (0, 4), (1, 5), topic=TOPIC)
    settled(broker, "TxnOffsetCommit", 3, body)
    groups = broker.main.ask("ListGroups", 4, {})["Groups"]
    broker.note("listed while pending", [group for group in groups if group["GroupId"] == name])
    broker.ask("described while pending", "DescribeGroups", 5, {"Groups": [name]})
    topics = [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 2}]}]
    broker.ask("offsets deleted while pending", "OffsetDelete", 0, {"GroupId": name, "Topics": topics})
    fetch(broker, "offsets deleted while pending", name, versions=(8,))
    broker.ask("deleted while pending", "DeleteGroups", 2, {"GroupsNames": [name]})
    broker.note("deleted while pending: ended", producer.end())
    fetch(broker, "deleted while pending: ended", name, versions=(8,))
    broker.ask("described at last", "DescribeGroups", 5, {"Groups": [name]})
    broker.ask("deleted at last", "DeleteGroups", 2, {"GroupsNames": [name]})
    fetch(broker, "deleted at last", name, versions=(8,))
