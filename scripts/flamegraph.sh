#!/usr/bin/env bash
# Draws where a broker's CPU time goes while something loads it.
#
#   scripts/flamegraph.sh OUT.svg COMMAND [ARGUMENT...]
#
# Builds the broker with its symbols, starts it with an empty data directory and six partitions per topic on one core,
# listening on 127.0.0.1:19092, runs the command on the others, and samples the broker meanwhile. Needs perf and may
# need root or kernel.perf_event_paranoid=1; cargo fetches inferno, which draws the picture.
#
#   scripts/flamegraph.sh produce.svg rdkafka_performance -P -b 127.0.0.1:19092 -t t -s 1000 -c 5000000 -a -1
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,10{s/^# \{0,1\}//; p}' "$0"
    exit 2
fi
out=$(realpath -- "$1")
shift
root=$(realpath -- "$(dirname -- "$0")/..")
target=$root/target/flamegraph
listens() { (: </dev/tcp/127.0.0.1/19092) 2>/dev/null; }
give_up() {
    echo "klamm: $1"
    exit 1
}
command -v perf >/dev/null || give_up "perf is not installed; it is in the package linux-perf or linux-tools"
[ "$(nproc)" -ge 2 ] || give_up "one core is for the broker and another for the command; there is only one"
! listens || give_up "something listens on 127.0.0.1:19092 already; stop it first"

CARGO_PROFILE_RELEASE_STRIP=false CARGO_PROFILE_RELEASE_DEBUG=1 \
    cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
cargo install inferno --locked --version 0.12.3 --root "$target/tools" \
    --bin inferno-collapse-perf --bin inferno-flamegraph

work=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || { kill "$broker" && wait "$broker"; } || true; rm -rf "$work"' EXIT
taskset -c 0 "$target/release/klamm" start --listen 127.0.0.1:19092 --data-dir "$work/data" \
    --set num.partitions=6 >"$work/log" 2>&1 &
broker=$!
for _ in $(seq 100); do
    ! listens && kill -0 "$broker" 2>/dev/null || break
    sleep 0.05
done
listens || give_up "the broker did not start: $(cat "$work/log")"

perf record -q -F 1999 -g -p "$broker" -o "$work/perf.data" &
recorder=$!
sleep 0.5
taskset -c "1-$(($(nproc) - 1))" "$@"
kill -INT "$recorder"
wait "$recorder" || true
perf script -i "$work/perf.data" 2>/dev/null | "$target/tools/bin/inferno-collapse-perf" |
    "$target/tools/bin/inferno-flamegraph" --title "klamm under: ${*##*/}" >"$out"
echo "klamm: $out"
