#!/usr/bin/env bash
# Prints what a node takes: memory at rest, over an upload of 100 MiB and after a load, a Python deploy twice, the
# binary's size.
#
# Needs the Python calculator: examples/simple/wasm_calculator/scripts/build_python_actors.sh
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

wasm_modules=$root/examples/simple/wasm_calculator/wasm-modules

rss() { awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$node_pid/status"; }
peak() { awk '/^VmHWM/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$node_pid/status"; }
anonymous() { awk '/^RssAnon/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$node_pid/status"; }
forget_peak() { echo 5 >"/proc/$node_pid/clear_refs"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$node_pid/stat"; }

deploy() {
    curl -sS -o "$node_dir/answer" -w '%{time_total} s' -X POST "$url/api/v1/applications/deploy" \
        -F "application_id=$1-app" -F "name=$1" -F "version=1.0.0" -F "wasm_file=@$2"
}

ask() {
    curl -sS -o "$node_dir/answer" -w '%{time_total} s' -X POST "$url/api/v1/actors/default/calculator" \
        -d '{"operation":"add","operands":[1,2]}'
}

undeploy() {
    curl -sS -o /dev/null -X DELETE "$url/api/v1/applications/$1"
}

# The most memory that the compile child held, looked at often while `deploy` runs.
watch_child() {
    local most=0 now child
    while [[ -e $node_dir/watching ]]; do
        for child in $(cat "/proc/$node_pid/task/$node_pid/children" 2>/dev/null); do
            now=$(awk '/^VmHWM/ { print $2 }' "/proc/$child/status" 2>/dev/null || true)
            ((${now:-0} > most)) && most=$now
        done
        sleep 0.05
    done
    echo "$((most / 1024)) MiB" >"$node_dir/child"
}

build_node
echo "binary ($profile): $(($(stat -c %s "$node") / 1024)) KiB, stripped $(strip -o "${stripped:=$(mktemp)}" "$node" && stat -c %s "$stripped" | awk '{ print int($1 / 1024) }'; rm "$stripped") KiB"
start_node 127.0.0.1:0
curl -sS -o /dev/null "$url/health"
echo "at rest: RSS $(rss), anonymous $(anonymous)"

# The Rust calculator with a custom section of zeros, to exactly 100 MiB.
python3 - "$wasm_modules/calculator_rust.wasm" "$node_dir/large.wasm" <<'PY'
import sys
module = open(sys.argv[1], "rb").read()
padding = 104_857_600 - len(module) - 7
size = padding + 1
leb = bytes((size >> 7 * i & 0x7F) | (0x80 if i < 4 else 0) for i in range(5))
open(sys.argv[2], "wb").write(module + b"\0" + leb + b"\0" + bytes(padding))
PY
before=$(rss)
forget_peak
cpu=$(cpu_ms)
echo "100 MiB: deployed in $(deploy large "$node_dir/large.wasm"), RSS before $before, peak $(peak), after $(rss), CPU $(awk "BEGIN { print $(cpu_ms) - $cpu }") ms"
undeploy large

# 200 messages of 1 MiB, each held one byte before its end; then all clients leave at once.
deploy calculator "$wasm_modules/calculator_rust.wasm" >/dev/null
held=$(python3 - "${url#http://}" "$node_pid" <<'PY'
import socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
def rss():
    line = next(l for l in open(f"/proc/{sys.argv[2]}/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
def settled():
    before = rss()
    for _ in range(100):
        time.sleep(0.2)
        before, last = rss(), before
        if abs(before - last) < 0.2:
            break
    return before
head = f"POST /api/v1/actors/default/calculator HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 20}\r\n\r\n"
clients, rest = [], rss()
for _ in range(200):
    client = socket.create_connection((host, int(port)))
    client.sendall(head.encode() + b"x" * ((1 << 20) - 1))
    clients.append(client)
most = settled()
for client in clients:
    client.close()
print(f"RSS before {rest:.1f} MiB, meanwhile {most:.1f}, after {settled():.1f}")
PY
)
echo "200 held messages of 1 MiB: $held"
undeploy calculator

python=$wasm_modules/calculator_actor.wasm
[[ -e $python ]] || die "$python is not built"
forget_peak
touch "$node_dir/watching"
watch_child &
echo "Python: first deploy $(deploy calculator "$python"), node's peak RSS $(peak)"
rm "$node_dir/watching"
wait $!
echo "Python: $(grep -o 'compiled in [^ ]*' "$node_dir/log" | tail -n 1), child's peak RSS $(cat "$node_dir/child")"
echo "Python: first answer $(ask), second $(ask), node's RSS $(rss)"
undeploy calculator
echo "Python: second deploy $(deploy calculator "$python"), then the answer $(ask)"
undeploy calculator
echo "empty again: RSS $(rss), anonymous $(anonymous)"
