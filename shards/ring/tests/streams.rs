//! Streams on the real ring: what only the kernel can get wrong with us.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::{accepted, close, local, open, owned, small, token, wait_at_most, wait_for};
use shards_ring::{RingConfig, UringIo};
use shards_runtime::{BindOptions, Completion, End, Gather, Io, Op, Piece, Socket};

fn listening(config: RingConfig) -> (UringIo, Socket, SocketAddr) {
    let mut io = open(config);
    let (acceptor, address) = io.listen(local(), BindOptions::default()).unwrap();
    io.submit(token(0), Op::Accept(acceptor));
    io.flush();
    (io, acceptor, address)
}

fn joined(config: RingConfig) -> (UringIo, Socket, TcpStream) {
    let (mut io, _, address) = listening(config);
    let client = TcpStream::connect(address).unwrap();
    let (socket, peer) = accepted(&mut io);
    assert_eq!(peer, client.local_addr().unwrap());
    (io, socket, client)
}

#[test]
fn the_probe_is_content_with_this_machine() {
    let report = UringIo::probe();
    assert!(report.is_usable(), "{report}");
    assert!(report.to_string().contains("answered through the ring"), "{report}");
}

#[test]
fn a_dual_stack_acceptor_shows_v4_peers_as_v4() {
    let mut io = open(small());
    let any: SocketAddr = "[::]:0".parse().unwrap();
    let (acceptor, bound) = io.listen(any, BindOptions::default()).unwrap();
    io.submit(token(0), Op::Accept(acceptor));
    io.flush();
    for host in ["127.0.0.1", "::1"] {
        let to = SocketAddr::new(host.parse().unwrap(), bound.port());
        let client = TcpStream::connect(to).unwrap();
        assert_eq!(accepted(&mut io).1, client.local_addr().unwrap());
    }
}

#[test]
fn options_are_refused_as_the_system_refuses_them() {
    let (mut io, _, address) = listening(small());
    let error = io.listen(address, BindOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let shared = BindOptions { shared: true, ..BindOptions::default() };
    let (_, bound) = io.listen(local(), shared).unwrap();
    assert_eq!(io.listen(bound, shared).unwrap().1, bound);
}

#[test]
fn pieces_of_every_kind_arrive_in_order() {
    let (mut io, socket, mut client) = joined(small());
    let block = Rc::new(Bytes::from((0..=255).collect::<Vec<u8>>()));
    let mut expected = Vec::new();
    for round in 0..50u32 {
        let mut gather = Gather::new();
        for piece in 0..round % 7 {
            let (start, end) = (round, round + piece * 20);
            gather.push(match piece % 3 {
                0 => Piece::Shared { block: Rc::clone(&block), start, end },
                1 => Piece::Owned(Bytes::from(vec![round as u8; piece as usize])),
                _ => Piece::Static(b"static"),
            });
        }
        expected.extend(gather.iter().flat_map(Piece::as_slice));
        let len: usize = gather.iter().map(|piece| piece.as_slice().len()).sum();
        io.submit(token(1), Op::Send(socket, gather));
        let sent = wait_for(&mut io, |completion| match completion {
            Completion::Sent { token: its, result } if its == token(1) => Some(result.unwrap()),
            other => panic!("{other:?}"),
        });
        assert_eq!(sent, Some(len));
    }
    close(&mut io, socket);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, expected);
    assert_eq!(Rc::strong_count(&block), 1, "nothing pins the block any more");
}

#[test]
fn a_send_larger_than_the_socket_takes_is_all() {
    for pieces in [1, 5] {
        let (mut io, socket, mut client) = joined(small());
        let bytes: Vec<u8> = (0..12_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
        let parts = bytes.chunks(bytes.len() / pieces).map(Bytes::copy_from_slice);
        let gather: Gather = parts.map(Piece::Owned).collect();
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; 12_000_000];
            for part in got.chunks_mut(600_000) {
                #[allow(clippy::disallowed_methods, reason = "a slow reader, for once")]
                std::thread::sleep(Duration::from_millis(5));
                client.read_exact(part).unwrap();
            }
            got
        });
        io.submit(token(1), Op::Send(socket, gather));
        let sent = wait_for(&mut io, |completion| match completion {
            Completion::Sent { result, .. } => Some(result.unwrap()),
            other => panic!("{other:?}"),
        });
        assert_eq!(sent, Some(bytes.len()));
        assert!(reader.join().unwrap() == bytes, "what is read is what was sent");
    }
}

