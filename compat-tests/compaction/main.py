"""The same workload on Apache Kafka 4.1 and on Klamm, compacted by both: the same records stay, at the same offsets.

Keyed values and tombstones go to compacted topics, each in a batch of its own, so that segments end at the same records.
What must stay follows from the workload: of each key the last record before the active segment, and all behind it. The
records with which a producer's state is kept are in empty batches, which no consumer sees.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from harness.broker import ApacheKafka, Klamm  # noqa: E402
from harness.dump_log import complaints  # noqa: E402

PATIENCE_S = 60
SEED = 12
RECORDS, KEYS, VALUE_BYTES = 8_000, 150, 1_000
# Values that come later: more than a segment holds, so that there is something to clean once more.
LATE = 1_500
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.001"}
# The tombstones of one topic stay for longer than the test takes. Those of the other go when a cleaning meets them again;
# which are met twice depends on when the cleaner comes by.
TOPICS = {"kept": {"delete.retention.ms": "86400000"}, "dropped": {"delete.retention.ms": "0"}}
SETTINGS = {"log.cleaner.backoff.ms": "100"}


def workload():
    """Each record's key and value; every eighth or so of the first ones is a tombstone."""
    chance = random.Random(SEED)
    records = []
    for number in range(RECORDS + LATE):
        is_late = number >= RECORDS
        key = f"late-{number}" if is_late else f"key-{chance.randrange(KEYS)}"
        is_tombstone = not is_late and chance.random() < 0.12
        records.append((key.encode(), None if is_tombstone else f"{number}:".ljust(VALUE_BYTES, "v").encode()))
    return records


def create_topics(bootstrap):
    """Makes both topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(topic, 1, 1, config={**COMPACTED, **config}) for topic, config in TOPICS.items()]
    for made in admin.create_topics(wanted).values():
        made.result(PATIENCE_S)


def write(bootstrap, records):
    """Appends records to both topics."""
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "batch.num.messages": 1, "linger.ms": 0}
    producer = Producer({**settings, "log_level": 0})
    for key, value in records:
        for topic in TOPICS:
            producer.produce(topic, value, key)
        producer.poll(0)
    if producer.flush(PATIENCE_S):
        raise RuntimeError("not everything was acknowledged")


def read_all(bootstrap, topic):
    """All records that a consumer sees: offset, key, value."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        message = consumer.poll(PATIENCE_S)
        if message is None or message.error():
            break
        found.append((message.offset(), message.key(), message.value()))
    consumer.close()
    return found


def active_base(data, topic):
    """The first offset of the active segment, which no cleaner touches."""
    return max(int(file.stem) for file in (data / f"{topic}-0").glob("*.log"))


def expected(written, base):
    """What stays of the written records when everything before `base` is clean and no tombstone has gone."""
    last = {key: offset for offset, (key, _) in enumerate(written) if offset < base}
    return [(offset, *record) for offset, record in enumerate(written) if offset >= base or last[record[0]] == offset]


def certain(records, topic, base):
    """Those of the records that do not depend on when the cleaner came by."""
    return [record for record in records if topic == "kept" or record[0] >= base or record[2] is not None]


def compacted(broker, topic, written, gone_before=0):
    """What is there when the cleaner has done all that it can do, which leaves no tombstone before `gone_before`, or when
    the patience is at its end; and where the active segment begins."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        base = active_base(broker.data, topic)
        found = read_all(broker.bootstrap, topic)
        is_clean = certain(found, topic, base) == certain(expected(written, base), topic, base)
        if (is_clean and not tombstones(found, gone_before)) or time.monotonic() > deadline:
            return found, base
        time.sleep(0.2)


def tombstones(records, end):
    """The offsets of those before `end`."""
    return [offset for offset, _, value in records if offset < end and value is None]


def outcome(kind):
    """What one broker makes of the workload: per topic the records and where the active segment begins; tombstones that
    should have gone; what Kafka's dump tool says."""
    records = workload()
    with kind(SETTINGS) as broker:
        create_topics(broker.bootstrap)
        write(broker.bootstrap, records[:RECORDS])
        _, gone_before = compacted(broker, "dropped", records[:RECORDS])
        write(broker.bootstrap, records[RECORDS:])
        found = {
            "kept": compacted(broker, "kept", records),
            "dropped": compacted(broker, "dropped", records, gone_before),
        }
        broker.stop()
        return found, tombstones(found["dropped"][0], gone_before), complaints(broker.data)


def difference(found, wanted):
    """The first place at which two lists of records are not the same; None where there is none."""
    if found == wanted:
        return None
    one, other = ({record[0]: record for record in records} for records in (found, wanted))
    offset = min(offset for offset in one.keys() | other.keys() if one.get(offset) != other.get(offset))
    keys = [records[offset][1] if offset in records else None for records in (one, other)]
    return f"{len(found)} and {len(wanted)} records; at {offset} {keys[0]} and {keys[1]}"


def main():
    """Runs the workload on both; the exit status says whether they agree."""
    (ours, tombstones_left, complained), (kafkas, _, _) = outcome(Klamm), outcome(ApacheKafka)
    results = []
    for topic in TOPICS:
        (found, base), (kafka_found, kafka_base) = ours[topic], kafkas[topic]
        found, kafka_found = certain(found, topic, base), certain(kafka_found, topic, kafka_base)
        wanted = certain(expected(workload(), base), topic, base)
        results += [
            (f"{topic}: what stays is what must stay", difference(found, wanted)),
            (f"{topic}: the same records as in Kafka, at the same offsets", difference(found, kafka_found)),
            (f"{topic}: segments end where Kafka's do", base != kafka_base and (base, kafka_base)),
        ]
    results.append(("tombstones go when they are met again", tombstones_left))
    results.append(("Kafka's dump tool accepts what the cleaner has left", complained))
    for name, problem in results:
        print(f"FAIL {name}: {problem}" if problem else f"PASS {name}", flush=True)
    sys.exit(any(problem for _, problem in results))


if __name__ == "__main__":
    main()
