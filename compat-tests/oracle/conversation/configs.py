"""Configurations of every kind of resource: described, listed, altered in both ways, and refused."""

from connection import PATIENCE_S
from talk import UNANSWERED_S

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def talk(broker):
    """Runs the section."""
    broker.create_topic("configs.t", 1, retention_ms="1000", cleanup_policy="compact")
    broker.settle()
    describing(broker)
    described_keys(broker)
    listing(broker)
    incrementally(broker)
    wholly(broker)
    brokers(broker)
    others(broker)


def describe(broker, step, version, *resources, **options):
    """Asks for configurations: resources are (type, name, keys). Of documentation it matters whether it is there."""
    body = {
        "Resources": [
            {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys} for kind, name, keys in resources
        ],
        "IncludeSynonyms": False,
        "IncludeDocumentation": False,
        **options,
    }
    answer = broker.main.ask("DescribeConfigs", version, body)
    for result in answer["Results"] if isinstance(answer, dict) else []:
        for config in result["Configs"]:
            if config.get("Documentation"):
                config["Documentation"] = "some"
    return broker.note(f"{step}, DescribeConfigs v{version}", answer)


def describing(broker):
    """DescribeConfigs of chosen keys, in every version."""
    node = str(broker.node)
    cases = {
        "a topic": [(TOPIC, "configs.t", ["retention.ms", "cleanup.policy", "segment.bytes"])],
        "no keys of a group": [(GROUP, "configs.g", [])],
        "an unknown key of a topic": [(TOPIC, "configs.t", ["no.such.key", "retention.ms"])],
        "a key twice": [(TOPIC, "configs.t", ["retention.ms", "retention.ms"])],
        "an unknown topic": [(TOPIC, "configs.unknown", None)],
        "an invalid name": [(TOPIC, "a/b", None)],
        "a topic without a name": [(TOPIC, "", None)],
        "the same topic twice": [(TOPIC, "configs.t", ["retention.ms"]), (TOPIC, "configs.t", ["segment.bytes"])],
        "a broker": [(BROKER, node, ["message.max.bytes", "log.retention.ms", "auto.create.topics.enable"])],
        "an unknown key of a broker": [(BROKER, node, ["no.such.key", "message.max.bytes"])],
        "a password of a broker": [(BROKER, node, ["ssl.keystore.password"])],
        "the default broker": [(BROKER, "", ["message.max.bytes"])],
        "another broker": [(BROKER, "777", None)],
        "a broker whose name is no number": [(BROKER, "one", None)],
        "an unknown key of a logger": [(LOGGER, node, ["no.such.logger"])],
        "another broker's loggers": [(LOGGER, "777", None)],
        "nobody's loggers": [(LOGGER, "", None)],
        "a logger's broker that is no number": [(LOGGER, "one", None)],
        "a group": [(GROUP, "configs.g", None)],
        "a key of a group": [(GROUP, "configs.g", ["consumer.session.timeout.ms"])],
        "a group without a name": [(GROUP, "", None)],
        "client metrics": [(METRICS, "configs.m", None)],
        "client metrics without a name": [(METRICS, "", None)],
        "an unknown type": [(7, "configs.t", None)],
        "no type": [(0, "configs.t", None)],
        "a negative type": [(-1, "configs.t", None)],
        "nothing": [],
        "one good, one unknown": [(TOPIC, "configs.t", ["retention.ms"]), (TOPIC, "configs.unknown", None)],
    }
    for version in broker.versions("DescribeConfigs", 2, 3):
        for step, resources in cases.items():
            options = {"IncludeSynonyms": True, "IncludeDocumentation": True}
            describe(broker, f"{step} with all about it", version, *resources, **options)
        describe(broker, "a topic alone", version, *cases["a topic"])


def described_keys(broker):
    """Every key of a topic and of the broker, each a step of its own."""
    for kind, name in ((TOPIC, "configs.t"), (BROKER, str(broker.node)), (BROKER, ""), (GROUP, "configs.g")):
        resource = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": None}
        body = {"Resources": [resource], "IncludeSynonyms": True, "IncludeDocumentation": True}
        answer = broker.main.ask("DescribeConfigs", 4, body)
        if not isinstance(answer, dict):
            broker.note(f"every key of {kind} {name}", answer)
            continue
        for config in answer["Results"][0]["Configs"]:
            config["Documentation"] = "some" if config["Documentation"] else "none"
            broker.note(f"key {config['Name']} of {kind} {'the node' if name.isdigit() else name}", config)


