//! Datagrams that are sent on from where they were received: no copy, no allocation, no answer.
//!
//! ```text
//! a received datagram   [ room: at least HEADROOM_BYTES ][ data ][ at least TAILROOM_BYTES ]
//! a joined one          [ room ][ segment | segment | … | the last, perhaps shorter ][ room ]
//! cut into segments     each with its own room, all in the same memory
//! ```

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::{DerefMut, Range};

use crate::Socket;

/// Room before a received datagram that belongs to whoever holds it.
pub const HEADROOM_BYTES: usize = 48;

/// Room behind it.
pub const TAILROOM_BYTES: usize = 4;

/// Received bytes with the room around them: readable, writable in place, given back to the
/// machine on drop. Bytes of a stream may have no room.
pub trait ReceiveBuffer: DerefMut<Target = [u8]> + Debug + Sized {
    /// All that may be written, and where in it the data lies.
    fn with_room(&mut self) -> (&mut [u8], Range<usize>);

    /// Makes `range` of what [`ReceiveBuffer::with_room`] shows the data.
    ///
    /// # Panics
    /// When it does not lie inside.
    fn set_data(&mut self, range: Range<usize>);

    /// Cuts joined datagrams (`UDP_GRO`) apart: buffers in order, each of which owns its part of
    /// the same memory. With `headroom_bytes` (at most [`HEADROOM_BYTES`]) they are moved apart, so
    /// that each has that room; with 0 nothing is moved, and only the first has room. A single
    /// datagram comes back as it is.
    ///
    /// # Panics
    /// When more room is asked for than that.
    fn segments(self, segment_size: Option<u16>, headroom_bytes: usize, each: impl FnMut(Self));
}

/// A datagram that leaves from the buffer it came in, or from a part of it.
///
/// It is a send without an answer: it leaves when what was asked is handed over, or is dropped and
/// counted ([`crate::IoCounters::forwards_failed`]). Nothing waits for a full socket. Datagrams
/// from one socket to one place keep their order among each other; the machine may hand several of
/// them to the kernel as one (`UDP_SEGMENT`).
#[derive(Debug)]
pub struct Forward<B> {
    /// From which bound socket.
    pub socket: Socket,
    /// To whom.
    pub to: SocketAddr,
    /// The payload: the buffer's data.
    pub buffer: B,
    /// Send it with the don't-fragment bit (v6: never cut it here), whatever the socket does.
    pub dont_fragment: bool,
}

/// What the network said about an earlier datagram of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Icmp {
    /// Type of the ICMP message, in the numbers of its family.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What came with it: the next hop's MTU where there is one, otherwise 0.
    pub data: u32,
}
