#!/usr/bin/env bash
# Fuzzes what reads bytes of others: requests, record batches, files of the data directory.
#
#   scripts/fuzz.sh [SECONDS_PER_TARGET [TARGET...]]
#
# Builds the targets of tests/fuzz with the installed stable toolchain (cargo fetches libFuzzer; a C++ compiler builds
# it) and runs each for 600 seconds, one after the other. The corpus in target/fuzz/corpus begins with valid inputs and
# grows from run to run. An input that crashes a target, takes too much memory or longer than ten seconds is a failure,
# and stays in target/fuzz/findings; run the target's program with the file as its argument to see it again.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"

seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(requests batches recovery checkpoints coordinator_records)

if ! command -v cargo >/dev/null; then
    echo "klamm: cargo is not installed; see https://rustup.rs"
    exit 1
fi
if ! command -v "${CXX:-c++}" >/dev/null; then
    echo "klamm: a C++ compiler is needed to build libFuzzer; set CXX or install one"
    exit 1
fi

output=../../target/fuzz
programs=$output/$(rustc -vV | sed -n 's/^host: //p')/release
corpus=$output/corpus findings=$output/findings
cargo build --release --locked
mkdir -p "$corpus" "$findings"
"$programs/seeds" "$corpus" >/dev/null

failed=0
for target in "${targets[@]}"; do
    log=$output/$target.log
    status=0
    "$programs/$target" "$corpus/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
        -artifact_prefix="$findings/$target-" -print_final_stats=1 >"$log" 2>&1 || status=$?
    runs=$(awk '/^stat::number_of_executed_units/ { print $2 }' "$log")
    found=$(grep -c 'Test unit written to .*/'"$target"'-\(crash\|oom\|timeout\|leak\)' "$log" || true)
    echo "$target: ${runs:-0} runs, $found crashes"
    if [ "$status" -ne 0 ] || [ "$found" -ne 0 ]; then
        failed=1
        grep -A1 'panicked at\|ERROR: libFuzzer' "$log" | head -20 || true
        grep 'Test unit written' "$log" || echo "see $log"
    fi
done
exit "$failed"
