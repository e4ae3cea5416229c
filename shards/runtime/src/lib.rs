//! One shard: a thread that owns a machine, a service and an end of the mesh, and runs them in
//! bounded ticks.

mod io;

pub use io::{
    BindOptions, COMPLETIONS_PER_WAIT_MAX, Completion, End, Gather, Io, IoCounters, Op,
    PIECES_PER_SEND_MAX, Piece, ShardId, Socket, Token,
};
