//! Sessions and rooms of signalling as the operator sees them: `/api/peers`.
//!
//! *Invariant:* a question to the shards ends at its deadline with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine_node::{Message, PeerRow, RoomRow};
use shards_runtime::ShardId;

use crate::control::{Asker, Control};
use crate::render::{self, Body};

/// How long shards have for their answers.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// How many questions may be under way.
const QUESTIONS_COUNT_MAX: usize = 16;

/// Questions to the shards about peers.
#[derive(Default)]
pub(crate) struct PeerQuestions {
    by_number: BTreeMap<u32, Question>,
    numbers: u32,
}

struct Question {
    asker: Asker,
    missing: BTreeSet<ShardId>,
    peers: Vec<PeerRow>,
    rooms: Vec<RoomRow>,
    until: Instant,
}

impl PeerQuestions {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_number.values().map(|question| question.until).min()
    }
}

impl Control {
    /// Asks every shard for its sessions and rooms.
    pub(crate) fn ask_about_peers(&mut self, asker: Asker) {
        if self.peers.by_number.len() >= QUESTIONS_COUNT_MAX {
            let answer = self.answers().busy();
            return self.answer_bytes(asker, 503, answer);
        }
        self.peers.numbers = self.peers.numbers.wrapping_add(1);
        let request = self.peers.numbers;
        let shards = (0..self.setup.shards_count).map(|shard| ShardId(shard as u16));
        let missing = shards.filter(|shard| self.is_listening(*shard)).collect();
        let until = self.now + ANSWERS_MAX;
        let question = Question { asker, missing, peers: Vec::new(), rooms: Vec::new(), until };
        self.peers.by_number.insert(request, question);
        self.broadcast(|| Message::ListPeers { request });
    }

    /// A shard's answer.
    pub(crate) fn peers_listed(
        &mut self,
        from: ShardId,
        request: u32,
        (peers, rooms): (Vec<PeerRow>, Vec<RoomRow>),
    ) {
        let Some(question) = self.peers.by_number.get_mut(&request) else { return };
        question.missing.remove(&from);
        question.peers.extend(peers);
        question.rooms.extend(rooms);
        if question.missing.is_empty() {
            self.end_peer_question(request);
        }
    }

    /// A shard will not answer any more.
    pub(crate) fn peers_without(&mut self, shard: ShardId) {
        let waiting = self.peers.by_number.iter().filter(|(_, it)| it.missing.contains(&shard));
        for request in waiting.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.peers_listed(shard, request, (Vec::new(), Vec::new()));
        }
    }

    pub(crate) fn expire_peer_questions(&mut self) {
        let now = self.now;
        let due = self.peers.by_number.iter().filter(|(_, question)| now >= question.until);
        for request in due.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.end_peer_question(request);
        }
    }

    fn end_peer_question(&mut self, request: u32) {
        let Some(mut question) = self.peers.by_number.remove(&request) else { return };
        question.peers.sort_by(|one, other| one.address.cmp(&other.address));
        question.rooms.sort_by(|one, other| one.name.cmp(&other.name));
        let body = render::peers_json(&question.peers, &question.rooms);
        self.answer_body(question.asker, 200, Body::Json, &body);
    }
}
