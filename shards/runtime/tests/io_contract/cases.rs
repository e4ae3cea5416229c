//! The cases. Each is a promise of the contract, in a sentence as its name.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use shards_runtime::{BindOptions, Gather, Io, Op, PIECES_PER_SEND_MAX, Piece};

use crate::driver::{Driver, Ended, Harness};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// Bytes of which every part looks different.
fn pattern(count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn gather(pieces: Vec<Piece>) -> Gather {
    pieces.into_iter().collect()
}

pub fn bytes_go_both_ways<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    it.receive(one, one_socket);
    it.receive(two, two_socket);
    it.send(one, one_socket, b"who is there");
    it.until("the question", |it| it.received_of(two) == b"who is there");
    it.send(two, two_socket, b"an echo");
    it.until("the answer", |it| it.received_of(one) == b"an echo" && it.sent.len() == 2);
    assert_eq!(it.sent, [(one.slot, Ok(12)), (two.slot, Ok(7))]);
    it.close(one, one_socket);
    it.until("the end", |it| it.ended.contains(&(two.slot, Ended::Eof)));
    it.close(two, two_socket);
}

pub fn pieces_arrive_in_order<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let block = Rc::new(Bytes::from(pattern(100_000)));
    let mut expected = Vec::new();
    let pieces: Vec<Piece> = (0..PIECES_PER_SEND_MAX as u32)
        .map(|number| match number % 3 {
            0 => Piece::Shared { block: Rc::clone(&block), start: number * 100, end: 9_000 },
            1 => Piece::Owned(Bytes::from(vec![number as u8; number as usize])),
            _ => Piece::Static(b"static"),
        })
        .collect();
    for piece in &pieces {
        expected.extend_from_slice(piece.as_slice());
    }
    it.receive(two, two_socket);
    it.submit(one, Op::Send(one_socket, gather(pieces)));
    it.until("all pieces", |it| it.received_of(two).len() == expected.len());
    it.until("sent", |it| it.sent == [(one.slot, Ok(expected.len()))]);
    assert_eq!(it.received_of(two), expected);
}

pub fn an_acceptor_goes_on_and_names_its_peers<H: Harness>(it: &mut Driver<H>) {
    const CONNECTIONS: usize = 20;
    let (address, acceptor_token, acceptor) = it.listen(0);
    it.submit(acceptor_token, Op::Accept(acceptor));
    for _ in 0..CONNECTIONS {
        let token = it.token();
        it.submit(token, Op::Connect(address));
    }
    it.until("all", |it| it.accepted.len() == CONNECTIONS && it.connected.len() == CONNECTIONS);
    assert!(it.connected.iter().all(|(_, result)| result.is_ok()));
    let mut ports: Vec<u16> = it.accepted.iter().map(|(_, peer)| peer.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), CONNECTIONS, "each peer has its own port");
    assert!(it.accepted.iter().all(|(_, peer)| peer.ip() == address.ip()));
}

pub fn a_closed_acceptor_refuses<H: Harness>(it: &mut Driver<H>) {
    let (address, acceptor_token, acceptor) = it.listen(0);
    it.submit(acceptor_token, Op::Accept(acceptor));
    it.pass(H::A_WHILE);
    it.close(acceptor_token, acceptor);
    let token = it.token();
    it.submit(token, Op::Connect(address));
    it.until("an answer", |it| !it.connected.is_empty());
    assert_eq!(it.connected, [(token.slot, Err(ErrorKind::ConnectionRefused))]);
    // The token is free again, and so is the address.
    it.io().listen(address, BindOptions::default()).unwrap();
}

