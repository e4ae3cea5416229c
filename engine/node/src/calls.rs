//! Calls to the server's own peer: what `call:…` messages ask of WebRTC, and what it says to them.
//!
//! ```text
//! init ──► accept, or reject: busy, unavailable
//! offer ─► Rtc::open ──► answer, or hangup with the reason
//!             ▲   └────► nobody publishes it: `waiting`
//!             └── it is live now ◄────┘ └─► too late: hangup
//! offer again, candidate, hangup ─► Rtc::manage, wherever the session is by then
//! layers, layer ─► likewise ──► layers
//! session over ─► hangup
//! ```
//!
//! A caller publishes or watches one of the named streams: `data.stream` of its `call:init` or
//! `call:offer` says which, else it is `symple.stream`. `data.role` says `publish` or `view`, else
//! it is what the offer's media sections want. `data.token` opens what the streams' tokens close;
//! whoever had to show one of `auth.tokens` to come in needs no other.
//!
//! *Invariant:* a caller has one call. When its WebSocket is gone the call is forgotten and the
//! media goes on, until the far end is silent for too long.

mod waiting;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::time::Instant;

use engine_rtc::{Asker, Command, LayerWish, Name, Open, Opened, Outcome, Role, SessionId, whip};
use protocol_symple::{Call, ConnectionKey, Input, Recipient};
use serde_json::{Map, Value};
use shards_runtime::{Context, Io};

use crate::message::Message;
use crate::node::Node;
use crate::rtc::MOUNT_IN_USE;
use crate::signalling::token_of;
use waiting::Waiting;

/// Candidates that may wait for a session to be opened. Further ones are not needed: ours lead to
/// the caller.
const CANDIDATES_MAX: usize = 32;

/// A longer candidate is none of a browser's.
const CANDIDATE_BYTES_MAX: usize = 512;

/// What stands before a caller's address where other sessions have their `User-Agent`.
pub(crate) const AGENT_PREFIX: &str = "symple:";

/// Calls of one shard's sessions of signalling.
#[derive(Default)]
pub(crate) struct Calls {
    by_connection: BTreeMap<ConnectionKey, OneCall>,
    /// Whose question each number is.
    asked: BTreeMap<u64, ConnectionKey>,
    numbers: u64,
    /// Those whose stream has no publisher yet.
    waiting: Waiting,
}

pub(crate) struct OneCall {
    /// `user|id`.
    caller: String,
    client: IpAddr,
    wish: Wish,
    stage: Stage,
}

/// What the caller said of what it wants.
#[derive(Clone, Default)]
struct Wish {
    stream: Option<String>,
    role: Option<Role>,
    token: Option<String>,
}

enum Stage {
    /// Accepted; an offer is to come.
    Accepted,
    /// An offer is being answered.
    Opening(Offer),
    /// Nobody publishes what it wants to watch; when it is looked at again.
    Waiting(Offer, Instant),
    /// There is a session.
    Open(SessionId, Name),
}

/// An offer that is not answered yet.
struct Offer {
    sdp: String,
    role: Role,
    name: Name,
    /// Whether a token was shown.
    is_known: bool,
    /// The number of the question that it is.
    asked: u64,
    /// Candidates that came meanwhile.
    candidates: Vec<String>,
    /// When it is given up, once it has had to wait.
    waits_until: Option<Instant>,
}

impl Offer {
    /// What it holds. Candidates are few and short, and counted as their most when it begins.
    fn bytes(&self) -> usize {
        self.sdp.len() + CANDIDATES_MAX * CANDIDATE_BYTES_MAX
    }
}

impl Wish {
    /// What is said now goes before what was said earlier.
    fn hear(&mut self, message: &Map<String, Value>) {
        let data = message.get("data").and_then(Value::as_object);
        let text = |key: &str| data.and_then(|data| data.get(key)).and_then(Value::as_str);
        if let Some(stream) = text("stream") {
            self.stream = Some(stream.to_owned());
        }
        if let Some(token) = text("token") {
            self.token = Some(token.to_owned());
        }
        match text("role") {
            Some("publish") => self.role = Some(Role::Publish),
            Some("view") => self.role = Some(Role::View),
            _ => {}
        }
    }
}

