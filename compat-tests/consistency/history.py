"""What happened in a run, as its actors saw it, with the time of this one process."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Send:
    """One value that was sent. `writer` is a producer's whole life; `outcome` is ok, fail (it was never sent) or unknown."""

    value: str
    partition: tuple
    writer: str
    sent_ns: int
    transaction: str = ""
    once: bool = True
    outcome: str = "unknown"
    offset: int = -1
    acked_ns: int = 0


@dataclass
class Transaction:
    """One transaction. `outcome` is committed, aborted (it certainly is) or unknown; `commit_ns` is 0 when none was asked for.

    `has_successor` says that another producer had taken its transactional id over before it began.
    """

    name: str
    values: list = field(default_factory=list)
    outcome: str = "aborted"
    commit_ns: int = 0
    has_successor: bool = False


@dataclass
class Read:
    """One record that a consumer got. A generation is what it read without a seek or a rebalance."""

    consumer: str
    generation: int
    partition: tuple
    offset: int
    value: str
    read_ns: int


class History:
    """All of it. Each list and dictionary is only ever added to, by any thread."""

    def __init__(self):
        self.sends = {}
        self.transactions = {}
        self.reads = {"read_committed": [], "read_uncommitted": []}
        # What the observer saw: partition -> [(asked at, answered at, last stable offset, high watermark)].
        self.ends = defaultdict(list)
        # Committed offsets: (group, partition) -> [offset], in the order in which they were seen.
        self.committed = defaultdict(list)
        # What is there in the end: isolation level -> partition -> [(offset, value)].
        self.final = {"read_committed": {}, "read_uncommitted": {}}
        # In the end: partition -> (last stable offset, high watermark).
        self.final_ends = {}
        # Copies: (partition, the partition that holds its copy).
        self.copies = []
        self.error_codes = []

    def error(self, code):
        """Notes an error that a client saw. It takes no lock: clients' callbacks come here, and Python's collector may destroy
        a client, and so wait for it, in whoever holds one."""
        self.error_codes.append(code)

    @property
    def errors(self):
        """How often clients saw each error: code -> count."""
        return Counter(self.error_codes)

    def counts(self):
        """How much of each there was, for people."""
        ok = sum(send.outcome == "ok" for send in list(self.sends.values()))
        ends = defaultdict(int)
        for transaction in list(self.transactions.values()):
            ends[transaction.outcome] += 1
        reads = sum(map(len, self.reads.values()))
        return {"sends": len(self.sends), "acknowledged": ok, "reads": reads, **ends}


def now_ns():
    """The clock of a run."""
    return time.monotonic_ns()
