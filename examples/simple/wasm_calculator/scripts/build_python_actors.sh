#!/usr/bin/env bash
# Builds the Python actor into wasm-modules/calculator_actor.wasm, unless that is newer than its sources.
#
# usage: build_python_actors.sh [--force]
set -euo pipefail

componentize_py=0.25.1

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wit=$example/../../../wit/plexspaces-actor
actors=$example/actors/python
module=$example/wasm-modules/calculator_actor.wasm
build=$example/.build
venv=$build/venv

main() {
    case "${1-}" in
        '') if up_to_date; then say "calculator_actor.wasm is up to date; --force builds it anyway"; exit; fi ;;
        --force) ;;
        *) die 2 "usage: build_python_actors.sh [--force]" ;;
    esac
    install_componentize_py
    build_actor
    strip_actor
    mkdir -p "$(dirname "$module")"
    mv "$build/calculator_actor.wasm" "$module"
    say "built wasm-modules/calculator_actor.wasm, $(($(wc -c <"$module") / 1024)) KiB"
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
    say "building calculator_actor.wasm, which takes some ten seconds"
    # VIRTUAL_ENV keeps it from looking for packages anywhere else.
    VIRTUAL_ENV=$venv "$venv/bin/componentize-py" --quiet --wit-path "$wit" --world request-actor \
        componentize --python-path "$actors" --output "$build/calculator_actor.wasm" calculator_actor
}

# wasm-opt would save more, but cannot read components.
strip_actor() {
    if ! command -v wasm-tools >/dev/null; then
        say "wasm-tools not found: names and debug information stay in"
        return
    fi
    say "stripping names and debug information"
    wasm-tools strip --all "$build/calculator_actor.wasm" --output "$build/stripped.wasm"
    mv "$build/stripped.wasm" "$build/calculator_actor.wasm"
}

say() {
    echo "build_python_actors: $1"
}

die() {
    echo "build_python_actors: $2" >&2
    exit "$1"
}

main "$@"
