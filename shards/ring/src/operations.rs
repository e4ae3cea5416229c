//! The operation table: who asked for what, and the memory that the kernel needs for it.
//!
//! ```text
//! user data   63       56 55          32 31           0
//!             kind        generation     index of the slot
//! ```
//!
//! *Invariant:* a slot is freed by the last event of its operation and by nothing else, so what it
//! owns outlives every access by the kernel.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use shards_runtime::{Gather, PIECES_PER_SEND_MAX, Token};

use crate::address::RawAddress;

/// User data of entries.
pub(crate) mod user_data {
    /// An operation of the table.
    pub(crate) const OPERATION: u8 = 0;
    /// A request to cancel the operation with the same index and generation.
    pub(crate) const CANCEL: u8 = 1;
    /// Somebody rang: another ring, or the control plane.
    pub(crate) const BELL: u64 = 2 << 56;
    /// Something whose outcome nobody needs.
    pub(crate) const IGNORED: u64 = 3 << 56;
    /// [`crate::kernel::Kernel::install`] at work.
    pub(crate) const INSTALL: u64 = 4 << 56;
    /// The poll on the bell that the control plane rings.
    pub(crate) const BELL_POLL: u64 = 5 << 56;
    /// A forwarded datagram, or several: their number and their socket's name are in the rest.
    pub(crate) const FORWARD: u64 = 6 << 56;
    /// A send that is heard of only when it fails: the rest is its place in the list.
    pub(crate) const PROMPT: u64 = 7 << 56;
}

const GENERATION_MASK: u32 = 0x00ff_ffff;

/// Names an operation; a freed and reused slot has another generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    index: u32,
    generation: u32,
}

impl Ticket {
    /// User data of the operation itself.
    pub(crate) fn user_data(self) -> u64 {
        self.tagged(user_data::OPERATION)
    }

    /// User data of a request to cancel it.
    pub(crate) fn cancel_user_data(self) -> u64 {
        self.tagged(user_data::CANCEL)
    }

    /// The operation that an event is about, whatever its kind.
    pub(crate) fn from_user_data(data: u64) -> Self {
        Ticket { index: data as u32, generation: (data >> 32) as u32 & GENERATION_MASK }
    }

    fn tagged(self, kind: u8) -> u64 {
        u64::from(kind) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// One operation in flight.
pub(crate) enum Operation {
    /// Multishot accept.
    Accept { acceptor: u32, token: Token },
    /// Who is at the other end of an accepted socket.
    PeerName { socket: u32, acceptor: u32, acceptor_tenant: u32, token: Token, message: Pinned },
    /// Multishot receive, of a stream or of datagrams.
    Receive { socket: u32, token: Token },
    /// A send of a stream, or of datagrams. In a box, for every listener has a receive in flight
    /// all the time and a send now and then.
    Send(Box<Sending>),
    /// What the network says of datagrams sent.
    Errors { socket: u32, message: Pinned },
    /// A socket is being made for a connection.
    Open { token: Token, to: Box<SocketAddr>, cancelled: bool },
    /// A connection is being made.
    Connect { token: Token, socket: u32, cancelled: bool, message: Pinned },
    /// The descriptor is being given back.
    Close { socket: u32, tenant: u32 },
    /// The last resort of a close.
    Shutdown { socket: u32 },
}

const _: () = assert!(size_of::<Operation>() <= 40, "what each listener has in flight is small");

/// A send: the bytes, and how far it is.
pub(crate) struct Sending {
    pub(crate) socket: u32,
    pub(crate) token: Token,
    pub(crate) gather: Gather,
    /// Bytes sent so far, and in all.
    pub(crate) sent: usize,
    pub(crate) total: usize,
    /// A datagram's address and control message.
    pub(crate) message: Option<Pinned>,
}

/// What `sendmsg`, `connect` and the peer's name need at an address that does not move.
pub(crate) struct Message {
    pub(crate) header: libc::msghdr,
    pub(crate) parts: [libc::iovec; PIECES_PER_SEND_MAX],
    pub(crate) address: RawAddress,
    pub(crate) control: Control,
}

/// Room for one control message: a number, or an error of the network with who reported it.
#[repr(C, align(8))]
pub(crate) struct Control(pub(crate) [u8; 64]);

/// A [`Message`] on the heap. Not a `Box`, which claims to be the only way to its content: the
/// kernel has the address too.
pub(crate) struct Pinned(NonNull<Message>);

impl Pinned {
    fn new() -> Self {
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let message = Box::new(Message {
            header: empty_header(),
            parts: [empty; PIECES_PER_SEND_MAX],
            address: RawAddress::default(),
            control: Control([0; 64]),
        });
        Pinned(NonNull::from(Box::leak(message)))
    }

    /// Where the kernel finds the header.
    pub(crate) fn header(&self) -> *const libc::msghdr {
        // SAFETY: the pointer is valid while `self` lives; no reference is made.
        unsafe { &raw const (*self.0.as_ptr()).header }
    }

    /// Where the kernel finds, or writes, the address.
    pub(crate) fn address(&self) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0.as_ptr()).address.bytes).cast() }
    }

    /// Where the kernel finds the list of parts.
    pub(crate) fn parts(&self) -> *mut libc::iovec {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0.as_ptr()).parts).cast() }
    }

    /// Where the kernel finds the control message.
    pub(crate) fn control(&self) -> *mut libc::c_void {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0.as_ptr()).control).cast() }
    }
}

