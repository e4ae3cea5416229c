//! A world in memory: peers made of str0m, our sessions, and a network that loses, delays, doubles
//! and reorders datagrams by a seed.

#![allow(dead_code, reason = "each test file uses its part of the world")]
#![allow(clippy::disallowed_methods, reason = "a test's clock begins somewhere")]

pub mod hub;
pub mod peer;
pub mod publisher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media_rtc::{
    CloseCause, IceCredentials, Input, LocalCandidate, Output, Role, RtpPacket, Session,
    SessionConfig, TrackId, TrackInfo, Transport,
};
use peer::Peer;

/// Where all sessions are.
pub const SERVER: &str = "192.0.2.1:4433";

/// What the network does to a datagram, in parts of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    pub loss: u64,
    pub doubling: u64,
    pub delay_ms: (u64, u64),
}

impl Network {
    pub const GOOD: Self = Self { loss: 0, doubling: 0, delay_ms: (5, 5) };
    pub const BAD: Self = Self { loss: 50, doubling: 20, delay_ms: (5, 40) };
}

/// A sequence of numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn credentials(&mut self, prefix: &str) -> IceCredentials {
        let mut random = [0; 24];
        for chunk in random.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        IceCredentials::from_random(prefix, random).expect("a good prefix")
    }
}

/// A session and what came out of it.
pub struct Hosted {
    pub session: Session,
    pub peer: usize,
    pub tracks: Vec<TrackInfo>,
    pub packets: Vec<(TrackId, Arc<RtpPacket>)>,
    /// The same, not yet taken by the test's forwarder.
    pub fresh: Vec<(TrackId, Arc<RtpPacket>)>,
    pub keyframes_wanted: Vec<TrackId>,
    pub messages: Vec<(bool, Vec<u8>)>,
    pub channels: Vec<(media_rtc::ChannelId, String)>,
    pub estimate: Option<u64>,
    pub connected: u32,
    pub disconnected: u32,
    pub ended: Vec<TrackId>,
    pub closed: Option<CloseCause>,
}

impl Hosted {
    pub fn incoming(&self) -> TrackId {
        self.tracks.iter().find(|track| track.is_incoming).expect("an incoming track").id
    }

    pub fn outgoing(&self) -> TrackId {
        self.tracks.iter().find(|track| track.is_outgoing).expect("an outgoing track").id
    }
}

struct Flying {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
}

