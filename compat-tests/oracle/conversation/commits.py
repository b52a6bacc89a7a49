"""OffsetCommit and OffsetFetch."""

from conversation.groups import Member, leaving, syncing

TOPIC = "commits.topic"


def commit(group, *partitions, member="", generation=-1, instance=None, name=TOPIC):
    """An OffsetCommit request; partitions are (index, offset) or (index, offset, metadata)."""
    listed = []
    for index, offset, *metadata in partitions:
        fields = {"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": -1}
        listed.append({**fields, "CommittedMetadata": metadata[0] if metadata else ""})
    return {
        "GroupId": group,
        "GenerationIdOrMemberEpoch": generation,
        "MemberId": member,
        "GroupInstanceId": instance,
        "RetentionTimeMs": -1,
        "Topics": [{"Name": name, "Partitions": listed}],
    }


def lookup(group, partitions=(0, 1), name=TOPIC, stable=False, everything=False):
    """An OffsetFetch request for one group, in the form of old and new versions."""
    topics = None if everything else [{"Name": name, "PartitionIndexes": list(partitions)}]
    one = {"GroupId": group, "MemberId": None, "MemberEpoch": -1, "Topics": topics}
    return {"GroupId": group, "Topics": topics, "Groups": [one], "RequireStable": stable}


def talk(broker):
    """Runs the section."""
    broker.create_topic(TOPIC, 2)
    broker.wait_for_coordinator("commits")
    for version in broker.versions("OffsetCommit", 3, 5, 6, 7, 8):
        simple(broker, version)
        in_a_group(broker, version)
    for version in broker.versions("OffsetFetch", 2, 5, 6, 7, 8):
        lookups(broker, version)


def simple(broker, version):
    """Commits without a membership."""
    group = f"commits.simple.{version}"

    def ask(step, body):
        broker.ask(step, "OffsetCommit", version, body)

    ask("first", commit(group, (0, 5, "note"), (1, 6)))
    ask("back", commit(group, (0, 2)))
    broker.ask(f"after commits v{version}", "OffsetFetch", 5, lookup(group))
    ask("null metadata", commit(group, (0, 3, None)))
    broker.ask(f"null metadata of v{version}", "OffsetFetch", 5, lookup(group))
    ask("metadata as long as allowed", commit(group, (0, 3, "m" * 4096)))
    ask("metadata too long, one of two", commit(group, (0, 8, "m" * 4097), (1, 9, "good")))
    broker.ask(f"after long metadata v{version}", "OffsetFetch", 5, lookup(group, (1,)))
    ask("negative offset", commit(f"{group}.negative", (0, -5)))
    broker.ask(f"after a negative offset v{version}", "OffsetFetch", 5, lookup(f"{group}.negative"))
    ask("unknown topic", commit(group, (0, 1), name="commits.unknown"))
    ask("unknown partition", commit(group, (7, 1), (-1, 1), (0, 4)))
    ask("empty group", commit("", (0, 1)))
    ask("no partition", commit(group))
    ask("no topic", {**commit(group), "Topics": []})
    ask("a partition twice", commit(group, (0, 20), (0, 21)))
    ask("unknown group with a generation", commit("commits.nobody", (0, 1), generation=3, member="nobody"))
    ask("unknown group with a member", commit("commits.nobody", (0, 1), member="nobody"))


def in_a_group(broker, version):
    """Commits by members, by former members and from outside."""
    group = f"commits.group.{version}"
    member = Member(broker, group, 5)
    member.join()
    right = {"member": member.id, "generation": member.generation}

    def ask(step, *partitions, **options):
        broker.ask(f"group: {step}", "OffsetCommit", version, commit(group, *partitions, **options))

    ask("before the sync", (0, 1), **right)
    broker.main.ask("SyncGroup", 3, syncing(group, member.id, member.generation, [(member.id, b"mine")]))
    ask("member", (0, 7), **right)
    ask("unknown member", (0, 8), member="nobody", generation=member.generation)
    ask("old generation", (0, 8), member=member.id, generation=member.generation - 1)
    ask("next generation", (0, 8), member=member.id, generation=member.generation + 1)
    ask("from outside", (0, 8))
    ask("member without generation", (0, 8), member=member.id)
    if version >= 7:
        ask("with an instance it is not", (0, 8), instance="static", **right)
    broker.ask(f"of the group, commit v{version}", "OffsetFetch", 5, lookup(group))
    broker.main.ask("LeaveGroup", 3, leaving(group, (member.id, None)))
    ask("former member", (0, 8), **right)
    ask("from outside the empty group", (0, 9))


def lookups(broker, version):
    """OffsetFetch in one version."""
    group = "commits.lookup"
    broker.main.ask("OffsetCommit", 6, commit(group, (0, 11, "note"), (1, 12)))

    def ask(step, body):
        broker.ask(step, "OffsetFetch", version, body)

    ask("known", lookup(group))
    ask("unknown partition", lookup(group, (0, 9)))
    ask("unknown topic", lookup(group, name="commits.unknown"))
    ask("unknown group", lookup("commits.unknown"))
    ask("empty group", lookup(""))
    ask("no partition", lookup(group, ()))
    if version >= 2:
        ask("everything", lookup(group, everything=True))
        ask("everything of an unknown group", lookup("commits.unknown", everything=True))
    if version >= 7:
        ask("stable", lookup(group, stable=True))
    if version >= 8:
        two = lookup(group)["Groups"] + lookup("commits.unknown")["Groups"]
        ask("two groups", {"Groups": two})
        ask("no group", {"Groups": []})
    if version >= 9:
        with_member = [{**lookup(group)["Groups"][0], "MemberId": "nobody", "MemberEpoch": 5}]
        ask("with a member epoch", {"Groups": with_member})