#[test]
fn bytes_come_while_the_answer_to_the_first_ones_waits() {
    let (mut io, socket, mut client) = joined(small());
    io.submit(token(1), Op::Recv(socket));
    let received = |io: &mut UringIo| {
        wait_for(io, |completion| match completion {
            Completion::Received { buffer, .. } => Some(buffer.to_vec()),
            other => panic!("{other:?}"),
        })
    };
    client.write_all(b"a").unwrap();
    assert_eq!(received(&mut io), Some(b"a".to_vec()));
    // More than any socket takes: this send stays in flight for as long as nobody reads.
    io.submit(token(1), Op::Send(socket, owned(vec![7; 32 << 20])));
    for bytes in [b"b", b"c"] {
        client.write_all(bytes).unwrap();
        assert_eq!(received(&mut io), Some(bytes.to_vec()));
    }
    close(&mut io, socket);
}

#[test]
fn a_pause_behind_the_first_bytes_holds_and_goes_on() {
    let (mut io, socket, mut client) = joined(small());
    io.submit(token(1), Op::Recv(socket));
    client.write_all(b"a").unwrap();
    let is_received = |completion: Completion<_>| match completion {
        Completion::Received { .. } => Some(()),
        other => panic!("{other:?}"),
    };
    assert!(wait_for(&mut io, is_received).is_some());
    io.submit(token(1), Op::Pause(socket));
    let paused = wait_for(&mut io, |completion| match completion {
        Completion::Ended { end: End::Paused, .. } => Some(()),
        other => panic!("{other:?}"),
    });
    assert!(paused.is_some());
    client.write_all(b"b").unwrap();
    io.submit(token(1), Op::Recv(socket));
    assert!(wait_for(&mut io, is_received).is_some());
    close(&mut io, socket);
}

#[test]
fn close_ends_a_send_to_a_client_that_never_reads() {
    for pieces in [1, 3] {
        let (mut io, socket, client) = joined(small());
        let block = Rc::new(Bytes::from(vec![1; 20_000_000]));
        let shared = |_| Piece::Shared { block: Rc::clone(&block), start: 0, end: 20_000_000 };
        io.submit(token(1), Op::Recv(socket));
        io.submit(token(1), Op::Send(socket, (0..pieces).map(shared).collect()));
        let time = Duration::from_millis(100);
        assert!(wait_at_most(&mut io, time, Some).is_none(), "the send sleeps");
        io.submit(token(1), Op::Close(socket));
        let last = wait_for(&mut io, Some).expect("something comes");
        assert!(matches!(last, Completion::Closed { .. }), "{last:?}");
        assert_eq!(Rc::strong_count(&block), 1, "the kernel has let go");
        assert_eq!(io.counters().operations_in_flight, 1, "the accept alone");
        drop(client);
    }
}

#[test]
fn a_machine_that_goes_away_lets_go_of_everything() {
    let (mut io, socket, mut client) = joined(small());
    let block = Rc::new(Bytes::from(vec![1; 20_000_000]));
    let piece = Piece::Shared { block: Rc::clone(&block), start: 0, end: 20_000_000 };
    io.submit(token(1), Op::Recv(socket));
    io.submit(token(1), Op::Send(socket, Gather::from_iter([piece])));
    client.write_all(b"kept").unwrap();
    let mut buffer = wait_for(&mut io, |completion| match completion {
        Completion::Received { buffer, .. } => Some(buffer),
        other => panic!("{other:?}"),
    })
    .unwrap();
    drop(io);
    assert_eq!(Rc::strong_count(&block), 1);
    assert_eq!(&buffer[..], b"kept");
    buffer[0] = b'K';
    assert_eq!(&buffer[..], b"Kept", "a buffer outlives its machine");
    drop(buffer);
    let mut rest = Vec::new();
    let end = client.read_to_end(&mut rest);
    assert!(end.is_ok() || end.unwrap_err().kind() == ErrorKind::ConnectionReset, "closed");
}

