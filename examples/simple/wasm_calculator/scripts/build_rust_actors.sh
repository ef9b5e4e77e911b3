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
debian_packages=(rustc-web cargo-web rust-web-src lld)

export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$actor/target}

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

build_with_rustup() {
    has_target || add_target || return 1
    say "building for wasm32-wasip2"
    (cd "$actor" && cargo build --release --locked --target wasm32-wasip2) || die 1 "the build failed"
    deliver wasm32-wasip2
}

has_target() {
    command -v cargo >/dev/null && [[ -d $(rustc --print target-libdir --target wasm32-wasip2) ]]
}

add_target() {
    command -v rustup >/dev/null || return 1
    say "adding rustup's target wasm32-wasip2"
    rustup target add wasm32-wasip2 >/dev/null 2>&1 && return
    say "rustup cannot add it; trying Debian's toolchain"
    return 1
}

# Makes a component without WASI, by way of wasm32-unknown-unknown.
build_with_debian() {
    local linker
    linker=$(component_linker) && has_debian_packages || return 1
    say "building with Debian's toolchain; the first time takes about a minute"
    # The explicit paths matter, since rustup's cargo comes first in PATH. RUSTC_BOOTSTRAP lets this
    # compiler build the standard library and leave source paths out.
    (cd "$actor" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
        RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Clink-arg=--wasm-ld-path=/usr/bin/wasm-ld -Zlocation-detail=none" \
        /usr/bin/cargo build --release --locked --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort) ||
        die 1 "the build failed"
    deliver wasm32-unknown-unknown
}

# Debian has no wasm-component-ld; every toolchain of rustup's ships it.
component_linker() {
    command -v wasm-component-ld && return
    command -v rustc >/dev/null || return 1
    local linker
    for linker in "$(rustc --print sysroot)"/lib/rustlib/*/bin/wasm-component-ld; do
        [[ -x $linker ]] && echo "$linker" && return
    done
    return 1
}

has_debian_packages() {
    command -v dpkg >/dev/null || return 1
    dpkg --status "${debian_packages[@]}" >/dev/null 2>&1 && return
    [[ $(id -u) == 0 ]] || return 1
    say "installing ${debian_packages[*]}"
    apt-get update -qq && apt-get install -qq --no-install-recommends "${debian_packages[@]}"
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
