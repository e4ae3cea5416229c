//! Data, both ways, and what stops it.

use crate::lab::{Answer, Lab, User, address, config, send_indication, udp};
use protocol_stun::{AttributeKind, ChannelData, Class, ErrorCode, Icmp, Method};
use protocol_turn::{Client, DropCause, HEADROOM_BYTES, Input, Limits, Rate, Transport};
use std::time::Duration;

const PEER: &str = "192.0.2.7:9000";

fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    [&ChannelData::header(number, data.len() as u16)[..], data].concat()
}

#[test]
fn send_and_data_indications() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let peer = address(PEER);
    anna.allocate(&mut lab);
    let id = lab.allocation(anna.client);
    lab.client_sends(anna.client, &send_indication(peer, b"early"));
    assert_eq!(lab.turn.counters().dropped(DropCause::NoPermission), 1);
    assert!(anna.permit(&mut lab, &[peer]).is_success());
    lab.client_sends(anna.client, &send_indication(peer, b"hello"));
    assert!(lab.was_in_place);
    assert_eq!(lab.to_peers, [(id, peer, b"hello".to_vec())]);

    for room in [(HEADROOM_BYTES, 3), (HEADROOM_BYTES, 2), (20, 3), (0, 0)] {
        lab.peer_sends(id, peer, b"world", room);
        assert_eq!(lab.was_in_place, room == (HEADROOM_BYTES, 3));
        let (to, bytes) = lab.to_clients.pop().expect("data");
        assert_eq!((to, bytes.len() % 4), (anna.client, 0));
        assert_eq!(bytes[bytes.len() - 3..], [0; 3], "padding tells nothing");
        let answer = Answer(bytes);
        let message = answer.message();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        assert_eq!(message.find(AttributeKind::DATA), Some(&b"world"[..]));
        assert_eq!(message.xor_address(AttributeKind::XOR_PEER_ADDRESS), Ok(Some(peer)));
    }
    lab.peer_sends(id, address("192.0.2.8:9000"), b"who?", (48, 3));
    assert!(lab.to_clients.is_empty());
    lab.peer_sends(id, address("192.0.2.7:1"), b"another port", (48, 3));
    assert_eq!(lab.to_clients.len(), 1, "permissions are for addresses, not ports");
}

#[test]
fn channels_both_ways() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let peer = address(PEER);
    anna.allocate(&mut lab);
    let id = lab.allocation(anna.client);
    lab.client_sends(anna.client, &channel_data(0x4001, b"early"));
    assert_eq!(lab.turn.counters().dropped(DropCause::NoChannel), 1);
    assert!(anna.bind(&mut lab, 0x4001, peer).is_success());
    lab.client_sends(anna.client, &channel_data(0x4001, b"hello"));
    assert!(lab.was_in_place);
    assert_eq!(lab.to_peers, [(id, peer, b"hello".to_vec())]);
    lab.peer_sends(id, peer, b"world", (4, 0));
    assert!(lab.was_in_place, "four bytes are enough");
    assert_eq!(lab.to_clients, [(anna.client, channel_data(0x4001, b"world"))]);
    lab.client_sends(anna.client, &channel_data(0x4001, b""));
    assert_eq!(lab.to_peers[1].2, b"", "an empty datagram is one");
    let usage = lab.turn.counters().usage;
    assert_eq!((usage.to_peer_packets, usage.to_peer_bytes), (2, 5));
    assert_eq!((usage.to_client_packets, usage.to_client_bytes), (1, 5));
}

#[test]
fn over_a_stream_channel_data_is_padded() {
    let mut lab = Lab::usual();
    let client = Client { transport: Transport::Stream, ..udp("198.51.100.1:4000") };
    let mut anna = User::new("anna", "secret", client);
    anna.allocate(&mut lab);
    assert!(anna.bind(&mut lab, 0x4001, address(PEER)).is_success());
    let id = lab.allocation(client);
    for (room, is_in_place) in [((4, 3), true), ((4, 0), false)] {
        lab.peer_sends(id, address(PEER), b"world", room);
        assert_eq!(lab.was_in_place, is_in_place);
        let wanted = [&channel_data(0x4001, b"world")[..], &[0; 3]].concat();
        assert_eq!(lab.to_clients.pop(), Some((client, wanted)));
    }
}

