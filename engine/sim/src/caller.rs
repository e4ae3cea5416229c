//! A peer of signalling: comes over WebSocket, joins and leaves rooms, speaks in every way, calls
//! and is called, reads at its own pace, leaves in every way there is, comes back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol_ws::{Connection, ConnectionSettings, Event, KeepaliveTimes, Kind};
use serde_json::{Value, json};
use shards_sim::{Peer, PeerState};

use crate::listener::SETTLED_MS;
use crate::source::Leave;
use crate::stage::{Checker, Phase, Stage};
use crate::talk::{Stay, To};

/// How long a client may wait for its welcome, ms: shards may stand still for some.
const WELCOME_MS_MAX: u64 = 30_000;
/// When nothing new is said in the calm any more, ms after its beginning.
const SILENT_MS: u64 = 33_000;
/// Bytes that a client keeps for a connection that takes no more before it gives it up.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// The server's own peer.
pub(crate) const OWN_PEER: &str = "icey|icey-server";

/// One who comes, speaks, leaves and comes back.
pub(crate) struct Caller {
    number: usize,
    pub(crate) next_at: Instant,
    visit: Option<Visit>,
}

struct Visit {
    wire: Peer,
    ws: Connection<Vec<u8>>,
    /// Bytes that came and were not understood yet, and bytes that the connection has not taken.
    input: Vec<u8>,
    unsent: Vec<u8>,
    is_upgraded: bool,
    /// Who it is, once it is welcomed.
    peer: Option<usize>,
    came_at: Instant,
    leave: Leave,
    leaves_at: Instant,
    reads_every_ms: u64,
    /// Whom it calls, or is called by.
    call: Option<String>,
    /// It waits for what the server's own peer says to a call.
    has_asked_server: bool,
    has_presented_itself: bool,
}

impl Caller {
    pub(crate) fn new(number: usize, next_at: Instant) -> Caller {
        Caller { number, next_at, visit: None }
    }

    /// Does what is next, and says when to come back.
    pub(crate) fn step(&mut self, stage: &mut Stage) {
        if stage.phase == Phase::Calm && is_calm_since(stage, SETTLED_MS) {
            stage.talk.is_settled = true;
        }
        let is_over = stage.phase >= Phase::Leaving;
        match &self.visit {
            None if is_over => self.next_at = stage.after_ms(1_000),
            None => self.come(stage),
            Some(_) if is_over => self.go(stage),
            Some(_) => self.go_on(stage),
        }
    }

    /// At the end of the calm.
    pub(crate) fn inspect(&self, stage: &mut Stage) {
        let Some(visit) = &self.visit else {
            let what = format!("caller {} is not here at the end of the calm", self.number);
            return stage.fail(Checker::Liveness, what);
        };
        if visit.peer.is_none() || visit.has_asked_server {
            let (peer, number) = (visit.peer, self.number);
            let what = format!("caller {number}, peer {peer:?}, still waits for an answer");
            stage.fail(Checker::Liveness, what);
        }
    }

    fn come(&mut self, stage: &mut Stage) {
        let from = stage.host();
        let wire = stage.world.connect(from, stage.address(0, None));
        let now = stage.now();
        let never = Duration::from_secs(100_000);
        let keepalive = KeepaliveTimes { ping_after: never, give_up_after: never };
        let settings = Rc::new(ConnectionSettings { keepalive, ..ConnectionSettings::default() });
        // That masks cannot be guessed is of no use here.
        let mut ws = Connection::client(&settings, Box::new(|| [0x5a, 1, 0, 0xff]), now);
        let mut auth = json!({"type": "auth", "user": format!("u{}", stage.prng.below(9))});
        let chosen: Vec<String> = (0..stage.prng.below(3)).map(|_| stage.draw_room()).collect();
        auth["rooms"] = json!(chosen);
        ws.send(now, Kind::Text, auth.to_string().into_bytes());
        let request = b"GET /ws HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let is_slow = stage.phase == Phase::Chaos && stage.prng.chance(stage.swarm.slow);
        let stay_ms = stage.swarm.stay_ms_max;
        let leave = match stage.prng.below(4) {
            0 => Leave::Reset,
            1 => Leave::Vanish,
            _ => Leave::Close,
        };
        let number = self.number;
        stage.note(|| format!("caller {number} ({:?}) comes, {chosen:?}", wire.address()));
        self.visit = Some(Visit {
            wire,
            ws,
            input: Vec::new(),
            unsent: request.to_vec(),
            is_upgraded: false,
            peer: None,
            came_at: now,
            leave,
            leaves_at: stage.within_ms(stay_ms),
            reads_every_ms: if is_slow { 6_000 } else { 80 },
            call: None,
            has_asked_server: false,
            has_presented_itself: false,
        });
        self.next_at = stage.within_ms(20);
    }

