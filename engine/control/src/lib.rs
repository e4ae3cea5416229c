//! The control plane: what needs a view of all shards, or may wait.
//!
//! ```text
//!            Message::{Ask, Left, SourceEnded, Stats …}
//!   shards ───────────────────────────────────────────► Control ── Resolve ──► resolver
//!          ◄─────────────────────────────────────────── (tables) ◄─ Resolved ──
//!            Snapshot, Verdict, StartPull, KillSource …
//! ```
//!
//! [`Control`] is a state machine: it reads no clock, opens no socket and draws no chance but from
//! its seed, so that it runs unchanged in the simulator. [`run`] puts it on a thread with the real
//! clock, the mesh and a resolver.
//!
//! # Driving it
//!
//! After each [`Control::handle`], [`Control::poll`] is drained; [`Control::deadline`] says when
//! [`Input::Tick`] is due if nothing else happens. The first snapshot is given to every shard by
//! whoever starts it.
//!
//! # What it promises
//!
//! * A mount has one source at a time, whatever the order of claims and ends.
//! * Shards hear of a session before anything that presumes it.
//! * Every table is bounded by the configuration's limits; what is refused is answered.
//! * Same inputs, same outputs.

mod admin;
mod api;
mod census;
mod claims;
mod control;
mod directory;
mod drain;
mod driver;
mod gathers;
mod listeners;
mod noticed;
mod operations;
mod peers;
mod picture;
mod pull;
mod pulls;
mod random;
mod recordings;
mod render;
mod reports;
mod requests;
mod rtc;
mod turn;
mod upstream;
mod view;

#[cfg(test)]
mod tests;

pub use census::ControlCensus;
pub use control::{Control, Input, Output, Setup};
pub use driver::{Bell, Command, run};
pub use view::{ControlCounters, Kept, MountView, SourceView, View};
