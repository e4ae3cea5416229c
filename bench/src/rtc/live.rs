//! One publisher and ever more viewers over real sockets, until a hundredth of the packets are late
//! or lost. All peers are one thread, which sends what it measures itself: each packet says when it
//! left.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use serde::Serialize;
use str0m::media::{Direction, MediaKind};

use super::cost::cpu_time;
use super::janus;
use super::peer::{Media, Peer};
use super::servers::{Kind, Server, ServerOptions};
use crate::clock;

/// Later than this is late.
const LATE: Duration = Duration::from_millis(50);
/// The share of packets that may be late or lost.
const SHARE_MAX: f64 = 0.01;
const CONNECT_MAX: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_millis(1_500);
const PICTURES_PER_SECOND: u32 = 30;
const SOUND_EVERY: Duration = Duration::from_millis(20);
const SOUND_BYTES: usize = 120;
/// Pictures between two keyframes.
const KEYFRAME_EVERY: u64 = 60;
/// Where in a payload its number and the time when it left stand.
const NUMBER_AT: usize = 8;
const DATAGRAMS_IN_A_ROW: usize = 32;
/// Longer than this is told as this.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How it is measured.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct LivePlan {
    pub(crate) step: usize,
    pub(crate) viewers_max: usize,
    pub(crate) seconds: f64,
    pub(crate) packet_bytes: usize,
    pub(crate) bits_per_second: f64,
}

/// So many viewers, so long.
#[derive(Clone, Serialize)]
pub(crate) struct Window {
    pub(crate) server: Kind,
    pub(crate) viewers: usize,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) late: u64,
    /// Packets that came more than once.
    pub(crate) twice: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    pub(crate) server_cpu_s: f64,
    pub(crate) generator_cpu_s: f64,
    pub(crate) seconds: f64,
}

impl Window {
    /// Late or lost.
    pub(crate) fn bad_share(&self) -> f64 {
        let lost = self.expected.saturating_sub(self.received);
        (self.late + lost) as f64 / self.expected.max(1) as f64
    }

    pub(crate) fn is_good(&self) -> bool {
        self.bad_share() <= SHARE_MAX
    }

    pub(crate) fn cpu_us_per_packet(&self) -> f64 {
        self.server_cpu_s * 1e6 / self.received.max(1) as f64
    }
}

/// Adds viewers until it is too much.
pub(crate) fn ramp(kind: Kind, options: &ServerOptions, plan: LivePlan) -> Result<Vec<Window>> {
    let server = Server::start(kind, options)?;
    let outcome = Field::open(&server, plan).and_then(|mut field| field.ramp(&server));
    outcome.with_context(|| server.output())
}

/// All peers.
struct Field {
    plan: LivePlan,
    began: Instant,
    epoll: rustix::fd::OwnedFd,
    publisher: Publisher,
    viewers: Vec<Viewer>,
    ticked_at: Instant,
    counts: bool,
    latencies: Histogram<u64>,
    late: u64,
    received: u64,
    twice: u64,
}

/// How the stream is published: by WHIP, or as bare RTP.
struct Publisher {
    way: Way,
    pictures: u64,
    sounds: u64,
    sequence: u64,
    owed_bytes: f64,
    sent: u64,
}

enum Way {
    Peer(Box<Peer>, UdpSocket),
    Bare { socket: UdpSocket, video: SocketAddr, audio: SocketAddr },
}

struct Viewer {
    peer: Peer,
    socket: UdpSocket,
    /// The highest numbers of pictures and sound, to see what comes twice.
    newest: [Newest; 2],
}

#[derive(Default, Clone, Copy)]
struct Newest {
    highest: u64,
    bits: u128,
}

impl Newest {
    fn is_new(&mut self, number: u64) -> bool {
        if number > self.highest {
            let by = u32::try_from(number - self.highest).unwrap_or(u32::MAX);
            self.bits = self.bits.checked_shl(by).unwrap_or(0) | 1;
            self.highest = number;
            return true;
        }
        let bit = u32::try_from(self.highest - number).ok().and_then(|by| 1u128.checked_shl(by));
        let bit = bit.unwrap_or(0);
        let is_new = self.bits & bit == 0;
        self.bits |= bit;
        is_new
    }
}

fn socket(ip: IpAddr) -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

impl Field {
    fn open(server: &Server, plan: LivePlan) -> Result<Self> {
        let began = clock::now();
        let way = match server.kind() {
            Kind::Janus => {
                let (video, audio) = server.rtp_ports().context("Janus has ports for RTP")?;
                let (socket, _) = socket(server.ip())?;
                Way::Bare { socket, video, audio }
            }
            Kind::Skywave => {
                let (socket, address) = socket(server.ip())?;
                let (mut peer, offer) = Peer::offer(began, address, Direction::SendOnly)?;
                peer.accept(&server.post("/whip/bench", &offer)?)?;
                Way::Peer(Box::new(peer), socket)
            }
        };
        Ok(Field {
            plan,
            began,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            publisher: Publisher {
                way,
                pictures: 0,
                sounds: 0,
                sequence: 1,
                owed_bytes: 0.0,
                sent: 0,
            },
            viewers: Vec::new(),
            ticked_at: began,
            counts: false,
            latencies: Histogram::new_with_max(LATENCY_US_MAX, 3)?,
            late: 0,
            received: 0,
            twice: 0,
        })
    }