    fn go_on(&mut self, stage: &mut Stage) {
        let Some(visit) = &mut self.visit else { return };
        let now = stage.now();
        if stage.phase == Phase::Calm {
            visit.reads_every_ms = 80;
        } else if now >= visit.leaves_at {
            return self.go(stage);
        }
        self.next_at = stage.within_ms(visit.reads_every_ms);
        let is_late = now > visit.came_at + Duration::from_millis(WELCOME_MS_MAX);
        match visit.wire.state() {
            PeerState::Connecting if is_late => return self.go(stage),
            PeerState::Connecting => return,
            _ => {}
        }
        if visit.peer.is_none() && is_late && visit.unsent.is_empty() {
            let what = format!("caller {} was never welcomed", self.number);
            return stage.fail(Checker::Liveness, what);
        }
        let heard = visit.listen(stage);
        if let Err(what) = heard {
            return stage.fail(Checker::Safety, format!("caller {}: {what}", self.number));
        }
        visit.speak(stage);
        visit.flush();
        if visit.wire.is_finished() || visit.ws.is_done() || visit.unsent.len() > UNSENT_BYTES_MAX {
            self.ended(stage);
        }
    }

    /// The server, or the network, is done with it.
    fn ended(&mut self, stage: &mut Stage) {
        let Some(visit) = &self.visit else { return };
        let (number, why) = (self.number, visit.ws.ended());
        stage.note(|| format!("caller {number} was cut off: {why:?}"));
        if stage.phase == Phase::Calm && stage.talk.is_settled {
            let what = format!("caller {number} is cut off though all is well: {why:?}");
            stage.fail(Checker::Fairness, what);
        }
        self.go(stage);
    }

    fn go(&mut self, stage: &mut Stage) {
        let Some(mut visit) = self.visit.take() else { return };
        let (number, leave) = (self.number, visit.leave);
        stage.note(|| format!("caller {number} leaves: {leave:?}"));
        match leave {
            Leave::Close => visit.wire.close(),
            Leave::Reset => visit.wire.reset(),
            Leave::Vanish => visit.wire.vanish(),
        }
        if let Some(peer) = visit.peer {
            let now = stage.now();
            stage.talk.end(peer, now);
        }
        self.next_at = stage.within_ms(1_500);
    }
}

impl Visit {
    /// Takes what has come.
    fn listen(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.input.extend(self.wire.read(usize::MAX));
        if !self.is_upgraded {
            let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            let head: Vec<u8> = self.input.drain(..end + 4).collect();
            if !head.starts_with(b"HTTP/1.1 101 ") {
                // Servers that stop say so, and those that have waited for too long.
                let is_known = [&b"HTTP/1.1 503 "[..], b"HTTP/1.1 408 "];
                let is_known = is_known.iter().any(|line| head.starts_with(line));
                let text = String::from_utf8_lossy(&head).into_owned();
                return is_known.then_some(()).ok_or(text);
            }
            self.is_upgraded = true;
        }
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        loop {
            let (used, event) = self.ws.receive(stage.now(), &mut input[at..]);
            at += used;
            let message: Value = match event {
                Event::Need if used == 0 => break,
                Event::Message(Kind::Text, text) => {
                    serde_json::from_slice(&text).map_err(|error| error.to_string())?
                }
                Event::Message(Kind::Binary, _) => return Err("a binary message".to_owned()),
                Event::Failed(error) => return Err(format!("{error:?}")),
                Event::Need | Event::Progress | Event::Closed(..) => continue,
            };
            self.take(stage, &message)?;
        }
        input.drain(..at);
        self.input = input;
        Ok(())
    }

