#!/usr/bin/env bash
# Builds the Python greeters into wasm-modules/, each unless it is newer than its sources.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"
build=$example/.build

main() {
    component greeter_actor full-request-actor python_actor.wasm
    component published_actor simple-actor python_published.wasm
}

component() {
    local module=$example/wasm-modules/$3 wasm_tools
    if up_to_date "$module" "$example/actors/python/$1.py" "$wit" "${BASH_SOURCE[0]}"; then return; fi
    pip_tools componentize-py==0.25.1
    wasm_tools=$(wasm_tools)
    mkdir -p "$build"
    note "building $3, which takes some ten seconds"
    # VIRTUAL_ENV keeps it from looking for packages anywhere else.
    VIRTUAL_ENV=$tools/venv "$tools/venv/bin/componentize-py" --quiet --wit-path "$wit" --world "$2" \
        componentize --python-path "$example/actors/python" --output "$build/$3" "$1"
    "$wasm_tools" strip --all "$build/$3" --output "$build/stripped.wasm"
    put "$build/stripped.wasm" "$module"
}

main
