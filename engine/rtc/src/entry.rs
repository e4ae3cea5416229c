//! A session of this shard, and what belongs to it here. It moves as a whole.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media_rtc::{CloseCause, Rid, Role, RtpPacket, Session, TrackId, Transport};
use shards_runtime::ShardId;

use crate::backlog::Subscriber;
use crate::directory::Name;
use crate::ids::SessionId;
use crate::letter::Path;
use crate::messages::Channels;
use crate::stats::{End, Ended, Row};
use crate::viewing::Viewing;

/// Paths of one session that are remembered; the oldest goes.
const PATHS_MAX: usize = 8;

/// A session and all that is kept of it.
#[derive(Debug)]
pub struct Entry {
    pub(crate) id: SessionId,
    pub(crate) session: Box<Session>,
    pub(crate) role: Role,
    pub(crate) name: Name,
    pub(crate) client: IpAddr,
    pub(crate) agent: Option<String>,
    pub(crate) since: Instant,
    /// Our names for ICE, old ones too: who was told of them may still use them.
    pub(crate) ufrags: Vec<String>,
    /// Where its far end has been heard, the newest last.
    pub(crate) paths: Vec<Heard>,
    /// Its packets land here: it does not move again.
    pub(crate) is_settled: bool,
    /// It is in the list of those that have something to say.
    pub(crate) is_dirty: bool,
    /// It was connected, and what follows from that is done.
    pub(crate) is_live: bool,
    /// When its timer fires.
    pub(crate) timer_at: Option<Instant>,
    pub(crate) publishing: Publishing,
    pub(crate) viewing: Viewing,
    pub(crate) channels: Channels,
    /// Why we end it, if we do.
    pub(crate) end: Option<End>,
    pub(crate) cause: Option<CloseCause>,
}

/// A path on which a far end has been heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) path: Path,
    /// The shard where it comes in.
    pub(crate) at: ShardId,
    /// The session has answered there, and that shard knows whose datagrams these are.
    pub(crate) is_proved: bool,
}

/// What is kept of a publisher.
#[derive(Debug, Default)]
pub(crate) struct Publishing {
    /// What came in this tick.
    pub(crate) batch: Vec<(TrackId, Arc<RtpPacket>)>,
    /// Shards with viewers.
    pub(crate) subscribers: Vec<Subscriber>,
    /// When a keyframe of each track and layer was asked for, and whether one is wanted again.
    gates: BTreeMap<(TrackId, Option<Rid>), Gate>,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    asked_at: Instant,
    is_wanted: bool,
}

/// The most tracks and layers whose keyframes are asked for apart.
const GATES_MAX: usize = 64;

impl Publishing {
    /// A viewer wants a keyframe: whether to ask for it now. What comes within the interval waits
    /// for its end, and all of it is one request.
    pub(crate) fn wants_keyframe(
        &mut self,
        now: Instant,
        track: TrackId,
        rid: Option<Rid>,
        interval: Duration,
    ) -> bool {
        if self.gates.len() >= GATES_MAX && !self.gates.contains_key(&(track, rid)) {
            return false;
        }
        match self.gates.get_mut(&(track, rid)) {
            Some(gate) if now < gate.asked_at + interval => {
                gate.is_wanted = true;
                false
            }
            _ => {
                self.gates.insert((track, rid), Gate { asked_at: now, is_wanted: false });
                true
            }
        }
    }

    /// Keyframes that were wanted meanwhile and may be asked for now.
    pub(crate) fn due_keyframes(
        &mut self,
        now: Instant,
        interval: Duration,
    ) -> Vec<(TrackId, Option<Rid>)> {
        let mut due = Vec::new();
        for (key, gate) in &mut self.gates {
            if gate.is_wanted && now >= gate.asked_at + interval {
                *gate = Gate { asked_at: now, is_wanted: false };
                due.push(*key);
            }
        }
        due
    }

    /// When [`Publishing::due_keyframes`] has something.
    pub(crate) fn deadline(&self, interval: Duration) -> Option<Instant> {
        let waiting = self.gates.values().filter(|gate| gate.is_wanted);
        waiting.map(|gate| gate.asked_at + interval).min()
    }
}

impl Entry {
    /// The far end was heard on this path, which comes in at that shard.
    pub(crate) fn heard(&mut self, path: Path, at: ShardId) -> Heard {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            if known.at != at {
                *known = Heard { path, at, is_proved: false };
            }
            return *known;
        }
        if self.paths.len() >= PATHS_MAX {
            self.paths.remove(0);
        }
        let heard = Heard { path, at, is_proved: false };
        self.paths.push(heard);
        heard
    }

    /// The path that leads to this far end.
    pub(crate) fn path_to(&mut self, peer: SocketAddr, transport: Transport) -> Option<&mut Heard> {
        let is_it =
            |known: &&mut Heard| known.path.peer == peer && known.path.transport == transport;
        self.paths.iter_mut().rev().find(is_it)
    }

    /// When it wants to be looked at.
    pub(crate) fn deadline(&self, keyframe_interval: Duration) -> Option<Instant> {
        let of_gates = self.publishing.deadline(keyframe_interval);
        [self.session.deadline(), of_gates].into_iter().flatten().min()
    }

    pub(crate) fn ended(&self, now: Instant) -> Ended {
        let cause = match (self.end, &self.cause) {
            (Some(end), _) => Ok(end),
            (None, Some(cause)) => Err(cause.clone()),
            (None, None) => Err(CloseCause::Local),
        };
        Ended {
            session: self.id,
            role: self.role,
            name: self.name.clone(),
            client: self.client,
            agent: self.agent.clone(),
            cause,
            lasted: now.saturating_duration_since(self.since),
            counters: *self.session.counters(),
        }
    }

    pub(crate) fn row(&self, now: Instant) -> Row {
        Row {
            session: self.id,
            role: self.role,
            name: self.name.clone(),
            client: self.client,
            agent: self.agent.clone(),
            is_connected: self.session.is_connected(),
            age_s: now.saturating_duration_since(self.since).as_secs(),
            tracks_count: self.session.tracks().count() as u64,
            counters: *self.session.counters(),
        }
    }
}