pub fn an_address_in_use_is_an_error<H: Harness>(it: &mut Driver<H>) {
    let (address, _, _) = it.listen(0);
    let again = it.io().listen(address, BindOptions::default());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    let any = SocketAddr::from((LOOPBACK, 0));
    let (_, address) = it.io().bind(any, BindOptions::default()).unwrap();
    let again = it.io().bind(address, BindOptions::default());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    let elsewhere = SocketAddr::from(([192, 0, 2, 77], 0));
    let nowhere = it.io().listen(elsewhere, BindOptions::default());
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

/// Nobody accepts and the backlog is full, so some attempts hang until they are given up.
pub fn a_given_up_connect_is_answered_once<H: Harness>(it: &mut Driver<H>) {
    const ATTEMPTS: usize = 8;
    let (address, _, _) = it.listen(1);
    let tokens: Vec<_> = (0..ATTEMPTS).map(|_| it.token()).collect();
    for &token in &tokens {
        it.submit(token, Op::Connect(address));
    }
    it.pass(H::A_WHILE);
    let answered = it.connected.len();
    assert!(answered < ATTEMPTS, "some hang");
    let hanging = |it: &Driver<H>, slot| !it.connected.iter().any(|&(other, _)| other == slot);
    for &token in &tokens {
        if hanging(it, token.slot) {
            it.submit(token, Op::CancelConnect);
        }
    }
    it.until("an answer for each", |it| it.connected.len() == ATTEMPTS);
    assert!(it.connected.iter().skip(answered).all(|(_, result)| result.is_err()));
    it.pass(H::A_WHILE);
    assert_eq!(it.connected.len(), ATTEMPTS, "one answer for each");
}

pub fn a_connection_comes_from_where_it_was_told<H: Harness>(it: &mut Driver<H>) {
    let (to, far_token, far) = it.listen(0);
    it.submit(far_token, Op::Accept(far));
    let options = BindOptions { shared: true, ..BindOptions::default() };
    let any = SocketAddr::from((LOOPBACK, 0));
    let (near, from) = it.io().listen(any, options).unwrap();
    let (near_token, token) = (it.token(), it.token());
    it.submit(near_token, Op::Accept(near));
    it.submit(token, Op::ConnectFrom { from, to });
    it.until("both ends", |it| !it.accepted.is_empty() && !it.connected.is_empty());
    let (far_end, peer) = it.accepted.pop_front().unwrap();
    assert_eq!(peer, from);
    let near_end = it.connected.pop_front().unwrap().1.unwrap();
    it.send(token, near_end, b"from there");
    let far_end_token = it.token();
    it.receive(far_end_token, far_end);
    it.until("bytes", |it| it.received_of(far_end_token) == b"from there");
    // Whoever listens there still does.
    let caller = it.token();
    it.submit(caller, Op::Connect(from));
    it.until("a second one", |it| !it.accepted.is_empty() && !it.connected.is_empty());
    // And the same connection cannot be there twice.
    let (_, connected) = it.connected.pop_front().unwrap();
    connected.unwrap();
    let again = it.token();
    it.submit(again, Op::ConnectFrom { from, to });
    it.until("a refusal", |it| !it.connected.is_empty());
    assert_eq!(it.connected[0], (again.slot, Err(ErrorKind::AddrNotAvailable)));
}

pub fn an_address_of_nobody_is_no_place_to_connect_from<H: Harness>(it: &mut Driver<H>) {
    let (to, _, _) = it.listen(0);
    let token = it.token();
    let from: SocketAddr = "192.0.2.1:0".parse().unwrap();
    it.submit(token, Op::ConnectFrom { from, to });
    it.until("an answer", |it| !it.connected.is_empty());
    assert_eq!(it.connected[0], (token.slot, Err(ErrorKind::AddrNotAvailable)));
}

pub fn a_large_send_waits_for_its_reader<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let bytes = pattern(H::LARGE_BYTES);
    it.send(one, one_socket, &bytes);
    it.pass(H::A_WHILE);
    assert!(it.sent.is_empty(), "sent to nobody who reads");
    it.receive(two, two_socket);
    it.until("all of it", |it| it.received_of(two).len() == H::LARGE_BYTES && !it.sent.is_empty());
    assert_eq!(it.sent, [(one.slot, Ok(H::LARGE_BYTES))]);
    assert!(it.received_of(two) == bytes, "the bytes differ");
}

/// Small ones are over as soon as they are handed over, until there is no room: that one waits, and
/// none is cut, doubled or overtaken.
pub fn small_sends_wait_for_their_reader_too<H: Harness>(it: &mut Driver<H>) {
    const BYTES: usize = 9_999;
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let count = H::LARGE_BYTES / BYTES + 1;
    let bytes = pattern(count * BYTES);
    let mut sends = bytes.chunks(BYTES);
    let mut said = 0;
    for send in sends.by_ref() {
        it.send(one, one_socket, send);
        said += 1;
        it.pass(H::A_WHILE / 10);
        if it.sent.len() < said {
            break;
        }
    }
    assert!(it.sent.len() < said, "sent to nobody who reads");
    it.receive(two, two_socket);
    for send in sends {
        it.until("the one before", |it| it.sent.len() == said);
        it.send(one, one_socket, send);
        said += 1;
    }
    it.until("all of them", |it| it.received_of(two).len() == bytes.len() && it.sent.len() == said);
    assert!(it.sent.iter().all(|sent| *sent == (one.slot, Ok(BYTES))));
    assert!(it.received_of(two) == bytes, "the bytes differ");
}