    fn ramp(&mut self, server: &Server) -> Result<Vec<Window>> {
        let mut windows = Vec::new();
        if let Way::Peer(..) = &self.publisher.way {
            let is_up = |field: &Field| match &field.publisher.way {
                Way::Peer(peer, _) => peer.is_connected(),
                Way::Bare { .. } => true,
            };
            self.until(is_up).context("the publisher")?;
        }
        while self.viewers.len() < self.plan.viewers_max {
            for _ in 0..self.plan.step {
                self.add_viewer(server)?;
            }
            let has_picture = |field: &Field| field.viewers.iter().all(|it| it.peer.received > 0);
            if let Err(error) = self.until(has_picture) {
                eprintln!("{}: {} viewers: {error:#}", server.kind().name(), self.viewers.len());
                break;
            }
            self.run(SETTLE)?;
            let window = self.window(server)?;
            eprintln!(
                "{}: {} viewers: {:.2} % late or lost, {:.2} us CPU a packet, p99 {} us; \
                 generator {:.0} %",
                server.kind().name(),
                window.viewers,
                100.0 * window.bad_share(),
                window.cpu_us_per_packet(),
                window.p99_us,
                100.0 * window.generator_cpu_s / window.seconds,
            );
            let is_good = window.is_good();
            windows.push(window);
            if !is_good {
                break;
            }
        }
        Ok(windows)
    }

    fn add_viewer(&mut self, server: &Server) -> Result<()> {
        let (socket, address) = socket(server.ip())?;
        let now = clock::now();
        let peer = match server.kind() {
            Kind::Skywave => {
                let (mut peer, offer) = Peer::offer(now, address, Direction::RecvOnly)?;
                peer.accept(&server.post("/whep/bench", &offer)?)?;
                peer
            }
            Kind::Janus => {
                let watch = janus::Watch::begin(server.http())?;
                let (peer, answer) = Peer::answer(now, address, watch.offer())?;
                watch.start(&answer)?;
                peer
            }
        };
        let data = epoll::EventData::new_u64(self.viewers.len() as u64);
        epoll::add(&self.epoll, socket.as_fd(), data, epoll::EventFlags::IN)?;
        self.viewers.push(Viewer { peer, socket, newest: [Newest::default(); 2] });
        // The stream must not stand still while many are added.
        self.run(Duration::from_millis(2))
    }

    fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let give_up_at = clock::now() + CONNECT_MAX;
        while !is_so(self) {
            self.run(Duration::from_millis(20))?;
            if clock::now() > give_up_at {
                bail!("no picture in time");
            }
        }
        Ok(())
    }

    fn window(&mut self, server: &Server) -> Result<Window> {
        (self.late, self.received, self.twice) = (0, 0, 0);
        self.latencies.reset();
        let (cpu, own, sent) = (server.process().cpu_exact()?, cpu_time()?, self.publisher.sent);
        let began = clock::now();
        self.counts = true;
        self.run(Duration::from_secs_f64(self.plan.seconds))?;
        self.counts = false;
        Ok(Window {
            server: server.kind(),
            viewers: self.viewers.len(),
            expected: (self.publisher.sent - sent) * self.viewers.len() as u64,
            received: self.received,
            late: self.late,
            twice: self.twice,
            p50_us: self.latencies.value_at_quantile(0.5),
            p99_us: self.latencies.value_at_quantile(0.99),
            max_us: self.latencies.max(),
            server_cpu_s: (server.process().cpu_exact()? - cpu).as_secs_f64(),
            generator_cpu_s: (cpu_time()? - own).as_secs_f64(),
            seconds: (clock::now() - began).as_secs_f64(),
        })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let until = clock::now() + time;
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(256);
        loop {
            let now = clock::now();
            self.publish(now)?;
            if now >= until {
                return Ok(());
            }
            if now.saturating_duration_since(self.ticked_at) >= Duration::from_millis(5) {
                self.ticked_at = now;
                self.tick(now)?;
            }
            ready.clear();
            let wait = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&wait))?;
            for event in ready.drain(..) {
                let number = event.data.u64() as usize;
                self.receive(number)?;
            }
        }
    }

    fn receive(&mut self, number: usize) -> Result<()> {
        let mut bytes = [0; 2_048];
        for _ in 0..DATAGRAMS_IN_A_ROW {
            let viewer = &mut self.viewers[number];
            let Ok((length, from)) = viewer.socket.recv_from(&mut bytes) else { break };
            viewer.peer.receive(clock::now(), from, &bytes[..length])?;
            self.drain(number)?;
        }
        Ok(())
    }

    fn drain(&mut self, number: usize) -> Result<()> {
        let (began, now) = (self.began, clock::now());
        let Viewer { peer, socket, newest } = &mut self.viewers[number];
        peer.drain(|to, bytes| drop(socket.send_to(&bytes, to)))?;
        for (is_video, payload) in peer.arrived.drain(..) {
            let Some((stamp, _)) = payload.get(NUMBER_AT..).and_then(|it| it.split_first_chunk())
            else {
                continue;
            };
            let [number, left_us] = unstamp(stamp);
            if !newest[usize::from(is_video)].is_new(number) {
                self.twice += 1;
                continue;
            }
            let late_us = ((now - began).as_micros() as u64).saturating_sub(left_us);
            if self.counts {
                self.received += 1;
                self.late += u64::from(Duration::from_micros(late_us) > LATE);
                self.latencies.saturating_record(late_us.max(1));
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant) -> Result<()> {
        if let Way::Peer(peer, socket) = &mut self.publisher.way {
            let mut bytes = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                peer.receive(now, from, &bytes[..length])?;
            }
            if peer.deadline <= now {
                peer.tick(now)?;
            }
            peer.drain(|to, bytes| drop(socket.send_to(&bytes, to)))?;
        }
        for number in 0..self.viewers.len() {
            if self.viewers[number].peer.deadline <= now {
                self.viewers[number].peer.tick(now)?;
                self.drain(number)?;
            }
        }
        Ok(())
    }

    /// What is due of pictures and sound.
    fn publish(&mut self, now: Instant) -> Result<()> {
        let since = now - self.began;
        let publisher = &mut self.publisher;
        if let Way::Peer(peer, _) = &publisher.way
            && !peer.is_connected()
        {
            return Ok(());
        }
        let left_us = since.as_micros() as u64;
        let mut packets = Vec::new();
        let due = since.as_secs_f64() * f64::from(PICTURES_PER_SECOND);
        if due >= publisher.pictures as f64 {
            // After a pause it goes on from now; nothing is made up for.
            publisher.pictures = due as u64;
            let bytes = self.plan.packet_bytes;
            publisher.owed_bytes +=
                self.plan.bits_per_second / 8.0 / f64::from(PICTURES_PER_SECOND);
            let count = (publisher.owed_bytes / bytes as f64) as usize;
            publisher.owed_bytes -= (count * bytes) as f64;
            for part in 0..count {
                let mut payload = vec![7; bytes];
                let is_key =
                    publisher.pictures.is_multiple_of(KEYFRAME_EVERY) || publisher.sequence == 1;
                payload[0] = if part == 0 { 0x10 } else { 0 };
                payload[1] = if is_key { 0x50 } else { 0x51 };
                stamp(&mut payload, publisher.sequence, left_us);
                packets.push(Media {
                    kind: MediaKind::Video,
                    sequence: publisher.sequence,
                    timestamp: (publisher.pictures * 3_000) as u32,
                    is_marked: part + 1 == count,
                    payload: Arc::from(payload),
                });
                publisher.sequence += 1;
            }
            publisher.pictures += 1;
        }
        let sounds_due = (since.as_micros() / SOUND_EVERY.as_micros()) as u64;
        if sounds_due > publisher.sounds {
            publisher.sounds = sounds_due;
            let mut payload = vec![5; SOUND_BYTES];
            stamp(&mut payload, sounds_due, left_us);
            packets.push(Media {
                kind: MediaKind::Audio,
                sequence: sounds_due,
                timestamp: (sounds_due * 960) as u32,
                is_marked: false,
                payload: Arc::from(payload),
            });
        }
        if packets.is_empty() {
            return Ok(());
        }
        publisher.sent += packets.len() as u64;
        match &mut publisher.way {
            Way::Peer(peer, socket) => {
                peer.send(now, &packets)?;
                peer.drain(|to, bytes| drop(socket.send_to(&bytes, to)))
            }
            Way::Bare { socket, video, audio } => {
                for packet in packets {
                    let to = if packet.kind == MediaKind::Video { *video } else { *audio };
                    let _ = socket.send_to(&bare_rtp(&packet), to);
                }
                Ok(())
            }
        }
    }
}

fn stamp(payload: &mut [u8], number: u64, left_us: u64) {
    payload[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&number.to_be_bytes());
    payload[NUMBER_AT + 8..NUMBER_AT + 16].copy_from_slice(&left_us.to_be_bytes());
}

fn unstamp(stamp: &[u8; 16]) -> [u64; 2] {
    let (number, left) = stamp.split_at(8);
    [number, left].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// A packet of RTP without encryption, for a server that takes such.
fn bare_rtp(packet: &Media) -> Vec<u8> {
    let (number, ssrc) = match packet.kind {
        MediaKind::Video => (janus::VIDEO_PT, 1_001u32),
        MediaKind::Audio => (janus::AUDIO_PT, 1_002),
    };
    let mut bytes = vec![0x80, number | u8::from(packet.is_marked) << 7];
    bytes.extend((packet.sequence as u16).to_be_bytes());
    bytes.extend(packet.timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend_from_slice(&packet.payload);
    bytes
}
