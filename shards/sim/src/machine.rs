//! The state of one machine: its descriptor table, what was asked of it, and what is done.
//!
//! *Invariants.* What a socket receives is handed out in order, its end after all of it, and its
//! `Closed` after everything else. A descriptor's number is free again only when its `Closed` has
//! been handed out.

use std::collections::{BTreeMap, BTreeSet};

use shards_runtime::{Completion, Forward, Gather, IoCounters, Op, ShardId, Socket, Token};

use crate::buffer::{Pool, SimBuffer};
use crate::check::Tenants;
use crate::errno;
use crate::world::State;

/// The most descriptors of a machine; accepting beyond it fails.
const SOCKETS_MAX: usize = 65_536;

/// Receive buffers of a machine, for streams and as many again for datagrams.
const BUFFERS_MAX: usize = 256;

/// Which machine, among all of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MachineId(pub(crate) usize);

pub(crate) struct Machine {
    pub(crate) node: usize,
    pub(crate) shard: ShardId,
    pub(crate) alive: bool,
    /// Asked for and not handed to the kernel yet.
    pub(crate) submitted: Vec<Asked>,
    pub(crate) sockets: Vec<Option<Descriptor>>,
    /// Attempts to connect in flight, with their connections.
    pub(crate) connecting: Vec<(Token, u64)>,
    /// By due time and sequence number.
    pub(crate) done: BTreeMap<(u64, u64), Done>,
    /// Until when the last wait wanted to sleep.
    pub(crate) until_ns: Option<u64>,
    pub(crate) has_waited: bool,
    pub(crate) rung: bool,
    pub(crate) stream_pool: Pool,
    pub(crate) datagram_pool: Pool,
    /// Sockets whose receiving waits for a buffer.
    pub(crate) starved: BTreeSet<u32>,
    pub(crate) tenants: Tenants,
    pub(crate) counters: IoCounters,
}

pub(crate) enum Asked {
    Op(Token, Op),
    Forward(Forward<SimBuffer>),
    Doorbell(ShardId),
}

pub(crate) struct Done {
    pub(crate) completion: Completion<SimBuffer>,
    pub(crate) socket: Option<u32>,
}

pub(crate) struct Descriptor {
    pub(crate) kind: Kind,
    /// The service has asked for the close; nothing may be asked after it.
    pub(crate) close_asked: bool,
    /// It has asked for the last send and the close behind it; a close may cut that short.
    pub(crate) finish_asked: bool,
    /// The service has a send whose `Sent` it has not seen.
    pub(crate) send_asked: bool,
    /// The kernel has begun to close it.
    pub(crate) closing: bool,
    receive_due_ns: u64,
    last_due_ns: u64,
}

pub(crate) enum Kind {
    Stream(Stream),
    /// By its number in the world.
    Acceptor(u64),
    /// By its number in the world.
    Datagram(u64),
}

#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) connection: u64,
    pub(crate) side: usize,
    pub(crate) receiving: Option<Token>,
    pub(crate) receive_hold_ns: u64,
    pub(crate) sending: Option<Sending>,
    pub(crate) send_hold_ns: u64,
    /// A send has reported the failure of the connection already.
    pub(crate) send_failed: bool,
}

/// A send in flight; it keeps the memory alive.
pub(crate) struct Sending {
    pub(crate) token: Token,
    pub(crate) total: usize,
    /// Counted as one that was continued.
    pub(crate) counted: bool,
    /// The socket is closed behind it.
    pub(crate) is_last: bool,
    gather: Gather,
    sent: usize,
}

/// Which order a completion keeps with others of its socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// After everything received before.
    Receiving,
    /// Free among those of other lanes.
    Sending,
    /// Free.
    Other,
    /// After everything.
    Closing,
}

impl Kind {
    pub(crate) fn stream(connection: u64, side: usize) -> Kind {
        Kind::Stream(Stream { connection, side, ..Stream::default() })
    }
}

impl Descriptor {
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream(_))
    }
}

impl Sending {
    pub(crate) fn new(token: Token, gather: Gather) -> Sending {
        let total = gather.iter().map(|piece| piece.as_slice().len()).sum();
        Sending { token, total, counted: false, is_last: false, gather, sent: 0 }
    }

    pub(crate) fn last(token: Token, gather: Gather) -> Sending {
        Sending { is_last: true, ..Sending::new(token, gather) }
    }

    pub(crate) fn left(&self) -> usize {
        self.total - self.sent
    }

    /// The next bytes; they count as sent.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        let mut skip = self.sent;
        for piece in &self.gather {
            let piece = piece.as_slice();
            let start = skip.min(piece.len());
            let end = (start + count - bytes.len()).min(piece.len());
            bytes.extend_from_slice(&piece[start..end]);
            skip -= start;
        }
        assert_eq!(bytes.len(), count, "a send has fewer bytes left than were taken");
        self.sent += count;
        bytes
    }
}

