//! The open-loop load: payloads leave when they are due, whatever has become of those before, and
//! the time of each is counted from when it was due.
//!
//! ```text
//! client ── ChannelData ──► server's port ═ relay ═ relayed address ── payload ──► peer    (up)
//! client ◄─ ChannelData ─── server's port ═ relay ═ relayed address ◄─ payload ─── peer    (down)
//! ```
//!
//! Up and down take turns over all allocations. Nothing here sleeps or is woken: waking a receiver
//! would cost the sender, and so the server, what on a real network it does not pay.
//!
//! *Invariant:* what is received is checked whole, and counted only when it is right.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use protocol_stun::{
    AttributeKind, Builder, CHANNEL_HEADER_BYTES, ChannelData, Class, Message, Method,
    TransactionId,
};
use serde::Serialize;

use super::client::{CHANNEL, Client, Framing};
use super::ends::{Ends, Taker};
use super::payload::{Found, PAYLOAD_BYTES_MAX, Way, name_of};
use crate::clock;

/// Units sent between two looks at what has arrived.
const UNITS_PER_LOOK_MAX: usize = 16;
/// Datagrams taken from one socket before the next one's turn.
const TAKEN_PER_SOCKET_MAX: usize = 32;
/// Bytes that may wait at the peers' socket.
const QUEUE_BYTES: usize = 4 << 20;
/// After the last payload has left, so long are late ones waited for.
const LATE_MAX: Duration = Duration::from_millis(500);
/// Whoever is so late was not open-loop any more.
const BEHIND: Duration = Duration::from_millis(2);
/// Room for a frame around the longest payload.
const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 64;

/// What is sent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct LoadPlan {
    /// Payloads each second, both ways together.
    pub(crate) rate: f64,
    /// Bytes of each.
    pub(crate) payload_bytes: usize,
    /// How many go to one place back to back.
    pub(crate) run: usize,
    /// For how long, s.
    pub(crate) seconds: f64,
}

/// What arrived.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct LoadReport {
    /// Payloads that left.
    pub(crate) sent: u64,
    /// Payloads that arrived right.
    pub(crate) received: u64,
    /// Datagrams that arrived and were not right.
    pub(crate) wrong: u64,
    /// Payloads that arrived after a later one of their way, or twice.
    pub(crate) unordered: u64,
    /// From when they were due until they were seen, µs: half of all, 99 of 100, 999 of 1,000, the
    /// last.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// Share of payloads that left more than 2 ms late: the generator could not do more.
    pub(crate) behind_share: f64,
    /// From the first payload to the last, s.
    pub(crate) sending_s: f64,
}

impl LoadReport {
    /// Share of payloads that did not arrive.
    pub(crate) fn lost_share(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }

    /// Whether the generator kept its schedule.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.behind_share < 0.01
    }
}

/// Allocations that are ready, and their peer.
pub(crate) struct Load {
    framing: Framing,
    clients: Vec<Client>,
    relays: Vec<SocketAddr>,
    peer: UdpSocket,
    ups: Vec<Way>,
    downs: Vec<Way>,
    histogram: Histogram<u64>,
    wrong: u64,
    behind: u64,
    start: Instant,
    payload_bytes: usize,
    /// Runs leave in one call, and the kernel cuts them (`UDP_SEGMENT`).
    joins_runs: bool,
    joined: Vec<u8>,
    taker: Taker,
    /// The kernel's own thread on this core may have packets for us.
    yields: bool,
}

/// The peers' socket.
pub(crate) fn peer_socket(ip: Ipv4Addr) -> Result<UdpSocket> {
    let peer = UdpSocket::bind((ip, 0))?;
    peer.set_nonblocking(true)?;
    let set = rustix::net::sockopt::set_socket_recv_buffer_size;
    set(&peer, QUEUE_BYTES).context("the peers' receive queue")?;
    Ok(peer)
}