pub fn a_send_to_somebody_gone_fails<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    it.send(one, one_socket, &pattern(H::LARGE_BYTES));
    it.pass(H::A_WHILE);
    it.close(two, two_socket);
    it.until("the failure", |it| !it.sent.is_empty());
    let (slot, result) = it.sent.pop_front().unwrap();
    assert_eq!(slot, one.slot);
    assert!(is_broken(result.unwrap_err()));
    it.send(one, one_socket, b"still there?");
    it.until("the next failure", |it| !it.sent.is_empty());
    assert!(is_broken(it.sent.pop_front().unwrap().1.unwrap_err()));
    it.close(one, one_socket);
}

fn is_broken(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

pub fn a_send_keeps_its_memory<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let block = Rc::new(Bytes::from(pattern(H::LARGE_BYTES)));
    let end = H::LARGE_BYTES as u32;
    let piece = Piece::Shared { block: Rc::clone(&block), start: 0, end };
    it.submit(one, Op::Send(one_socket, gather(vec![piece])));
    it.pass(H::A_WHILE);
    assert_eq!(Rc::strong_count(&block), 2, "the send is in flight and keeps its block");
    it.receive(two, two_socket);
    it.until("sent", |it| !it.sent.is_empty());
    it.pass(H::A_WHILE);
    assert_eq!(Rc::strong_count(&block), 1, "a send that is done keeps nothing");
    it.until("all of it", |it| it.received_of(two).len() == H::LARGE_BYTES);
}

pub fn the_end_is_said_again_when_asked_again<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    it.send(one, one_socket, b"goodbye");
    it.until("sent", |it| !it.sent.is_empty());
    it.close(one, one_socket);
    for _ in 0..3 {
        it.receive(two, two_socket);
        it.until("the end", |it| !it.ended.is_empty());
        assert_eq!(it.ended.pop_front().unwrap(), (two.slot, Ended::Eof));
        assert_eq!(it.received_of(two), b"goodbye");
    }
    it.pass(H::A_WHILE);
    assert!(it.ended.is_empty(), "the end is said once for each time asked");
    it.close(two, two_socket);
}

pub fn a_reset_is_a_failure<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    it.receive(one, one_socket);
    it.send(one, one_socket, b"you will not read this");
    it.pass(H::A_WHILE);
    // Bytes that were not read turn a close into a reset.
    it.close(two, two_socket);
    it.until("the end", |it| !it.ended.is_empty());
    assert_eq!(it.ended, [(one.slot, Ended::Failed(ErrorKind::ConnectionReset))]);
    it.close(one, one_socket);
}

pub fn pause_stops_and_receive_goes_on<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let bytes = pattern(H::LARGE_BYTES);
    it.send(one, one_socket, &bytes);
    let mut rounds = 0;
    while it.received_of(two).len() < H::LARGE_BYTES {
        rounds += 1;
        let before = it.received_of(two).len();
        it.receive(two, two_socket);
        it.until("something", |it| it.received_of(two).len() > before);
        it.submit(two, Op::Pause(two_socket));
        it.until("the pause", |it| !it.ended.is_empty());
        assert_eq!(it.ended.pop_front().unwrap(), (two.slot, Ended::Paused));
        let paused_at = it.received_of(two).len();
        if rounds % 16 == 1 {
            it.pass(Duration::from_millis(5));
            assert_eq!(it.received_of(two).len(), paused_at, "received while paused");
        }
    }
    assert!(it.received_of(two) == bytes, "the bytes differ");
    it.until("sent", |it| it.sent == [(one.slot, Ok(H::LARGE_BYTES))]);
}

pub fn pause_twice_or_after_the_end_is_nothing<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    it.submit(two, Op::Pause(two_socket));
    it.pass(H::A_WHILE);
    assert!(it.ended.is_empty(), "what was not begun does not end");
    it.receive(two, two_socket);
    it.submit(two, Op::Pause(two_socket));
    it.submit(two, Op::Pause(two_socket));
    it.pass(H::A_WHILE);
    assert_eq!(it.ended.drain(..).collect::<Vec<_>>(), [(two.slot, Ended::Paused)]);
    it.receive(two, two_socket);
    it.close(one, one_socket);
    it.until("the end", |it| !it.ended.is_empty());
    it.submit(two, Op::Pause(two_socket));
    it.pass(H::A_WHILE);
    assert_eq!(it.ended, [(two.slot, Ended::Eof)]);
    it.close(two, two_socket);
}