#[test]
fn permissions_and_channels_end_to_the_second() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let peer = address(PEER);
    anna.allocate(&mut lab);
    anna.refresh(&mut lab, 3600);
    let id = lab.allocation(anna.client);
    assert!(anna.bind(&mut lab, 0x4001, peer).is_success());
    lab.pass(Duration::from_secs(299));
    lab.client_sends(anna.client, &channel_data(0x4001, b"1"));
    lab.pass(Duration::from_secs(1));
    lab.client_sends(anna.client, &channel_data(0x4001, b"2"));
    lab.peer_sends(id, peer, b"3", (48, 3));
    assert_eq!((lab.to_peers.len(), lab.to_clients.len()), (1, 0), "the permission ended");
    assert!(anna.permit(&mut lab, &[peer]).is_success());
    lab.pass(Duration::from_secs(299));
    lab.client_sends(anna.client, &channel_data(0x4001, b"4"));
    assert_eq!(lab.to_peers.len(), 2);
    lab.pass(Duration::from_secs(1));
    assert!(anna.permit(&mut lab, &[peer]).is_success());
    lab.client_sends(anna.client, &channel_data(0x4001, b"5"));
    assert_eq!(lab.to_peers.len(), 2, "the channel ended");
    assert!(anna.bind(&mut lab, 0x4002, peer).is_success(), "the peer is free again");
}

#[test]
fn bandwidth_is_limited_for_allocation_and_user() {
    let rate = Some(Rate { per_s: 100, burst: 250 });
    for limits in [
        Limits { allocation_bytes_rate: rate, ..Limits::default() },
        Limits { user_bytes_rate: rate, ..Limits::default() },
    ] {
        let mut lab = Lab::new(config(), limits);
        let mut anna = User::anna();
        anna.allocate(&mut lab);
        anna.bind(&mut lab, 0x4001, address(PEER));
        let id = lab.allocation(anna.client);
        lab.client_sends(anna.client, &channel_data(0x4001, &[1; 100]));
        lab.peer_sends(id, address(PEER), &[2; 100], (4, 0));
        lab.client_sends(anna.client, &channel_data(0x4001, &[3; 100]));
        assert_eq!((lab.to_peers.len(), lab.to_clients.len()), (1, 1));
        assert_eq!(lab.turn.counters().dropped(DropCause::Bandwidth), 1);
        lab.pass(Duration::from_millis(500));
        lab.client_sends(anna.client, &channel_data(0x4001, &[4; 100]));
        assert_eq!(lab.to_peers.len(), 2);
    }
}

#[test]
fn what_the_network_says_is_passed_on() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let peer = address(PEER);
    anna.allocate(&mut lab);
    let allocation = lab.allocation(anna.client);
    let icmp = Icmp { kind: 3, code: 4, data: 1400 };
    lab.tell(Input::Icmp { allocation, peer, icmp });
    assert!(lab.to_clients.is_empty());
    anna.permit(&mut lab, &[peer]);
    lab.tell(Input::Icmp { allocation, peer, icmp });
    let answer = Answer(lab.to_clients.pop().expect("an indication").1);
    assert_eq!(answer.message().icmp(), Ok(Some(icmp)));
    assert_eq!(answer.message().find(AttributeKind::DATA), None);
}

#[test]
fn our_own_ports_are_never_peers() {
    let mut config = config();
    config.policy.own = vec![address("203.0.113.1:3478")];
    let mut lab = Lab::new(config, Limits::default());
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let own = address("203.0.113.1:3478");
    assert_eq!(anna.bind(&mut lab, 0x4001, own).code(), Some(ErrorCode::FORBIDDEN));
    assert!(anna.permit(&mut lab, &[own]).is_success(), "relayed addresses are there as well");
    lab.client_sends(anna.client, &send_indication(own, b"loop"));
    lab.client_sends(anna.client, &send_indication(address("203.0.113.1:0"), b"nowhere"));
    assert!(lab.to_peers.is_empty());
    assert_eq!(lab.turn.counters().dropped(DropCause::Forbidden), 2);
}
