//! permessage-deflate (RFC 7692): messages compressed one by one.
//!
//! ```text
//!  message ─ deflate ─▶ … 00 00 ff ff ─ these four cut off ─▶ payload, RSV1 on its first ws frame
//! ```
//!
//! A *context* is what the next message may refer back to. It costs memory for as long as it is
//! kept ([`INFLATING_BYTES`], [`DEFLATING_BYTES`]), so all contexts of a shard come from one
//! [`Contexts`] with a bound, and a connection that agreed to keep none holds one only while a
//! message goes through it.
//!
//! Invariant: what was agreed on is honoured. zlib's smallest window for compressing is 9 bits, so
//! an offer that demands 8 of us is declined.

mod contexts;
mod negotiate;
mod stream;

pub use contexts::{ContextCounters, ContextLimits, Contexts, DEFLATING_BYTES, INFLATING_BYTES};
pub(crate) use negotiate::{are_well_formed, check_answer};
pub(crate) use stream::{Deflating, Inflating};

/// What one end wants of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateSettings {
    /// Whether our next message may refer to our last one. It compresses small messages much
    /// better, and costs [`DEFLATING_BYTES`] for as long as the connection lives.
    pub own_context: bool,
    /// Whether the other end's may. It costs [`INFLATING_BYTES`] likewise.
    pub peer_context: bool,
    /// Window of what we compress, 9 to 15 bits.
    pub own_window_bits: u8,
    /// Largest window that the other end may use, 9 to 15 bits; what we inflate with. A client that
    /// cannot be told a smaller one is not compressed with.
    pub peer_window_bits: u8,
    /// Messages below this many bytes are sent as they are.
    pub message_bytes_min: usize,
}

impl Default for DeflateSettings {
    /// No context of ours is kept, the other end's is; full windows; from 128 bytes.
    fn default() -> DeflateSettings {
        DeflateSettings {
            own_context: false,
            peer_context: true,
            own_window_bits: WINDOW_BITS_MAX,
            peer_window_bits: WINDOW_BITS_MAX,
            message_bytes_min: 128,
        }
    }
}

/// What both ends agreed on, seen from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreedDeflate {
    own: Direction,
    peer: Direction,
    /// A server repeats a bound on its window, even where it changes nothing.
    repeats_own_window: bool,
    message_bytes_min: usize,
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Direction {
    keeps_context: bool,
    window_bits: u8,
}

impl AgreedDeflate {
    /// Whether our messages refer to earlier ones.
    pub fn keeps_own_context(&self) -> bool {
        self.own.keeps_context
    }

    /// Whether the other end's may.
    pub fn keeps_peer_context(&self) -> bool {
        self.peer.keeps_context
    }

    /// The window that we compress with, in bits.
    pub fn own_window_bits(&self) -> u8 {
        self.own.window_bits
    }

    /// The largest window that the other end may use, in bits.
    pub fn peer_window_bits(&self) -> u8 {
        self.peer.window_bits
    }
}

pub(crate) const EXTENSION: &str = "permessage-deflate";
const WINDOW_BITS_MIN: u8 = 9;
const WINDOW_BITS_MAX: u8 = 15;

/// What a sync flush ends with, and a message's payload does not (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
