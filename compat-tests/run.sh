#!/bin/sh
# Runs stock Kafka clients against a broker; `run.sh --help` tells the choices.
exec python3 "$(dirname "$0")/harness/main.py" "$@"
