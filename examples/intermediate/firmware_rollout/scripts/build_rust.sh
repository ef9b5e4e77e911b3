#!/usr/bin/env bash
# Builds the rollout into wasm-modules/firmware_rollout.wasm.
#
# The component is what `cargo build --target wasm32-wasip2 --release` in actors/rust makes.
# Exit code 3 means that no toolchain here can.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"

rust_guest "$example/actors/rust" wasm32-wasip2 firmware_rollout.wasm "$example/wasm-modules/firmware_rollout.wasm"
