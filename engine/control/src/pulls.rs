//! Pulls: mounts whose source is another server's stream.
//!
//! ```text
//!          wanted           name is an address
//!   Idle ─────────► Resolving ───────────────► Connecting ──► Running
//!    ▲                 │ no address              │ failed        │ ended
//!    │   time is up    ▼                         ▼               │
//!    └───────────── Waiting ◄── every URL tried ─┴───────────────┘
//! ```
//!
//! [`Control::tend_pulls`] compares what runs with what is wanted; no event starts or stops a pull
//! by itself, so none can be missed.
//!
//! * One attempt at a time for each mount, with a number; answers with another number are late and
//!   ignored.
//! * Between rounds through a mount's URLs there is a wait that doubles from [`BACKOFF_MIN`] to
//!   [`BACKOFF_MAX`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine_node::{Message, MountId, PullFailure, PullOrder, SessionId};
use shards_runtime::ShardId;

use crate::control::Control;
use crate::directory::MountState;
use crate::pull::{Next, Pull, State, UNWANTED_MAX};
use crate::upstream::Upstream;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);
/// A pull that ran so long starts again with the shortest wait.
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// How long connecting and waiting for upstream's head may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an attempt may be without news; its own deadlines are shorter.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// How soon a pull looks again whether its mount is free of another source.
const TAKEN_RETRY: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried in turn.
const ADDRESSES_MAX: usize = 8;

impl Control {
    /// Brings the pulls in line with the configuration.
    pub(crate) fn configure_pulls(&mut self) {
        let configured: Vec<(MountId, Pull)> = self
            .directory
            .iter()
            .filter(|mount| !mount.settings.pull.is_empty())
            .map(|mount| (mount.id, Pull::of(mount)))
            .collect();
        let kept: BTreeSet<MountId> = configured.iter().map(|(id, _)| *id).collect();
        let gone = self.pulls.keys().copied().filter(|id| !kept.contains(id));
        for id in gone.collect::<Vec<_>>() {
            self.stop_pull(id, "no longer configured");
            self.pulls.remove(&id);
        }
        for (id, fresh) in configured {
            let Some(pull) = self.pulls.get_mut(&id) else {
                self.pulls.insert(id, fresh);
                continue;
            };
            pull.on_demand = fresh.on_demand;
            if pull.urls == fresh.urls && pull.titles == fresh.titles {
                continue;
            }
            (pull.urls, pull.titles) = (fresh.urls, fresh.titles);
            self.stop_pull(id, "its configuration changed");
            let pull = self.pulls.get_mut(&id).expect("looked up above");
            pull.begin_round();
            pull.failures_count = 0;
            if matches!(pull.state, State::Waiting { .. }) {
                pull.state = State::Idle;
            }
        }
    }

    /// Starts what is wanted and does not run, stops what runs and is not wanted.
    pub(crate) fn tend_pulls(&mut self) {
        let is_due = self.pulls_deadline().is_some_and(|at| self.now >= at);
        let asked = std::mem::take(&mut self.pulls_due);
        if self.pulls.is_empty() || !(asked || is_due) {
            return;
        }
        let wanted = self.wanted_pulls();
        let ids: Vec<MountId> = self.pulls.keys().copied().collect();
        for id in ids {
            self.tend_pull(id, wanted.contains(&id));
        }
    }

    /// When the first pull has something to do if nothing happens.
    pub(crate) fn pulls_deadline(&self) -> Option<Instant> {
        self.pulls.values().filter_map(Pull::deadline).min()
    }

    /// Whether a claim with this order number is that of the attempt in progress.
    pub(crate) fn expects_pull(&self, id: MountId, number: u32) -> bool {
        let state = self.pulls.get(&id).map(|pull| pull.state);
        matches!(state, Some(State::Connecting { order, .. }) if order == number)
    }

    /// The attempt in progress has become a source.
    pub(crate) fn pull_runs(&mut self, id: MountId, session: SessionId) {
        if let Some(pull) = self.pulls.get_mut(&id) {
            pull.state = State::Running { session };
        }
    }

    /// The source that a pull was has ended.
    pub(crate) fn pull_ended(&mut self, id: MountId, ended: SessionId, lasted: Duration) {
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        match pull.state {
            State::Stopping { session } if session == ended => pull.state = State::Idle,
            State::Running { session } if session == ended => {
                pull.begin_round();
                if lasted >= STEADY_AFTER {
                    pull.failures_count = 0;
                }
                self.wait_before_pull(id);
            }
            _ => {}
        }
    }

    /// An attempt did not become a source.
    pub(crate) fn pull_failed(&mut self, id: MountId, number: u32, failure: PullFailure) {
        if !self.expects_pull(id, number) {
            tracing::debug!(order = number, "late failure of a pull");
            return;
        }
        self.attempt_failed(id, failure);
    }

