//! Peers that break the protocol, mean something else, or stop in the middle.

use std::sync::Arc;

use protocol_tls::{
    BUFFERED_BYTES_MAX, ClientConfig, ClientSettings, Failed, Fault, ServerConfig, ServerSettings,
    TicketKeys,
};

use crate::lab::{Authority, End, pair, talk};

/// What an unencrypted fatal alert looks like, but for its number.
const ALERT: [u8; 6] = [21, 3, 3, 0, 2, 2];
const UNEXPECTED_MESSAGE: u8 = 10;
const HANDSHAKE_FAILURE: u8 = 40;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn server() -> (Authority, Arc<ServerConfig>) {
    let authority = Authority::new();
    let config = authority.server(&["a.example"]);
    (authority, config)
}

fn fails(end: &mut End, bytes: &[u8]) -> Failed {
    end.take(&mut bytes.to_vec(), usize::MAX).expect_err("it is no TLS")
}

#[test]
fn plain_http_gets_an_alert_at_once() {
    let (_, config) = server();
    for text in ["GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /", "SOURCE /live ICE/1.0\r\n"] {
        let mut end = End::server(&config);
        let failed = fails(&mut end, text.as_bytes());
        assert_eq!(failed.fault, Fault::Malformed, "{failed}");
        assert_eq!(end.out[..ALERT.len()], ALERT);
        assert_eq!(end.out[ALERT.len()..], [DECODE_ERROR], "one alert and nothing else");
        // Whoever asks again hears the same, and nothing is looked at.
        let (sent_bytes, again) = (end.out.len(), fails(&mut end, b"GET / HTTP/1.1\r\n\r\n"));
        assert_eq!((again, end.out.len()), (failed.clone(), sent_bytes));
        assert_eq!(end.session.end(), Err(failed));
    }
}

#[test]
fn records_that_cannot_be_are_refused_at_their_header() {
    let (_, config) = server();
    for header in [
        // Longer than any record.
        [22, 3, 1, 0xff, 0xff],
        [22, 3, 1, 0x48, 0x01],
        // Empty, of no type, of no version.
        [22, 3, 1, 0, 0],
        [99, 3, 1, 0, 5],
        [22, 9, 9, 0, 5],
    ] {
        let mut end = End::server(&config);
        let failed = fails(&mut end, &header);
        assert_eq!(failed.fault, Fault::Malformed, "{header:?}: {failed}");
        assert_eq!(end.out[..ALERT.len()], ALERT, "{header:?}");
    }
    // Data before there are keys.
    let mut end = End::server(&config);
    assert_eq!(fails(&mut end, &[23, 3, 3, 0, 1, 0]).fault, Fault::Malformed);
    assert_eq!(end.out.last(), Some(&UNEXPECTED_MESSAGE));
}

#[test]
fn versions_before_1_2_are_refused() {
    let (_, config) = server();
    // A hello of TLS 1.0 with one cipher suite and no extension.
    let mut hello = vec![1, 0, 0, 41, 3, 1];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0, 0x2f, 1, 0]);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8];
    record.extend_from_slice(&hello);
    let mut end = End::server(&config);
    let failed = fails(&mut end, &record);
    assert_eq!(failed.fault, Fault::Refused, "{failed}");
    assert!(
        [PROTOCOL_VERSION, HANDSHAKE_FAILURE].contains(end.out.last().unwrap()),
        "{:?}",
        end.out
    );
}

#[test]
fn a_handshake_has_a_budget_and_a_peer_that_dribbles_one_gets_no_more() {
    let (_, config) = server();
    // A handshake message of 60 kB, in records of 100 bytes, which each are right.
    let mut end = End::server(&config);
    let mut message = vec![1, 0, 0xea, 0x60];
    message.resize(0xea64, 0);
    let mut sent_bytes = 0;
    let failed = message.chunks(100).find_map(|part| {
        let mut record = vec![22, 3, 1, 0, part.len() as u8];
        record.extend_from_slice(part);
        sent_bytes += record.len();
        assert!(end.session.buffered_bytes() <= 32 * 1024);
        end.take(&mut record, 7).err()
    });
    assert_eq!(failed.map(|failed| failed.fault), Some(Fault::Refused));
    assert!(sent_bytes <= 32 * 1024 + 105, "{sent_bytes}");
    assert_eq!(end.session.buffered_bytes(), 0, "nothing is kept after a failure");
}

#[test]
fn a_record_that_was_touched_ends_the_session_with_an_encrypted_alert() {
    let (authority, config) = server();
    let (mut client, mut server) = pair(&config, &authority.client(), "a.example");
    client.say(b"money: 1");
    let at = client.out.len() - 3;
    client.out[at] ^= 1;
    let failed = server.hear(&mut client, usize::MAX).unwrap_err();
    assert_eq!((failed.fault, server.heard()), (Fault::Malformed, Vec::new()));
    assert_eq!(server.out[0], 23, "the alert is a record like any other");
    let told = client.hear(&mut server, usize::MAX).unwrap_err();
    assert_eq!(told.fault, Fault::Alert(20), "bad_record_mac");
    assert!(server.session.seal(b"more", &mut Vec::new()).is_err());
}

