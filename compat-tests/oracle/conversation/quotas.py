"""Clients' quotas: set, described by every kind of filter, removed, and everything that is wrong with them."""

EXACT, DEFAULT, ANY = 0, 1, 2


def talk(broker):
    """Runs the section: in each version the same, on entities of its own."""
    for version in broker.versions("AlterClientQuotas"):
        altering(broker, version)
        describing(broker, version)
        removing(broker, version)


def entity(**parts):
    """An entity: user, client_id or ip, None for the default."""
    return [{"EntityType": kind.replace("_", "-"), "EntityName": name} for kind, name in parts.items()]


def setting(key, value=None):
    """One operation; without a value the key is removed."""
    return {"Key": key, "Value": 0.0 if value is None else value, "Remove": value is None}


def alter(broker, version, step, *entries, **options):
    """Asks for changes: pairs of entity and operations."""
    body = {"Entries": [{"Entity": parts, "Ops": ops} for parts, ops in entries], "ValidateOnly": False, **options}
    broker.ask(f"quotas, {step}", "AlterClientQuotas", version, body)


def altering(broker, version):
    """Good changes, then each reason to refuse one."""
    user = f"ada{version}"
    rate = setting("producer_byte_rate", 1024.0)
    alter(broker, version, "nothing")
    alter(broker, version, "only validated", (entity(user=user), [rate]), ValidateOnly=True)
    alter(
        broker,
        version,
        "new",
        (entity(user=user), [rate, setting("consumer_byte_rate", 2048.0), setting("request_percentage", 50.0)]),
        (entity(user=user, client_id="c"), [setting("controller_mutation_rate", 2.5)]),
        (entity(client_id=f"c{version}"), [rate]),
        (entity(user=None), [rate]),
        (entity(user=None, client_id=None), [rate]),
        (entity(ip="127.0.0.9"), [setting("connection_creation_rate", 10.0)]),
        (entity(ip=None), [setting("connection_creation_rate", 1000.0)]),
    )
    alter(broker, version, "no operations", (entity(user=user), []))
    good = entity(user=user)
    cases = {
        "an empty entity": ([], [rate]),
        "an unknown entity type": (entity(flavour="sweet"), [rate]),
        "an empty entity type": ([{"EntityType": "", "EntityName": "x"}], [rate]),
        "the same entity type twice": (entity(user=user) + entity(user="other"), [rate]),
        "an empty name": (entity(user=""), [rate]),
        "user and ip": (entity(user=user, ip="127.0.0.9"), [setting("connection_creation_rate", 1.0)]),
        "an ip that is none": (entity(ip="not an ip"), [setting("connection_creation_rate", 1.0)]),
        "an unknown key": (good, [setting("no_such_rate", 1.0)]),
        "an unknown key removed": (good, [setting("no_such_rate")]),
        "an empty key": (good, [setting("", 1.0)]),
        "a key of ips for a user": (good, [setting("connection_creation_rate", 1.0)]),
        "a key of users for an ip": (entity(ip="127.0.0.9"), [rate]),
        "zero": (good, [setting("producer_byte_rate", 0.0)]),
        "a negative value": (good, [setting("producer_byte_rate", -1.0)]),
        "a fraction": (good, [setting("producer_byte_rate", 0.5)]),
        "infinity": (good, [setting("producer_byte_rate", float("inf"))]),
        "a huge value": (good, [setting("producer_byte_rate", 1e300)]),
        "a fraction of an ip's rate": (entity(ip="127.0.0.9"), [setting("connection_creation_rate", 1.5)]),
        "the same key twice": (good, [setting("consumer_byte_rate", 1.0), setting("consumer_byte_rate", 2.0)]),
        "a key set and removed": (good, [setting("consumer_byte_rate", 1.0), setting("consumer_byte_rate")]),
        "a key that is not set removed": (entity(user="nobody"), [setting("producer_byte_rate")]),
    }
    for step, case in cases.items():
        alter(broker, version, step, case)
    odd = (good, [setting("producer_byte_rate", float("nan"))])
    alter(broker, version, "not a number, only validated", odd, ValidateOnly=True)
    alter(broker, version, "the same entity twice", (good, [rate]), (good, [setting("request_percentage", 1.0)]))
    alter(broker, version, "one good, one bad", (entity(user=f"bob{version}"), [rate]), cases["an unknown key"])


def describing(broker, version):
    """Every kind of filter."""

    def component(kind, match, name=None):
        return {"EntityType": kind, "MatchType": match, "Match": name}

    broker.settle()
    user = f"ada{version}"
    filters = {
        "all": [],
        "a user": [component("user", EXACT, user)],
        "any user": [component("user", ANY)],
        "the default user": [component("user", DEFAULT)],
        "a user and any client": [component("user", EXACT, user), component("client-id", ANY)],
        "both defaults": [component("user", DEFAULT), component("client-id", DEFAULT)],
        "any ip": [component("ip", ANY)],
        "an unknown user": [component("user", EXACT, "nobody")],
        "an unknown entity type": [component("flavour", EXACT, "sweet")],
        "an empty entity type": [component("", EXACT, "sweet")],
        "an unknown match": [component("user", 7, user)],
        "a negative match": [component("user", -1, user)],
        "an exact match of nothing": [component("user", EXACT)],
        "a default with a name": [component("user", DEFAULT, user)],
        "any with a name": [component("user", ANY, user)],
        "the same entity type twice": [component("user", ANY), component("user", EXACT, user)],
        "user and ip": [component("user", ANY), component("ip", ANY)],
    }
    for step, components in filters.items():
        for strict in (False, True):
            body = {"Components": components, "Strict": strict}
            answer = broker.main.ask("DescribeClientQuotas", version, body)
            for entry in (answer.get("Entries") or []) if isinstance(answer, dict) else []:
                entry["Entity"].sort(key=lambda part: part["EntityType"])
                entry["Values"].sort(key=lambda value: value["Key"])
            broker.note(f"quotas of {step}{', strictly' * strict}, DescribeClientQuotas v{version}", answer)


def removing(broker, version):
    """What was set is removed again, for the sections behind this one."""
    user = f"ada{version}"
    keys = ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate")
    gone = [setting(key) for key in keys]
    entities = (
        entity(user=user),
        entity(user=user, client_id="c"),
        entity(client_id=f"c{version}"),
        entity(user=None),
        entity(user=None, client_id=None),
        entity(user=f"bob{version}"),
    )
    alter(broker, version, "removed", *((parts, gone) for parts in entities))
    ips = (entity(ip="127.0.0.9"), entity(ip=None))
    alter(broker, version, "removed of ips", *((parts, [setting("connection_creation_rate")]) for parts in ips))
    broker.settle()
    body = {"Components": [], "Strict": False}
    broker.ask("quotas when all are removed", "DescribeClientQuotas", version, body)
