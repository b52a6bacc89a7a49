"""The results as a text table and as JSON; losing rows stand like winning ones."""

import json

import ladders
import plots
from participants import AGAIN, KLAMM

UNITS = {
    "mb_s": "MB/s", "records_s": "records/s", "cpu_s_per_gb": "broker CPU s/GB", "cpu_s_per_wire_gb": "broker CPU s/wire GB",
    "peak_mib": "peak MiB", "broker_busy": "broker busy", "client_busy": "client busy", "p50_us": "p50 us", "p99_us": "p99 us",
    "p999_us": "p99.9 us", "cpu_s": "broker CPU s", "alone_p99_us": "p99 us alone", "over_alone": "p99 over alone",
    "answer_us": "answer, us", "commits_s": "commits/s", "over_empty": "p50 beside 5,000 / beside none",
    "p50_us_at_0": "p50 us beside none", "p50_us_at_1000": "p50 us beside 1,000", "p50_us_at_5000": "p50 us beside 5,000",
    "start_ms": "start ms", "idle_mib": "idle MiB", "late_us": "p99 us sent late", "slowest_us": "slowest of a round, us",
    "worst_us": "slowest of all, us", "cost_us": "broker CPU us/record", "cost_ratio": "CPU per record, last N / first",
    "byte_ratio": "CPU per byte, last N / first", "most_growth": "the same, most from any N to a larger",
    "cpu_exponent": "exponent of broker CPU", "peak_exponent": "exponent of peak MiB", "start_exponent": "exponent of start ms",
    "over_plain": "CPU over that without idempotence", "of_plain": "records per CPU s / without transactions",
    "transactions_s": "transactions/s", "transaction_us": "broker CPU us/transaction", "plain_us": "broker CPU us/batch alone",
    "commit_p50_us": "commit p50 us", "commit_p99_us": "commit p99 us",
}  # fmt: skip


def number(value):
    """A figure with three digits that matter."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def aligned(rows):
    """The lines of a table, its first column to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join(["  " + first.ljust(widths[0]), *cells])


def ranged(values):
    """A median with its range."""
    return "-" if values is None else f"{number(values[0])} [{number(values[1])}, {number(values[2])}]"


def scenario_lines(result):
    """A scenario's table."""
    names = list(result["rounds"][0])
    others = [name for name in names if name not in (KLAMM, AGAIN)]
    headings = ["", *names, *(f"klamm / {name}" for name in others), "A/A"]
    rows = [headings]
    for metric, found in result["metrics"].items():
        medians = [number(found["medians"][name] and found["medians"][name][0]) for name in names]
        rows.append([UNITS[metric], *medians, *(ranged(found["beside"][name]) for name in others), ranged(found["again"])])
    notes = [f"{len(result['rounds'])} rounds", *(["client-bound"] if result["client_bound"] else [])]
    yield f"row {result['row']}  {result['title']}  ({', '.join(notes)})"
    yield from aligned(rows)
    if "ladder" in result:
        yield from ["", *aligned(list(ladders.cells(result["ladder"], UNITS, number))), ""]
    yield from (f"  target {target_line(target)}" for target in result["targets"])
    yield from (f"  VOID {name}: {reasons[0]}" for name, reasons in result["void"].items())
    if result["disturbed"]:
        yield f"  {result['disturbed']:.0%} of the turns were disturbed by another process"
    yield ""


def target_line(target):
    """A target and what became of it."""
    sign = ">=" if target["at_least"] else "<="
    beside = f"of {target['beside']}" if target["beside"] else "itself"
    return f"{UNITS[target['metric']]} {sign} {target['value']:g} {beside}: {ranged(target['range'])}: {target['verdict']}"


def text(results):
    """The whole table."""
    lines = [f"{key}: {value}" for key, value in results["conditions"].items()]
    lines += ["", "floors of the machine, MB/s"]
    lines += [f"  {name}: {ranged(found)}" for name, found in results["machine_floors"].items()] + [""]
    for result in results["scenarios"]:
        lines += scenario_lines(result)
    verdicts = [target["verdict"] for result in results["scenarios"] for target in result["targets"]]
    lines.append("targets: " + ", ".join(f"{verdicts.count(kind)} {kind}" for kind in sorted(set(verdicts))))
    return "\n".join(lines) + "\n"


def write(results, folder):
    """Writes table.txt, results.json and a plot for each metric of each scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.txt").write_text(text(results))
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for result in results["scenarios"]:
        for metric, found in result["metrics"].items():
            bars = [(name, values) for name, values in found["medians"].items() if values]
            (folder / f"{result['row']}-{result['name']}-{metric}.svg").write_text(
                plots.bars(f"row {result['row']}: {result['title']}", UNITS[metric], bars)
            )
        for column, curves in result.get("ladder", {}).items():
            if not curves:
                continue
            (folder / f"{result['row']}-{result['name']}-by-n-{column}.svg").write_text(
                plots.curves(f"row {result['row']}: {result['title']}", UNITS[column], curves)
            )
    targets = [(f"{result['row']} {result['name']}, {target_line(target)}", target) for result in results["scenarios"] for target in result["targets"]]
    (folder / "targets.svg").write_text(plots.targets(targets))
