//! Shards, and browsers made of str0m, in one simulated world.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine_config::Config;
use engine_rtc::{Command, Identity, Name, Opened, Outcome, Role, Rtc, SessionId, Settings, Stats};
use shards_mesh::mesh;
use shards_runtime::{Io, Shard, ShardId};
use shards_sim::{Faults, MachineId, PeerDatagrams, SimIo, World};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};

use crate::peer::{Peer, Written};
use crate::service::{Message, RtcService, Wish};

/// Where a picture's number lies in a payload: behind VP8's descriptor and header.
const NUMBER_AT: usize = 2;

/// A browser: str0m, its socket, its session.
pub struct Browser {
    pub peer: Peer,
    socket: PeerDatagrams,
    pub opened: Option<Opened>,
    pub refused: Option<u16>,
    name: Name,
    sequence: u64,
}

pub struct Stage {
    pub world: World,
    pub shards: Vec<Shard<SimIo, RtcService>>,
    ids: Vec<MachineId>,
    pub browsers: Vec<Browser>,
    /// Shards that do not run at the moment.
    pub is_asleep: Vec<bool>,
    server: SocketAddr,
}

impl Stage {
    pub fn new(seed: u64, faults: Faults, shard_count: usize, more: &str) -> Stage {
        let world = World::new(seed, faults);
        let server = SocketAddr::new(World::node_address(0), 8443);
        let text = format!("[rtc]\nlisten = [\"{server}\"]\nwait_s = 5\n{more}");
        let config = Arc::new(Config::parse("f", &text).expect("in order"));
        let identity = Identity::generate().expect("a certificate");
        let (mut shards, mut ids) = (Vec::new(), Vec::new());
        for (index, port) in mesh::<Message>(shard_count + 1, 8).into_iter().enumerate() {
            if index == shard_count {
                break;
            }
            let io = world.machine(0, ShardId(index as u16));
            ids.push(io.id());
            let settings = Settings {
                config: config.clone(),
                identity: identity.clone(),
                seed: [seed as u8; 32],
                shard: (index as u16, shard_count as u16),
            };
            let rtc = Rtc::new(&settings, io.now());
            let service =
                RtcService { rtc, wishes: Vec::new(), outcomes: Vec::new(), ended: Vec::new() };
            shards.push(Shard::new(io, port, service));
        }
        let is_asleep = vec![false; shard_count];
        Stage { world, shards, ids, browsers: Vec::new(), is_asleep, server }
    }

    /// A browser that asks this shard for a session.
    pub fn join(&mut self, shard: usize, role: Role, name: &str) -> usize {
        let number = self.browsers.len();
        let mut peer = Peer::new(self.world.now(), number, true);
        let direction = if role == Role::View { Direction::RecvOnly } else { Direction::SendOnly };
        peer.wish(MediaKind::Video, direction);
        let offer = peer.offer();
        let socket = self.world.peer_bind(peer.address()).expect("a free address");
        let name: Name = name.into();
        let wish = Wish::Open { number: number as u64, role, name: name.clone(), offer };
        self.shards[shard].service_mut().wishes.push(wish);
        self.shards[shard].tick();
        let browser = Browser { peer, socket, opened: None, refused: None, name, sequence: 0 };
        self.browsers.push(browser);
        number
    }

    /// A browser's request about its session, put to a shard.
    pub fn manage(&mut self, browser: usize, shard: usize, command: Command) {
        let session = self.session(browser);
        let name = self.browsers[browser].name.clone();
        let wish = Wish::Manage { number: 1_000 + browser as u64, session, name, command };
        self.shards[shard].service_mut().wishes.push(wish);
        self.shards[shard].tick();
    }

    pub fn session(&self, browser: usize) -> SessionId {
        self.browsers[browser].opened.as_ref().expect("a session").session
    }

    /// A picture of one packet, with its number in it.
    pub fn send_picture(&mut self, browser: usize, is_keyframe: bool, mark: u8) {
        let Browser { peer, sequence, .. } = &mut self.browsers[browser];
        *sequence += 1;
        let mut payload = vec![0x10, u8::from(!is_keyframe)];
        payload.extend_from_slice(&sequence.to_be_bytes());
        payload.push(mark);
        payload.extend_from_slice(&[0xAA; 400]);
        let written = Written {
            codec: Codec::Vp8,
            is_red: false,
            sequence: *sequence,
            timestamp: (*sequence * 3_000) as u32,
            is_marked: true,
            payload: &payload,
        };
        let mid = peer.mids[0];
        peer.send(mid, None, written);
    }

