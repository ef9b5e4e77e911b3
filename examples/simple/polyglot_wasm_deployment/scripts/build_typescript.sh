#!/usr/bin/env bash
# Builds the TypeScript greeters into wasm-modules/: greeter.wasm, which Javy makes where it is installed, and a component.
#
# Without Javy, greeter.ts runs unchanged on actors/typescript/javy/javy.js in a component that is a command too.
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
}

build_component() {
    bundle "$actors/greeter_actor.ts" "$build/greeter_actor.js" 'plexspaces:*'
    componentize "$wit" interfaced-request-actor "$build/greeter_actor.js"
    put "$build/component.wasm" "$modules/typescript_actor.wasm"
}

build_command() {
    (cd "$actors" && "$bin/tsc" greeter.ts --target ES2020 --module commonjs --outDir "$build")
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

bundle() {
    "$bin/esbuild" "$1" --bundle --format=esm --target=es2023 --platform=neutral --external:"$3" --outfile="$2" --log-level=warning
}

componentize() {
    "$bin/componentize-qjs" --wit "$1" --world "$2" --js "$3" --sync --opt-size --minify --output "$build/component.wasm" >/dev/null
}

main
