#!/usr/bin/env bash
# From a clone to an answering actor: builds the node, starts it, deploys the Rust calculator, and asks it.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

hint="; the first build takes five to fifteen minutes on two cores"
[[ $profile == dev ]] || hint+="; PROFILE=dev is quicker"
build_node "$hint"

say "Starting it on a directory of its own"
# The default port where it is free, else any other.
if (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null || (exec 3<>/dev/tcp/127.0.0.1/8001) 2>/dev/null; then
    start_node 127.0.0.1:0
else
    start_node 127.0.0.1:8000
fi
echo "node test-node answers on $url, its dashboard is $url/"

say "Deploying examples/simple/wasm_calculator, a WebAssembly component of 66 KiB"
show curl -sS -X POST "$url/api/v1/applications/deploy" \
    -F "application_id=calculator-app" -F "name=calculator" -F "version=1.0.0" \
    -F "wasm_file=@$root/examples/simple/wasm_calculator/wasm-modules/calculator_rust.wasm"
expect '"success":true'

say "Asking it: 6 x 7"
show curl -sS -X POST "$url/api/v1/actors/default/calculator" -d '{"operation":"multiply","operands":[6,7]}'
expect '"result":42.0'

say "Undeploying it, and stopping the node"
show curl -sS -X DELETE "$url/api/v1/applications/calculator"
expect '"success":true'

say "The actor's answer was 42. DEPLOY_EMPTY_NODE_GUIDE.md goes on from here."
