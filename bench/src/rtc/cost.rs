//! One publisher and its viewers in memory: what our side spends for each packet passed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use media_rtc::{
    BitrateBounds, Identity, LocalCandidate, MediaKind, Role, SessionConfig, Track, TrackLimits,
    Transport,
};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use str0m::media::{Direction, MediaKind as StrKind};

use super::peer::{Media, Peer};
use super::seat::{Kind, Packet, Seat};
use crate::clock;

/// The version that the whole workspace is pinned to.
pub(crate) const STR0M: &str = "0.25.0";

const STEP: Duration = Duration::from_millis(1);
const PICTURES_PER_SECOND: f64 = 30.0;
const SOUND_EVERY: u64 = 20;
const SOUND_BYTES: usize = 120;
/// Virtual time for all to connect, and for estimates to settle before anything is counted.
const CONNECT_MAX: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(4);

/// How much, how long.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Plan {
    pub(crate) viewers: usize,
    pub(crate) seconds: f64,
    pub(crate) packet_bytes: usize,
    pub(crate) bits_per_second: f64,
    pub(crate) has_pacer: bool,
}

/// What it cost.
#[derive(Clone, Serialize)]
pub(crate) struct Cost {
    pub(crate) kind: Kind,
    pub(crate) published: u64,
    pub(crate) forwarded: u64,
    pub(crate) cpu_s: f64,
}

impl Cost {
    pub(crate) fn us_per_packet(&self) -> f64 {
        self.cpu_s * 1e6 / self.forwarded.max(1) as f64
    }
}

/// CPU time of this thread.
pub(crate) fn cpu_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

/// One trial.
pub(crate) fn run(plan: Plan, kind: Kind) -> Result<Cost> {
    let mut room = Room::make(plan, kind)?;
    room.until_connected()?;
    let settled = room.now + SETTLE;
    while room.now < settled {
        room.step()?;
    }
    let (cpu, received, published) = (room.cpu, room.received(), room.published);
    let until = room.now + Duration::from_secs_f64(plan.seconds);
    while room.now < until {
        room.step()?;
    }
    let cost = Cost {
        kind,
        published: room.published - published,
        forwarded: room.received() - received,
        cpu_s: (room.cpu - cpu).as_secs_f64(),
    };
    let expected = cost.published * plan.viewers as u64;
    // A few are on their way when the counting begins and ends.
    if cost.forwarded.abs_diff(expected) > expected / 50 + 2 * plan.viewers as u64 {
        bail!("{}: {} of {expected} packets came", kind.name(), cost.forwarded);
    }
    Ok(cost)
}

/// All of them, on a clock of their own.
struct Room {
    plan: Plan,
    now: Instant,
    millisecond: u64,
    server: SocketAddr,
    /// The publisher is the first.
    peers: Vec<Peer>,
    seats: Vec<Seat>,
    tracks: [Track; 2],
    /// Datagrams to our side, and from whom.
    inbound: Vec<(usize, Vec<u8>)>,
    outbound: Vec<(usize, Vec<u8>)>,
    picture: Picture,
    published: u64,
    cpu: Duration,
}

/// Where the publisher's numbers are.
struct Picture {
    video_sequence: u64,
    audio_sequence: u64,
    count: u64,
    owed_bytes: f64,
}

impl Room {
    fn make(plan: Plan, kind: Kind) -> Result<Self> {
        let now = clock::now();
        let server: SocketAddr = ([192, 0, 2, 1], 4433).into();
        let candidate = LocalCandidate { address: server, transport: Transport::Udp };
        let bounds = BitrateBounds { start_bps: 3_000_000, ..BitrateBounds::default() };
        let config = SessionConfig {
            identity: Identity::generate(),
            candidates: vec![candidate],
            bitrate: plan.has_pacer.then_some(bounds),
            ..SessionConfig::default()
        };
        let (mut peers, mut seats) = (Vec::new(), Vec::new());
        for number in 0..=plan.viewers {
            let (role, direction) = match number {
                0 => (Role::Publish, Direction::SendOnly),
                _ => (Role::View, Direction::RecvOnly),
            };
            let address = ([198, 51, 100, 1], 10_000 + u16::try_from(number)?).into();
            let (peer, offer) = Peer::offer(now, address, direction)?;
            let mut peer = peer.only_counting();
            let (seat, answer) = Seat::answer(now, kind, role, &config, (number, &offer))?;
            peer.accept(&answer)?;
            peers.push(peer);
            seats.push(seat);
        }
        Ok(Room {
            plan,
            now,
            millisecond: 0,
            server,
            peers,
            seats,
            tracks: [MediaKind::Video, MediaKind::Audio]
                .map(|kind| Track::new(kind, TrackLimits::default())),
            inbound: Vec::new(),
            outbound: Vec::new(),
            picture: Picture { video_sequence: 1, audio_sequence: 1, count: 0, owed_bytes: 0.0 },
            published: 0,
            cpu: Duration::ZERO,
        })
    }

