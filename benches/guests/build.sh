#!/usr/bin/env bash
# Builds the guests of the benches into benches/guests/built/, with whichever toolchain can.
#
# usage: build.sh
set -euo pipefail

guests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$guests/../../target/guests}

# shellcheck source=../../scripts/lib/rust_guest.sh
source "$guests/../../scripts/lib/rust_guest.sh"

main() {
    (($# == 0)) || die 2 "usage: build.sh"
    build ring_component wasm32-wasip2
    build ring_core wasm32-unknown-unknown core
}

# build CRATE RUSTUP_TARGET [core]
build() {
    actor=$guests/$1
    build_with_rustup "$2" || build_with_debian wasm32-unknown-unknown "${3-}" ||
        die 3 "skipped: needs rustup's target $2, or Debian's ${debian_packages[*]} with wasm-component-ld"
}

deliver() {
    local name=${actor##*/}
    mkdir -p "$guests/built"
    install -m 644 "$CARGO_TARGET_DIR/$1/release/$name.wasm" "$guests/built/$name.wasm"
    say "built benches/guests/built/$name.wasm, $(($(wc -c <"$guests/built/$name.wasm") / 1024)) KiB"
}

say() {
    echo "guests: $1"
}

die() {
    echo "guests: $2" >&2
    exit "$1"
}

main "$@"
