//! A service that remembers all it is told, and checks what must hold whatever is tested.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use shards_runtime::{
    BindOptions, COMPLETIONS_PER_WAIT_MAX, Completion, End, Gather, HEADROOM_BYTES, Icmp, Io, Op,
    Piece, ReceiveBuffer, Socket, TAILROOM_BYTES, Token,
};

/// A machine, and how to let time pass on it.
pub trait Harness {
    /// The machine.
    type Machine: Io;

    /// How long a case waits for what has to come.
    const PATIENCE: Duration;

    /// Long enough for what takes a while over loopback.
    const A_WHILE: Duration;

    /// More than all the buffers between two ends hold.
    const LARGE_BYTES: usize;

    /// The machine.
    fn io(&mut self) -> &mut Self::Machine;

    /// Waits as [`Io::wait`] does, also where nothing sleeps.
    fn wait(&mut self, until: Instant) -> Vec<Completion<BufferOf<Self>>>;
}

/// The received buffers of a harness's machine.
pub type BufferOf<H> = <<H as Harness>::Machine as Io>::Buffer;

/// How receiving ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Eof,
    Paused,
    Failed(io::ErrorKind),
}

/// A machine and everything that it has told so far, by token slot.
pub struct Driver<H: Harness> {
    harness: H,
    /// Whether received buffers are kept in `held` instead of given back.
    pub hold: bool,
    pub held: Vec<(u32, BufferOf<H>)>,
    pub received: BTreeMap<u32, Vec<u8>>,
    pub datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Whether datagrams are kept in `kept`, cut into segments with room, instead of noted.
    pub keep: bool,
    /// By token slot, with who sent it.
    pub kept: VecDeque<(u32, SocketAddr, BufferOf<H>)>,
    pub icmps: VecDeque<(u32, SocketAddr, Icmp)>,
    pub accepted: VecDeque<(Socket, SocketAddr)>,
    pub connected: VecDeque<(u32, Result<Socket, io::ErrorKind>)>,
    pub sent: VecDeque<(u32, Result<usize, io::ErrorKind>)>,
    pub ended: VecDeque<(u32, Ended)>,
    pub closed: BTreeSet<u32>,
    receiving: BTreeSet<u32>,
    slot_next: u32,
}

impl<H: Harness> Driver<H> {
    pub fn new(harness: H) -> Self {
        Driver {
            harness,
            hold: false,
            held: Vec::new(),
            received: BTreeMap::new(),
            datagrams: VecDeque::new(),
            keep: false,
            kept: VecDeque::new(),
            icmps: VecDeque::new(),
            accepted: VecDeque::new(),
            connected: VecDeque::new(),
            sent: VecDeque::new(),
            ended: VecDeque::new(),
            closed: BTreeSet::new(),
            receiving: BTreeSet::new(),
            slot_next: 0,
        }
    }

    pub fn io(&mut self) -> &mut H::Machine {
        self.harness.io()
    }

    /// A token that nobody has had.
    pub fn token(&mut self) -> Token {
        self.slot_next += 1;
        Token { slot: self.slot_next, generation: 7 }
    }

    pub fn submit(&mut self, token: Token, op: Op) {
        self.io().submit(token, op);
    }

    pub fn receive(&mut self, token: Token, socket: Socket) {
        assert!(self.receiving.insert(token.slot), "the case receives twice");
        self.submit(token, Op::Recv(socket));
    }

    pub fn send(&mut self, token: Token, socket: Socket, bytes: &[u8]) {
        let piece = Piece::Owned(bytes::Bytes::copy_from_slice(bytes));
        self.submit(token, Op::Send(socket, Gather::from_iter([piece])));
    }

    /// One wait, at most until then; how many completions it gave.
    pub fn wait(&mut self, until: Instant) -> usize {
        let completions = self.harness.wait(until);
        let count = completions.len();
        assert!(count <= COMPLETIONS_PER_WAIT_MAX, "{count} completions in one wait");
        for completion in completions {
            self.note(completion);
        }
        count
    }

