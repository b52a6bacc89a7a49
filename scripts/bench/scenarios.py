"""The scenarios: a row each, declared; with what they are judged by."""

from dataclasses import dataclass, field
from typing import Callable

import administration
import growth
import transactional
import trials
from participants import KAFKA
from ranges import AGREEMENT

ACK, APPEND, SYNC = "ack", "append", "sync"


@dataclass(frozen=True)
class Target:
    """What a metric must be: `value` is a ratio to another participant's figure, or, `beside` nobody, the figure itself."""

    metric: str
    at_least: bool
    value: float
    beside: str | None = KAFKA
    # A throughput target is met as well when the client is what limits Klamm.
    or_client_bound: bool = False


def at_least(metric, value, beside=KAFKA, or_client_bound=False):
    """More is better."""
    return Target(metric, True, value, beside, or_client_bound)


def at_most(metric, value, beside=KAFKA):
    """Less is better."""
    return Target(metric, False, value, beside)


@dataclass(frozen=True)
class Scenario:
    """One row of the table. Counts are those of a full run; `--scale` makes them smaller."""

    row: str
    name: str
    title: str
    run: Callable
    metrics: tuple
    targets: tuple = ()
    floors: tuple = ()
    setup: Callable | None = None
    partitions: int = 1
    count: int = 0
    size: int = 1024
    configs: dict = field(default_factory=dict)
    # What `run` needs beside the fields above.
    choices: dict = field(default_factory=dict)
    # Whether `run` starts and stops the participant itself.
    fresh: bool = False
    most_rounds: int = 1000
    # Whether Klamm is compared with itself alone.
    by_itself: bool = False
    # Of a ladder of N: what the report shows of each N.
    columns: tuple = ()

    def pre_touch_bytes(self, scale):
        """The size of a round's data set."""
        return int(self.count * scale) * self.size


FLOW = ("mb_s", "records_s", "cpu_s_per_gb", "peak_mib", "broker_busy", "client_busy")
LATENCY = ("p50_us", "p99_us", "p999_us", "cpu_s", "peak_mib")
FASTER = (
    at_least("mb_s", 1.5, or_client_bound=True),
    at_most("cpu_s_per_gb", 0.3),
    at_least("mb_s", 0.8, APPEND),
    at_most("peak_mib", 0.1),
    at_most("peak_mib", 30, None),
)
READING = (at_least("mb_s", 1.2, or_client_bound=True), at_most("cpu_s_per_gb", 0.5), at_least("mb_s", 0.8, APPEND))
CONNECTED = ("p50_us", "p99_us", "p999_us", "late_us", "cpu_s", "peak_mib", "broker_busy", "client_busy")
WOKEN = ("p50_us", "p99_us", "slowest_us", "worst_us", "cpu_s", "peak_mib")
# The largest exponent that growth may have, and how much more a record may cost at a ladder's end: as little as two runs of
# one broker may differ.
GROWTH, FLATNESS = 1.1, AGREEMENT[1]
FLAT = at_most("cost_ratio", FLATNESS, None)
DELETION = ("answer_us", "p50_us", "p99_us", "slowest_us")
CODEC = ("mb_s", "cpu_s_per_wire_gb", "p50_us", "p99_us", "peak_mib")


def quick(p50_us, p99_us):
    """The targets of a latency: half of Kafka's, and no more than so many microseconds."""
    beside_kafka = (at_most("p50_us", 0.5), at_most("p99_us", 0.5))
    return (*beside_kafka, at_most("p50_us", p50_us, None), at_most("p99_us", p99_us, None))


def codec(name):
    """Row 9 with one codec."""
    return Scenario(
        "9", f"codec-{name}", f"ProducerPerformance, {name} on client and topic", trials.java_produce, CODEC,
        (at_most("cpu_s_per_wire_gb", 0.4),), partitions=6, count=1_000_000, configs={"compression.type": name},
        choices={"codec": name if name != "uncompressed" else "none"},
    )  # fmt: skip


def compressed(name, most):
    """Row 9 with a codec that the client alone chooses, and the cost beside Kafka's of the records as they were."""
    return Scenario(
        "9", f"produce-{name}", f"ProducerPerformance, words in {name}", trials.java_produce_words,
        ("cpu_s_per_gb", "cpu_s_per_wire_gb", "mb_s", "p99_us", "peak_mib"), (at_most("cpu_s_per_gb", most),),
        partitions=6, count=1_000_000, choices={"codec": name},
    )  # fmt: skip


