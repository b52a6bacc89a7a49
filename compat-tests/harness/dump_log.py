"""Kafka's own log dump tool as the judge of a data directory: segments, indexes, snapshots and committed offsets.

python3 -m harness.dump_log DATA_DIRECTORY     (from compat-tests/, or by java/dump_log.sh)
"""

import re
import subprocess
import sys
from pathlib import Path

from harness.toolchains import kafka_classpath

# What DumpLogSegments prints about damage; it ends with status 0 all the same.
COMPLAINT = re.compile(
    r"invalid|mismatch|corrupt|exception|not consecutive|couldn't find|could not|failed|unexpected|isvalid: false"
    r"|found timestamp|offset not found|error",
    re.IGNORECASE,
)
# A partition's folder, unless it is on its way to be deleted; the metadata log is not Kafka's format in every broker.
PARTITION = re.compile(r"^(?!__cluster_metadata).*-\d+$")
# Lines that hold names and values of clients, which may hold any of those words; only what the decoder adds counts there.
CLIENT_DATA = re.compile(r"^(Dumping |\|)")
UNDECODED = re.compile(r"Failed to decode|UNKNOWN")
JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def dump(files, *options):
    """Runs the tool over files; returns its exit status and all that it printed."""
    names = ",".join(str(file) for file in files)
    command = ["java", *JVM, "-cp", kafka_classpath(), "kafka.tools.DumpLogSegments", *options, "--files", names]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout


def is_complaint(line):
    """Whether a line of the tool's output tells of damage."""
    return bool((UNDECODED if CLIENT_DATA.match(line) else COMPLAINT).search(line))


def complaints(data):
    """What the tool has to say against a data directory; empty when nothing."""
    folders = [folder for folder in sorted(Path(data).glob("*-*")) if PARTITION.search(folder.name)]
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    offsets = [file for file in files if file.parent.name.startswith("__consumer_offsets") and file.suffix == ".log"]
    others = [file for file in files if file.suffix in (".log", ".index", ".timeindex", ".txnindex", ".snapshot")]
    if not any(file.suffix == ".log" for file in others):
        return f"no log segment in {data}"
    found = []
    for chosen, options in (
        (others, ("--deep-iteration", "--skip-record-metadata")),
        (offsets, ("--offsets-decoder",)),
    ):
        if chosen:
            status, output = dump(chosen, *options)
            found += filter(is_complaint, output.splitlines())
            found += [f"exit status {status}: {output[-2000:]}"] if status else []
    return "\n".join(found[:50])


if __name__ == "__main__":
    answer = complaints(sys.argv[1])
    print(answer or "no complaint")
    sys.exit(1 if answer else 0)
