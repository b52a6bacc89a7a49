#!/bin/sh
# Measures Klamm beside Apache Kafka and beside the machine's limits; `run.sh --help` tells the choices.
exec python3 "$(dirname "$0")" "$@"
