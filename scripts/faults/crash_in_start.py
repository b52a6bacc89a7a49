#!/usr/bin/env python3
"""Kills a broker again and again while it starts and recovers.

    scripts/faults/crash_in_start.py [--short] [--cycles 200] [--seed N]

A broker with 60 partitions of unflushed segments is killed; a random one of its logs gets a torn tail each time. Then it is
started and killed after a random part of the time that a start takes, over and over, and at last left alone. What it
holds then is, byte for byte of records, what an undisturbed recovery of a copy of the directory holds.
"""

import random
import shutil
import subprocess
import sys
import time

from load import Klamm, Load, create_topics, main, parser, stored, violations

SETTINGS = {"log.segment.bytes": "1048576", "auto.create.topics.enable": "false"}


def tear(data, chance):
    """Puts a part of a batch behind one of the logs."""
    logs = sorted(path for path in data.glob("torn-*/*.log"))
    newest = {path.parent: path for path in logs}
    path = chance.choice(sorted(newest.values()))
    content = path.read_bytes()
    with path.open("ab") as file:
        file.write(content[: min(len(content), 40)] or b"\0" * 40)


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--cycles", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = arguments.parse_args()
    cycles = 10 if arguments.short else arguments.cycles
    chance = random.Random(arguments.seed)
    print(f"seed {arguments.seed}")
    with Klamm(SETTINGS) as broker:
        partitions = create_topics(broker.bootstrap, ["torn"], 60)
        load = Load(broker.bootstrap, "one", partitions, size=3000)
        time.sleep(2)
        load.stop()
        broker.kill()
        tear(broker.data, chance)
        copy = Klamm(SETTINGS)
        shutil.copytree(broker.data, copy.data)
        with copy:
            undisturbed = stored(copy.bootstrap, partitions, [])
        started = time.monotonic()
        broker.start()
        usual_s = time.monotonic() - started
        broker.kill()
        ready = 0
        for cycle in range(cycles):
            if cycle % 3 == 0:
                tear(broker.data, chance)
            with broker.log.open("ab") as log:
                process = subprocess.Popen(broker.command(), stdout=log, stderr=log, cwd=broker.directory)
            time.sleep(chance.uniform(0, 1.2 * usual_s))
            ready += process.poll() is None
            process.kill()
            process.wait()
        broker.start()
        found = stored(broker.bootstrap, partitions, [])
        differing = [key for key in partitions if found[key] != undisturbed[key]]
        print(
            f"{cycles} kills within {1.2 * usual_s * 1000:.0f} ms of a start; {sum(map(len, found.values()))} records"
        )
        promises.check("no start fails by itself", cycles, [] if ready == cycles else [f"{cycles - ready} ended"])
        promises.check("the result is that of an undisturbed recovery", len(partitions), differing)
        promises.check_all(violations(broker.bootstrap, partitions, [load]))
        panics = [line for line in broker.log.read_text(errors="replace").splitlines() if "panicked" in line]
        promises.check("no panic", cycles, panics)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
