//! Which presence of each peer is the last that a shard has heard of.
//!
//! The homes of two rooms tell the same presence in their own time. Without this, a snapshot of one
//! room could come behind the news of another, and be believed.
//!
//! An older presence can be left out: whoever would have it has a newer one already, or is a member
//! of the room that the newer one is on its way to.

use std::collections::{BTreeMap, VecDeque};

use crate::address::PeerId;
use crate::mail::Version;

/// Peers that are remembered; the oldest is forgotten first. It has to be more than come and go
/// while one letter is under way.
const PEERS_COUNT_MAX: usize = 65_536;

/// What is known of peers.
#[derive(Debug)]
pub(super) struct Latest {
    /// With one shard there is one order, and nothing to remember.
    is_needed: bool,
    versions: BTreeMap<PeerId, Version>,
    order: VecDeque<PeerId>,
}

impl Latest {
    pub(super) fn new(is_needed: bool) -> Latest {
        Latest { is_needed, versions: BTreeMap::new(), order: VecDeque::new() }
    }

    /// False when a later one is known.
    pub(super) fn learn(&mut self, id: PeerId, version: Version) -> bool {
        if !self.is_needed {
            return true;
        }
        if let Some(known) = self.versions.get_mut(&id) {
            let is_news = version >= *known;
            *known = version.max(*known);
            return is_news;
        }
        if self.order.len() == PEERS_COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
        self.versions.insert(id, version);
        self.order.push_back(id);
        true
    }
}
