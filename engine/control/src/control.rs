//! [`Control`]: the tables, the order of things, and what every part of it uses.
//!
//! What each input does stands beside it: `claims` (sources), `listeners`, `pulls`, `requests`
//! (admin, statistics, pages). Whatever they change in the directory is pushed once, at the end of
//! the input, by [`Control::settle`].
//!
//! * *Invariant:* a shard hears of a session (snapshot) before anything that presumes it (verdict,
//!   order), and of listeners' new homes before the snapshot that would lead them elsewhere.
//! * *Invariant:* every question is answered or its answer is bounded by a deadline here that is
//!   shorter than the shard's own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::Config;
use engine_events::{Catalog, Done, EventCounters, Order};
use engine_node::{Message, MountId, Question, Snapshot, Verdict};
use media_link::Recording;
use protocol_icy::Answers;
use shards_runtime::{ShardId, Token};

use crate::claims::Takeover;
use crate::directory::Directory;
use crate::drain::Drain;
use crate::gathers::Gather;
use crate::peers::PeerQuestions;
use crate::pull::Pull;
use crate::random::Random;
use crate::recordings::Recordings;
use crate::reports::Reports;
use crate::rtc::RtcQuestions;
use crate::turn::TurnQuestions;
use crate::view::ControlCounters;

/// How often mounts and counts are looked over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long a mount that is not configured is remembered after its session.
const MOUNT_LINGER: Duration = Duration::from_secs(60);

/// What a control plane starts with besides its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Number of shards; participants of the mesh but one.
    pub shards_count: usize,
    /// Seed of the jitter.
    pub seed: u64,
    /// Port of the first acceptor, for listen URLs.
    pub port: u16,
    /// Unix time of the start.
    pub started: Duration,
}

/// What happens to the control plane.
#[derive(Debug)]
pub enum Input {
    /// A shard says something.
    Message {
        /// Which shard.
        from: ShardId,
        /// What it says.
        message: Message,
    },
    /// Nothing but time: [`Control::deadline`] has come.
    Tick,
    /// A name was looked up.
    Resolved {
        /// As in [`Output::Resolve`].
        id: u32,
        /// Its addresses with the port, or why there are none.
        addresses: Result<Vec<SocketAddr>, String>,
    },
    /// The operator gave a new configuration.
    Reload(Arc<Config>),
    /// The operator gave new certificates.
    Tls(Arc<protocol_tls::ServerConfig>),
    /// The server is to stop; a second time: at once.
    Drain,
    /// The keeper has done something.
    Kept(Done),
    /// Access-log lines since the start.
    LogCounters {
        /// Lines written.
        written: u64,
        /// Lines that did not reach the disk.
        lost: u64,
    },
    /// What the keeper has counted since the start.
    EventCounters(EventCounters),
}

/// What the control plane wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a message, surely and in order.
    Send {
        /// To which shard.
        to: ShardId,
        /// What.
        message: Message,
    },
    /// Look a name up and come back with [`Input::Resolved`].
    Resolve {
        /// Number to come back with.
        id: u32,
        /// The name.
        host: String,
        /// Port for the addresses.
        port: u16,
    },
    /// Have the keeper do something that may wait for a disk. One that is not taken is answered
    /// with [`Input::Kept`] all the same.
    Keep(Order),
    /// Every shard is done, or had its time: the process may end.
    Finished,
}

