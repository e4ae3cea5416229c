//! Where a decoder may start: the units of a source's byte stream, without any I/O.
//!
//! A source sends bytes in pieces that mean nothing. [`Framer`] finds the frames, pages and blocks
//! in them, says at which of them a decoder may start, and keeps the *prelude* (headers) that such
//! a late joiner must hear first. It opens no socket and reads no clock; it is pushed.
//!
//! # Driving it
//!
//! ```
//! use media_framing::{Format, Framer, Limits, Unit};
//!
//! # let received: [&[u8]; 0] = [];
//! let mut framer = Framer::new(Format::Ogg, Limits::default(), 7);
//! let mut prelude = None;
//! let mut sink = |unit: Unit<'_>| {
//!     if let Some(changed) = unit.prelude {
//!         prelude = Some(changed); // in force from this unit on
//!     }
//!     let _append_to_the_window = (unit.bytes, unit.sync);
//! };
//! for bytes in received {
//!     framer.push(bytes, &mut sink);
//! }
//! framer.finish(&mut sink);
//! ```
//!
//! A late joiner hears the prelude in force at a sync unit, then everything from that unit on.
//!
//! # What it promises
//!
//! * **Headers once.** Header units are part of the stream but never sync units: whoever hears
//!   them hears them in the stream, whoever joins later hears them in the prelude, nobody twice.
//! * **A link is heard of with its first media.** Headers are held until then, so headers without
//!   media reach nobody.
//! * **Any fragmentation gives the same units**, [`Format::Plain`] excepted.
//! * **No input makes it panic, and it always advances.** What cannot be parsed is dropped and
//!   counted ([`Counters`]) until the next place that proves itself (a checksum, three frames).
//! * **Bounded.** It holds at most the larger of [`Limits::unit_bytes_max`] and
//!   [`Limits::header_bytes_max`] twice over, and 64 KiB.
//! * **Same inputs, same outputs.** Ogg serials come from the seed.
//!
//! [`opus`] makes pages of packets, and packets of pages, for sound that is not only framed.
//!
//! # What it leaves out
//!
//! Decoding. Titles inside MP3 (ID3) and Matroska. Files that end: sizes and checksums of a whole
//! file are replaced by "unknown", indexes and pictures of FLAC are dropped.

mod adts;
mod bits;
mod checksum;
mod comment;
mod flac;
mod format;
mod framer;
mod frames;
mod matroska;
mod mpeg;
mod ogg;
pub mod opus;
mod output;
mod sniff;
mod wav;

pub use format::Format;
pub use framer::{Framer, Limits};
pub use output::{AudioInfo, Counters, Unit};
