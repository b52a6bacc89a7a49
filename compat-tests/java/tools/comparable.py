"""Makes the outputs of one tool against two brokers comparable: what a broker or the moment chooses is replaced by its kind."""

import json
import re

# What a broker chooses, the moment brings, or a table's width decides.
RULES = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (
        re.compile(r"((?:Id|ID|\b1):?\s+)[\w-]{22}(?![\w-])"),
        r"\1ID",
    ),
    (re.compile(r"\b(directory\.id=)[\w-]{22}"), r"\1ID"),
    (re.compile(r"^[\w-]{22}$", re.MULTILINE), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([:.,]\d+)?(Z|\+\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b1[6-9]\d{11}\b"), "TIME"),
    (re.compile(r"\b\d+ ms ago"), "N ms ago"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"(Epoch|HighWatermark|MaxFollowerLagTimeMs): \d+"), r"\1: N"),
    (re.compile(r"^1 ID \d+ ", re.MULTILINE), "1 ID N "),
    # The address of an array.
    (re.compile(r"\[B@[0-9a-f]+"), "[B@N"),
    (re.compile(r'("avg_throughput":)[\d.]+'), r"\1N"),
    # Of records that a producer has put into one batch or two, with few or many milliseconds between them; the line stays
    # JSON.
    (re.compile(r'("partition": ?"[^"]+", ?"size": ?)[1-9]\d*'), r"\g<1>1"),
]
# Tools that print what they counted and how long it took.
MEASURING = {"kafka-producer-perf-test", "kafka-consumer-perf-test", "kafka-e2e-latency"}
# Tools that print in the order of a hash table, or of what came first.
UNORDERED = {"kafka-configs", "kafka-groups", "kafka-consumer-groups", "kafka-delete-records"}
# A tool that prints tables, in which these columns are a broker's choice or the moment's.
TABLES = "kafka-transactions"
CHOSEN_COLUMNS = {"ProducerId", "TransactionDurationMs", "Duration(s)", "Duration(min)"}
# A tool that prints what lies on the disk: checksums, and which producer wrote it when.
DUMP = "kafka-dump-log"
DUMPED = [
    (re.compile(r"\bcrc: \d+"), "crc: N"),
    (re.compile(r"\b([pP]roducerId\"?: ?)\d+"), r"\g<1>0"),
    (re.compile(r"\b(position: )\d+"), r"\1N"),
]
# A tool that reads partitions in no order, unless it is told to read one.
READER = "kafka-console-consumer"
# The frames of a stack trace.
STACK = re.compile(r"\s*(at |\.\.\. \d+ more)")
# The first line of a stack trace: a class, and the message.
TRACE_HEAD = re.compile(r"(?:[a-z]\w*\.)+[A-Z]\w*: (.*)")
# How to call a tool, as its own text tells it.
USAGE = re.compile(r"^(Option( \(\* = required\))? +Description|usage: ).*", re.MULTILINE | re.DOTALL)
# The formatters of coordinators' records put nothing behind one.
AFTER_JSON = re.compile(r"\}(?=\{\"key\"|ERROR )")
NUMBER = re.compile(r"-?\d+([.,]\d+)*(E-?\d+)?")


def comparable(command, output, broker, directory):
    """The lines of what a command line printed in a directory, without empty ones."""
    tool = command[0]
    places = ((broker.bootstrap, "HOST:PORT"), (broker.data, "DATA"), (broker.port, "PORT"), (directory, "HERE"))
    for written, kind in places:
        output = output.replace(str(written), kind)
    if hasattr(broker, "controller_port"):
        output = output.replace(str(broker.controller_port), "CONTROLLER_PORT")
    for pattern, kind in RULES:
        output = pattern.sub(kind, output)
    if tool in MEASURING:
        output = NUMBER.sub("N", output)
    output = USAGE.sub("how to call it", output)
    output = AFTER_JSON.sub(r"}\n", output)
    if tool == DUMP:
        for pattern, kind in DUMPED:
            output = pattern.sub(kind, output)
    lines = [in_order(line.strip()) for line in output.splitlines() if line.strip() and not STACK.match(line)]
    lines = without_chosen_columns(lines) if tool == TABLES else lines
    is_unordered = tool in UNORDERED or (tool == READER and "--partition" not in command)
    return sorted(lines) if is_unordered else lines


def without_chosen_columns(lines):
    """The rows of a table, its first line being the columns' names, with the kinds of what is chosen in place of it."""
    names = lines[0].split() if lines else []
    chosen = [at for at, name in enumerate(names) if name in CHOSEN_COLUMNS]
    rows = [line.split() for line in lines[1:]]
    for row in rows if chosen else []:
        for at in chosen:
            row[at : at + 1] = ["N"] if at < len(row) else []
    return [*lines[:1], *sorted(map(" ".join, rows))] if chosen else lines


def without_traces(lines):
    """The lines of an output without the heads of stack traces that say what another line says."""
    lines = [line for line in lines if not line.startswith("Caused by: ")]
    heads = {line: match[1] for line in lines if (match := TRACE_HEAD.fullmatch(line))}
    return [line for line in lines if heads.get(line) not in lines]


def in_order(line):
    """A line; JSON, whose lists follow the order of hash tables, in an order of its own."""
    if not line.startswith("{"):
        return line
    try:
        return json.dumps(sort_lists(json.loads(line)))
    except ValueError:
        return line


def sort_lists(value):
    """A JSON value with all lists sorted."""
    if isinstance(value, dict):
        return {key: sort_lists(content) for key, content in value.items()}
    if isinstance(value, list):
        return sorted(map(sort_lists, value), key=json.dumps)
    return value
