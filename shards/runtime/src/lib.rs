//! One shard: a thread that owns a machine, a service and an end of the mesh, and runs them in
//! bounded ticks.
//!
//! [`Io`] is the machine's contract, [`Service`] is what runs on it, [`Shard`] is the loop that
//! joins them, [`Shards`] starts one for each core. [`Slab`] and [`Wheel`] are the two tables that
//! every service needs: slots by token and deadlines by token. [`SlotTimers`] are for those whose
//! slots change hands more often than deadlines come.
//!
//! *Invariant:* nothing here waits but [`Io::wait`], and nothing here is shared between threads but
//! the mesh.

mod context;
mod datagram;
mod io;
mod placement;
mod send_buffer;
mod shard;
mod slab;
mod slot_timers;
mod wheel;

pub use context::{Context, OUTBOX_MAX};
pub use datagram::{Forward, HEADROOM_BYTES, Icmp, ReceiveBuffer, TAILROOM_BYTES};
pub use io::{
    BindOptions, COMPLETIONS_PER_WAIT_MAX, Completion, End, Gather, Io, IoCounters, Op,
    PIECES_PER_SEND_MAX, Piece, ShardId, Socket, Token,
};
pub use placement::{Placement, Shards, pin};
pub use send_buffer::{SendBuffer, SendBuffers};
pub use shard::{Load, MESSAGES_PER_TICK_MAX, Service, Shard, TIMERS_PER_TICK_MAX};
pub use slab::Slab;
pub use slot_timers::SlotTimers;
pub use wheel::{SLOT_MS, Wheel};
