#!/usr/bin/env bash
# Prints what actors cost: messages between two of them and around a ring beside Erlang on one scheduler, and what a
# ring of them takes to start, to hold and to leave idle. Each pair is measured in turn; the figures are medians.
#
# usage: bench-actors.sh [ACTORS]      (default: 10000)
# Needs Erlang (Debian: apt-get install erlang-base) for the yardstick.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"

actors=${1:-10000}
rounds=${ROUNDS:-5}
idle_seconds=10
guests=$root/benches/guests/built

main() {
    [[ -e $guests/ring_core.wasm ]] || "$root/benches/guests/build.sh"
    build_node
    export PLEXSPACES_ACTORS_MAX=$actors
    echo "node: $("$node" --version); Erlang: $(erlang_version); $(nproc) processors; medians of $rounds"
    for kind in core component; do
        start_node 127.0.0.1:0
        ! has_erlang || erlc -o "$node_dir" "$root/benches/ring.erl"
        measure_ring "$kind"
        stop_node
    done
}

measure_ring() {
    local kind=$1 before before_cpu began
    before=$(rss_kib)
    before_cpu=$(cpu_ms)
    began=$(now_ms)
    deploy "$kind" "$actors"
    echo "$actors $kind actors: started in $(($(now_ms) - began)) ms ($(($(cpu_ms) - before_cpu)) ms CPU)," \
        "$((($(rss_kib) - before) * 1024 / actors)) bytes of RSS each ($(($(anonymous_kib) / 1024)) MiB anonymous in all)"
    idle
    compare "$kind" "$actors" $((actors * 100))
    echo "after that: RSS $(($(rss_kib) / 1024)) MiB"
    undeploy "$kind"
    echo "without them: RSS $(($(rss_kib) / 1024)) MiB"
    deploy "$kind" 2
    compare "$kind" 2 1000000
    undeploy "$kind"
}

idle() {
    local cpu switches
    sleep 1
    cpu=$(cpu_ms)
    switches=$(context_switches)
    sleep "$idle_seconds"
    echo "  $idle_seconds idle seconds: $(($(cpu_ms) - cpu)) ms CPU, $(($(context_switches) - switches)) context switches"
}

# compare KIND ACTORS HOPS
compare() {
    local round node=() erlang=()
    hop "$1" "$2" $(($2 * 10)) >/dev/null
    for ((round = 0; round < rounds; round++)); do
        node+=("$(hop "$1" "$2" "$3")")
        if has_erlang; then
            erlang+=("$(erl -noinput +S 1:1 -pa "$node_dir" -run ring run "$2" "$3")")
        fi
    done
    printf '%s\n' "${node[@]}" >"$node_dir/node"
    printf '%s\n' "${erlang[@]:-}" >"$node_dir/erlang"
    awk -v kind="$1" -v actors="$2" -v hops="$3" '
        function median(values, n) { asort_(values, n); return values[int((n + 1) / 2)] }
        function asort_(v, n, i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j-1]; j--) { t = v[j]; v[j] = v[j-1]; v[j-1] = t } }
        NF < 2 { next }
        FILENAME ~ /node$/ { cpu[++n] = $1; wall[n] = $2 }
        FILENAME ~ /erlang$/ { their_cpu[++m] = $1; their_wall[m] = $2 }
        END {
            own = hops / median(cpu, n) / 1000; own_wall = hops / median(wall, n) / 1000
            printf "  %s, ring of %d: %.2f M messages per second of CPU, %.2f of wall time", kind, actors, own, own_wall
            if (m) { theirs = hops / median(their_cpu, m) / 1000
                printf "; Erlang %.2f and %.2f; ratio %.2f and %.2f", theirs, hops / median(their_wall, m) / 1000, own / theirs, own_wall / (hops / median(their_wall, m) / 1000) }
            print "" }' "$node_dir/node" "$node_dir/erlang"
}

# Milliseconds of CPU and of wall time that so many hops take.
hop() {
    local cpu began
    cpu=$(cpu_ms)
    began=$(now_ms)
    curl -sS --fail-with-body -o "$node_dir/answer" -X POST "$url/api/v1/actors/by-id/$1%2Fa0@test-node" -H "X-Timeout-Ms: 600000" -d "$2 $3" || die "no answer: $(cat "$node_dir/answer")"
    echo "$(($(cpu_ms) - cpu)) $(($(now_ms) - began))"
}

deploy() {
    local module=$guests/ring_$1.wasm spec=$node_dir/spec.toml
    ring "$1" "$2" >"$spec"
    curl -sS --fail-with-body -o "$node_dir/answer" -X POST "$url/api/v1/applications/deploy" \
        -F "application_id=$1" -F "name=$1" -F "version=1.0.0" -F "wasm_file=@$module" -F "config=<$spec" ||
        die "no deploy: $(cat "$node_dir/answer")"
}

# ring NAME ACTORS: the spec of an application with so many actors
ring() {
    echo "[supervisor]"
    echo "strategy = \"one_for_one\""
    local place
    for ((place = 0; place < $2; place++)); do
        printf '[[supervisor.children]]\nid = "a%d"\n' "$place"
    done
}

undeploy() {
    curl -sS --fail-with-body -o "$node_dir/answer" -X DELETE "$url/api/v1/applications/$1" || die "no undeploy: $(cat "$node_dir/answer")"
}

has_erlang() { command -v erl >/dev/null; }
erlang_version() { if has_erlang; then erl -noinput -eval 'io:format("OTP ~s", [erlang:system_info(otp_release)]), halt().'; else echo "not installed, so no ratios"; fi; }
rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$node_pid/status"; }
anonymous_kib() { awk '/^RssAnon/ { print $2 }' "/proc/$node_pid/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$node_pid/stat"; }
context_switches() { awk '/ctxt_switches/ { all += $2 } END { print all }' "/proc/$node_pid"/task/*/status; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

main "$@"
