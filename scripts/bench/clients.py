"""The clients: librdkafka's `rdkafka_performance` and Kafka's own tools. Each returns what it measured, or raises `Void`."""

import contextlib
import os
import random
import re
import resource
import string
import subprocess
import tempfile
import time
from pathlib import Path

import install
import machine
from ranges import latencies

DEADLINE_S = 600
JVM = ["-Xms512m", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
PRODUCED = re.compile(r"% (\d+) messages produced \((\d+) bytes\), (\d+) delivered \(offset -?\d+, (\d+) failed\) in (\d+)ms")
CONSUMED = re.compile(r"% (\d+) messages \((\d+) bytes\) consumed in (\d+)ms")
JAVA_PRODUCED = re.compile(
    r"(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), [\d.]+ ms avg latency, [\d.]+ ms max latency, "
    r"(\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th, (\d+) ms 99.9th"
)
JAVA_END_TO_END = re.compile(r"Percentiles: 50th = (\d+), 99th = (\d+), 99.9th = (\d+)")


class Void(Exception):
    """A client saw an error, or not every record arrived: the round does not count."""


def child_seconds():
    """CPU seconds of all children that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(command, **options):
    """Starts a client, which ends with this process; `options` are those of a process."""
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=machine.die_with_parent,
        **options,
    )


def finish(process):
    """Waits for a client; what it printed."""
    try:
        output, _ = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Void(f"no end after {DEADLINE_S} s: {process.communicate()[0][-500:]}") from None
    if process.returncode != 0:
        raise Void(f"exit status {process.returncode}: {output[-500:]}")
    return output


def found(pattern, output):
    """The groups of the last match in a client's output."""
    matches = list(pattern.finditer(output))
    if not matches:
        raise Void(f"nothing measured: {output[-500:]}")
    return matches[-1].groups()


def options(settings):
    """librdkafka's properties as arguments."""
    return [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]


@contextlib.contextmanager
def latency_file():
    """A file for one latency in microseconds per line, in memory so that writing it does not wait for the disk."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".latencies") as file:
        yield Path(file.name)


def read_latencies(path, skip=0):
    """The latencies of a file, without the first ones, in which clients connect."""
    return [int(line) for line in path.read_text().split()[skip:]]


def rates(records, size, seconds):
    """Throughput under the names of its metrics."""
    flow = {"mb_s": size / seconds / 1e6, "records_s": records / seconds}
    return {**flow, "records": records, "payload_bytes": size, "active_s": seconds}


def rdkafka_producer(bootstrap, topic, count, size, acks=-1, linger_ms=5, rate=None, latency=None, codec=None, **settings):
    """The command of a producer; `latency` is the file that takes each record's."""
    settings = {"linger.ms": linger_ms, "queue.buffering.max.messages": 500_000, **settings}
    command = [install.rdkafka_performance(), "-P", "-b", bootstrap, "-t", topic, "-s", size, "-c", count, "-a", acks]
    command += ["-r", rate] if rate else []
    command += ["-l", "-A", latency] if latency else []
    command += ["-z", codec] if codec else []
    return command + options(settings)


def rdkafka_consumer(bootstrap, topic, partitions, count, offset="beginning", latency=None, **settings):
    """The command of a consumer that ends after `count` records."""
    command = [install.rdkafka_performance(), "-C", "-b", bootstrap, "-t", topic, "-c", count, "-o", offset]
    command += [word for partition in range(partitions) for word in ("-p", partition)]
    command += ["-l", "-A", latency] if latency else []
    return command + options(settings)


def delivered(output, count):
    """What a producer measured, once all its records were acknowledged."""
    sent, size, acknowledged, failed, milliseconds = map(int, found(PRODUCED, output))
    if failed or acknowledged != count or sent != count:
        raise Void(f"{acknowledged} of {count} records acknowledged, {failed} failed")
    return rates(acknowledged, size, milliseconds / 1000)


def consumed(output, count):
    """What a consumer measured, once all records came."""
    records, size, milliseconds = map(int, found(CONSUMED, output))
    if records < count:
        raise Void(f"{records} of {count} records consumed")
    return rates(records, size, max(1, milliseconds) / 1000)


def produce(bootstrap, topic, count, size, **choices):
    """Produces with librdkafka as fast as it goes."""
    return delivered(finish(start(rdkafka_producer(bootstrap, topic, count, size, **choices))), count)


def produce_latency(bootstrap, topic, count, size, rate, skip, **choices):
    """Produces at a rate with librdkafka; from the record's making to its delivery report."""
    with latency_file() as path:
        command = rdkafka_producer(bootstrap, topic, count, size, linger_ms=0, rate=rate, latency=path, **choices)
        result = delivered(finish(steady(start(command))), count)
        return {"records": result["records"], **latencies(read_latencies(path, skip))}


def consume(bootstrap, topic, partitions, count, **choices):
    """Consumes with librdkafka from the beginning."""
    return consumed(finish(start(rdkafka_consumer(bootstrap, topic, partitions, count, **choices))), count)


def steady(process):
    """A producer at a rate spins between records: here its main thread yields to every thread that has work to do.

    Without this, what is measured is when the scheduler of the one client core takes the core from the spinning thread.
    """
    with contextlib.suppress(ProcessLookupError):
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    return process


def end_to_end(bootstrap, topic, partitions, count, size, rate, skip, ready_s=1.0):
    """From a record's making in one librdkafka process to its arrival in another."""
    with latency_file() as path:
        consumer = start(rdkafka_consumer(bootstrap, topic, partitions, count, offset="end", latency=path))
        time.sleep(ready_s)
        # The last records may be missed by a consumer that came late: it would wait for ever, so there are some more.
        producer = steady(start(rdkafka_producer(bootstrap, topic, count + skip, size, linger_ms=0, rate=rate, latency="/dev/null")))
        consumed(finish(consumer), count)
        result = delivered(finish(producer), count + skip)
        return {"records": result["records"], **latencies(read_latencies(path, skip))}


def java(tool, *arguments):
    """Runs one of Kafka's own tools; what it printed."""
    command = ["java", *JVM, "-cp", f"{install.kafka_jars()}/*", f"org.apache.kafka.tools.{tool}", *arguments]
    return finish(start(command))


def words(size, lines=1000):
    """Lines of `size` bytes of words, some of which are frequent: what a log of events is to a codec. Always the same."""
    chance = random.Random(size)
    vocabulary = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 10))) for _ in range(1000)]

    def line():
        text = ""
        while len(text) < size:
            text += vocabulary[chance.randrange(1 + chance.randrange(len(vocabulary)))] + " "
        return text[:size]

    return [line() for _ in range(lines)]


