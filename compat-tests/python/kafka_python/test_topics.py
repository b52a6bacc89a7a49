"""Topics: create, list, describe, grow, delete, create by use."""

import pytest
from clients import VERSION, wait_until
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import (
    InvalidPartitionsError,
    InvalidTopicError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)


def test_create_list_describe_delete(clients, name):
    clients.create(name, partitions=3)
    admin = clients.admin()
    assert name in admin.list_topics()
    described = admin.describe_topics([name])[0]
    name_key = "name" if "name" in described else "topic"
    assert described[name_key] == name and described["error_code"] == 0
    assert len(described["partitions"]) == 3
    admin.delete_topics([name])
    wait_until(lambda: name not in admin.list_topics(), admin.list_topics)


def test_create_twice(clients, name):
    clients.create(name)
    with pytest.raises(TopicAlreadyExistsError):
        clients.create(name)


@pytest.mark.parametrize("bad", ["a/b", "..", "x" * 250], ids=["slash", "dots", "250 letters"])
def test_invalid_topic_name(clients, bad):
    with pytest.raises(InvalidTopicError):
        clients.admin().create_topics([NewTopic(bad, 1, 1)])


def test_delete_unknown_topic(clients, name):
    with pytest.raises(UnknownTopicOrPartitionError):
        clients.admin().delete_topics([name])


def test_create_partitions(clients, name):
    clients.create(name, partitions=2)
    admin = clients.admin()
    admin.create_partitions({name: NewPartitions(5)})
    consumer = clients.consumer()
    wait_until(lambda: clients.consumer().partitions_for_topic(name) == set(range(5)), consumer.topics)
    with pytest.raises(InvalidPartitionsError):
        admin.create_partitions({name: NewPartitions(4)})


def test_auto_creation_by_producer(clients, name):
    assert clients.producer().send(name, b"first").get(20).offset == 0
    assert name in clients.admin().list_topics()


def test_no_auto_creation_by_lookup(clients, name):
    """Listing topics and looking one up among them creates nothing."""
    assert name not in clients.consumer().topics()
    assert name not in clients.admin().list_topics()


def test_describe_cluster(clients):
    cluster = clients.admin().describe_cluster()
    assert len(cluster["brokers"]) == 1 and cluster["cluster_id"]
    assert cluster["brokers"][0]["broker_id" if VERSION >= (3,) else "node_id"] == cluster["controller_id"]
