//! Between workers and streams of WebRTC on one shard: what a worker sends is published, and what
//! is published is recorded.
//!
//! ```text
//! worker (stream) ── packets ──► RTP payloads ──► Rtc::feed ──► viewers, any shard
//!        ◄── keyframe wanted, bitrate ───────────────┘
//! worker (record) ◄── units ── depacketizer ◄── tap ◄── a stream's publisher, any shard
//!        ── keyframe wanted ────────────────────────────► publisher
//! ```
//!
//! A source's worker runs whether or not anybody watches. A recorder is hired when its stream has
//! tracks, and dismissed when its publisher is gone, so that each file is whole.

mod ingest;
mod recording;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine_rtc::{Letter, LocalWord, Rtc, SessionId, Taker, TapId};
use media_link::{Analysis, Ending, Event, Job, Message, RecordJob, StreamJob};
use shards_runtime::{Completion, Context, Io, Token};

use crate::desk::{Desk, Stats, Word, WorkerId};
use crate::supervisor::Departure;
use ingest::Ingest;
use recording::Taped;

/// How often it is looked which streams are to be recorded, and claims are tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Which of a shard's streams have workers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The sources that are opened on this shard.
    pub sources: Vec<StreamJob>,
    /// How streams that are at home on this shard are recorded, and which; the job's name is each
    /// stream's own.
    pub recording: Option<Recorded>,
}

/// Which streams are recorded, and how.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// How.
    pub job: RecordJob,
    /// What is to be found in streams of which something else is wanted than the job says.
    pub analyses: BTreeMap<String, Analysis>,
    /// Only these, where there are any.
    pub only: Vec<String>,
}

impl Recorded {
    /// The job for a stream.
    fn job_of(&self, name: &str) -> RecordJob {
        let analysis = self.analyses.get(name).unwrap_or(&self.job.analysis).clone();
        RecordJob { name: name.into(), analysis, ..self.job.clone() }
    }
}

/// Something that a worker told, for logs and whoever listens.
#[derive(Debug)]
pub enum Notice {
    /// An event.
    Told {
        /// The stream's name.
        stream: String,
        /// What.
        event: Event,
    },
    /// The source of a stream is gone, or could not be opened.
    SourceLost {
        /// The stream's name.
        stream: String,
        /// Why, without addresses and credentials.
        cause: String,
    },
}

/// The bridge of one shard.
#[derive(Debug)]
pub struct Bridge {
    desk: Desk,
    plan: Plan,
    ingests: BTreeMap<WorkerId, Ingest>,
    by_session: BTreeMap<SessionId, WorkerId>,
    taps: BTreeMap<TapId, Taped>,
    notices: Vec<Notice>,
    is_started: bool,
    housekeeping_at: Option<Instant>,
}

/// Notices that nobody has taken; beyond, the newest are dropped.
const NOTICES_MAX: usize = 1024;

impl Bridge {
    /// With this desk; nothing is hired before the first tick.
    pub fn new(desk: Desk, plan: Plan) -> Bridge {
        Bridge {
            desk,
            plan,
            ingests: BTreeMap::new(),
            by_session: BTreeMap::new(),
            taps: BTreeMap::new(),
            notices: Vec::new(),
            is_started: false,
            housekeeping_at: None,
        }
    }

    /// Whether a completion with this token is for the bridge.
    pub fn owns(token: Token) -> bool {
        Desk::owns(token)
    }