#[test]
fn pause_holds_the_sender_back_and_loses_nothing() {
    let (mut io, socket, mut client) = joined(small());
    let bytes: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || client.write_all(&sent).map(|()| client));
    let mut got: Vec<u8> = Vec::new();
    let mut pauses = 0;
    io.submit(token(1), Op::Recv(socket));
    while got.len() < bytes.len() {
        let paused = wait_for(&mut io, |completion| match completion {
            Completion::Received { buffer, .. } => {
                got.extend_from_slice(&buffer);
                (got.len() == bytes.len()).then_some(false)
            }
            Completion::Ended { end: End::Paused, .. } => Some(true),
            other => panic!("{other:?}"),
        })
        .expect("bytes, or the pause");
        if paused {
            let time = Duration::from_millis(20);
            assert!(wait_at_most(&mut io, time, Some).is_none(), "silence while paused");
            io.submit(token(1), Op::Pause(socket));
            io.submit(token(1), Op::Recv(socket));
        }
        if got.len() < bytes.len() && pauses < 10 {
            pauses += 1;
            io.submit(token(1), Op::Pause(socket));
            io.submit(token(1), Op::Pause(socket));
        }
    }
    assert!(got == bytes, "all bytes, in order");
    drop(writer.join().unwrap());
}

#[test]
fn receive_asked_for_during_a_pause_goes_on_after_it() {
    let (mut io, socket, mut client) = joined(small());
    io.submit(token(1), Op::Recv(socket));
    assert!(wait_at_most(&mut io, Duration::from_millis(20), Some).is_none());
    io.submit(token(1), Op::Pause(socket));
    io.submit(token(1), Op::Recv(socket));
    client.write_all(b"x").unwrap();
    let mut seen = Vec::new();
    wait_for(&mut io, |completion| {
        seen.push(match completion {
            Completion::Ended { end: End::Paused, .. } => "paused",
            Completion::Received { .. } => "bytes",
            other => panic!("{other:?}"),
        });
        (seen.last() == Some(&"bytes") && seen.contains(&"paused")).then_some(())
    })
    .expect("both come");
}

#[test]
fn receiving_waits_when_no_buffer_is_free_and_goes_on_by_itself() {
    let config = RingConfig { stream_buffers_count: 2, stream_buffer_bytes: 1_000, ..small() };
    let (mut io, socket, mut client) = joined(config);
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 253) as u8).collect();
    client.write_all(&bytes).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    io.submit(token(1), Op::Recv(socket));
    let mut held = Vec::new();
    let nothing: Option<()> = wait_at_most(&mut io, Duration::from_millis(50), |completion| {
        match completion {
            Completion::Received { buffer, .. } => held.push(buffer),
            other => panic!("{other:?}"),
        }
        None
    });
    assert_eq!((nothing, held.len()), (None, 2), "both buffers are out, and that is that");
    let mut got: Vec<u8> = held.drain(..).flat_map(|buffer| buffer.to_vec()).collect();
    wait_for(&mut io, |completion| match completion {
        Completion::Received { buffer, .. } => {
            got.extend_from_slice(&buffer);
            None
        }
        Completion::Ended { end: End::Eof, .. } => Some(()),
        other => panic!("{other:?}"),
    })
    .expect("the end");
    assert!(got == bytes);
    assert!(io.counters().buffers_exhausted > 0);
}

