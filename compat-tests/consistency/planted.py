"""Histories with one fault each, by which the checker itself is checked: it must find the fault, and none in the good one."""

from checker import INVARIANTS, violations
from history import History, Read, Send, Transaction

A, B, COPY = ("topic", 0), ("topic", 1), ("copy", 0)


def good():
    """A history without a fault: two plain values, a committed transaction, an aborted one, and a copy of a partition."""
    history = History()

    def send(value, partition, offset, at, transaction="", **options):
        history.sends[value] = Send(
            value, partition, "writer", at, transaction, outcome="ok", offset=offset, acked_ns=at + 1, **options
        )
        if transaction:
            history.transactions.setdefault(transaction, Transaction(transaction)).values.append(value)

    send("a", A, 0, 10)
    send("b", A, 1, 20)
    send("c", A, 2, 30, "committed")
    send("d", B, 0, 31, "committed")
    send("e", B, 2, 50, "aborted")
    send("copy d 1", COPY, 0, 60, "copied")
    for name, commit_ns in (("committed", 40), ("copied", 70)):
        history.transactions[name].outcome, history.transactions[name].commit_ns = "committed", commit_ns
    history.copies = [(B, COPY)]
    visible = {A: [(0, "a"), (1, "b"), (2, "c")], B: [(0, "d")], COPY: [(0, "copy d 1")]}
    history.final["read_committed"] = visible
    history.final["read_uncommitted"] = {**visible, B: [(0, "d"), (2, "e")]}
    for partition, records in visible.items():
        for offset, value in records:
            history.reads["read_committed"].append(Read("assigned0", 1, partition, offset, value, 100 + offset))
    history.ends[A] = [(1, 2, 0, 0), (25, 26, 2, 2), (90, 91, 4, 4)]
    history.final_ends = {A: (4, 4), B: (4, 4), COPY: (2, 2)}
    history.committed["group", B] = [1, 1]
    return history


def plant():
    """(invariant, what was done, history): each with one fault, which may break other invariants as well."""
    for name, what, change in FAULTS:
        history = good()
        change(history)
        yield name, what, history


def lose(history):
    for records in (*history.final.values(),):
        records[A] = [(0, "a"), (2, "c")]


def replace(history):
    history.final["read_uncommitted"] = {**history.final["read_uncommitted"], A: [(0, "b"), (1, "a"), (2, "c")]}


def double(history):
    for isolation, records in history.final.items():
        history.final[isolation] = {**records, A: [*records[A], (4, "a")]}


def read_aborted(history):
    history.reads["read_committed"].append(Read("assigned0", 1, B, 2, "e", 110))


def show_unsent(history):
    history.sends["b"].outcome = "fail"


def read_early(history):
    history.reads["read_committed"].append(Read("assigned1", 1, A, 2, "c", 35))


def tear(history):
    history.transactions["committed"].outcome = "unknown"
    history.final["read_committed"] = {**history.final["read_committed"], B: []}


def invent(history):
    history.reads["read_uncommitted"].append(Read("assigned2", 1, B, 7, "nobody's", 110))


def misplace(history):
    history.sends["b"].partition = B


def reorder(history):
    history.sends["a"].offset, history.sends["b"].offset = 1, 0


def skip(history):
    del history.reads["read_committed"][1]


def turn_back(history):
    history.reads["read_committed"].append(Read("assigned0", 1, A, 0, "a", 120))


def rewind(history):
    history.committed["group", B] = [1, 0]


def forget_commit(history):
    history.committed["group", B] = [1, -1001]


def shrink(history):
    history.ends[A].append((95, 96, 3, 3))


def shrink_stable(history):
    history.ends[A].append((95, 96, 3, 4))


def acknowledge_above(history):
    history.ends[A][2] = (90, 91, 2, 2)


def hang(history):
    history.final_ends[B] = (2, 4)


def copy_twice(history):
    twice = [(0, "copy d 1"), (2, "copy d 2")]
    history.sends["copy d 2"] = Send("copy d 2", COPY, "writer", 61, "copied", outcome="ok", offset=2, acked_ns=62)
    history.transactions["copied"].values.append("copy d 2")
    history.final = {isolation: {**records, COPY: twice} for isolation, records in history.final.items()}


def copy_nothing(history):
    history.final = {isolation: {**records, COPY: []} for isolation, records in history.final.items()}


def overlook(history):
    history.reads["read_committed"] = [read for read in history.reads["read_committed"] if read.value != "c"]


def overtake(history):
    history.transactions["committed"].has_successor = True


def overtake_unnoticed(history):
    history.transactions["committed"].has_successor, history.transactions["committed"].outcome = True, "unknown"


def fail_strangely(history):
    history.error(-1)


FAULTS = [
    ("I1 lost-write", "an acknowledged value is gone", lose),
    ("I2 inconsistent-offset", "two values have changed places", replace),
    ("I3 duplicate", "an idempotent producer's value is there twice", double),
    ("I4 aborted-read", "an aborted value is read", read_aborted),
    ("I4 aborted-read", "what was never sent is there", show_unsent),
    ("I5 precommitted-read", "a value is read before its commit", read_early),
    ("I6 torn-txn", "half a transaction is there", tear),
    ("I7 phantom-value", "a value that nobody wrote", invent),
    ("I7 phantom-value", "a value in another partition", misplace),
    ("I8 nonmonotonic-send", "a later value is before an earlier one", reorder),
    ("I9 nonmonotonic-poll", "a consumer skips a record", skip),
    ("I9 nonmonotonic-poll", "a consumer reads a record again", turn_back),
    ("I10 committed-went-back", "a group's offset is rewound", rewind),
    ("I10 committed-went-back", "a group's offset is forgotten", forget_commit),
    ("I11 latest-went-back", "a partition's end goes back", shrink),
    ("I11 latest-went-back", "what is stable goes back", shrink_stable),
    ("I11 latest-went-back", "the end is below what was acknowledged", acknowledge_above),
    ("I14 hanging-txn", "a transaction stays open", hang),
    ("I16 wrong-copy", "a value is copied twice", copy_twice),
    ("I16 wrong-copy", "a value is not copied", copy_nothing),
    ("I17 unseen", "a consumer never sees a value", overlook),
    ("I18 unknown-server-error", "an error that nobody knows", fail_strangely),
    ("I19 unfenced", "a producer commits beside its successor", overtake),
    ("I19 unfenced", "what it wrote is read", overtake_unnoticed),
]


def unfound():
    """What the checker gets wrong: faults that it does not find, and those that it finds in the good history."""
    wrong = [f"{name} in a good history: {found}" for name, found in violations(good()).items() if found]
    wrong += [f"{name} is not found: {what}" for name, what, history in plant() if not violations(history)[name]]
    return wrong + [f"{name} has no fault planted" for name in INVARIANTS if name not in {fault[0] for fault in FAULTS}]
