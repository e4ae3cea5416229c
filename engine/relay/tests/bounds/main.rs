//! The driver's own bounds: what happens to a stream that is slow, silent, or speaks no TURN; and
//! to many that want to shake hands at once.

mod lab;

use std::net::SocketAddr;
use std::sync::Arc;

use lab::{Lab, Setup};
use protocol_stun::{AttributeKind, ErrorCode, Method};
use protocol_tls::{ClientConfig, ClientSettings, Identity, ServerConfig, ServerSettings, Session};

const UDP: u8 = 17;
const TCP: u8 = 6;
const KIB: usize = 1024;

#[test]
fn what_a_stream_is_too_slow_for_is_dropped_and_its_answers_are_not() {
    let mut lab = Lab::new(Setup::default());
    let mut client = lab.client(1, UDP);
    let mut peer = lab.peer("192.0.2.1:9000");
    let at = peer.address();
    client.ask(Method::CREATE_PERMISSION, |builder| {
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, at);
    });
    assert_eq!(client.answer(&mut lab), Some(None));
    let relayed = lab.relayed();
    const SENT: usize = 2_000;
    for _ in 0..SENT {
        peer.send_to(relayed, &[5; 1_000]).expect("taken");
        lab.pass_ms(1);
    }
    let dropped = lab.stats().stream_drops as usize;
    // What lies in the network, in the send under way, and behind it; all else is dropped.
    let kept = (SENT - dropped) * 1_036;
    assert!((512 * KIB..3 * 256 * KIB + 64 * KIB).contains(&kept), "{kept} bytes were kept");
    // An answer finds room where data finds none.
    client.ask(Method::REFRESH, |_| {});
    assert_eq!(client.answer(&mut lab), Some(None));
    assert_eq!(client.has_data, SENT - dropped, "what was not dropped arrives, before the answer");
    assert_eq!(lab.stats().allocation_count, 1);
}

#[test]
fn who_takes_nothing_for_half_a_minute_is_closed() {
    let mut lab = Lab::new(Setup::default());
    let mut client = lab.client(1, UDP);
    let mut peer = lab.peer("192.0.2.1:9000");
    let at = peer.address();
    client.ask(Method::CREATE_PERMISSION, |builder| {
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, at);
    });
    assert_eq!(client.answer(&mut lab), Some(None));
    let relayed = lab.relayed();
    for _ in 0..1_000 {
        peer.send_to(relayed, &[5; 1_000]).expect("taken");
        lab.pass_ms(1);
    }
    lab.pass_ms(25_000);
    assert_eq!((lab.stats().stream_count, lab.stats().allocation_count), (1, 1));
    lab.pass_ms(20_000);
    let stats = lab.stats();
    assert_eq!((stats.stream_count, stats.allocation_count, stats.streams_closed), (0, 0, 1));
}

#[test]
fn who_asks_and_takes_no_answer_is_closed() {
    let mut lab = Lab::new(Setup::default());
    let mut client = lab.client(1, UDP);
    let mut asked_bytes = 0;
    while lab.stats().stream_count == 1 {
        let request = client.request(Method::REFRESH, |_| {});
        client.stream.write(&request);
        asked_bytes += request.len();
        lab.pass_ms(1);
        assert!(asked_bytes < 4_096 * KIB, "answers are kept without a bound");
    }
    let stats = lab.stats();
    assert_eq!((stats.allocation_count, stats.streams_closed), (0, 1));
}

#[test]
fn a_stream_without_an_allocation_is_closed_after_a_minute_and_one_with_is_not() {
    let mut lab = Lab::new(Setup::default());
    let silent = lab.connect(1);
    let mut drips = lab.connect(2);
    let kept = lab.client(3, UDP);
    // A byte now and then of a message that never ends is silence, too.
    for byte in [0, 1, 0, 100, 0x21] {
        drips.write(&[byte]);
        lab.pass_ms(11_000);
    }
    assert_eq!(lab.stats().stream_count, 3);
    lab.pass_ms(20_000);
    assert!(silent.is_finished() && drips.is_finished() && !kept.stream.is_finished());
    assert_eq!((lab.stats().stream_count, lab.stats().allocation_count), (1, 1));
    // Its allocation ends by itself; then it is as silent as the others.
    lab.pass_ms(600_000);
    assert_eq!((lab.stats().stream_count, lab.stats().allocation_count), (0, 0));
}

