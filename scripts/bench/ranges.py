"""Medians, percentiles and bootstrap ranges."""

import random
import statistics

RESAMPLES = 4000
# Two runs of the same broker must agree within this, or the instrument is too coarse for what it measured.
AGREEMENT = (0.90, 1.10)


def percentile(ordered, share):
    """The value below which `share` of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latencies(values):
    """p50, p99 and p99.9 of latencies, under the names of their metrics."""
    ordered = sorted(values)
    return {"p50_us": percentile(ordered, 0.5), "p99_us": percentile(ordered, 0.99), "p999_us": percentile(ordered, 0.999)}


def median_range(values):
    """(median, low, high): the bootstrap's 95% range of the median; None without values."""
    if not values:
        return None
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return (statistics.median(values), percentile(medians, 0.025), percentile(medians, 0.975))


def ratios(rounds, metric, over, under):
    """Per round, the metric of one participant divided by that of another; rounds that miss one are left out."""
    pairs = [(entry.get(over, {}).get(metric), entry.get(under, {}).get(metric)) for entry in rounds]
    return [a / b for a, b in pairs if a is not None and b]


def exponent_ratios(rounds, metric, over, under):
    """The same for exponents, which may be about 0: how much more the one grows than the other when N is ten times as large."""
    pairs = [(entry.get(over, {}).get(metric), entry.get(under, {}).get(metric)) for entry in rounds]
    return [10 ** (a - b) for a, b in pairs if None not in (a, b)]


def agrees(aa):
    """Whether the range of an A/A ratio is narrow enough."""
    return aa is not None and aa[1] >= AGREEMENT[0] and aa[2] <= AGREEMENT[1]
