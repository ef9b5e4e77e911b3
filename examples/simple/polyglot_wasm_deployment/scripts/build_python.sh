#!/usr/bin/env bash
# Builds the Python greeters into wasm-modules/, each unless it is newer than its sources.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"

python_guest "$example/actors/python" greeter_actor full-request-actor "$example/wasm-modules/python_actor.wasm"
python_guest "$example/actors/python" published_actor simple-actor "$example/wasm-modules/python_published.wasm"
