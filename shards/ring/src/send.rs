//! Sending: one `SEND` when there is one piece, one `SENDMSG` when there are several or when it
//! goes to an address.
//!
//! `MSG_WAITALL` makes the kernel go on by itself when a socket's buffer is full. Should it still
//! come back early, the machine continues.
//!
//! *Invariant:* the gather is in the operation table, untouched, from here to the last event.

use std::io;
use std::net::SocketAddr;

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};
use shards_runtime::{Completion, Gather, PIECES_PER_SEND_MAX, Socket, Token};

use crate::buffers::Buffer;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Pinned, Sending, Ticket};
use crate::prompt::PROMPT_BYTES_MAX;
use crate::receive::CONTROL_BYTES;
use crate::sockets::{Kind, SendState};

pub(crate) const STREAM_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// See `prompt.rs`.
pub(crate) const PROMPT_FLAGS: i32 = STREAM_FLAGS | libc::MSG_DONTWAIT;
/// A datagram that the socket has no room for is an error and not a wait.
const DATAGRAM_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

impl UringIo {
    pub(crate) fn send(&mut self, token: Token, socket: Socket, gather: Gather) {
        let Some(slot) = self.slot(socket) else { return };
        let state = &self.sockets[slot as usize];
        assert!(state.sending == SendState::Idle, "one send at a time for each stream");
        debug_assert_eq!(state.kind, Kind::Stream);
        assert!(gather.len() <= PIECES_PER_SEND_MAX, "a send has a bounded number of pieces");
        let total = gather.iter().map(|piece| piece.as_slice().len()).sum();
        if total == 0 {
            self.ready.push_back(Completion::Sent { token, result: Ok(0) });
            return;
        }
        if total <= PROMPT_BYTES_MAX {
            return self.send_promptly(token, slot, (gather, total));
        }
        let entry = self.stream_entry(slot, &gather, (0, STREAM_FLAGS));
        let sending = Sending { socket: slot, token, gather, sent: 0, total, message: None };
        let ticket = self.operations.insert_send(sending);
        self.sockets[slot as usize].sending = SendState::Operation(ticket);
        // SAFETY: the operation owns the gather, whose bytes lie on the heap or are static and so
        // do not move with it; the list of parts stays staged until the kernel has read it.
        unsafe { self.start(slot, ticket, entry) };
    }

    pub(crate) fn send_to(
        &mut self,
        token: Token,
        socket: Socket,
        to: SocketAddr,
        (gather, segment_size): (Gather, Option<u16>),
    ) {
        let Some(slot) = self.slot(socket) else { return };
        let state = &self.sockets[slot as usize];
        let family = state.family;
        debug_assert_eq!(state.kind, Kind::Datagram);
        assert!(gather.len() <= PIECES_PER_SEND_MAX, "a send has a bounded number of pieces");
        let total = gather.iter().map(|piece| piece.as_slice().len()).sum();
        let mut message = self.operations.message();
        let count = fill_parts(&mut message, &gather, 0);
        let name_len = message.address.write(to, family) as libc::socklen_t;
        // One segment is a plain datagram.
        let segment_size = segment_size.filter(|&size| usize::from(size) < total);
        let control_len = segment_size.map_or(0, |size| write_segment_size(&mut message, size));
        let (name, control) = (message.address(), message.control());
        let parts = message.parts();
        let header = &mut message.header;
        header.msg_iov = parts;
        header.msg_iovlen = count;
        header.msg_name = name.cast();
        header.msg_namelen = name_len;
        header.msg_control = if control_len == 0 { std::ptr::null_mut() } else { control };
        header.msg_controllen = control_len;
        let entry = opcode::SendMsg::new(Fixed(slot), message.header())
            .flags(DATAGRAM_FLAGS as u32)
            .build();
        let message = Some(message);
        let sending = Sending { socket: slot, token, gather, sent: 0, total, message };
        let ticket = self.operations.insert_send(sending);
        // SAFETY: the operation owns the gather and the message, as in `send`.
        unsafe { self.start(slot, ticket, entry) };
    }

    pub(crate) fn on_send(
        &mut self,
        ticket: Ticket,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let Some(Operation::Send(sending)) = self.operations.get_mut(ticket) else { return };
        let socket = sending.socket;
        let state = &self.sockets[socket as usize];
        let result = match event.result {
            code if code >= 0 => {
                sending.sent += code as usize;
                if state.takes_bytes() && state.kind == Kind::Stream && sending.sent < sending.total
                {
                    if code > 0 {
                        self.continue_send(ticket);
                        return;
                    }
                    Err(io::ErrorKind::WriteZero.into())
                } else {
                    Ok(sending.sent)
                }
            }
            code if state.takes_bytes() && is_passing(state.kind, -code) => {
                self.continue_send(ticket);
                return;
            }
            // Somebody refused an earlier datagram; this one has not been tried.
            code if state.is_open() && state.reports_icmp && -code == libc::ECONNREFUSED => {
                self.read_errors(socket);
                self.continue_send(ticket);
                return;
            }
            code => Err(io::Error::from_raw_os_error(-code)),
        };
        let Some(Operation::Send(sending)) = self.finish(socket, ticket) else { return };
        let token = sending.token;
        self.operations.recycle_send(sending);
        let state = &mut self.sockets[socket as usize];
        if state.kind == Kind::Stream {
            state.sending = SendState::Idle;
        }
        if state.is_open() {
            completions.push(Completion::Sent { token, result });
        } else {
            self.close_when_quiet(socket);
        }
    }

