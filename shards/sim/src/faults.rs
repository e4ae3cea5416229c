//! What goes wrong in a simulated world, and how often.
//!
//! *Invariant:* a fault never breaks the contract of [`shards_runtime::Io`]: it does what a kernel
//! and a network may do, more often than they would.

use crate::prng::{Chance, Prng};

/// Every knob of the network and of the machines. Times are microseconds of the world's own clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Shortest way from one host to another, µs.
    pub latency_us_min: u64,
    /// Longest way; each connection draws its own between the two.
    pub latency_us_max: u64,
    /// Least room in one direction of a connection, both kernels' buffers together, bytes.
    pub pipe_bytes_min: u64,
    /// Most room; each connection draws its own between the two.
    pub pipe_bytes_max: u64,

    /// A connection attempt is answered with a reset.
    pub connect_refused: Chance,
    /// A connection attempt is never answered.
    pub connect_lost: Chance,
    /// A connection is reset at some time within [`Faults::connection_reset_us_max`] of its start.
    pub connection_reset: Chance,
    /// The latest time of such a reset, µs after the start.
    pub connection_reset_us_max: u64,
    /// A datagram is lost.
    pub datagram_loss: Chance,
    /// A datagram comes twice.
    pub datagram_duplicate: Chance,
    /// A datagram takes up to ten times as long, so that later ones overtake it.
    pub datagram_reorder: Chance,
    /// Datagrams of one sender and size that wait together are joined as `UDP_GRO` does.
    pub datagram_join: Chance,

    /// A completion comes late, which also changes its order among those of other sockets.
    pub completion_delay: Chance,
    /// How late at most, µs; also how long other interruptions here last.
    pub completion_delay_us_max: u64,
    /// A wait hands out only some of what is done.
    pub wait_partial: Chance,
    /// The kernel takes only a part of a send; the machine continues it.
    pub send_short: Chance,
    /// A send fails, and the connection with it.
    pub send_failure: Chance,
    /// A receive gets only a part of what is there, down to one byte.
    pub receive_fragment: Chance,
    /// No receive buffer is free for a while.
    pub buffers_exhausted: Chance,
    /// A multishot receive or accept ends and has to be armed again.
    pub multishot_end: Chance,
    /// Accepting fails once.
    pub accept_failure: Chance,
    /// An operation that a close cuts short still gets its own completion before `Closed`.
    pub close_reports: Chance,

    /// Moving the clock moves it further than asked: a process that was stopped for a while.
    pub clock_jump: Chance,
    /// How much further at most, µs.
    pub clock_jump_us_max: u64,
}

impl Faults {
    /// A calm world: 50 µs from host to host, large buffers, nothing late, nothing lost.
    #[must_use]
    pub fn none() -> Faults {
        Faults {
            latency_us_min: 50,
            latency_us_max: 50,
            pipe_bytes_min: 256 * 1024,
            pipe_bytes_max: 256 * 1024,
            connect_refused: Chance::NEVER,
            connect_lost: Chance::NEVER,
            connection_reset: Chance::NEVER,
            connection_reset_us_max: 0,
            datagram_loss: Chance::NEVER,
            datagram_duplicate: Chance::NEVER,
            datagram_reorder: Chance::NEVER,
            datagram_join: Chance::NEVER,
            completion_delay: Chance::NEVER,
            completion_delay_us_max: 0,
            wait_partial: Chance::NEVER,
            send_short: Chance::NEVER,
            send_failure: Chance::NEVER,
            receive_fragment: Chance::NEVER,
            buffers_exhausted: Chance::NEVER,
            multishot_end: Chance::NEVER,
            accept_failure: Chance::NEVER,
            close_reports: Chance::ALWAYS,
            clock_jump: Chance::NEVER,
            clock_jump_us_max: 0,
        }
    }

    /// Swarm testing: which faults there are, and how often each, is itself drawn from the seed, so
    /// that some runs are hard in one way only and get far in it.
    #[must_use]
    pub fn draw(prng: &mut Prng) -> Faults {
        let latency_us_min = prng.between(1, 5_000);
        let pipe_bytes_min = 1 << prng.between(10, 16);
        Faults {
            latency_us_min,
            latency_us_max: latency_us_min * prng.between(1, 20),
            pipe_bytes_min,
            pipe_bytes_max: pipe_bytes_min << prng.between(0, 4),
            connect_refused: rare(prng),
            connect_lost: rare(prng),
            connection_reset: rare(prng),
            connection_reset_us_max: prng.between(1, 30_000_000),
            datagram_loss: often(prng),
            datagram_duplicate: often(prng),
            datagram_reorder: often(prng),
            datagram_join: often(prng),
            completion_delay: often(prng),
            completion_delay_us_max: 1 << prng.between(0, 14),
            wait_partial: often(prng),
            send_short: often(prng),
            send_failure: rare(prng),
            receive_fragment: often(prng),
            buffers_exhausted: often(prng),
            multishot_end: often(prng),
            accept_failure: often(prng),
            close_reports: often(prng),
            clock_jump: rare(prng),
            clock_jump_us_max: prng.between(1, 5_000_000),
        }
    }
}

/// For what a system gets over by itself.
fn often(prng: &mut Prng) -> Chance {
    level(prng, &[10, 50, 200, 500])
}

/// For what costs somebody a connection.
fn rare(prng: &mut Prng) -> Chance {
    level(prng, &[1, 5, 20, 100])
}

fn level(prng: &mut Prng, levels: &[u32]) -> Chance {
    if prng.chance(Chance(500)) {
        return Chance::NEVER;
    }
    Chance(prng.pick(levels).copied().unwrap_or_default())
}
