#!/usr/bin/env bash
# Deploys and asks random guests: fuzz-guests.sh [COUNT of each shape, 10000] [first SEED, the time].
#
# A failure names its seed and shape; `fuzz-guests.sh 1 SEED` shows it again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-10000}
seed=${2:-$(date +%s)000}
# Guests that wait for what never comes are left to their waiting, and a node has room for a thousand.
batch=500

for ((done = 0; done < count; done += batch)); do
    export FUZZ_SEED=$((seed + done))
    export FUZZ_COUNT=$((count - done < batch ? count - done : batch))
    echo "seeds $FUZZ_SEED to $((FUZZ_SEED + FUZZ_COUNT - 1))"
    cargo test --quiet --locked --test it fuzz::
done
echo "$count guests of each shape, and the node answered on"
