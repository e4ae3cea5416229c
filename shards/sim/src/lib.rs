//! A simulated kernel and network from one seed: [`SimIo`] is the machine of a shard, and a
//! [`World`] holds all machines of all nodes, the wires between them, and the peers outside, on one
//! thread.
//!
//! ```text
//!   driver:  loop {
//!     a machine that is ready, picked by a generator  →  tick its shard
//!     none is ready                                   →  world.advance_to(world.next_event())
//!     and whenever it likes                           →  move a Peer
//!   }
//! ```
//!
//! [`Faults`] says what goes wrong and how often. What a service must not do (a second send on one
//! socket, an operation on a closed one, a token's slot used again before `Closed`, too many
//! pieces) is a panic at its own call.
//!
//! *Invariants.* Equal seeds and equal drivers give equal runs, to the byte and the nanosecond
//! ([`World::trace_hash`]). Nothing here sleeps, and time moves only when the driver moves it.
//! The same tests hold this machine and the real one to the contract of
//! [`Io`](shards_runtime::Io): `shards/runtime/tests/io_contract.rs`.

mod address;
mod buffer;
mod check;
mod connect;
mod datagram;
mod errno;
mod faults;
mod hand_out;
mod io;
mod machine;
mod peer;
mod pipe;
mod prng;
mod stream;
mod trace;
mod world;

pub use buffer::SimBuffer;
pub use faults::Faults;
pub use io::SimIo;
pub use machine::MachineId;
pub use peer::{Peer, PeerAcceptor, PeerDatagrams, PeerState};
pub use prng::{Chance, Prng};
pub use world::World;
