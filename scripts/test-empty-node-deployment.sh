#!/usr/bin/env bash
# An empty node gets an application and loses it again: 0, 1, 0 on the dashboard. Makes its own module.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

# (module
#   (memory (export "memory") 1)
#   (data (i32.const 16) "\05\00\00\00hello")
#   (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 16)))
module_base64=AGFzbQEAAAABCwFgBn9/f39/fwF/AwIBAAUDAQABBxsCBm1lbW9yeQIADmhhbmRsZV9yZXF1ZXN0AAAKBgEEAEEQCwsPAQBBEAsJBQAAAGhlbGxv

applications() {
    show curl -sS "$url/api/v1/dashboard/summary"
    expect "\"total_applications\":$1"
}

build_node
say "Starting an empty node"
start_node 127.0.0.1:0
applications 0

say "Deploying a module made for this test"
base64 -d <<<"$module_base64" >"$node_dir/hello.wasm"
show curl -sS -X POST "$url/api/v1/applications/deploy" \
    -F "application_id=hello-app" -F "name=hello" -F "version=1.0.0" -F "wasm_file=@$node_dir/hello.wasm"
expect '"status":"APPLICATION_STATUS_RUNNING"'
applications 1

say "Asking it"
show curl -sS -X POST "$url/api/v1/actors/default/hello" -d ''
expect '"payload":"hello"'

say "Undeploying it"
show curl -sS -X DELETE "$url/api/v1/applications/hello"
expect '"application_id":"hello-app"'
applications 0

say "0, 1, 0: the node is empty again"
