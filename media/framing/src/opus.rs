//! Opus in Ogg (RFC 7845), both ways: packets into the pages of a mount, and pages into packets.
//!
//! ```text
//! packets of a stream, with timestamps ──► Writer ──► pages: head, tags, then ≤ 100 ms each
//! pages of a mount, as its framer gives them ──► Reader ──► links, and their packets
//! ```
//!
//! Time is counted in samples of 48 kHz, whatever rate was encoded.

mod packet;
mod reader;
mod writer;

pub(crate) use packet::samples_at_most;
pub use packet::{Malformed, SAMPLE_RATE_HZ, samples};
pub use reader::{Head, Heard, Reader, ReaderCounters};
pub use writer::{Writer, WriterConfig, WriterCounters};

#[cfg(test)]
mod tests;