impl Deref for Pinned {
    type Target = Message;
    fn deref(&self) -> &Message {
        // SAFETY: the pointer came from a `Box` that only `drop` takes back. References are made
        // only before the message is submitted or after its last event, never in between.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Pinned {
    fn deref_mut(&mut self) -> &mut Message {
        // SAFETY: as in `deref`; `&mut self` makes it the only reference.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: made by `Box` in `new`, taken back once; the operation table drops it only after
        // the last event of its operation.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A header that names nothing.
pub(crate) fn empty_header() -> libc::msghdr {
    // SAFETY: all zeroes is a valid `msghdr` of plain integers and null pointers; it has private
    // padding on some systems, so it cannot be written as a literal.
    unsafe { std::mem::zeroed() }
}

/// Slots of operations, and memory kept for the next ones.
///
/// The table grows by whole blocks and moves nothing when it does: while it grew by moving, a storm
/// of connects would hold it twice.
pub(crate) struct Operations {
    blocks: Vec<Vec<Slot>>,
    slots_count: u32,
    free: Vec<u32>,
    messages: Vec<Pinned>,
    #[allow(clippy::vec_box, reason = "the boxes go in and out of operations")]
    sendings: Vec<Box<Sending>>,
    in_flight_count: u64,
}

struct Slot {
    generation: u32,
    operation: Option<Operation>,
}

/// Slots that are made at once.
const SLOTS_PER_BLOCK: u32 = 256;
/// Messages kept for reuse, about 1.2 KB each.
const MESSAGES_KEPT_MAX: usize = 256;
/// Sends kept for reuse, about 120 bytes each.
const SENDINGS_KEPT_MAX: usize = 1_024;

impl Operations {
    pub(crate) fn new() -> Self {
        Operations {
            blocks: Vec::new(),
            slots_count: 0,
            free: Vec::new(),
            messages: Vec::new(),
            sendings: Vec::new(),
            in_flight_count: 0,
        }
    }

    pub(crate) fn in_flight_count(&self) -> u64 {
        self.in_flight_count
    }

    pub(crate) fn insert(&mut self, operation: Operation) -> Ticket {
        self.in_flight_count += 1;
        if let Some(index) = self.free.pop() {
            let slot = self.slot(index).expect("a free slot was in use once");
            slot.operation = Some(operation);
            return Ticket { index, generation: slot.generation };
        }
        let index = self.slots_count;
        if index.is_multiple_of(SLOTS_PER_BLOCK) {
            self.blocks.push(Vec::with_capacity(SLOTS_PER_BLOCK as usize));
        }
        let block = self.blocks.last_mut().expect("just made if there was none");
        block.push(Slot { generation: 0, operation: Some(operation) });
        self.slots_count += 1;
        Ticket { index, generation: 0 }
    }

    /// Takes a send in; its memory is that of an earlier one where there is any.
    pub(crate) fn insert_send(&mut self, sending: Sending) -> Ticket {
        let sending = match self.sendings.pop() {
            Some(mut kept) => {
                *kept = sending;
                kept
            }
            None => Box::new(sending),
        };
        self.insert(Operation::Send(sending))
    }

    /// Takes the memory of a send back, and lets go of what it sent.
    pub(crate) fn recycle_send(&mut self, mut sending: Box<Sending>) {
        sending.gather = Gather::new();
        if let Some(message) = sending.message.take() {
            self.recycle(message);
        }
        if self.sendings.len() < SENDINGS_KEPT_MAX {
            self.sendings.push(sending);
        }
    }

    /// The operation, while it is in flight.
    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Operation> {
        let slot = self.slot(ticket.index)?;
        slot.operation.as_mut().filter(|_| slot.generation == ticket.generation)
    }

    /// Takes the operation out: its last event has come.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Operation> {
        let slot = self.slot(ticket.index)?;
        if slot.generation != ticket.generation {
            return None;
        }
        let operation = slot.operation.take()?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(ticket.index);
        self.in_flight_count -= 1;
        Some(operation)
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        let block = self.blocks.get_mut((index / SLOTS_PER_BLOCK) as usize)?;
        block.get_mut((index % SLOTS_PER_BLOCK) as usize)
    }

    /// A message to fill; a used one when there is any.
    pub(crate) fn message(&mut self) -> Pinned {
        self.messages.pop().unwrap_or_else(Pinned::new)
    }

    /// Takes a message back.
    pub(crate) fn recycle(&mut self, message: Pinned) {
        if self.messages.len() < MESSAGES_KEPT_MAX {
            self.messages.push(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_an_old_ticket() {
        let mut operations = Operations::new();
        let first = operations.insert(Operation::Close { socket: 1, tenant: 0 });
        assert!(operations.remove(first).is_some());
        let second = operations.insert(Operation::Close { socket: 2, tenant: 0 });
        assert_ne!(first, second);
        assert!(operations.get_mut(first).is_none());
        assert!(operations.remove(first).is_none());
        assert_eq!(Ticket::from_user_data(second.cancel_user_data()), second);
        assert!(operations.remove(second).is_some());
        assert_eq!(operations.in_flight_count(), 0);
    }
}