@contextlib.contextmanager
def words_file(size):
    """A file of `words`."""
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm", suffix=".words") as file:
        file.write("\n".join(words(size)))
        file.flush()
        yield Path(file.name)


def java_produce(bootstrap, topic, count, size, warm_up, linger_ms=5, codec="none", payload=None):
    """Kafka's ProducerPerformance: random letters, which can be compressed, or any of a file's lines, all of which have
    `size` bytes. Its rate is that after its own warm-up."""
    content = ["--payload-file", payload] if payload else ["--record-size", size]
    properties = [f"linger.ms={linger_ms}", "acks=all", f"compression.type={codec}"]
    output = java(
        "ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", topic, "--num-records", count,
        *content, "--throughput", -1, "--warmup-records", warm_up, "--command-property", *properties,
    )  # fmt: skip
    records, rate, _, p50, p99, p999 = found(JAVA_PRODUCED, output)
    result = rates(int(records), int(records) * size, int(records) / float(rate))
    # What the broker does meanwhile is all records, over the whole time of the client.
    del result["active_s"]
    return {**result, "records": count, "payload_bytes": count * size, "p50_us": int(p50) * 1000, "p99_us": int(p99) * 1000, "p999_us": int(p999) * 1000}


def java_consume(bootstrap, topic, count):
    """Kafka's ConsumerPerformance; the rate is that of its fetching, without joining the group."""
    output = java(
        "ConsumerPerformance", "--bootstrap-server", bootstrap, "--topic", topic, "--num-records", count,
        "--hide-header", "--timeout", 30_000,
    )  # fmt: skip
    fields = [field.strip() for field in output.strip().splitlines()[-1].split(",")]
    if len(fields) < 10 or int(fields[4]) < count:
        raise Void(f"fewer than {count} records: {output[-500:]}")
    result = rates(int(fields[4]), float(fields[2]) * machine.MIB, float(fields[7]) / 1000)
    del result["active_s"]
    return result


def java_end_to_end(bootstrap, topic, count, size):
    """Kafka's EndToEndLatency: one record after another; whole milliseconds."""
    p50, p99, p999 = found(JAVA_END_TO_END, java("EndToEndLatency", bootstrap, topic, count, "all", size))
    return {"records": count, "p50_us": int(p50) * 1000, "p99_us": int(p99) * 1000, "p999_us": int(p999) * 1000}


def pairs(bootstrap, topics, partitions, count, size, offset):
    """A producer for each topic, and a consumer from `offset` on, all at once; throughput is from the first start to the last
    end."""
    with contextlib.ExitStack() as files:
        paths = [files.enter_context(latency_file()) for _ in topics]
        consumers = [
            start(rdkafka_consumer(bootstrap, topic, partitions, count, offset=offset, latency=path))
            for topic, path in zip(topics, paths)
        ]
        began = time.monotonic()
        producers = [start(rdkafka_producer(bootstrap, topic, count, size, latency="/dev/null")) for topic in topics]
        for producer in producers:
            delivered(finish(producer), count)
        for consumer in consumers:
            consumed(finish(consumer), count)
        seconds = time.monotonic() - began
        flow = rates(count * len(topics), count * size * len(topics), seconds)
        return {**flow, **latencies([value for path in paths for value in read_latencies(path)])}
