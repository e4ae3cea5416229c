//! A look into the control plane from outside, for simulations and tests.

use crate::control::Control;

/// What a control plane holds now.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ControlCensus {
    /// Mounts known.
    pub mounts: usize,
    /// Sessions running.
    pub sessions: usize,
    /// Listeners let in that have not left.
    pub admitted: u64,
    /// Sources that wait for their predecessors' end.
    pub takeovers: usize,
    /// Requests that wait for the shards' answers.
    pub gathers: usize,
}

impl Control {
    /// What it holds.
    #[doc(hidden)]
    #[must_use]
    pub fn census(&self) -> ControlCensus {
        ControlCensus {
            mounts: self.directory.len(),
            sessions: self.directory.sessions_count(),
            admitted: self.directory.iter().map(|mount| mount.admitted).sum(),
            takeovers: self.takeovers.len(),
            gathers: self.gathers.len(),
        }
    }
}
