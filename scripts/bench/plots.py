"""Plain SVG pictures: bars with ranges, and how far each target is from being met."""

import math
from html import escape

WIDTH, LABEL, LINE, TOP = 860, 150, 30, 48
CURVE_HEIGHT = 300
COLORS = {"kafka": "#8a8a8a", "klamm": "#1f6fb2", "klamm-again": "#8fbfe6"}
FLOOR_COLOR = "#c9a227"
VERDICTS = {"met": "#2e8b57", "client-bound": "#7fb069", "missed": "#c0392b", "INCONCLUSIVE": "#b0b0b0", "VOID": "#000000"}


def label(x, y, words, size=13, anchor="start"):
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, color="#222222"):
    """A thin line."""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}" stroke-width="1.5"/>'


def picture(height, parts):
    """An SVG document."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def bars(title, unit, rows):
    """A bar for each (name, (median, low, high)), with its range as a line on it."""
    room = WIDTH - LABEL - 140
    most = max((values[2] for _, values in rows), default=0) or 1
    parts = [label(12, 20, title, 15), label(12, 38, unit, 12)]
    for index, (name, (median, low, high)) in enumerate(rows):
        y = TOP + index * LINE
        color = COLORS.get(name, FLOOR_COLOR)
        at = [LABEL + value / most * room for value in (median, low, high)]
        parts.append(label(LABEL - 8, y + 15, name, anchor="end"))
        parts.append(f'<rect x="{LABEL}" y="{y}" width="{max(1, at[0] - LABEL):.1f}" height="{LINE - 10}" fill="{color}"/>')
        parts += [line(at[1], y + 10, at[2], y + 10), line(at[1], y + 5, at[1], y + 15), line(at[2], y + 5, at[2], y + 15)]
        parts.append(label(at[2] + 8, y + 15, f"{median:,.4g}"))
    return picture(TOP + len(rows) * LINE + 12, parts)


def curves(title, unit, by_name):
    """A curve for each name -> [(N, median, low, high)]: N by its logarithm, the figure from 0."""
    bottom, right = TOP + CURVE_HEIGHT, WIDTH - 40
    points = [point for curve in by_name.values() for point in curve]
    first, last = (math.log10(pick(point[0] for point in points)) for pick in (min, max))
    most = max(point[3] for point in points) or 1
    x = lambda n: LABEL + (math.log10(n) - first) / ((last - first) or 1) * (right - LABEL)  # noqa: E731
    y = lambda value: bottom - value / most * CURVE_HEIGHT  # noqa: E731
    parts = [label(12, 20, title, 15), label(12, 38, unit, 12)]
    parts += [line(LABEL, bottom, right, bottom), line(LABEL, TOP, LABEL, bottom)]
    parts += [label(x(n), bottom + 18, f"{n:,}", 12, "middle") for n in sorted({point[0] for point in points})]
    parts += [label(LABEL - 8, y(value) + 4, f"{value:,.4g}", 12, "end") for value in (0, most / 2, most)]
    for index, (name, curve) in enumerate(by_name.items()):
        color = COLORS.get(name, FLOOR_COLOR)
        parts.append(f'<rect x="{right - 110}" y="{20 + 14 * index - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(label(right - 94, 20 + 14 * index, name, 12))
        parts += drawn([(x(n), y(median), y(low), y(high)) for n, median, low, high in curve], color)
    return picture(bottom + 32, parts)


def drawn(places, color):
    """A dot with its range at each (x, median, low, high), and lines from dot to dot."""
    for x, median, low, high in places:
        yield line(x, low, x, high, color)
        yield f'<circle cx="{x:.1f}" cy="{median:.1f}" r="4" fill="{color}"/>'
    for before, after in zip(places, places[1:], strict=False):
        yield line(*before[:2], *after[:2], color)


def targets(rows):
    """A line for each (words, target), colored by its verdict, with a scale where 1 is exactly the target."""
    parts = [label(12, 20, "Targets: the range, divided by the target; right of the line is better", 15)]
    words_width = 560
    room, middle = WIDTH - words_width - 20, words_width + (WIDTH - words_width - 20) / 3
    for index, (words, target) in enumerate(rows):
        y = TOP + index * 22
        parts += [label(12, y + 12, words, 10)]
        parts += [f'<rect x="{words_width - 14}" y="{y + 3}" width="10" height="10" fill="{VERDICTS[target["verdict"]]}"/>']
        if target["range"] and min(target["range"]) > 0:
            goodness = [value / target["value"] if target["at_least"] else target["value"] / value for value in target["range"]]
            at = [words_width + min(3.0, value) / 3 * room for value in goodness]
            parts.append(line(min(at), y + 8, max(at) + 1, y + 8))
            parts.append(f'<circle cx="{at[0]:.1f}" cy="{y + 8}" r="4" fill="{VERDICTS[target["verdict"]]}"/>')
    parts.append(line(middle, TOP - 6, middle, TOP + len(rows) * 22, "#aaaaaa"))
    return picture(TOP + len(rows) * 22 + 12, parts)
