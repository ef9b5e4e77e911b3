#!/usr/bin/env bash
# Builds the C greeter into wasm-modules/c_core.wasm, a core module, unless that is newer than its source.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"
module=$example/wasm-modules/c_core.wasm

if up_to_date "$module" "$example/actors/c" "${BASH_SOURCE[0]}"; then exit; fi
pip_tools ziglang==0.17.1
mkdir -p "$example/.build"
# A stack of 16 MiB, which is the compiler's choice, would take one of the node's few large slots.
"$tools/venv/bin/python" -m ziglang cc -target wasm32-wasi -Os -s -mexec-model=reactor -Wall -Wl,-z,stack-size=65536 \
    -o "$example/.build/c_core.wasm" "$example/actors/c/greeter.c"
put "$example/.build/c_core.wasm" "$module"
