#!/usr/bin/env bash
# Builds the TypeScript greeters into wasm-modules/: a component, and commands of which greeter.wasm is Javy's where it is
# installed.
#
# Without Javy, greeter.ts runs unchanged on actors/typescript/javy/javy.js in a component that is a command too. As a core
# module, greeter_core.wasm, it runs on actors/typescript/javy/core.c and QuickJS.
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$example/../../../scripts/lib/guests.sh"
actors=$example/actors/typescript
modules=$example/wasm-modules
build=$example/.build/typescript
bin=$tools/node_modules/.bin

main() {
    npm_tools componentize-qjs@0.4.5 esbuild@0.28.2 typescript@7.0.2
    mkdir -p "$build"
    note "checking types"
    (cd "$actors" && "$bin/tsc" --noEmit --strict --target ES2022 --module esnext --moduleResolution bundler --types '' \
        greeter_actor.ts plexspaces.d.ts)
    up_to_date "$modules/typescript_actor.wasm" "$actors" "$wit" "${BASH_SOURCE[0]}" || build_component
    up_to_date "$modules/greeter.wasm" "$actors" "${BASH_SOURCE[0]}" || build_command
    up_to_date "$modules/greeter_core.wasm" "$actors" "${BASH_SOURCE[0]}" || build_core_command
}

build_component() {
    bundle "$actors/greeter_actor.ts" "$build/greeter_actor.js" 'plexspaces:*'
    componentize "$wit" interfaced-request-actor "$build/greeter_actor.js"
    put "$build/component.wasm" "$modules/typescript_actor.wasm"
}

compile_greeter() {
    (cd "$actors" && "$bin/tsc" greeter.ts --target ES2020 --module commonjs --outDir "$build")
}

build_command() {
    compile_greeter
    if command -v javy >/dev/null; then
        javy build "$build/greeter.js" -o "$build/greeter.wasm"
        put "$build/greeter.wasm" "$modules/greeter.wasm"
        return
    fi
    note "javy not found: greeter.wasm becomes a component instead"
    bundle "$actors/javy/javy.js" "$build/command.js" 'wasi:*'
    { echo 'export const run = { run: () => main(() => {'; cat "$build/greeter.js"; echo '}) };'; } >>"$build/command.js"
    componentize "$actors/javy/wit" command "$build/command.js"
    put "$build/component.wasm" "$modules/greeter.wasm"
}

build_core_command() {
    pip_tools ziglang==0.17.1
    quickjs
    compile_greeter
    "$bin/esbuild" "$actors/javy/text.js" --bundle --format=iife --target=es2023 --outfile="$build/program.js" --log-level=warning
    cat "$build/greeter.js" >>"$build/program.js"
    note "building greeter_core.wasm"
    "$tools/venv/bin/python" -m ziglang cc -target wasm32-wasi -Os -s -Wall -Wno-unused -std=gnu23 -D_GNU_SOURCE \
        -Wl,-z,stack-size=1048576 --embed-dir="$build" -isystem "$quickjs" "$actors/javy/core.c" \
        "$quickjs"/{quickjs,libregexp,libunicode,dtoa,cutils}.c -o "$build/greeter_core.wasm"
    put "$build/greeter_core.wasm" "$modules/greeter_core.wasm"
}

bundle() {
    "$bin/esbuild" "$1" --bundle --format=esm --target=es2023 --platform=neutral --external:"$3" --outfile="$2" --log-level=warning
}

componentize() {
    "$bin/componentize-qjs" --wit "$1" --world "$2" --js "$3" --sync --opt-size --minify --output "$build/component.wasm" >/dev/null
}

main
