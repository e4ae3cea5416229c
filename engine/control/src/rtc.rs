//! WebRTC as the operator sees it: the list of sessions, and ending one.
//!
//! *Invariant:* a question to the shards ends at its deadline with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine_node::Message;
use engine_rtc::{Row, SessionId};
use shards_runtime::ShardId;

use crate::control::{Asker, Control};

/// How long shards have for their answers.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// How many questions may be under way.
const QUESTIONS_COUNT_MAX: usize = 64;

/// Questions to the shards about sessions.
#[derive(Default)]
pub(crate) struct RtcQuestions {
    by_number: BTreeMap<u32, RtcQuestion>,
    numbers: u32,
}

struct RtcQuestion {
    asker: Asker,
    /// The session to end; none: list them.
    kill: Option<SessionId>,
    missing: BTreeSet<ShardId>,
    rows: Vec<Row>,
    was_killed: bool,
    until: Instant,
}

impl RtcQuestions {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_number.values().map(|question| question.until).min()
    }
}

impl Control {
    /// Asks every shard for its sessions, or to end one.
    pub(crate) fn ask_about_rtc(&mut self, asker: Asker, kill: Option<SessionId>) {
        if self.rtc.by_number.len() >= QUESTIONS_COUNT_MAX {
            let answer = self.answers().busy();
            return self.answer_bytes(asker, 503, answer);
        }
        self.rtc.numbers = self.rtc.numbers.wrapping_add(1);
        let request = self.rtc.numbers;
        let shards = (0..self.setup.shards_count).map(|shard| ShardId(shard as u16));
        let missing = shards.filter(|shard| self.is_listening(*shard)).collect();
        let until = self.now + ANSWERS_MAX;
        let question =
            RtcQuestion { asker, kill, missing, rows: Vec::new(), was_killed: false, until };
        self.rtc.by_number.insert(request, question);
        self.broadcast(|| match kill {
            Some(session) => Message::KillSession { request, session },
            None => Message::ListSessions { request },
        });
    }

    /// A shard's answer.
    pub(crate) fn rtc_answered(
        &mut self,
        from: ShardId,
        request: u32,
        rows: Vec<Row>,
        was_killed: bool,
    ) {
        let Some(question) = self.rtc.by_number.get_mut(&request) else { return };
        question.missing.remove(&from);
        question.rows.extend(rows);
        question.was_killed |= was_killed;
        if question.missing.is_empty() {
            self.end_rtc_question(request);
        }
    }

    /// A shard will not answer any more.
    pub(crate) fn rtc_without(&mut self, shard: ShardId) {
        let waiting = self.rtc.by_number.iter().filter(|(_, it)| it.missing.contains(&shard));
        for request in waiting.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.rtc_answered(shard, request, Vec::new(), false);
        }
    }

    pub(crate) fn expire_rtc_questions(&mut self) {
        let now = self.now;
        let due = self.rtc.by_number.iter().filter(|(_, question)| now >= question.until);
        for request in due.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.end_rtc_question(request);
        }
    }

    fn end_rtc_question(&mut self, request: u32) {
        let Some(question) = self.rtc.by_number.remove(&request) else { return };
        let asker = question.asker;
        let Some(session) = question.kill else {
            let list = crate::render::sessions_xml(&question.rows);
            return self.answer_xml(asker, list);
        };
        let (words, done) = match question.was_killed {
            true => ("removed", 1),
            false => ("not found", 0),
        };
        tracing::info!(%session, was_killed = question.was_killed, "a session was to be ended");
        self.answer_message(asker, &format!("Session {session} {words}"), done, false);
    }
}