    /// Pictures for so long, a keyframe whenever one is asked for.
    pub fn film(&mut self, browser: usize, pictures: usize, mark: u8) {
        for count in 0..pictures {
            let wanted = std::mem::take(&mut self.browsers[browser].peer.keyframes_wanted);
            self.send_picture(browser, count == 0 || wanted > 0, mark);
            self.pass(Duration::from_millis(33));
        }
    }

    /// The numbers and marks of the pictures that a browser got, each once, in order of arrival.
    pub fn seen(&self, browser: usize) -> Vec<(u64, u8)> {
        let read = |payload: &[u8]| {
            let (number, rest) = payload[NUMBER_AT..].split_first_chunk::<8>().expect("a number");
            assert!(rest[1..].iter().all(|byte| *byte == 0xAA), "not what was sent");
            (u64::from_be_bytes(*number), rest[0])
        };
        self.browsers[browser].peer.packets.iter().map(|packet| read(&packet.payload)).collect()
    }

    pub fn is_connected(&self, browser: usize) -> bool {
        self.browsers[browser].peer.rtc.is_connected()
    }

    pub fn until(&mut self, what: &str, is_so: impl Fn(&Stage) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            self.pass(Duration::from_millis(20));
        }
        panic!("does not happen: {what}");
    }

    pub fn stats(&self) -> Vec<Stats> {
        self.shards.iter().map(|shard| shard.service().rtc.stats()).collect()
    }

    pub fn sum(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.stats().iter().map(of).sum()
    }

    /// Lets time pass, and everybody do what is due.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.world.now() + duration;
        loop {
            self.speak();
            let is_ready =
                |at: &usize| !self.is_asleep[*at] && self.world.machine_ready(self.ids[*at]);
            let ready: Vec<usize> = (0..self.shards.len()).filter(is_ready).collect();
            if !ready.is_empty() {
                for at in ready {
                    self.shards[at].tick();
                }
                self.take_outcomes();
                // Whose sibling sleeps is ready again at once: time must go on all the same.
                if !self.is_asleep.contains(&true) {
                    continue;
                }
            }
            let now = self.world.now();
            if now >= until {
                return;
            }
            let peers = self.browsers.iter().filter_map(|browser| browser.peer.deadline).min();
            let events = [self.world.next_event(), peers, Some(until)].into_iter().flatten();
            // A shard that sleeps leaves its events where they are: time goes on in steps.
            let step = if self.is_asleep.contains(&true) { 3_000 } else { 100 };
            let next = events.min().expect("until").max(now + Duration::from_micros(step));
            self.world.advance_to(next.min(until).max(now + Duration::from_micros(1)));
            self.hear();
        }
    }

    fn take_outcomes(&mut self) {
        for shard in 0..self.shards.len() {
            for (number, outcome) in std::mem::take(&mut self.shards[shard].service_mut().outcomes)
            {
                let Some(browser) = self.browsers.get_mut(number as usize) else { continue };
                match outcome {
                    Outcome::Opened(opened) => {
                        browser.peer.accept(&opened.answer);
                        browser.opened = Some(opened);
                    }
                    Outcome::Answered(answer) => browser.refused = Some(answer.status),
                }
            }
        }
    }

    fn speak(&mut self) {
        for browser in &mut self.browsers {
            for (_, to, bytes) in browser.peer.drain() {
                assert_eq!(to, self.server);
                // What cannot be sent is lost, as on the way.
                let _ = browser.socket.send_to(to, &bytes);
            }
        }
    }

    fn hear(&mut self) {
        let now = self.world.now();
        for browser in &mut self.browsers {
            while let Some((from, bytes)) = browser.socket.receive_from() {
                browser.peer.receive(now, from, &bytes);
                browser.peer.drain().into_iter().for_each(|(_, to, bytes)| {
                    let _ = browser.socket.send_to(to, &bytes);
                });
            }
            if browser.peer.deadline.is_some_and(|deadline| deadline <= now) {
                browser.peer.tick(now);
            }
        }
    }
}