def listing(broker):
    """ListConfigResources."""
    broker.ask("resources", "ListConfigResources", 0, {})
    for step, kinds in {
        "every": [],
        "topics": [TOPIC],
        "brokers and loggers": [BROKER, LOGGER],
        "client metrics and groups": [METRICS, GROUP],
        "the same twice": [METRICS, METRICS],
        "an unknown type": [77],
        "no type": [0],
        "a topic and an unknown type": [TOPIC, 77],
    }.items():
        answer = broker.main.ask("ListConfigResources", 1, {"ResourceTypes": kinds})
        if isinstance(answer, dict):
            # The topics of the other sections are their business.
            resources = answer["ConfigResources"]
            wanted = [
                one for one in resources if one["ResourceType"] != TOPIC or one["ResourceName"].startswith("configs.")
            ]
            for one in wanted:
                if one["ResourceName"] == str(broker.node):
                    one["ResourceName"] = "the node"
            answer["ConfigResources"] = sorted(wanted, key=lambda one: (one["ResourceType"], one["ResourceName"]))
        broker.note(f"resources of {step}, ListConfigResources v1", answer)


def change(operation, key, value=None):
    """One operation of an incremental change."""
    return {"Name": key, "ConfigOperation": operation, "Value": value}


def alter(broker, step, version, *resources, **options):
    """IncrementalAlterConfigs: resources are (type, name, changes)."""
    wanted = [{"ResourceType": kind, "ResourceName": name, "Configs": configs} for kind, name, configs in resources]
    body = {"Resources": wanted, "ValidateOnly": False, **options}
    broker.ask(f"altered, {step}", "IncrementalAlterConfigs", version, body)


def incrementally(broker):
    """IncrementalAlterConfigs of topics."""
    keys = ["retention.ms", "cleanup.policy", "max.message.bytes"]
    for version in broker.versions("IncrementalAlterConfigs"):
        name = f"configs.i{version}"
        broker.create_topic(name, 1)

        def topic(step, *changes, version=version, name=name, **options):
            alter(broker, step, version, (TOPIC, name, list(changes)), **options)

        def look(step, version=version, name=name):
            broker.settle()
            describe(broker, f"after {step} of {version}", 4, (TOPIC, name, keys))

        topic("only validated", change(SET, "retention.ms", "5000"), ValidateOnly=True)
        look("validating")
        topic("set", change(SET, "retention.ms", "5000"), change(SET, "max.message.bytes", "2000"))
        topic("appended", change(APPEND, "cleanup.policy", "compact"))
        look("setting")
        topic("appended again", change(APPEND, "cleanup.policy", "compact"))
        topic("subtracted", change(SUBTRACT, "cleanup.policy", "delete"))
        topic("subtracted what is not there", change(SUBTRACT, "cleanup.policy", "delete"))
        look("subtracting")
        topic("deleted", change(DELETE, "retention.ms"), change(DELETE, "segment.ms"))
        look("deleting")
        bad = {
            "an unknown key": [change(SET, "no.such.key", "1")],
            "an unknown key deleted": [change(DELETE, "no.such.key")],
            "a wrong value": [change(SET, "retention.ms", "soon")],
            "out of bounds": [change(SET, "segment.bytes", "1")],
            "an unknown choice": [change(SET, "cleanup.policy", "burn")],
            "an unknown choice appended": [change(APPEND, "cleanup.policy", "burn")],
            "no value": [change(SET, "retention.ms")],
            "an empty value": [change(SET, "retention.ms", "")],
            "appended to a number": [change(APPEND, "retention.ms", "1")],
            "subtracted from a number": [change(SUBTRACT, "retention.ms", "1")],
            "appended nothing": [change(APPEND, "cleanup.policy")],
            "an unknown operation": [change(9, "retention.ms", "1")],
            "the same key twice": [change(SET, "retention.ms", "1"), change(SET, "retention.ms", "2")],
            "a key set and deleted": [change(SET, "retention.ms", "1"), change(DELETE, "retention.ms")],
            "a key without a name": [change(SET, "", "1")],
            "a good and a bad one": [change(SET, "retention.ms", "77"), change(SET, "segment.bytes", "1")],
            "nothing": [],
        }
        for step, changes in bad.items():
            topic(step, *changes)
        look("what was refused")
        good = [change(SET, "retention.ms", "1")]
        alter(broker, "no resource", version)
        alter(broker, "an unknown topic", version, (TOPIC, "configs.unknown", good))
        alter(broker, "an invalid name", version, (TOPIC, "a/b", good))
        alter(broker, "a topic without a name", version, (TOPIC, "", good))
        alter(broker, "an unknown type", version, (7, name, good))
        alter(broker, "no type", version, (0, name, good))
        alter(broker, "the same topic twice", version, (TOPIC, name, good), (TOPIC, name, good))
        alter(broker, "one topic good, one unknown", version, (TOPIC, name, good), (TOPIC, "configs.unknown", good))
        look("half of it was refused")