    /// An operation on a worker's socket is done, or a step of a lasting one.
    pub fn on_completion<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        completion: Completion<I::Buffer>,
    ) {
        self.desk.on_completion(cx, completion);
    }

    /// The tick ends: behind [`Rtc::on_tick_end`], so that what came in this tick goes on in it.
    pub fn on_tick_end<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
    ) {
        if !std::mem::replace(&mut self.is_started, true) {
            self.hire_sources();
        }
        if self.housekeeping_at.is_none_or(|at| at <= cx.now()) {
            self.housekeeping_at = Some(cx.now() + HOUSEKEEPING);
            self.keep_house(cx, rtc);
        }
        let mut has_fed = false;
        while let Some(word) = self.desk.poll() {
            has_fed |= self.hear(cx, rtc, word);
        }
        while let Some(word) = rtc.poll_local(Taker::Workers) {
            self.hear_local(cx, rtc, word);
        }
        for (tap, taped) in &mut self.taps {
            if taped.pump(cx.now(), &mut self.desk) {
                rtc.want_keyframes(cx, *tap);
            }
        }
        self.desk.on_tick_end(cx);
        if has_fed {
            rtc.on_tick_end(cx);
        }
    }

    /// When [`Bridge::on_tick_end`] wants to run at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let of_taps = self.taps.values().filter_map(Taped::deadline);
        of_taps.chain(self.desk.deadline()).chain(self.housekeeping_at).min()
    }

    /// What workers told since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What the desk has counted.
    pub fn stats(&self) -> Stats {
        self.desk.stats()
    }

    fn hire_sources(&mut self) {
        for job in self.plan.sources.clone() {
            let name = job.name.clone();
            match self.desk.hire(Job::Stream(job)) {
                Some(worker) => drop(self.ingests.insert(worker, Ingest::new(&name))),
                None => tracing::warn!(stream = name, "there are too many workers for its source"),
            }
        }
    }

    fn keep_house<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
    ) {
        for (worker, ingest) in &mut self.ingests {
            if let Some(session) = ingest.publish_again(cx, rtc) {
                self.by_session.insert(session, *worker);
            }
            if let Some(wish) = ingest.bitrate_wish(cx, rtc) {
                // A worker that takes nothing now is told with the next change.
                self.desk.say(*worker, wish).ok();
            }
        }
        let Some(recorded) = &self.plan.recording else { return };
        let is_wanted =
            |name: &str| recorded.only.is_empty() || recorded.only.iter().any(|only| only == name);
        let live: Vec<_> = rtc.live_streams().filter(|name| is_wanted(name)).cloned().collect();
        for name in live {
            if !self.taps.values().any(|taped| *taped.name == *name) {
                let job = recorded.job_of(&name);
                let tap = rtc.tap(cx, Taker::Workers, &name);
                self.taps.insert(tap, Taped::new(name, job));
            }
        }
        let over: Vec<TapId> =
            self.taps.iter().filter(|(_, taped)| taped.is_over()).map(|(tap, _)| *tap).collect();
        for tap in over {
            rtc.untap(tap);
            self.taps.remove(&tap);
        }
    }

    /// A word of the desk; whether something was fed to a stream.
    fn hear<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
        word: Word,
    ) -> bool {
        match word {
            Word::Started(_) => {}
            Word::Said(worker, message) => return self.said(cx, rtc, worker, message),
            Word::Closed(worker) => {
                if let Some(ingest) = self.ingests.get_mut(&worker)
                    && let Some(session) = ingest.end()
                {
                    self.by_session.remove(&session);
                    rtc.unpublish(cx, session);
                }
                for (tap, taped) in &mut self.taps {
                    if taped.worker == Some(worker) {
                        taped.is_running = false;
                        rtc.want_keyframes(cx, *tap);
                    }
                }
            }
            Word::Departed(worker, departure) => {
                let is_final = !matches!(departure, Departure::Crashed { .. });
                let ingest = self.ingests.get(&worker).map(|ingest| ingest.name.to_string());
                let taped = self.taps.values_mut().find(|taped| taped.worker == Some(worker));
                let stream = ingest.or(taped.as_ref().map(|taped| taped.name.to_string()));
                match departure {
                    Departure::Done => tracing::info!(?stream, "a worker has done its work"),
                    Departure::Refused => tracing::error!(?stream, "a worker refuses its work"),
                    Departure::Crashed { cause, again_in } => {
                        tracing::warn!(?stream, cause, ?again_in, "a worker is started again");
                    }
                }
                if is_final {
                    if let Some(taped) = taped {
                        taped.worker = None;
                    }
                    self.ingests.remove(&worker);
                }
            }
        }
        false
    }

    fn said<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
        worker: WorkerId,
        message: Message,
    ) -> bool {
        let tap = self.taps.iter_mut().find(|(_, taped)| taped.worker == Some(worker));
        match message {
            Message::Hello(_) => {
                if let Some((_, taped)) = tap {
                    taped.begin(&mut self.desk);
                }
            }
            Message::Track(track) => {
                if let Some(ingest) = self.ingests.get_mut(&worker) {
                    ingest.track(track, rtc.draw_number());
                }
            }
            Message::Packet(packet) => {
                let Some(ingest) = self.ingests.get_mut(&worker) else { return false };
                if let Some(session) = ingest.publish(cx, rtc) {
                    self.by_session.insert(session, worker);
                }
                ingest.feed(cx.now(), rtc, &packet);
                return true;
            }
            Message::KeyframeWanted { .. } => {
                if let Some((tap, _)) = tap {
                    let tap = *tap;
                    rtc.want_keyframes(cx, tap);
                }
            }
            Message::Event { event, .. } => {
                let of_tap = tap.map(|(_, taped)| taped.name.to_string());
                let of_source = self.ingests.get(&worker).map(|ingest| ingest.name.to_string());
                let stream = of_tap.or(of_source).unwrap_or_default();
                if self.notices.len() < NOTICES_MAX {
                    self.notices.push(Notice::Told { stream, event: *event });
                }
            }
            Message::End(ending) => {
                tracing::info!(worker = worker.0, %ending, "a worker ends");
                if let (Some(ingest), Some(cause)) = (self.ingests.get(&worker), lost(&ending))
                    && self.notices.len() < NOTICES_MAX
                {
                    let stream = ingest.name.to_string();
                    self.notices.push(Notice::SourceLost { stream, cause });
                }
            }
            _ => {}
        }
        false
    }

    fn hear_local<I: Io, M: Send + From<Letter>>(
        &mut self,
        _cx: &mut Context<'_, I, M>,
        _rtc: &mut Rtc,
        word: LocalWord,
    ) {
        match word {
            LocalWord::Refused(session) => {
                let worker = self.by_session.remove(&session);
                if let Some(ingest) = worker.and_then(|worker| self.ingests.get_mut(&worker)) {
                    ingest.refused();
                }
            }
            LocalWord::KeyframeWanted { session, track } => {
                if let Some(worker) = self.by_session.get(&session) {
                    let track = track.0 as u8;
                    // A worker that takes nothing now makes a keyframe by itself before long.
                    self.desk.say(*worker, Message::KeyframeWanted { track }).ok();
                }
            }
            LocalWord::Tracks { tap, tracks } => {
                if let Some(taped) = self.taps.get_mut(&tap) {
                    taped.tracks(&mut self.desk, &tracks);
                }
            }
            LocalWord::Packet { tap, track, packet } => {
                if let Some(taped) = self.taps.get_mut(&tap) {
                    taped.packet(track, &packet);
                }
            }
            LocalWord::Lost(tap) => {
                if let Some(taped) = self.taps.get_mut(&tap) {
                    taped.lost(&mut self.desk);
                }
            }
        }
    }
}

/// Why a source is lost with the end of its worker, if it is.
fn lost(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Complete => None,
        Ending::SourceLost { cause }
        | Ending::Refused { cause }
        | Ending::WriteFailed { cause }
        | Ending::Failed { cause } => Some(cause.clone()),
    }
}