    /// Waits until it is so.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let give_up = self.io().now() + H::PATIENCE;
        while !is_so(self) {
            let is_late = self.io().now() >= give_up;
            assert!(!is_late, "it never came: {what}");
            self.wait(give_up);
        }
    }

    /// Lets time pass, and notes what happens.
    pub fn pass(&mut self, time: Duration) {
        let end = self.io().now() + time;
        while self.io().now() < end {
            self.wait(end);
        }
    }

    /// A listening socket that accepts; where, its token and itself.
    pub fn listen(&mut self, backlog: u32) -> (SocketAddr, Token, Socket) {
        let options = BindOptions { backlog, ..BindOptions::default() };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (socket, address) = self.io().listen(any, options).unwrap();
        assert_ne!(address.port(), 0);
        (address, self.token(), socket)
    }

    /// Both ends of a connection, each with its token: who connected and who accepted.
    pub fn pair(&mut self) -> ((Token, Socket), (Token, Socket)) {
        let (address, acceptor_token, acceptor) = self.listen(0);
        self.submit(acceptor_token, Op::Accept(acceptor));
        let token = self.token();
        self.submit(token, Op::Connect(address));
        self.until("both ends", |it| !it.accepted.is_empty() && !it.connected.is_empty());
        self.submit(acceptor_token, Op::Close(acceptor));
        self.until("no acceptor", |it| it.closed.contains(&acceptor_token.slot));
        let (slot, connected) = self.connected.pop_front().unwrap();
        assert_eq!(slot, token.slot);
        let (accepted, _) = self.accepted.pop_front().unwrap();
        let accepted_token = self.token();
        ((token, connected.unwrap()), (accepted_token, accepted))
    }

    pub fn close(&mut self, token: Token, socket: Socket) {
        self.submit(token, Op::Close(socket));
        self.until("closed", |it| it.closed.contains(&token.slot));
    }

    pub fn received_of(&self, token: Token) -> &[u8] {
        self.received.get(&token.slot).map_or(&[], Vec::as_slice)
    }

    /// What must hold in every case: nothing after `Closed`, nothing received that was not asked
    /// for, never an empty buffer, and every token as it was given.
    fn note(&mut self, completion: Completion<BufferOf<H>>) {
        let slot = |token: Token| {
            assert_eq!(token.generation, 7);
            token.slot
        };
        let slot = match completion {
            Completion::Accepted { token, socket, peer } => {
                self.accepted.push_back((socket, peer));
                slot(token)
            }
            Completion::AcceptFailed { error, .. } => panic!("accept failed: {error}"),
            Completion::Received { token, buffer } => {
                assert!(!buffer.is_empty());
                assert!(self.receiving.contains(&token.slot), "received and not asked");
                self.received.entry(token.slot).or_default().extend_from_slice(&buffer);
                if self.hold {
                    self.held.push((token.slot, buffer));
                }
                slot(token)
            }
            Completion::ReceivedFrom { token, peer, buffer, segment_size } if self.keep => {
                let kept = &mut self.kept;
                buffer.segments(segment_size, HEADROOM_BYTES, |segment| {
                    kept.push_back((token.slot, peer, segment));
                });
                slot(token)
            }
            Completion::Icmp { token, peer, icmp } => {
                self.icmps.push_back((token.slot, peer, icmp));
                slot(token)
            }
            Completion::ReceivedFrom { token, peer, mut buffer, segment_size } => {
                let (room, data) = buffer.with_room();
                assert!(data.start >= HEADROOM_BYTES, "no room before a datagram");
                assert!(room.len() - data.end >= TAILROOM_BYTES, "no room behind a datagram");
                let size = segment_size.map_or(buffer.len(), usize::from).max(1);
                let datagrams = buffer.chunks(size).map(|payload| (peer, payload.to_vec()));
                self.datagrams.extend(datagrams);
                slot(token)
            }
            Completion::Ended { token, end } => {
                let end = match end {
                    End::Eof => Ended::Eof,
                    End::Paused => Ended::Paused,
                    End::Failed(error) => Ended::Failed(error.kind()),
                };
                assert!(self.receiving.remove(&token.slot), "ended ({end:?}) and not asked");
                self.ended.push_back((token.slot, end));
                slot(token)
            }
            Completion::Sent { token, result } => {
                self.sent.push_back((token.slot, result.map_err(|error| error.kind())));
                slot(token)
            }
            Completion::Connected { token, result } => {
                self.connected.push_back((token.slot, result.map_err(|error| error.kind())));
                slot(token)
            }
            Completion::Closed { token } => {
                assert!(self.closed.insert(token.slot), "closed twice");
                self.receiving.remove(&token.slot);
                slot(token);
                return;
            }
        };
        assert!(!self.closed.contains(&slot), "a completion after Closed");
    }
}
