#!/usr/bin/env bash
# Builds the Rust actors into wasm-modules/, calculator_rust.wasm and durable_calculator.wasm, with whichever toolchain can.
#
# First choice is rustup's wasm32-wasip2, then Debian's Rust for the web, which brings the standard
# library's sources and needs no target from elsewhere. --debian skips the first choice: that is how
# the committed calculator is built, byte for byte the same in any checkout. --output gives that one another name.
#
# usage: build_rust_actors.sh [--debian] [--output NAME.wasm]
# Exit code 3 means that no toolchain here can; the modules in wasm-modules/ then stay as they were.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
debian_only=false

export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$example/actors/rust/target}

# shellcheck source=../../../../scripts/lib/rust_guest.sh
source "$example/../../../scripts/lib/rust_guest.sh"

main() {
    local calculator=calculator_rust.wasm
    while (($#)); do
        case $1 in
            --debian) debian_only=true ;;
            --output) calculator=${2:?--output takes a file name} && shift ;;
            *) die 2 "usage: build_rust_actors.sh [--debian] [--output NAME.wasm]" ;;
        esac
        shift
    done
    build rust calculator_rust.wasm "$calculator"
    build rust_durable durable_calculator.wasm durable_calculator.wasm
}

# A crate in actors/, the file that cargo makes of it, and its name here.
build() {
    actor=$example/actors/$1 file=$2 name=wasm-modules/$3
    if ! $debian_only && build_with_rustup; then return; fi
    build_with_debian || skip
}

deliver() {
    local module=$example/$name
    mkdir -p "${module%/*}"
    install -m 644 "$CARGO_TARGET_DIR/$1/release/$file" "$module" || die 1 "cannot write $name"
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
