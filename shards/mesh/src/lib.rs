//! The mesh: how participants (the shards, and the control plane as the last one) talk. Between
//! every two of them there is one bounded queue for each direction, so each queue has one writer
//! and one reader, and nobody ever waits for anybody.
//!
//! ```text
//!              from 0   from 1   from 2          one MeshPort = one row to receive from
//!   to 0         ·      queue    queue                        + one column to send with
//!   to 1       queue      ·      queue                        + every participant's sleep flag
//!   to 2       queue    queue      ·
//! ```
//!
//! A tick is: [`MeshPort::receive`] a batch from each sibling, work, [`MeshPort::send`], and at its
//! end one [`MeshPort::publish`], which names the receivers that sleep so that each gets one
//! doorbell. Before a participant sleeps it asks [`MeshPort::sleep`], and after waking it says
//! [`MeshPort::awake`].
//!
//! *Invariants.* Messages of one sender arrive in the order sent. A message that was sent and
//! published is either seen by a receiver before it sleeps, or the receiver gets a doorbell; never
//! neither (`tests/loom.rs` goes through every interleaving). One sleep gets at most one doorbell.
//! Memory is allocated in [`mesh`] and never after.

mod atomic;
mod port;
mod sleep_flag;

pub use port::{MeshCounters, MeshPort, mesh};
