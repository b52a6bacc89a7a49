"""The invariants of a run: each takes a history and yields what breaks it, as a text.

Not looked for, since none of it can show here: cycles of transactions that read each other's writes (G1c; the copying
transactions alone read, and nobody reads their output), and replicas that differ (there is one).
"""

from collections import Counter, defaultdict

UNKNOWN_SERVER_ERROR = -1


def lost_write(history):
    """I1: what was acknowledged, and committed, is there in the end."""
    there = {value for records in history.final["read_committed"].values() for _, value in records}
    for send in history.sends.values():
        if send.outcome == "ok" and is_committed(history, send) and send.value not in there:
            yield f"{send.value} of {send.writer}, acknowledged at {send.partition} {send.offset}"


def inconsistent_offset(history):
    """I2: at an offset there is one value, whoever tells of it."""
    seen = {}
    for partition, offset, value in observations(history):
        if seen.setdefault((partition, offset), value) != value:
            yield f"{partition} {offset}: {seen[partition, offset]} and {value}"


def duplicate(history):
    """I3: what an idempotent or a transactional producer sent is at one offset only."""
    for partition, records in history.final["read_uncommitted"].items():
        for value, count in Counter(value for _, value in records).items():
            send = history.sends.get(value)
            if count > 1 and send is not None and send.once:
                yield f"{value} is {count} times in {partition}"


def aborted_read(history):
    """I4: who reads what is committed never sees what was aborted; and nobody sees what was never sent."""
    for read in committed_reads(history):
        send = history.sends.get(read[2])
        if send is not None and send.transaction and history.transactions[send.transaction].outcome == "aborted":
            yield f"{read[2]} of the aborted {send.transaction} at {read[0]} {read[1]}"
    for partition, records in history.final["read_uncommitted"].items():
        for offset, value in records:
            if value in history.sends and history.sends[value].outcome == "fail":
                yield f"{value}, which was never sent, at {partition} {offset}"


def precommitted_read(history):
    """I5: nobody reads a committed value before its commit was asked for."""
    for read in history.reads["read_committed"]:
        send = history.sends.get(read.value)
        if send is None or not send.transaction:
            continue
        commit_ns = history.transactions[send.transaction].commit_ns
        if not commit_ns or read.read_ns < commit_ns:
            yield f"{read.value} of {send.transaction} was read by {read.consumer} before its commit"


def torn_transaction(history):
    """I6: all values of a transaction are there in the end, or none is."""
    there = {value for records in history.final["read_committed"].values() for _, value in records}
    for transaction in history.transactions.values():
        sent = [value for value in transaction.values if history.sends[value].outcome == "ok"]
        found = [value for value in sent if value in there]
        if found and len(found) != len(sent):
            yield f"{transaction.name} ({transaction.outcome}): {found} of {sent}"


def phantom_value(history):
    """I7: every value has a writer, which wrote it there."""
    for partition, offset, value in observations(history):
        send = history.sends.get(value)
        if send is None or send.partition != partition:
            yield f"{value!r} at {partition} {offset}"


def nonmonotonic_send(history):
    """I8: the offsets of one producer's values in one partition grow in the order in which it sent them."""
    last = {}
    for send in sorted(history.sends.values(), key=lambda send: send.sent_ns):
        if send.outcome == "ok" and send.once:
            before = last.get((send.writer, send.partition))
            if before is not None and before.offset >= send.offset:
                yield f"{send.value} at {send.offset} after {before.value} at {before.offset} in {send.partition}"
            last[send.writer, send.partition] = send


def nonmonotonic_poll(history):
    """I9: a consumer goes forward, and skips nothing that is there for it."""
    for isolation, reads in history.reads.items():
        offsets = {tp: [offset for offset, _ in records] for tp, records in history.final[isolation].items()}
        index = {tp: {offset: at for at, offset in enumerate(known)} for tp, known in offsets.items()}
        last = {}
        for read in reads:
            key = (read.consumer, read.generation, read.partition)
            before, last[key] = last.get(key), read
            if before is None:
                continue
            if read.offset <= before.offset:
                yield f"{read.consumer}: {read.offset} after {before.offset} of {read.partition}"
                continue
            known = index.get(read.partition, {})
            if read.offset in known and before.offset in known and known[read.offset] != known[before.offset] + 1:
                yield f"{read.consumer}: {before.offset} to {read.offset} of {read.partition}, and others are between"


def went_back(history):
    """I10: what a group has committed never goes back: its jobs only ever commit more."""
    for (group, partition), seen in history.committed.items():
        for before, after in zip(seen, seen[1:], strict=False):
            if after < before:
                yield f"{group} of {partition}: {after} after {before}"


