//! UDP: datagrams that may be lost, doubled and overtaken, and the sockets they go to.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use shards_runtime::{BindOptions, Completion, Icmp, Token};

use crate::address;
use crate::connect::{AcceptorOwner as SocketOwner, spread, upper_half};
use crate::errno;
use crate::machine::Lane;
use crate::world::{Event, State};

/// The largest payload of a v4 datagram, bytes.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// The most segments of one send (`UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 64;

/// The most bytes that wait at one socket unless it asked for more; what comes then is lost.
const QUEUE_BYTES_MAX: usize = 212_992;

pub(crate) struct DatagramSocket {
    pub(crate) owner: SocketOwner,
    node: Option<usize>,
    pub(crate) address: SocketAddr,
    shared: bool,
    spread_by_address: bool,
    v6_only: bool,
    reports_icmp: bool,
    queue_bytes_max: usize,
    /// Datagrams that found the queue full, and that nobody was told of yet.
    overflowed: u64,
    pub(crate) queue: VecDeque<(SocketAddr, Vec<u8>)>,
    queue_bytes: usize,
    pub(crate) receiving: Option<Token>,
    hold_ns: u64,
}

/// One datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    /// The socket that sent it.
    sender: u64,
    /// The node it came from; `None` is outside.
    host: Option<usize>,
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

