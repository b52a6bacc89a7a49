#!/bin/sh
# Runs Kafka's DumpLogSegments over a data directory and fails on any complaint: dump_log.sh DATA_DIRECTORY
data=$(realpath "$1") && cd "$(dirname "$0")/.." && exec python3 -m harness.dump_log "$data"
