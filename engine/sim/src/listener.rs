//! A listener: asks for a mount, reads at its own pace, leaves in every way there is, comes back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use shards_sim::{Peer, PeerState};

use crate::heard::Heard;
use crate::source::Leave;
use crate::stage::{Checker, Phase, Stage};
use crate::swarm::FeedPlan;
use crate::truth::{Place, Truth};

/// How long an answer may take while things go wrong, ms: control's ten seconds, fifteen for a pull
/// that is to start, and all processes may have stopped for some.
const ANSWER_MS_MAX: u64 = 45_000;
/// When new listeners come in the calm, ms after its beginning: sources and pulls are up.
pub(crate) const SETTLED_MS: u64 = 25_000;
/// How old the last frame may be that a listener heard in the calm, ms.
const LAG_MS_MAX: u64 = 4_000;

/// One who listens, leaves and comes back.
pub(crate) struct Listener {
    number: usize,
    pub(crate) next_at: Instant,
    visit: Option<Visit>,
    /// The next mount to ask for in the calm; each is asked for in turn.
    turn: usize,
}

/// One connection of a listener.
struct Visit {
    peer: Peer,
    address: Option<SocketAddr>,
    at: Place,
    titled: bool,
    pace: Pace,
    leave: Leave,
    leaves_at: Instant,
    /// What is left to ask.
    unsent: Vec<u8>,
    came_at: Instant,
    asked_at: Instant,
    head: Vec<u8>,
    heard: Option<Heard>,
    /// It came when everything was well and has nothing to fear.
    is_guest: bool,
}

/// How much is read how often.
#[derive(Clone, Copy, Debug)]
struct Pace {
    bytes_max: usize,
    every_ms: u64,
}

const FAST: Pace = Pace { bytes_max: usize::MAX, every_ms: 60 };

impl Listener {
    pub(crate) fn new(number: usize, next_at: Instant) -> Listener {
        Listener { number, next_at, visit: None, turn: number }
    }

    /// Does what is next, and says when to come back.
    pub(crate) fn step(&mut self, stage: &mut Stage) {
        let is_over = stage.phase >= Phase::Leaving;
        match &mut self.visit {
            None if is_over => self.next_at = stage.after_ms(1_000),
            None if stage.phase == Phase::Calm && !is_settled(stage) => {
                self.next_at = stage.phase_since + Duration::from_millis(SETTLED_MS);
            }
            None => self.come(stage),
            Some(_) if is_over => self.go(stage, Leave::Close),
            Some(_) => self.go_on(stage),
        }
    }

    /// At the end of the calm: whoever is here must hear what is played now.
    pub(crate) fn inspect(&self, stage: &mut Stage) {
        let Some(visit) = &self.visit else { return };
        let has_waited_ms = (stage.now() - visit.came_at).as_millis() as u64;
        if has_waited_ms < LAG_MS_MAX || !Truth::is_dependable(&stage.swarm, visit.at) {
            return;
        }
        let who = format!("listener {} ({:?}) of {:?}", self.number, visit.address, visit.at);
        if visit.peer.state() != PeerState::Open {
            return;
        }
        let newest = visit.heard.as_ref().and_then(|heard| heard.newest(&stage.truth));
        let Some((source, played_ms)) = newest else {
            return stage.fail(Checker::Liveness, format!("{who} hears nothing"));
        };
        let lag_ms = stage.now_ms() - played_ms;
        if lag_ms > LAG_MS_MAX {
            let what = format!("{who} hears source {source} of {lag_ms} ms ago");
            return stage.fail(Checker::Liveness, what);
        }
        let plan = &stage.swarm.nodes[visit.at.node].mounts[visit.at.mount];
        let origin = stage.truth.origin(&stage.swarm, visit.at);
        let hears = stage.truth.source(source).expect("it was heard").at;
        // A pull may have come up after its listener, who then stays where it was led.
        let is_source = matches!(plan.feed, FeedPlan::Source { .. });
        let may_fall_back = plan.fallback.is_some() || stage.swarm.operations.fallbacks;
        let is_simple = is_source || !may_fall_back;
        let is_called_back =
            plan.fallback_override && (is_source || !stage.swarm.operations.fallbacks);
        let comes_home = visit.is_guest && is_simple || is_called_back;
        let is_led_away = stage.truth.was_left(visit.at) || plan.listeners_max.is_some();
        if comes_home && !is_led_away && hears != origin {
            let what = format!("{who} hears {hears:?} though its own mount is up");
            stage.fail(Checker::Liveness, what);
        }
    }

