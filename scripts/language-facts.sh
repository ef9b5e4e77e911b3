#!/usr/bin/env bash
# Measures what a guest costs in each language and form, on this machine, and writes the table into docs/languages.md.
#
# Build the modules first (scripts/build_examples.sh). usage: language-facts.sh [MODULE...]
# With modules named, their rows are shown and the page is left alone. PROFILE and NODE as in scripts/lib/node.sh.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib/node.sh"
modules=$root/examples/simple/polyglot_wasm_deployment/wasm-modules
page=$root/docs/languages.md
further=10
calls=200

main() {
    build_node
    if (($#)); then
        table "$@"
        return
    fi
    local table
    table=$(table rust_actor python_actor typescript_actor go_component rust_core go_core c_core go_actor greeter greeter_core | tee /dev/stderr)
    write "$table"
}

table() {
    echo "Measured $(date -u +%F) on $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), load $(cut -d' ' -f1 /proc/loadavg), with $("$node" --version), $([[ $node == */debug/* ]] && echo "a development build, whose engine is optimised" || echo "profile $profile")."
    echo
    echo "| module | form | size | optimised | compile | from the cache | start | first call | steady call | first actor | each further |"
    echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    local name
    for name in "$@"; do row "$name" "$(form "$name")"; done
}

form() {
    case $1 in
        *_core) echo core ;;
        go_actor | greeter) echo command ;;
        *) echo component ;;
    esac
}

# Each module has a node of its own, so that memory is its own.
row() {
    local module=$modules/$1.wasm began
    [[ -e $module ]] || die "$1.wasm is not built: run scripts/build_examples.sh"
    start_node 127.0.0.1:0
    began=$(rss_kib)
    deploy actor >/dev/null
    local compiled first steady memory number more
    compiled=$(grep -o 'compiled in [^ ]*' "$node_dir/log" | cut -d' ' -f3)
    first=$(call 1)
    steady=$(call "$calls" | sort -n | sed -n "$((calls / 2))p")
    memory=$(rss_kib)
    # Alone, its program is loaded anew by each start; beside another application's of the same module it is there.
    local cached started
    wish actor stop >/dev/null
    cached=$(wish actor start)
    for ((number = 1; number <= further; number++)); do
        deploy "actor$number" >/dev/null
        curl -sf -o "$node_dir/answer" "$url/api/v1/actors/actor$number/actor$number" -d Ada
    done
    more=$((($(rss_kib) - memory) / further))
    wish actor stop >/dev/null
    started=$(wish actor start)
    stop_node
    echo "| \`$1\` | $2 | $(size "$module") | $(optimised "$module" "$2") | $(seconds "$compiled") | $(ms "$cached") | $(ms "$started") | $(ms "$first") | $(ms "$steady") | $(mib $((memory - began))) | $(mib "$more") |"
}

deploy() {
    curl -sf -o "$node_dir/answer" "$url/api/v1/applications/deploy" -F "application_id=$1-app" -F "name=$1" -F version=1.0.0 -F "wasm_file=@$module"
}

# Calls over one connection: the time of each in seconds.
call() {
    local urls=()
    while ((${#urls[@]} < 3 * $1)); do urls+=(-o "$node_dir/answer" "$url/api/v1/actors/actor/actor"); done
    curl -sf -w '%{time_total}\n' -d Ada "${urls[@]}"
}

wish() {
    curl -sf -X POST -o "$node_dir/answer" -w '%{time_total}' "$url/api/v1/applications/$1:$2"
}

rss_kib() {
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$node_pid/status"
}

# Of core modules by wasm-opt -Oz, which cannot read components; those of their names.
optimised() {
    local smaller=$node_dir.wasm
    if [[ $(head -c 5 "$1" | tail -c 1 | od -An -tu1 | tr -d ' ') == 1 ]] && [[ $(head -c 7 "$1" | tail -c 1 | od -An -tu1 | tr -d ' ') == 0 ]]; then
        command -v wasm-opt >/dev/null || { echo "-" && return; }
        wasm-opt -Oz --strip-debug --all-features "$1" -o "$smaller" 2>/dev/null || { echo "-" && return; }
    else
        local tool
        tool=$(command -v wasm-tools || echo "$root/examples/.tools/venv/bin/wasm-tools")
        "$tool" strip --all "$1" -o "$smaller" || { echo "-" && return; }
    fi
    size "$smaller"
    rm -f "$smaller"
}

size() {
    mib $(($(wc -c <"$1") / 1024))
}

mib() {
    awk -v kib="$1" 'BEGIN { if (kib < 1024) printf "%d KiB", kib; else printf "%.1f MiB", kib / 1024 }'
}

ms() {
    awk -v seconds="$1" 'BEGIN { printf "%.2f ms", seconds * 1000 }'
}

# As the node's log spells a duration.
seconds() {
    awk -v took="$1" 'BEGIN { printf (took ~ /ms$/) ? "%.2f s" : "%.1f s", (took ~ /ms$/) ? took / 1000 : took }'
}

# Everything below the mark is this script's.
write() {
    sed -i '/^<!-- facts/q' "$page"
    printf '\n%s\n' "$1" >>"$page"
}

main "$@"
