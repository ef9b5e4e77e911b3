#!/usr/bin/env bash
# Builds the worker in C and in Rust into wasm-modules/, as core modules.
#
# C is compiled by the zig that PyPI's ziglang brings along; Rust by rustup's target wasm32-unknown-unknown, else by
# Debian's Rust for the web, which brings the standard library's sources.
#
# usage: build_core_modules.sh [c | rust]
# Exit code 3 means that no toolchain here can.
set -euo pipefail

ziglang=0.17.1

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
modules=$example/wasm-modules
build=$example/.build
venv=$build/venv

main() {
    mkdir -p "$modules" "$build"
    case "${1-}" in
        '') build_c && build_rust ;;
        c) build_c ;;
        rust) build_rust ;;
        *) die 2 "usage: build_core_modules.sh [c | rust]" ;;
    esac
}

build_c() {
    install_zig
    "$venv/bin/python" -m ziglang cc -target wasm32-wasi -Os -Wall -Wextra -Werror -mexec-model=reactor -s \
        -o "$build/worker_c.wasm" "$example/c/worker.c" || die 1 "the build of worker.c failed"
    deliver "$build/worker_c.wasm" worker_c.wasm
}

install_zig() {
    if [[ $("$venv/bin/python" -m ziglang version 2>/dev/null) == "$ziglang" ]]; then
        return
    fi
    say "installing ziglang $ziglang into .build/venv"
    command -v python3 >/dev/null || die 3 "python3 not found: install Python 3.9 or newer"
    python3 -m venv --clear "$venv" || die 3 "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "ziglang==$ziglang" ||
        die 3 "pip cannot install ziglang $ziglang: see its message above"
}

build_rust() {
    if [[ -d $(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null) ]]; then
        (cd "$example/rust" && CARGO_TARGET_DIR=$build/rust cargo build --quiet --release --locked --target wasm32-unknown-unknown) ||
            die 1 "the build of the Rust worker failed"
    else
        build_rust_with_debian
    fi
    deliver "$build/rust/wasm32-unknown-unknown/release/worker_rust.wasm" worker_rust.wasm
}

build_rust_with_debian() {
    [[ -x /usr/bin/cargo && -x /usr/bin/wasm-ld && -d /usr/lib/rustlib ]] ||
        die 3 "needs rustup's target wasm32-unknown-unknown, or Debian's rustc-web, cargo-web, rust-web-src and lld"
    (cd "$example/rust" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR="$build/rust" \
        RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
        /usr/bin/cargo build --quiet --release --locked --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort) ||
        die 1 "the build of the Rust worker failed"
}

deliver() {
    install -m 644 "$1" "$modules/$2" || die 1 "cannot write wasm-modules/$2"
    say "built wasm-modules/$2, $(($(wc -c <"$modules/$2") / 1024)) KiB"
}

say() {
    echo "build_core_modules: $1"
}

die() {
    echo "build_core_modules: $2" >&2
    exit "$1"
}

main "$@"