impl Machine {
    pub(crate) fn new(node: usize, shard: ShardId) -> Machine {
        Machine {
            node,
            shard,
            alive: true,
            submitted: Vec::new(),
            sockets: Vec::new(),
            connecting: Vec::new(),
            done: BTreeMap::new(),
            until_ns: None,
            has_waited: false,
            rung: false,
            stream_pool: Pool::new(BUFFERS_MAX),
            datagram_pool: Pool::new(BUFFERS_MAX),
            starved: BTreeSet::new(),
            tenants: Tenants::default(),
            counters: IoCounters::default(),
        }
    }

    /// Takes the lowest free descriptor, as the kernel does.
    pub(crate) fn allocate(&mut self, kind: Kind) -> Result<Socket, i32> {
        let free = self.sockets.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sockets.len());
        if index >= SOCKETS_MAX {
            return Err(errno::ENFILE);
        }
        if index == self.sockets.len() {
            self.sockets.push(None);
        }
        self.sockets[index] = Some(Descriptor {
            kind,
            close_asked: false,
            finish_asked: false,
            send_asked: false,
            closing: false,
            receive_due_ns: 0,
            last_due_ns: 0,
        });
        Ok(Socket(u32::try_from(index).expect("at most SOCKETS_MAX")))
    }

    /// A descriptor in use.
    pub(crate) fn descriptor(&mut self, socket: u32) -> Option<&mut Descriptor> {
        self.sockets.get_mut(socket as usize)?.as_mut()
    }

    /// A stream that is not being closed.
    pub(crate) fn stream(&self, socket: u32) -> Option<&Stream> {
        match self.sockets.get(socket as usize)?.as_ref()? {
            Descriptor { kind: Kind::Stream(stream), closing: false, .. } => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn stream_mut(&mut self, socket: u32) -> Option<&mut Stream> {
        match self.descriptor(socket)? {
            Descriptor { kind: Kind::Stream(stream), closing: false, .. } => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn is_ready(&self, now_ns: u64) -> bool {
        let done = self.done.first_key_value().is_some_and(|(&(due_ns, _), _)| due_ns <= now_ns);
        let fed = !self.starved.is_empty()
            && (self.stream_pool.has_room() || self.datagram_pool.has_room());
        self.alive
            && (!self.has_waited
                || self.rung
                || done
                || fed
                || !self.submitted.is_empty()
                || self.until_ns.is_some_and(|until_ns| until_ns <= now_ns))
    }

    /// When this machine becomes ready by itself, if that is later than now.
    pub(crate) fn wakes_after(&self, now_ns: u64) -> Option<u64> {
        let due_ns = self.done.range((now_ns + 1, 0)..).next().map(|(&(due_ns, _), _)| due_ns);
        let until_ns = self.until_ns.filter(|&until_ns| until_ns > now_ns);
        due_ns.into_iter().chain(until_ns).min()
    }

    pub(crate) fn operations_in_flight(&self) -> usize {
        let streams = self.sockets.iter().flatten().map(|descriptor| match &descriptor.kind {
            Kind::Stream(stream) => {
                usize::from(stream.receiving.is_some()) + usize::from(stream.sending.is_some())
            }
            Kind::Acceptor(_) | Kind::Datagram(_) => 1,
        });
        self.connecting.len() + streams.sum::<usize>()
    }
}

impl State {
    /// Makes a completion, due now or, with a fault, later.
    pub(crate) fn complete(
        &mut self,
        machine: usize,
        socket: Option<u32>,
        lane: Lane,
        completion: Completion<SimBuffer>,
    ) {
        let delay = self.faults.completion_delay;
        let mut due_ns = self.now_ns + self.draw_delay_ns(delay).unwrap_or(0);
        let sequence = self.sequence();
        let it = &mut self.machines[machine];
        if let Some(descriptor) = socket.and_then(|socket| it.descriptor(socket)) {
            match lane {
                Lane::Receiving => {
                    due_ns = due_ns.max(descriptor.receive_due_ns);
                    descriptor.receive_due_ns = due_ns;
                }
                Lane::Closing => due_ns = due_ns.max(descriptor.last_due_ns),
                Lane::Sending | Lane::Other => {}
            }
            descriptor.last_due_ns = descriptor.last_due_ns.max(due_ns);
        }
        it.done.insert((due_ns, sequence), Done { completion, socket });
    }

    /// Moves what can be moved on a machine's socket.
    pub(crate) fn pump(&mut self, machine: usize, socket: u32) {
        let Some(descriptor) = self.machines[machine].descriptor(socket) else { return };
        match descriptor.kind {
            Kind::Stream(_) => {
                self.pump_receive(machine, socket);
                self.pump_send(machine, socket);
            }
            Kind::Acceptor(id) => self.pump_accept(id),
            Kind::Datagram(id) => self.pump_datagrams(id),
        }
    }

    /// A stream that is known to be there.
    pub(crate) fn stream(&mut self, machine: usize, socket: u32) -> &mut Stream {
        self.machines[machine].stream_mut(socket).expect("the caller's stream")
    }
}
