//! Receiving: one multishot operation for each socket that listens, into a pool of buffers that
//! all of them share.
//!
//! ```text
//! a datagram's buffer   [ kernel's header 16 ][ peer 28 ][ control 24 or 48 ][ payload ][ room ]
//!                         └──────── read, and then the holder's headroom ──┘
//! ```
//!
//! The first receive of a stream is for one piece alone, and the multishot follows a turn later.
//! Many connections bring one request and end with its answer; then no poll is armed for bytes that
//! never come, and nothing has to be cancelled.
//!
//! *Invariant:* while a socket is open and wanted, its receive is armed, waits in the list of
//! the starved, or is held for at most one turn; services never see the difference.

use std::io;

use io_uring::types::{Fixed, RecvMsgOut};
use io_uring::{cqueue, opcode, squeue};
use shards_runtime::{Completion, End, Socket, Token};

use crate::address::{self, ADDRESS_BYTES_MAX};
use crate::buffers::Buffer;
use crate::forward::is_from_network;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Ticket, empty_header};
use crate::sockets::{Kind, Receiving, SendState};

const KERNEL_HEADER_BYTES: u32 = 16;
/// One control message with a `u16`, an `i32` or a `u32`.
pub(crate) const CONTROL_BYTES: usize = 24;
/// Where the value of a control message lies, behind its length, level and type.
const CONTROL_VALUE_AT: usize = 16;

/// How a datagram lies in its buffer, told to the kernel with each receive.
pub(crate) struct DatagramShape {
    /// Boxed: the kernel is given its address.
    header: Box<libc::msghdr>,
}

impl DatagramShape {
    /// Datagrams may be `joined`. What a full queue has dropped may always be told.
    pub(crate) fn new(joined: bool) -> Self {
        let mut header = empty_header();
        header.msg_namelen = ADDRESS_BYTES_MAX as libc::socklen_t;
        header.msg_controllen = if joined { 2 * CONTROL_BYTES } else { CONTROL_BYTES };
        DatagramShape { header: Box::new(header) }
    }

    /// Bytes of a buffer before the payload.
    pub(crate) fn headroom_bytes(&self) -> u32 {
        KERNEL_HEADER_BYTES + self.header.msg_namelen + self.header.msg_controllen as u32
    }
}

impl UringIo {
    pub(crate) fn receive(&mut self, token: Token, socket: Socket) {
        let Some(slot) = self.slot(socket) else { return };
        let state = &mut self.sockets[slot as usize];
        match &mut state.receiving {
            Receiving::Idle => self.arm(slot, token),
            Receiving::Pausing { again, .. } => *again = Some(token),
            Receiving::Armed(_) | Receiving::Starved(_) | Receiving::Held(_) => {}
        }
    }

    pub(crate) fn pause(&mut self, token: Token, socket: Socket) {
        let Some(slot) = self.slot(socket) else { return };
        let state = &mut self.sockets[slot as usize];
        match &mut state.receiving {
            Receiving::Idle => {}
            Receiving::Starved(_) | Receiving::Held(_) => {
                state.receiving = Receiving::Idle;
                self.ready.push_back(Completion::Ended { token, end: End::Paused });
            }
            Receiving::Pausing { again, .. } => *again = None,
            &mut Receiving::Armed(ticket) => {
                state.receiving = Receiving::Pausing { ticket, again: None };
                self.cancel(ticket);
            }
        }
    }

    /// Arms receives that found no buffer, as many as there are buffers now.
    pub(crate) fn feed_starved(&mut self) {
        if self.starved.is_empty() {
            return;
        }
        let mut budgets =
            [self.stream_pool.free_count(), self.datagram_pool.free_count()].map(|n| n as u32);
        for _ in 0..self.starved.len() {
            let Some((socket, tenant)) = self.starved.pop_front() else { return };
            let state = &self.sockets[socket as usize];
            let Receiving::Starved(token) = state.receiving else { continue };
            if state.tenant != tenant || !state.is_open() {
                continue;
            }
            let budget = &mut budgets[usize::from(state.kind == Kind::Datagram)];
            if *budget == 0 {
                self.starved.push_back((socket, tenant));
                continue;
            }
            *budget -= 1;
            self.arm(socket, token);
        }
    }

    /// Arms receives whose first bytes were handed out. One with an answer on its way is kept for
    /// one more turn, unless `all` are to be armed: perhaps that answer is the last.
    pub(crate) fn arm_held(&mut self, all: bool) {
        for _ in 0..self.held.len() {
            let Some(held) = self.held.pop_front() else { return };
            let state = &self.sockets[held.socket as usize];
            let Receiving::Held(token) = state.receiving else { continue };
            if state.tenant != held.tenant || !state.is_open() {
                continue;
            }
            if state.sending != SendState::Idle && !held.is_kept && !all {
                self.held.push_back(Held { is_kept: true, ..held });
            } else {
                self.arm(held.socket, token);
            }
        }
    }

    pub(crate) fn on_receive(
        &mut self,
        ticket: Ticket,
        (socket, token): (u32, Token),
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let state = &self.sockets[socket as usize];
        let (open, kind) = (state.is_open(), state.kind);
        if let Some(id) = cqueue::buffer_select(event.flags) {
            let pool = if kind == Kind::Datagram { &self.datagram_pool } else { &self.stream_pool };
            let buffer = pool.lend(id, event.result.max(0) as usize);
            if !open {
                drop(buffer);
            } else if kind == Kind::Datagram {
                completions.extend(self.datagram(socket, token, buffer));
            } else if event.result > 0 {
                completions.push(Completion::Received { token, buffer });
            }
        }
        if !cqueue::more(event.flags) {
            self.on_receive_over(ticket, (socket, token), event.result, completions);
        }
    }