pub fn close_is_last_with_everything_in_flight<H: Harness>(it: &mut Driver<H>) {
    for wait_before in [false, true] {
        let ((one, one_socket), (two, two_socket)) = it.pair();
        let block = Rc::new(Bytes::from(pattern(H::LARGE_BYTES)));
        let piece =
            Piece::Shared { block: Rc::clone(&block), start: 0, end: H::LARGE_BYTES as u32 };
        it.receive(one, one_socket);
        it.send(two, two_socket, b"on its way");
        it.submit(one, Op::Send(one_socket, gather(vec![piece])));
        if wait_before {
            it.pass(H::A_WHILE);
        }
        it.submit(one, Op::Close(one_socket));
        it.until("closed", |it| it.closed.contains(&one.slot));
        // That nothing follows is checked whenever something comes.
        it.pass(H::A_WHILE);
        assert_eq!(Rc::strong_count(&block), 1, "nothing is in flight");
        let sends = it.sent.iter().filter(|(slot, _)| *slot == one.slot);
        assert!(sends.count() <= 1);
        it.close(two, two_socket);
    }
}

pub fn a_finish_sends_all_and_closes<H: Harness>(it: &mut Driver<H>) {
    for (bytes_count, receives) in
        [(1, false), (10_000, true), (10_000, false), (H::LARGE_BYTES, false), (0, true)]
    {
        let ((one, one_socket), (two, two_socket)) = it.pair();
        if receives {
            it.receive(one, one_socket);
            it.pass(H::A_WHILE);
        }
        let block = Rc::new(Bytes::from(pattern(bytes_count)));
        let piece = Piece::Shared { block: Rc::clone(&block), start: 0, end: bytes_count as u32 };
        it.submit(one, Op::Finish(one_socket, gather(vec![piece])));
        if bytes_count == H::LARGE_BYTES {
            it.pass(H::A_WHILE);
            assert!(!it.closed.contains(&one.slot), "closed before all had room");
        }
        it.receive(two, two_socket);
        it.until("all", |it| it.closed.contains(&one.slot) && !it.ended.is_empty());
        assert_eq!(it.ended.pop_front().unwrap(), (two.slot, Ended::Eof));
        assert!(it.received_of(two) == &block[..], "the bytes differ");
        assert!(it.sent.is_empty(), "a finish has no Sent");
        assert_eq!(Rc::strong_count(&block), 1, "nothing is in flight");
        it.close(two, two_socket);
    }
}

pub fn a_close_cuts_a_finish_short<H: Harness>(it: &mut Driver<H>) {
    for wait_before in [false, true] {
        let ((one, one_socket), (two, two_socket)) = it.pair();
        let block = Rc::new(Bytes::from(pattern(H::LARGE_BYTES)));
        let piece =
            Piece::Shared { block: Rc::clone(&block), start: 0, end: H::LARGE_BYTES as u32 };
        it.submit(one, Op::Finish(one_socket, gather(vec![piece])));
        if wait_before {
            it.pass(H::A_WHILE);
        }
        it.submit(one, Op::Close(one_socket));
        it.until("closed", |it| it.closed.contains(&one.slot));
        it.pass(H::A_WHILE);
        assert_eq!(Rc::strong_count(&block), 1, "nothing is in flight");
        assert!(it.sent.is_empty(), "a finish has no Sent");
        it.close(two, two_socket);
    }
}

/// The first of them find room, the last does not: it is finished all the same.
pub fn a_finish_behind_a_full_socket_waits<H: Harness>(it: &mut Driver<H>) {
    const BYTES: usize = 9_999;
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let bytes = pattern(H::LARGE_BYTES);
    it.send(one, one_socket, &bytes);
    it.pass(H::A_WHILE);
    it.receive(two, two_socket);
    it.until("the send", |it| it.sent.len() == 1);
    it.submit(two, Op::Pause(two_socket));
    it.until("the pause", |it| !it.ended.is_empty());
    it.ended.clear();
    let mut said = bytes.len();
    while it.sent.len() * BYTES < 2 * H::LARGE_BYTES {
        let before = it.sent.len();
        it.send(one, one_socket, &bytes[..BYTES]);
        said += BYTES;
        it.pass(H::A_WHILE / 10);
        if it.sent.len() == before {
            break;
        }
    }
    // Room for less than the finish that follows, once the send that waits has gone.
    let before = it.sent.len();
    it.receive(two, two_socket);
    it.until("room", |it| it.sent.len() > before);
    it.submit(
        one,
        Op::Finish(one_socket, gather(vec![Piece::Owned(bytes[..BYTES].to_vec().into())])),
    );
    it.until("all", |it| it.closed.contains(&one.slot) && !it.ended.is_empty());
    assert_eq!(it.ended.pop_front().unwrap(), (two.slot, Ended::Eof));
    assert_eq!(it.received_of(two).len(), said + BYTES);
    assert!(it.received_of(two).ends_with(&bytes[..BYTES]));
    it.close(two, two_socket);
}

