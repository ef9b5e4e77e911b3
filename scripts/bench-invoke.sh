#!/usr/bin/env bash
# Prints what an invoke over HTTP costs beside bare hyper: requests a second and processor time of each, kept alive, the
# two in turn; the figures are medians.
#
# usage: bench-invoke.sh
# Needs wrk (Debian: apt-get install wrk). HELLO=PATH takes a build of benches/hello.rs that is there already.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
connections=16
guests=$root/benches/guests/built
hello_pid=

main() {
    command -v wrk >/dev/null || die "wrk not found: apt-get install wrk"
    [[ -e $guests/ring_component.wasm ]] || "$root/benches/guests/build.sh"
    build_node
    start_node 127.0.0.1:0
    trap 'kill "$hello_pid" 2>/dev/null || true; stop_node' EXIT
    start_hello
    echo 'wrk.method = "POST"; wrk.body = "hello"; wrk.headers["X-Message-Type"] = "echo"' >"$node_dir/post.lua"
    echo "node: $("$node" --version); $(nproc) processors; wrk with $connections connections, medians of $rounds times $seconds s"
    local kind
    for kind in core component; do
        deploy "$guests/ring_$kind.wasm"
        compare "$kind"
        undeploy
    done
}

deploy() {
    curl -sS --fail-with-body -o "$node_dir/answer" -X POST "$url/api/v1/applications/deploy" \
        -F "application_id=echo" -F "name=echo" -F "version=1.0.0" -F "wasm_file=@$1" ||
        die "no deploy: $(cat "$node_dir/answer")"
}

undeploy() {
    curl -sS --fail-with-body -o "$node_dir/answer" -X DELETE "$url/api/v1/applications/echo" || die "no undeploy"
}

start_hello() {
    local hello=${HELLO:-}
    if [[ -z $hello ]]; then
        (cd "$root" && cargo bench --no-run --bench hello 2>"$node_dir/hello") || die "$(cat "$node_dir/hello")"
        hello=$root/$(sed -n 's/.*Executable.*(\(.*\))/\1/p' "$node_dir/hello")
    fi
    hello_url=http://127.0.0.1:18998
    "$hello" 127.0.0.1:18998 &
    hello_pid=$!
    curl -sS --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null "$hello_url/"
}

compare() {
    local round node=() bare=()
    for ((round = 0; round < rounds; round++)); do
        bare+=("$(load "$hello_pid" "$hello_url/")")
        node+=("$(load "$node_pid" "$url/api/v1/actors/default/echo")")
    done
    printf '%s\n' "${node[@]}" >"$node_dir/node"
    printf '%s\n' "${bare[@]}" >"$node_dir/bare"
    awk -v kind="$1" '
        function median(v, n, i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j-1]; j--) { t = v[j]; v[j] = v[j-1]; v[j-1] = t }; return v[int((n + 1) / 2)] }
        FILENAME ~ /node$/ { rate[++n] = $1; cpu[n] = $2 }
        FILENAME ~ /bare$/ { their_rate[++m] = $1; their_cpu[m] = $2 }
        END { printf "  %s: %d requests a second, %.1f us of CPU each; bare hyper %d and %.1f; ratio %.2f by rate, %.2f by CPU\n",
            kind, median(rate, n), median(cpu, n), median(their_rate, m), median(their_cpu, m),
            median(rate, n) / median(their_rate, m), median(their_cpu, m) / median(cpu, n) }' "$node_dir/node" "$node_dir/bare"
}

# load PID URL: requests a second, and microseconds of the process's CPU for each
load() {
    local cpu
    cpu=$(cpu_ms "$1")
    wrk -t 1 -c "$connections" -d "$seconds" -s "$node_dir/post.lua" "$2" >"$node_dir/wrk"
    ! grep -q 'Non-2xx' "$node_dir/wrk" || die "it was refused: $(curl -sS -X POST "$2" -d hello)"
    awk -v cpu="$(($(cpu_ms "$1") - cpu))" '/requests in/ { asked = $1 } /Requests\/sec/ { print $2, cpu * 1000 / asked }' "$node_dir/wrk"
}

cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }

main "$@"
