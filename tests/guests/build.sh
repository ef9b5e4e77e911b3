#!/usr/bin/env bash
# Builds the guests of the tests into tests/guests/built/, with whichever toolchain can.
#
# usage: build.sh
# Exit code 3 means that no toolchain here can; the tests of these guests are skipped then.
set -euo pipefail

guests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$guests/../../target/guests}

# shellcheck source=../../scripts/lib/rust_guest.sh
source "$guests/../../scripts/lib/rust_guest.sh"

main() {
    (($# == 0)) || die 2 "usage: build.sh"
    for actor in "$guests/conformance" "$guests/older"; do
        build
    done
}

build() {
    if build_with_rustup; then return; fi
    build_with_debian || die 3 "skipped: needs rustup's target wasm32-wasip2, or Debian's ${debian_packages[*]} with wasm-component-ld"
}

deliver() {
    local name=${actor##*/} built
    built=$guests/built/$name.wasm
    mkdir -p "$guests/built"
    install -m 644 "$CARGO_TARGET_DIR/$1/release/$name.wasm" "$built" || die 1 "cannot write $built"
    say "built tests/guests/built/$name.wasm, $(($(wc -c <"$built") / 1024)) KiB"
}

say() {
    echo "guests: $1"
}

die() {
    echo "guests: $2" >&2
    exit "$1"
}

main "$@"
