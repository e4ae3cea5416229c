//! TCP with peers (RFC 6062): who is connected, who is told, and what ends it.

use crate::lab::{Answer, Lab, User, address, config, udp};
use protocol_stun::{AttributeKind, Class, ErrorCode, Method};
use protocol_turn::{Client, ConnectionId, DropCause, End, Input, Limits, Output, Transport};
use std::time::Duration;

const PEER: &str = "192.0.2.7:9000";

fn stream(text: &str, socket: u64) -> Client {
    Client { address: address(text), socket, transport: Transport::Stream }
}

/// A server for TCP, and a client with an allocation of it.
fn allocated() -> (Lab, User) {
    let mut config = config();
    config.has_tcp_allocations = true;
    let mut lab = Lab::new(config, Limits::default());
    let mut anna = User::new("anna", "secret", stream("198.51.100.1:4000", 1));
    let answer = anna.ask(&mut lab, Method::ALLOCATE, |builder| {
        builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    assert!(answer.is_success());
    (lab, anna)
}

fn connect_request(user: &mut User, peer: &str) -> Vec<u8> {
    user.request(Method::CONNECT, |builder| {
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address(peer));
    })
}

/// Asks for a connection, which the driver is told to make.
fn connect(lab: &mut Lab, user: &mut User, peer: &str) -> ConnectionId {
    let request = connect_request(user, peer);
    lab.client_sends(user.client, &request);
    assert!(lab.to_clients.is_empty(), "nothing is known yet");
    let Some(Output::Connect { allocation, connection, peer: to }) = lab.connection_outputs.pop()
    else {
        panic!("no connection is to be made")
    };
    assert_eq!((allocation, to), (lab.allocation(user.client), address(peer)));
    connection
}

/// As [`connect`], and the peer takes it.
fn connected(lab: &mut Lab, user: &mut User, peer: &str) -> ConnectionId {
    let connection = connect(lab, user, peer);
    lab.tell(Input::Connected { connection, is_connected: true });
    assert!(answer_to(lab, user).is_success());
    connection
}

fn answer_to(lab: &mut Lab, user: &User) -> Answer {
    let (to, bytes) = lab.to_clients.pop().expect("an answer");
    assert_eq!(to, user.client);
    Answer(bytes)
}

fn bind(lab: &mut Lab, user: &mut User, connection: ConnectionId) -> Answer {
    user.ask(lab, Method::CONNECTION_BIND, |builder| {
        builder.u32(AttributeKind::CONNECTION_ID, connection.0);
    })
}

/// A stream of its own, for a peer's data.
fn data_stream(name: &str, password: &str, socket: u64) -> User {
    User::new(name, password, stream("198.51.100.1:4001", socket))
}

#[test]
fn connect_is_answered_when_the_peer_has_answered() {
    let (mut lab, mut anna) = allocated();
    let connection = connect(&mut lab, &mut anna, PEER);
    lab.tell(Input::Connected { connection, is_connected: true });
    let answer = answer_to(&mut lab, &anna);
    assert!(answer.is_success());
    assert_eq!(answer.message().method(), Method::CONNECT);
    assert_eq!(answer.message().u32(AttributeKind::CONNECTION_ID), Ok(Some(connection.0)));
    assert!(lab.connection_outputs.is_empty() && lab.to_clients.is_empty());

    lab.tell(Input::Connected { connection, is_connected: false });
    assert!(lab.to_clients.is_empty(), "a second word of the driver means nothing");
    assert_eq!(lab.turn.connection_count(), 1);
}

#[test]
fn a_second_connection_to_one_peer_is_refused() {
    let (mut lab, mut anna) = allocated();
    let request = connect_request(&mut anna, PEER);
    lab.client_sends(anna.client, &request);
    let Some(Output::Connect { connection, .. }) = lab.connection_outputs.pop() else {
        panic!("no connection is to be made")
    };
    lab.client_sends(anna.client, &request);
    assert!(lab.to_clients.is_empty(), "the same request waits for the same answer");
    for _ in 0..2 {
        let request = connect_request(&mut anna, PEER);
        let code = anna.send(&mut lab, &request).code();
        assert_eq!(code, Some(ErrorCode::CONNECTION_ALREADY_EXISTS));
        lab.tell(Input::Connected { connection, is_connected: true });
        lab.to_clients.clear();
    }
    assert!(lab.connection_outputs.is_empty());
    connect(&mut lab, &mut anna, "192.0.2.7:9001");
    assert_eq!(lab.turn.connection_count(), 2, "another port is another peer");

    lab.tell(Input::PeerClosed { connection });
    let again = connect(&mut lab, &mut anna, PEER);
    assert_ne!(again, connection);
}

#[test]
fn what_a_connect_can_ask_wrongly() {
    let mut config = config();
    config.has_tcp_allocations = true;
    config.policy.own = vec![address("203.0.113.1:3478")];
    let limits = Limits { connection_count_max: 1, ..Limits::default() };
    let mut lab = Lab::new(config, limits);
    let mut anna = User::new("anna", "secret", stream("198.51.100.1:4000", 1));
    let code = |lab: &mut Lab, user: &mut User, peer: Option<&str>| {
        let answer = user.ask(lab, Method::CONNECT, |builder| {
            if let Some(peer) = peer {
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address(peer));
            }
        });
        answer.code()
    };
    let peer = Some(PEER);
    let mismatch = Some(ErrorCode::ALLOCATION_MISMATCH);
    assert_eq!(code(&mut lab, &mut anna, peer), mismatch, "no allocation");
    let tcp = |builder: &mut protocol_stun::Builder<'_>| {
        builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    };
    assert!(anna.ask(&mut lab, Method::ALLOCATE, tcp).is_success());
    assert_eq!(code(&mut lab, &mut anna, None), Some(ErrorCode::BAD_REQUEST));
    let v6 = Some("[2001:db8::7]:80");
    let family = Some(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
    assert_eq!(code(&mut lab, &mut anna, v6), family);
    for closed in ["127.0.0.1:80", "10.0.0.1:80", "203.0.113.1:3478", "192.0.2.7:0"] {
        let code = code(&mut lab, &mut anna, Some(closed));
        assert_eq!(code, Some(ErrorCode::FORBIDDEN), "{closed}");
    }
    let mut ben = User::new("ben", "word", anna.client);
    assert_eq!(code(&mut lab, &mut ben, peer), Some(ErrorCode::WRONG_CREDENTIALS));
    assert!(lab.connection_outputs.is_empty());
    connect(&mut lab, &mut anna, PEER);
    let second = code(&mut lab, &mut anna, Some("192.0.2.8:1"));
    assert_eq!(second, Some(ErrorCode::INSUFFICIENT_CAPACITY));

    // An allocation for datagrams connects to nobody.
    let mut datagrams = User::new("anna", "secret", stream("198.51.100.1:4001", 5));
    assert!(datagrams.allocate(&mut lab).is_success());
    assert_eq!(code(&mut lab, &mut datagrams, peer), mismatch);
    // And one of TCP is for clients of streams, without what only datagrams have.
    let mut late = User::new("anna", "secret", udp("198.51.100.1:4002"));
    let code = late.ask(&mut lab, Method::ALLOCATE, tcp).code();
    assert_eq!(code, Some(ErrorCode::BAD_REQUEST));
    let mut even = User::new("anna", "secret", stream("198.51.100.1:4003", 6));
    let answer = even.ask(&mut lab, Method::ALLOCATE, |builder| {
        tcp(builder);
        builder.attribute(AttributeKind::EVEN_PORT, &[0]);
    });
    assert_eq!(answer.code(), Some(ErrorCode::BAD_REQUEST));
}

