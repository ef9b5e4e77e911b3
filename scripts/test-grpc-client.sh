#!/usr/bin/env bash
# A gRPC client that is none of ours (grpcio, from PyPI) uses a node by reflection alone. Where it cannot be installed,
# this is skipped with a line that says so; with CI=true that is a failure.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

client=${CARGO_TARGET_DIR:-$root/target}/grpc-client
module=$root/examples/simple/wasm_calculator/wasm-modules/calculator_rust.wasm

# Leaves a Python with the client's packages in `client`.
install_client() {
    "$client/bin/python" -c 'import grpc, grpc_reflection' 2>/dev/null && return
    python3 -m venv "$client" && "$client/bin/pip" install --quiet grpcio==1.85.3 grpcio-reflection==1.85.1
}

say "Installing grpcio into $client"
if ! install_client; then
    [[ ${CI-} != true ]] || die "grpcio cannot be installed, and CI must try it"
    echo "skipped: grpcio cannot be installed here, so no outside client was tried"
    exit 0
fi
build_node
say "Starting a node"
start_node 127.0.0.1:0
port=${url##*:}
"$client/bin/python" "$root/scripts/grpc_client.py" "127.0.0.1:$((port - 1))" "$node_pid" "$module"
wait "$node_pid" || die "the node ended with $?"
say "An outside client has used the node, and seen it stop"
