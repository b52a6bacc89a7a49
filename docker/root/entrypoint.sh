#!/bin/sh
# Redpanda's commands go to rpk, as in its image, where one word of a compose file may hold several; others are run as they are.
case "${1:-}" in
redpanda*) exec rpk $* ;;
*) exec "$@" ;;
esac
