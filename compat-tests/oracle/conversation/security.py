"""Access control lists without an authorizer, delegation tokens without a secret key, and users' SCRAM credentials."""

SALT = b"salt of a test"
PASSWORD = b"\1" * 32


def talk(broker):
    """Runs the section."""
    acls(broker)
    tokens(broker)
    users(broker)


def acls(broker):
    """DescribeAcls, CreateAcls and DeleteAcls."""
    every = {
        "ResourceTypeFilter": 1,
        "ResourceNameFilter": None,
        "PatternTypeFilter": 1,
        "PrincipalFilter": None,
        "HostFilter": None,
        "Operation": 1,
        "PermissionType": 1,
    }
    filters = {
        "every": every,
        "of a topic": {**every, "ResourceTypeFilter": 2, "ResourceNameFilter": "t", "PatternTypeFilter": 3},
        "of an unknown resource type": {**every, "ResourceTypeFilter": 99},
        "of an unknown operation": {**every, "Operation": 99},
        "of an unknown permission": {**every, "PermissionType": 99},
        "of an unknown pattern": {**every, "PatternTypeFilter": 99},
    }
    creation = {
        "ResourceType": 2,
        "ResourceName": "t",
        "ResourcePatternType": 3,
        "Principal": "User:a",
        "Host": "*",
        "Operation": 3,
        "PermissionType": 3,
    }
    creations = {
        "good": [creation],
        "none": [],
        "twice": [creation, creation],
        "of no resource type": [{**creation, "ResourceType": 0}],
        "of every operation": [{**creation, "Operation": 1}],
        "without a name": [{**creation, "ResourceName": ""}],
        "with a principal without a type": [{**creation, "Principal": "a"}],
    }
    for version in broker.versions("DescribeAcls", 2):
        for step, body in filters.items():
            broker.ask_alone(f"acls, {step}", "DescribeAcls", version, body)
        for step, body in creations.items():
            broker.ask_alone(f"acl {step}", "CreateAcls", version, {"Creations": body})
        broker.ask_alone("acls, none deleted", "DeleteAcls", version, {"Filters": []})
        for step, body in filters.items():
            broker.ask_alone(f"acls, {step} deleted", "DeleteAcls", version, {"Filters": [body]})
        broker.ask_alone("acls, every deleted twice", "DeleteAcls", version, {"Filters": [every, every]})


def tokens(broker):
    """The four APIs of delegation tokens."""
    for version in broker.versions("CreateDelegationToken", 2):
        for step, body in {
            "for oneself": {"OwnerPrincipalType": None, "OwnerPrincipalName": None},
            "for another": {"OwnerPrincipalType": "User", "OwnerPrincipalName": "b"},
            "with a renewer": {"Renewers": [{"PrincipalType": "User", "PrincipalName": "c"}]},
            "with a renewer of another type": {"Renewers": [{"PrincipalType": "Group", "PrincipalName": "c"}]},
        }.items():
            owner = {"OwnerPrincipalType": None, "OwnerPrincipalName": None, "MaxLifetimeMs": -1}
            broker.ask_alone(f"token {step}", "CreateDelegationToken", version, {**owner, **body})
    for version in broker.versions("RenewDelegationToken"):
        broker.ask_alone("token renewed", "RenewDelegationToken", version, {"Hmac": b"x", "RenewPeriodMs": 1})
        broker.ask_alone("token expired", "ExpireDelegationToken", version, {"Hmac": b"x", "ExpiryTimePeriodMs": -1})
    for version in broker.versions("DescribeDelegationToken", 2):
        owner = {"PrincipalType": "User", "PrincipalName": "a"}
        for step, owners in {"every": None, "no owner's": [], "one owner's": [owner], "twice": [owner, owner]}.items():
            broker.ask_alone(f"tokens, {step}", "DescribeDelegationToken", version, {"Owners": owners})


def upsertion(name, mechanism=1, iterations=4096, **options):
    """A credential: mechanism 1 is SCRAM-SHA-256, 2 SCRAM-SHA-512."""
    password = PASSWORD if mechanism == 1 else PASSWORD * 2
    credential = {"Name": name, "Mechanism": mechanism, "Iterations": iterations, "Salt": SALT}
    return {**credential, "SaltedPassword": password, **options}


def users(broker):
    """AlterUserScramCredentials and DescribeUserScramCredentials."""

    def alter(step, upsertions=(), deletions=()):
        gone = [{"Name": name, "Mechanism": mechanism} for name, mechanism in deletions]
        body = {"Upsertions": list(upsertions), "Deletions": gone}
        broker.ask(f"users, {step}", "AlterUserScramCredentials", 0, body)

    def describe(step, names):
        broker.settle()
        wanted = None if names is None else [{"Name": name} for name in names]
        broker.ask(f"users, {step}", "DescribeUserScramCredentials", 0, {"Users": wanted})

    describe("nobody yet", None)
    alter("nothing")
    alter("new", [upsertion("ada"), upsertion("bob", 2, 8192)])
    alter("another mechanism", [upsertion("ada", 2, 5000)])
    describe("all", None)
    describe("no list", [])
    describe("one", ["ada"])
    describe("one and an unknown one", ["ada", "nobody"])
    describe("one twice", ["ada", "ada", "bob"])
    describe("one without a name", [""])
    bad = {
        "too few iterations": upsertion("eve", 1, 4095),
        "too many iterations": upsertion("eve", 1, 16385),
        "negative iterations": upsertion("eve", 1, -1),
        "an unknown mechanism": upsertion("eve", 7),
        "no mechanism": upsertion("eve", 0),
        "no name": upsertion(""),
        "no salt": upsertion("eve", Salt=b""),
        "no password": upsertion("eve", SaltedPassword=b""),
    }
    for step, case in bad.items():
        alter(f"{step}, beside a good one", [case, upsertion(f"good.{step.replace(' ', '.')}")])
    alter("the same user twice", [upsertion("ada"), upsertion("ada", 1, 6000)])
    alter("the same user in both mechanisms", [upsertion("carl"), upsertion("carl", 2)])
    alter("one set and deleted", [upsertion("ada")], [("ada", 1)])
    alter("one set and deleted in another mechanism", [upsertion("ada")], [("ada", 2)])
    alter("unknown ones deleted", [], [("nobody", 1), ("bob", 1)])
    alter("an unknown mechanism deleted", [], [("ada", 9)])
    alter("without a name deleted", [], [("", 1)])
    alter("the same deleted twice", [], [("bob", 2), ("bob", 2)])
    describe("all that was left", None)
    alter("one mechanism deleted", [], [("ada", 1)])
    alter("the same deleted again", [], [("ada", 1)])
    describe("after the deletion", ["ada", "bob", "carl"])
    alter("changed", [upsertion("bob", 2, 9000)])
    describe("after the change", ["bob"])