impl Load {
    /// A load over clients that are ready.
    pub(crate) fn new(
        framing: Framing,
        clients: Vec<Client>,
        peer: UdpSocket,
        (ends, is_wire): (Ends, bool),
    ) -> Result<Self> {
        let relays: Option<Vec<SocketAddr>> = clients.iter().map(|client| client.relay).collect();
        let count = clients.len() as u32;
        let taker = Taker::new(ends);
        taker.prepare(&peer)?;
        for client in &clients {
            let set = rustix::net::sockopt::set_socket_recv_buffer_size;
            set(&client.socket, QUEUE_BYTES / 4).context("a client's receive queue")?;
            taker.prepare(&client.socket)?;
        }
        Ok(Load {
            framing,
            clients,
            relays: relays.context("a client without a relayed address")?,
            peer,
            ups: (0..count).map(Way::new).collect(),
            downs: (count..2 * count).map(Way::new).collect(),
            histogram: Histogram::new_with_bounds(100, 10_000_000_000, 3)?,
            wrong: 0,
            behind: 0,
            start: clock::now(),
            payload_bytes: 0,
            joins_runs: is_wire || ends == Ends::Offloaded,
            joined: Vec::new(),
            taker,
            yields: is_wire,
        })
    }

    /// The clients, to refresh what they have.
    pub(crate) fn clients(&mut self) -> &mut [Client] {
        &mut self.clients
    }

    /// Sends what the plan says and waits for what comes of it.
    pub(crate) fn run(&mut self, plan: &LoadPlan) -> Result<LoadReport> {
        self.forget(plan);
        self.set_cutting(plan)?;
        let unit_time = Duration::from_secs_f64(plan.run as f64 / plan.rate);
        let units = (plan.seconds * plan.rate / plan.run as f64) as u64;
        let mut unit = 0;
        let mut ended = None;
        loop {
            let mut now = clock::now();
            for _ in 0..UNITS_PER_LOOK_MAX {
                let due = self.start + mul(unit_time, unit);
                if unit == units || due > now {
                    break;
                }
                if now - due > BEHIND {
                    self.behind += plan.run as u64;
                }
                self.send_unit(unit, plan.run, due)?;
                unit += 1;
                now = clock::now();
            }
            let any = self.receive()?;
            if !any && self.yields {
                std::thread::yield_now();
            }
            if unit == units {
                let ended = *ended.get_or_insert(now);
                let (sent, received) = self.totals();
                if received == sent || !any && now - ended > LATE_MAX {
                    return Ok(self.report(ended));
                }
            }
        }
    }

    fn forget(&mut self, plan: &LoadPlan) {
        self.payload_bytes = plan.payload_bytes;
        self.histogram.reset();
        (self.wrong, self.behind) = (0, 0);
        for way in self.ups.iter_mut().chain(&mut self.downs) {
            way.begin_again();
        }
        self.start = clock::now();
    }

    /// Tells the kernel where it is to cut what leaves in one call; 0 is nowhere.
    fn set_cutting(&self, plan: &LoadPlan) -> Result<()> {
        let joined = self.joins_runs && plan.run > 1;
        let head = if self.framing == Framing::Channel { CHANNEL_HEADER_BYTES } else { 0 };
        let (up, down) = (head + plan.payload_bytes, plan.payload_bytes);
        let cut = |socket: &UdpSocket, bytes: usize| {
            setsockopt(socket, UdpGsoSegment, &(if joined { bytes as i32 } else { 0 }))
        };
        cut(&self.peer, down).context("UDP_SEGMENT")?;
        for client in &self.clients {
            cut(&client.socket, up).context("UDP_SEGMENT")?;
        }
        Ok(())
    }

    fn send_unit(&mut self, unit: u64, run: usize, due: Instant) -> Result<()> {
        if self.joins_runs && run > 1 {
            return self.send_joined(unit, run, due);
        }
        let count = self.clients.len();
        let index = (unit / 2) as usize % count;
        let is_up = unit.is_multiple_of(2);
        let due_ns = (due - self.start).as_nanos() as u64;
        let mut room = [0; FRAME_BYTES_MAX];
        for _ in 0..run {
            let sent = if is_up {
                let len = self.frame_up(index, due_ns, &mut room)?;
                self.clients[index].socket.send(&room[..len])
            } else {
                let payload = &mut room[..self.payload_bytes];
                self.downs[index].write(payload, due_ns);
                self.peer.send_to(payload, self.relays[index])
            };
            match sent {
                Ok(_) => {}
                // Not taken is lost, and counted as that.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the server is gone"),
            }
        }
        Ok(())
    }