def wholly(broker):
    """AlterConfigs, which replaces everything that a resource has."""
    keys = ["retention.ms", "cleanup.policy", "max.message.bytes"]
    for version in broker.versions("AlterConfigs", 1):
        name = f"configs.w{version}"
        broker.create_topic(name, 1, retention_ms="1000", max_message_bytes="3000")

        def replace(step, *resources, version=version, patience=PATIENCE_S, **options):
            wanted = [
                {
                    "ResourceType": kind,
                    "ResourceName": resource,
                    "Configs": [{"Name": key, "Value": value} for key, value in configs],
                }
                for kind, resource, configs in resources
            ]
            body = {"Resources": wanted, "ValidateOnly": False, **options}
            broker.ask(f"replaced, {step}", "AlterConfigs", version, body, patience=patience)

        def look(step, version=version, name=name):
            broker.settle()
            describe(broker, f"after {step} replaced of {version}", 4, (TOPIC, name, keys))

        replace("only validated", (TOPIC, name, [("retention.ms", "5")]), ValidateOnly=True)
        replace("one key", (TOPIC, name, [("retention.ms", "5000")]))
        look("one key")
        replace("an unknown key", (TOPIC, name, [("no.such.key", "1")]))
        replace("a wrong value", (TOPIC, name, [("retention.ms", "soon")]))
        replace("no value", (TOPIC, name, [("retention.ms", None)]))
        replace("the same key twice", (TOPIC, name, [("retention.ms", "1"), ("retention.ms", "2")]))
        twice = (TOPIC, name, []), (TOPIC, name, [("retention.ms", "9")])
        replace("the same topic twice", *twice, patience=UNANSWERED_S)
        replace("an unknown topic", (TOPIC, "configs.unknown", [("retention.ms", "1")]))
        replace("an unknown type", (7, name, [("retention.ms", "1")]))
        replace("no resource")
        look("what was refused")
        replace("everything away", (TOPIC, name, []))
        look("everything")
        node = str(broker.node)
        replace("a broker", (BROKER, node, [("log.cleaner.threads", "2")]))
        replace("a broker's read-only key", (BROKER, node, [("node.id", "5")]))
        replace("a broker's everything", (BROKER, node, []))


