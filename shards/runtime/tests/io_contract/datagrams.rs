//! The cases about datagrams: how they come, how they are sent, and how they are sent on.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use shards_runtime::{
    BindOptions, Forward, Gather, HEADROOM_BYTES, Icmp, Io, Op, Piece, ReceiveBuffer, Socket, Token,
};

use crate::driver::{BufferOf, Driver, Harness};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A socket that receives.
fn bound<H: Harness>(it: &mut Driver<H>, options: BindOptions) -> (Token, Socket, SocketAddr) {
    let any = SocketAddr::from((LOOPBACK, 0));
    let (socket, address) = it.io().bind(any, options).unwrap();
    let token = it.token();
    it.submit(token, Op::RecvFrom(socket));
    (token, socket, address)
}

fn send<H: Harness>(
    it: &mut Driver<H>,
    token: Token,
    socket: Socket,
    to: SocketAddr,
    bytes: Vec<u8>,
) {
    let payload = gather(vec![Piece::Owned(Bytes::from(bytes))]);
    it.submit(token, Op::SendTo { socket, to, payload, segment_size: None });
}

fn forward<H: Harness>(it: &mut Driver<H>, socket: Socket, to: SocketAddr, buffer: BufferOf<H>) {
    it.io().forward(Forward { socket, to, buffer, dont_fragment: false });
}

pub fn a_datagram_is_forwarded_from_its_buffer<H: Harness>(it: &mut Driver<H>) {
    let (one_token, one, one_address) = bound(it, BindOptions::default());
    let (_, two, two_address) = bound(it, BindOptions::default());
    for bytes in [&b"payload"[..], b"", b"x"] {
        it.keep = true;
        send(it, one_token, one, two_address, bytes.to_vec());
        it.until("a datagram", |it| !it.kept.is_empty());
        let (_, peer, mut buffer) = it.kept.pop_front().unwrap();
        assert_eq!((peer, &buffer[..]), (one_address, bytes));
        // A head before it and something behind it, in its own room.
        let (room, data) = buffer.with_room();
        let (start, end) = (data.start - HEADROOM_BYTES, data.end + 3);
        room[start..data.start].fill(b'<');
        room[data.end..end].fill(b'>');
        buffer.set_data(start..end);
        it.keep = false;
        forward(it, two, one_address, buffer);
        it.until("the answer", |it| !it.datagrams.is_empty());
        let (from, answer) = it.datagrams.pop_front().unwrap();
        let expected = [&[b'<'; HEADROOM_BYTES][..], bytes, b">>>"].concat();
        assert_eq!((from, answer), (two_address, expected));
    }
    // A part of it is also a datagram.
    it.keep = true;
    send(it, one_token, one, two_address, b"0123456789".to_vec());
    it.until("a datagram", |it| !it.kept.is_empty());
    let (_, _, mut buffer) = it.kept.pop_front().unwrap();
    let data = buffer.with_room().1;
    buffer.set_data(data.start + 4..data.end - 2);
    it.keep = false;
    forward(it, two, one_address, buffer);
    it.until("the part", |it| !it.datagrams.is_empty());
    assert_eq!(it.datagrams.pop_front().unwrap(), (two_address, b"4567".to_vec()));
    let counters = it.io().counters();
    assert_eq!((counters.forwards, counters.forwards_failed), (4, 0));
    assert!(it.sent.iter().all(|&(slot, _)| slot == one_token.slot), "a forward has no answer");
}

pub fn forwards_give_their_buffers_back<H: Harness>(it: &mut Driver<H>) {
    let (token, one, _) = bound(it, BindOptions::default());
    let (_, two, two_address) = bound(it, BindOptions::default());
    let (_, _, three_address) = bound(it, BindOptions::default());
    // Many more than there are buffers.
    for round in 0..300u32 {
        it.keep = true;
        for part in 0..3u32 {
            send(it, token, one, two_address, (3 * round + part).to_be_bytes().to_vec());
        }
        it.until("three", |it| it.kept.len() == 3);
        let kept = std::mem::take(&mut it.kept);
        it.keep = false;
        for (_, _, buffer) in kept {
            forward(it, two, three_address, buffer);
        }
        it.until("all of them", |it| it.datagrams.len() == 3);
        for (part, (from, bytes)) in it.datagrams.drain(..).enumerate() {
            assert_eq!(
                (from, bytes),
                (two_address, (3 * round + part as u32).to_be_bytes().to_vec())
            );
        }
    }
}