    fn until_connected(&mut self) -> Result<()> {
        let until = self.now + CONNECT_MAX;
        let is_up = |room: &Room| {
            room.peers.iter().all(Peer::is_connected) && room.seats.iter().all(Seat::is_connected)
        };
        while !is_up(self) {
            self.exchange()?;
            if self.now > until {
                bail!("they do not connect");
            }
        }
        Ok(())
    }

    fn received(&self) -> u64 {
        self.peers.iter().map(|peer| peer.received).sum()
    }

    /// A millisecond in which the publisher does its part.
    fn step(&mut self) -> Result<()> {
        let packets = self.due();
        self.published += packets.len() as u64;
        self.peers[0].send(self.now, &packets)?;
        self.exchange()
    }

    /// A millisecond: ours, counted; then the peers'.
    fn exchange(&mut self) -> Result<()> {
        let began = cpu_time()?;
        self.serve()?;
        self.cpu += cpu_time()? - began;
        self.now += STEP;
        self.millisecond += 1;
        for (number, bytes) in self.outbound.drain(..) {
            self.peers[number].receive(self.now, self.server, &bytes)?;
            self.peers[number].drain(|_, bytes| self.inbound.push((number, bytes)))?;
        }
        for (number, peer) in self.peers.iter_mut().enumerate() {
            if peer.deadline <= self.now {
                peer.tick(self.now)?;
            }
            peer.drain(|_, bytes| self.inbound.push((number, bytes)))?;
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let (now, mut datagrams, mut packets) = (self.now, Vec::new(), Vec::new());
        for (number, bytes) in self.inbound.drain(..) {
            let ends = (self.peers[number].address, self.server);
            let seat = &mut self.seats[number];
            seat.receive(now, ends, &bytes)?;
            seat.drain(now, &mut datagrams, &mut packets)?;
            self.outbound.extend(datagrams.drain(..).map(|bytes| (number, bytes)));
        }
        for packet in packets.drain(..) {
            let mut track = None;
            if let Packet::Ours(packet) = &packet {
                let kind = packet.parameters.codec().kind();
                let of_kind = &mut self.tracks[usize::from(kind == MediaKind::Audio)];
                of_kind.push(now, packet);
                track = Some(&*of_kind);
            }
            for seat in &mut self.seats[1..] {
                seat.pass(now, track, &packet)?;
            }
        }
        for (number, seat) in self.seats.iter_mut().enumerate() {
            if seat.deadline().is_some_and(|deadline| deadline <= now) {
                seat.tick(now)?;
            }
            seat.drain(now, &mut datagrams, &mut packets)?;
            self.outbound.extend(datagrams.drain(..).map(|bytes| (number, bytes)));
        }
        Ok(())
    }

    /// What the publisher sends in this millisecond: a picture's packets, or sound.
    fn due(&mut self) -> Vec<Media> {
        let mut packets = Vec::new();
        let picture = &mut self.picture;
        let pictures_due = self.millisecond as f64 * PICTURES_PER_SECOND / 1_000.0;
        if pictures_due >= picture.count as f64 {
            picture.owed_bytes += self.plan.bits_per_second / 8.0 / PICTURES_PER_SECOND;
            let count = (picture.owed_bytes / self.plan.packet_bytes as f64).floor() as usize;
            picture.owed_bytes -= (count * self.plan.packet_bytes) as f64;
            for part in 0..count {
                let mut payload = vec![7; self.plan.packet_bytes];
                let is_key = picture.count == 0 || picture.count.is_multiple_of(300);
                payload[0] = if part == 0 { 0x10 } else { 0 };
                payload[1] = if is_key { 0x50 } else { 0x51 };
                packets.push(Media {
                    kind: StrKind::Video,
                    sequence: picture.video_sequence,
                    timestamp: (picture.count * 3_000) as u32,
                    is_marked: part + 1 == count,
                    payload: Arc::from(payload),
                });
                picture.video_sequence += 1;
            }
            picture.count += 1;
        }
        if self.millisecond.is_multiple_of(SOUND_EVERY) {
            packets.push(Media {
                kind: StrKind::Audio,
                sequence: picture.audio_sequence,
                timestamp: (self.millisecond * 48) as u32,
                is_marked: false,
                payload: Arc::from(vec![5; SOUND_BYTES]),
            });
            picture.audio_sequence += 1;
        }
        packets
    }
}