/// All of it.
pub struct World {
    pub now: Instant,
    pub chance: Chance,
    pub network: Network,
    pub config: SessionConfig,
    pub sessions: Vec<Hosted>,
    pub peers: Vec<Peer>,
    pub lost: u64,
    /// Ways to peers that take only so many bits per second, and until when they are taken.
    links: BTreeMap<SocketAddr, (u64, Instant)>,
    flying: BTreeMap<(Instant, u64), Flying>,
    flown: u64,
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl World {
    pub fn new(seed: u64, network: Network) -> Self {
        let candidate = LocalCandidate { address: address(SERVER), transport: Transport::Udp };
        let config = SessionConfig { candidates: vec![candidate], ..SessionConfig::default() };
        Self {
            now: Instant::now(),
            chance: Chance(seed),
            network,
            config,
            sessions: Vec::new(),
            peers: Vec::new(),
            lost: 0,
            links: BTreeMap::new(),
            flying: BTreeMap::new(),
            flown: 0,
        }
    }

    /// A peer with its session; returns their number.
    pub fn join(&mut self, role: Role, make: impl FnOnce(&mut Peer)) -> usize {
        self.join_with(role, true, make)
    }

    /// The same, of a peer that knows RED or not.
    pub fn join_with(&mut self, role: Role, has_red: bool, make: impl FnOnce(&mut Peer)) -> usize {
        let number = self.peers.len();
        let mut peer = Peer::new(self.now, number, has_red);
        make(&mut peer);
        let offer = peer.offer();
        let credentials = self.chance.credentials("s0");
        let (session, answer) =
            Session::answer(self.now, &self.config, &credentials, role, &offer).expect("answered");
        peer.accept(&answer);
        self.peers.push(peer);
        self.sessions.push(Hosted {
            session,
            peer: number,
            tracks: Vec::new(),
            packets: Vec::new(),
            fresh: Vec::new(),
            keyframes_wanted: Vec::new(),
            messages: Vec::new(),
            channels: Vec::new(),
            estimate: None,
            connected: 0,
            disconnected: 0,
            ended: Vec::new(),
            closed: None,
        });
        self.settle();
        number
    }

    /// Runs for so long.
    pub fn run(&mut self, duration: Duration) {
        self.run_with(duration, |_| ());
    }

    /// Runs for so long, and calls `each` after everything that happens.
    pub fn run_with(&mut self, duration: Duration, mut each: impl FnMut(&mut Self)) {
        let until = self.now + duration;
        loop {
            self.settle();
            each(self);
            self.settle();
            let next = self.next_event().filter(|next| *next <= until);
            let Some(next) = next else { break };
            // Never stand still: a deadline in the past is handled a moment later.
            self.now = next.max(self.now + Duration::from_micros(50));
            self.deliver();
            self.tick();
        }
        self.now = until;
    }

    /// Runs until it is so; how long that took.
    pub fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Duration {
        let began = self.now;
        while !is_so(self) {
            self.run(Duration::from_millis(5));
            assert!(self.now - began < Duration::from_secs(40), "it does not happen");
        }
        self.now - began
    }

    pub fn until_connected(&mut self) -> Duration {
        self.until(|world| {
            world.sessions.iter().all(|hosted| hosted.session.is_connected())
                && world.peers.iter().all(|peer| peer.rtc.is_connected())
        })
    }

    /// Everything that is to be said now is said.
    pub fn settle(&mut self) {
        for index in 0..self.peers.len() {
            for (source, destination, bytes) in self.peers[index].drain() {
                self.fly(source, destination, bytes);
            }
        }
        for index in 0..self.sessions.len() {
            while let Some(output) = self.sessions[index].session.poll() {
                self.take(index, output);
            }
        }
    }

    fn take(&mut self, index: usize, output: Output) {
        let hosted = &mut self.sessions[index];
        match output {
            Output::Transmit(transmit) => {
                assert_eq!(transmit.source, address(SERVER));
                self.fly(transmit.source, transmit.destination, transmit.bytes);
            }
            Output::Connected => hosted.connected += 1,
            Output::Disconnected => hosted.disconnected += 1,
            Output::Track(track) => {
                hosted.tracks.retain(|known| known.id != track.id);
                hosted.tracks.push(track);
            }
            Output::TrackEnded(track) => {
                hosted.tracks.retain(|known| known.id != track);
                hosted.ended.push(track);
            }
            Output::Packet(track, packet) => {
                hosted.packets.push((track, packet.clone()));
                hosted.fresh.push((track, packet));
            }
            Output::KeyframeWanted(track) => hosted.keyframes_wanted.push(track),
            Output::Estimate { bits_per_second } => hosted.estimate = Some(bits_per_second),
            Output::ChannelOpened(channel, label) => hosted.channels.push((channel, label)),
            Output::Message { is_text, bytes, .. } => hosted.messages.push((is_text, bytes)),
            Output::ChannelClosed(closed) => hosted.channels.retain(|(id, _)| *id != closed),
            Output::Closed(cause) => hosted.closed = Some(cause),
        }
    }

    fn fly(&mut self, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        if self.chance.below(1000) < self.network.loss {
            self.lost += 1;
            return;
        }
        let copies = 1 + u64::from(self.chance.below(1000) < self.network.doubling);
        for _ in 0..copies {
            let (from, to) = self.network.delay_ms;
            let delay = Duration::from_micros(from * 1000 + self.chance.below((to - from) * 1000));
            let Some(queued) = self.queued(destination, bytes.len()) else {
                self.lost += 1;
                return;
            };
            let delay = delay + queued;
            self.flown += 1;
            let flying = Flying { source, destination, bytes: bytes.clone() };
            self.flying.insert((self.now + delay, self.flown), flying);
        }
    }

    /// The way to this peer takes no more than this.
    pub fn narrow(&mut self, peer: usize, bits_per_second: u64) {
        let link = (bits_per_second, self.now);
        self.links.insert(self.peers[peer].address(), link);
    }

    /// How long a datagram waits for a narrow way; `None` where its buffer is full.
    fn queued(&mut self, destination: SocketAddr, bytes: usize) -> Option<Duration> {
        const BUFFER: Duration = Duration::from_millis(300);
        let Some((rate, free_at)) = self.links.get_mut(&destination) else {
            return Some(Duration::ZERO);
        };
        let waits = free_at.saturating_duration_since(self.now);
        if waits > BUFFER {
            return None;
        }
        let takes = Duration::from_micros(bytes as u64 * 8 * 1_000_000 / *rate);
        *free_at = (*free_at).max(self.now) + takes;
        Some(waits + takes)
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
        let sessions = self.sessions.iter().filter_map(|hosted| hosted.session.deadline());
        let peers = self.peers.iter().filter_map(|peer| peer.deadline);
        sessions.chain(peers).chain(arrival).min()
    }

    fn deliver(&mut self) {
        while let Some(first) = self.flying.first_entry().filter(|first| first.key().0 <= self.now)
        {
            let Flying { source, destination, bytes } = first.remove();
            if destination == address(SERVER) {
                let known = self.peers.iter().position(|peer| peer.addresses.contains(&source));
                let peer = known.expect("a known peer");
                let hosted = self.sessions.iter_mut().rev().find(|hosted| hosted.peer == peer);
                let transport = Transport::Udp;
                let input = Input::Datagram { source, destination, transport, bytes: &bytes };
                hosted.expect("its session").session.handle(self.now, input);
            } else {
                let peer = self.peers.iter_mut().find(|peer| peer.address() == destination);
                if let Some(peer) = peer {
                    peer.receive(self.now, source, &bytes);
                }
            }
            self.settle();
        }
    }

    fn tick(&mut self) {
        for hosted in &mut self.sessions {
            if hosted.session.deadline().is_some_and(|deadline| deadline <= self.now) {
                hosted.session.handle(self.now, Input::Tick);
            }
        }
        for peer in &mut self.peers {
            if peer.deadline.is_some_and(|deadline| deadline <= self.now) {
                peer.tick(self.now);
            }
        }
    }
}
