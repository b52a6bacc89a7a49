#!/usr/bin/env bash
# Runs every test there is: format, lints, unit and integration tests, the instructions that busy paths take, and stock
# clients against the built broker.
#
# A tool that is not installed is named as skipped; with CI=true it is a failure. All steps run, whatever fails; the last
# lines name what has failed and tell the sum, and the exit code is 0 only if nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."

output=$(mktemp)
failures=$(mktemp)
trap 'rm -f "$output" "$failures"' EXIT
passed=0 failed=0 skipped=0

section() { printf '\n==== %s ====\n' "$*"; }

pass() { passed=$((passed + $1)); }

fail() {
    failed=$((failed + 1))
    echo "FAILED: $*" | tee -a "$failures"
}

# skip NAME REASON: what cannot run here.
skip() {
    if [ "${CI:-}" = true ]; then
        fail "$1: $2"
    else
        skipped=$((skipped + 1))
        echo "SKIPPED: $1: $2"
    fi
}

# step NAME COMMAND...: one test, by its exit code.
step() {
    local name=$1
    shift
    section "$name"
    if "$@"; then pass 1; else fail "$name"; fi
}

# counted NAME COMMAND...: many tests, by the "N passed; N failed" or "N passed, N failed" lines that they print.
counted() {
    local name=$1 status sums ok bad left_out
    shift
    section "$name"
    "$@" 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    grep -E '^FAIL |^test .* FAILED$' "$output" >>"$failures"
    sums=$(awk '
        match($0, /[0-9]+ passed[;,] [0-9]+ failed/) {
            split(substr($0, RSTART, RLENGTH), words, " ")
            passed += words[1]; failed += words[3]
        }
        match($0, /[0-9]+ skipped/) { split(substr($0, RSTART, RLENGTH), words, " "); skipped += words[1] }
        END { print passed + 0, failed + 0, skipped + 0 }' "$output")
    read -r ok bad left_out <<<"$sums"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left_out))
    # What ends badly without naming a failed test, such as a build, is one failure.
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then fail "$name"; fi
}

if ! command -v cargo >/dev/null; then
    echo "klamm: cargo is not installed; see https://rustup.rs"
    exit 1
fi

# The release build needs one core for minutes: it goes on behind everything else while tests wait for something. The steps that
# need it build it again, which tells whatever is wrong, and else takes no time.
nice -n 19 cargo build --release --locked --bench instructions >/dev/null 2>&1 &
building=$!
trap 'rm -f "$output" "$failures"; kill "$building" 2>/dev/null' EXIT

if cargo fmt --version >/dev/null 2>&1; then step "format" cargo fmt --check; else skip "format" "rustfmt is not installed"; fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints" cargo clippy --all-targets --all-features --locked -- -D warnings
else
    skip "lints" "clippy is not installed"
fi
counted "tests" cargo test --locked --no-fail-fast
wait "$building"
if command -v python3 >/dev/null; then
    counted "benchmark" python3 scripts/bench/tests.py
    counted "instructions" python3 scripts/bench/instructions.py
else
    skip "benchmark and instructions" "python3 is not installed"
fi
# Which the counts' driver was built with already, unless there is no python3.
step "release build" cargo build --release --locked
if command -v python3 >/dev/null; then
    KLAMM="$PWD/target/release/klamm" counted "compatibility" compat-tests/run.sh
else
    skip "compatibility" "python3 is not installed"
fi

section "result"
cat "$failures"
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
