//! The table of errors: what is asked, and which number it gets.

use crate::lab::{Lab, User, address, config, udp, udp_transport};
use protocol_stun::{AttributeKind, Builder, Class, ErrorCode, Family, Method, TransactionId};
use protocol_turn::{DENIED, DropCause, Limits};
use std::net::SocketAddr;

type Write = fn(&mut Builder<'_>);

fn peer(builder: &mut Builder<'_>) {
    builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address("192.0.2.7:9000"));
}

fn peer_v6(builder: &mut Builder<'_>) {
    builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address("[2001:db8::7]:9000"));
}

#[test]
fn what_an_allocate_can_ask_wrongly() {
    let token = AttributeKind::RESERVATION_TOKEN;
    let family = AttributeKind::REQUESTED_ADDRESS_FAMILY;
    let additional = AttributeKind::ADDITIONAL_ADDRESS_FAMILY;
    assert_eq!((token.0, family.0, additional.0), (0x22, 0x17, 0x8000));
    let cases: &[(&str, u16, Write)] = &[
        ("no transport", 400, |_| {}),
        ("a transport too short", 400, |builder| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17]);
        }),
        ("TCP", 442, |builder| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
        }),
        ("a family that is none", 440, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x17), &[3, 0, 0, 0]);
        }),
        ("a family twice", 400, |builder| {
            udp_transport(builder).family(AttributeKind(0x17), Family::V4);
            builder.family(AttributeKind(0x8000), Family::V6);
        }),
        ("IPv4 in addition", 400, |builder| {
            udp_transport(builder).family(AttributeKind(0x8000), Family::V4);
        }),
        ("a reservation for two families", 400, |builder| {
            udp_transport(builder).family(AttributeKind(0x8000), Family::V6);
            builder.attribute(AttributeKind::EVEN_PORT, &[0x80]);
        }),
        ("a token with a family", 400, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x22), &[1; 8]);
            builder.family(AttributeKind(0x17), Family::V4);
        }),
        ("a token with an even port", 400, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x22), &[1; 8]);
            builder.attribute(AttributeKind::EVEN_PORT, &[0]);
        }),
        ("a token of seven bytes", 400, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x22), &[1; 7]);
        }),
        ("an unknown token", 508, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x22), &[1; 8]);
        }),
        ("a lifetime too short", 400, |builder| {
            udp_transport(builder).attribute(AttributeKind::LIFETIME, &[1]);
        }),
        ("an unknown attribute", 420, |builder| {
            udp_transport(builder).attribute(AttributeKind(0x7FFF), &[]);
        }),
    ];
    for (what, code, write) in cases {
        let mut lab = Lab::usual();
        let answer = User::anna().ask(&mut lab, Method::ALLOCATE, write);
        assert_eq!(answer.code().map(ErrorCode::number), Some(*code), "{what}");
        assert!(answer.message().is_from(&User::anna().key(), protocol_stun::Integrity::Sha1));
        assert_eq!(lab.turn.allocation_count(), 0, "{what}");
        let unknown = answer.find(AttributeKind::UNKNOWN_ATTRIBUTES);
        assert_eq!(unknown, (*code == 420).then(|| vec![0x7F, 0xFF]));
    }
}