pub fn sockets_come_and_go<H: Harness>(it: &mut Driver<H>) {
    let before = it.io().counters().operations_in_flight;
    for round in 0..30_u8 {
        let ((one, one_socket), (two, two_socket)) = it.pair();
        it.receive(one, one_socket);
        it.receive(two, two_socket);
        it.send(one, one_socket, &[round; 100]);
        it.until("the bytes", |it| it.received_of(two) == [round; 100] && !it.sent.is_empty());
        it.sent.clear();
        let (first, last) = if round % 2 == 0 {
            ((one, one_socket), (two, two_socket))
        } else {
            ((two, two_socket), (one, one_socket))
        };
        it.close(first.0, first.1);
        it.until("the end", |it| it.ended.contains(&(last.0.slot, Ended::Eof)));
        it.close(last.0, last.1);
        it.ended.clear();
    }
    it.pass(H::A_WHILE);
    assert_eq!(it.io().counters().operations_in_flight, before);
}

pub fn held_buffers_keep_their_bytes<H: Harness>(it: &mut Driver<H>) {
    let ((one, one_socket), (two, two_socket)) = it.pair();
    let bytes = pattern(H::LARGE_BYTES);
    it.send(one, one_socket, &bytes);
    it.receive(two, two_socket);
    it.hold = true;
    it.pass(H::A_WHILE);
    // Held until there are no more, and then given back from the middle outwards.
    assert!(it.received_of(two).len() < H::LARGE_BYTES, "buffers without end");
    let held: Vec<u8> = it.held.iter().flat_map(|(_, buffer)| buffer.to_vec()).collect();
    assert!(held == bytes[..held.len()], "a held buffer has changed");
    while !it.held.is_empty() {
        let middle = it.held.len() / 2;
        it.held.swap_remove(middle);
    }
    it.hold = false;
    it.until("all of it", |it| it.received_of(two).len() == H::LARGE_BYTES && !it.sent.is_empty());
    assert!(it.received_of(two) == bytes, "the bytes differ");
    assert!(it.ended.is_empty(), "the service never sees that buffers ran out");
}

pub fn an_adopted_stream_is_a_connection<H: Harness>(it: &mut Driver<H>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let socket = match it.io().adopt(ours.into()) {
        Ok(socket) => socket,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let ended = theirs.read(&mut [0; 1]).unwrap();
            return assert_eq!(ended, 0, "it was closed");
        }
    };
    let token = it.token();
    it.receive(token, socket);
    theirs.write_all(b"who is there").unwrap();
    it.until("the question", |it| it.received_of(token) == b"who is there");
    it.send(token, socket, &pattern(10_000));
    it.until("sent", |it| it.sent == [(token.slot, Ok(10_000))]);
    let mut answer = vec![0; 10_000];
    theirs.read_exact(&mut answer).unwrap();
    assert_eq!(answer, pattern(10_000));
    drop(theirs);
    it.until("the end", |it| it.ended.contains(&(token.slot, Ended::Eof)));
    it.close(token, socket);
}

pub fn a_wait_ends_at_its_time<H: Harness>(it: &mut Driver<H>) {
    let start = it.io().now();
    let date = it.io().wall_clock();
    let until = start + Duration::from_millis(25);
    while it.io().now() < until {
        assert_eq!(it.wait(until), 0, "nothing was asked");
    }
    let late = it.io().now() - until;
    assert!(late < Duration::from_secs(6), "{late:?} late");
    assert!(it.io().wall_clock() > date);
    // A time that has passed is no wait at all.
    assert_eq!(it.wait(start), 0);
}

pub fn a_wait_is_bounded<H: Harness>(it: &mut Driver<H>) {
    const SENDS: usize = 700;
    let any = SocketAddr::from((LOOPBACK, 0));
    let (socket, address) = it.io().bind(any, BindOptions::default()).unwrap();
    let token = it.token();
    for _ in 0..SENDS {
        let payload = gather(vec![Piece::Static(b"tick")]);
        it.submit(token, Op::SendTo { socket, to: address, payload, segment_size: None });
    }
    // The driver counts the completions of every wait.
    it.until("all", |it| it.sent.len() == SENDS);
    assert!(it.sent.iter().all(|sent| *sent == (token.slot, Ok(4))));
    it.close(token, socket);
}