    /// A name was looked up.
    pub(crate) fn resolved(&mut self, number: u32, addresses: Result<Vec<SocketAddr>, String>) {
        let is_asking =
            |pull: &Pull| matches!(pull.state, State::Resolving { id, .. } if id == number);
        let asking = self.pulls.iter_mut().find(|(_, pull)| is_asking(pull));
        let Some((id, pull)) = asking else { return };
        let id = *id;
        match addresses {
            Ok(addresses) if !addresses.is_empty() => {
                pull.addresses = addresses.into_iter().take(ADDRESSES_MAX).collect();
                self.order_pull(id);
            }
            Ok(_) => self.attempt_failed(id, unreachable("the name has no address")),
            Err(error) => self.attempt_failed(id, PullFailure::Unreachable(error)),
        }
    }

    /// The server stops: no more attempts. What runs has until the shards' deadline.
    pub(crate) fn drain_pulls(&mut self) {
        let ids: Vec<MountId> = self.pulls.keys().copied().collect();
        for id in ids {
            let state = self.pulls[&id].state;
            if !matches!(state, State::Running { .. } | State::Stopping { .. }) {
                self.stop_pull(id, "the server is stopping");
                self.pulls.remove(&id);
            }
        }
    }

    /// Mounts that somebody would hear if they were pulled. Whoever is at home on a mount wants it,
    /// and, while it is down, each of its fallbacks up to the first that runs.
    fn wanted_pulls(&self) -> BTreeSet<MountId> {
        let mut wanted = BTreeSet::new();
        if !self.pulls.values().any(|pull| pull.on_demand) {
            return wanted;
        }
        for mount in self.directory.iter().filter(|mount| self.listeners_count(mount) > 0) {
            for link in self.directory.chain(mount.id) {
                wanted.insert(link.id);
                if link.running.is_some() {
                    break;
                }
            }
        }
        wanted
    }

    fn tend_pull(&mut self, id: MountId, is_heard: bool) {
        let (now, stopping) = (self.now, self.drain.is_some());
        let taken = self
            .directory
            .get(id)
            .is_some_and(|mount| mount.running.as_ref().is_some_and(|running| !running.is_pull));
        let pull = self.pulls.get_mut(&id).expect("listed by the caller");
        let is_wanted = is_heard || !pull.on_demand;
        if is_wanted {
            pull.unwanted_since = None;
        }
        match pull.state {
            State::Waiting { until } if now >= until => pull.state = State::Idle,
            State::Resolving { until, .. } if now >= until => {
                self.attempt_failed(id, unreachable("the name was not looked up in time"));
            }
            State::Connecting { shard, until, .. } if now >= until => {
                self.send(shard, Message::StopPull(id));
                self.attempt_failed(id, unreachable("no news of the attempt"));
            }
            _ => {}
        }
        let pull = self.pulls.get_mut(&id).expect("listed by the caller");
        match pull.state {
            State::Idle if is_wanted && taken => {
                pull.state = State::Waiting { until: now + TAKEN_RETRY };
            }
            State::Idle if is_wanted && !stopping => self.start_pull(id),
            State::Resolving { .. } | State::Connecting { .. } | State::Running { .. }
                if !is_wanted =>
            {
                let since = *pull.unwanted_since.get_or_insert(now);
                if now >= since + UNWANTED_MAX {
                    self.stop_pull(id, "nobody listens");
                }
            }
            _ => {}
        }
    }

    /// Begins an attempt at the URL whose turn it is.
    fn start_pull(&mut self, id: MountId) {
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let Some(url) = pull.urls.get(pull.url_index) else {
            pull.url_index = 0;
            return;
        };
        match Upstream::parse(url) {
            Ok(upstream) => {
                pull.redirects_count = 0;
                self.approach(id, upstream);
            }
            Err(reason) => self.attempt_failed(id, PullFailure::Malformed(reason.to_owned())),
        }
    }

    /// Goes on to the address of a place, or has its name looked up.
    fn approach(&mut self, id: MountId, upstream: Upstream) {
        self.pull_numbers += 1;
        let number = self.pull_numbers;
        let until = self.now + ATTEMPT_MAX;
        let pull = self.pulls.get_mut(&id).expect("an attempt has a pull");
        let (literal, host, port) = (upstream.literal(), upstream.host.clone(), upstream.port);
        pull.upstream = Some(upstream);
        pull.addresses.clear();
        match literal {
            Some(address) => {
                pull.addresses.push_back(address);
                self.order_pull(id);
            }
            None => {
                pull.state = State::Resolving { id: number, until };
                self.resolve(number, host, port);
            }
        }
    }