    fn come(&mut self, stage: &mut Stage) {
        let is_guest = stage.phase == Phase::Calm;
        let node = match is_guest {
            true => self.turn % stage.swarm.nodes.len(),
            false => stage.prng.index(stage.swarm.nodes.len()),
        };
        let mounts_count = stage.swarm.nodes[node].mounts.len();
        let mount = match is_guest {
            true => self.turn / stage.swarm.nodes.len() % mounts_count,
            false => stage.prng.index(mounts_count),
        };
        self.turn += 1;
        let at = Place { node, mount };
        let titled = match is_guest {
            true => self.number.is_multiple_of(2),
            false => stage.prng.chance(stage.swarm.titled),
        };
        let pace = if is_guest { FAST } else { draw_pace(stage) };
        let stay_ms = if is_guest { u64::from(u32::MAX) } else { stage.swarm.stay_ms_max };
        let leave = match stage.prng.below(4) {
            0 => Leave::Reset,
            1 => Leave::Vanish,
            _ => Leave::Close,
        };
        let wants = if titled { "Icy-MetaData: 1\r\n" } else { "" };
        let name = stage.name(at);
        let unsent = format!("GET {name} HTTP/1.1\r\nHost: sim\r\n{wants}\r\n").into_bytes();
        let from = stage.host();
        let peer = stage.world.connect(from, stage.address(node, None));
        let (number, address) = (self.number, peer.address());
        stage.note(|| {
            format!("listener {number} ({address:?}) comes to {at:?}, titled {titled}, {pace:?}")
        });
        self.visit = Some(Visit {
            address,
            peer,
            at,
            titled,
            pace,
            leave,
            leaves_at: stage.within_ms(stay_ms),
            unsent,
            came_at: stage.now(),
            asked_at: stage.now(),
            head: Vec::new(),
            heard: None,
            is_guest,
        });
        self.next_at = stage.within_ms(20);
    }

    fn go_on(&mut self, stage: &mut Stage) {
        let now = stage.now();
        let visit = self.visit.as_mut().expect("looked at by the caller");
        if stage.phase == Phase::Calm {
            visit.pace = FAST;
        } else if now >= visit.leaves_at {
            let leave = visit.leave;
            return self.go(stage, leave);
        }
        let every_ms = match visit.heard {
            Some(_) => visit.pace.every_ms,
            None => 50,
        };
        self.next_at = stage.within_ms(every_ms);
        let waits_ms = (now - visit.asked_at).as_millis() as u64;
        match visit.peer.state() {
            PeerState::Connecting if waits_ms < 6_000 => return,
            PeerState::Connecting => return self.go(stage, Leave::Close),
            _ => {}
        }
        if !visit.unsent.is_empty() {
            let most = visit.unsent.len().min(1 + stage.prng.index(200));
            let count = visit.peer.write(&visit.unsent[..most]);
            visit.unsent.drain(..count);
            visit.asked_at = now;
        }
        let count = if visit.heard.is_some() { visit.pace.bytes_max } else { usize::MAX };
        let bytes = visit.peer.read(count);
        if let Err(what) = visit.take(stage, &bytes) {
            let (number, at, address) = (self.number, visit.at, visit.address);
            let what = format!("listener {number} ({address:?}) of {at:?}: {what}");
            return stage.fail(Checker::Safety, what);
        }
        let visit = self.visit.as_ref().expect("looked at above");
        if visit.heard.is_none() && visit.unsent.is_empty() && waits_ms > ANSWER_MS_MAX {
            let (number, at, address) = (self.number, visit.at, visit.address);
            let what = format!("listener {number} ({address:?}) of {at:?} was never answered");
            return stage.fail(Checker::Liveness, what);
        }
        if visit.peer.is_finished() {
            self.ended(stage);
        }
    }

