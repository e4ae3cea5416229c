//! Operators and encoders that talk to `/admin/`: titles, kicks, moves, fallbacks, statistics.

use std::time::{Duration, Instant};

use shards_sim::{Peer, PeerState};

use crate::stage::{Checker, Phase, Stage};
use crate::truth::Place;

/// How long an answer may take, ms; control has ten seconds, and processes may stop.
const ANSWER_MS_MAX: u64 = 40_000;

/// Asks one thing after the other.
pub(crate) struct Operator {
    pub(crate) next_at: Instant,
    request: Option<Request>,
    titles_count: u32,
}

struct Request {
    peer: Peer,
    what: String,
    unsent: Vec<u8>,
    since: Instant,
    answer: Vec<u8>,
    /// It does not wait for the answer.
    leaves_at: Option<Instant>,
}

impl Operator {
    pub(crate) fn new(next_at: Instant) -> Operator {
        Operator { next_at, request: None, titles_count: 0 }
    }

    /// Does what is next, and says when to come back.
    pub(crate) fn step(&mut self, stage: &mut Stage) {
        self.next_at = stage.within_ms(100);
        let Some(request) = &mut self.request else {
            if stage.phase >= Phase::Leaving {
                self.next_at = stage.after_ms(1_000);
            } else {
                self.ask(stage);
            }
            return;
        };
        let waits_ms = (stage.now() - request.since).as_millis() as u64;
        let is_over = match request.peer.state() {
            PeerState::Connecting => waits_ms > 6_000,
            _ => request.go_on(stage),
        };
        let request = self.request.as_ref().expect("looked at above");
        if !is_over && waits_ms > ANSWER_MS_MAX {
            let what = format!("a request was never answered: {}", request.what);
            return stage.fail(Checker::Liveness, what);
        }
        if is_over || request.leaves_at.is_some_and(|at| stage.now() >= at) {
            self.request = None;
            self.next_at = stage.within_ms(stage.swarm.admin_ms_max);
        }
    }

    fn ask(&mut self, stage: &mut Stage) {
        let at = draw_place(stage);
        let mount = stage.name(at).to_owned();
        let what = self.draw_request(stage, at, &mount);
        let head = format!(
            "GET {what} HTTP/1.1\r\nHost: sim\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n"
        );
        let node = at.node;
        stage.note(|| format!("request to node {node}: {what}"));
        let from = stage.host();
        let peer = stage.world.connect(from, stage.address(at.node, None));
        let is_impatient = stage.phase == Phase::Chaos && stage.prng.below(5) == 0;
        self.request = Some(Request {
            peer,
            what,
            unsent: head.into_bytes(),
            since: stage.now(),
            answer: Vec::new(),
            leaves_at: is_impatient.then(|| stage.within_ms(300)),
        });
        self.next_at = stage.within_ms(10);
    }

    fn draw_request(&mut self, stage: &mut Stage, at: Place, mount: &str) -> String {
        let operations = stage.swarm.operations;
        let is_chaos = stage.phase == Phase::Chaos;
        match stage.prng.below(12) {
            0 if operations.kills && is_chaos => format!("/admin/killsource?mount={mount}"),
            1 if operations.kills && is_chaos => {
                let id = stage.prng.below(200);
                format!("/admin/killclient?mount={mount}&id={id}")
            }
            2 if operations.moves && is_chaos => {
                let mounts_count = stage.swarm.nodes[at.node].mounts.len();
                let to = Place { node: at.node, mount: stage.prng.index(mounts_count) };
                stage.truth.move_away(at, to);
                format!("/admin/moveclients?mount={mount}&destination={}", stage.name(to))
            }
            3 if operations.fallbacks && is_chaos => {
                let mounts_count = stage.swarm.nodes[at.node].mounts.len();
                let to = Place { node: at.node, mount: stage.prng.index(mounts_count) };
                stage.truth.connect(at, to);
                format!("/admin/fallbacks?mount={mount}&fallback={}", stage.name(to))
            }
            4 => "/status-json.xsl".to_owned(),
            5 => "/admin/stats".to_owned(),
            6 => format!("/admin/listclients?mount={mount}"),
            7 => "/metrics".to_owned(),
            _ => {
                self.titles_count += 1;
                let title = format!("title {} of {mount}", self.titles_count);
                stage.truth.add_title(&title);
                let song = title.replace(' ', "%20");
                format!("/admin/metadata?mount={mount}&mode=updinfo&song={song}")
            }
        }
    }
}

impl Request {
    /// True: it is over.
    fn go_on(&mut self, stage: &mut Stage) -> bool {
        let most = self.unsent.len().min(1 + stage.prng.index(100));
        let count = self.peer.write(&self.unsent[..most]);
        self.unsent.drain(..count);
        self.answer.extend(self.peer.read(usize::MAX));
        if !self.unsent.is_empty() {
            self.since = stage.now();
        }
        if !self.peer.is_finished() {
            return false;
        }
        stage.tally.requests_answered += u64::from(self.answer.starts_with(b"HTTP/1.0 200"));
        let is_calm = stage.phase == Phase::Calm
            && stage.now() >= stage.phase_since + Duration::from_secs(20);
        let was_closed = self.peer.state() == PeerState::Open;
        if is_calm && was_closed && !self.answer.starts_with(b"HTTP/") {
            let what = format!("a request was closed without an answer: {}", self.what);
            stage.fail(Checker::Liveness, what);
        }
        true
    }
}

fn draw_place(stage: &mut Stage) -> Place {
    let node = stage.prng.index(stage.swarm.nodes.len());
    let mount = stage.prng.index(stage.swarm.nodes[node].mounts.len());
    Place { node, mount }
}