def brokers(broker):
    """IncrementalAlterConfigs of one broker, of all of them, and of loggers."""
    node, version = str(broker.node), 1

    def one(step, *changes, name=node, **options):
        alter(broker, f"broker: {step}", version, (BROKER, name, list(changes)), **options)

    def look(step):
        broker.settle()
        keys = ["message.max.bytes", "log.retention.ms", "num.io.threads"]
        for name in (node, ""):
            about = "the node" if name else "all"
            describe(broker, f"broker {about} after {step}", 4, (BROKER, name, keys), IncludeSynonyms=True)

    one("only validated", change(SET, "message.max.bytes", "2000000"), ValidateOnly=True)
    one("one broker's", change(SET, "message.max.bytes", "2000000"))
    one("the default", change(SET, "message.max.bytes", "1500000"), change(SET, "log.retention.ms", "9000000"), name="")
    look("setting")
    one("read-only", change(SET, "node.id", "5"))
    one("read-only for all", change(SET, "auto.create.topics.enable", "false"), name="")
    one("for all only, of one", change(SET, "listeners", "PLAINTEXT://:1"), name="")
    one("an unknown key", change(SET, "no.such.key", "1"))
    one("an unknown key of all", change(SET, "no.such.key", "1"), name="")
    one("a wrong value", change(SET, "message.max.bytes", "many"))
    one("out of bounds", change(SET, "message.max.bytes", "-1"))
    one("no value", change(SET, "message.max.bytes"))
    one("another broker", change(SET, "message.max.bytes", "1"), name="777")
    one("no number", change(SET, "message.max.bytes", "1"), name="one")
    one("the same key twice", change(SET, "message.max.bytes", "1"), change(SET, "message.max.bytes", "2"))
    one("an unknown operation", change(7, "message.max.bytes", "1"))
    one("appended to a number", change(APPEND, "message.max.bytes", "1"))
    one("threads", change(SET, "num.io.threads", "9"))
    one("too many threads", change(SET, "num.io.threads", "9999"))
    one("deleted", change(DELETE, "message.max.bytes"))
    one("deleted of all", *(change(DELETE, key) for key in ("message.max.bytes", "log.retention.ms")), name="")
    one("deleted again", change(DELETE, "message.max.bytes"))
    one("threads deleted", change(DELETE, "num.io.threads"))
    look("deleting")

    def logger(step, *changes, name=node, **options):
        alter(broker, f"logger: {step}", version, (LOGGER, name, list(changes)), **options)

    logger("root", change(SET, "root", "INFO"))
    logger("an unknown logger", change(SET, "no.such.logger", "INFO"))
    logger("an unknown level", change(SET, "root", "SHOUT"))
    logger("no level", change(SET, "root"))
    logger("root deleted", change(DELETE, "root"))
    logger("appended", change(APPEND, "root", "INFO"))
    logger("another broker", change(SET, "root", "INFO"), name="777")
    logger("nobody", change(SET, "root", "INFO"), name="")
    logger("only validated", change(SET, "root", "INFO"), ValidateOnly=True)
    logger("the same twice", change(SET, "root", "INFO"), change(SET, "root", "WARN"))


def others(broker):
    """Groups and client metrics."""

    def of(kind, step, *changes, name, **options):
        alter(broker, step, 1, (kind, name, list(changes)), **options)

    session = "consumer.session.timeout.ms"
    of(GROUP, "a group", change(SET, session, "50000"), name="configs.g")
    broker.settle()
    describe(broker, "a group that has one", 4, (GROUP, "configs.g", [session]), IncludeSynonyms=True)
    of(GROUP, "a group's unknown key", change(SET, "no.such.key", "1"), name="configs.g")
    of(GROUP, "a group out of bounds", change(SET, session, "1"), name="configs.g")
    of(GROUP, "a group's wrong value", change(SET, session, "long"), name="configs.g")
    of(GROUP, "a group without a name", change(SET, session, "50000"), name="")
    of(GROUP, "a group's key deleted", change(DELETE, session), name="configs.g")
    interval = "interval.ms"
    of(METRICS, "metrics", change(SET, interval, "5000"), change(SET, "metrics", "a.,b."), name="configs.m")
    broker.settle()
    describe(broker, "metrics that have one", 4, (METRICS, "configs.m", None), IncludeSynonyms=True)
    of(METRICS, "metrics matched", change(SET, "match", "client_id=a.*"), name="configs.m")
    of(METRICS, "metrics matched by what is not there", change(SET, "match", "flavour=a"), name="configs.m")
    of(METRICS, "metrics' bad pattern", change(SET, "match", "client_id=("), name="configs.m")
    of(METRICS, "metrics' unknown key", change(SET, "no.such.key", "1"), name="configs.m")
    of(METRICS, "metrics out of bounds", change(SET, interval, "1"), name="configs.m")
    of(METRICS, "metrics without a name", change(SET, interval, "5000"), name="")
    of(METRICS, "metrics appended", change(APPEND, "metrics", "c."), name="configs.m")
    listed = {"ResourceTypes": [METRICS, GROUP]}
    broker.settle()
    broker.ask("resources that were made", "ListConfigResources", 1, listed)
    gone = [change(DELETE, key) for key in (interval, "metrics", "match")]
    of(METRICS, "metrics deleted", *gone, name="configs.m")
    broker.settle()
    broker.ask("resources that were deleted", "ListConfigResources", 1, listed)
