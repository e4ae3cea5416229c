//! TURN as the operator and browsers' applications see it: the list of allocations, ending one,
//! and what `/ice-servers` hands out.
//!
//! *Invariant:* a question to the shards ends at its deadline with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use engine_config::Config;
use engine_node::{LentRow, Message};
use protocol_turn::timed_credential;
use shards_runtime::ShardId;

use crate::control::{Asker, Control};
use crate::render::push_json_string;

/// How long shards have for their answers.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// How many questions may be under way.
const QUESTIONS_COUNT_MAX: usize = 64;

/// Questions to the shards about allocations.
#[derive(Default)]
pub(crate) struct TurnQuestions {
    by_number: BTreeMap<u32, TurnQuestion>,
    numbers: u32,
}

struct TurnQuestion {
    asker: Asker,
    /// The allocation to end; none: list them.
    kill: Option<u64>,
    missing: BTreeSet<ShardId>,
    rows: Vec<LentRow>,
    was_killed: bool,
    until: Instant,
}

impl TurnQuestions {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_number.values().map(|question| question.until).min()
    }
}

impl Control {
    /// Asks every shard for its allocations, or to end one.
    pub(crate) fn ask_about_turn(&mut self, asker: Asker, kill: Option<u64>) {
        if self.turn.by_number.len() >= QUESTIONS_COUNT_MAX {
            let answer = self.answers().busy();
            return self.answer_bytes(asker, 503, answer);
        }
        self.turn.numbers = self.turn.numbers.wrapping_add(1);
        let request = self.turn.numbers;
        let shards = (0..self.setup.shards_count).map(|shard| ShardId(shard as u16));
        let missing = shards.filter(|shard| self.is_listening(*shard)).collect();
        let until = self.now + ANSWERS_MAX;
        let question =
            TurnQuestion { asker, kill, missing, rows: Vec::new(), was_killed: false, until };
        self.turn.by_number.insert(request, question);
        self.broadcast(|| match kill {
            Some(id) => Message::KillAllocation { request, id },
            None => Message::ListAllocations { request },
        });
    }

    /// A shard's answer.
    pub(crate) fn turn_answered(
        &mut self,
        from: ShardId,
        request: u32,
        rows: Vec<LentRow>,
        was_killed: bool,
    ) {
        let Some(question) = self.turn.by_number.get_mut(&request) else { return };
        question.missing.remove(&from);
        question.rows.extend(rows);
        question.was_killed |= was_killed;
        if question.missing.is_empty() {
            self.end_turn_question(request);
        }
    }

    /// A shard will not answer any more.
    pub(crate) fn turn_without(&mut self, shard: ShardId) {
        let waiting = self.turn.by_number.iter().filter(|(_, it)| it.missing.contains(&shard));
        for request in waiting.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.turn_answered(shard, request, Vec::new(), false);
        }
    }

    pub(crate) fn expire_turn_questions(&mut self) {
        let now = self.now;
        let due = self.turn.by_number.iter().filter(|(_, question)| now >= question.until);
        for request in due.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.end_turn_question(request);
        }
    }

    fn end_turn_question(&mut self, request: u32) {
        let Some(question) = self.turn.by_number.remove(&request) else { return };
        let asker = question.asker;
        let Some(id) = question.kill else {
            let list = crate::render::allocations_xml(&question.rows);
            return self.answer_xml(asker, list);
        };
        let (words, done) = match question.was_killed {
            true => ("removed", 1),
            false => ("not found", 0),
        };
        tracing::info!(id, was_killed = question.was_killed, "an allocation was to be ended");
        self.answer_message(asker, &format!("Allocation {id} {words}"), done, false);
    }

    /// What a browser's `RTCPeerConnection` takes as one of its `iceServers`; none where nothing
    /// is handed out.
    pub(crate) fn ice_servers(&self, user: &str) -> Option<String> {
        ice_servers(&self.config, user, self.wall_clock)
    }
}

impl Control {
    /// A timed name and its password, where they are handed out to whoever may ask.
    pub(crate) fn turn_credentials(&self, user: &str) -> Option<(String, String)> {
        let turn = &self.config.turn;
        let may_have = turn.ice_servers == "public"
            || turn.ice_servers != "off" && !self.config.auth.tokens.is_empty();
        let secret = turn.secrets.first().filter(|_| turn.starts() && may_have)?;
        let expiry = self.wall_clock.as_secs() + turn.ice_ttl_s;
        Some(timed_credential(secret.expose().as_bytes(), user, expiry))
    }
}

fn ice_servers(config: &Config, user: &str, now: Duration) -> Option<String> {
    let turn = &config.turn;
    let is_open = turn.starts() && turn.ice_servers != "off";
    let secret = turn.secrets.first().filter(|_| is_open)?;
    let urls = config.turn_urls();
    let expiry = now.as_secs() + turn.ice_ttl_s;
    let (username, credential) = timed_credential(secret.expose().as_bytes(), user, expiry);
    let mut out = String::from("{\"urls\":[");
    for (index, url) in urls.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json_string(url, &mut out);
    }
    out.push_str("],\"username\":");
    push_json_string(&username, &mut out);
    out.push_str(",\"credential\":");
    push_json_string(&credential, &mut out);
    writeln!(out, ",\"ttl\":{}}}", turn.ice_ttl_s).expect("a String takes everything");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_is_handed() {
        let text = "[server]\nhostname = \"radio.example\"\n[turn]\nlisten = [\"0.0.0.0:3478\", \
                    \"[2001:db8::1]:3478\"]\nexternal = [\"203.0.113.7\"]\n\
                    secrets = [\"secret\", \"old\"]\nice_ttl_s = 60\nice_servers = \"public\"\n";
        let config = Config::parse("f", text).expect("in order");
        let servers = ice_servers(&config, "user", Duration::from_secs(1_433_895_858));
        assert_eq!(
            servers.as_deref(),
            Some(
                "{\"urls\":[\"turn:[2001:db8::1]:3478?transport=tcp\",\
                 \"turn:[2001:db8::1]:3478?transport=udp\",\
                 \"turn:radio.example:3478?transport=tcp\",\
                 \"turn:radio.example:3478?transport=udp\"],\
                 \"username\":\"1433895918:user\",\
                 \"credential\":\"duY86vsmGEXM+Ma7pGS//SXJIv0=\",\"ttl\":60}\n"
            )
        );
        let without = text.replace("secrets", "users").replace("\"secret\", \"old\"", "\"a:b\"");
        let config = Config::parse("f", &without).expect("in order");
        assert_eq!(ice_servers(&config, "user", Duration::ZERO), None);
    }
}
