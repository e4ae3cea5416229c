//! Sending received datagrams on, as cheaply as the kernel allows.
//!
//! What is forwarded waits until the machine hands over what was asked. Datagrams of one size from
//! one socket to one place become one send (`UDP_SEGMENT`), a datagram alone is a `SEND` with an
//! address, which needs no header. Neither waits (`MSG_DONTWAIT`) nor says that it went well
//! (`CQE_SKIP_SUCCESS`): when the kernel has taken an entry, its buffers are free.
//!
//! ```text
//! forward ──► group of (socket, place, size) ──emit──► submission queue ──taken──► buffers back
//! ```
//!
//! What fails because of what the network said of an *earlier* datagram is handed over once more,
//! where its buffers are still at hand.
//!
//! *Invariants:* the list of groups never moves, so that addresses in it may be given to the
//! kernel. No group outlives its socket: a close emits first. A group's datagrams have one size,
//! but for a last one that may be shorter.

use std::net::SocketAddr;

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};
use shards_runtime::{Forward, Socket};

use crate::address::{Family, RawAddress};
use crate::buffers::Buffer;
use crate::entries;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Pinned, user_data};
use crate::send::write_segment_size;
use crate::sockets::Kind;

/// Sends that wait to be handed over.
const GROUPS_MAX: usize = 256;
/// Datagrams of all of them.
const PARTS_MAX: usize = 2_048;
/// Datagrams of one send (`UDP_MAX_SEGMENTS` of every kernel).
const JOINED_MAX: u16 = 64;
/// Bytes of one send, below what any header leaves of 65,535.
const JOINED_BYTES_MAX: u32 = 65_000;
/// Longer datagrams are not joined: they may need to be cut, and joined ones cannot be.
const SEGMENT_BYTES_MAX: u32 = 1_452;
/// Places in the table that finds the group of a datagram; a power of two.
const PLACES_COUNT: usize = 512;
const NO_GROUP: u16 = u16::MAX;
const NO_PART: u32 = u32::MAX;

const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// What waits to be handed over.
pub(crate) struct Forwards {
    groups: Vec<Group>,
    parts: Vec<Part>,
    /// How many groups are in the submission queue.
    emitted_count: usize,
    /// The socket and place of the last datagram that must not be cut and was too long: what the
    /// kernel says of it lacks the port.
    pub(crate) too_long: Option<(u32, SocketAddr)>,
    /// Which group took the last datagram of a hash; only ever a hint.
    places: Box<[u16; PLACES_COUNT]>,
}

struct Group {
    socket: u32,
    to: SocketAddr,
    address: RawAddress,
    address_bytes: u8,
    /// Nothing may be added.
    sealed: bool,
    /// It failed, and was handed over once more.
    is_retried: bool,
    dont_fragment: bool,
    count: u16,
    segment_bytes: u32,
    total_bytes: u32,
    first: u32,
    last: u32,
    /// From when it is emitted as several.
    message: Option<Pinned>,
}

struct Part {
    buffer: Buffer,
    next: u32,
}

