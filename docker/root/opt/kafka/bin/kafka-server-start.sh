#!/bin/bash
# Kafka's start script: kafka-server-start.sh server.properties [--override NAME=VALUE]...
if [ $# -lt 1 ]; then
    echo "usage: $0 server.properties [--override NAME=VALUE]..." >&2
    exit 1
fi
arguments=(start --config "${KLAMM_CONFIG:+$KLAMM_CONFIG,}$1")
shift
while [ $# -gt 0 ]; do
    if [ "$1" = "--override" ]; then
        arguments+=(--set "${2:-}")
        shift
    else
        echo "$0: $1 is passed over" >&2
    fi
    shift
done
exec klamm "${arguments[@]}"
