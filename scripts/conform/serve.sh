# What the suites that judge `protocol/http/examples/serve.rs` share: one server of it, built in
# the debug profile (they judge what it says, not how fast). Sourced by bash, behind prepare.sh.

# start_serve WORK [OPTIONS …]: sets `address` (host:port), and ends the server when the script does.
start_serve() {
    local log=$1/serve.log
    shift
    (cd "$root" && cargo build --quiet -p protocol-http --example serve)
    "${CARGO_TARGET_DIR:-$root/target}/debug/examples/serve" 127.0.0.1:0 "$@" >"$log" 2>&1 &
    server=$!
    trap 'kill $server 2>/dev/null || true' EXIT
    address=
    for _ in $(seq 200); do
        address=$(sed -n 's|^listening on http://\(.*\)/$|\1|p' "$log")
        [ -z "$address" ] || return 0
        sleep 0.1
    done
    fail "the server did not start: $(cat "$log")"
}