    /// The server is done with it.
    fn ended(&mut self, stage: &mut Stage) {
        let visit = self.visit.as_ref().expect("looked at by the caller");
        let (number, state) = (self.number, visit.peer.state());
        stage.note(|| format!("listener {number} is done: {state:?}"));
        let was_closed = state == PeerState::Open;
        if visit.heard.is_none() {
            stage.tally.listeners_refused += 1;
        } else if visit.is_guest && was_closed && Truth::is_dependable(&stage.swarm, visit.at) {
            let at = visit.at;
            let what = format!("listener {number} of {at:?} is put out though all is well");
            stage.fail(Checker::Fairness, what);
        }
        if visit.is_guest && visit.heard.is_none() && was_closed {
            self.was_refused_in_the_calm(stage);
        }
        self.go(stage, Leave::Close);
    }

    fn was_refused_in_the_calm(&self, stage: &mut Stage) {
        let visit = self.visit.as_ref().expect("looked at by the caller");
        let head = String::from_utf8_lossy(&visit.head);
        let status = head.lines().next().unwrap_or_default().to_owned();
        let may_be_full =
            stage.swarm.nodes[visit.at.node].mounts[visit.at.mount].listeners_max.is_some();
        let is_dependable = Truth::is_dependable(&stage.swarm, visit.at);
        if is_dependable && !(may_be_full && status.contains(" 403 ")) {
            let (number, at) = (self.number, visit.at);
            let what = format!("listener {number} of {at:?} is refused: {status:?}");
            stage.fail(Checker::Liveness, what);
        }
    }

    fn go(&mut self, stage: &mut Stage, leave: Leave) {
        let Some(mut visit) = self.visit.take() else { return };
        let number = self.number;
        stage.note(|| format!("listener {number} leaves: {leave:?}"));
        stage.tally.hand_overs += visit.heard.as_ref().map_or(0, Heard::hand_overs);
        match leave {
            Leave::Close => visit.peer.close(),
            Leave::Reset => visit.peer.reset(),
            Leave::Vanish => visit.peer.vanish(),
        }
        self.next_at = stage.within_ms(1_500);
    }
}

impl Visit {
    fn take(&mut self, stage: &mut Stage, bytes: &[u8]) -> Result<(), String> {
        if let Some(heard) = &mut self.heard {
            stage.tally.bytes_heard += bytes.len() as u64;
            return heard.take(&stage.truth, bytes);
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status != "200" {
            let is_known = ["403", "404", "408", "503"].contains(&status);
            return is_known.then_some(()).ok_or_else(|| format!("an answer of {status:?}"));
        }
        let metaint = head.lines().find_map(|line| line.strip_prefix("icy-metaint:"));
        let metaint = metaint.and_then(|text| text.trim().parse::<usize>().ok());
        if metaint.is_some() != self.titled {
            return Err(format!("titles asked for: {}, promised: {metaint:?}", self.titled));
        }
        stage.tally.listeners_heard += 1;
        let rest = self.head.split_off(end + 4);
        self.heard = Some(Heard::new(self.at, metaint));
        self.take(stage, &rest)
    }
}

fn is_settled(stage: &Stage) -> bool {
    stage.now() >= stage.phase_since + Duration::from_millis(SETTLED_MS)
}

fn draw_pace(stage: &mut Stage) -> Pace {
    if !stage.prng.chance(stage.swarm.slow) {
        return FAST;
    }
    match stage.prng.below(4) {
        0 => Pace { bytes_max: 0, every_ms: 1_000 },
        1 => Pace { bytes_max: 1, every_ms: 1_000 },
        2 => Pace { bytes_max: 200 + stage.prng.index(4_000), every_ms: 500 },
        _ => Pace { bytes_max: usize::MAX, every_ms: 6_000 },
    }
}