#[test]
fn what_else_can_be_asked_wrongly() {
    const PERMIT: Method = Method::CREATE_PERMISSION;
    const BIND: Method = Method::CHANNEL_BIND;
    let cases: &[(&str, u16, Method, Write)] = &[
        ("no peer", 400, PERMIT, |_| {}),
        ("a broken peer", 400, PERMIT, |builder| {
            builder.attribute(AttributeKind::XOR_PEER_ADDRESS, &[0, 1, 0, 0]);
        }),
        ("another family", 443, PERMIT, peer_v6),
        ("one good, one bad", 443, PERMIT, |builder| {
            peer(builder);
            peer_v6(builder);
        }),
        ("no number", 400, BIND, peer),
        ("no peer", 400, BIND, |builder| {
            builder.channel_number(0x4000);
        }),
        ("a number too small", 400, BIND, |builder| {
            builder.channel_number(0x3FFF);
            peer(builder);
        }),
        ("a number too large", 400, BIND, |builder| {
            builder.channel_number(0x8000);
            peer(builder);
        }),
        ("another family", 443, BIND, |builder| {
            builder.channel_number(0x4000);
            peer_v6(builder);
        }),
        ("another peer's number", 400, BIND, |builder| {
            builder.channel_number(0x4ABC);
            peer(builder);
        }),
        ("another number of a peer", 400, BIND, |builder| {
            builder.channel_number(0x4000);
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address("192.0.2.9:9"));
        }),
        ("another family", 443, Method::REFRESH, |builder| {
            builder.family(AttributeKind::REQUESTED_ADDRESS_FAMILY, Family::V6);
        }),
        ("an unknown attribute", 420, Method::REFRESH, |builder| {
            builder.attribute(AttributeKind::ACCESS_TOKEN, &[1]);
        }),
    ];
    for (what, code, method, write) in cases {
        let mut lab = Lab::usual();
        let mut anna = User::anna();
        let answer = anna.ask(&mut lab, *method, write);
        let early = if *code == 420 { 420 } else { 437 };
        assert_eq!(answer.code().map(ErrorCode::number), Some(early), "{what}: no allocation");
        anna.allocate(&mut lab);
        assert!(anna.bind(&mut lab, 0x4ABC, address("192.0.2.9:9")).is_success());
        let answer = anna.ask(&mut lab, *method, write);
        assert_eq!(answer.code().map(ErrorCode::number), Some(*code), "{what}");
    }
}

#[test]
fn a_list_of_peers_is_permitted_whole_or_not_at_all() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let good = address("192.0.2.7:1");
    let code = anna.permit(&mut lab, &[good, address("10.0.0.1:1")]).code();
    assert_eq!(code, Some(ErrorCode::FORBIDDEN));
    let count = |lab: &Lab| lab.turn.allocations(lab.now).next().map(|it| it.permission_count);
    assert_eq!(count(&lab), Some(0));
    assert!(anna.permit(&mut lab, &[good, good, address("192.0.2.8:1")]).is_success());
    assert_eq!(count(&lab), Some(2));
}

#[test]
fn peers_of_closed_ranges_are_forbidden_on_every_way() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.ask(&mut lab, Method::ALLOCATE, |builder| {
        udp_transport(builder).family(AttributeKind::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
    });
    let firsts = DENIED.iter().filter_map(|range| range.split('/').next());
    let inner = ["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "::1", "::127.0.0.1"];
    for ip in firsts.chain(inner) {
        let peer = SocketAddr::new(ip.parse().expect("an address"), 80);
        assert_eq!(anna.permit(&mut lab, &[peer]).code(), Some(ErrorCode::FORBIDDEN), "{ip}");
        assert_eq!(anna.bind(&mut lab, 0x4000, peer).code(), Some(ErrorCode::FORBIDDEN), "{ip}");
        lab.client_sends(anna.client, &crate::lab::send_indication(peer, b"x"));
    }
    assert!(lab.to_peers.is_empty());
    let mut lab = Lab::allowing("10.0.0.0/8");
    anna.nonce.clear();
    anna.allocate(&mut lab);
    assert!(anna.permit(&mut lab, &[address("10.0.0.1:80")]).is_success());
    let code = anna.permit(&mut lab, &[address("127.0.0.1:80")]).code();
    assert_eq!(code, Some(ErrorCode::FORBIDDEN));
}

#[test]
fn permissions_and_channels_have_limits() {
    let limits = Limits { permission_count_max: 3, channel_count_max: 2, ..Limits::default() };
    let mut lab = Lab::new(config(), limits);
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let peers = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1"].map(address);
    assert!(anna.permit(&mut lab, &peers[..3]).is_success());
    assert!(anna.permit(&mut lab, &peers[..3]).is_success(), "the same again");
    assert_eq!(anna.permit(&mut lab, &peers[3..]).code(), Some(ErrorCode::INSUFFICIENT_CAPACITY));
    assert!(anna.bind(&mut lab, 0x4000, peers[0]).is_success());
    assert!(anna.bind(&mut lab, 0x4001, peers[1]).is_success());
    assert!(anna.bind(&mut lab, 0x4001, peers[1]).is_success(), "the same again");
    let code = anna.bind(&mut lab, 0x4002, peers[2]).code();
    assert_eq!(code, Some(ErrorCode::INSUFFICIENT_CAPACITY));
}

#[test]
fn a_refused_channel_leaves_no_permission_behind() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let (first, second) = (address("192.0.2.1:1"), address("192.0.2.2:1"));
    assert!(anna.bind(&mut lab, 0x4000, first).is_success());
    assert_eq!(anna.bind(&mut lab, 0x4000, second).code(), Some(ErrorCode::BAD_REQUEST));
    lab.client_sends(anna.client, &crate::lab::send_indication(second, b"x"));
    assert!(lab.to_peers.is_empty());
}