#[test]
fn an_allocation_of_tcp_sends_no_datagrams() {
    let (mut lab, mut anna) = allocated();
    let peer = address(PEER);
    assert!(anna.permit(&mut lab, &[peer]).is_success());
    let code = anna.bind(&mut lab, 0x4000, peer).code();
    assert_eq!(code, Some(ErrorCode::FORBIDDEN));
    lab.client_sends(anna.client, &crate::lab::send_indication(peer, b"x"));
    assert!(lab.to_peers.is_empty());
    assert_eq!(lab.turn.counters().dropped(DropCause::NoPermission), 1);
}

#[test]
fn two_servers_with_one_seed_give_connections_different_names() {
    let names = [0, 1, 2].map(|index| {
        let (mut lab, _) = allocated();
        lab.share(index, 3);
        let mut anna = User::new("anna", "secret", stream("198.51.100.1:4000", 1));
        let tcp = |builder: &mut protocol_stun::Builder<'_>| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
        };
        assert!(anna.ask(&mut lab, Method::ALLOCATE, tcp).is_success());
        ["192.0.2.7:1", "192.0.2.7:2"].map(|peer| connect(&mut lab, &mut anna, peer))
    });
    let all: std::collections::BTreeSet<ConnectionId> = names.into_iter().flatten().collect();
    assert_eq!(all.len(), 6, "{names:?}");
}

