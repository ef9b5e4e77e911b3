# A node for scripts: built, started on a directory of its own, and ended with the script that sources this.
#
# PROFILE=dev takes the development build instead of the release one; NODE=PATH takes a binary that is there already.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
profile=${PROFILE:-release}
node_dir=
node_pid=

say() {
    printf '\n== %s\n' "$1"
}

die() {
    echo "${0##*/}: $1" >&2
    exit 1
}

# build_node [HINT]: says what it builds, with the hint behind it, and sets `node`
build_node() {
    command -v curl >/dev/null || die "curl not found: apt-get install curl"
    node=${NODE:-}
    if [[ -n $node ]]; then
        say "Taking the node that is built: $node"
        return 0
    fi
    command -v cargo >/dev/null || die "cargo not found: install Rust 1.95 or newer from https://rustup.rs"
    say "Building the node ($profile${1-})"
    (cd "$root" && cargo build --profile "$profile" --bin plexspaces)
    local target
    target=${CARGO_TARGET_DIR:-$root/target}
    node=$target/${profile/#dev/debug}/plexspaces
}

# Starts the node and sets `url` to its HTTP gateway.
start_node() {
    node_dir=$(mktemp -d)
    : >"$node_dir/log"
    "$node" start --node-id test-node --listen-addr "$1" --data-dir "$node_dir/data" 2>"$node_dir/log" &
    node_pid=$!
    trap stop_node EXIT
    local waited
    for waited in $(seq 100); do
        url=$(sed -n 's/.*Starting HTTP gateway server on //p' "$node_dir/log")
        [[ -n $url ]] && return
        kill -0 "$node_pid" 2>/dev/null || die "the node ended: $(tail -n 1 "$node_dir/log")"
        sleep 0.1
    done
    die "the node did not come up within ${waited} tenths of a second; its log: $node_dir/log"
}

stop_node() {
    kill "$node_pid" 2>/dev/null && wait "$node_pid" || true
    rm -rf "$node_dir"
}

# A command as it can be pasted: the words that need quotes have them.
quoted() {
    local word line=
    for word; do
        [[ $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    printf '%s' "${line# }"
}

# Prints a command, runs it, and keeps its output in `answer`.
show() {
    printf '$ %s\n' "$(quoted "$@")"
    answer=$("$@") || die "that failed: $answer"
    printf '%s\n' "$answer"
}

# Fails unless the last answer holds this text.
expect() {
    [[ $answer == *"$1"* ]] || die "expected to see $1"
}
