#!/usr/bin/env python3
"""Sets the broker's wall clock forward and back while it is used.

    scripts/faults/clock_jumps.py [--short] [--jumps 12] [--every 5]

The broker sees its wall clock through libfaketime (its monotonic clock is real); the clock jumps by up to 50 minutes
forward or back every few seconds. Idempotent producers write to a topic with CreateTime and to one with LogAppendTime, and
a group with a session of six seconds reads and commits. Nobody is thrown out of the group, no send fails, nothing
acknowledged is lost or doubled, committed offsets are kept, LogAppendTime never goes back inside a partition.
"""

import glob
import random
import sys
import time

from load import (
    QUICK,
    Consumer,
    Klamm,
    Load,
    Reader,
    TopicPartition,
    create_topics,
    main,
    parser,
    toolchains,
    violations,
)

SETTINGS = {"auto.create.topics.enable": "false"}
# Kafka refuses records of more than an hour after the broker's time.
MOST_MINUTES = 50
# Where Debian's package libfaketime puts the library to be preloaded.
LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class FakeClockKlamm(Klamm):
    """The broker with a wall clock that is set by a file."""

    def command(self):
        found = glob.glob(LIBRARY)
        if not found:
            toolchains.install_debian("libfaketime")
            found = glob.glob(LIBRARY)
        self.offset_file = self.directory / "offset"
        self.offset_file.write_text("+0")
        variables = [
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_NO_CACHE=1",
            f"FAKETIME_TIMESTAMP_FILE={self.offset_file}",
        ]
        return ["env", f"LD_PRELOAD={found[0]}", *variables, *super().command()]

    def set_clock(self, seconds):
        """Sets the wall clock this far from the real one."""
        self.offset_file.write_text(f"{seconds:+d}")


def append_times(bootstrap, partition):
    """The timestamps of all records of a partition, in their order."""
    options = {"bootstrap.servers": bootstrap, "group.id": "times", "enable.auto.commit": False}
    consumer = Consumer({**options, **QUICK})
    end = consumer.get_watermark_offsets(TopicPartition(*partition), 30)[1]
    consumer.assign([TopicPartition(*partition, 0)])
    times, deadline = [], time.monotonic() + 60
    while len(times) < end and time.monotonic() < deadline:
        times += [
            message.timestamp()[1] for message in consumer.consume(10_000, timeout=0.2) if message.error() is None
        ]
    consumer.close()
    return times


def run(promises):
    """Runs it."""
    arguments = parser(__doc__)
    arguments.add_argument("--jumps", type=int, default=12)
    arguments.add_argument("--every", type=float, default=5)
    arguments = arguments.parse_args()
    jumps, every = (4, 1) if arguments.short else (arguments.jumps, arguments.every)
    with FakeClockKlamm(SETTINGS) as broker:
        created = create_topics(broker.bootstrap, ["created"], 2)
        appended = create_topics(broker.bootstrap, ["appended"], 2, message_timestamp_type="LogAppendTime")
        loads = [Load(broker.bootstrap, name, [*created, *appended], pause_s=0.02) for name in ("one", "two")]
        reader = Reader(broker.bootstrap, ["created", "appended"])
        while not reader.commits:
            time.sleep(0.01)
        time.sleep(1)
        rebalances, offsets = reader.rebalances, []
        for jump in range(jumps):
            minutes = random.randint(1, MOST_MINUTES) * (1 if jump % 2 == 0 else -1)
            broker.set_clock(minutes * 60)
            offsets.append(minutes)
            time.sleep(every)
        more = reader.rebalances - rebalances
        for client in (*loads, reader):
            client.stop()
        print(f"the clock jumped to {offsets} minutes from the real one")
        promises.check(
            "nobody is thrown out of the group", jumps, [f"{more} times partitions were assigned"] if more else []
        )
        back, count, spread = [], 0, 0
        for partition in appended:
            times = append_times(broker.bootstrap, partition)
            back += [
                f"{partition}: {then} then {now}" for then, now in zip(times, times[1:], strict=False) if now < then
            ]
            count += len(times)
            spread = max(spread, max(times) - min(times))
        promises.check("LogAppendTime never goes back", count, back)
        promises.check("the broker saw the jumps", 1, [] if spread > 60_000 else [f"times are within {spread} ms"])
        promises.check_all(violations(broker.bootstrap, [*created, *appended], loads, reader))
        panics = [line for line in broker.log.read_text(errors="replace").splitlines() if "panicked" in line]
        promises.check("no panic", jumps, panics)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(run)