/// The control plane of one server: policy, directory, pulls, administration.
pub struct Control {
    pub(crate) config: Arc<Config>,
    pub(crate) setup: Setup,
    pub(crate) now: Instant,
    pub(crate) wall_clock: Duration,
    pub(crate) directory: Directory,
    pub(crate) takeovers: BTreeMap<MountId, Takeover>,
    pub(crate) pulls: BTreeMap<MountId, Pull>,
    pub(crate) pull_numbers: u32,
    pub(crate) gathers: BTreeMap<u32, Gather>,
    pub(crate) gather_numbers: u32,
    pub(crate) turn: TurnQuestions,
    pub(crate) peers: PeerQuestions,
    pub(crate) rtc: RtcQuestions,
    pub(crate) recordings: Recordings,
    pub(crate) reports: Reports,
    pub(crate) counters: ControlCounters,
    pub(crate) random: Random,
    pub(crate) drain: Option<Drain>,
    /// Whether the snapshot is out of date.
    pub(crate) dirty: bool,
    /// Whether a pull may have to start or stop.
    pub(crate) pulls_due: bool,
    tls: Option<Arc<protocol_tls::ServerConfig>>,
    snapshot: Arc<Snapshot>,
    housekeeping_at: Instant,
    outputs: VecDeque<Output>,
    /// What presumes the snapshot that is about to be pushed.
    after_snapshot: Vec<Output>,
}

/// A connection that waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asker {
    pub(crate) shard: ShardId,
    pub(crate) ask: Token,
    /// It wants only the head of its answer.
    pub(crate) head_only: bool,
}

impl Control {
    /// A control plane that has not begun; pulls start with the first input.
    ///
    /// # Panics
    /// When there is no shard.
    #[must_use]
    pub fn new(config: Arc<Config>, setup: Setup, now: Instant) -> Control {
        assert!(setup.shards_count > 0, "a server without shards");
        let mut directory = Directory::default();
        directory.configure(now, &config);
        let snapshot = Snapshot {
            version: 1,
            config: Arc::clone(&config),
            mounts: directory.entries(),
            clients_count: 0,
            tls: None,
        };
        let mut control = Control {
            config,
            setup,
            now,
            wall_clock: setup.started,
            directory,
            takeovers: BTreeMap::new(),
            pulls: BTreeMap::new(),
            pull_numbers: 0,
            gathers: BTreeMap::new(),
            gather_numbers: 0,
            turn: TurnQuestions::default(),
            peers: PeerQuestions::default(),
            rtc: RtcQuestions::default(),
            recordings: Recordings::default(),
            reports: Reports::new(setup.shards_count),
            counters: ControlCounters::default(),
            random: Random::new(setup.seed),
            drain: None,
            dirty: false,
            pulls_due: true,
            tls: None,
            snapshot: Arc::new(snapshot),
            housekeeping_at: now,
            outputs: VecDeque::new(),
            after_snapshot: Vec::new(),
        };
        control.configure_pulls();
        control
    }

