//! A source: connects, plays frames in real time, stalls, leaves in every way there is, comes back.

use std::time::{Duration, Instant};

use shards_sim::{Chance, Peer, PeerState};

use crate::content::{Rate, frame, frames_after};
use crate::stage::{Checker, Phase, Stage};
use crate::swarm::Dialect;
use crate::truth::Place;

/// Wire bytes that may wait for the connection; an encoder that gets no more out drops frames.
const UNSENT_BYTES_MAX: usize = 8 * 1024;
/// How long a source waits for a connection, ms.
const CONNECT_MS: u64 = 3_000;
/// How long a source waits for an answer, ms.
const PATIENCE_MS: u64 = 20_000;
/// How long a source may take in the calm to get its mount.
const RECOVERY: Duration = Duration::from_secs(15);

/// One who wants to feed a mount.
pub(crate) struct Source {
    at: Place,
    rate: Rate,
    dialect: Dialect,
    up_ms_max: u64,
    down_ms_max: u64,
    /// It wants a mount that another one should have.
    is_rival: bool,
    pub(crate) next_at: Instant,
    connection: Option<Connection>,
    /// When it last had its mount, or had no right to it.
    was_well_at: Instant,
}

struct Connection {
    peer: Peer,
    number: u32,
    since: Instant,
    leaves_at: Instant,
    stalls_until: Instant,
    unsent: Vec<u8>,
    /// The answer so far.
    answer: Vec<u8>,
    is_granted: bool,
    /// Frames not played because the connection took no more.
    skipped: u64,
    /// It plays without waiting for the answer.
    is_eager: bool,
    asked: bool,
}

impl Source {
    pub(crate) fn new(
        at: Place,
        (rate, dialect): (Rate, Dialect),
        (up_ms_max, down_ms_max): (u64, u64),
        is_rival: bool,
        next_at: Instant,
    ) -> Source {
        Source {
            at,
            rate,
            dialect,
            up_ms_max,
            down_ms_max,
            is_rival,
            next_at,
            connection: None,
            was_well_at: next_at,
        }
    }

    /// Whether it has its mount.
    fn is_granted(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_granted)
    }

    /// Does what is next, and says when to come back.
    pub(crate) fn step(&mut self, stage: &mut Stage) {
        let wanted = match stage.phase {
            Phase::Chaos => true,
            Phase::Calm | Phase::Leaving => !self.is_rival,
            Phase::Gone => false,
        };
        match &mut self.connection {
            None if wanted => self.connect(stage),
            None => self.next_at = stage.after_ms(1_000),
            Some(_) if !wanted => self.leave(stage, Leave::Close),
            Some(_) => self.go_on(stage),
        }
        if stage.phase != Phase::Calm || self.is_granted() {
            self.was_well_at = stage.now();
        }
        if !self.is_rival && stage.now() > self.was_well_at + RECOVERY {
            let place = self.at;
            stage.fail(Checker::Liveness, format!("the source of {place:?} is not accepted"));
        }
    }

    fn connect(&mut self, stage: &mut Stage) {
        let number = stage.truth.begin(self.at, self.rate);
        let from = stage.host();
        let v1 = (self.dialect == Dialect::V1).then_some(self.at.mount);
        let peer = stage.world.connect(from, stage.address(self.at.node, v1));
        let stay_ms = match stage.phase {
            Phase::Chaos => stage.prng.between(1, self.up_ms_max),
            _ => u64::from(u32::MAX),
        };
        let (at, name) = (self.at, stage.name(self.at).to_owned());
        stage.note(|| format!("source {number} of {at:?} connects, {:?}", self.dialect));
        self.connection = Some(Connection {
            peer,
            number,
            since: stage.now(),
            leaves_at: stage.after_ms(stay_ms),
            stalls_until: stage.now(),
            unsent: self.dialect.head(&name).into_bytes(),
            answer: Vec::new(),
            is_granted: false,
            skipped: 0,
            is_eager: stage.prng.below(3) == 0,
            asked: false,
        });
        self.next_at = stage.within_ms(20);
    }

    fn go_on(&mut self, stage: &mut Stage) {
        let (rate, dialect) = (self.rate, self.dialect);
        let connection = self.connection.as_mut().expect("looked at by the caller");
        let now = stage.now();
        self.next_at = stage.within_ms(120);
        let patience = connection.since + Duration::from_millis(PATIENCE_MS);
        let reaches_by = connection.since + Duration::from_millis(CONNECT_MS);
        match connection.peer.state() {
            PeerState::Connecting if now < reaches_by.min(connection.leaves_at) => return,
            PeerState::Open => {}
            state => {
                let number = connection.number;
                stage.note(|| format!("source {number}: {state:?}"));
                return self.leave(stage, Leave::Close);
            }
        }
        connection.read_answer(stage);
        let is_refused = connection.peer.is_finished()
            || !connection.is_granted && (connection.is_refused() || now >= patience);
        if is_refused {
            let (number, unsent) = (connection.number, connection.unsent.len());
            let frames = stage.truth.source(number).expect("it began").frames();
            stage.note(|| {
                format!("source {number} is put out after {frames} frames, {unsent} left")
            });
            stage.tally.sources_refused += u64::from(!connection.is_granted);
            return self.leave(stage, Leave::Close);
        }
        if now >= connection.leaves_at && connection.asked && stage.phase == Phase::Chaos {
            let leave = match stage.prng.below(4) {
                0 => Leave::Reset,
                1 => Leave::Vanish,
                _ => Leave::Close,
            };
            return self.leave(stage, leave);
        }
        if stage.phase == Phase::Chaos && stage.prng.chance(Chance(2)) {
            connection.stalls_until = stage.within_ms(4_000);
        }
        if now < connection.stalls_until {
            return;
        }
        if connection.asked && (connection.is_granted || connection.is_eager) {
            connection.play(stage, rate, dialect);
        }
        connection.write(stage);
    }

    fn leave(&mut self, stage: &mut Stage, how: Leave) {
        let Some(mut connection) = self.connection.take() else { return };
        let number = connection.number;
        stage.note(|| format!("source {number} leaves: {how:?}"));
        match how {
            Leave::Close => connection.peer.close(),
            Leave::Reset => connection.peer.reset(),
            Leave::Vanish => connection.peer.vanish(),
        }
        let away_ms = if stage.phase == Phase::Chaos { self.down_ms_max } else { 2_000 };
        self.next_at = stage.within_ms(away_ms);
    }
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    Close,
    Reset,
    Vanish,
}

