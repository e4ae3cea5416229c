//! Both sides of the handshake, against each other and against what goes wrong.

use protocol_ws::{Nonce, RefusedByServer, SUBPROTOCOLS_COUNT_MAX, Upgrade};

const NONCE: Nonce = Nonce(*b"the sample nonce");

fn lines(text: &str) -> Vec<(&str, &[u8])> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(": ").expect("a line"))
        .map(|(n, v)| (n, v.as_bytes()))
        .collect()
}

const ASKED: &str = "Host: h\nupgrade: WebSocket\nConnection: keep-alive, Upgrade\n\
    Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n";

#[test]
fn both_sides_agree() {
    let mut request = Vec::new();
    NONCE.write_request_lines(&["chat", "superchat"], &mut request);
    let request = String::from_utf8(request).unwrap();
    let upgrade = Upgrade::parse(lines(&request)).unwrap().expect("it asks");
    assert_eq!(upgrade.subprotocols(), ["chat", "superchat"]);
    for ours in [None, upgrade.choose(&["superchat", "other"])] {
        let mut response = Vec::new();
        upgrade.write_response_lines(ours, &mut response);
        let response = String::from_utf8(response).unwrap();
        let checked = NONCE.check_response(101, lines(&response), &["chat", "superchat"]);
        assert_eq!(checked, Ok(ours));
    }
    assert_eq!(upgrade.choose(&["other"]), None);
}

#[test]
fn requests() {
    let asked = format!("{ASKED}Origin: https://radio.example\nSec-WebSocket-Extensions: x\n");
    let upgrade = Upgrade::parse(lines(&asked)).unwrap().expect("it asks");
    assert_eq!(upgrade.origin, Some("https://radio.example"));
    assert_eq!(Upgrade::parse(lines("Host: h\nUpgrade: h2c\nConnection: Upgrade\n")), Ok(None));
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13\n", "", 426),
        (": 13", ": 8", 426),
        ("keep-alive, Upgrade", "keep-alive", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
        ("Sec-WebSocket-Key: ", "X: ", 400),
        ("Host: h\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n", 400),
    ] {
        let changed = ASKED.replace(from, to);
        assert_ne!(changed, ASKED);
        let refused = Upgrade::parse(lines(&changed)).expect_err(to);
        assert_eq!(refused.status, status, "{to}");
    }
}

#[test]
fn subprotocols_are_bounded() {
    let many = "a, b\u{7f}, c d, , ".repeat(40);
    let asked = format!("{ASKED}Sec-WebSocket-Protocol: {many}\nSec-WebSocket-Protocol: z\n");
    let upgrade = Upgrade::parse(lines(&asked)).unwrap().expect("it asks");
    assert_eq!(upgrade.subprotocols(), ["a"; SUBPROTOCOLS_COUNT_MAX]);
}

#[test]
fn answers() {
    let right = "Upgrade: websocket\nConnection: upgrade\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n";
    assert_eq!(NONCE.check_response(101, lines(right), &[]), Ok(None));
    assert_eq!(NONCE.check_response(200, lines(right), &[]), Err(RefusedByServer::Status));
    for (from, to, refused) in [
        ("Upgrade: websocket\n", "", RefusedByServer::NotUpgraded),
        (": upgrade", ": close", RefusedByServer::NotUpgraded),
        ("s3pP", "S3pP", RefusedByServer::Accept),
        ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n", "", RefusedByServer::Accept),
        ("Upgrade", "Sec-WebSocket-Extensions: x\nUpgrade", RefusedByServer::Extension),
        ("Upgrade", "Sec-WebSocket-Protocol: x\nUpgrade", RefusedByServer::Subprotocol),
    ] {
        let changed = right.replacen(from, to, 1);
        assert_ne!(changed, right);
        let checked = NONCE.check_response(101, lines(&changed), &["y"]);
        assert_eq!(checked, Err(refused), "{to}");
    }
}