#[test]
fn a_peer_that_refuses_is_reported() {
    let (mut lab, mut anna) = allocated();
    let connection = connect(&mut lab, &mut anna, PEER);
    lab.tell(Input::Connected { connection, is_connected: false });
    assert_eq!(answer_to(&mut lab, &anna).code(), Some(ErrorCode::CONNECTION_TIMEOUT));
    assert_eq!(lab.turn.connection_count(), 0);
    connect(&mut lab, &mut anna, PEER);
}

#[test]
fn a_peer_that_says_nothing_for_thirty_seconds_is_reported() {
    let (mut lab, mut anna) = allocated();
    let connection = connect(&mut lab, &mut anna, PEER);
    lab.pass(Duration::from_millis(29_999));
    assert!(lab.to_clients.is_empty() && lab.connection_outputs.is_empty());
    assert_eq!(lab.turn.deadline(), Some(lab.now + Duration::from_millis(1)));
    lab.pass(Duration::from_millis(1));
    assert_eq!(answer_to(&mut lab, &anna).code(), Some(ErrorCode::CONNECTION_TIMEOUT));
    assert_eq!(lab.connection_outputs, [Output::Disconnect(connection)]);
    assert_eq!(lab.turn.connection_count(), 0);
}

#[test]
fn who_connects_needs_a_permission() {
    let (mut lab, mut anna) = allocated();
    let allocation = lab.allocation(anna.client);
    let peer = address(PEER);
    lab.tell(Input::PeerConnected { allocation, peer, handle: 7 });
    assert_eq!(lab.connection_outputs, [Output::Refuse { handle: 7 }]);
    assert!(lab.to_clients.is_empty());

    assert!(anna.permit(&mut lab, &[peer]).is_success());
    lab.connection_outputs.clear();
    lab.tell(Input::PeerConnected { allocation, peer, handle: 8 });
    let [Output::Keep { handle: 8, connection }] = lab.connection_outputs[..] else {
        panic!("{:?}", lab.connection_outputs)
    };
    let attempt = answer_to(&mut lab, &anna);
    let message = attempt.message();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::CONNECTION_ATTEMPT)
    );
    assert_eq!(message.u32(AttributeKind::CONNECTION_ID), Ok(Some(connection.0)));
    assert_eq!(message.xor_address(AttributeKind::XOR_PEER_ADDRESS), Ok(Some(peer)));

    let stranger = address("192.0.2.8:9000");
    lab.connection_outputs.clear();
    lab.tell(Input::PeerConnected { allocation, peer: stranger, handle: 9 });
    assert_eq!(lab.connection_outputs, [Output::Refuse { handle: 9 }]);
    lab.pass(Duration::from_secs(300));
    lab.connection_outputs.clear();
    lab.tell(Input::PeerConnected { allocation, peer, handle: 10 });
    assert_eq!(lab.connection_outputs, [Output::Refuse { handle: 10 }], "the permission ended");
    assert!(lab.to_clients.is_empty());
}

#[test]
fn only_its_user_can_fetch_a_connection_and_only_once() {
    let (mut lab, mut anna) = allocated();
    let connection = connected(&mut lab, &mut anna, PEER);
    let refused = Some(ErrorCode::BAD_REQUEST);
    let mut data = data_stream("anna", "secret", 2);
    let wrong = ConnectionId(connection.0.wrapping_add(1));
    assert_eq!(bind(&mut lab, &mut data, wrong).code(), refused, "a name of nobody");
    let mut ben = data_stream("ben", "word", 3);
    assert_eq!(bind(&mut lab, &mut ben, connection).code(), refused, "another's");
    let mut datagrams = User::new("anna", "secret", udp("198.51.100.1:4002"));
    assert_eq!(bind(&mut lab, &mut datagrams, connection).code(), refused, "no stream");
    let code = bind(&mut lab, &mut anna, connection).code();
    assert_eq!(code, refused, "the stream of the allocation itself");
    assert!(lab.connection_outputs.is_empty());

    let answer = bind(&mut lab, &mut data, connection);
    assert!(answer.is_success());
    assert_eq!(answer.message().u32(AttributeKind::CONNECTION_ID), Ok(Some(connection.0)));
    assert_eq!(lab.connection_outputs, [Output::Join { connection, client: data.client }]);
    let mut late = data_stream("anna", "secret", 4);
    assert_eq!(bind(&mut lab, &mut late, connection).code(), refused, "it is taken");
    assert_eq!(lab.connection_outputs.len(), 1);
}

