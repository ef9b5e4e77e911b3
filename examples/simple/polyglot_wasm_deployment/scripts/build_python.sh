#!/usr/bin/env bash
# Builds the Python greeter into wasm-modules/python_actor.wasm, unless that is newer than its sources.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"
module=$example/wasm-modules/python_actor.wasm

if up_to_date "$module" "$example/actors/python" "$wit" "${BASH_SOURCE[0]}"; then exit; fi
pip_tools componentize-py==0.25.1
mkdir -p "$example/.build"
say "building, which takes some ten seconds"
# VIRTUAL_ENV keeps it from looking for packages anywhere else.
VIRTUAL_ENV=$tools/venv "$tools/venv/bin/componentize-py" --quiet --wit-path "$wit" --world full-request-actor \
    componentize --python-path "$example/actors/python" --output "$example/.build/python_actor.wasm" greeter_actor
"$(wasm_tools)" strip --all "$example/.build/python_actor.wasm" --output "$example/.build/stripped.wasm"
deliver "$example/.build/stripped.wasm" "$module"
