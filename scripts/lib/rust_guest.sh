# Builds a Rust guest, with whichever toolchain can; sourced by the scripts that do.
#
# Needs: `actor`, the crate's folder, `say TEXT` and `die CODE TEXT`. `deliver TARGET` is called with the target that
# was built. Returns 1 where no toolchain here can.

debian_packages=(rustc-web cargo-web rust-web-src lld wasi-libc)

# For wasm32-wasip2, or the target given.
build_with_rustup() {
    local target=${1:-wasm32-wasip2}
    has_target "$target" || add_target "$target" || return 1
    say "building for $target"
    (cd "$actor" && cargo build --release $(locked) --target "$target") || die 1 "the build failed"
    deliver "$target"
}

# A project that has just begun has no versions to keep to.
locked() {
    [[ ! -e $actor/Cargo.lock ]] || echo --locked
}

has_target() {
    command -v cargo >/dev/null && [[ -d $(rustc --print target-libdir --target "$1") ]]
}

add_target() {
    command -v rustup >/dev/null || return 1
    say "adding rustup's target $1"
    rustup target add "$1" >/dev/null 2>&1 && return
    say "rustup cannot add it; trying Debian's toolchain"
    return 1
}

# Makes a component without WASI, by way of wasm32-unknown-unknown; with that target and `core` a core module; with
# wasm32-wasip2 a component that has WASI.
build_with_debian() {
    local target=${1:-wasm32-unknown-unknown} core=${2-} linker flags="-Clink-arg=--wasm-ld-path=/usr/bin/wasm-ld"
    linker=$(component_linker) && has_debian_packages || return 1
    case $target in
        wasm32-wasip2) flags+=" -Clink-self-contained=no -Lnative=/usr/lib/wasm32-wasi -Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o" ;;
        *) flags+=" -Zlocation-detail=none" ;;
    esac
    say "building with Debian's toolchain; the first time takes about a minute"
    # The explicit paths matter, since rustup's cargo comes first in PATH. RUSTC_BOOTSTRAP lets this
    # compiler build the standard library and leave source paths out.
    local variable
    variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
    (cd "$actor" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
        RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        "${variable}_LINKER=$linker" "${variable}_RUSTFLAGS=$flags" \
        /usr/bin/cargo rustc --release $(locked) --target "$target" -Zbuild-std=std,panic_abort \
        -- ${core:+-Clink-arg=--skip-wit-component}) ||
        die 1 "the build failed"
    deliver "$target"
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

has_debian_packages() {
    command -v dpkg >/dev/null || return 1
    dpkg --status "${debian_packages[@]}" >/dev/null 2>&1 && return
    [[ $(id -u) == 0 ]] || return 1
    say "installing ${debian_packages[*]}"
    apt-get update -qq && apt-get install -qq --no-install-recommends "${debian_packages[@]}"
}