#[test]
fn a_full_table_fails_accepts_and_the_acceptor_goes_on() {
    let (mut io, acceptor, address) = listening(RingConfig { sockets_max: 3, ..small() });
    let first: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let sockets = accept_all(&mut io, 2);
    let refused = TcpStream::connect(address).unwrap();
    let failed = wait_for(&mut io, |completion| match completion {
        Completion::AcceptFailed { token: its, .. } => Some(its),
        other => panic!("{other:?}"),
    });
    assert_eq!(failed, Some(token(0)));
    close(&mut io, sockets[0]);
    let later = TcpStream::connect(address).unwrap();
    assert_eq!(accepted(&mut io).1, later.local_addr().unwrap());
    close(&mut io, acceptor);
    drop((first, refused));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_wait_hands_out_a_bounded_number_and_the_rest_comes_next() {
    let config = RingConfig { sockets_max: 500, completions_max: 1_024, ..small() };
    let (mut io, _, address) = listening(config);
    let clients: Vec<_> = (0..400).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut counts = Vec::new();
    let mut completions = Vec::new();
    while counts.iter().sum::<usize>() < clients.len() {
        io.wait(None, &mut completions);
        counts.push(completions.len());
        completions.clear();
    }
    assert!(counts.iter().all(|&n| n <= shards_runtime::COMPLETIONS_PER_WAIT_MAX), "{counts:?}");
}

#[test]
fn connections_are_made_refused_and_given_up() {
    let mut io = open(small());
    let listener = TcpListener::bind(local()).unwrap();
    let address = listener.local_addr().unwrap();
    let connected = |io: &mut UringIo| {
        wait_for(io, |completion| match completion {
            Completion::Connected { token, result } => Some((token, result)),
            other => panic!("{other:?}"),
        })
        .expect("an answer")
    };

    io.submit(token(1), Op::Connect(address));
    let (its, result) = connected(&mut io);
    assert_eq!(its, token(1));
    let socket = result.unwrap();
    let (mut far, _) = listener.accept().unwrap();
    io.submit(token(1), Op::Send(socket, owned("hello")));
    let mut got = [0; 5];
    io.flush();
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    assert!(matches!(wait_for(&mut io, Some), Some(Completion::Sent { result: Ok(5), .. })));
    close(&mut io, socket);

    drop(listener);
    io.submit(token(2), Op::Connect(address));
    let (its, result) = connected(&mut io);
    assert_eq!((its, result.unwrap_err().kind()), (token(2), ErrorKind::ConnectionRefused));

    // A listening socket whose queue is full answers nobody.
    let (full, _fillers) = full_listener();
    for early in [true, false] {
        io.submit(token(3), Op::Connect(full.local_addr().unwrap()));
        if !early {
            assert!(wait_at_most(&mut io, Duration::from_millis(50), Some).is_none());
        }
        io.submit(token(3), Op::CancelConnect);
        let (its, result) = connected(&mut io);
        assert_eq!(its, token(3));
        assert!(result.is_err());
    }
    assert!(wait_at_most(&mut io, Duration::from_millis(50), Some).is_none());
    assert_eq!(io.counters().operations_in_flight, 0, "no socket is left behind");
}

fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let file = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&file, &local()).unwrap();
    listen(&file, 1).unwrap();
    let listener = TcpListener::from(file);
    let address = listener.local_addr().unwrap();
    let time = Duration::from_millis(100);
    let fillers = (0..8).map_while(|_| TcpStream::connect_timeout(&address, time).ok()).collect();
    (listener, fillers)
}

#[test]
fn a_small_submission_queue_is_no_limit() {
    let config = RingConfig { submissions_max: 2, completions_max: 4, ..small() };
    let (mut io, _, address) = listening(config);
    let mut clients: Vec<_> = (0..30).map(|_| TcpStream::connect(address).unwrap()).collect();
    let sockets = accept_all(&mut io, 30);
    for (n, &socket) in sockets.iter().enumerate() {
        io.submit(token(n as u32), Op::Recv(socket));
        io.submit(token(n as u32), Op::Send(socket, owned("ping")));
    }
    let mut sent = 0;
    wait_for(&mut io, |completion| {
        sent += u32::from(matches!(completion, Completion::Sent { result: Ok(4), .. }));
        (sent == 30).then_some(())
    })
    .expect("all are sent");
    for client in &mut clients {
        let mut got = [0; 4];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
    }
    for (n, &socket) in sockets.iter().enumerate() {
        io.submit(token(n as u32), Op::Close(socket));
    }
    let mut closed = 0;
    wait_for(&mut io, |completion| {
        closed += u32::from(matches!(completion, Completion::Closed { .. }));
        (closed == 30).then_some(())
    })
    .expect("all are closed");
}

/// Accepts `count` connections, which may all come in one wait.
fn accept_all(io: &mut UringIo, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::new();
    wait_for(io, |completion| {
        match completion {
            Completion::Accepted { socket, .. } => sockets.push(socket),
            other => panic!("{other:?}"),
        }
        (sockets.len() == count).then_some(())
    })
    .expect("all are accepted");
    sockets
}