#[test]
fn who_speaks_no_turn_is_closed_and_counted() {
    let mut lab = Lab::new(Setup::default());
    let mut stream = lab.connect(1);
    stream.write(b"\xFF\xFF HTTP/1.1\r\n\r\n");
    lab.pass_ms(10);
    assert!(stream.is_finished());
    assert_eq!((lab.stats().stream_count, lab.stats().streams_closed), (0, 1));
}

#[test]
fn there_are_as_many_streams_of_clients_and_of_peers_as_there_may_be() {
    let mut lab = Lab::new(Setup { stream_count_max: 1, ..Setup::default() });
    let mut client = lab.client(1, TCP);
    assert!(lab.connect(2).is_finished());
    assert_eq!(lab.stats().streams_refused, 1);
    let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let mut peers = [9_001, 9_002].map(|port| lab.world.peer_listen(at(port)).expect("free"));
    let mut connect = |lab: &mut Lab, port| {
        client.ask(Method::CONNECT, |builder| {
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, at(port));
        });
        client.answer(lab)
    };
    assert_eq!(connect(&mut lab, 9_001), Some(None));
    let first = peers[0].accept().expect("connected");
    let refused = Some(Some(ErrorCode::CONNECTION_TIMEOUT));
    assert_eq!(connect(&mut lab, 9_002), refused);
    assert!(peers[1].accept().is_none());
    // When one has gone, which nobody came for within 30 s, there is room again.
    drop(first);
    lab.pass_ms(31_000);
    assert_eq!(connect(&mut lab, 9_002), Some(None));
}

#[test]
fn a_tick_has_so_many_handshakes_and_everybody_has_his_turn() {
    const CLIENTS: usize = 40;
    const PER_TICK: u32 = 2;
    let (server, client) = certificates();
    let setup = Setup {
        tls: Some(Arc::new(server)),
        handshakes_per_tick_max: PER_TICK,
        ..Setup::default()
    };
    let mut lab = Lab::new(setup);
    let mut streams: Vec<_> = (0..CLIENTS)
        .map(|host| lab.world.connect(([198, 51, 100, host as u8], 0).into(), lab.server))
        .collect();
    lab.pass_ms(5);
    let mut sessions: Vec<Session> = streams
        .iter_mut()
        .map(|stream| {
            let mut hello = Vec::new();
            let session = Session::client(&client, "localhost", &mut hello).expect("a session");
            assert_eq!(stream.write(&hello), hello.len());
            session
        })
        .collect();
    let before = lab.tick_count;
    lab.pass_ms(200);
    let ticks = lab.tick_count - before;
    assert!(ticks >= CLIENTS / PER_TICK as usize, "all in {ticks} ticks");
    assert!(lab.stats().handshakes_delayed >= 30, "{}", lab.stats().handshakes_delayed);
    // All are served, the request goes with the end of the handshake.
    for (stream, session) in streams.iter_mut().zip(&mut sessions) {
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        session.receive(&mut stream.read(16 * KIB), &mut plain, &mut out).expect("a handshake");
        session.seal(&BINDING, &mut out).expect("it is there");
        stream.write(&out);
    }
    lab.pass_ms(200);
    for (stream, session) in streams.iter_mut().zip(&mut sessions) {
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        session.receive(&mut stream.read(16 * KIB), &mut plain, &mut out).expect("records");
        assert_eq!(plain.first_chunk(), Some(&[1, 1]), "an answer to Binding");
    }
    assert_eq!(lab.stats().tls_failures, 0);
}

/// A Binding request.
const BINDING: [u8; 20] =
    [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn certificates() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(&certificate, &key).expect("an identity");
    let tickets = protocol_tls::TicketKeys::new().expect("chance");
    let server = ServerConfig::new(ServerSettings::new(vec![identity], tickets));
    let client = ClientConfig::new(ClientSettings::new(&certificate));
    (server.expect("a server"), client.expect("a client"))
}
