//! WebRTC on a network that has IPv6 alone.
//!
//! The test runs itself again in a network namespace of its own, whose only address beside loopback
//! is one of IPv6. It needs root, and is left out without.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Server, Setup, free_port, have, run_to_end, wait_for};
use crate::rtc::{PAGE, Pages, TOKEN, aiortc};

const INSIDE: &str = "SKYWAVE_TEST_IPV6";
const TEST: &str = "rtc_network::pages_and_aiortc_meet_on_ipv6_alone";

#[test]
fn pages_and_aiortc_meet_on_ipv6_alone() {
    if !have(&["ip", "unshare", "chromium"]) || !rustix::process::geteuid().is_root() {
        return;
    }
    if std::env::var(INSIDE).is_err() {
        // From here it can be had, if at all.
        let aiortc = aiortc().unwrap_or_default();
        let program = std::env::current_exe().expect("a program");
        let mut command = Command::new("unshare");
        command.arg("--net").arg(program).args(["--exact", TEST, "--nocapture"]);
        let status = command.env(INSIDE, aiortc).status().expect("unshare");
        assert!(status.success(), "in a namespace of its own: {status}");
        return;
    }
    for words in [
        "link set lo up",
        "link add near type veth peer far",
        // Without a search for doubles, or the address could not be used at once.
        "addr add fd09:4::1/64 dev near nodad",
        "link set near up",
        "link set far up",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let output = run_to_end("ip", &words, Duration::from_secs(20));
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    let toml = format!(
        "[auth]\ntokens = [\"{TOKEN}\"]\n[rtc]\nlisten = [\"[fd09:4::1]:{}\"]\n\
         [[stream]]\nname = \"stage\"\n",
        free_port()
    );
    let server = Server::start_with(Setup { toml, flags: Vec::new(), port: 0 });
    let mut pages = Pages::of(&server, PAGE);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}"));
    wait_for("the page publishes", || pages.counts("publisher").0 > 25);
    pages.open("by-udp", "mode=watch&stream=stage");
    pages.open("by-tcp", "mode=watch&stream=stage&tcp=1");
    for name in ["by-udp", "by-tcp"] {
        wait_for("it sees and hears", || {
            let (frames, sound, _) = pages.counts(name);
            frames >= 50 && sound > 50
        });
        assert_eq!(format!("by-{}", pages.transport(name)), name);
    }
    let setting = std::env::var(INSIDE).expect("it is inside");
    if setting.is_empty() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/rtc/peer.py");
    let args = [&*setting, "python3", script, "watch", &server.url("/whep/stage"), "", "25"];
    let watched = run_to_end("env", &args, Duration::from_secs(90));
    let printed = String::from_utf8_lossy(&watched.stdout).into_owned();
    let connected = printed.lines().find_map(|line| line.strip_prefix("connected audio "));
    let mut counts = connected.unwrap_or_default().split(" video ").map(str::parse::<u32>);
    let mut next = || counts.next().and_then(Result::ok).unwrap_or(0);
    assert!(next() >= 50 && next() >= 50, "{printed}");
}
