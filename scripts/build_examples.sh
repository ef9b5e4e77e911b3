#!/usr/bin/env bash
# Builds every example guest and those of the tests from source, and says how long each took.
#
# A guest whose toolchain cannot be had here is skipped with a line that says so; with CI=true that is a failure.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
calculator=$root/examples/simple/wasm_calculator/scripts
polyglot=$root/examples/simple/polyglot_wasm_deployment/scripts

# One folder for all, so that Rust's standard library is built once for each target.
export GUEST_TARGET_DIR=${GUEST_TARGET_DIR:-$root/examples/target}

main() {
    guest "$calculator/build_python_actors.sh"
    guest "$calculator/build_rust_actors.sh" --output calculator_rust_from_source.wasm
    guest "$root/tests/guests/build.sh" rust
    guest "$root/tests/guests/build.sh" python
    guest "$root/examples/simple/core_modules/scripts/build_core_modules.sh"
    guest "$root/examples/intermediate/sensor_pipeline/scripts/build.sh"
    guest "$root/examples/intermediate/firmware_rollout/scripts/build_rust.sh"
    local language
    for language in rust python typescript go c; do
        guest "$polyglot/build_$language.sh"
    done
}

guest() {
    local began=$SECONDS
    if "$@"; then
        echo "${1##*/}: $((SECONDS - began)) s"
        return
    fi
    if [[ ${CI-} == true ]]; then
        echo "build_examples: $1 failed, and CI must build every guest" >&2
        exit 1
    fi
    echo "skipped: $1 could not build its guest; the tests of that guest are skipped too"
}

main
