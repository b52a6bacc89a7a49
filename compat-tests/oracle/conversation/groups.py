"""JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups, ListGroups, DeleteGroups, OffsetDelete."""

from connection import CLOSED

SESSION_MS = 10_000
METADATA = b"\x00\x01\x00\x00\x00\x01\x00\x0cgroups.topic\xff\xff\xff\xff"


def joining(
    group,
    member="",
    protocols=(("range", METADATA),),
    kind="consumer",
    session=SESSION_MS,
    rebalance=SESSION_MS,
    instance=None,
):
    """A JoinGroup request."""
    return {
        "GroupId": group,
        "SessionTimeoutMs": session,
        "RebalanceTimeoutMs": rebalance,
        "MemberId": member,
        "GroupInstanceId": instance,
        "ProtocolType": kind,
        "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in protocols],
    }


def syncing(group, member, generation, assignments=(), instance=None, kind="consumer", protocol="range"):
    """A SyncGroup request; assignments are (member, bytes)."""
    return {
        "GroupId": group,
        "GenerationId": generation,
        "MemberId": member,
        "GroupInstanceId": instance,
        "ProtocolType": kind,
        "ProtocolName": protocol,
        "Assignments": [{"MemberId": member, "Assignment": content} for member, content in assignments],
    }


def beating(group, member, generation, instance=None):
    """A Heartbeat request."""
    return {"GroupId": group, "GenerationId": generation, "MemberId": member, "GroupInstanceId": instance}


def leaving(group, *members):
    """A LeaveGroup request; members are (member id, instance id)."""
    listed = [{"MemberId": member, "GroupInstanceId": instance} for member, instance in members]
    return {"GroupId": group, "MemberId": members[0][0] if members else "", "Members": listed}


class Member:
    """A member with a connection of its own, whose requests may wait for the others."""

    def __init__(self, broker, group, version, instance=None, **options):
        self.broker, self.group, self.version, self.instance = broker, group, version, instance
        self.options = options
        self.connection = broker.connect()
        self.id = ""
        self.generation = -1
        self.answer = None

    def start_join(self):
        """Sends JoinGroup; a member id that is required first is asked for first."""
        if self.version >= 4 and not self.id and self.instance is None:
            self.id = self.ask_join()["MemberId"]
        self.connection.send("JoinGroup", self.version, self.join_body())

    def join_body(self):
        """The JoinGroup request of this member."""
        return joining(self.group, self.id, instance=self.instance, **self.options)

    def ask_join(self):
        """Sends JoinGroup and waits."""
        return self.connection.ask("JoinGroup", self.version, self.join_body())

    def finish_join(self):
        """Receives the answer to JoinGroup."""
        self.answer = self.connection.receive()
        assert self.answer != CLOSED
        self.id, self.generation = self.answer["MemberId"], self.answer["GenerationId"]
        return self.answer

    def join(self):
        """Joins alone."""
        self.start_join()
        return self.finish_join()

    def sync_body(self, *assignments):
        """The SyncGroup request of this member."""
        return syncing(self.group, self.id, self.generation, assignments, self.instance)

    def beat(self):
        """A heartbeat's answer."""
        body = beating(self.group, self.id, self.generation, self.instance)
        return self.connection.ask("Heartbeat", min(self.version, 4 if self.version > 5 else 3), body)


def talk(broker):
    """Runs the section."""
    broker.wait_for_coordinator("groups")
    broker.create_topic("groups.topic", 2)
    for version in broker.versions("JoinGroup", 1, 2, 3, 4, 5, 7):
        one_member(broker, version)
    for version in (2, 5, 9):
        two_members(broker, version)
    refused_joins(broker)
    refused_others(broker)
    static_members(broker)
    protocols(broker)
    administration(broker)


