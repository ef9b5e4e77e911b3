#!/usr/bin/env bash
# Everything that must hold: example guests built from source, format, lints, tests, and the scripts of the README.
#
# A guest whose toolchain cannot be had here is skipped with a line that says so; with CI=true that is a failure. Every
# toolchain comes from a package registry, unless it is installed already.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

main() {
    command -v cargo >/dev/null || die "cargo not found: install Rust 1.95 or newer from https://rustup.rs"
    say "Building the example guests"
    ./scripts/build_examples.sh
    say "Formatting"
    cargo fmt --check
    say "Lints"
    cargo clippy --all-targets --locked -- -D warnings
    say "Tests"
    cargo test --locked
    say "The scripts of the README"
    # On the binary that was just tested: a build of its own would compile half the dependencies once more.
    export NODE=${CARGO_TARGET_DIR:-$root/target}/debug/plexspaces
    ./scripts/quickstart.sh
    ./scripts/test-empty-node-deployment.sh
    ./scripts/first-actor.sh
    say "A gRPC client that is none of ours"
    ./scripts/test-grpc-client.sh
    say "All passed"
}

say() {
    printf '\n== %s\n' "$1"
}

die() {
    echo "test.sh: $1" >&2
    exit 1
}

main "$@"