#[test]
fn records_that_were_repeated_or_left_out_are_noticed() {
    let (authority, config) = server();
    for change in ["repeat", "drop"] {
        let (mut client, mut server) = pair(&config, &authority.client(), "a.example");
        client.say(b"first");
        let first = std::mem::take(&mut client.out);
        client.say(b"second");
        let mut bytes = match change {
            "repeat" => [first.clone(), first].concat(),
            _ => std::mem::take(&mut client.out),
        };
        let failed = server.take(&mut bytes, usize::MAX).unwrap_err();
        assert_eq!(failed.fault, Fault::Malformed, "{change}");
    }
}

#[test]
fn a_connection_that_was_cut_is_told_from_one_that_was_closed() {
    let (authority, config) = server();
    let (mut client, mut server) = pair(&config, &authority.client(), "a.example");
    server.say(b"half of it");
    client.hear(&mut server, usize::MAX).unwrap();
    assert_eq!(client.session.end().unwrap_err().fault, Fault::Malformed);
    let mut unfinished = End::server(&config);
    unfinished.hear(&mut End::client(&authority.client(), "a.example"), 40).unwrap();
    assert_eq!(unfinished.session.end().unwrap_err().fault, Fault::Malformed);
    // An alert in the clear, as anybody on the way could send, closes nothing.
    let mut forged = [21, 3, 3, 0, 2, 1, 0];
    assert!(client.take(&mut forged, usize::MAX).is_err());
    assert!(client.session.end().is_err());
}

#[test]
fn what_follows_a_close_is_ignored() {
    let (authority, config) = server();
    let (mut client, mut server) = pair(&config, &authority.client(), "a.example");
    client.session.close(&mut client.out);
    client.out.extend_from_slice(&[0xff; 50_000]);
    server.hear(&mut client, 999).unwrap();
    assert_eq!((server.heard(), server.session.buffered_bytes()), (Vec::new(), 0));
    assert_eq!(server.session.end(), Ok(()));
    assert!(client.session.seal(b"more", &mut Vec::new()).is_err(), "it was closed");
}

#[test]
fn nothing_is_sealed_before_the_handshake_is_finished() {
    let (authority, config) = server();
    let mut server = End::server(&config);
    let mut client = End::client(&authority.client(), "a.example");
    let mut out = Vec::new();
    assert_eq!(server.session.seal(b"early", &mut out).unwrap_err().fault, Fault::Ours);
    assert_eq!(client.session.seal(b"early", &mut out).unwrap_err().fault, Fault::Ours);
    client.session.close(&mut out);
    assert!(out.is_empty());
    talk(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!server.session.is_handshaking(), "it goes on as if nothing had been asked");
}

#[test]
fn a_client_refuses_whom_it_does_not_trust_and_the_server_hears_of_it() {
    let (_, config) = server();
    let stranger = Authority::named("somebody else");
    let mut client = End::client(&stranger.client(), "a.example");
    let mut server = End::server(&config);
    server.hear(&mut client, usize::MAX).unwrap();
    let failed = client.hear(&mut server, usize::MAX).unwrap_err();
    assert_eq!(failed.fault, Fault::Refused, "{failed}");
    let told = server.hear(&mut client, usize::MAX).unwrap_err();
    assert!(matches!(told.fault, Fault::Alert(_)), "{told:?}");
}

#[test]
fn a_client_refuses_another_name() {
    let (authority, config) = server();
    let mut client = End::client(&authority.client(), "b.example");
    let mut server = End::server(&config);
    server.hear(&mut client, usize::MAX).unwrap();
    assert_eq!(client.hear(&mut server, usize::MAX).unwrap_err().fault, Fault::Refused);
}

#[test]
fn a_client_with_other_protocols_only_is_refused() {
    let (authority, config) = server();
    let pem = authority.pem();
    let with = |alpn: Vec<&'static str>| {
        ClientConfig::new(ClientSettings { alpn, ..ClientSettings::new(&pem) }).unwrap()
    };
    let mut server = End::server(&config);
    let mut client = End::client(&with(vec!["h2", "acme-tls/1"]), "a.example");
    let failed = server.hear(&mut client, usize::MAX).unwrap_err();
    assert_eq!(failed.fault, Fault::Refused, "{failed}");
    let told = client.hear(&mut server, usize::MAX).unwrap_err();
    assert_eq!(told.fault, Fault::Alert(NO_APPLICATION_PROTOCOL));
    for alpn in [vec![], vec!["h2", "http/1.1"]] {
        let agreed = (!alpn.is_empty()).then_some(&b"http/1.1"[..]);
        let (_, server) = pair(&config, &with(alpn), "a.example");
        assert_eq!(server.session.alpn(), agreed);
    }
}

#[test]
fn a_server_that_names_no_protocol_takes_any_client() {
    let authority = Authority::new();
    let settings = ServerSettings {
        alpn: Vec::new(),
        ..ServerSettings::new(vec![authority.identity(&["a.example"])], TicketKeys::new().unwrap())
    };
    let (_, server) = pair(&ServerConfig::new(settings).unwrap(), &authority.client(), "a.example");
    assert_eq!(server.session.alpn(), None);
}

#[test]
fn what_a_session_keeps_is_bounded_whatever_is_sent() {
    let (authority, config) = server();
    let (mut client, mut server) = pair(&config, &authority.client(), "a.example");
    client.say(&[9; 60_000]);
    for piece in client.out.chunks_mut(1) {
        server.session.receive(piece, &mut server.plaintext, &mut server.out).unwrap();
        assert!(server.session.buffered_bytes() < BUFFERED_BYTES_MAX);
    }
    assert_eq!(server.heard(), [9; 60_000]);
    assert_eq!(server.session.buffered_bytes(), 0);
}