#[test]
fn a_family_that_is_not_lent_is_refused() {
    let mut config = config();
    config.families = vec![Family::V4];
    let mut lab = Lab::new(config, Limits::default());
    let answer = User::anna().ask(&mut lab, Method::ALLOCATE, |builder| {
        udp_transport(builder).family(AttributeKind::REQUESTED_ADDRESS_FAMILY, Family::V6);
    });
    assert_eq!(answer.code(), Some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
}

#[test]
fn a_server_that_ends_makes_no_new_allocations_and_keeps_the_old() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    assert!(anna.allocate(&mut lab).is_success());
    let mut draining = config();
    draining.takes_allocations = false;
    lab.turn.configure(draining).expect("a configuration");
    assert!(anna.refresh(&mut lab, 600).is_success());
    let mut ben = User::new("ben", "word", udp("198.51.100.2:1"));
    assert_eq!(ben.allocate(&mut lab).code(), Some(ErrorCode::INSUFFICIENT_CAPACITY));
}

#[test]
fn reservations_have_a_limit() {
    let limits = Limits { reservation_count_max: 0, ..Limits::default() };
    let answer = User::anna().ask(&mut Lab::new(config(), limits), Method::ALLOCATE, |builder| {
        udp_transport(builder).attribute(AttributeKind::EVEN_PORT, &[0x80]);
    });
    assert_eq!(answer.code(), Some(ErrorCode::INSUFFICIENT_CAPACITY));
}

#[test]
fn a_server_that_is_emptied_sends_elsewhere() {
    let mut config = config();
    config.alternate_server = Some(address("203.0.113.9:3478"));
    let answer = User::anna().allocate(&mut Lab::new(config, Limits::default()));
    assert_eq!(answer.code(), Some(ErrorCode::TRY_ALTERNATE));
    let alternate = answer.message().address(AttributeKind::ALTERNATE_SERVER);
    assert_eq!(alternate, Ok(Some(address("203.0.113.9:3478"))));
}

#[test]
fn without_the_bit_dont_fragment_is_unknown() {
    let mut config = config();
    config.has_dont_fragment = false;
    let mut lab = Lab::new(config, Limits::default());
    let answer = User::anna().ask(&mut lab, Method::ALLOCATE, |builder| {
        udp_transport(builder).attribute(AttributeKind::DONT_FRAGMENT, &[]);
    });
    assert_eq!(answer.code(), Some(ErrorCode::UNKNOWN_ATTRIBUTE));
    assert_eq!(answer.find(AttributeKind::UNKNOWN_ATTRIBUTES), Some(vec![0, 0x1A]));
}

#[test]
fn binding_is_answered_and_answers_are_not() {
    let client = udp("[2001:db8::5]:1234");
    let mut lab = Lab::usual();
    let mut ask = |class, method, kind: u16| {
        let mut buffer = [0; 64];
        let mut builder = Builder::new(&mut buffer, class, method, TransactionId([4; 12]));
        builder.attribute(AttributeKind(kind), &[]);
        let used = builder.fingerprint().finish().expect("room");
        lab.client_sends(client, &buffer[..used]);
        lab.to_clients.pop().map(|(_, bytes)| crate::lab::Answer(bytes))
    };
    let answer = ask(Class::Request, Method::BINDING, 0x8022).expect("an answer");
    assert!(answer.is_success() && answer.message().has_good_fingerprint());
    let mapped = answer.message().xor_address(AttributeKind::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Ok(Some(client.address)));
    let answer = ask(Class::Request, Method::BINDING, 0x7001).expect("an answer");
    assert_eq!(answer.code(), Some(ErrorCode::UNKNOWN_ATTRIBUTE));
    for (class, method) in [
        (Class::Indication, Method::BINDING),
        (Class::Success, Method::BINDING),
        (Class::Error, Method::ALLOCATE),
        (Class::Indication, Method::ALLOCATE),
        (Class::Indication, Method::DATA),
        (Class::Request, Method::SEND),
    ] {
        assert!(ask(class, method, 0x8022).is_none(), "{class:?} {method:?}");
    }
    assert_eq!(lab.turn.counters().dropped(DropCause::Unexpected), 5);
}