def latest_went_back(history):
    """I11: the ends of a partition grow, and what is acknowledged is below them."""
    for partition, seen in history.ends.items():
        for before, after in zip(seen, seen[1:], strict=False):
            if after[0] > before[1] and (after[2] < before[2] or after[3] < before[3]):
                yield f"{partition}: {after[2:]} after {before[2:]}"
    acked = defaultdict(list)
    for send in history.sends.values():
        if send.outcome == "ok":
            acked[send.partition].append((send.acked_ns, send.offset, send.value))
    for partition, sends in acked.items():
        sends.sort()
        highest, at = -1, 0
        for asked_ns, _, _, high in history.ends[partition]:
            while at < len(sends) and sends[at][0] < asked_ns:
                highest, at = max(highest, sends[at][1]), at + 1
            if highest >= high:
                yield f"{partition}: end {high}, and {highest} was acknowledged before"


def hanging_transaction(history):
    """I14: when all is well again, everything is stable."""
    for partition, (stable, high) in history.final_ends.items():
        if stable != high:
            yield f"{partition}: stable up to {stable}, and its end is {high}"


def wrong_copy(history):
    """I16: a copying job has copied everything once and in order."""
    for source, target in history.copies:
        wanted = [value for _, value in history.final["read_committed"].get(source, [])]
        # A copy is the word, the value and a number that makes it one of its kind.
        found = [value.split(" ")[1] for _, value in history.final["read_committed"].get(target, [])]
        if wanted != found:
            missing, more = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
            yield f"{source}: missing {list(missing)[:5]}, more {list(more)[:5]}, {len(found)} of {len(wanted)}"


def unseen(history):
    """I17: everything that is there was seen by each consumer that goes after it."""
    seen = defaultdict(set)
    for read in history.reads["read_committed"]:
        seen[read.consumer].add(read.value)
    for consumer, values in seen.items():
        if consumer.startswith("assigned"):
            for partition, records in history.final["read_committed"].items():
                left = [value for _, value in records if value not in values]
                if left:
                    yield f"{consumer}: {len(left)} of {partition}, such as {left[0]}"


def unfenced(history):
    """I19: a producer whose transactional id another one has taken over commits nothing more."""
    fenced = {transaction.name for transaction in history.transactions.values() if transaction.has_successor}
    for name in fenced:
        if history.transactions[name].outcome == "committed":
            yield f"{name} is committed, and its producer had a successor when it began"
    for partition, offset, value in committed_reads(history):
        send = history.sends.get(value)
        if send is not None and send.transaction in fenced:
            yield f"{value} of {send.transaction} at {partition} {offset}, and its producer had a successor"


def unknown_server_error(history):
    """I18: no error of which nobody knows what it means."""
    if history.errors[UNKNOWN_SERVER_ERROR]:
        yield f"UNKNOWN_SERVER_ERROR {history.errors[UNKNOWN_SERVER_ERROR]} times"


INVARIANTS = {
    "I1 lost-write": lost_write,
    "I2 inconsistent-offset": inconsistent_offset,
    "I3 duplicate": duplicate,
    "I4 aborted-read": aborted_read,
    "I5 precommitted-read": precommitted_read,
    "I6 torn-txn": torn_transaction,
    "I7 phantom-value": phantom_value,
    "I8 nonmonotonic-send": nonmonotonic_send,
    "I9 nonmonotonic-poll": nonmonotonic_poll,
    "I10 committed-went-back": went_back,
    "I11 latest-went-back": latest_went_back,
    "I14 hanging-txn": hanging_transaction,
    "I16 wrong-copy": wrong_copy,
    "I17 unseen": unseen,
    "I18 unknown-server-error": unknown_server_error,
    "I19 unfenced": unfenced,
}


def violations(history):
    """What breaks each invariant: name -> list of texts."""
    return {name: list(dict.fromkeys(check(history))) for name, check in INVARIANTS.items()}


def is_committed(history, send):
    """Whether a value must be visible: one of no transaction, or of a committed one."""
    return not send.transaction or history.transactions[send.transaction].outcome == "committed"


def committed_reads(history):
    """(partition, offset, value) of all that was read as committed."""
    for read in history.reads["read_committed"]:
        yield read.partition, read.offset, read.value
    for partition, records in history.final["read_committed"].items():
        for offset, value in records:
            yield partition, offset, value


def observations(history):
    """(partition, offset, value) of all acknowledgements and reads."""
    for send in history.sends.values():
        if send.outcome == "ok":
            yield send.partition, send.offset, send.value
    yield from committed_reads(history)
    for read in history.reads["read_uncommitted"]:
        yield read.partition, read.offset, read.value
    for partition, records in history.final["read_uncommitted"].items():
        for offset, value in records:
            yield partition, offset, value
