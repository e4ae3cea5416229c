//! The real machine under a shard: one io_uring for each, on the shard's own thread.
//!
//! [`UringIo`] implements [`shards_runtime::Io`]; [`RingGroup`] is what the shards of a process
//! share so that they can ring each other's doorbell, and [`ControlBell`] is the control plane's
//! end of it. [`UringIo::probe`] says what a kernel lacks.
//!
//! ```text
//!   Op ──► Operations (owns the memory) ──► submission queue ──► kernel
//!                ▲                                                  │
//!   Completion ◄─┴── Sockets (what is in flight on each) ◄── completion queue
//! ```
//!
//! *Invariant:* memory that the kernel may read or write belongs to the operation table, to a
//! buffer pool, or to the program's text, and stays there until the kernel has said that it is
//! done. Nothing public takes a pointer. The whole `unsafe` of Skywave is in this crate.

mod accept;
mod address;
mod adopt;
mod buffers;
mod clock;
mod close;
mod config;
mod connect;
mod entries;
mod errors;
mod finish;
mod forward;
mod group;
mod kernel;
mod machine;
mod operations;
mod overflow;
mod probe;
mod prompt;
mod receive;
mod send;
mod serve;
mod sockets;
mod spread;
mod teardown;

pub use adopt::adopt;
pub use buffers::Buffer;
pub use config::RingConfig;
pub use group::{ControlBell, RingGroup};
pub use machine::UringIo;
pub use probe::{Finding, Report, Severity};
pub use serve::{Beginning, Control, Serving, serve};