impl State {
    /// Binds a datagram socket. The caller has checked that the address is the host's own.
    pub(crate) fn open_datagram(
        &mut self,
        owner: SocketOwner,
        node: Option<usize>,
        mut address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(u64, SocketAddr)> {
        if address.port() == 0 {
            address.set_port(self.ephemeral_port());
        }
        let taken = self.datagrams.values().any(|other| {
            other.node == node && other.address == address && !(other.shared && options.shared)
        });
        if taken {
            return Err(errno::error(errno::EADDRINUSE));
        }
        let id = self.sequence();
        let socket = DatagramSocket {
            owner,
            node,
            address,
            shared: options.shared,
            spread_by_address: options.spread_by_address > 0,
            v6_only: options.v6_only,
            reports_icmp: options.reports_icmp,
            queue_bytes_max: match options.receive_queue_bytes {
                0 => QUEUE_BYTES_MAX,
                bytes => bytes as usize,
            },
            overflowed: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            receiving: None,
            hold_ns: 0,
        };
        self.datagrams.insert(id, socket);
        Ok((id, address))
    }

    /// Sends a payload as one datagram, or as several of a size. The answer is that of the system
    /// call: what was taken, not what arrives.
    pub(crate) fn send_datagrams(
        &mut self,
        id: u64,
        to: SocketAddr,
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> Result<usize, i32> {
        let size = segment_size.map_or(DATAGRAM_BYTES_MAX, usize::from).max(1);
        if payload.len() > DATAGRAM_BYTES_MAX || payload.len().div_ceil(size) > SEGMENTS_MAX {
            return Err(errno::EMSGSIZE);
        }
        let failure = self.faults.send_failure;
        if self.prng.chance(failure) {
            return Err(errno::ENOBUFS);
        }
        let socket = &self.datagrams[&id];
        let host = socket.node;
        let from = match host {
            Some(node) if socket.address.ip().is_unspecified() => {
                SocketAddr::new(address::source(node, to.ip()), socket.address.port())
            }
            _ => socket.address,
        };
        if payload.is_empty() {
            self.send_datagram(Datagram { sender: id, host, from, to, payload: Vec::new() });
        }
        for segment in payload.chunks(size) {
            let payload = segment.to_vec();
            self.send_datagram(Datagram { sender: id, host, from, to, payload });
        }
        Ok(payload.len())
    }

    fn send_datagram(&mut self, datagram: Datagram) {
        let (loss, double) = (self.faults.datagram_loss, self.faults.datagram_duplicate);
        if self.prng.chance(loss) {
            return;
        }
        let copies = if self.prng.chance(double) { 2 } else { 1 };
        for _ in 0..copies {
            // The shortest way unless reordered, so that a calm network keeps their order.
            let mut latency_ns = self.faults.latency_us_min * 1_000;
            let reorder = self.faults.datagram_reorder;
            if self.prng.chance(reorder) {
                latency_ns += self.prng.below(9 * latency_ns + 1);
            }
            self.schedule(self.now_ns + latency_ns, Event::Datagram(datagram.clone()));
        }
    }

    pub(crate) fn datagram_arrives(&mut self, datagram: Datagram) {
        let Datagram { sender, host, from, to, payload } = datagram;
        let reached = address::reaches(to.ip(), host);
        let Some(id) = self.find_datagram_socket(reached, from, to) else {
            // A node answers for a port that nobody has; hosts outside say nothing.
            if reached.is_some() {
                let due_ns = self.now_ns + self.faults.latency_us_min * 1_000;
                self.schedule(due_ns, Event::PortUnreachable { sender, to });
            }
            return;
        };
        let socket = self.datagrams.get_mut(&id).expect("it was just found");
        if socket.queue_bytes + payload.len() > socket.queue_bytes_max {
            socket.overflowed += 1;
            return;
        }
        socket.queue_bytes += payload.len();
        socket.queue.push_back((address::as_seen_by(socket.address, from), payload));
        self.pump_datagrams(id);
    }

    /// The answer to a datagram for a port that nobody has.
    pub(crate) fn port_unreachable(&mut self, sender: u64, to: SocketAddr) {
        let Some(socket) = self.datagrams.get(&sender).filter(|it| it.reports_icmp) else { return };
        let SocketOwner::Machine { machine, socket: descriptor } = socket.owner else { return };
        let Some(token) = socket.receiving else { return };
        let peer = address::as_seen_by(socket.address, to);
        let (kind, code) = if to.is_ipv4() { (3, 3) } else { (1, 4) };
        let icmp = Icmp { kind, code, data: 0 };
        let completion = Completion::Icmp { token, peer, icmp };
        self.complete(machine, Some(descriptor), Lane::Other, completion);
    }

    /// Hands a machine's socket what waits for it.
    pub(crate) fn pump_datagrams(&mut self, id: u64) {
        while self.receive_datagram_once(id) {}
    }

    /// The next datagram of a peer's socket.
    pub(crate) fn take_datagram(&mut self, id: u64) -> Option<(SocketAddr, Vec<u8>)> {
        let socket = self.datagrams.get_mut(&id)?;
        let (from, payload) = socket.queue.pop_front()?;
        socket.queue_bytes -= payload.len();
        Some((from, payload))
    }

    fn receive_datagram_once(&mut self, id: u64) -> bool {
        let Some(waiting) = self.datagrams.get(&id) else { return false };
        let SocketOwner::Machine { machine, socket } = waiting.owner else { return false };
        let Some(token) = waiting.receiving else { return false };
        if waiting.queue.is_empty() || waiting.hold_ns > self.now_ns {
            return false;
        }
        let (exhausted, end) = (self.faults.buffers_exhausted, self.faults.multishot_end);
        let no_buffer = self.draw_delay_ns(exhausted);
        if let Some(delay_ns) = no_buffer.or_else(|| self.draw_delay_ns(end)) {
            self.machines[machine].counters.buffers_exhausted += u64::from(no_buffer.is_some());
            let until_ns = self.now_ns + delay_ns;
            self.datagrams.get_mut(&id).expect("it was just there").hold_ns = until_ns;
            self.schedule(until_ns, Event::Retry { machine, socket });
            return false;
        }
        if !self.machines[machine].datagram_pool.has_room() {
            let it = &mut self.machines[machine];
            it.counters.buffers_exhausted += 1;
            it.starved.insert(socket);
            return false;
        }
        let (peer, mut payload) = self.take_datagram(id).expect("the queue is not empty");
        let segment_size = self.join(id, peer, &mut payload);
        let overflowed =
            self.datagrams.get_mut(&id).map_or(0, |it| std::mem::take(&mut it.overflowed));
        self.machines[machine].counters.datagrams_overflowed += overflowed;
        let buffer = self.machines[machine].datagram_pool.take_datagram(&payload);
        let completion = Completion::ReceivedFrom { token, peer, buffer, segment_size };
        self.complete(machine, Some(socket), Lane::Receiving, completion);
        true
    }

    /// Appends what follows from the same sender in the same size, as `UDP_GRO` may; a shorter last
    /// one ends it.
    fn join(&mut self, id: u64, peer: SocketAddr, payload: &mut Vec<u8>) -> Option<u16> {
        let size = payload.len();
        let join = self.faults.datagram_join;
        if size == 0 || !self.prng.chance(join) {
            return None;
        }
        let mut joined = 1;
        while joined < SEGMENTS_MAX
            && payload.len() == joined * size
            && let Some((from, next)) = self.datagrams[&id].queue.front()
            && *from == peer
            && (1..=size).contains(&next.len())
            && payload.len() + next.len() <= DATAGRAM_BYTES_MAX
        {
            let (_, next) = self.take_datagram(id).expect("it was just seen");
            payload.extend_from_slice(&next);
            joined += 1;
        }
        (joined > 1).then(|| u16::try_from(size).expect("a datagram's size"))
    }

    fn find_datagram_socket(
        &self,
        host: Option<usize>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<u64> {
        let fits = |socket: &DatagramSocket| match socket.node {
            Some(_) if socket.node == host => address::fit(socket.address, socket.v6_only, to),
            None if socket.address == to => 2,
            _ => 0,
        };
        let best = self.datagrams.values().map(fits).max().filter(|&fit| fit > 0)?;
        let ids: Vec<u64> = (self.datagrams.iter())
            .filter(|(_, socket)| fits(socket) == best)
            .map(|(&id, _)| id)
            .collect();
        let from = match self.datagrams[&ids[0]].spread_by_address {
            true => SocketAddr::new(upper_half(from.ip()), 0),
            false => from,
        };
        Some(ids[spread(from, to, ids.len())])
    }
}
