#!/usr/bin/env bash
# Builds the Rust actor into wasm-modules/calculator_rust.wasm, with whichever toolchain can.
#
# First choice is rustup's wasm32-wasip2, then Debian's Rust for the web, which brings the standard
# library's sources and needs no target from elsewhere. --debian skips the first choice: that is how
# the committed module is built, byte for byte the same in any checkout.
#
# usage: build_rust_actors.sh [--debian] [--output NAME.wasm]
# Exit code 3 means that no toolchain here can; the module in wasm-modules/ then stays as it was.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
actor=$example/actors/rust
module=$example/wasm-modules/calculator_rust.wasm

export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$actor/target}

# shellcheck source=../../../../scripts/lib/rust_guest.sh
source "$example/../../../scripts/lib/rust_guest.sh"

main() {
    local debian_only=false
    while (($#)); do
        case $1 in
            --debian) debian_only=true ;;
            --output) module=$example/wasm-modules/${2:?--output takes a file name} && shift ;;
            *) die 2 "usage: build_rust_actors.sh [--debian] [--output NAME.wasm]" ;;
        esac
        shift
    done
    if ! $debian_only && build_with_rustup; then return; fi
    build_with_debian || skip
}

deliver() {
    local name=wasm-modules/${module##*/}
    install -m 644 "$CARGO_TARGET_DIR/$1/release/calculator_rust.wasm" "$module" || die 1 "cannot write $name"
    say "built $name, $(($(wc -c <"$module") / 1024)) KiB"
}

skip() {
    die 3 "skipped: needs rustup's target wasm32-wasip2, or Debian's ${debian_packages[*]} with wasm-component-ld"
}

say() {
    echo "build_rust_actors: $1"
}

die() {
    echo "build_rust_actors: $2" >&2
    exit "$1"
}

main "$@"
