#!/usr/bin/env bash
# Prints how long a node with 20 applications takes from its start to ready, what it compiles, and what it writes.
#
# Nineteen Rust calculators and, where it is built, the Python one; killed with SIGKILL, started again, five times.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

wasm_modules=$root/examples/simple/wasm_calculator/wasm-modules
python=$wasm_modules/calculator_actor.wasm

deploy() {
    curl -sS -o "$node_dir/answer" -X POST "$url/api/v1/applications/deploy" \
        -F "application_id=$1-app" -F "name=$1" -F "version=1.0.0" -F "wasm_file=@$2"
    grep -q '"success":true' "$node_dir/answer" || die "$1: $(cat "$node_dir/answer")"
}

written() { awk '/^write_bytes/ { print $2 }' "/proc/$node_pid/io"; }

# Milliseconds since the node was started, by its own log.
again() {
    kill -KILL "$node_pid" && wait "$node_pid" 2>/dev/null || true
    : >"$node_dir/log"
    local begin
    begin=$(date +%s%N)
    "$node" start --node-id test-node --listen-addr 127.0.0.1:0 --data-dir "$node_dir/data" 2>"$node_dir/log" &
    node_pid=$!
    until grep -q 'ready, with' "$node_dir/log"; do sleep 0.005; done
    echo "$((($(date +%s%N) - begin) / 1000000)) ms: $(grep -o 'ready, with.*' "$node_dir/log"), $(grep -c 'compiled in' "$node_dir/log" || true) compiled, RSS $(awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$node_pid/status")"
}

build_node
start_node 127.0.0.1:0
before=$(written)
deploy first "$wasm_modules/calculator_rust.wasm"
echo "first deploy of $(stat -c %s "$wasm_modules/calculator_rust.wasm") bytes: $(($(written) - before)) bytes written by the node (its compiler's come on top)"
before=$(written)
for number in $(seq 18); do deploy "rust-$number" "$wasm_modules/calculator_rust.wasm"; done
echo "each further deploy of it: $((($(written) - before) / 18)) bytes written"
if [[ -e $python ]]; then deploy calculator "$python"; else echo "Python calculator: not built, left out"; fi
before=$(written)
sleep "${IDLE_SECONDS:-60}"
echo "${IDLE_SECONDS:-60} idle seconds: $(($(written) - before)) bytes written"
for _ in 1 2 3 4 5; do again; done