    /// The same with certificates, from the first snapshot on.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<protocol_tls::ServerConfig>>) -> Control {
        let Snapshot { version, clients_count, .. } = *self.snapshot;
        let (config, mounts) = (Arc::clone(&self.config), self.snapshot.mounts.clone());
        self.tls.clone_from(&tls);
        self.snapshot = Arc::new(Snapshot { version, config, mounts, clients_count, tls });
        self
    }

    /// The same with these recordings, which were there before.
    #[must_use]
    pub fn with_recordings(mut self, recordings: Vec<Recording>) -> Control {
        self.recordings.catalog = Catalog::of(recordings);
        self
    }

    /// The policy in force; every shard starts with the first one.
    #[must_use]
    pub fn first_snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// Takes one input. [`Control::poll`] is drained after each.
    pub fn handle(&mut self, now: Instant, wall_clock: Duration, input: Input) {
        (self.now, self.wall_clock) = (now, wall_clock);
        match input {
            Input::Message { from, message } => self.message(from, message),
            Input::Tick => {}
            Input::Resolved { id, addresses } => self.resolved(id, addresses),
            Input::Reload(config) => self.reload(&config),
            Input::Tls(tls) => {
                (self.tls, self.dirty) = (Some(tls), true);
            }
            Input::Drain => self.start_drain(),
            Input::Kept(done) => self.kept(done),
            Input::EventCounters(counters) => self.counters.events = counters,
            Input::LogCounters { written, lost } => {
                self.counters.log_lines_written = written;
                self.counters.log_lines_lost = lost;
            }
        }
        self.expire();
        self.settle();
    }

    /// What is to be done next; `None` when that was all.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let takeover = self.takeovers.values().map(|takeover| takeover.until).min();
        let gather = self.gathers.values().map(|gather| gather.until).min();
        let drain = self.drain.as_ref().and_then(Drain::deadline);
        let asked = [self.turn.deadline(), self.peers.deadline(), self.rtc.deadline()];
        let asked = asked.into_iter().chain([self.recordings.deadline()]);
        let times = [Some(self.housekeeping_at), takeover, gather, self.pulls_deadline(), drain];
        times.into_iter().chain(asked).flatten().min()
    }

    fn message(&mut self, from: ShardId, message: Message) {
        assert!(from.index() < self.setup.shards_count, "only shards speak to control");
        match message {
            Message::Ask { ask, question } => {
                self.question(Asker { shard: from, ask, head_only: false }, *question);
            }
            Message::SourceEnded { session, cause } => self.source_ended(session, cause),
            Message::StreamNews { session, news } => self.stream_news(session, *news),
            Message::Left(mount) => self.listener_left(from, mount),
            Message::PullFailed { mount, order, failure } => {
                self.pull_failed(mount, order, *failure);
            }
            Message::Stats(stats) => {
                self.reports.take(from, stats);
                self.note_peaks(from);
                self.pulls_due = true;
            }
            Message::Listeners { request, listeners } => {
                self.listeners_listed(from, request, *listeners);
            }
            Message::KillResult { request, found } => self.listener_killed(request, found),
            Message::Allocations { request, rows } => {
                self.turn_answered(from, request, *rows, false);
            }
            Message::AllocationKilled { request, found } => {
                self.turn_answered(from, request, Vec::new(), found);
            }
            Message::Peers { request, rows } => self.peers_listed(from, request, *rows),
            Message::Sessions { request, rows } => self.rtc_answered(from, request, *rows, false),
            Message::SessionKilled { request, found } => {
                self.rtc_answered(from, request, Vec::new(), found);
            }
            Message::Happened(told) => self.happened(*told),
            Message::Drained => self.shard_drained(from),
            Message::Subscribe(_)
            | Message::Unsubscribe(_)
            | Message::Publish { .. }
            | Message::Prelude { .. }
            | Message::Title { .. }
            | Message::FeedEnd(_)
            | Message::Symple(_)
            | Message::StreamIs { .. }
            | Message::ListPeers { .. }
            | Message::Snapshot(_)
            | Message::Verdict { .. }
            | Message::SetTitle { .. }
            | Message::KillSource(_)
            | Message::KillListener { .. }
            | Message::ListListeners { .. }
            | Message::MoveListeners { .. }
            | Message::ListAllocations { .. }
            | Message::Rtc(_)
            | Message::TurnUsers(_)
            | Message::ListSessions { .. }
            | Message::KillSession { .. }
            | Message::KillAllocation { .. }
            | Message::StartPull(_)
            | Message::StopPull(_)
            | Message::NothingComes(_)
            | Message::Event(_)
            | Message::Drain { .. } => unreachable!("a message for a shard came to control"),
        }
    }

    fn question(&mut self, asker: Asker, question: Question) {
        match question {
            Question::Claim { mount, stream, pull_order } => {
                self.claim(asker, &mount, *stream, pull_order);
            }
            Question::Admit { mount, agent } => self.admit(asker, mount, agent),
            Question::Http(request) => self.request(asker, *request),
        }
    }

    /// What deadlines ask for.
    fn expire(&mut self) {
        self.expire_takeovers();
        self.expire_gathers();
        self.expire_turn_questions();
        self.expire_peer_questions();
        self.expire_rtc_questions();
        self.expire_removals();
        if self.now >= self.housekeeping_at {
            self.housekeeping_at = self.now + HOUSEKEEPING;
            self.keep_house();
        }
        self.expire_drain();
    }

    fn keep_house(&mut self) {
        self.forget_mounts();
        self.recount_listeners();
        let (count, told) = (self.reports.clients_count(), self.snapshot.clients_count);
        let limit = u64::from(self.config.limits.clients_max);
        // Shards refuse by this number, so that near the limit each client counts.
        let is_near = count.max(told) + limit / 16 >= limit;
        let tolerance = if is_near { 0 } else { 16 + told / 32 };
        self.dirty |= count.abs_diff(told) > tolerance;
    }

    /// Lets go of mounts that nobody configured, feeds or hears.
    fn forget_mounts(&mut self) {
        let (now, directory, reports) = (self.now, &self.directory, &self.reports);
        let gone = directory.iter().filter(|mount| {
            !mount.is_configured
                && mount.running.is_none()
                && now >= mount.idle_since + MOUNT_LINGER
                && mount.admitted == 0
                && reports.at_home(mount.id) == 0
        });
        let gone: Vec<MountId> = gone.map(|mount| mount.id).collect();
        self.dirty |= !gone.is_empty();
        gone.into_iter().for_each(|id| self.directory.remove(id));
    }

    /// Ends an input: pulls follow the directory, the shards get what is new.
    fn settle(&mut self) {
        self.tend_pulls();
        #[cfg(feature = "mutants")]
        if engine_node::is_planted(engine_node::Mutant::GrantBeforeSnapshot) {
            self.outputs.extend(self.after_snapshot.drain(..));
        }
        if std::mem::take(&mut self.dirty) {
            for (from, to) in self.directory.reroute() {
                self.move_admitted(from, to);
                self.broadcast(|| Message::MoveListeners { from, to });
            }
            self.counters.snapshots += 1;
            self.snapshot = Arc::new(Snapshot {
                version: self.snapshot.version + 1,
                config: Arc::clone(&self.config),
                mounts: self.directory.entries(),
                clients_count: self.reports.clients_count(),
                tls: self.tls.clone(),
            });
            let snapshot = Arc::clone(&self.snapshot);
            self.broadcast(|| Message::Snapshot(Arc::clone(&snapshot)));
        }
        self.outputs.extend(self.after_snapshot.drain(..));
    }

    fn reload(&mut self, new: &Config) {
        let diff = self.config.reload_diff(new);
        self.counters.reloads += 1;
        tracing::info!(
            added = ?diff.mounts_added, removed = ?diff.mounts_removed,
            changed = ?diff.mounts_changed, keys = ?diff.changed, "configuration reloaded"
        );
        if !diff.needs_restart.is_empty() {
            tracing::warn!(keys = ?diff.needs_restart, "these changes wait for a restart");
        }
        self.config = Arc::new(self.config.reloaded(new));
        self.directory.configure(self.now, &self.config);
        self.configure_pulls();
        (self.dirty, self.pulls_due) = (true, true);
    }

    /// Sends every shard a message before whatever this input sends after its snapshot.
    pub(crate) fn broadcast(&mut self, message: impl Fn() -> Message) {
        for shard in 0..self.setup.shards_count {
            let to = ShardId(shard as u16);
            if self.is_listening(to) {
                self.outputs.push_back(Output::Send { to, message: message() });
            }
        }
    }

    /// Sends a message after the snapshot that this input may cause.
    pub(crate) fn send(&mut self, to: ShardId, message: Message) {
        if self.is_listening(to) {
            self.after_snapshot.push(Output::Send { to, message });
        }
    }

    pub(crate) fn finish(&mut self) {
        self.after_snapshot.push(Output::Finished);
    }

    pub(crate) fn keep(&mut self, order: Order) {
        self.after_snapshot.push(Output::Keep(order));
    }

    pub(crate) fn resolve(&mut self, id: u32, host: String, port: u16) {
        self.after_snapshot.push(Output::Resolve { id, host, port });
    }

    pub(crate) fn answer(&mut self, asker: Asker, verdict: Verdict) {
        let verdict = Message::Verdict { ask: asker.ask, verdict: Box::new(verdict) };
        self.send(asker.shard, verdict);
    }

    /// What Icecast's answers are made with.
    pub(crate) fn answers(&self) -> Answers<'_> {
        Answers {
            server: &self.config.server.server_id,
            unix_seconds: self.wall_clock.as_secs(),
            extra_headers: &self.config.http.cors_headers,
        }
    }
}