impl Calls {
    fn ask(&mut self, connection: ConnectionKey) -> Asker {
        self.numbers += 1;
        self.asked.insert(self.numbers, connection);
        Asker::Other(self.numbers)
    }

    /// A session of signalling is gone, or its call over.
    pub(crate) fn forget(&mut self, connection: ConnectionKey) -> Option<OneCall> {
        let call = self.by_connection.remove(&connection)?;
        self.waiting.remove(connection, &call);
        Some(call)
    }

    /// When those that wait are to be looked at; `past` is now or before.
    pub(crate) fn deadline(&self, past: Instant) -> Option<Instant> {
        if self.waiting.has_ready() { Some(past) } else { self.waiting.deadline() }
    }
}

/// Whether somebody who offers this wants to be seen or heard.
fn publishes(offer: &str) -> bool {
    // A section that says nothing is both ways (RFC 8866 §6.7).
    let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    let said: Vec<&str> =
        offer.lines().map(str::trim_end).filter(|line| directions.contains(line)).collect();
    said.is_empty() || said.iter().any(|line| matches!(*line, "a=sendrecv" | "a=sendonly"))
}

impl Node {
    /// Something was said to the server's own peer.
    pub(crate) fn call_heard<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        caller: &str,
        connection: ConnectionKey,
        message: &Map<String, Value>,
    ) {
        // What is said to a whole room is no call.
        let is_to_us = message.get("to").and_then(Value::as_str).is_some_and(|to| {
            let own = self.snapshot.config.symple.peer.as_str();
            to == own || own.split_once('|').is_some_and(|(_, id)| to == id)
        });
        let Some(call) = Call::parse(message).filter(|_| is_to_us) else { return };
        match call {
            Call::Init => self.call_init(cx, caller, connection, message),
            Call::Offer { sdp } => self.call_offer(cx, connection, message, sdp),
            Call::Candidate(candidate) if !candidate.candidate.is_empty() => {
                self.call_candidate(cx, connection, candidate.candidate);
            }
            Call::Hangup { .. } | Call::Reject { .. } => {
                let call = self.calls.forget(connection);
                if let Some(OneCall { stage: Stage::Open(session, name), .. }) = call {
                    self.manage_call(cx, connection, session, name, Command::Delete);
                }
            }
            Call::Layers(_) => self.call_command(cx, connection, Command::Layers),
            Call::Layer(wish) => {
                if let Ok(wish) = LayerWish::read(&wish) {
                    self.call_command(cx, connection, Command::Layer(wish));
                }
            }
            Call::Accept | Call::Answer { .. } | Call::Candidate(_) => {}
        }
    }

    fn call_init<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        caller: &str,
        connection: ConnectionKey,
        message: &Map<String, Value>,
    ) {
        let reject = |reason: &str| Call::Reject { reason: reason.to_owned() };
        let Some(client) = self.connections.get(token_of(connection)).map(|it| it.peer.ip()) else {
            return;
        };
        let answer = match self.calls.by_connection.entry(connection) {
            _ if self.rtc.is_none() => reject("unavailable"),
            Entry::Occupied(_) => reject("busy"),
            Entry::Vacant(place) => {
                let mut wish = Wish::default();
                wish.hear(message);
                let caller = caller.to_owned();
                place.insert(OneCall { caller, client, wish, stage: Stage::Accepted });
                self.counters.calls += 1;
                Call::Accept
            }
        };
        self.say_to_caller(cx, caller, &answer);
    }

    fn call_offer<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        message: &Map<String, Value>,
        sdp: String,
    ) {
        let Some(call) = self.calls.by_connection.get_mut(&connection) else { return };
        match &call.stage {
            Stage::Open(session, name) => {
                let (session, name) = (*session, name.clone());
                return self.manage_call(cx, connection, session, name, Command::Offer(sdp));
            }
            Stage::Opening(_) | Stage::Waiting(..) => return,
            Stage::Accepted => {}
        }
        call.wish.hear(message);
        let config = &self.snapshot.config;
        let name = call.wish.stream.as_ref().unwrap_or(&config.symple.stream);
        let role = match (call.wish.role, publishes(&sdp)) {
            (Some(role), _) => role,
            (None, true) => Role::Publish,
            (None, false) => Role::View,
        };
        // Nobody is in who has not shown a token that opens everything.
        let has_shown = config.symple.tokens.is_empty() && config.symple_tokens().is_some();
        let may = match engine_config::stream_name(name) {
            Err(_) => Err("there is no such stream".to_owned()),
            Ok(()) if has_shown => Ok(true),
            Ok(()) => whip::may(config, role, name, call.wish.token.as_deref())
                .map_err(|answer| answer.body.trim().to_owned()),
        };
        let is_known = match may {
            Ok(is_known) => is_known,
            Err(reason) => return self.end_call(cx, connection, reason),
        };
        let name: Name = name.as_str().into();
        if role == Role::Publish && self.is_mount_in_use(&name) {
            return self.end_call(cx, connection, MOUNT_IN_USE.to_owned());
        }
        let (candidates, waits_until) = (Vec::new(), None);
        let offer = Offer { sdp, role, name, is_known, asked: 0, candidates, waits_until };
        self.open_call(cx, connection, offer);
    }

    /// Asks WebRTC for a session.
    fn open_call<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        mut offer: Offer,
    ) {
        let asker = self.calls.ask(connection);
        offer.asked = self.calls.numbers;
        let Some(call) = self.calls.by_connection.get_mut(&connection) else { return };
        let (client, agent) = (call.client, Some(format!("{AGENT_PREFIX}{}", call.caller)));
        if let Some(rtc) = &mut self.rtc {
            let Offer { sdp, role, name, is_known, .. } = &offer;
            let (name, role, is_known) = (name.clone(), *role, *is_known);
            rtc.open(cx, asker, Open { role, name, offer: sdp, client, agent, is_known });
        }
        call.stage = Stage::Opening(offer);
    }

    /// Something of a call's session, once there is one.
    fn call_command<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        command: Command,
    ) {
        let call = self.calls.by_connection.get(&connection);
        if let Some(OneCall { stage: Stage::Open(session, name), .. }) = call {
            let (session, name) = (*session, name.clone());
            self.manage_call(cx, connection, session, name, command);
        }
    }

    fn call_candidate<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        candidate: String,
    ) {
        let Some(call) = self.calls.by_connection.get_mut(&connection) else { return };
        match &mut call.stage {
            Stage::Accepted => {}
            Stage::Opening(Offer { candidates, .. })
            | Stage::Waiting(Offer { candidates, .. }, _) => {
                if candidates.len() < CANDIDATES_MAX && candidate.len() <= CANDIDATE_BYTES_MAX {
                    candidates.push(candidate);
                }
            }
            Stage::Open(session, name) => {
                let (session, name) = (*session, name.clone());
                self.manage_call(cx, connection, session, name, Command::Candidate(candidate));
            }
        }
    }

    fn manage_call<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        session: SessionId,
        name: Name,
        command: Command,
    ) {
        let asker = match command {
            Command::Offer(_) | Command::Layers | Command::Layer(_) => self.calls.ask(connection),
            // Nobody waits for what came of it.
            _ => Asker::Other(0),
        };
        let Some(rtc) = &mut self.rtc else { return };
        rtc.manage(cx, asker, (session, name), command);
    }

    /// WebRTC has answered one of our questions.
    pub(crate) fn call_answered<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        number: u64,
        outcome: Outcome,
    ) {
        let connection = self.calls.asked.remove(&number);
        let call = connection.and_then(|it| Some((it, self.calls.by_connection.get_mut(&it)?)));
        // What was asked for an earlier call of the same caller is not this one's.
        let is_opened = matches!(outcome, Outcome::Opened(_));
        let is_its = |call: &OneCall| match &call.stage {
            Stage::Opening(offer) => offer.asked == number,
            _ => !is_opened,
        };
        let Some((connection, call)) = call.filter(|(_, call)| is_its(call)) else {
            // Whoever asked is gone, and knows nothing of the session.
            if let (Outcome::Opened(Opened { session, name, .. }), Some(rtc)) =
                (outcome, &mut self.rtc)
            {
                rtc.manage(cx, Asker::Other(0), (session, name), Command::Delete);
            }
            return;
        };
        match outcome {
            Outcome::Opened(opened) => {
                let Opened { session, name, answer, .. } = opened;
                let stage = Stage::Open(session, name.clone());
                let before = std::mem::replace(&mut call.stage, stage);
                let caller = call.caller.clone();
                self.say_to_caller(cx, &caller, &Call::Answer { sdp: answer });
                let Stage::Opening(offer) = before else { return };
                for candidate in offer.candidates {
                    let command = Command::Candidate(candidate);
                    self.manage_call(cx, connection, session, name.clone(), command);
                }
            }
            Outcome::Answered(answer) if answer.status == 200 => {
                let caller = call.caller.clone();
                let is_sdp = answer.header("Content-Type") == Some(whip::SDP);
                let said = match serde_json::from_str(&answer.body) {
                    Ok(layers) if !is_sdp => Call::Layers(layers),
                    _ => Call::Answer { sdp: answer.body },
                };
                self.say_to_caller(cx, &caller, &said);
            }
            // A second offer that is refused leaves the session as it was.
            Outcome::Answered(_) if !matches!(call.stage, Stage::Opening(_)) => {}
            Outcome::Answered(answer) => {
                let waits = answer.status == 404 && self.call_waits(cx.now(), connection);
                if !waits {
                    self.end_call(cx, connection, answer.body.trim().to_owned());
                }
            }
        }
    }

    fn end_call<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        connection: ConnectionKey,
        reason: String,
    ) {
        if let Some(call) = self.calls.forget(connection) {
            self.say_to_caller(cx, &call.caller, &Call::Hangup { reason });
        }
    }

    /// A session of WebRTC ended on this shard: its caller is told, wherever it is.
    pub(crate) fn call_ended<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: SessionId,
        agent: Option<&str>,
        reason: &str,
    ) {
        let Some(caller) = agent.and_then(|agent| agent.strip_prefix(AGENT_PREFIX)) else { return };
        self.calls
            .by_connection
            .retain(|_, call| !matches!(&call.stage, Stage::Open(its, _) if *its == session));
        self.say_to_caller(cx, caller, &Call::Hangup { reason: reason.to_owned() });
    }

    fn say_to_caller<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        caller: &str,
        call: &Call,
    ) {
        let id = self.snapshot.config.symple.peer_parts().map(|(_, id)| id.to_owned());
        let (Some(signalling), Some(id)) = (&mut self.signalling, id) else { return };
        let to = Recipient::Peer(caller);
        let speak = Input::Speak { peer: &id, to, message: call.message() };
        signalling.server.handle(cx.now(), speak);
        self.carry_out(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_says_whether_somebody_wants_to_be_seen() {
        for (offer, is_so) in [
            ("v=0\r\nm=audio\r\na=recvonly\r\nm=video\r\na=recvonly\r\n", false),
            ("v=0\r\nm=audio\r\na=inactive\r\nm=video\r\na=sendonly\r\n", true),
            ("v=0\r\nm=audio\r\na=sendrecv\r\n", true),
            ("v=0\r\nm=audio\r\n", true),
        ] {
            assert_eq!(publishes(offer), is_so, "{offer}");
        }
    }
}