impl Connection {
    fn read_answer(&mut self, stage: &mut Stage) {
        if self.answer.len() < 1_024 {
            self.answer.extend(self.peer.read(256));
        }
        let has_yes = |yes: &[u8]| self.answer.windows(yes.len()).any(|text| text == yes);
        if !self.is_granted && (has_yes(b" 200 OK\r\n\r\n") || has_yes(b"icy-caps:11\r\n\r\n")) {
            self.is_granted = true;
            stage.tally.sources_granted += 1;
            // What was played before counts from here on.
            let number = self.number;
            stage.note(|| format!("source {number} is granted"));
        }
    }

    fn is_refused(&self) -> bool {
        let status = self.answer.get(8..13);
        status.is_some_and(|status| status != b" 200 " && status != b" 100 ")
            && self.answer.starts_with(b"HTTP/")
    }

    /// Plays the frames that are due.
    fn play(&mut self, stage: &mut Stage, rate: Rate, dialect: Dialect) {
        let elapsed = stage.now().saturating_duration_since(self.since);
        let due = frames_after(elapsed.as_micros() as u64);
        let played = stage.truth.source(self.number).expect("it began").frames() as u64;
        let behind = due.saturating_sub(played + self.skipped);
        for _ in 0..behind {
            if self.unsent.len() > UNSENT_BYTES_MAX {
                self.skipped += 1;
                continue;
            }
            let source = stage.truth.source(self.number).expect("it began");
            let bytes = frame(self.number, source.frames() as u32, rate);
            stage.truth.play(self.number, stage.now_ms());
            match dialect {
                Dialect::PutChunked => {
                    // A chunk's border stands anywhere in a frame.
                    let cut = 1 + stage.prng.index(bytes.len() - 1);
                    for piece in [&bytes[..cut], &bytes[cut..]] {
                        self.unsent.extend(format!("{:x}\r\n", piece.len()).bytes());
                        self.unsent.extend_from_slice(piece);
                        self.unsent.extend(b"\r\n");
                    }
                }
                _ => self.unsent.extend(bytes),
            }
        }
    }

    /// Writes what is due, in pieces of any size.
    fn write(&mut self, stage: &mut Stage) {
        let mut at = 0;
        while at < self.unsent.len() {
            let most = (self.unsent.len() - at).min(1 + stage.prng.index(1_400));
            let count = self.peer.write(&self.unsent[at..at + most]);
            at += count;
            if count < most {
                break;
            }
        }
        self.unsent.drain(..at);
        self.asked |= self.unsent.is_empty();
    }
}

impl Dialect {
    /// What a source says before its stream. The password is `source`.
    fn head(self, mount: &str) -> String {
        let common = "Authorization: Basic c291cmNlOnNvdXJjZQ==\r\nContent-Type: audio/mpeg\r\n\
                      ice-name: simulated\r\n";
        match self {
            Dialect::Put => format!("PUT {mount} HTTP/1.1\r\nHost: sim\r\n{common}\r\n"),
            Dialect::PutChunked => format!(
                "PUT {mount} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n{common}\r\n"
            ),
            Dialect::PutExpect => {
                format!("PUT {mount} HTTP/1.1\r\nHost: sim\r\nExpect: 100-continue\r\n{common}\r\n")
            }
            Dialect::Source => format!("SOURCE {mount} HTTP/1.0\r\n{common}\r\n"),
            Dialect::V1 => "source\r\nicy-name:simulated\r\ncontent-type:audio/mpeg\r\n\r\n".into(),
        }
    }
}