impl Forwards {
    pub(crate) fn new() -> Self {
        Forwards {
            groups: Vec::with_capacity(GROUPS_MAX),
            parts: Vec::with_capacity(PARTS_MAX),
            emitted_count: 0,
            too_long: None,
            places: Box::new([NO_GROUP; PLACES_COUNT]),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn is_full(&self) -> bool {
        self.groups.len() == GROUPS_MAX || self.parts.len() == PARTS_MAX
    }

    /// The open group of that socket and place, if its hash has not been taken by another.
    fn find(&mut self, place: usize, socket: u32, to: &SocketAddr) -> Option<&mut Group> {
        let index = usize::from(self.places[place]);
        let open = index >= self.emitted_count;
        let group = self.groups.get_mut(index).filter(|_| open)?;
        (group.socket == socket && group.to == *to && !group.sealed).then_some(group)
    }

    /// Adds a datagram to its group, or begins one.
    fn push(&mut self, datagram: Forward<Buffer>, (slot, family): (u32, Family), joins: bool) {
        let Forward { to, buffer, dont_fragment, .. } = datagram;
        let len = buffer.len() as u32;
        let place = place(slot, &to);
        let part = self.parts.len() as u32;
        let joinable = joins && !dont_fragment && (1..=SEGMENT_BYTES_MAX).contains(&len);
        if let Some(group) = self.find(place, slot, &to) {
            let fits = joinable
                && len <= group.segment_bytes
                && group.count < JOINED_MAX
                && group.total_bytes + len <= JOINED_BYTES_MAX;
            if fits {
                group.count += 1;
                group.total_bytes += len;
                group.sealed = len < group.segment_bytes;
                let before = std::mem::replace(&mut group.last, part);
                self.parts[before as usize].next = part;
                self.parts.push(Part { buffer, next: NO_PART });
                return;
            }
        }
        let mut address = RawAddress::default();
        let address_bytes = address.write(to, family) as u8;
        self.places[place] = self.groups.len() as u16;
        self.parts.push(Part { buffer, next: NO_PART });
        self.groups.push(Group {
            socket: slot,
            to,
            address,
            address_bytes,
            sealed: !joinable,
            is_retried: false,
            dont_fragment,
            count: 1,
            segment_bytes: len,
            total_bytes: len,
            first: part,
            last: part,
            message: None,
        });
    }
}

impl UringIo {
    pub(crate) fn forward_datagram(&mut self, datagram: Forward<Buffer>) {
        self.counters.forwards += 1;
        let Some(slot) = self.slot(datagram.socket) else {
            self.counters.forwards_failed += 1;
            return;
        };
        if self.forwards.is_full() {
            self.emit_forwards();
            self.kernel.submit();
            self.release_staged();
            if self.forwards.is_full() {
                self.counters.forwards_failed += 1;
                return;
            }
        }
        let state = &self.sockets[slot as usize];
        debug_assert_eq!(state.kind, Kind::Datagram);
        let (family, joins) = (state.family, state.joins);
        self.forwards.push(datagram, (slot, family), joins);
    }

    /// Puts what waits into the submission queue.
    pub(crate) fn emit_forwards(&mut self) {
        for index in self.forwards.emitted_count..self.forwards.groups.len() {
            self.emit_group(index);
        }
        self.forwards.emitted_count = self.forwards.groups.len();
    }

    fn emit_group(&mut self, index: usize) {
        let entry = self.forward_entry(index);
        let group = &self.forwards.groups[index];
        let (slot, count, dont_fragment) = (group.socket, group.count, group.dont_fragment);
        let name = self.name(slot);
        let entry = self
            .aim(slot, entry)
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(forward_user_data(name, count, index as u8));
        self.counters.forward_sends += 1;
        if dont_fragment {
            self.push_cutting(slot, Cutting::Never);
        }
        // SAFETY: buffers, address and message belong to the group, which stays where it is until
        // the kernel has taken the entry; with MSG_DONTWAIT it is done with it then.
        unsafe { self.kernel.push(entry) };
        if dont_fragment {
            let usual = self.sockets[slot as usize].fragmentable;
            self.push_cutting(slot, if usual { Cutting::Allowed } else { Cutting::System });
        }
    }

    /// Gives back the buffers of what the kernel has taken; it has taken all.
    pub(crate) fn release_forwards(&mut self) {
        if self.forwards.emitted_count == 0 {
            return;
        }
        if self.forwards.emitted_count < self.forwards.groups.len() {
            // More has come since; it goes with the next call.
            return;
        }
        for group in self.forwards.groups.drain(..) {
            if let Some(message) = group.message {
                self.operations.recycle(message);
            }
        }
        self.forwards.parts.clear();
        self.forwards.emitted_count = 0;
    }

    /// One of them failed; the event says which socket and how many datagrams.
    pub(crate) fn on_forward_failed(&mut self, event: Event) {
        let name = Socket(event.user_data as u32);
        let count = u64::from((event.user_data >> 32) as u16);
        let slot = self.slot(name);
        let code = -event.result;
        let index = usize::from((event.user_data >> 48) as u8);
        if code == libc::EMSGSIZE
            && let Some(group) = self.forwards.groups.get(index)
            && group.dont_fragment
        {
            self.forwards.too_long = Some((group.socket, group.to));
        }
        if let Some(slot) = slot
            && self.sockets[slot as usize].reports_icmp
            && is_from_network(code)
            && self.retry_group(index, slot)
        {
            return self.read_errors(slot);
        }
        self.counters.forwards_failed += count;
        let Some(slot) = slot else { return };
        match code {
            // This way does not take joined ones: too long for it, or a device without checksums.
            libc::EMSGSIZE | libc::EINVAL | libc::EIO if count > 1 => {
                self.sockets[slot as usize].joins = false;
            }
            code if self.sockets[slot as usize].reports_icmp && is_from_network(code) => {
                self.read_errors(slot);
            }
            _ => {}
        }
    }

    /// Hands a group over once more: what made it fail may be what the network said of an earlier
    /// datagram of its socket, which the kernel tells to whoever sends next. False where its
    /// buffers have been given back, or it has failed twice.
    fn retry_group(&mut self, index: usize, slot: u32) -> bool {
        let is_there = index < self.forwards.emitted_count;
        let group = self.forwards.groups.get_mut(index).filter(|_| is_there);
        let Some(group) = group.filter(|group| group.socket == slot && !group.is_retried) else {
            return false;
        };
        group.is_retried = true;
        if let Some(message) = group.message.take() {
            self.operations.recycle(message);
        }
        self.emit_group(index);
        true
    }

    fn forward_entry(&mut self, index: usize) -> squeue::Entry {
        let Forwards { groups, parts, .. } = &mut self.forwards;
        let group = &mut groups[index];
        let address = (&raw const group.address.bytes).cast::<libc::sockaddr>();
        let address_bytes = libc::socklen_t::from(group.address_bytes);
        if group.count == 1 {
            let bytes = &parts[group.first as usize].buffer;
            return opcode::Send::new(Fixed(group.socket), bytes.as_ptr(), bytes.len() as u32)
                .flags(FLAGS)
                .dest_addr(address)
                .dest_addr_len(address_bytes)
                .build();
        }
        let mut message = self.operations.message();
        let mut part = group.first;
        for at in 0..usize::from(group.count) {
            let Part { buffer, next } = &parts[part as usize];
            message.parts[at] =
                libc::iovec { iov_base: buffer.as_ptr().cast_mut().cast(), iov_len: buffer.len() };
            part = *next;
        }
        let control_len = write_segment_size(&mut message, group.segment_bytes as u16);
        let (list, control) = (message.parts(), message.control());
        let header = &mut message.header;
        header.msg_iov = list;
        header.msg_iovlen = usize::from(group.count);
        header.msg_name = address.cast_mut().cast();
        header.msg_namelen = address_bytes;
        header.msg_control = control;
        header.msg_controllen = control_len;
        let entry =
            opcode::SendMsg::new(Fixed(group.socket), message.header()).flags(FLAGS as u32).build();
        group.message = Some(message);
        entry
    }

    fn push_cutting(&mut self, slot: u32, cutting: Cutting) {
        let family = self.sockets[slot as usize].family;
        let entry = self
            .aim(slot, entries::cutting(slot, family, cutting))
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(user_data::IGNORED);
        // SAFETY: the option's value is static.
        unsafe { self.kernel.push(entry) };
    }
}

/// Who may cut a datagram that is too long for its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cutting {
    /// This host and every router.
    Allowed,
    /// As the system sees fit.
    System,
    /// Nobody.
    Never,
}

/// Errors that tell of an earlier datagram of the socket.
pub(crate) fn is_from_network(code: i32) -> bool {
    matches!(
        code,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENETDOWN
            | libc::EMSGSIZE
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EACCES
    )
}

fn forward_user_data(name: Socket, count: u16, group: u8) -> u64 {
    user_data::FORWARD | u64::from(group) << 48 | u64::from(count) << 32 | u64::from(name.0)
}

/// Where the table of groups holds a socket's datagrams to one place.
fn place(socket: u32, to: &SocketAddr) -> usize {
    let ip = match to {
        SocketAddr::V4(to) => u64::from(to.ip().to_bits()),
        SocketAddr::V6(to) => {
            let bits = to.ip().to_bits();
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    let key = ip << 16 ^ u64::from(to.port()) ^ u64::from(socket).rotate_left(48);
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize
}

const _: () = assert!(GROUPS_MAX == 1 << 8, "an event names its group in eight bits");
const _: () = assert!(PLACES_COUNT == 1 << 9, "the hash keeps nine bits");
