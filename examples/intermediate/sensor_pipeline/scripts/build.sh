#!/usr/bin/env bash
# Builds wasm-modules/sensor_pipeline.wasm: what `cargo build --target wasm32-wasip2 --release` makes.
#
# Exit code 3 means that no toolchain here can.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"

rust_guest "$example" wasm32-wasip2 sensor_pipeline.wasm "$example/wasm-modules/sensor_pipeline.wasm"
