"""What the rounds of a scenario say: medians, ratios with their ranges, and whether each target is met."""

import ladders
from machine import MAX_FOREIGN
from participants import AGAIN, KLAMM
from ranges import agrees, exponent_ratios, median_range, ratios

# Klamm waits for its client when it has core time left and the client has none.
CLIENT_BOUND = {"broker_busy": 0.85, "client_busy": 0.90}
# So many turns may be disturbed by a process that is no part of the measurement.
MAX_DISTURBED = 0.1


def figures(rounds, name, metric):
    """A participant's figures over the rounds that are not void."""
    return [entry[name][metric] for entry in rounds if metric in entry.get(name, {})]


def judge(scenario, rounds):
    """The scenario's part of the results, ready for JSON."""
    names = list(rounds[0])
    metrics = {}
    for metric in scenario.metrics:
        medians = {name: median_range(figures(rounds, name, metric)) for name in names}
        beside = {name: median_range(ratios(rounds, metric, KLAMM, name)) for name in names if name not in (KLAMM, AGAIN)}
        metrics[metric] = {"medians": medians, "beside": beside, "again": again_range(rounds, metric)}
    void = {name: reasons for name in names if (reasons := [entry[name]["void"] for entry in rounds if "void" in entry[name]])}
    turns = [turn for entry in rounds for turn in entry.values()]
    disturbed = sum(turn.get("foreign", 0) > MAX_FOREIGN for turn in turns) / len(turns)
    result = {
        "row": scenario.row, "name": scenario.name, "title": scenario.title, "metrics": metrics, "void": void,
        "disturbed": disturbed, "client_bound": is_client_bound(rounds), "rounds": rounds,
    }  # fmt: skip
    if scenario.columns:
        result["ladder"] = ladders.over_rounds(rounds, scenario.columns)
    result["targets"] = [judge_target(target, result) for target in scenario.targets if target.beside in (None, *names)]
    return result


def again_range(rounds, metric):
    """The range of Klamm's second run over its first: what the instrument makes of no difference at all."""
    return median_range((exponent_ratios if metric.endswith("_exponent") else ratios)(rounds, metric, AGAIN, KLAMM))


def is_settled(scenario, rounds):
    """Whether Klamm's two runs agree in everything that has a target, so that more rounds would not make a verdict firmer."""
    return all(agrees(again_range(rounds, target.metric)) for target in scenario.targets)


def is_client_bound(rounds):
    """Whether the client, not Klamm, limits Klamm's throughput."""
    found = {metric: median_range(figures(rounds, KLAMM, metric)) for metric in CLIENT_BOUND}
    if any(value is None for value in found.values()):
        return False
    busy = found["broker_busy"][0] < CLIENT_BOUND["broker_busy"]
    return busy and found["client_busy"][0] > CLIENT_BOUND["client_busy"]


def judge_target(target, result):
    """One target: the range it is judged by, and met, missed, VOID or INCONCLUSIVE."""
    metric = result["metrics"][target.metric]
    found = metric["medians"].get(KLAMM) if target.beside is None else metric["beside"].get(target.beside)
    return {
        "metric": target.metric, "beside": target.beside, "at_least": target.at_least, "value": target.value,
        "range": found, "verdict": verdict(target, found, metric["again"], result),
    }  # fmt: skip


def verdict(target, found, again, result):
    """A target is met only when the worse end of the range meets it."""
    if found is None or result["void"]:
        return "VOID"
    if not agrees(again) or result["disturbed"] > MAX_DISTURBED:
        return "INCONCLUSIVE"
    if found[1] >= target.value if target.at_least else found[2] <= target.value:
        return "met"
    if target.or_client_bound and result["client_bound"]:
        return "client-bound"
    return "missed"
