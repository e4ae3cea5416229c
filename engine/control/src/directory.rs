//! The directory: every mount that is known, who feeds it, and what its listeners hear.
//!
//! * A [`MountId`] and a [`SessionId`] are never used twice while the process lives.
//! * A mount has at most one session; sessions of different numbers are never taken for each other.
//! * *Invariant:* a route is at most [`FALLBACK_HOPS_MAX`] hops away, and no cycle is walked twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::{Config, Mount};
use engine_node::{MountEntry, MountId, Session, SessionId, Stream};
use protocol_icy::Title;
use shards_runtime::ShardId;

/// The longest chain of fallbacks.
pub(crate) const FALLBACK_HOPS_MAX: usize = 10;

/// All mounts.
#[derive(Default)]
pub(crate) struct Directory {
    mounts: BTreeMap<MountId, MountState>,
    names: BTreeMap<Arc<str>, MountId>,
    sessions: BTreeMap<SessionId, MountId>,
    mounts_made: u32,
    sessions_made: u32,
}

/// One mount.
pub(crate) struct MountState {
    pub(crate) id: MountId,
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<Mount>,
    /// Whether the configuration names it; otherwise it goes some time after its session.
    pub(crate) is_configured: bool,
    /// The fallback in force: the configured one until an operator says otherwise.
    pub(crate) fallback: Option<String>,
    pub(crate) running: Option<Running>,
    /// What its listeners hear, as the shards were told last.
    pub(crate) route: Option<Session>,
    /// Listeners let in one by one that have not left.
    pub(crate) admitted: u64,
    /// When a listener was let in last.
    pub(crate) admitted_at: Option<Instant>,
    /// Since when it has no session.
    pub(crate) idle_since: Instant,
}

/// A session and what is known of it.
pub(crate) struct Running {
    pub(crate) session: Session,
    pub(crate) peer: SocketAddr,
    pub(crate) agent: Option<String>,
    pub(crate) is_v1: bool,
    pub(crate) is_pull: bool,
    pub(crate) since: Instant,
    /// Unix time of the start.
    pub(crate) started: Duration,
    pub(crate) title: Option<Title>,
    pub(crate) audio: Option<(String, u32, u16, u32)>,
    pub(crate) listeners_peak: u64,
}

impl MountState {
    /// Whether it is pulled when somebody listens.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.settings.pull_on_demand && !self.settings.pull.is_empty()
    }
}

impl Directory {
    pub(crate) fn get(&self, id: MountId) -> Option<&MountState> {
        self.mounts.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: MountId) -> Option<&mut MountState> {
        self.mounts.get_mut(&id)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&MountState> {
        self.names.get(name).map(|id| &self.mounts[id])
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut MountState> {
        self.names.get(name).and_then(|id| self.mounts.get_mut(id))
    }

    /// The mount that this very session feeds now.
    pub(crate) fn by_session(&mut self, session: SessionId) -> Option<&mut MountState> {
        self.mounts.get_mut(self.sessions.get(&session)?)
    }

    /// All mounts, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MountState> {
        self.mounts.values()
    }

    /// All mounts, to note something about each.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut MountState> {
        self.mounts.values_mut()
    }

