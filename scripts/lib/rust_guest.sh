# Builds a Rust guest into a component, with whichever toolchain can; sourced by the scripts that do.
#
# Needs: `actor`, the crate's folder, `say TEXT` and `die CODE TEXT`. `deliver TARGET` is called with the target that
# was built. Returns 1 where no toolchain here can.

debian_packages=(rustc-web cargo-web rust-web-src lld)

build_with_rustup() {
    has_target || add_target || return 1
    say "building for wasm32-wasip2"
    (cd "$actor" && cargo build --release --locked --target wasm32-wasip2) || die 1 "the build failed"
    deliver wasm32-wasip2
}

has_target() {
    command -v cargo >/dev/null && [[ -d $(rustc --print target-libdir --target wasm32-wasip2) ]]
}

add_target() {
    command -v rustup >/dev/null || return 1
    say "adding rustup's target wasm32-wasip2"
    rustup target add wasm32-wasip2 >/dev/null 2>&1 && return
    say "rustup cannot add it; trying Debian's toolchain"
    return 1
}

# Makes a component without WASI, by way of wasm32-unknown-unknown.
build_with_debian() {
    local linker
    linker=$(component_linker) && has_debian_packages || return 1
    say "building with Debian's toolchain; the first time takes about a minute"
    # The explicit paths matter, since rustup's cargo comes first in PATH. RUSTC_BOOTSTRAP lets this
    # compiler build the standard library and leave source paths out.
    (cd "$actor" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
        RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Clink-arg=--wasm-ld-path=/usr/bin/wasm-ld -Zlocation-detail=none" \
        /usr/bin/cargo build --release --locked --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort) ||
        die 1 "the build failed"
    deliver wasm32-unknown-unknown
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