    fn take(&mut self, stage: &mut Stage, message: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, from, room) =
            (text(&message["type"]), text(&message["from"]), text(&message["room"]));
        if kind == "welcome" && self.peer.is_none() {
            let (user, id) = (text(&message["peer"]["user"]), text(&message["peer"]["id"]));
            let rooms = message["rooms"].as_array().into_iter().flatten().map(text);
            self.peer = Some(stage.talk.begin(&format!("{user}|{id}"), rooms));
            stage.tally.peers_welcomed += 1;
            return Ok(());
        }
        let is_shutdown = kind == "event" && message["name"] == "shutdown";
        if kind == "error" || is_shutdown {
            stage.tally.errors_told += 1;
            return Ok(());
        }
        let Some(me) = self.peer else { return Err(format!("before the welcome: {message}")) };
        match &*kind {
            "join:ok" => stage.talk.has_joined(me, &room),
            "leave:ok" => stage.talk.has_left(me, &room),
            "presence" if from == OWN_PEER => {}
            "presence" => {
                let data = &message["data"];
                let said = format!("{}|{}", text(&data["user"]), text(&data["id"]));
                if said != from {
                    return Err(format!("a presence of {from} that says it is {said}"));
                }
                // An answer to one alone is not in the order of what all hear.
                if message["to"].is_null() {
                    let is_online = data["online"] == true;
                    let version = data["version"].as_u64().unwrap_or(0);
                    stage.talk.see(me, &from, is_online.then_some(version))?;
                }
            }
            "message" if from == OWN_PEER => {
                // There is no WebRTC here.
                self.has_asked_server = false;
                stage.tally.calls += 1;
            }
            "message" => {
                let number = text(&message["id"]).parse::<u64>().map_err(|it| it.to_string())?;
                stage.talk.hear(me, number, &from)?;
                stage.tally.messages_heard += 1;
                let subtype = text(&message["subtype"]);
                self.called(stage, me, &from, &subtype);
            }
            _ => return Err(format!("an unknown message: {message}")),
        }
        Ok(())
    }

    /// A step of a call.
    fn called(&mut self, stage: &mut Stage, me: usize, from: &str, subtype: &str) {
        let is_partner = self.call.as_deref() == Some(from);
        let answer = match subtype {
            "call:init" if self.call.is_none() => "call:accept",
            "call:init" => "call:reject",
            "call:accept" if is_partner => "call:offer",
            "call:offer" if is_partner => "call:answer",
            "call:answer" if is_partner => "call:hangup",
            "call:hangup" | "call:reject" if is_partner => {
                self.call = None;
                stage.tally.calls += u64::from(subtype == "call:hangup");
                return;
            }
            _ => return,
        };
        match answer {
            "call:accept" => self.call = Some(from.to_owned()),
            "call:hangup" => self.call = None,
            _ => {}
        }
        let others = stage.talk.others(me);
        let other = others.into_iter().find(|it| stage.talk.peer(*it).address == from);
        if let Some(other) = other {
            self.say(stage, me, &To::Address(other), Some(answer));
        }
    }

    /// Says something, or does something about its rooms; or nothing.
    fn speak(&mut self, stage: &mut Stage) {
        let Some(me) = self.peer.filter(|_| self.ws.is_open()) else { return };
        if stage.phase == Phase::Calm {
            if !stage.talk.is_settled || is_calm_since(stage, SILENT_MS) {
                return;
            }
            // What was said before has to be known as well: half of them do not say it again.
            let is_first = !std::mem::replace(&mut self.has_presented_itself, true);
            if is_first && me % 2 == 0 {
                return self.present(stage, me);
            }
        }
        let others = stage.talk.others(me);
        let other = stage.prng.pick(&others).copied();
        match (stage.prng.below(24), other) {
            (0, _) if !stage.talk.is_settled => self.join(stage, me),
            (1, _) if !stage.talk.is_settled && stage.swarm.rooms_are_left() => {
                self.leave(stage, me);
            }
            (2, _) => self.present(stage, me),
            (3, _) => self.say(stage, me, &To::All, None),
            (4, _) => {
                let to = To::Room(stage.draw_room());
                self.say(stage, me, &to, None);
            }
            (5, _) => {
                let mut rooms = vec![stage.draw_room(), stage.draw_room()];
                rooms.sort();
                self.say(stage, me, &To::Rooms(rooms), None);
            }
            (6, Some(other)) => self.say(stage, me, &To::Address(other), None),
            (7, Some(other)) => self.say(stage, me, &To::BareId(other), None),
            (8, Some(other)) if self.call.is_none() => {
                self.call = Some(stage.talk.peer(other).address.clone());
                self.say(stage, me, &To::Address(other), Some("call:init"));
            }
            // Whom it called may be gone.
            (9, _) => self.call = None,
            (10, Some(_)) if stage.swarm.has_public() => {
                self.has_asked_server = true;
                let call = json!({"type": "message", "to": OWN_PEER, "subtype": "call:init"});
                self.send(stage, &call);
            }
            // Several at once, as the candidates of ICE.
            (11, Some(other)) => {
                for _ in 0..stage.prng.between(2, 9) {
                    self.say(stage, me, &To::Address(other), Some("call:candidate"));
                }
            }
            _ => {}
        }
    }

    fn join(&mut self, stage: &mut Stage, me: usize) {
        let room = stage.draw_room();
        let rooms = &mut stage.talk.peer(me).rooms;
        if rooms.contains_key(&room) {
            return;
        }
        rooms.insert(room.clone(), Stay::Asked);
        self.send(stage, &json!({"type": "join", "room": room}));
        // Who joins is not announced. It does not wait to be told that it is in, nor always before
        // it speaks there, or goes again.
        self.present(stage, me);
        if stage.prng.below(3) == 0 {
            self.say(stage, me, &To::Room(room.clone()), None);
        }
        if stage.swarm.rooms_are_left() && stage.prng.below(5) == 0 {
            stage.talk.leaves(me, &room);
            self.send(stage, &json!({"type": "leave", "room": room}));
        }
    }

    fn leave(&mut self, stage: &mut Stage, me: usize) {
        let rooms = &stage.talk.peer(me).rooms;
        let is_in = |(room, stay): (&String, &Stay)| (*stay == Stay::In).then(|| room.clone());
        let rooms: Vec<String> = rooms.iter().filter_map(is_in).collect();
        let Some(room) = stage.prng.pick(&rooms) else { return };
        stage.talk.leaves(me, room);
        self.send(stage, &json!({"type": "leave", "room": room}));
    }

    fn present(&mut self, stage: &mut Stage, me: usize) {
        let peer = stage.talk.peer(me);
        peer.version += 1;
        // Who it says it is is not believed.
        let data = json!({"version": peer.version, "user": "root", "id": "x", "online": false});
        self.send(stage, &json!({"type": "presence", "data": data}));
    }

    fn say(&mut self, stage: &mut Stage, me: usize, to: &To, subtype: Option<&str>) {
        let now = stage.now();
        let number = stage.talk.say(me, to, now);
        let filler = "x".repeat(stage.prng.index(600));
        let data = json!({"text": filler});
        let mut message =
            json!({"type": "message", "id": number.to_string(), "from": "root|x", "data": data});
        let address = |talk: &mut crate::talk::Talk, peer| talk.peer(peer).address.clone();
        match to {
            To::All => {}
            To::Address(peer) => message["to"] = address(&mut stage.talk, *peer).into(),
            To::BareId(peer) => {
                let address = address(&mut stage.talk, *peer);
                message["to"] = address.split_once('|').expect("an address").1.into();
            }
            To::Room(room) => message["to"] = room.as_str().into(),
            To::Rooms(rooms) => message["to"] = json!(rooms),
        }
        if let Some(subtype) = subtype {
            message["subtype"] = subtype.into();
        }
        self.send(stage, &message);
    }

    fn send(&mut self, stage: &Stage, message: &Value) {
        self.ws.send(stage.now(), Kind::Text, message.to_string().into_bytes());
    }

    /// Gives the connection what it takes.
    fn flush(&mut self) {
        if self.is_upgraded {
            while let Some(frames) = self.ws.poll() {
                self.unsent.extend(frames);
            }
        }
        let count = self.wire.write(&self.unsent);
        self.unsent.drain(..count);
    }
}

fn is_calm_since(stage: &Stage, milliseconds: u64) -> bool {
    stage.now() >= stage.phase_since + Duration::from_millis(milliseconds)
}