#[test]
fn a_connection_that_is_still_being_made_cannot_be_fetched() {
    let (mut lab, mut anna) = allocated();
    let connection = connect(&mut lab, &mut anna, PEER);
    let mut data = data_stream("anna", "secret", 2);
    let code = bind(&mut lab, &mut data, connection).code();
    assert_eq!(code, Some(ErrorCode::BAD_REQUEST));
}

#[test]
fn what_nobody_fetches_is_closed_after_thirty_seconds() {
    let (mut lab, mut anna) = allocated();
    let fetched = connected(&mut lab, &mut anna, "192.0.2.8:9000");
    let mut data = data_stream("anna", "secret", 2);
    assert!(bind(&mut lab, &mut data, fetched).is_success());
    let making = connect(&mut lab, &mut anna, PEER);
    lab.pass(Duration::from_secs(20));
    lab.tell(Input::Connected { connection: making, is_connected: true });
    lab.to_clients.clear();
    lab.connection_outputs.clear();
    lab.pass(Duration::from_millis(29_999));
    assert!(lab.connection_outputs.is_empty(), "it counts from when it was made");
    lab.pass(Duration::from_millis(1));
    assert_eq!(lab.connection_outputs, [Output::Disconnect(making)]);
    assert!(lab.to_clients.is_empty());
    let mut late = data_stream("anna", "secret", 3);
    assert_eq!(bind(&mut lab, &mut late, making).code(), Some(ErrorCode::BAD_REQUEST));
    assert_eq!(lab.turn.connection_count(), 1, "what was fetched stays");
}

#[test]
fn the_end_of_a_data_stream_ends_the_peers() {
    let (mut lab, mut anna) = allocated();
    let connection = connected(&mut lab, &mut anna, PEER);
    let mut data = data_stream("anna", "secret", 2);
    assert!(bind(&mut lab, &mut data, connection).is_success());
    lab.connection_outputs.clear();
    lab.tell(Input::Closed { client: data.client });
    assert_eq!(lab.connection_outputs, [Output::Disconnect(connection)]);
    assert_eq!((lab.turn.connection_count(), lab.turn.allocation_count()), (0, 1));
}

#[test]
fn the_end_of_an_allocation_ends_its_connections() {
    for end in [End::Returned, End::Closed, End::Killed, End::Expired] {
        let (mut lab, mut anna) = allocated();
        let allocation = lab.allocation(anna.client);
        let joined = connected(&mut lab, &mut anna, "192.0.2.7:1");
        let mut data = data_stream("anna", "secret", 2);
        assert!(bind(&mut lab, &mut data, joined).is_success());
        let mut expected = vec![Output::Disconnect(joined)];
        if end == End::Expired {
            lab.pass(Duration::from_secs(580));
        }
        let waiting = connected(&mut lab, &mut anna, "192.0.2.7:2");
        let making = connect(&mut lab, &mut anna, "192.0.2.7:3");
        expected.extend([waiting, making].map(Output::Disconnect));
        lab.connection_outputs.clear();
        match end {
            End::Returned => assert!(anna.refresh(&mut lab, 0).is_success()),
            End::Closed => lab.tell(Input::Closed { client: anna.client }),
            End::Killed => lab.tell(Input::Kill { allocation }),
            _ => lab.pass(Duration::from_secs(20)),
        }
        assert_eq!(lab.connection_outputs, expected, "{end:?}");
        assert_eq!(lab.releases.iter().map(|it| it.end).collect::<Vec<_>>(), [end]);
        assert_eq!((lab.turn.connection_count(), lab.turn.allocation_count()), (0, 0));
        assert_eq!(answer_to(&mut lab, &anna).code(), Some(ErrorCode::CONNECTION_TIMEOUT));
    }
}
