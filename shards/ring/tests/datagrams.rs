//! Datagrams on the real ring.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use common::{close, local, open, owned, small, token, wait_at_most, wait_for};
use shards_ring::{RingConfig, UringIo};
use shards_runtime::{BindOptions, Completion, Forward, Gather, Io, Op, Piece, Socket};

fn bound(config: RingConfig, address: SocketAddr) -> (UringIo, Socket, SocketAddr) {
    let mut io = open(config);
    let (socket, address) = io.bind(address, BindOptions::default()).unwrap();
    io.submit(token(1), Op::RecvFrom(socket));
    io.flush();
    (io, socket, address)
}

fn received(io: &mut UringIo) -> (SocketAddr, Vec<u8>, Option<u16>) {
    wait_for(io, |completion| match completion {
        Completion::ReceivedFrom { token: its, peer, buffer, segment_size } => {
            assert_eq!(its, token(1));
            Some((peer, buffer.to_vec(), segment_size))
        }
        other => panic!("{other:?}"),
    })
    .expect("a datagram")
}

fn send_to(io: &mut UringIo, socket: Socket, to: SocketAddr, payload: Gather, size: Option<u16>) {
    let len: usize = payload.iter().map(|piece| piece.as_slice().len()).sum();
    io.submit(token(2), Op::SendTo { socket, to, payload, segment_size: size });
    let sent = wait_for(io, |completion| match completion {
        Completion::Sent { token: its, result } if its == token(2) => Some(result.unwrap()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sent, Some(len));
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(common::PATIENCE)).unwrap();
    client
}

#[test]
fn datagrams_come_with_their_sender_and_can_be_answered() {
    let (mut io, socket, address) = bound(small(), local());
    let client = client("127.0.0.1:0");
    let mut room = [0; 3_000];
    for len in [0usize, 1, 500, 2_048] {
        let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
        client.send_to(&payload, address).unwrap();
        let (peer, got, segment_size) = received(&mut io);
        assert_eq!((peer, &got, segment_size), (client.local_addr().unwrap(), &payload, None));
        let gather =
            Gather::from_iter([Piece::Static(b"re:"), Piece::Owned(Bytes::from(payload.clone()))]);
        send_to(&mut io, socket, peer, gather, None);
        let (count, from) = client.recv_from(&mut room).unwrap();
        assert_eq!((from, &room[..3], &room[3..count]), (address, &b"re:"[..], &payload[..]));
    }
}

#[test]
fn a_datagram_that_does_not_fit_is_dropped_and_the_next_one_comes() {
    let (mut io, _, address) = bound(small(), local());
    let client = client("127.0.0.1:0");
    client.send_to(&[1; 2_049], address).unwrap();
    client.send_to(b"fits", address).unwrap();
    assert_eq!(received(&mut io).1, b"fits");
}

#[test]
fn a_v6_socket_talks_to_both_families() {
    let (mut io, socket, address) = bound(small(), "[::]:0".parse().unwrap());
    for host in ["127.0.0.1", "::1"] {
        let client = client(&SocketAddr::new(host.parse().unwrap(), 0).to_string());
        let to = SocketAddr::new(host.parse().unwrap(), address.port());
        client.send_to(b"?", to).unwrap();
        let (peer, got, _) = received(&mut io);
        assert_eq!((peer, &got[..]), (client.local_addr().unwrap(), &b"?"[..]));
        send_to(&mut io, socket, peer, owned("!"), None);
        let mut room = [0; 8];
        assert_eq!(client.recv_from(&mut room).unwrap(), (1, to));
    }
}

#[test]
fn one_send_makes_many_datagrams() {
    let (mut io, socket, _) = bound(small(), local());
    let client = client("127.0.0.1:0");
    let payload: Vec<u8> = (0..3_500u32).map(|n| (n / 7) as u8).collect();
    let to = client.local_addr().unwrap();
    send_to(&mut io, socket, to, owned(payload.clone()), Some(1_000));
    let mut room = [0; 2_000];
    let mut got = Vec::new();
    for expected in [1_000, 1_000, 1_000, 500] {
        let count = client.recv(&mut room).unwrap();
        assert_eq!(count, expected);
        got.extend_from_slice(&room[..count]);
    }
    assert_eq!(got, payload);
    send_to(&mut io, socket, to, owned("short"), Some(1_000));
    assert_eq!(client.recv(&mut room).unwrap(), 5);
}

#[test]
fn joined_datagrams_say_how_long_each_was() {
    let config = RingConfig { udp_gro: true, datagram_buffers_count: 4, ..small() };
    let (mut io, socket, address) = bound(config.clone(), local());
    let (mut other, sender, from) = bound(config, local());
    let payload: Vec<u8> = (0..10_000u32).map(|n| (n / 9) as u8).collect();
    send_to(&mut other, sender, address, owned(payload.clone()), Some(1_000));
    assert_eq!(received(&mut io), (from, payload, Some(1_000)));
    send_to(&mut other, sender, address, owned("alone"), None);
    assert_eq!(received(&mut io), (from, b"alone".to_vec(), None));
    close(&mut io, socket);
}

#[test]
fn a_run_that_is_forwarded_is_one_send() {
    let (mut io, socket, address) = bound(small(), local());
    let client = client("127.0.0.1:0");
    for n in 0..20u8 {
        client.send_to(&[n; 300], address).unwrap();
    }
    let mut kept = Vec::new();
    wait_for(&mut io, |completion| match completion {
        Completion::ReceivedFrom { peer, buffer, .. } => {
            kept.push((peer, buffer));
            (kept.len() == 20).then_some(())
        }
        other => panic!("{other:?}"),
    })
    .expect("twenty");
    for (to, buffer) in kept {
        io.forward(Forward { socket, to, buffer, dont_fragment: false });
    }
    io.flush();
    let mut room = [0; 400];
    for n in 0..20u8 {
        assert_eq!(client.recv(&mut room).unwrap(), 300);
        assert_eq!(room[..300], [n; 300]);
    }
    let counters = io.counters();
    assert_eq!((counters.forwards, counters.forward_sends, counters.forwards_failed), (20, 1, 0));
}

#[test]
fn what_a_full_queue_dropped_is_counted() {
    let mut io = open(small());
    let options = BindOptions { receive_queue_bytes: 8_192, ..BindOptions::default() };
    let (socket, address) = io.bind(local(), options).unwrap();
    let client = client("127.0.0.1:0");
    for _ in 0..100 {
        client.send_to(&[7; 1_000], address).unwrap();
    }
    io.submit(token(1), Op::RecvFrom(socket));
    let mut got = 0;
    // The last one tells of those that are missing; there is room for it from some time on.
    while io.counters().datagrams_overflowed == 0 {
        client.send_to(b"and?", address).unwrap();
        got += 1;
        wait_at_most(&mut io, Duration::from_millis(10), |_| None::<()>);
    }
    assert!(io.counters().datagrams_overflowed <= 99 + got);
}

#[test]
fn a_sleep_that_gathers_ends_at_its_time() {
    // Far longer than any test waits.
    let config = RingConfig { gather_us: 3_000_000_000, datagram_buffers_count: 128, ..small() };
    let (mut io, _, address) = bound(config, local());
    let client = client("127.0.0.1:0");
    client.send_to(b"first", address).unwrap();
    assert_eq!(received(&mut io).1, b"first", "after a pause the first one wakes");
    assert!(wait_at_most(&mut io, Duration::from_millis(20), Some).is_none(), "its time");
    client.send_to(b"second", address).unwrap();
    assert_eq!(received(&mut io).1, b"second");
}

#[test]
fn many_forwards_and_few_buffers() {
    let config = RingConfig { datagram_buffers_count: 8, ..small() };
    let (mut io, socket, address) = bound(config, local());
    let client = client("127.0.0.1:0");
    let mut room = [0; 8];
    for round in 0..50u32 {
        for part in 0..12 {
            client.send_to(&(12 * round + part).to_be_bytes(), address).unwrap();
        }
        let mut count = 0;
        let mut forwarded = Vec::new();
        while count < 12 {
            wait_for(&mut io, |completion| match completion {
                Completion::ReceivedFrom { peer, buffer, .. } => {
                    forwarded.push((peer, buffer));
                    (count + forwarded.len() == 12 || forwarded.len() == 8).then_some(())
                }
                other => panic!("{other:?}"),
            })
            .expect("as many as there are buffers");
            count += forwarded.len();
            for (to, buffer) in forwarded.drain(..) {
                io.forward(Forward { socket, to, buffer, dont_fragment: false });
            }
        }
        io.flush();
        for part in 0..12 {
            assert_eq!(client.recv(&mut room).unwrap(), 4);
            assert_eq!(room[..4], (12 * round + part).to_be_bytes());
        }
    }
}

#[test]
fn datagram_sockets_overflow_the_table() {
    let config = RingConfig { sockets_max: 2, overflow_sockets_max: 3, ..small() };
    let mut io = open(config);
    let options = BindOptions { reports_icmp: true, fragmentable: true, ..BindOptions::default() };
    for _ in 0..3 {
        let bound: Vec<_> = (0..5).map(|_| io.bind(local(), options).unwrap()).collect();
        let one_more = io.bind(local(), options).unwrap_err();
        assert_eq!(one_more.raw_os_error(), Some(libc::ENFILE));
        for &(socket, address) in &bound {
            io.submit(token(1), Op::RecvFrom(socket));
            let client = client("127.0.0.1:0");
            client.send_to(b"out and back", address).unwrap();
            let (to, buffer) = wait_for(&mut io, |completion| match completion {
                Completion::ReceivedFrom { peer, buffer, .. } => Some((peer, buffer)),
                other => panic!("{other:?}"),
            })
            .expect("a datagram");
            io.forward(Forward { socket, to, buffer, dont_fragment: true });
            io.flush();
            let mut room = [0; 20];
            assert_eq!(client.recv_from(&mut room).unwrap(), (12, address));
            send_to(&mut io, socket, to, owned("by hand"), None);
            assert_eq!(client.recv(&mut room).unwrap(), 7);
            drop(client);
            send_to(&mut io, socket, to, owned("anybody?"), None);
            wait_for(&mut io, |completion| match completion {
                Completion::Icmp { peer, .. } => (peer == to).then_some(()),
                other => panic!("{other:?}"),
            })
            .expect("nobody is there");
        }
        for &(socket, _) in &bound {
            close(&mut io, socket);
        }
        assert_eq!(io.counters().operations_in_flight, 0);
    }
}

#[test]
fn what_the_network_says_of_one_peer_costs_another_nothing() {
    let options = BindOptions { reports_icmp: true, ..BindOptions::default() };
    let mut io = open(small());
    let (socket, address) = io.bind(local(), options).unwrap();
    io.submit(token(1), Op::RecvFrom(socket));
    let gone = client("127.0.0.1:0").local_addr().unwrap();
    let there = client("127.0.0.1:0");
    let mut room = [0; 16];
    for round in 0..50_u8 {
        let buffers = [(); 2].map(|()| {
            there.send_to(&[round], address).unwrap();
            let buffer = wait_for(&mut io, |completion| match completion {
                Completion::ReceivedFrom { buffer, .. } => Some(buffer),
                _ => None,
            });
            buffer.expect("a datagram")
        });
        // One is to go where nobody is, and the next, behind it, to somebody.
        for (to, buffer) in [gone, there.local_addr().unwrap()].into_iter().zip(buffers) {
            io.forward(Forward { socket, to, buffer, dont_fragment: false });
        }
        if round % 2 == 0 {
            // As at the end of a tick: handed over, and only later looked at.
            io.flush();
        }
        wait_for(&mut io, |completion| match completion {
            Completion::Icmp { peer, .. } => (peer == gone).then_some(()),
            _ => None,
        })
        .expect("nobody is there");
        assert_eq!(there.recv(&mut room).unwrap(), 1, "round {round}");
        assert_eq!(room[0], round);
    }
    close(&mut io, socket);
    assert_eq!(io.counters().operations_in_flight, 0);
}

#[test]
fn an_unreachable_peer_does_not_end_receiving() {
    let (mut io, socket, address) = bound(small(), local());
    let gone = client("127.0.0.1:0").local_addr().unwrap();
    for _ in 0..3 {
        send_to(&mut io, socket, gone, owned("anybody?"), None);
    }
    let client = client("127.0.0.1:0");
    client.send_to(b"yes", address).unwrap();
    assert_eq!(received(&mut io).1, b"yes");
}

#[test]
fn many_sends_and_few_buffers() {
    let config = RingConfig { datagram_buffers_count: 2, ..small() };
    let (mut io, socket, address) = bound(config, local());
    let payload = |n: u32| owned(n.to_be_bytes().to_vec());
    for n in 0..100 {
        let op = Op::SendTo { socket, to: address, payload: payload(n), segment_size: None };
        io.submit(token(2), op);
    }
    let (mut sent, mut got) = (0, Vec::new());
    wait_for(&mut io, |completion| {
        match completion {
            Completion::Sent { result, .. } => sent += u32::from(result.unwrap() == 4),
            Completion::ReceivedFrom { buffer, .. } => {
                got.push(u32::from_be_bytes(buffer[..].try_into().unwrap()));
            }
            other => panic!("{other:?}"),
        }
        (sent == 100 && got.len() == 100).then_some(())
    })
    .expect("all of both");
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    close(&mut io, socket);
    assert!(wait_at_most(&mut io, Duration::from_millis(20), Some).is_none());
    assert_eq!(io.counters().operations_in_flight, 0);
}

#[test]
fn senders_are_spread_by_their_address_and_not_by_their_port() {
    let options = BindOptions { shared: true, spread_by_address: 3, ..BindOptions::default() };
    let mut io = open(RingConfig::default());
    let (first, address) = io.bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
    let mut sockets = vec![first];
    for _ in 0..2 {
        sockets.push(io.bind(address, options).unwrap().0);
    }
    for (slot, socket) in sockets.iter().enumerate() {
        io.submit(token(slot as u32), Op::RecvFrom(*socket));
    }
    let mut reached = std::collections::BTreeMap::new();
    for host in 1..=30 {
        for _ in 0..3 {
            let sender = std::net::UdpSocket::bind(format!("127.0.0.{host}:0")).unwrap();
            sender.send_to(b"x", address).unwrap();
            let (slot, peer) = wait_for(&mut io, |completion| match completion {
                Completion::ReceivedFrom { token, peer, .. } => Some((token.slot, peer)),
                other => panic!("{other:?}"),
            })
            .expect("a datagram");
            let before = reached.insert(peer.ip(), slot);
            assert!(before.is_none_or(|before| before == slot), "{peer} came to two");
        }
    }
    let all: std::collections::BTreeSet<u32> = reached.into_values().collect();
    assert_eq!(all.len(), 3, "nobody comes to one of them");
}
