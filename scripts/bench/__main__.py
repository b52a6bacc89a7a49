"""Measures Klamm beside Apache Kafka and beside the machine's limits.

    python3 scripts/bench [--rows 1,2,5] [--rounds N] [--most-rounds N] [--scale X] [--out FOLDER] [--force]

All participants run on one core and all clients on another; A B A B in alternating order, Klamm twice. Results go to
`scripts/bench/results/<time>/`: table.txt, results.json and pictures. What is missing is installed into a cache
directory (KLAMM_BENCH_CACHE) from package registries. KLAMM names another binary than target/release/klamm.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import install  # noqa: E402
import judgement  # noqa: E402
import machine  # noqa: E402
import machine_floors  # noqa: E402
import participants  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402

HERE = Path(__file__).resolve().parent


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="rows or names of scenarios, by commas; all by default")
    parser.add_argument("--rounds", type=int, default=9, help="at least 9 for a result that counts")
    parser.add_argument("--most-rounds", type=int, help="go on up to so many while two runs of Klamm do not agree")
    parser.add_argument("--scale", type=float, default=1.0, help="makes every count smaller, to try things out")
    parser.add_argument("--warm-ups", type=int, default=3, help="turns of Apache Kafka that do not count, per scenario")
    parser.add_argument("--without", default="", help="participants to leave out, by commas, such as kafka,append")
    parser.add_argument("--dir", type=Path, help="where the brokers' data goes; a new temporary directory by default")
    parser.add_argument("--out", type=Path, help="the folder for the results")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine; the results are marked")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    chosen = parser.parse_args()
    chosen.most_rounds = max(chosen.rounds, chosen.most_rounds or 0)
    chosen.without = chosen.without.split(",")
    return chosen


def wanted(rows):
    """The scenarios of the rows."""
    names = rows.split(",") if rows else None
    found = [scenario for scenario in SCENARIOS if names is None or scenario.row in names or scenario.name in names]
    if not found:
        sys.exit(f"no such rows: {rows}")
    return found


def conditions(settings, idle):
    """Under what conditions the results were found."""
    small = settings.scale < 1 or settings.rounds < 9
    notes = [note for note, holds in (("busy machine, forced", idle < machine.MIN_IDLE), ("small run", small)) if holds]
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S"), "marks": ", ".join(notes) or "none", "idle before": f"{idle:.0%}",
        "load": os.getloadavg(), "rounds": f"{settings.rounds} to {settings.most_rounds}", "scale": settings.scale,
        **participants.versions(), **machine.description(),
        "cores of broker and client": f"{machine.BROKER_CORE} and {machine.CLIENT_CORE}",
        "kafka jvm": " ".join(participants.KAFKA_JVM), "kafka settings": str(participants.KAFKA_SETTINGS),
        "settings of both": str(participants.SETTINGS),
    }  # fmt: skip


def measure(settings, folder, directory):
    """Everything that was asked for; the results are written after every scenario."""
    idle = machine.idle_share()
    if idle < machine.MIN_IDLE and not settings.force:
        sys.exit(f"the machine is {idle:.0%} idle, {machine.MIN_IDLE:.0%} are needed; --force measures all the same")
    results = {"conditions": conditions(settings, idle), "scenarios": []}
    results["machine_floors"] = machine_floors.measure(directory, settings.scale, min(settings.rounds, 9))
    for scenario in wanted(settings.rows):
        results["scenarios"].append(judgement.judge(scenario, rounds.run(scenario, directory, settings)))
        report.write(results, folder)
    return results


def main():
    """The exit status is 0 when everything could be measured, whoever won."""
    settings = arguments()
    if settings.list:
        print("\n".join(f"{scenario.row:>3}  {scenario.name:<18} {scenario.title}" for scenario in SCENARIOS))
        return
    for make_ready in (install.kafka_jars, install.rdkafka_performance, install.floors, install.swarm):
        print(f"ready: {make_ready()}", flush=True)
    machine.pin_self()
    # A stop from outside unwinds too, so that no process and no data stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    folder = settings.out or HERE / "results" / time.strftime("%Y%m%d-%H%M%S")
    with tempfile.TemporaryDirectory(prefix="klamm-bench-", dir=settings.dir) as directory:
        results = measure(settings, folder, Path(directory))
    print(f"\n{report.text(results)}\nresults: {folder}")


if __name__ == "__main__":
    main()
