#!/usr/bin/env bash
# Builds the guests of the tests into tests/guests/built/, with whichever toolchain can.
#
# usage: build.sh [rust|python]; without a language, both
# Exit code 3 means that no toolchain here can; the tests of these guests are skipped then.
set -euo pipefail

guests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export GUEST_TARGET_DIR=${GUEST_TARGET_DIR:-$guests/../../target/guests}
source "$guests/../../scripts/lib/guests.sh"

main() {
    case "${1-}" in
        rust | python) "build_$1" ;;
        '')
            build_rust
            build_python
            ;;
        *) give_up 2 "usage: build.sh [rust|python]" ;;
    esac
}

build_rust() {
    local name
    for name in conformance counter older; do
        rust_guest "$guests/$name" wasm32-wasip2 "$name.wasm" "$guests/built/$name.wasm"
    done
}

build_python() {
    python_guest "$guests/conformance_python" conformance_python full-request-actor "$guests/built/conformance_python.wasm"
}

main "$@"
