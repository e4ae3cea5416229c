# What `scripts/run` and `scripts/test` share: packages, the Rust toolchain, the root.
# Sourced by bash; each function does nothing where nothing is missing.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need_packages COMMAND:PACKAGE …: installs the packages whose command is not there. A library has
# none: for it an absolute path, such as that of its header, stands instead.
need_packages() {
    local pair missing=() as_root=()
    for pair in "$@"; do
        case $pair in
            /*) [ -e "${pair%%:*}" ] && continue ;;
            *) PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null && continue ;;
        esac
        missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null \
        || fail "missing, and there is no apt-get to install them: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root once, or install: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    local patient=(-qq -o DPkg::Lock::Timeout=600)
    "${as_root[@]}" apt-get update "${patient[@]}" \
        || say "apt-get update failed; trying with the lists at hand"
    (
        # A package that brings a server (icecast2) must not start it: policy-rc.d says no to all.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap '"${as_root[@]}" rm -f $policy' EXIT
            printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
            "${as_root[@]}" chmod 755 $policy
        fi
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y "${patient[@]}" --no-install-recommends "${missing[@]}" >&2
    )
}

# need_ffmpeg_to_build: FFmpeg's libraries, which the worker is linked with, and libclang, by which
# their headers are read.
need_ffmpeg_to_build() {
    local library missing=() include
    include=/usr/include/$(uname -m)-linux-gnu
    for library in avcodec avdevice avfilter avformat avutil swresample swscale; do
        missing+=("$include/lib$library:lib$library-dev")
    done
    need_packages "${missing[@]}"
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || need_packages libclang:libclang-dev
}

# need_rust: the toolchain that Cargo.toml asks for.
need_rust() {
    local wanted have=none
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
    if ! command -v cargo >/dev/null && ! command -v rustup >/dev/null; then
        # Debian has rustup from 13 on; before, its own installer.
        if apt-cache show rustup >/dev/null 2>&1; then
            need_packages rustup:rustup
        else
            say "installing rustup from https://rustup.rs"
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs \
                | sh -s -- -y --profile minimal --default-toolchain none --no-modify-path \
                || fail "no Rust: install $wanted or newer (https://rustup.rs), then try again"
            PATH="$HOME/.cargo/bin:$PATH"
        fi
    fi
    if ! has_rust "$wanted" && command -v rustup >/dev/null; then
        say "installing Rust $wanted"
        rustup toolchain install "$wanted" --profile minimal -c clippy -c rustfmt >&2
        export RUSTUP_TOOLCHAIN=$wanted
    fi
    command -v cargo >/dev/null && have=$(cargo --version 2>&1 || true)
    has_rust "$wanted" || fail "Rust $wanted or newer is needed; found: $have"
}

# has_rust VERSION: whether cargo is at least that.
has_rust() {
    local have
    have=$(cargo --version 2>/dev/null | cut -d' ' -f2) && [ -n "$have" ] || return 1
    [ "$(printf '%s\n%s\n' "$1" "$have" | sort -V | head -n1)" = "$1" ]
}

# need_node: Node and npm to build the pages; what Debian 12 ships (18.20) is enough.
need_node() {
    need_packages node:nodejs npm:npm
    local enough='const [a, b] = process.versions.node.split(".").map(Number);
        process.exit(a > 18 || a === 18 && b >= 19 ? 0 : 1)'
    node -e "$enough" \
        || fail "Node 18.19 or newer is needed; found: $(node --version)"
}

# build_pages: engine/web as Vite builds it, where its sources have changed since. False where it
# could not be built.
build_pages() {
    local web=$root/engine/web stamp
    stamp=$(cd "$web" && find src index.html vite.config.ts package-lock.json .npmrc -type f \
        ! -name '*.test.ts' ! -name '*.rs' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    [ -e "$web/built/pages/index.html" ] \
        && [ "$(cat "$web/built/stamp" 2>/dev/null)" = "$stamp" ] && return 0
    install_node_modules || return 1
    say "building the pages"
    (cd "$web" && npx vite build --logLevel warn >&2) || return 1
    printf '%s\n' "$stamp" >"$web/built/stamp"
}

# install_node_modules: what package-lock.json says, where it is not there yet.
install_node_modules() {
    local web=$root/engine/web stamp
    stamp=$(sha256sum <"$web/package-lock.json")
    [ "$(cat "$web/node_modules/.stamp" 2>/dev/null)" = "$stamp" ] && return 0
    say "installing what the pages are built with"
    (cd "$web" && npm ci --loglevel=error >&2) || return 1
    printf '%s\n' "$stamp" >"$web/node_modules/.stamp"
}
