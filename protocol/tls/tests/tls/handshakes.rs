//! Handshakes, traffic and ends that go well, however the bytes were cut on their way.

use protocol_tls::{ConfigError, Fault, ServerConfig, ServerSettings, TicketKeys, Version, is_tls};

use crate::lab::{Authority, End, pair, talk};

#[test]
fn two_ends_shake_hands_and_talk_and_part() {
    let authority = Authority::new();
    let (mut client, mut server) =
        pair(&authority.server(&["a.example"]), &authority.client(), "a.example");
    let handshake = server.session.handshake().unwrap();
    assert_eq!((handshake.version, handshake.is_resumed), (Version::Tls13, false));
    assert_eq!(client.session.handshake(), Some(handshake));
    assert_eq!(server.session.sni(), Some("a.example"));
    assert_eq!(server.session.alpn(), Some(&b"http/1.1"[..]));
    assert_eq!(client.session.alpn(), Some(&b"http/1.1"[..]));

    client.say(b"GET / HTTP/1.1\r\n\r\n");
    talk(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.heard(), b"GET / HTTP/1.1\r\n\r\n");
    let long: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
    server.say(&long);
    talk(&mut client, &mut server, 1000).unwrap();
    assert_eq!(client.heard(), long);

    server.say(b"bye");
    server.session.close(&mut server.out);
    server.session.close(&mut server.out);
    talk(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(client.heard(), b"bye");
    assert_eq!(client.session.end(), Ok(()));
    assert_eq!(server.session.end().unwrap_err().fault, Fault::Malformed, "cut");
    // The other direction is still open.
    client.say(b"and more");
    client.session.close(&mut client.out);
    talk(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.heard(), b"and more");
    assert_eq!(server.session.end(), Ok(()));
}

#[test]
fn a_handshake_is_the_same_when_it_is_cut_at_any_byte() {
    let authority = Authority::new();
    let (server_config, client_config) = (authority.server(&["a.example"]), authority.client());
    let hello_bytes = End::client(&client_config, "a.example").out.len();
    for cut in 1..hello_bytes {
        let mut client = End::client(&client_config, "a.example");
        let mut server = End::server(&server_config);
        let mut hello = std::mem::take(&mut client.out);
        let cut = cut.min(hello.len() - 1);
        let (first, rest) = hello.split_at_mut(cut);
        server.take(first, usize::MAX).unwrap();
        assert!(server.out.is_empty(), "answered {cut} of {hello_bytes} bytes");
        server.take(rest, usize::MAX).unwrap();
        talk(&mut client, &mut server, usize::MAX).unwrap();
        assert!(!server.session.is_handshaking());
    }
    for piece_bytes in 1..80 {
        let mut client = End::client(&client_config, "a.example");
        let mut server = End::server(&server_config);
        talk(&mut client, &mut server, piece_bytes).unwrap();
        assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
        assert_eq!((server.session.buffered_bytes(), client.session.buffered_bytes()), (0, 0));
    }
}

#[test]
fn the_first_byte_tells_tls_from_http() {
    let authority = Authority::new();
    assert!(is_tls(End::client(&authority.client(), "a.example").out[0]));
    assert!(b"GPHDOTCSA \r\n".iter().all(|byte| !is_tls(*byte)));
}

#[test]
fn data_behind_the_last_handshake_message_is_not_its_own() {
    let authority = Authority::new();
    let mut client = End::client(&authority.client(), "a.example");
    let mut server = End::server(&authority.server(&["a.example"]));
    server.hear(&mut client, usize::MAX).unwrap();
    client.hear(&mut server, usize::MAX).unwrap();
    // More than the budget of a handshake, in one receive with the client's last message.
    let upload = vec![7; 100_000];
    client.say(&upload);
    server.hear(&mut client, usize::MAX).unwrap();
    assert_eq!(server.heard(), upload);
}

#[test]
fn both_versions_are_spoken_cut_anywhere_and_resumed() {
    let authority = Authority::new();
    let server_config = authority.server(&["a.example"]);
    for version in [Version::Tls12, Version::Tls13] {
        let client_config = authority.client_of(version);
        for (piece_bytes, is_resumed) in [(1, false), (7, true), (usize::MAX, true)] {
            let mut client = End::client(&client_config, "a.example");
            let mut server = End::server(&server_config);
            talk(&mut client, &mut server, piece_bytes).unwrap();
            let handshake = server.session.handshake().unwrap();
            assert_eq!((handshake.version, handshake.is_resumed), (version, is_resumed));
            server.say(&[5; 40_000]);
            server.session.close(&mut server.out);
            talk(&mut client, &mut server, piece_bytes).unwrap();
            assert_eq!(client.heard(), [5; 40_000]);
            assert_eq!(client.session.end(), Ok(()));
        }
    }
}

#[test]
fn a_server_of_one_version_refuses_the_other() {
    let authority = Authority::new();
    let with = |versions: Vec<Version>| {
        let identities = vec![authority.identity(&["a.example"])];
        let keys = TicketKeys::new().unwrap();
        ServerConfig::new(ServerSettings { versions, ..ServerSettings::new(identities, keys) })
    };
    let server_config = with(vec![Version::Tls13]).unwrap();
    let mut server = End::server(&server_config);
    let mut client = End::client(&authority.client_of(Version::Tls12), "a.example");
    let failed = server.hear(&mut client, usize::MAX).unwrap_err();
    assert_eq!(failed.fault, Fault::Refused, "{failed}");
    assert!(matches!(with(Vec::new()).unwrap_err(), ConfigError::Library { .. }));
}