    /// A run in one call.
    fn send_joined(&mut self, unit: u64, run: usize, due: Instant) -> Result<()> {
        let index = (unit / 2) as usize % self.clients.len();
        let due_ns = (due - self.start).as_nanos() as u64;
        let mut room = [0; FRAME_BYTES_MAX];
        self.joined.clear();
        let is_up = unit.is_multiple_of(2);
        for _ in 0..run {
            let len = if is_up {
                self.frame_up(index, due_ns, &mut room)?
            } else {
                self.downs[index].write(&mut room[..self.payload_bytes], due_ns);
                self.payload_bytes
            };
            self.joined.extend_from_slice(&room[..len]);
        }
        let sent = match is_up {
            true => self.clients[index].socket.send(&self.joined),
            false => self.peer.send_to(&self.joined, self.relays[index]),
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("the server is gone"),
        }
    }

    /// Writes a client's datagram; answers its length.
    fn frame_up(&mut self, index: usize, due_ns: u64, room: &mut [u8]) -> Result<usize> {
        let (way, bytes) = (&mut self.ups[index], self.payload_bytes);
        match self.framing {
            Framing::Bare => {
                way.write(&mut room[..bytes], due_ns);
                Ok(bytes)
            }
            Framing::Channel => {
                room[..4].copy_from_slice(&ChannelData::header(CHANNEL, bytes as u16));
                way.write(&mut room[4..4 + bytes], due_ns);
                Ok(4 + bytes)
            }
            Framing::Indication => {
                let mut payload = [0; PAYLOAD_BYTES_MAX];
                way.write(&mut payload[..bytes], due_ns);
                let id = TransactionId([7; 12]);
                let mut builder = Builder::new(room, Class::Indication, Method::SEND, id);
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, self.clients[index].peer);
                builder.attribute(AttributeKind::DATA, &payload[..bytes]);
                Ok(builder.finish()?)
            }
        }
    }

    /// Takes what has arrived; whether anything had.
    fn receive(&mut self) -> Result<bool> {
        let now_ns = (clock::now() - self.start).as_nanos() as u64;
        let bytes = self.payload_bytes;
        let mut any = false;
        let mut note = |found: Option<Found>| match found {
            // It may be seen in the look that began just before it was due.
            Some(it) => {
                let late_ns = now_ns.saturating_sub(it.intended_ns).max(100);
                self.histogram.saturating_record(late_ns);
            }
            None => self.wrong += 1,
        };
        for _ in 0..4 * TAKEN_PER_SOCKET_MAX {
            let Some(payloads) = self.taker.take(&self.peer)? else { break };
            any = true;
            for payload in payloads {
                let way = name_of(payload).and_then(|name| self.ups.get_mut(name as usize));
                note(way.and_then(|way| way.check(payload, bytes)));
            }
        }
        for (client, way) in self.clients.iter().zip(&mut self.downs) {
            for _ in 0..TAKEN_PER_SOCKET_MAX {
                let Some(datagrams) = self.taker.take(&client.socket)? else { break };
                any = true;
                for datagram in datagrams {
                    let payload = unframed(self.framing, datagram);
                    note(payload.and_then(|payload| way.check(payload, bytes)));
                }
            }
        }
        Ok(any)
    }

    fn totals(&self) -> (u64, u64) {
        let ways = || self.ups.iter().chain(&self.downs);
        (ways().map(Way::sent).sum(), ways().map(|way| way.received).sum())
    }

    fn report(&self, ended: Instant) -> LoadReport {
        let (sent, received) = self.totals();
        let us = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        LoadReport {
            sent,
            received,
            wrong: self.wrong,
            unordered: self.ups.iter().chain(&self.downs).map(|way| way.unordered).sum(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.histogram.max() as f64 / 1_000.0,
            behind_share: self.behind as f64 / sent.max(1) as f64,
            sending_s: (ended - self.start).as_secs_f64(),
        }
    }
}

/// The payload in what a client got.
fn unframed(framing: Framing, datagram: &[u8]) -> Option<&[u8]> {
    match framing {
        Framing::Bare => Some(datagram),
        Framing::Channel => {
            let data = ChannelData::decode(datagram).ok()?;
            (data.number == CHANNEL).then(|| &datagram[data.data])
        }
        Framing::Indication => {
            let message = Message::decode(datagram).ok()?;
            (message.method() == Method::DATA).then(|| message.find(AttributeKind::DATA))?
        }
    }
}

fn mul(time: Duration, count: u64) -> Duration {
    Duration::from_nanos((time.as_nanos() * u128::from(count)) as u64)
}
