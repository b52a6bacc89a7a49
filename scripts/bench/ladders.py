"""What a ladder of N says: how figures grow with N, as exponents, as a table and as curves."""

import math
import statistics

from ranges import median_range


def exponent(points, metric):
    """The power of N that a figure grows with: least squares over the logarithms. 1 is in proportion, 0 not at all."""
    steps = [math.log(point["n"]) for point in points]
    return statistics.linear_regression(steps, [math.log(point[metric]) for point in points]).slope


def last_over_first(points, metric):
    """The figure at the largest N over that at the smallest."""
    return points[-1][metric] / points[0][metric]


def most_growth(points, metric):
    """The most that the figure grows from an N to any larger one: what happens between the ends is seen here."""
    return max(after[metric] / before[metric] for index, before in enumerate(points) for after in points[index + 1 :])


def over_rounds(rounds, columns):
    """column -> participant -> [(N, median, low, high)]; nothing of turns that are void."""
    names = list(rounds[0])
    found = {name: [entry[name]["points"] for entry in rounds if "points" in entry[name]] for name in names}
    return {column: {name: curve(turns, column) for name, turns in found.items() if turns} for column in columns}


def curve(turns, column):
    """One participant's [(N, median, low, high)]."""
    return [(points[0]["n"], *median_range([point[column] for point in points])) for points in zip(*turns, strict=True)]


def cells(ladder, units, number):
    """The rows of a table: N, then every column's median of every participant."""
    heads = [(column, name) for column, curves in ladder.items() for name in curves]
    yield ["N", *(f"{units[column]}, {name}" for column, name in heads)]
    curves = [ladder[column][name] for column, name in heads]
    for points in zip(*curves, strict=True):
        yield [f"{points[0][0]:,}", *(number(point[1]) for point in points)]
