"""Consumer groups: sharing, rebalancing, static members, commits, and what an administrator sees of them."""

import pytest
from clients import (
    PATIENCE_S,
    VERSION,
    Member,
    delete_group,
    describe_group,
    group_offsets,
    list_groups,
    read,
    values,
    wait_until,
)
from kafka import TopicPartition


def shared(members, partitions):
    """Whether every partition has exactly one of the members, and every member has one."""
    owned = sorted(partition for member in members for partition in member.partitions)
    return owned == list(range(partitions)) and all(member.partitions for member in members)


def wait_for_sharing(members, partitions):
    """Waits until the members share all partitions."""
    wait_until(lambda: shared(members, partitions), lambda: [member.partitions for member in members])


def test_members_share_and_rebalance(clients, name):
    clients.create(name, partitions=4)
    first = Member(clients, name, name)
    wait_for_sharing([first], 4)
    second, third = Member(clients, name, name), Member(clients, name, name)
    wait_for_sharing([first, second, third], 4)
    second.leave()
    wait_for_sharing([first, third], 4)
    clients.fill(name, [str(number) for number in range(40)])
    wait_until(lambda: len(first.records) + len(third.records) == 40, lambda: (first.records, third.records))
    first.leave()
    third.leave()


@pytest.mark.skipif(VERSION < (3,), reason="this version has no cooperative assignor")
def test_cooperative_rebalance(clients, name):
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

    clients.create(name, partitions=4)
    options = {"partition_assignment_strategy": [CooperativeStickyAssignor]}
    first = Member(clients, name, name, **options)
    wait_for_sharing([first], 4)
    second = Member(clients, name, name, **options)
    wait_for_sharing([first, second], 4)
    second.leave()
    wait_for_sharing([first], 4)
    first.leave()


@pytest.mark.skipif(VERSION < (2, 3), reason="this version has no static members")
def test_static_member_returns(clients, name):
    """A static member that comes back within its session gets its partitions without a rebalance of the others."""
    clients.create(name, partitions=2)
    first = Member(clients, name, name, group_instance_id="one")
    second = Member(clients, name, name, group_instance_id="two")
    wait_for_sharing([first, second], 2)
    had = set(second.partitions)
    second.leave()
    again = Member(clients, name, name, group_instance_id="two")
    wait_for_sharing([first, again], 2)
    assert again.partitions == had
    first.leave()
    again.leave()


def test_commit_sync_and_async(clients, name):
    clients.create(name)
    clients.fill(name, [str(number) for number in range(10)])
    partition = TopicPartition(name, 0)
    consumer = clients.consumer(name, group_id=name, max_poll_records=5)
    assert consumer.committed(partition) is None
    read(consumer, 5)
    consumer.commit()
    assert consumer.committed(partition) == 5
    read(consumer, 5)
    committed = []
    consumer.commit_async(callback=lambda offsets, outcome: committed.append((offsets, outcome)))
    wait_until(lambda: consumer.poll(timeout_ms=20) is not None and committed, lambda: "no commit")
    assert not isinstance(committed[0][1], Exception)
    consumer.close()
    assert clients.consumer(group_id=name).committed(partition) == 10


def test_continues_at_committed_offset(clients, name):
    clients.create(name)
    clients.fill(name, ["a", "b"])
    consumer = clients.consumer(name, group_id=name)
    read(consumer, 2)
    consumer.commit()
    consumer.close()
    clients.fill(name, ["c"])
    assert values(read(clients.consumer(name, group_id=name), 1)) == ["c"]


def test_auto_commit(clients, name):
    clients.create(name)
    clients.fill(name, ["a", "b"])
    consumer = clients.consumer(name, group_id=name, enable_auto_commit=True, auto_commit_interval_ms=100)
    read(consumer, 2)
    consumer.close()
    assert clients.consumer(group_id=name).committed(TopicPartition(name, 0)) == 2


def test_independent_groups(clients, name):
    clients.create(name)
    clients.fill(name, ["a", "b"])
    for group in ("one", "two"):
        assert values(read(clients.consumer(name, group_id=f"{name}-{group}"), 2)) == ["a", "b"]


def test_subscribe_by_pattern(clients, name):
    # 3.0 loses a rejoin that outlasts the poll() that began it, with Apache Kafka as well: one long poll for each record.
    poll_ms = PATIENCE_S * 1000
    clients.create(f"{name}-1")
    clients.fill(f"{name}-1", ["a"])
    consumer = clients.consumer(group_id=name, metadata_max_age_ms=500)
    consumer.subscribe(pattern=f"^{name}-.*")
    read(consumer, 1, poll_ms)
    consumer.commit()
    clients.create(f"{name}-2")
    clients.fill(f"{name}-2", ["b"])
    assert values(read(consumer, 1, poll_ms)) == ["b"]


def test_list_describe_delete_group(clients, name):
    clients.create(name)
    clients.fill(name, ["a"])
    member = Member(clients, name, name)
    wait_for_sharing([member], 1)
    wait_until(lambda: member.records, lambda: "no record")
    admin = clients.admin()
    assert name in list_groups(admin)
    assert describe_group(admin, name) == ("Stable", "consumer", 1)
    assert delete_group(admin, name) == "NonEmptyGroupError"
    member.leave()
    assert describe_group(admin, name) == ("Empty", "consumer", 0)
    assert delete_group(admin, name) is None
    assert name not in list_groups(admin)
    assert delete_group(admin, name) == "GroupIdNotFoundError"


def test_group_offsets_by_admin(clients, name):
    clients.create(name, partitions=2)
    partitions = [TopicPartition(name, number) for number in range(2)]
    consumer = clients.consumer(group_id=name)
    consumer.assign(partitions)
    producer = clients.producer()
    for number in range(6):
        producer.send(name, b"x", partition=number % 2).get(PATIENCE_S)
    read(consumer, 6)
    consumer.commit()
    assert group_offsets(clients.admin(), name) == {partition: 3 for partition in partitions}


@pytest.mark.skipif(VERSION < (3,), reason="this version cannot alter or delete offsets")
def test_alter_and_delete_offsets(clients, name):
    from kafka.structs import OffsetAndMetadata

    clients.create(name, partitions=2)
    clients.fill(name, [str(number) for number in range(20)])
    one, two = TopicPartition(name, 0), TopicPartition(name, 1)
    admin = clients.admin()
    admin.alter_group_offsets(name, {one: OffsetAndMetadata(3, "by hand", -1), two: OffsetAndMetadata(4, "", -1)})
    assert group_offsets(admin, name) == {one: 3, two: 4}
    deleted = admin.delete_group_offsets(name, [two])
    assert deleted[two].__name__ == "NoError"
    assert group_offsets(admin, name) == {one: 3}
