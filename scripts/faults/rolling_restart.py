#!/usr/bin/env python3
"""Restarts every node of a cluster of three, one after the other, as an upgrade does.

    scripts/faults/rolling_restart.py [--short] [--rounds 5] [--against klamm|kafka]

Each node is stopped by SIGTERM, started again, and the next one follows when all replicas are in sync. Two idempotent
producers write with acks=all, a transactional one commits and aborts, a group reads and commits. No client sees an error that
it does not retry by itself, and 99 of 100 records are acknowledged within a second of being sent, over each round. Nothing
acknowledged is lost or doubled.
"""

import random
import sys

from load import Reader, create_topics, main, parser, violations
from lost_brokers import (
    PARTITIONS,
    SETTINGS,
    TOPIC,
    TRANSACTIONS,
    Rounds,
    TimedLoad,
    Transactions,
    transaction_violations,
)

from harness.cluster import Cluster

P99_S = 1.0


class MeasuredLoad(TimedLoad):
    """A load that remembers how long each record took until it was acknowledged."""

    def __init__(self, *arguments, **options):
        self.latencies = []
        super().__init__(*arguments, **options)

    def on_delivery(self, error, message):
        """Notes the latency."""
        super().on_delivery(error, message)
        if error is None:
            self.latencies.append(message.latency())

    def take_latencies(self):
        """Those since this was asked last."""
        latencies, self.latencies = self.latencies, []
        return latencies


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--against", choices=["klamm", "kafka"], default="klamm")
    arguments = arguments.parse_args()
    rounds = 1 if arguments.short else arguments.rounds
    with Cluster(arguments.against, settings=SETTINGS) as cluster:
        bootstrap = cluster.bootstrap
        cluster.wait_for_controller()
        partitions = create_topics(bootstrap, [TOPIC], PARTITIONS, replicas=3)
        create_topics(bootstrap, [TRANSACTIONS], 3, replicas=3)
        loads = [MeasuredLoad(bootstrap, name, partitions, pause_s=0.02) for name in ("one", "two")]
        reader, transactions = Reader(bootstrap, [TOPIC]), Transactions(bootstrap, 3)
        work = Rounds(cluster, random.Random(0))
        work.wait_until_healed(loads)
        slow = []
        for number in range(rounds):
            for load in loads:
                load.take_latencies()
            for node in cluster.nodes.values():
                node.stop()
                node.start()
                work.wait_until_healed(loads)
            latencies = sorted(latency for load in loads for latency in load.take_latencies())
            p99 = latencies[len(latencies) * 99 // 100]
            print(
                f"round {number + 1}: {len(latencies)} records, p99 {p99:.3f} s, max {latencies[-1]:.3f} s", flush=True
            )
            slow += [f"round {number + 1}: {p99:.3f} s"] if p99 > P99_S else []
        for client in [*loads, reader, transactions]:
            client.stop()
        promises.check(f"99 of 100 records are acknowledged within {P99_S} s", rounds, slow)
        promises.check_all(violations(bootstrap, partitions, loads, reader))
        promises.check_all(transaction_violations(bootstrap, transactions))
        promises.check("no panic", 1, ["panicked"] if "panicked" in cluster.log_text() else [])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
