#!/usr/bin/env bash
# Builds the Python actors into wasm-modules/, each unless it is newer than the sources: calculator_actor.wasm,
# tuplespace_calculator.wasm, channel_calculator.wasm.
#
# usage: build_python_actors.sh [--force]
set -euo pipefail

componentize_py=0.25.1

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wit=$example/../../../wit/plexspaces-actor
actors=$example/actors/python
build=$example/.build
venv=$build/venv

main() {
    case "${1-}" in
        '' | --force) ;;
        *) die 2 "usage: build_python_actors.sh [--force]" ;;
    esac
    build calculator_actor request-actor "${1-}"
    build tuplespace_calculator full-request-actor "${1-}"
    build channel_calculator full-request-actor "${1-}"
}

build() {
    local name=$1 world=$2 module=$example/wasm-modules/$1.wasm
    if [[ $3 != --force ]] && up_to_date; then
        say "$name.wasm is up to date; --force builds it anyway"
        return
    fi
    install_componentize_py
    build_actor
    strip_actor
    mkdir -p "$(dirname "$module")"
    mv "$build/$name.wasm" "$module"
    say "built wasm-modules/$name.wasm, $(($(wc -c <"$module") / 1024)) KiB"
}

up_to_date() {
    [[ -e $module && -z $(find "$actors"/*.py "$wit"/*.wit "${BASH_SOURCE[0]}" -newer "$module") ]]
}

install_componentize_py() {
    if [[ $("$venv/bin/componentize-py" --version 2>&1) == "componentize-py $componentize_py" ]]; then
        return
    fi
    say "installing componentize-py $componentize_py into .build/venv"
    command -v python3 >/dev/null || die 1 "python3 not found: install Python 3.9 or newer"
    python3 -m venv --clear "$venv" ||
        die 1 "python3 cannot make a virtual environment: install its venv and pip (Debian: apt-get install python3-venv)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "componentize-py==$componentize_py" ||
        die 1 "pip cannot install componentize-py $componentize_py: see its message above"
}

build_actor() {
    say "building $name.wasm, which takes some ten seconds"
    # VIRTUAL_ENV keeps it from looking for packages anywhere else.
    VIRTUAL_ENV=$venv "$venv/bin/componentize-py" --quiet --wit-path "$wit" --world "$world" \
        componentize --python-path "$actors" --output "$build/$name.wasm" "$name"
}

# wasm-opt would save more, but cannot read components.
strip_actor() {
    if ! command -v wasm-tools >/dev/null; then
        say "wasm-tools not found: names and debug information stay in"
        return
    fi
    say "stripping names and debug information"
    wasm-tools strip --all "$build/$name.wasm" --output "$build/stripped.wasm"
    mv "$build/stripped.wasm" "$build/$name.wasm"
}

say() {
    echo "build_python_actors: $1"
}

die() {
    echo "build_python_actors: $2" >&2
    exit "$1"
}

main "$@"