def at_most(broker, api, version):
    """A version of another API of about the same age as JoinGroup's version."""
    first, last = broker.ranges[api]
    return max(first, min(last, version * last // 9))


def one_member(broker, version):
    """The life of a group of one in one version."""
    group = f"groups.one.{version}"
    member = Member(broker, group, version)
    if version >= 4:
        broker.note(f"id required, v{version}", answer := member.ask_join())
        member.id = answer["MemberId"]
    member.start_join()
    broker.note(f"joined, v{version}", member.finish_join())
    sync, beat, leave = (at_most(broker, api, version) for api in ("SyncGroup", "Heartbeat", "LeaveGroup"))
    broker.ask(
        f"heartbeat before sync, join v{version}", "Heartbeat", beat, beating(group, member.id, member.generation)
    )
    broker.ask(f"synced, join v{version}", "SyncGroup", sync, member.sync_body((member.id, b"mine")))
    broker.ask(f"synced again, join v{version}", "SyncGroup", sync, member.sync_body())
    broker.ask(f"heartbeat, join v{version}", "Heartbeat", beat, beating(group, member.id, member.generation))
    broker.ask(
        f"described, join v{version}", "DescribeGroups", at_most(broker, "DescribeGroups", version), {"Groups": [group]}
    )
    broker.note(f"joined again, v{version}", member.join())
    broker.ask(f"left, join v{version}", "LeaveGroup", leave, leaving(group, (member.id, None)))
    broker.ask(f"left again, join v{version}", "LeaveGroup", leave, leaving(group, (member.id, None)))
    broker.ask(
        f"heartbeat after leaving, join v{version}", "Heartbeat", beat, beating(group, member.id, member.generation)
    )


def two_members(broker, version):
    """A second member joins and leaves: the rebalance as both see it."""
    group = f"groups.two.{version}"
    first, second = Member(broker, group, version), Member(broker, group, version)
    first.join()
    broker.ask(f"alone, join v{version}", "SyncGroup", 3, first.sync_body((first.id, b"all")), on=first.connection)
    second.start_join()
    wait_for_rebalance(broker, first)
    broker.note(f"told of the rebalance, v{version}", first.beat())
    first.start_join()
    leader, follower = first.finish_join(), second.finish_join()
    broker.note(f"the leader's answer, v{version}", leader)
    broker.note(f"the follower's answer, v{version}", follower)
    sync = at_most(broker, "SyncGroup", version)
    second.connection.send("SyncGroup", sync, second.sync_body())
    broker.note(f"follower's heartbeat while syncing, v{version}", first.beat())
    shares = ((first.id, b"left half"), (second.id, b"right half"), ("nobody", b"lost"))
    broker.ask(f"leader syncs, join v{version}", "SyncGroup", sync, first.sync_body(*shares), on=first.connection)
    broker.note(f"follower's share, v{version}", second.connection.receive())
    broker.note(f"stable, v{version}", second.beat())
    stale = syncing(group, second.id, second.generation - 1)
    broker.ask(f"stale sync, join v{version}", "SyncGroup", sync, stale)
    broker.ask(f"follower leaves, join v{version}", "LeaveGroup", 1, leaving(group, (second.id, None)))
    broker.note(f"told of the leaving, v{version}", first.beat())
    broker.note(f"alone again, v{version}", first.join())
    broker.ask(f"stale heartbeat, join v{version}", "Heartbeat", 3, beating(group, first.id, first.generation - 1))
    broker.main.ask("LeaveGroup", 1, leaving(group, (first.id, None)))


def wait_for_rebalance(broker, member):
    """Waits until the group has noticed that another member wants to join."""
    for _ in range(500):
        state = broker.main.ask("DescribeGroups", 0, {"Groups": [member.group]})["Groups"][0]["GroupState"]
        if state == "PreparingRebalance":
            return
    raise AssertionError("no rebalance began")


def refused_joins(broker):
    """Each reason to refuse a JoinGroup."""
    group = "groups.refused"
    for version in (0, 4, 6, 9):

        def ask(step, **changes):
            broker.ask_alone(step, "JoinGroup", version, {**joining(group), **changes})

        ask("empty group", GroupId="")
        ask("session of 1 ms", SessionTimeoutMs=1)
        ask("session of a day", SessionTimeoutMs=86_400_000)
        ask("negative session", SessionTimeoutMs=-1)
        ask("no protocols", Protocols=[])
        ask("empty protocol type", ProtocolType="")
        ask("unknown member", MemberId="nobody")
        ask(
            "protocol with an empty name",
            Protocols=[{"Name": "", "Metadata": b""}],
            GroupId=f"groups.unnamed.{version}",
        )
        if version >= 5:
            ask("unknown static member", MemberId="nobody", GroupInstanceId="static")
            # Kafka takes them, so that the next to join waits for these members, who are gone, until their time is over.
            ask("bad instance id", GroupInstanceId="not/valid", RebalanceTimeoutMs=1000)
            ask("empty instance id", GroupInstanceId="", RebalanceTimeoutMs=1000)


def refused_others(broker):
    """Requests for groups and members that are not there."""
    for version in broker.versions("SyncGroup", 3):
        broker.ask("unknown group", "SyncGroup", version, syncing("groups.unknown", "nobody", 1))
        broker.ask("empty group", "SyncGroup", version, syncing("", "nobody", 1))
    for version in broker.versions("Heartbeat", 3):
        broker.ask("unknown group", "Heartbeat", version, beating("groups.unknown", "nobody", 1))
        broker.ask("empty group", "Heartbeat", version, beating("", "nobody", 1))
        broker.ask("empty member", "Heartbeat", version, beating("groups.unknown", "", 1))
    for version in broker.versions("LeaveGroup", 2, 3):
        broker.ask("unknown group", "LeaveGroup", version, leaving("groups.unknown", ("nobody", None)))
        broker.ask("empty group", "LeaveGroup", version, leaving("", ("nobody", None)))
        if version >= 3:
            broker.ask("no members", "LeaveGroup", version, leaving("groups.unknown"))
    group = "groups.members"
    member = Member(broker, group, 5)
    member.join()
    for version in broker.versions("SyncGroup", 3):
        broker.ask("unknown member", "SyncGroup", version, syncing(group, "nobody", member.generation))
        broker.ask("wrong generation", "SyncGroup", version, syncing(group, member.id, 99))
        if version >= 5:
            broker.ask("other type", "SyncGroup", version, syncing(group, member.id, member.generation, kind="connect"))
            broker.ask(
                "other protocol", "SyncGroup", version, syncing(group, member.id, member.generation, protocol="x")
            )
            broker.ask("null type", "SyncGroup", version, syncing(group, member.id, member.generation, kind=None))
    broker.ask("unknown member", "Heartbeat", 4, beating(group, "nobody", member.generation))
    broker.ask("wrong generation", "Heartbeat", 4, beating(group, member.id, 99))
    broker.ask("a member without instance", "Heartbeat", 4, beating(group, member.id, member.generation, "static"))
    several = leaving(group, ("nobody", None), (member.id, None), (member.id, "static"), ("", None))
    broker.ask("several members", "LeaveGroup", 5, several)


def static_members(broker):
    """Static members: they return, are replaced and fenced."""
    for version in (5, 9):
        group = f"groups.static.{version}"
        first = Member(broker, group, version, instance="one")
        broker.note(f"static joins, v{version}", first.join())
        broker.ask(f"static syncs, join v{version}", "SyncGroup", 3, first.sync_body((first.id, b"mine")))
        again = Member(broker, group, version, instance="one")
        broker.note(f"static returns, v{version}", again.join())
        broker.note(f"its older self beats, v{version}", first.beat())
        broker.note(f"its older self joins, v{version}", first.ask_join())
        broker.ask(f"its older self syncs, join v{version}", "SyncGroup", 3, first.sync_body())
        broker.ask(f"returned syncs, join v{version}", "SyncGroup", 3, again.sync_body())
        broker.note(f"returned beats, v{version}", again.beat())
        broker.ask(f"described, join v{version}", "DescribeGroups", 4, {"Groups": [group]})
        broker.ask(f"older self leaves, join v{version}", "LeaveGroup", 3, leaving(group, (first.id, "one")))
        broker.ask(f"unknown instance leaves, join v{version}", "LeaveGroup", 3, leaving(group, ("", "two")))
        broker.ask(f"leaves by instance alone, join v{version}", "LeaveGroup", 3, leaving(group, ("", "one")))


def protocols(broker):
    """Members choose a protocol that all of them know."""
    group = "groups.protocols"
    known = (("a", b"1"), ("b", b"2"))
    first = Member(broker, group, 5, protocols=known, kind="other")
    first.join()
    for step, options in {
        "other type": {"kind": "consumer", "protocols": known},
        "no common protocol": {"kind": "other", "protocols": (("c", b""),)},
    }.items():
        stranger = Member(broker, group, 2, **options)
        broker.note(f"protocols: {step}", stranger.ask_join())
    second = Member(broker, group, 5, protocols=(("b", b"3"), ("c", b"4")), kind="other")
    second.start_join()
    wait_for_rebalance(broker, first)
    first.start_join()
    broker.note("protocols: leader", first.finish_join())
    broker.note("protocols: follower", second.finish_join())
    broker.main.ask("LeaveGroup", 3, leaving(group, (first.id, None), (second.id, None)))


def administration(broker):
    """What administrators ask about groups."""
    group = "groups.admin"
    member = Member(broker, group, 5)
    member.join()
    broker.main.ask("SyncGroup", 3, member.sync_body((member.id, b"mine")))
    commit = {"PartitionIndex": 0, "CommittedOffset": 3, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}
    commit = {
        "GroupId": group,
        "GenerationIdOrMemberEpoch": member.generation,
        "MemberId": member.id,
        "Topics": [{"Name": "groups.topic", "Partitions": [commit]}],
    }
    broker.main.ask("OffsetCommit", 6, commit)
    for version in broker.versions("DescribeGroups", 3, 4, 5):
        broker.ask("groups", "DescribeGroups", version, {"Groups": [group, "groups.unknown", "", group]})
        broker.ask("no groups", "DescribeGroups", version, {"Groups": []})
        if version >= 3:
            broker.ask(
                "operations", "DescribeGroups", version, {"Groups": [group], "IncludeAuthorizedOperations": True}
            )
    for version in broker.versions("ListGroups", 3, 4):
        listed = broker.main.ask("ListGroups", version, {})
        mine = [one for one in listed["Groups"] if one["GroupId"] == group]
        broker.note(f"listed, v{version}", {**listed, "Groups": mine})
        if version >= 4:
            for states in (["Stable"], ["Empty"], ["stable"], ["Nonsense"], ["Dead"]):
                listed = broker.main.ask("ListGroups", version, {"StatesFilter": states})
                found = [one["GroupId"] == group for one in listed["Groups"]]
                broker.note(f"listed in {states}, v{version}", [listed["ErrorCode"], any(found)])
        if version >= 5:
            for types in (["classic"], ["Classic"], ["consumer"], ["Nonsense"]):
                listed = broker.main.ask("ListGroups", version, {"TypesFilter": types})
                found = [one["GroupId"] == group for one in listed["Groups"]]
                broker.note(f"listed as {types}, v{version}", [listed["ErrorCode"], any(found)])
    deletions(broker, group, member)


def deletions(broker, group, member):
    """OffsetDelete and DeleteGroups, while the group has a member and after it."""
    topics = [{"Name": "groups.topic", "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 9}]}]
    topics.append({"Name": "groups.unknown", "Partitions": [{"PartitionIndex": 0}]})

    def delete_offsets(step, name):
        broker.ask(step, "OffsetDelete", 0, {"GroupId": name, "Topics": topics})

    delete_offsets("subscribed", group)
    delete_offsets("unknown group", "groups.unknown")
    delete_offsets("empty group", "")
    for version in broker.versions("DeleteGroups", 1):
        names = [group, "groups.unknown", ""]
        broker.ask("with a member", "DeleteGroups", version, {"GroupsNames": names})
        broker.ask("none", "DeleteGroups", version, {"GroupsNames": []})
    broker.main.ask("LeaveGroup", 3, leaving(group, (member.id, None)))
    broker.ask("empty group described", "DescribeGroups", 5, {"Groups": [group]})
    delete_offsets("without members", group)
    delete_offsets("without members again", group)
    broker.ask("without members", "DeleteGroups", 2, {"GroupsNames": [group, group]})
    broker.ask("deleted", "DeleteGroups", 2, {"GroupsNames": [group]})
    broker.ask("deleted group described", "DescribeGroups", 5, {"Groups": [group]})