def ladder(name, title, metrics, targets, **settings):
    """Row 14 over one thing that becomes more; `growth` has a function and columns of its name."""
    return Scenario("14", f"growth-{name}", title, getattr(growth, name), metrics, targets, by_itself=True,
                    columns=growth.COLUMNS[name], **settings)  # fmt: skip


SCENARIOS = [
    Scenario("1", "produce-1k", "produce 1 KiB, acks=all, 6 partitions, linger 5 ms", trials.produce, FLOW, FASTER,
             (ACK, APPEND), partitions=6, count=3_000_000),
    Scenario("1j", "produce-1k-java", "the same with ProducerPerformance", trials.java_produce, (*FLOW, "p50_us", "p99_us"),
             FASTER, (), partitions=6, count=1_500_000),
    Scenario("2", "produce-100b", "produce 100 B, acks=all, 6 partitions, linger 5 ms", trials.produce, FLOW, FASTER,
             (ACK, APPEND), partitions=6, count=10_000_000, size=100),
    Scenario("3", "produce-flush", "produce 1 KiB, flush.messages=1, 6 partitions", trials.produce, FLOW,
             (at_least("mb_s", 2), at_least("mb_s", 0.8, SYNC)), (SYNC,), partitions=6, count=300_000,
             configs={"flush.messages": "1"}),
    Scenario("4", "produce-latency", "produce latency at 1,000/s, linger 0", trials.produce_latency, LATENCY,
             quick(100, 300), (ACK, APPEND),
             count=6_000),
    Scenario("4", "steady-latency", "the same from a client that sleeps between records", trials.steady_latency,
             (*LATENCY, "late_us"), quick(100, 300), (ACK, APPEND), count=6_000),
    Scenario("5", "consume-1", "tail consume 1 KiB, 1 partition", trials.consume, FLOW,
             (*READING, at_most("cpu_s_per_gb", 0.233, None)), (APPEND,), trials.fill, partitions=1, count=3_000_000),
    Scenario("5", "consume-6", "tail consume 1 KiB, 6 partitions", trials.consume, FLOW,
             (*READING, at_most("cpu_s_per_gb", 0.233, None)), (APPEND,), trials.fill, partitions=6, count=3_000_000),
    Scenario("5j", "consume-java", "the same with ConsumerPerformance", trials.java_consume, FLOW, READING[:2], (),
             trials.fill, partitions=6, count=1_500_000),
    Scenario("6", "consume-cold", "cold catch-up read, 6 partitions", trials.consume_cold, FLOW,
             (at_least("mb_s", 1.0), at_least("mb_s", 0.8, APPEND)), (APPEND,), trials.fill, partitions=6, count=1_500_000),
    Scenario("7", "end-to-end", "end to end at 1,000/s", trials.end_to_end, LATENCY,
             quick(150, 400), count=6_000),
    Scenario("7", "steady-end-to-end", "the same, one record after another, from a client that sleeps between them",
             trials.steady_end_to_end, WOKEN, quick(150, 400), count=6_000),
    Scenario("7j", "end-to-end-java", "EndToEndLatency, one record at a time", trials.java_end_to_end, LATENCY[:3],
             (at_most("p50_us", 0.5), at_most("p99_us", 0.5)), count=5_000),
    Scenario("8", "catch-up", "produce latency at 1,000/s while one reader catches up; the producer has priority",
             trials.catch_up,
             ("p50_us", "p99_us", "alone_p99_us", "over_alone", "late_us", "mb_s"),
             (at_most("p99_us", 1.0), at_most("over_alone", 2, None)),
             (), trials.fill, partitions=6, count=3_000_000),
    codec("uncompressed"), codec("lz4"), codec("zstd"),
    compressed("gzip", 1.0), compressed("snappy", 0.6), compressed("lz4", 0.6), compressed("zstd", 1.0),
    Scenario("10", "many-clients", "100 producers and 100 consumers, 100 topics x 10 partitions", trials.many_clients,
             ("mb_s", "p50_us", "p99_us", "cpu_s_per_gb", "peak_mib"),
             (at_least("mb_s", 1.5), at_most("p99_us", 0.5), at_most("peak_mib", 0.1), at_most("peak_mib", 30, None)),
             partitions=10, count=1_000_000, choices={"clients": 100}),
    Scenario("11", "start-empty", "start with an empty directory; memory when idle", trials.start_empty,
             ("start_ms", "idle_mib"), (at_most("start_ms", 0.02), at_most("start_ms", 15, None),
             at_most("idle_mib", 0.05), at_most("idle_mib", 12, None)), fresh=True),
    Scenario("11", "start-10k", "start with 10,000 partitions", trials.start_full, ("start_ms", "idle_mib"),
             (at_most("start_ms", 0.02), at_most("start_ms", 1000, None)), (), trials.fill_partitions,
             fresh=True, count=10_000, size=0, partitions=1000, most_rounds=9),
    Scenario("13", "connections-5k", "5,000 connections with 10 records a second each, acks=all, 6 partitions",
             trials.many_connections, CONNECTED, (at_most("p99_us", 1.0), at_most("p99_us", 50_000, None)), (APPEND,),
             partitions=6, count=500_000, choices={"clients": 5000, "rate": 10}),
    Scenario("13", "long-polls-5k", "5,000 long polls of one partition, woken by one append", trials.long_polls, WOKEN,
             (at_most("p99_us", 1.0), at_most("worst_us", 100_000, None)), count=20, choices={"clients": 5000}),
    Scenario("15", "create-topics", "one more topic beside none, 1,000 and 5,000", administration.creation,
             (*(f"p50_us_at_{number}" for number in administration.TOPICS), "over_empty"),
             (at_most("over_empty", 1.5, None),), count=200, size=0),
    Scenario("15", "delete-large", "a topic of 1.5 GB deleted; topics created beside it", administration.large_deletion,
             DELETION, (at_most("answer_us", 10_000, None), at_most("p99_us", 20_000, None)), partitions=6, count=1_500_000),
    Scenario("15", "delete-500", "500 topics of 10 partitions deleted at once; topics created beside them",
             administration.many_deletions, DELETION, (at_most("p99_us", 1.0),), partitions=10, count=500, size=0),
    Scenario("15", "delete-5000", "5,000 topics deleted at once; topics created beside them",
             administration.many_deletions, DELETION, (at_most("p99_us", 1.0),), count=5_000, size=0, most_rounds=9),
    Scenario("15", "group-commits", "commits of one group on one connection, 100 under way", administration.commits,
             ("commits_s", "cost_us", "peak_mib"), (at_least("commits_s", 1.0), at_most("cost_us", 1.0)), count=20_000, size=0),
    Scenario("15", "first-group-answer", "start with 50,000 commits, until a group's offset is answered",
             administration.first_answer, ("start_ms", "idle_mib"), (at_most("start_ms", 0.1),), (),
             administration.fill_commits, fresh=True, count=50_000, size=0),
    Scenario("16", "idempotent", "produce 1 KiB by an idempotent producer, beside one that is not", transactional.idempotent,
             ("over_plain", "cpu_s_per_gb", "mb_s"), (at_most("over_plain", 1.03, None),), partitions=6, count=1_500_000),
    Scenario("16", "transactions-100", "transactions of 100 records of 1 KiB, beside the same batches alone",
             transactional.beside_plain, ("of_plain", "transaction_us", "plain_us", "transactions_s"),
             (at_least("of_plain", 0.8, None), at_most("transaction_us", 0.5)), partitions=6, choices={"records": 100}),
    Scenario("16", "transactions-many", "100 producers with 10 transactional ids each, a record in a transaction",
             transactional.many, ("transactions_s", "transaction_us", "commit_p50_us", "commit_p99_us", "peak_mib"),
             (at_least("transactions_s", 10_000, None), at_least("transactions_s", 1.5), at_most("transaction_us", 0.5)),
             partitions=6, size=100, choices={"clients": 100, "ids": 10}),
    Scenario("16", "commit-latency", "one producer with 10 transactional ids, a record in a transaction", transactional.one,
             ("commit_p50_us", "commit_p99_us", "p50_us", "transaction_us"),
             (at_most("commit_p50_us", 2000, None), at_most("commit_p50_us", 0.334)), size=100, choices={"ids": 10}),
    ladder("partitions", "one load on 1 to 10,000 partitions",
           ("cost_ratio", "most_growth", "cpu_exponent", "peak_exponent", "start_exponent"),
           (FLAT, *(at_most(metric, GROWTH, None) for metric in ("cpu_exponent", "peak_exponent", "start_exponent"))),
           count=25_000, fresh=True),
    ladder("connections", "one load from 1 to 1,000 connections", ("cost_ratio", "most_growth", "cpu_exponent"),
           (FLAT, at_most("cpu_exponent", GROWTH, None)), count=25_000),
    ladder("sizes", "the same bytes in records of 100 B to 10 MB", ("byte_ratio", "most_growth", "cpu_exponent"),
           (at_most("byte_ratio", FLATNESS, None), at_most("cpu_exponent", GROWTH, None)),
           count=1_000_000, size=1000, configs={"max.message.bytes": str(growth.MAX_BATCH)}),
]  # fmt: skip
