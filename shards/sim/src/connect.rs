//! How connections come about: listening sockets, their backlogs, and the attempts to reach them.
//!
//! *Invariant:* a connection that the far kernel has taken is established for its connector, even
//! when nobody accepts it: that is what a backlog is.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use shards_runtime::{BindOptions, Completion, Token};

use crate::address;
use crate::errno;
use crate::machine::{Kind, Lane};
use crate::pipe::Pipe;
use crate::prng::splitmix;
use crate::stream::{Connection, Owner, Side};
use crate::world::{Event, State};

const BACKLOG_DEFAULT: usize = 4_096;

/// How often a kernel repeats an unanswered attempt (`tcp_syn_retries`), the pauses doubling from 1
/// s.
const SYN_RETRIES_MAX: u32 = 6;

/// When it gives up, ns: 1 + 2 + 4 + … + 64 s.
const CONNECT_LOST_NS: u64 = 127_000_000_000;

/// How long an acceptor rests after a failure, ns.
const ACCEPT_REST_NS: u64 = 1_000_000;

pub(crate) struct Acceptor {
    pub(crate) owner: AcceptorOwner,
    /// Which node it is on; `None` is outside.
    pub(crate) node: Option<usize>,
    pub(crate) address: SocketAddr,
    shared: bool,
    spread_by_address: bool,
    v6_only: bool,
    backlog_max: usize,
    /// Established and not accepted yet, by connection.
    pub(crate) backlog: VecDeque<u64>,
    /// Whom to tell; `None` before the first `Accept`.
    pub(crate) accepting: Option<Token>,
    hold_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptorOwner {
    Machine { machine: usize, socket: u32 },
    Peer,
}

impl Acceptor {
    /// Whether another socket of that node may not have that address.
    pub(crate) fn keeps_from_others(&self, node: usize, address: SocketAddr) -> bool {
        self.node == Some(node) && self.address == address && !self.shared
    }
}

impl State {
    /// Opens a listening socket. The caller has checked that the address is the host's own.
    pub(crate) fn open_acceptor(
        &mut self,
        owner: AcceptorOwner,
        node: Option<usize>,
        mut address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(u64, SocketAddr)> {
        if address.port() == 0 {
            address.set_port(self.ephemeral_port());
        }
        let taken = self.acceptors.values().any(|other| {
            let overlaps = other.address.port() == address.port()
                && (other.address.ip() == address.ip()
                    || other.address.ip().is_unspecified()
                    || address.ip().is_unspecified());
            other.node == node && overlaps && !(other.shared && options.shared)
        });
        if taken {
            return Err(errno::error(errno::EADDRINUSE));
        }
        let id = self.sequence();
        let backlog_max = match options.backlog {
            0 => BACKLOG_DEFAULT,
            backlog => backlog as usize,
        };
        let acceptor = Acceptor {
            owner,
            node,
            address,
            shared: options.shared,
            spread_by_address: options.spread_by_address > 0,
            v6_only: options.v6_only,
            backlog_max,
            backlog: VecDeque::new(),
            accepting: None,
            hold_ns: 0,
        };
        self.acceptors.insert(id, acceptor);
        Ok((id, address))
    }

    /// Closes a listening socket; who still waits in its backlog is reset.
    pub(crate) fn close_acceptor(&mut self, id: u64) {
        let Some(acceptor) = self.acceptors.remove(&id) else { return };
        for connection in acceptor.backlog {
            self.close_side(connection, 1, true);
        }
    }

    /// Starts an attempt to connect.
    pub(crate) fn start_connect(
        &mut self,
        owner: Owner,
        host: Option<usize>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> u64 {
        let latency_ns = self.draw_latency_ns();
        let (low, high) = (self.faults.pipe_bytes_min, self.faults.pipe_bytes_max);
        let room_bytes = self.prng.between(low, high) as usize;
        let side = |address, owner| Side { address, owner, failed: None, vanished: false };
        let connection = Connection {
            sides: [side(from, owner), side(to, Owner::Nobody)],
            pipes: [Pipe::new(room_bytes), Pipe::new(room_bytes)],
            latency_ns,
            established: false,
            host,
            to,
        };
        let id = self.sequence();
        self.connections.insert(id, connection);
        let lost = self.faults.connect_lost;
        if self.prng.chance(lost) {
            let event = Event::Fail { connection: id, side: 0, errno: errno::ETIMEDOUT };
            self.schedule(self.now_ns + CONNECT_LOST_NS, event);
        } else {
            let event = Event::Syn { connection: id, attempt: 0 };
            self.schedule(self.now_ns + latency_ns, event);
        }
        id
    }

    pub(crate) fn syn_arrives(&mut self, connection: u64, attempt: u32) {
        let Some(it) = self.connections.get(&connection) else { return };
        let (latency_ns, from, to) = (it.latency_ns, it.sides[0].address, it.to);
        let host = address::reaches(to.ip(), it.host);
        let back_ns = self.now_ns + latency_ns;
        let refused = self.faults.connect_refused;
        let acceptor = self.find_acceptor(host, from, to);
        let Some(acceptor) = acceptor.filter(|_| !self.prng.chance(refused)) else {
            let event = Event::Fail { connection, side: 0, errno: errno::ECONNREFUSED };
            self.schedule(back_ns, event);
            return;
        };
        let listening = self.acceptors.get_mut(&acceptor).expect("it was just found");
        if listening.backlog.len() >= listening.backlog_max {
            // A full backlog does not answer; the connector's kernel tries again.
            if attempt < SYN_RETRIES_MAX {
                let event = Event::Syn { connection, attempt: attempt + 1 };
                self.schedule(self.now_ns + (1_000_000_000 << attempt), event);
            } else {
                let event = Event::Fail { connection, side: 0, errno: errno::ETIMEDOUT };
                self.schedule(self.now_ns, event);
            }
            return;
        }
        listening.backlog.push_back(connection);
        let it = self.connections.get_mut(&connection).expect("it was just there");
        it.established = true;
        it.sides[1].owner = Owner::Backlog { acceptor };
        self.schedule(back_ns, Event::Established { connection });
        let reset = self.faults.connection_reset;
        if self.prng.chance(reset) {
            let microseconds_max = self.faults.connection_reset_us_max;
            let delay_ns = self.prng.below(microseconds_max * 1_000 + 1);
            self.schedule(back_ns + delay_ns, Event::Break { connection });
        }
        self.pump_accept(acceptor);
    }

    /// The connector learns that it is connected.
    pub(crate) fn established(&mut self, connection: u64) {
        let Some(it) = self.connections.get(&connection) else { return };
        let Owner::Connecting { machine, token } = it.sides[0].owner else { return };
        self.machines[machine].connecting.retain(|&(_, id)| id != connection);
        let result = match self.open_stream(machine, connection, 0) {
            Ok(socket) => Ok(socket),
            Err(number) => {
                self.close_side(connection, 0, false);
                Err(errno::error(number))
            }
        };
        self.complete(machine, None, Lane::Other, Completion::Connected { token, result });
    }

    pub(crate) fn connect_failed(&mut self, machine: usize, token: Token, number: i32) {
        let connecting = &mut self.machines[machine].connecting;
        connecting.retain(|&(waiting, _)| waiting != token);
        let result = Err(errno::error(number));
        self.complete(machine, None, Lane::Other, Completion::Connected { token, result });
    }

    /// Hands a machine's acceptor what its backlog has.
    pub(crate) fn pump_accept(&mut self, id: u64) {
        while self.accept_once(id) {}
    }

    fn accept_once(&mut self, id: u64) -> bool {
        let now_ns = self.now_ns;
        let Some(acceptor) = self.acceptors.get(&id) else { return false };
        let AcceptorOwner::Machine { machine, socket } = acceptor.owner else { return false };
        let Some(token) = acceptor.accepting else { return false };
        let Some(&connection) = acceptor.backlog.front() else { return false };
        if acceptor.hold_ns > now_ns {
            return false;
        }
        let bound = acceptor.address;
        let (failure, end) = (self.faults.accept_failure, self.faults.multishot_end);
        if self.prng.chance(failure) {
            // Two errors that Linux reports: the table is full, and the connection was gone
            // already.
            let number = if self.prng.below(2) == 0 { errno::ENFILE } else { errno::ECONNABORTED };
            if number == errno::ECONNABORTED {
                self.acceptor(id).backlog.pop_front();
                self.close_side(connection, 1, true);
            }
            self.accept_failed(machine, socket, token, number);
            return self.rest(id, machine, socket, ACCEPT_REST_NS);
        }
        if let Some(delay_ns) = self.draw_delay_ns(end) {
            return self.rest(id, machine, socket, delay_ns);
        }
        match self.open_stream(machine, connection, 1) {
            Ok(accepted) => {
                self.acceptor(id).backlog.pop_front();
                let far = self.connections[&connection].sides[0].address;
                let peer = address::as_seen_by(bound, far);
                let completion = Completion::Accepted { token, socket: accepted, peer };
                self.complete(machine, Some(socket), Lane::Other, completion);
                true
            }
            Err(number) => {
                self.accept_failed(machine, socket, token, number);
                self.rest(id, machine, socket, ACCEPT_REST_NS)
            }
        }
    }

    fn accept_failed(&mut self, machine: usize, socket: u32, token: Token, number: i32) {
        let completion = Completion::AcceptFailed { token, error: errno::error(number) };
        self.complete(machine, Some(socket), Lane::Other, completion);
    }

    /// Lets an acceptor pause; always false, for its callers to return.
    fn rest(&mut self, id: u64, machine: usize, socket: u32, delay_ns: u64) -> bool {
        let until_ns = self.now_ns + delay_ns;
        self.acceptor(id).hold_ns = until_ns;
        self.schedule(until_ns, Event::Retry { machine, socket });
        false
    }

    fn acceptor(&mut self, id: u64) -> &mut Acceptor {
        self.acceptors.get_mut(&id).expect("the caller's acceptor")
    }

    /// Makes a connection's side a socket of this machine.
    fn open_stream(
        &mut self,
        machine: usize,
        connection: u64,
        side: usize,
    ) -> Result<shards_runtime::Socket, i32> {
        let socket = self.machines[machine].allocate(Kind::stream(connection, side))?;
        let it = self.connections.get_mut(&connection).expect("the caller's connection");
        it.sides[side].owner = Owner::Machine { machine, socket: socket.0 };
        Ok(socket)
    }

    /// Who listens there, on that host. Among sharing acceptors the addresses decide, as the
    /// kernel's hash does.
    fn find_acceptor(&self, host: Option<usize>, from: SocketAddr, to: SocketAddr) -> Option<u64> {
        let fits = |acceptor: &Acceptor| match acceptor.node {
            Some(_) if acceptor.node == host => {
                address::fit(acceptor.address, acceptor.v6_only, to)
            }
            None if acceptor.address == to => 2,
            _ => 0,
        };
        let best = self.acceptors.values().map(fits).max().filter(|&fit| fit > 0)?;
        let ids: Vec<u64> = (self.acceptors.iter())
            .filter(|(_, acceptor)| fits(acceptor) == best)
            .map(|(&id, _)| id)
            .collect();
        let from = match self.acceptors[&ids[0]].spread_by_address {
            true => SocketAddr::new(upper_half(from.ip()), 0),
            false => from,
        };
        Some(ids[spread(from, to, ids.len())])
    }
}

/// What counts of an address where senders are spread by it.
pub(crate) fn upper_half(ip: std::net::IpAddr) -> std::net::IpAddr {
    match ip {
        std::net::IpAddr::V6(ip) => {
            std::net::Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into()
        }
        ip => ip,
    }
}

/// Which of several sharing sockets gets what comes from there.
pub(crate) fn spread(from: SocketAddr, to: SocketAddr, count: usize) -> usize {
    let ip_word = |ip: std::net::IpAddr| match ip.to_canonical() {
        std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
        std::net::IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    let mut hash = ip_word(from.ip()).rotate_left(32) ^ ip_word(to.ip());
    hash = splitmix(&mut hash) ^ (u64::from(from.port()) << 16) ^ u64::from(to.port());
    (splitmix(&mut hash) % count as u64) as usize
}
