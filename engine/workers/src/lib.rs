//! Worker processes: who starts them, and a shard's end of their links.
//!
//! ```text
//!  shard                         supervisor's thread                 worker process
//!  Desk::hire(job) ── order ───► socket pair, spawn ───────────────► standard input
//!  Desk: adopts   ◄── its end ── waits for its end,
//!        says the job            starts it again, later each time
//!        Word::Said(...)  ◄════════════ the link ══════════════════► media-link
//! ```
//!
//! A [`Desk`] is on a shard and does no I/O but through its machine: it knows which workers it has
//! hired, tells each its job whenever it starts, and hands on what they say. The [`Supervisor`] is
//! a thread that may block: it spawns, waits, and starts again what crashed, with a pause that
//! doubles up to a bound. A worker that ended with its work done, or that refused it, is not
//! started again.
//!
//! A [`Bridge`] joins a desk to WebRTC's driver (`engine-rtc`): what a worker sends is published,
//! and what is published is recorded.
//!
//! A program without shards has [`Process`], one worker that it waits for, and [`ToRtp`] and
//! [`ToUnits`], stages of `media-flow` between a worker's units and RTP.
//!
//! *Invariants:* nothing on a shard waits for a process. A worker dies when its link closes, so
//! that none outlives its shard. What waits is bounded: orders, arrivals, words, and bytes to each
//! worker.

mod bridge;
mod desk;
mod process;
mod supervisor;
mod units;

pub use bridge::{Bridge, Notice, Plan, Recorded};
pub use desk::{Desk, Stats, WORKERS_MAX, Word, WorkerId};
pub use process::Process;
pub use supervisor::{Departure, Supervisor, SupervisorSettings};
pub use units::{Made, Media, Payloads, ToRtp, ToUnits, Units, payload_of_packet};