    /// All mounts, by name.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &MountState> {
        self.names.values().map(|id| &self.mounts[id])
    }

    pub(crate) fn len(&self) -> usize {
        self.mounts.len()
    }

    pub(crate) fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// The mount of this name, made if it is not there.
    pub(crate) fn ensure(&mut self, now: Instant, name: &str, config: &Config) -> MountId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        self.mounts_made += 1;
        let id = MountId(self.mounts_made);
        let name: Arc<str> = Arc::from(name);
        let settings = Arc::new(config.mount_named(&name));
        let mount = MountState {
            id,
            name: Arc::clone(&name),
            is_configured: config.mounts.iter().any(|mount| *mount.name == *name),
            fallback: settings.fallback.clone(),
            settings,
            running: None,
            route: None,
            admitted: 0,
            admitted_at: None,
            idle_since: now,
        };
        self.names.insert(name, id);
        self.mounts.insert(id, mount);
        id
    }

    /// Makes the mounts that a configuration names, and gives every mount its settings.
    pub(crate) fn configure(&mut self, now: Instant, config: &Config) {
        for mount in &config.mounts {
            self.ensure(now, &mount.name, config);
        }
        for mount in self.mounts.values_mut() {
            let settings = config.mount_named(&mount.name);
            mount.is_configured = config.mounts.iter().any(|other| *other.name == *mount.name);
            if *mount.settings != settings {
                if mount.settings.fallback != settings.fallback {
                    mount.fallback.clone_from(&settings.fallback);
                }
                mount.settings = Arc::new(settings);
            }
        }
    }

    /// Forgets a mount that has no session.
    pub(crate) fn remove(&mut self, id: MountId) {
        if let Some(mount) = self.mounts.remove(&id) {
            assert!(mount.running.is_none(), "a mount that is up stays");
            self.names.remove(&mount.name);
        }
    }

    /// Puts a session on a mount that has none.
    pub(crate) fn start(
        &mut self,
        id: MountId,
        owner: ShardId,
        stream: Arc<Stream>,
        running: impl FnOnce(Session) -> Running,
    ) -> SessionId {
        self.sessions_made += 1;
        let session = SessionId(self.sessions_made);
        let mount = self.mounts.get_mut(&id).expect("a claim's mount was just looked up");
        assert!(mount.running.is_none(), "a mount has one session");
        mount.running = Some(running(Session { id: session, mount: id, owner, stream }));
        self.sessions.insert(session, id);
        session
    }

    /// Takes a session off its mount; `None` when it is not the one that feeds it.
    pub(crate) fn end(&mut self, now: Instant, session: SessionId) -> Option<(MountId, Running)> {
        let id = self.sessions.remove(&session)?;
        let mount = self.mounts.get_mut(&id)?;
        let running = mount.running.take()?;
        assert_eq!(running.session.id, session, "the index of sessions is exact");
        mount.idle_since = now;
        Some((id, running))
    }

    /// The mount itself and its fallbacks, nearest first; unknown names and cycles end it.
    pub(crate) fn chain(&self, id: MountId) -> Vec<&MountState> {
        let mut chain: Vec<&MountState> = Vec::new();
        let mut next = self.mounts.get(&id);
        while let Some(mount) = next {
            if chain.len() > FALLBACK_HOPS_MAX || chain.iter().any(|seen| seen.id == mount.id) {
                break;
            }
            chain.push(mount);
            next = mount.fallback.as_deref().and_then(|name| self.find(name));
        }
        chain
    }

    /// What listeners at home on a mount are to hear: its own session, or the first running one
    /// along its fallbacks.
    pub(crate) fn route(&self, id: MountId) -> Option<&Session> {
        let running = |mount: &&MountState| mount.running.is_some();
        let mount = self.chain(id).into_iter().find(running)?;
        mount.running.as_ref().map(|running| &running.session)
    }

    /// Whether a new fallback would lead a mount back to itself.
    pub(crate) fn would_cycle(&self, id: MountId, fallback: &str) -> bool {
        let Some(target) = self.find(fallback) else { return false };
        self.chain(target.id).iter().any(|mount| mount.id == id)
    }

    /// The entry of each mount for a snapshot.
    pub(crate) fn entries(&self) -> BTreeMap<Arc<str>, Arc<MountEntry>> {
        let entry = |mount: &MountState| {
            let entry = MountEntry {
                id: mount.id,
                name: Arc::clone(&mount.name),
                settings: Arc::clone(&mount.settings),
                up: mount.running.as_ref().map(|running| running.session.clone()),
                route: mount.route.clone(),
                on_demand: self.chain(mount.id).iter().any(|mount| mount.is_on_demand()),
            };
            (Arc::clone(&mount.name), Arc::new(entry))
        };
        self.mounts.values().map(entry).collect()
    }

    /// Brings every route up to date and says which listeners have to be given a new home first:
    /// those who hear a fallback that goes on, whose mount is back and does not call them back.
    pub(crate) fn reroute(&mut self) -> Vec<(MountId, MountId)> {
        let mut moves = Vec::new();
        let ids: Vec<MountId> = self.mounts.keys().copied().collect();
        for id in ids {
            let new = self.route(id).cloned();
            let old = self.mounts[&id].route.as_ref();
            if let (Some(old), Some(new)) = (old, &new) {
                let goes_on = self.sessions.get(&old.id) == Some(&old.mount);
                // A mount that calls its listeners back must find them at home, also when it is a
                // nearer fallback that has come up.
                let calls_back = self.mounts[&new.mount].settings.fallback_override
                    || self.mounts[&id].settings.fallback_override;
                if old.mount != new.mount && old.mount != id && goes_on && !calls_back {
                    moves.push((id, old.mount));
                }
            }
            self.mounts.get_mut(&id).expect("listed above").route = new;
        }
        moves
    }
}