    /// The multishot is over; decides whether receiving is.
    fn on_receive_over(
        &mut self,
        ticket: Ticket,
        (socket, token): (u32, Token),
        result: i32,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        self.finish(socket, ticket);
        let state = &mut self.sockets[socket as usize];
        let was = std::mem::replace(&mut state.receiving, Receiving::Idle);
        if !state.is_open() {
            self.close_when_quiet(socket);
            return;
        }
        let reports = state.reports_icmp && result < 0;
        if reports && state.kind == Kind::Datagram && is_from_network(-result) {
            self.read_errors(socket);
        }
        let state = &mut self.sockets[socket as usize];
        let end = match verdict(state.kind, result) {
            Verdict::End(end) => end,
            Verdict::Starved if matches!(was, Receiving::Armed(_)) => {
                state.receiving = Receiving::Starved(token);
                self.counters.buffers_exhausted += 1;
                self.starved.push_back((socket, self.sockets[socket as usize].tenant));
                return;
            }
            Verdict::GoOn if matches!(was, Receiving::Armed(_)) => {
                if state.kind == Kind::Stream && result > 0 {
                    state.receiving = Receiving::Held(token);
                    self.held.push_back(Held { socket, tenant: state.tenant, is_kept: false });
                } else {
                    self.arm(socket, token);
                }
                return;
            }
            Verdict::GoOn | Verdict::Starved => End::Paused,
        };
        completions.push(Completion::Ended { token, end });
        if let Receiving::Pausing { again: Some(token), .. } = was {
            self.arm(socket, token);
        }
    }

    /// Reads what the kernel wrote before the payload. `None`, and the buffer goes back, when the
    /// datagram did not fit.
    fn datagram(
        &mut self,
        socket: u32,
        token: Token,
        buffer: Buffer,
    ) -> Option<Completion<Buffer>> {
        let out = RecvMsgOut::parse(&buffer, &self.datagram_shape.header).ok()?;
        if out.is_payload_truncated() {
            self.counters.datagrams_too_long += 1;
            return None;
        }
        let peer = address::read(out.name_data())?;
        let payload_bytes = out.payload_data().len();
        let control = out.control_data();
        let mut segment_size = None;
        if !control.is_empty() {
            segment_size = control_value(control, libc::SOL_UDP, libc::UDP_GRO)
                .and_then(|size| u16::try_from(size).ok())
                .filter(|&size| size > 0 && usize::from(size) < payload_bytes);
            if let Some(dropped) = control_value(control, libc::SOL_SOCKET, libc::SO_RXQ_OVFL) {
                let before =
                    std::mem::replace(&mut self.sockets[socket as usize].overflowed, dropped);
                self.counters.datagrams_overflowed += u64::from(dropped.wrapping_sub(before));
            }
        }
        let start = self.datagram_shape.headroom_bytes() as usize;
        let buffer = buffer.narrow(start..start + payload_bytes);
        Some(Completion::ReceivedFrom { token, peer, buffer, segment_size })
    }

    fn arm(&mut self, socket: u32, token: Token) {
        let ticket = self.operations.insert(Operation::Receive { socket, token });
        let state = &mut self.sockets[socket as usize];
        assert_ne!(state.kind, Kind::Acceptor, "an acceptor receives no bytes");
        state.receiving = Receiving::Armed(ticket);
        let entry: squeue::Entry = if state.kind == Kind::Datagram {
            let header = &raw const *self.datagram_shape.header;
            opcode::RecvMsgMulti::new(Fixed(socket), header, self.datagram_pool.group()).build()
        } else {
            let group = self.stream_pool.group();
            if std::mem::take(&mut state.is_fresh) {
                opcode::Recv::new(Fixed(socket), std::ptr::null_mut(), 0)
                    .buf_group(group)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            } else {
                opcode::RecvMulti::new(Fixed(socket), group).build()
            }
        };
        // SAFETY: the header belongs to the machine, is boxed, and is never changed.
        unsafe { self.start(socket, ticket, entry) };
    }
}

/// A receive that has brought the first bytes of a stream and is to be armed again.
pub(crate) struct Held {
    socket: u32,
    tenant: u32,
    is_kept: bool,
}

enum Verdict {
    /// The multishot ended by itself, or was cancelled.
    GoOn,
    /// No buffer was free.
    Starved,
    End(End),
}

fn verdict(kind: Kind, result: i32) -> Verdict {
    match -result {
        libc::ENOBUFS => Verdict::Starved,
        libc::ECANCELED | libc::EINTR | libc::EAGAIN => Verdict::GoOn,
        0 if kind == Kind::Stream => Verdict::End(End::Eof),
        // What an earlier datagram of ours met on its way says nothing about the next one.
        code if kind == Kind::Datagram && is_from_network(code) => Verdict::GoOn,
        code if code > 0 => Verdict::End(End::Failed(io::Error::from_raw_os_error(code))),
        _ => Verdict::GoOn,
    }
}

/// The value of a control message of that level and type, if it is among them.
fn control_value(mut control: &[u8], level: i32, name: i32) -> Option<u32> {
    while let Some(head) = control.get(..CONTROL_VALUE_AT + 4) {
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        if i32::from_ne_bytes(word(8)) == level && i32::from_ne_bytes(word(12)) == name {
            return Some(u32::from_ne_bytes(word(CONTROL_VALUE_AT)));
        }
        control = control.get(CONTROL_BYTES..).unwrap_or_default();
    }
    None
}
