"""Row 16: what exactly-once costs: idempotent producers, and transactions as clients of Kafka 4 do them."""

import clients
import swarms
import trials

# A load of many transactions, or of one producer's, lasts as long.
SECONDS = 3.0
# Producers and transactional ids of each where a transaction is compared with the same batch alone.
PRODUCERS, IDS = 6, 4


def load(trial, connections, ids, records):
    """The swarm's command with transactions one after the other; plain batches where there are no ids."""
    scenario, seconds = trial.scenario, max(0.5, SECONDS * min(1.0, trial.scale * 2))
    return swarms.transacting(
        trial.participant.port, trial.topic, scenario.partitions, connections, ids, seconds, records, scenario.size
    )


def with_cost(result, records):
    """Adds what one transaction takes of the broker."""
    return result | {"transaction_us": result["cpu_s"] / (result["records"] / records) * 1e6}


def observed(trial, connections, ids, records):
    """`trials.swarm_observed` of such a load, with what one transaction takes."""
    return with_cost(trials.swarm_observed(trial, load(trial, connections, ids, records)), records)


def many(trial):
    """Many producers, each with some transactional ids that it takes in turn, one record in a transaction."""
    choices = trial.scenario.choices
    trial.participant.create_topic(trial.topic, trial.scenario.partitions, {})
    result = observed(trial, trials.fewer(trial), choices["ids"], 1)
    trial.participant.delete_topics([trial.topic])
    return result


def one(trial):
    """One producer, one transaction after the other, its ids in turn: from the commit to its answer."""
    trial.participant.create_topic(trial.topic, trial.scenario.partitions, {})
    result = observed(trial, 1, trial.scenario.choices["ids"], 1)
    trial.participant.delete_topics([trial.topic])
    return result


def beside_plain(trial):
    """Transactions of one batch, and the same batches without: throughput and cost of the one as shares of the other's."""
    records = trial.scenario.choices["records"]
    trial.participant.create_topic(trial.topic, trial.scenario.partitions, {})
    plain = observed(trial, PRODUCERS, 0, records)
    result = observed(trial, PRODUCERS, IDS, records)
    trial.participant.delete_topics([trial.topic])
    rate = lambda found: found["records"] / found["cpu_s"]  # noqa: E731
    return result | {"of_plain": rate(result) / rate(plain), "plain_us": plain["transaction_us"]}


def idempotent(trial):
    """Records of an idempotent producer, and of one that is not: the one's CPU time as a multiple of the other's."""
    cost = {}
    for is_idempotent in (False, True):
        choices = {"enable.idempotence": str(is_idempotent).lower()}
        action = lambda: clients.produce(trial.bootstrap, trial.topic, trial.count, trial.scenario.size, **choices)  # noqa: B023, E731
        result = trials.on_new_topic(trial, action)
        cost[is_idempotent] = result["cpu_s_per_gb"]
    return result | {"over_plain": cost[True] / cost[False]}