    /// The entry that sends a gather without its first `skip` bytes on a stream.
    ///
    /// A list of parts is staged, not owned by the operation: the kernel reads it when it takes the
    /// entry (`IORING_FEAT_SUBMIT_STABLE`), so that a thousand sleeping sends hold no lists.
    pub(crate) fn stream_entry(
        &mut self,
        slot: u32,
        gather: &Gather,
        (skip, flags): (usize, i32),
    ) -> squeue::Entry {
        if let [piece] = gather.as_slice() {
            return one_piece(slot, &piece.as_slice()[skip..], flags);
        }
        let mut message = self.operations.message();
        let count = fill_parts(&mut message, gather, skip);
        let entry = several_pieces(slot, &mut message, count, flags);
        self.staged.push(message);
        entry
    }

    /// Takes back what the kernel needed only until it had taken the entries.
    pub(crate) fn release_staged(&mut self) {
        if !self.kernel.is_handed_over() {
            return;
        }
        self.release_forwards();
        for message in self.staged.drain(..) {
            self.operations.recycle(message);
        }
    }

    /// Submits what is left of a send under the same ticket.
    fn continue_send(&mut self, ticket: Ticket) {
        self.counters.sends_continued += 1;
        let Some(Operation::Send(sending)) = self.operations.get_mut(ticket) else { return };
        let socket = sending.socket;
        let is_last = !self.sockets[socket as usize].is_open();
        let flags = STREAM_FLAGS | if is_last { libc::MSG_MORE } else { 0 };
        let entry = match &mut sending.message {
            None => {
                // The gather is only borrowed out of the table while its parts are listed.
                let (gather, sent) = (std::mem::take(&mut sending.gather), sending.sent);
                let entry = self.stream_entry(socket, &gather, (sent, flags));
                let Some(Operation::Send(sending)) = self.operations.get_mut(ticket) else {
                    unreachable!("it was there a moment ago");
                };
                sending.gather = gather;
                entry
            }
            Some(message) => {
                let count = fill_parts(message, &sending.gather, sending.sent);
                message.header.msg_iovlen = count;
                opcode::SendMsg::new(Fixed(socket), message.header())
                    .flags(DATAGRAM_FLAGS as u32)
                    .build()
            }
        };
        let entry = self.aim(socket, entry).user_data(ticket.user_data());
        // SAFETY: the operation still owns all that the entry names, and its event is to come.
        unsafe { self.kernel.push(entry) };
    }
}

/// Whether the send is to be tried again.
pub(crate) fn is_passing(kind: Kind, code: i32) -> bool {
    code == libc::EINTR || code == libc::EAGAIN && kind == Kind::Stream
}

fn one_piece(socket: u32, bytes: &[u8], flags: i32) -> squeue::Entry {
    // More than the kernel's length field holds is sent in rounds, like any short send.
    let len = u32::try_from(bytes.len()).unwrap_or(i32::MAX as u32);
    opcode::Send::new(Fixed(socket), bytes.as_ptr(), len).flags(flags).build()
}

fn several_pieces(socket: u32, message: &mut Pinned, count: usize, flags: i32) -> squeue::Entry {
    let parts = message.parts();
    message.header = crate::operations::empty_header();
    message.header.msg_iov = parts;
    message.header.msg_iovlen = count;
    opcode::SendMsg::new(Fixed(socket), message.header()).flags(flags as u32).build()
}

/// Lists the pieces without their first `skip` bytes; answers how many parts that makes.
fn fill_parts(message: &mut Pinned, gather: &Gather, mut skip: usize) -> usize {
    let mut count = 0;
    for piece in gather {
        let bytes = piece.as_slice();
        let skipped = skip.min(bytes.len());
        skip -= skipped;
        let left = &bytes[skipped..];
        if !left.is_empty() {
            message.parts[count] =
                libc::iovec { iov_base: left.as_ptr().cast_mut().cast(), iov_len: left.len() };
            count += 1;
        }
    }
    count
}

/// Writes the `UDP_SEGMENT` control message: length, level, type, then a `u16`. Answers its length.
pub(crate) fn write_segment_size(message: &mut Pinned, size: u16) -> usize {
    const LEN: usize = 18;
    let control = &mut message.control.0;
    control[0..8].copy_from_slice(&LEN.to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    control[16..18].copy_from_slice(&size.to_ne_bytes());
    control[18..24].fill(0);
    CONTROL_BYTES
}