    /// Has a shard connect to the next address.
    fn order_pull(&mut self, id: MountId) {
        self.pull_numbers += 1;
        let order = self.pull_numbers;
        let shard = ShardId((id.0 as usize % self.setup.shards_count) as u16);
        let Some(mount) = self.directory.get(id) else { return };
        let mount_name = mount.name.to_string();
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let (Some(address), Some(upstream)) = (pull.addresses.pop_front(), &pull.upstream) else {
            return;
        };
        let url = upstream.shown();
        let message = PullOrder {
            mount: id,
            order,
            address,
            host: upstream.host_header(),
            path: upstream.path.clone(),
            credentials: upstream.credentials.clone(),
            titles: pull.titles,
            timeout: CONNECT_TIMEOUT,
            mount_name,
        };
        pull.state = State::Connecting { order, shard, until: self.now + ATTEMPT_MAX };
        self.counters.pull_attempts += 1;
        let mount = &message.mount_name;
        tracing::info!(mount, url, %address, order, shard = shard.0, "pulling");
        self.send(shard, Message::StartPull(Box::new(message)));
    }

    fn attempt_failed(&mut self, id: MountId, failure: PullFailure) {
        let name = self.directory.get(id).map(|mount| mount.name.to_string()).unwrap_or_default();
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let url = pull.upstream.as_ref().map(Upstream::shown).unwrap_or_default();
        let (next, refused_redirect) = pull.after(&failure);
        match &failure {
            PullFailure::Redirected(_) if refused_redirect.is_none() => {
                tracing::info!(mount = name, url, ?failure, "pull redirected");
            }
            PullFailure::Loop => {
                tracing::error!(
                    mount = name,
                    url,
                    "pull loop: upstream's stream comes from this very server"
                );
            }
            _ => tracing::warn!(
                mount = name,
                url,
                ?failure,
                redirect = refused_redirect,
                "pull failed"
            ),
        }
        if !matches!(next, Next::Redirect(_)) {
            self.counters.pull_failures += 1;
        }
        match next {
            Next::Redirect(upstream) => self.approach(id, upstream),
            Next::Address => self.order_pull(id),
            Next::Url => self.start_pull(id),
            Next::Wait => {
                self.wait_before_pull(id);
                self.turn_waiters_away();
            }
        }
    }

    /// Tells listeners that wait for a mount which nothing brings up for now: every pull that could
    /// has had its round. Who comes later waits for the next one.
    fn turn_waiters_away(&mut self) {
        let is_trying = |id: &MountId| {
            self.pulls.get(id).is_some_and(|pull| !matches!(pull.state, State::Waiting { .. }))
        };
        let is_in_vain = |mount: &&MountState| {
            self.listeners_count(mount) > 0
                && self.directory.route(mount.id).is_none()
                && !self.directory.chain(mount.id).iter().any(|link| is_trying(&link.id))
        };
        let homes: Vec<_> = self.directory.iter().filter(is_in_vain).map(|m| m.id).collect();
        for home in homes {
            for shard in 0..self.setup.shards_count {
                self.send(ShardId(shard as u16), Message::NothingComes(home));
            }
        }
    }

    /// Waits longer each time.
    fn wait_before_pull(&mut self, id: MountId) {
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let doublings = if pull.looped { u32::MAX } else { pull.failures_count };
        let full = BACKOFF_MIN.saturating_mul(1u32 << doublings.min(10)).min(BACKOFF_MAX);
        // Up to a fifth less, so that many pulls of one dead server do not come back together.
        let jitter = Duration::from_millis(self.random.below(full.as_millis() as u64 / 5 + 1));
        pull.failures_count = pull.failures_count.saturating_add(1);
        pull.begin_round();
        pull.state = State::Waiting { until: self.now + (full - jitter) };
    }

    /// Ends whatever a pull is doing.
    fn stop_pull(&mut self, id: MountId, why: &str) {
        let shards_count = self.setup.shards_count;
        let Some(pull) = self.pulls.get_mut(&id) else { return };
        let state = pull.state;
        pull.unwanted_since = None;
        pull.begin_round();
        let shard = match state {
            State::Idle | State::Waiting { .. } | State::Stopping { .. } => return,
            State::Resolving { .. } => {
                pull.state = State::Idle;
                return;
            }
            State::Connecting { shard, .. } => {
                pull.state = State::Idle;
                shard
            }
            State::Running { session } => {
                pull.state = State::Stopping { session };
                ShardId((id.0 as usize % shards_count) as u16)
            }
        };
        let name = self.directory.get(id).map(|mount| mount.name.to_string()).unwrap_or_default();
        tracing::info!(mount = name, why, "pull stopped");
        self.send(shard, Message::StopPull(id));
    }
}

fn unreachable(why: &str) -> PullFailure {
    PullFailure::Unreachable(why.to_owned())
}