pub fn forwards_keep_their_order_and_their_sizes<H: Harness>(it: &mut Driver<H>) {
    let (token, one, _) = bound(it, BindOptions::default());
    let (_, two, two_address) = bound(it, BindOptions::default());
    let (red_token, _, red) = bound(it, BindOptions::default());
    let (blue_token, _, blue) = bound(it, BindOptions::default());
    // Runs of equal size, a shorter one, a longer one, an empty one; to two places in turn.
    let sizes = [160, 160, 160, 160, 40, 160, 160, 700, 700, 0, 700, 1, 1, 1_600, 1_600, 160];
    it.keep = true;
    for (index, size) in sizes.into_iter().enumerate() {
        send(it, token, one, two_address, vec![index as u8; size]);
    }
    it.until("all of them", |it| it.kept.len() == sizes.len());
    let kept = std::mem::take(&mut it.kept);
    let whole: Vec<Vec<u8>> = kept.iter().map(|(_, _, buffer)| buffer.to_vec()).collect();
    assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    for (index, (_, _, buffer)) in kept.into_iter().enumerate() {
        forward(it, two, if index % 3 == 0 { blue } else { red }, buffer);
    }
    it.until("all of them again", |it| it.kept.len() == sizes.len());
    for (slot, is_blue) in [(red_token.slot, false), (blue_token.slot, true)] {
        let got = it.kept.iter().filter(|kept| kept.0 == slot).map(|kept| kept.2.to_vec());
        let sent = whole.iter().enumerate().filter(|(index, _)| (index % 3 == 0) == is_blue);
        assert_eq!(
            got.collect::<Vec<_>>(),
            sent.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
        );
    }
    let counters = it.io().counters();
    assert_eq!((counters.forwards, counters.forwards_failed), (sizes.len() as u64, 0));
    assert!(counters.forward_sends <= counters.forwards);
}

pub fn joined_datagrams_are_cut_with_room_before_each<H: Harness>(it: &mut Driver<H>) {
    let (token, one, one_address) = bound(it, BindOptions::default());
    let (_, two, two_address) = bound(it, BindOptions::default());
    let bytes = pattern(1_050);
    let payload = gather(vec![Piece::Owned(Bytes::from(bytes.clone()))]);
    it.keep = true;
    it.submit(token, Op::SendTo { socket: one, to: two_address, payload, segment_size: Some(100) });
    it.until("eleven", |it| it.kept.len() == 11);
    let kept = std::mem::take(&mut it.kept);
    it.keep = false;
    for (index, (_, _, mut buffer)) in kept.into_iter().enumerate() {
        let (room, data) = buffer.with_room();
        let head = data.start - HEADROOM_BYTES..data.start;
        room[head.clone()].fill(index as u8);
        buffer.set_data(head.start..data.end);
        forward(it, two, one_address, buffer);
    }
    it.until("eleven again", |it| it.datagrams.len() == 11);
    for (index, ((_, got), sent)) in it.datagrams.iter().zip(bytes.chunks(100)).enumerate() {
        assert_eq!(got[..HEADROOM_BYTES], [index as u8; HEADROOM_BYTES]);
        assert_eq!(&got[HEADROOM_BYTES..], sent);
    }
}

pub fn a_forward_may_carry_the_dont_fragment_bit<H: Harness>(it: &mut Driver<H>) {
    let (token, one, one_address) = bound(it, BindOptions::default());
    let options = BindOptions { fragmentable: true, ..BindOptions::default() };
    let (_, two, two_address) = bound(it, options);
    for dont_fragment in [true, false, true] {
        it.keep = true;
        send(it, token, one, two_address, b"whole".to_vec());
        it.until("a datagram", |it| !it.kept.is_empty());
        let (_, _, buffer) = it.kept.pop_front().unwrap();
        it.keep = false;
        it.io().forward(Forward { socket: two, to: one_address, buffer, dont_fragment });
        it.until("the answer", |it| !it.datagrams.is_empty());
        assert_eq!(it.datagrams.pop_front().unwrap(), (two_address, b"whole".to_vec()));
    }
}

pub fn a_forward_before_a_close_leaves_and_one_after_it_does_not<H: Harness>(it: &mut Driver<H>) {
    let (token, one, one_address) = bound(it, BindOptions::default());
    let (two_token, two, two_address) = bound(it, BindOptions::default());
    it.keep = true;
    send(it, token, one, two_address, b"first".to_vec());
    send(it, token, one, two_address, b"second".to_vec());
    it.until("both", |it| it.kept.len() == 2);
    let mut kept = std::mem::take(&mut it.kept);
    it.keep = false;
    forward(it, two, one_address, kept.pop_front().unwrap().2);
    it.submit(two_token, Op::Close(two));
    forward(it, two, one_address, kept.pop_front().unwrap().2);
    it.until("the first", |it| !it.datagrams.is_empty() && it.closed.contains(&two_token.slot));
    it.pass(H::A_WHILE);
    assert_eq!(it.datagrams, [(two_address, b"first".to_vec())]);
    let counters = it.io().counters();
    assert_eq!((counters.forwards, counters.forwards_failed), (2, 1));
}

