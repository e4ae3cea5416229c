//! Tickets, across shards, reloads and rotations.

use std::sync::Arc;

use protocol_tls::{Counters, Fault, ServerConfig, ServerSettings, TicketKeys};

use crate::lab::{Authority, End, pair, talk};

/// A configuration with these ticket keys and a certificate of its own.
fn config(authority: &Authority, keys: &TicketKeys) -> ServerConfig {
    let identities = vec![authority.identity(&["a.example"])];
    ServerConfig::new(ServerSettings::new(identities, keys.clone())).unwrap()
}

#[test]
fn a_session_is_resumed_by_a_shard_that_has_never_seen_it() {
    let authority = Authority::new();
    let (keys, client) = (TicketKeys::new().unwrap(), authority.client());
    let (first, second) = (config(&authority, &keys), config(&authority, &keys));
    let mut counters = Counters::default();
    for (config, is_resumed) in [(&first, false), (&second, true), (&first, true)] {
        let (mut client, mut server) = pair(config, &client, "a.example");
        let handshake = server.session.handshake().unwrap();
        assert_eq!(handshake.is_resumed, is_resumed);
        assert_eq!(client.session.handshake(), Some(handshake));
        assert_eq!(server.session.sni(), Some("a.example"), "also when it goes on");
        counters.finished(handshake);
        server.say(b"hello again");
        talk(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(client.heard(), b"hello again");
    }
    assert_eq!((counters.handshakes_full, counters.handshakes_resumed), (1, 2));
    assert_eq!(counters.handshakes_tls13, 3);
    // Keys of somebody else open nothing, and the handshake is a full one.
    let strange = config(&authority, &TicketKeys::new().unwrap());
    let (_, server) = pair(&strange, &client, "a.example");
    assert!(!server.session.handshake().unwrap().is_resumed);
}

#[test]
fn tickets_outlive_one_rotation_and_not_two() {
    let authority = Authority::new();
    let config = authority.server(&["a.example"]);
    let once = config.with_rotated_tickets().unwrap();
    let twice = once.with_rotated_tickets().unwrap();
    for (later, is_resumed) in [(&*config, true), (&once, true), (&twice, false)] {
        let client = authority.client();
        pair(&config, &client, "a.example");
        let (_, server) = pair(later, &client, "a.example");
        assert_eq!(server.session.handshake().unwrap().is_resumed, is_resumed);
    }
}

#[test]
fn a_reload_changes_new_connections_and_leaves_those_that_are() {
    let authority = Authority::new();
    let mut current = Arc::new(config(&authority, &TicketKeys::new().unwrap()));
    let (mut old_client, mut old_server) = pair(&current, &authority.client(), "a.example");

    let other = Authority::named("the next authority");
    current = Arc::new(config(&other, current.ticket_keys()));
    let (_, server) = pair(&current, &other.client(), "a.example");
    assert!(!server.session.is_handshaking());
    let mut unlucky = End::client(&authority.client(), "a.example");
    let mut server = End::server(&current);
    server.hear(&mut unlucky, usize::MAX).unwrap();
    let failed = unlucky.hear(&mut server, usize::MAX).unwrap_err();
    assert_eq!(failed.fault, Fault::Refused, "it trusts the old authority only");
    let mut counters = Counters::default();
    counters.failed(&failed, true);
    assert_eq!((counters.handshakes_failed, counters.failed_refused), (1, 1));

    old_server.say(b"still here");
    talk(&mut old_client, &mut old_server, usize::MAX).unwrap();
    assert_eq!(old_client.heard(), b"still here");
}
