#!/usr/bin/env bash
# Rows F6 and F7: changes indexes, snapshots and checkpoints of a log at random, 10,000 times, starts on each, and compares
# the data. A failure names the seed and the files. Usage: [SEED=n] scripts/faults/mutations.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo test --lib ten_thousand_mutations -- --ignored --nocapture