pub fn the_network_says_that_nobody_is_there<H: Harness>(it: &mut Driver<H>) {
    let options = BindOptions { reports_icmp: true, ..BindOptions::default() };
    let (token, one, one_address) = bound(it, options);
    let (gone_token, gone, gone_address) = bound(it, BindOptions::default());
    it.close(gone_token, gone);
    for round in 0..3 {
        send(it, token, one, gone_address, b"anybody?".to_vec());
        it.until("an answer", |it| it.icmps.len() == round + 1);
        let port_unreachable = Icmp { kind: 3, code: 3, data: 0 };
        assert_eq!(it.icmps[round], (token.slot, gone_address, port_unreachable));
    }
    // Nothing else has changed: it sends and receives.
    send(it, token, one, one_address, b"myself".to_vec());
    it.until("a datagram", |it| !it.datagrams.is_empty());
    assert_eq!(it.datagrams.pop_front().unwrap(), (one_address, b"myself".to_vec()));
    it.until("all sent", |it| it.sent.len() == 4);
    assert!(it.sent.iter().all(|(_, result)| result.is_ok()));
    it.close(token, one);
}

pub fn nothing_is_said_to_who_did_not_ask<H: Harness>(it: &mut Driver<H>) {
    let (token, one, one_address) = bound(it, BindOptions::default());
    let (gone_token, gone, gone_address) = bound(it, BindOptions::default());
    it.close(gone_token, gone);
    send(it, token, one, gone_address, b"anybody?".to_vec());
    send(it, token, one, one_address, b"myself".to_vec());
    it.until("a datagram", |it| !it.datagrams.is_empty());
    it.pass(H::A_WHILE);
    assert!(it.icmps.is_empty());
}

pub fn datagrams_go_both_ways<H: Harness>(it: &mut Driver<H>) {
    let any = SocketAddr::from((LOOPBACK, 0));
    let (one_socket, one_address) = it.io().bind(any, BindOptions::default()).unwrap();
    let (two_socket, two_address) = it.io().bind(any, BindOptions::default()).unwrap();
    let (one, two) = (it.token(), it.token());
    it.submit(one, Op::RecvFrom(one_socket));
    it.submit(two, Op::RecvFrom(two_socket));
    let datagram = |socket, to, bytes: &'static [u8]| Op::SendTo {
        socket,
        to,
        payload: gather(vec![Piece::Static(&bytes[..4]), Piece::Static(&bytes[4..])]),
        segment_size: None,
    };
    it.submit(one, datagram(one_socket, two_address, b"ping two"));
    it.until("the first", |it| !it.datagrams.is_empty());
    assert_eq!(it.datagrams.pop_front().unwrap(), (one_address, b"ping two".to_vec()));
    it.submit(two, datagram(two_socket, one_address, b"pong one"));
    it.until("the second", |it| !it.datagrams.is_empty() && it.sent.len() == 2);
    assert_eq!(it.datagrams.pop_front().unwrap(), (two_address, b"pong one".to_vec()));
    assert_eq!(it.sent, [(one.slot, Ok(8)), (two.slot, Ok(8))]);
    it.close(one, one_socket);
    it.close(two, two_socket);
}

pub fn datagrams_in_segments<H: Harness>(it: &mut Driver<H>) {
    let any = SocketAddr::from((LOOPBACK, 0));
    let (socket, address) = it.io().bind(any, BindOptions::default()).unwrap();
    let token = it.token();
    it.submit(token, Op::RecvFrom(socket));
    let bytes = pattern(1_050);
    let payload = gather(vec![Piece::Owned(Bytes::from(bytes.clone()))]);
    let segment_size = Some(100);
    it.submit(token, Op::SendTo { socket, to: address, payload, segment_size });
    it.until("eleven", |it| it.datagrams.len() == 11 && !it.sent.is_empty());
    let sizes: Vec<usize> = it.datagrams.iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(sizes, [100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 50]);
    let joined: Vec<u8> = it.datagrams.drain(..).flat_map(|(_, payload)| payload).collect();
    assert_eq!(joined, bytes);
    assert_eq!(it.sent, [(token.slot, Ok(1_050))]);
    it.close(token, socket);
}

fn gather(pieces: Vec<Piece>) -> Gather {
    Gather::from_vec(pieces)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}
