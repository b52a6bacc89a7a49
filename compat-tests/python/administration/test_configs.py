"""Configs: altered by one client, read back by another."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource as AioResource
from aiokafka.admin.config_resource import ConfigResourceType as AioType
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource
from kafka import admin as python
from libraries import PATIENCE_S, wait_until

SET, DELETE = AlterConfigOpType.SET, AlterConfigOpType.DELETE
APPEND, SUBTRACT = AlterConfigOpType.APPEND, AlterConfigOpType.SUBTRACT


def alter(clients, kind, name, *operations, **options):
    """Alters configs incrementally with confluent-kafka: (operation, key, value) each."""
    entries = [ConfigEntry(key, value, incremental_operation=operation) for operation, key, value in operations]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    clients.confluent.incremental_alter_configs([resource], **options)[resource].result(PATIENCE_S)


def described(clients, kind, name):
    """All configs of a resource, read by confluent-kafka."""
    resource = ConfigResource(kind, name)
    return clients.confluent.describe_configs([resource])[resource].result(PATIENCE_S)


def refused(action):
    """The error that an action of confluent-kafka ends with."""
    with pytest.raises(KafkaException) as error:
        action()
    return error.value.args[0]


def test_all_operations_read_by_another(clients, name):
    clients.create(name, retention_ms="1000")
    alter(clients, "topic", name, (SET, "segment.bytes", "1048576"), (APPEND, "cleanup.policy", "compact"))
    assert clients.topic_configs(name) == {
        "cleanup.policy": "delete,compact",
        "retention.ms": "1000",
        "segment.bytes": "1048576",
    }
    alter(clients, "topic", name, (DELETE, "retention.ms", None), (SUBTRACT, "cleanup.policy", "delete"))
    assert clients.topic_configs(name) == {"cleanup.policy": "compact", "segment.bytes": "1048576"}


def test_altered_by_kafka_python(clients, name):
    clients.create(name)
    resource = python.ConfigResource(python.ConfigResourceType.TOPIC, name, {"retention.ms": "5000"})
    assert clients.python.alter_configs([resource]) == {"topic": {name: "OK"}}
    config = described(clients, "topic", name)["retention.ms"]
    assert (config.value, config.source) == ("5000", ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
    assert not config.is_read_only and not config.is_sensitive and not config.is_default
    reset = python.ConfigResource(python.ConfigResourceType.TOPIC, name, ["retention.ms"])
    assert clients.python.reset_configs([reset]) == {"topic": {name: "OK"}}
    config = described(clients, "topic", name)["retention.ms"]
    assert (config.value, config.source) == ("604800000", ConfigSource.DEFAULT_CONFIG.value)


def test_replaced_as_a_whole(clients, name):
    """AlterConfigs, the older API, takes away what it does not name."""
    clients.create(name, retention_ms="1000", segment_bytes="1048576")
    resource = ConfigResource("topic", name, set_config={"flush.ms": "500"})
    clients.confluent.alter_configs([resource])[resource].result(PATIENCE_S)
    assert clients.topic_configs(name) == {"flush.ms": "500"}


async def test_replaced_by_aiokafka(clients, bootstrap, name):
    clients.create(name, retention_ms="1000")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answers = await admin.alter_configs([AioResource(AioType.TOPIC, name, {"max.message.bytes": "2000"})])
        assert [resource[0] for answer in answers for resource in answer.resources] == [0]
        assert clients.topic_configs(name) == {"max.message.bytes": "2000"}
        alter(clients, "topic", name, (SET, "max.message.bytes", "3000"))
        answers = await admin.describe_configs([AioResource(AioType.TOPIC, name)], include_synonyms=True)
        configs = {entry[0]: entry[1] for answer in answers for entry in answer.resources[0][4]}
        assert configs["max.message.bytes"] == "3000" and configs["min.insync.replicas"] == "1"
    finally:
        await admin.close()


def test_only_validated(clients, name):
    clients.create(name)
    alter(clients, "topic", name, (SET, "retention.ms", "1000"), validate_only=True)
    assert clients.topic_configs(name) == {}


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("no.such.key", "1", "Unknown topic config name: no.such.key"),
        ("retention.ms", "soon", "Invalid value soon for configuration retention.ms: Not a number of type LONG"),
        ("min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"),
        ("compression.type", "rar", "Invalid value rar for configuration compression.type: String must be one of"),
    ],
)
def test_refused_with_the_name_of_what_is_wrong(clients, name, key, value, message):
    clients.create(name)
    error = refused(lambda: alter(clients, "topic", name, (SET, key, value)))
    assert (error.code(), error.str()[: len(message)]) == (KafkaError.INVALID_CONFIG, message)
    assert clients.topic_configs(name) == {}


def test_missing_topic(clients, name):
    assert refused(lambda: described(clients, "topic", name)).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    error = refused(lambda: alter(clients, "topic", name, (SET, "retention.ms", "1")))
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_broker(clients):
    """A broker's own value, and then none. Of these clients none takes the empty name of the cluster-wide default."""
    key = "log.cleaner.backoff.ms"
    broker = python.ConfigResource(python.ConfigResourceType.BROKER, "1")

    def layers():
        config = clients.python.describe_configs([broker], include_synonyms=True, config_filter="all")["broker"]["1"]
        return [(synonym["source"], synonym["value"]) for synonym in config[key]["synonyms"]]

    default = [("DEFAULT_CONFIG", "15000")]
    assert layers() == default
    alter(clients, "broker", "1", (SET, key, "13000"))
    wait_until(lambda: layers() == [("DYNAMIC_BROKER_CONFIG", "13000"), *default])
    assert described(clients, "broker", "1")[key].value == "13000"
    alter(clients, "broker", "1", (DELETE, key, None))
    wait_until(lambda: layers() == default)


def test_read_only_broker_config(clients):
    error = refused(lambda: alter(clients, "broker", "1", (SET, "broker.rack", "a")))
    assert error.code() == KafkaError.INVALID_REQUEST and "broker.rack" in error.str()
    assert described(clients, "broker", "1")["broker.rack"].is_read_only


def test_resources_are_listed(clients, name):
    clients.create(name)
    listed = clients.python.list_config_resources()
    assert name in listed["topic"] and listed["broker"] == ["1"] and listed["broker_logger"] == ["1"]
