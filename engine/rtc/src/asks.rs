//! Requests that are answered later, and what came of them.
//!
//! *Invariant:* every request that was taken is answered once, at its deadline at the latest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use media_rtc::Role;
use shards_runtime::Token;

use crate::answer::Answer;
use crate::directory::{Granted, Name};
use crate::ids::SessionId;

/// Requests that may wait on one shard. Then: 503.
const ASKS_MAX: usize = 4_096;

/// How long siblings have for their answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// A connection that sent a request.
    Connection(Token),
    /// Somebody else in the engine, by a number of its own.
    Other(u64),
}

/// An offer.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// To publish or to watch.
    pub role: Role,
    /// Which stream.
    pub name: Name,
    /// The offer.
    pub offer: &'a str,
    /// Who asks.
    pub client: IpAddr,
    /// With which agent.
    pub agent: Option<String>,
    /// Whether it has shown a token.
    pub is_known: bool,
}

/// A session that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its number, for [`crate::Rtc::manage`].
    pub session: SessionId,
    /// To publish or to watch.
    pub role: Role,
    /// Which stream.
    pub name: Name,
    /// The answer to the offer. All our candidates are in it.
    pub answer: String,
    /// Its entity tag, without quotes: our name for ICE.
    pub tag: String,
    /// Whether the client has shown a token.
    pub is_known: bool,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is a session.
    Opened(Opened),
    /// This is the answer, a refusal among others.
    Answered(Answer),
}

/// Requests that wait, and outcomes that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    by_number: BTreeMap<u32, Ask>,
    numbers: u32,
    outcomes: Vec<(Asker, Outcome)>,
}

#[derive(Debug)]
struct Ask {
    asker: Asker,
    until: Instant,
    waits_for: For,
}

#[derive(Debug)]
enum For {
    Claim(Opened),
    Source(Opened),
    Answer,
}

impl Asks {
    pub(crate) fn has_room(&self) -> bool {
        self.by_number.len() < ASKS_MAX
    }

    pub(crate) fn say(&mut self, asker: Asker, outcome: Outcome) {
        self.outcomes.push((asker, outcome));
    }

    pub(crate) fn opened(&mut self, asker: Asker, opened: Opened) {
        self.say(asker, Outcome::Opened(opened));
    }

    pub(crate) fn wait_for_claim(&mut self, now: Instant, asker: Asker, opened: Opened) {
        self.wait(now, asker, For::Claim(opened));
    }

    pub(crate) fn wait_for_source(&mut self, now: Instant, asker: Asker, opened: Opened) {
        self.wait(now, asker, For::Source(opened));
    }

    pub(crate) fn wait_for_answer(&mut self, now: Instant, asker: Asker) -> u32 {
        self.wait(now, asker, For::Answer)
    }

    fn wait(&mut self, now: Instant, asker: Asker, waits_for: For) -> u32 {
        self.numbers = self.numbers.wrapping_add(1);
        self.by_number.insert(self.numbers, Ask { asker, until: now + PATIENCE, waits_for });
        self.numbers
    }

    /// What became of a claim. Answers whether anybody waited for it, and it was granted.
    pub(crate) fn claimed(&mut self, session: SessionId, granted: Granted) -> bool {
        let is_it = |ask: &Ask| matches!(&ask.waits_for, For::Claim(it) if it.session == session);
        let Some(number) = self.by_number.iter().find(|(_, ask)| is_it(ask)).map(|it| *it.0) else {
            return false;
        };
        let Some(Ask { asker, waits_for: For::Claim(opened), .. }) = self.by_number.remove(&number)
        else {
            return false;
        };
        let outcome = match granted {
            Granted::Yes => Outcome::Opened(opened),
            Granted::Taken => {
                Outcome::Answered(Answer::refusal(409, "somebody else publishes this stream"))
            }
            Granted::Full => Outcome::Answered(Answer::busy("there are too many streams")),
        };
        self.say(asker, outcome);
        granted == Granted::Yes
    }

    /// Whether a stream is there is known now: viewers are let in, or answered 404. Their sessions
    /// are what is returned then.
    pub(crate) fn source_told(&mut self, name: &Name, is_there: bool) -> Vec<SessionId> {
        let is_it = |ask: &Ask| matches!(&ask.waits_for, For::Source(it) if it.name == *name);
        let waiting = self.by_number.iter().filter(|(_, ask)| is_it(ask));
        let mut refused = Vec::new();
        for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
            let Some(Ask { asker, waits_for: For::Source(opened), .. }) =
                self.by_number.remove(&number)
            else {
                continue;
            };
            if is_there {
                self.opened(asker, opened);
                continue;
            }
            refused.push(opened.session);
            let answer = Answer::refusal(404, "nobody publishes this stream");
            self.say(asker, Outcome::Answered(answer.with("Retry-After", "5")));
        }
        refused
    }

    pub(crate) fn waits_for(&self, name: &Name) -> bool {
        let is_it = |ask: &Ask| matches!(&ask.waits_for, For::Source(it) if it.name == *name);
        self.by_number.values().any(is_it)
    }

    pub(crate) fn managed(&mut self, number: u32, answer: Answer) {
        if let Some(ask) = self.by_number.remove(&number) {
            self.say(ask.asker, Outcome::Answered(answer));
        }
    }

    /// Whoever has waited long enough is told so.
    pub(crate) fn expire(&mut self, now: Instant) {
        // Numbers grow with time, so that the oldest are the first.
        while let Some(entry) = self.by_number.first_entry()
            && entry.get().until <= now
        {
            let ask = entry.remove();
            self.say(ask.asker, Outcome::Answered(Answer::busy("no answer in time")));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_number.first_key_value().map(|(_, ask)| ask.until)
    }

    pub(crate) fn take_outcomes(&mut self) -> Vec<(Asker, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }
}
