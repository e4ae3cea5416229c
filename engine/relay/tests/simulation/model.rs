//! What a client may do, as the RFC has it and whatever the server thinks: the checker's side.
//!
//! *Invariant:* only what was asked for counts, from when it was sent. What is under way makes
//! times uncertain by [`SLACK`] at most.

use std::time::{Duration, Instant};

/// Where peers are. Nobody may reach those with private addresses.
pub const PEERS: [&str; PEER_COUNT] = [
    "192.0.2.0:9000",
    "192.0.2.1:9000",
    "192.0.2.2:9000",
    "192.168.0.9:9000",
    "[2001:db8:2::1]:9000",
    "[fd00:1::9]:9000",
];
pub const PEER_COUNT: usize = 6;

fn is_forbidden(peer: usize) -> bool {
    matches!(peer, 3 | 5)
}

/// How long a message may be under way, with all that the world does to it.
pub const SLACK: Duration = Duration::from_secs(10);
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
pub const LIFETIME: Duration = Duration::from_secs(600);

/// What one client has asked for.
#[derive(Default)]
pub struct Model {
    /// When Allocate or Refresh was sent last.
    pub kept_at: Option<Instant>,
    /// When the Allocate of the present allocation was sent.
    pub began_at: Option<Instant>,
    /// When it was known to be given back; none since Allocate was sent again.
    pub ended_at: Option<Instant>,
    /// When a permission was asked for last, by CreatePermission or ChannelBind.
    pub permitted_at: [Option<Instant>; PEER_COUNT],
    /// When a channel was asked for last.
    pub bound_at: [Option<Instant>; PEER_COUNT],
}

impl Model {
    /// Whether the client can have an allocation.
    pub fn may_have_allocation(&self, now: Instant) -> bool {
        let is_kept = self.kept_at.is_some_and(|at| now <= at + LIFETIME + SLACK);
        is_kept && self.ended_at.is_none_or(|at| now <= at + SLACK)
    }

    /// What is wrong with data passing between the client and a peer now.
    pub fn judge(&self, now: Instant, peer: usize, by_channel: bool) -> Result<(), &'static str> {
        let holds = |at: Option<Instant>, how_long: Duration| {
            // An allocation begins without permissions; a little later nothing of the one before
            // is under way.
            let of_this = |at: &Instant| {
                self.began_at.is_none_or(|began| *at + SLACK >= began || now <= began + SLACK)
            };
            at.filter(of_this).is_some_and(|at| now <= at + how_long + SLACK)
        };
        if is_forbidden(peer) {
            Err("a private address")
        } else if !self.may_have_allocation(now) {
            Err("without an allocation")
        } else if !holds(self.permitted_at[peer], PERMISSION) {
            Err("without a permission")
        } else if by_channel && !holds(self.bound_at[peer], CHANNEL) {
            Err("without a channel")
        } else {
            Ok(())
        }
    }
}
