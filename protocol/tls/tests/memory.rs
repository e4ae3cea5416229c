//! What an idle session costs, as the machine sees it. Alone in its program, so that nothing else
//! takes memory meanwhile.

#[path = "tls/lab.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod lab;

use lab::{Authority, pair};
use protocol_tls::Version;

const SESSIONS_COUNT: usize = 1000;
/// What is promised in `SPEC.md`.
const SESSION_BYTES_MAX: usize = 24 * 1024;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn an_idle_session_costs_at_most_what_is_promised() {
    let authority = Authority::new();
    let config = authority.server(&["a.example"]);
    // Kept, so that the second version does not live in what the first one left.
    let mut kept = Vec::new();
    for version in [Version::Tls12, Version::Tls13] {
        let client = authority.client_of(version);
        let shake = || {
            let (mut client, mut server) = pair(&config, &client, "a.example");
            client.say(b"GET / HTTP/1.1\r\n\r\n");
            server.hear(&mut client, usize::MAX).unwrap();
            server.say(&[0; 4000]);
            server.session
        };
        // What is allocated once is not an idle session's.
        kept.extend((0..50).map(|_| shake()));
        let before_bytes = resident_bytes();
        kept.extend((0..SESSIONS_COUNT).map(|_| shake()));
        let each_bytes = resident_bytes().saturating_sub(before_bytes) / SESSIONS_COUNT;
        println!("{version:?}: {each_bytes} bytes for each session");
        assert!(each_bytes <= SESSION_BYTES_MAX, "{version:?}: {each_bytes} bytes");
    }
}
