//! What a server and a worker process say to each other on a stream socket, without any I/O.
//!
//! A worker is a child process that demuxes, decodes, encodes and muxes: what may crash or block.
//! The server holds the other end of a socket pair. Both ends are a [`Link`]:
//!
//! ```text
//!  server                                            worker
//!  Hello ──────────────────────────────────────────>        versions must be equal
//!        <────────────────────────────────────────── Hello
//!  Job   ──────────────────────────────────────────>        once
//!        <───────────────── Track, Packet, Event, Graph      a stream's media comes from here …
//!  Track, Packet, KeyframeWanted, BitrateWanted ───>        … and goes there to be recorded
//!        <─────────────────────────────── KeyframeWanted
//!  Drain ──────────────────────────────────────────>        finish what you have
//!        <──────────────────────────────────────────  End   the last word, with its cause
//! ```
//!
//! # The bytes
//!
//! ```text
//! kind u8 │ length u32 │ body          numbers are little-endian
//! a packet's body:  track u8 │ flags u8 │ presentation i64 │ decode i64 │ duration u32 │ payload
//! a track's, an event's:  length u32 │ JSON │ extradata, attachment
//! all others:  JSON, or nothing
//! ```
//!
//! # Driving it
//!
//! What arrives goes into [`Link::receive`], and [`Link::poll`] is called until it has nothing;
//! what is to be said goes into [`Link::send`], and [`Link::next_output`] gives what is to be
//! written, a head and a payload that is not copied. There is no time in it: who waits for an
//! answer keeps the clock.
//!
//! # What it promises
//!
//! * **Bounded**: a frame by [`Limits`], what waits to be written likewise, tracks by
//!   [`TRACKS_MAX`]. A packet that would not fit is refused, and its sender drops.
//! * **In order**: a packet is only of a track that was announced, the job comes once, nothing
//!   comes after the end. A peer that breaks this is [`LinkError`], and the link is over.
//! * **No trust**: lengths are checked before memory is asked for, and every frame goes forward.

mod event;
mod frame;
mod job;
mod link;
mod message;
mod track;

pub use event::{
    Alert, Detection, Event, FrameFacts, Grid, Picture, Recording, RecordingKind, RecordingTrack,
    Region, Sound, SpeechEvent, VisionEvent, VisionMeasure,
};
pub use frame::{Frame, FrameError, HEAD_BYTES};
pub use job::{
    Analysis, AudioEncoding, Clips, Job, Motion, RecordJob, Snapshots, StreamJob, VideoEncoding,
    Voice, Zone,
};
pub use link::{Limits, Link, LinkError, Refused, Side};
pub use message::{Ending, Hello, MediaPacket, Message, VERSION};
pub use track::{Codec, TRACKS_MAX, TimeBase, Track};
