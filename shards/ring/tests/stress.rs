//! Many connections at once with everything that can go wrong: an echo server with hardly any
//! buffers that pauses, keeps buffers and closes at random, and clients that are slow, or leave.
//! Whatever a client gets back is what it sent, a faithful one gets all of it, and nothing leaks.

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use common::{Dice, local, owned, small};
use shards_ring::{Buffer, RingConfig, RingGroup, UringIo};
use shards_runtime::{BindOptions, Completion, End, Io, Op, ShardId, Slab, Socket, Token};

const THREADS: usize = 4;
const SESSIONS_PER_THREAD: usize = 60;

struct Connection {
    socket: Socket,
    queue: VecDeque<Bytes>,
    sending: bool,
    /// Nothing more comes in.
    last_word: bool,
    /// Nothing more comes in, or goes out.
    ended: bool,
    paused: bool,
    closing: bool,
    may_be_closed: bool,
}

struct Server {
    io: UringIo,
    connections: Slab<Connection>,
    kept: Vec<Buffer>,
    dice: Dice,
    served: usize,
}

impl Server {
    fn on(&mut self, completion: Completion<Buffer>) {
        match completion {
            Completion::Accepted { socket, .. } => {
                let may_be_closed = self.dice.roll(3) == 0;
                let token = self.connections.insert(Connection {
                    socket,
                    queue: VecDeque::new(),
                    sending: false,
                    last_word: false,
                    ended: false,
                    paused: false,
                    closing: false,
                    may_be_closed,
                });
                let token = token.ok().expect("the table is smaller than the slab");
                self.io.submit(token, Op::Recv(socket));
            }
            Completion::AcceptFailed { .. } => {}
            Completion::Received { token, mut buffer } => {
                let connection = self.connections.get_mut(token).expect("alive until Closed");
                assert!(!connection.last_word, "nothing after the end");
                if connection.closing {
                    // Collected before the close was asked for.
                    return;
                }
                buffer.iter_mut().for_each(|byte| *byte ^= 0xff);
                connection.queue.push_back(Bytes::copy_from_slice(&buffer));
                if self.kept.len() < 3 && self.dice.roll(4) == 0 {
                    self.kept.push(buffer);
                } else if self.dice.roll(3) == 0 && !self.kept.is_empty() {
                    let at = self.dice.roll(self.kept.len() as u64) as usize;
                    self.kept.swap_remove(at);
                }
                self.pump(token);
                self.mischief(token);
            }
            Completion::Ended { token, end } => {
                let connection = self.connections.get_mut(token).expect("alive until Closed");
                match end {
                    End::Paused => {
                        connection.paused = false;
                        self.io.submit(token, Op::Recv(connection.socket));
                    }
                    End::Eof | End::Failed(_) => {
                        connection.last_word = true;
                        connection.ended = true;
                        self.pump(token);
                    }
                }
            }
            Completion::Sent { token, result } => {
                let connection = self.connections.get_mut(token).expect("alive until Closed");
                connection.sending = false;
                if result.is_err() {
                    connection.queue.clear();
                    connection.ended = true;
                }
                self.pump(token);
            }
            Completion::Closed { token } => {
                let connection = self.connections.remove(token).expect("closed once");
                assert!(connection.closing);
                self.served += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends what is queued, in one go; closes when there is nothing more to come.
    fn pump(&mut self, token: Token) {
        let connection = self.connections.get_mut(token).expect("alive until Closed");
        if connection.closing || connection.sending {
            return;
        }
        if !connection.queue.is_empty() {
            let count = connection.queue.len().min(1 + self.dice.roll(5) as usize);
            let gather = connection.queue.drain(..count).flat_map(owned).collect();
            connection.sending = true;
            self.io.submit(token, Op::Send(connection.socket, gather));
        } else if connection.ended {
            connection.closing = true;
            self.io.submit(token, Op::Close(connection.socket));
        }
    }

    fn mischief(&mut self, token: Token) {
        let connection = self.connections.get_mut(token).expect("alive until Closed");
        if connection.closing {
            return;
        }
        if self.dice.roll(40) == 0 && !connection.paused {
            connection.paused = true;
            self.io.submit(token, Op::Pause(connection.socket));
        }
        if connection.may_be_closed && self.dice.roll(60) == 0 {
            connection.closing = true;
            self.io.submit(token, Op::Close(connection.socket));
        }
    }
}

/// Returns whether all came back.
fn session(address: SocketAddr, dice: &mut Dice) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let size = 1 + dice.roll(200_000) as usize;
    let bytes: Vec<u8> = (0..size).map(|n| (n as u64 * 31 + size as u64) as u8).collect();
    let leaves_at = if dice.roll(5) == 0 { dice.roll(size as u64) as usize } else { usize::MAX };
    let slow = dice.roll(4) == 0;
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || {
        let _ = writer.write_all(&sent);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let mut got = 0;
    let mut room = [0; 20_000];
    loop {
        if slow {
            #[allow(clippy::disallowed_methods, reason = "a slow reader")]
            std::thread::sleep(Duration::from_millis(1));
        }
        match stream.read(&mut room) {
            Ok(0) => break,
            Ok(count) => {
                let same = room[..count].iter().zip(&bytes[got..]).all(|(a, b)| *a == !*b);
                assert!(same && got + count <= size, "what comes back is what was sent");
                got += count;
            }
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server is stuck");
                break;
            }
        }
        if got >= leaves_at {
            let _ = stream.shutdown(Shutdown::Both);
            break;
        }
    }
    writing.join().unwrap();
    got == size
}

fn open_files_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn echo_under_mischief() {
    let files_before = open_files_count();
    let config = RingConfig {
        submissions_max: 16,
        completions_max: 32,
        sockets_max: 24,
        stream_buffers_count: 5,
        stream_buffer_bytes: 1_500,
        ..small()
    };
    let mut io = RingGroup::new(2).unwrap().open(ShardId(0), config).unwrap();
    let (acceptor, address) = io.listen(local(), BindOptions::default()).unwrap();
    let acceptor_token = Token { slot: u32::MAX, generation: 0 };
    io.submit(acceptor_token, Op::Accept(acceptor));
    let complete = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(Barrier::new(THREADS));
    let clients: Vec<_> = (0..THREADS)
        .map(|n| {
            let complete = Arc::clone(&complete);
            let started = Arc::clone(&started);
            std::thread::spawn(move || {
                started.wait();
                let mut dice = Dice(0x9e37_79b9 + n as u64);
                for _ in 0..SESSIONS_PER_THREAD {
                    let all = session(address, &mut dice);
                    complete.fetch_add(usize::from(all), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let dice = Dice(42);
    let connections = Slab::new(64);
    let mut server = Server { io, connections, kept: Vec::new(), dice, served: 0 };
    let mut completions = Vec::new();
    while !clients.iter().all(JoinHandle::is_finished) || !server.connections.is_empty() {
        let until = server.io.now() + Duration::from_millis(20);
        server.io.wait(Some(until), &mut completions);
        for completion in completions.drain(..) {
            server.on(completion);
        }
        if server.io.since_wait() > Duration::from_millis(15) || server.kept.len() == 3 {
            server.kept.clear();
        }
    }
    for client in clients {
        client.join().expect("no client saw a wrong byte");
    }
    let Server { mut io, kept, served, .. } = server;
    assert_eq!(served, THREADS * SESSIONS_PER_THREAD, "ten times the table went through it");
    let complete = complete.load(Ordering::Relaxed);
    assert!(complete > served / 3, "{complete} of {served} sessions got all of it");
    assert!(io.counters().buffers_exhausted > 0, "five buffers were too few at times");
    assert_eq!(io.counters().operations_in_flight, 1, "the accept alone");
    io.submit(acceptor_token, Op::Close(acceptor));
    io.wait(None, &mut completions);
    assert!(matches!(completions[..], [Completion::Closed { token }] if token == acceptor_token));
    assert_eq!(io.counters().operations_in_flight, 0);
    drop(completions);
    drop(io);
    drop(kept);
    assert_eq!(open_files_count(), files_before, "no descriptor is left");
}
