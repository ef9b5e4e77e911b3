#!/usr/bin/env bash
# Builds the Rust greeters into wasm-modules/: a component, and a core module.
#
# The component is what `cargo build --target wasm32-wasip2 --release` in actors/rust makes.
# Exit code 3 means that no toolchain here can.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"

rust_guest "$example/actors/rust" wasm32-wasip2 rust_actor.wasm "$example/wasm-modules/rust_actor.wasm"
rust_guest "$example/actors/rust-core" wasm32-unknown-unknown rust_core.wasm "$example/wasm-modules/rust_core.wasm" core
