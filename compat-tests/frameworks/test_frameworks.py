"""Frameworks that administer the cluster they run on: each is a small program that does what its users see."""

import os
import subprocess
import time

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from programs import PATIENCE_S, config, consume, create, java, produce, run
from quixstreams import Application

from harness.broker import broker_class


def test_quixstreams(bootstrap, name, tmp_path):
    """A stateful application: it looks at its topics' configs, and creates a changelog with those of its own."""
    produce(bootstrap, name, ["1", "2", "3"])
    app = Application(
        broker_address=bootstrap,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir=tmp_path,
        loglevel="ERROR",
    )

    def total(value, state):
        state.set("total", state.get("total", 0) + int(value))
        return state.get("total")

    frame = app.dataframe(app.topic(name, value_deserializer="str"))
    frame.apply(total, stateful=True).to_topic(app.topic(f"{name}-totals", value_serializer="int"))
    app.run(count=3, timeout=PATIENCE_S)
    assert consume(bootstrap, f"{name}-totals", 3)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    changelogs = [topic for topic in admin.list_topics().topics if topic.startswith("changelog__")]
    assert changelogs and all(config(admin, topic, "cleanup.policy") == "compact" for topic in changelogs)


def test_streams_purges_its_repartition_topic(bootstrap, name):
    assert run("klamm.PurgedRepartition", bootstrap, name) == "purged"


def test_spring_modifies_topics(bootstrap, name):
    assert run("klamm.SpringTopics", bootstrap, name) == "modified"


@pytest.fixture
def target():
    """A second broker, for what is mirrored."""
    with broker_class(os.environ["AGAINST"])() as started:
        yield started


def test_mirror_maker(bootstrap, target, name, tmp_path):
    """MirrorMaker 2 with its defaults, but for what one broker cannot hold; records and changed configs arrive."""
    source = create(bootstrap, name, retention_ms="1000000")
    produce(bootstrap, name, ["a", "b", "c"])
    properties = {
        "clusters": "here, there",
        "here.bootstrap.servers": bootstrap,
        "there.bootstrap.servers": target.bootstrap,
        "here->there.enabled": "true",
        "here->there.topics": f"{name}.*",
        "there->here.enabled": "false",
        "replication.factor": "1",
        "checkpoints.topic.replication.factor": "1",
        "heartbeats.topic.replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "offset.storage.replication.factor": "1",
        "status.storage.replication.factor": "1",
        "config.storage.replication.factor": "1",
        # The default is ten minutes.
        "sync.topic.configs.interval.seconds": "1",
    }
    file, log = tmp_path / "mirror.properties", tmp_path / "mirror.log"
    file.write_text("".join(f"{key} = {value}\n" for key, value in properties.items()))
    with log.open("w") as output:
        command = java("org.apache.kafka.connect.mirror.MirrorMaker", str(file))
        mirror = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path)
    try:
        mirrored = f"here.{name}"
        assert sorted(consume(target.bootstrap, mirrored, 3)) == ["a", "b", "c"], log.read_text()[-4000:]
        there = AdminClient({"bootstrap.servers": target.bootstrap})
        assert config(there, mirrored, "retention.ms") == "1000000"
        entry = ConfigEntry("retention.ms", "2000000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource("topic", name, incremental_configs=[entry])
        source.incremental_alter_configs([resource])[resource].result(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while config(there, mirrored, "retention.ms") != "2000000":
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.1)
    finally:
        mirror.kill()
        mirror.wait()
    assert "UnsupportedVersionException" not in log.read_text()
