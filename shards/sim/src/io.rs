//! [`SimIo`]: the machine of one shard, as a service sees it.
//!
//! *Invariant:* it never sleeps and never moves the clock. A wait hands out what is done; when that
//! is nothing, the driver of the world looks for something else to do.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use shards_runtime::{
    BindOptions, Completion, End, Forward, Io, IoCounters, Op, PIECES_PER_SEND_MAX, ShardId,
    Socket, Token,
};

use crate::address;
use crate::buffer::SimBuffer;
use crate::connect::AcceptorOwner;
use crate::errno;
use crate::machine::{Asked, Kind, Lane, Machine, MachineId, Sending};
use crate::stream::Owner;
use crate::world::{State, World};

/// One shard's machine in a simulated world. Dropping it is the death of its process.
pub struct SimIo {
    world: World,
    id: usize,
    now: Instant,
    wall_clock: Duration,
}

impl SimIo {
    pub(crate) fn start(world: &World, node: usize, shard: ShardId) -> SimIo {
        let mut state = world.state.borrow_mut();
        let twice =
            state.machines.iter().any(|it| it.alive && (it.node, it.shard) == (node, shard));
        assert!(!twice, "{shard:?} of node {node} has a machine already");
        let id = state.machines.len();
        state.machines.push(Machine::new(node, shard));
        let (now, wall_clock) = (state.instant(state.now_ns), state.wall_clock());
        SimIo { world: world.clone(), id, now, wall_clock }
    }

    /// Which machine of its world this is.
    #[must_use]
    pub fn id(&self) -> MachineId {
        MachineId(self.id)
    }
}

impl Io for SimIo {
    type Buffer = SimBuffer;

    fn now(&self) -> Instant {
        self.now
    }

    fn wall_clock(&self) -> Duration {
        self.wall_clock
    }

    fn submit(&mut self, token: Token, op: Op) {
        let state = &mut *self.world.state.borrow_mut();
        let machine = &mut state.machines[self.id];
        machine.check(token, &op);
        machine.submitted.push(Asked::Op(token, op));
    }

    fn forward(&mut self, datagram: Forward<SimBuffer>) {
        let state = &mut *self.world.state.borrow_mut();
        let machine = &mut state.machines[self.id];
        machine.counters.forwards += 1;
        let descriptor = machine.descriptor(datagram.socket.0);
        let open = descriptor.is_some_and(|it| !it.close_asked);
        if open {
            machine.submitted.push(Asked::Forward(datagram));
        } else {
            machine.counters.forwards_failed += 1;
        }
    }

    fn wait(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<SimBuffer>>) {
        let state = &mut *self.world.state.borrow_mut();
        state.flush(self.id);
        for socket in std::mem::take(&mut state.machines[self.id].starved) {
            state.pump(self.id, socket);
        }
        state.hand_out(self.id, completions);
        let until_ns = until.map(|until| state.nanoseconds(until));
        let machine = &mut state.machines[self.id];
        machine.until_ns = until_ns;
        machine.has_waited = true;
        machine.rung = false;
        machine.counters.enters += 1;
        self.now = state.instant(state.now_ns);
        self.wall_clock = state.wall_clock();
    }

    fn flush(&mut self) {
        self.world.state.borrow_mut().flush(self.id);
    }

    fn doorbell(&mut self, sibling: ShardId) {
        let state = &mut *self.world.state.borrow_mut();
        state.machines[self.id].submitted.push(Asked::Doorbell(sibling));
    }

    fn listen(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)> {
        self.open(address, options, State::open_acceptor, Kind::Acceptor)
    }

    fn bind(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)> {
        self.open(address, options, State::open_datagram, Kind::Datagram)
    }

    fn adopt(&mut self, _: OwnedFd) -> io::Result<Socket> {
        // A descriptor of the real world has no far end in this one.
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn counters(&self) -> IoCounters {
        let state = self.world.state.borrow();
        let machine = &state.machines[self.id];
        let operations_in_flight = machine.operations_in_flight() as u64;
        IoCounters { operations_in_flight, ..machine.counters }
    }
}

/// Opens a socket of one kind in the world; the answer is its number there and its address.
type OpenSocket = fn(
    &mut State,
    AcceptorOwner,
    Option<usize>,
    SocketAddr,
    BindOptions,
) -> io::Result<(u64, SocketAddr)>;

impl SimIo {
    fn open(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
        open: OpenSocket,
        kind: fn(u64) -> Kind,
    ) -> io::Result<(Socket, SocketAddr)> {
        let state = &mut *self.world.state.borrow_mut();
        let node = state.machines[self.id].node;
        if !address::is_local(address.ip(), node) {
            return Err(errno::error(errno::EADDRNOTAVAIL));
        }
        let socket = state.machines[self.id].allocate(kind(0)).map_err(errno::error)?;
        let owner = AcceptorOwner::Machine { machine: self.id, socket: socket.0 };
        let opened = open(state, owner, Some(node), address, options);
        let slot = &mut state.machines[self.id].sockets[socket.0 as usize];
        match opened {
            Ok((id, address)) => {
                slot.as_mut().expect("it was just allocated").kind = kind(id);
                Ok((socket, address))
            }
            Err(error) => {
                *slot = None;
                Err(error)
            }
        }
    }
}

impl Drop for SimIo {
    fn drop(&mut self) {
        // While a service's panic unwinds the world may be in use; it is not looked at again.
        if let Ok(mut state) = self.world.state.try_borrow_mut() {
            state.end_machine(self.id);
        }
    }
}

impl Machine {
    /// What a service must not ask for.
    fn check(&mut self, token: Token, op: &Op) {
        let (socket, may_share) = match op {
            Op::Accept(socket) => (*socket, true),
            Op::Recv(socket) | Op::RecvFrom(socket) | Op::Pause(socket) | Op::Close(socket) => {
                let it = self.descriptor(socket.0);
                (*socket, it.is_some_and(|it| matches!(it.kind, Kind::Acceptor(_))))
            }
            Op::Send(socket, gather)
            | Op::Finish(socket, gather)
            | Op::SendTo { socket, payload: gather, .. } => {
                let count = gather.len();
                assert!(count <= PIECES_PER_SEND_MAX, "a send of {count} pieces");
                (*socket, false)
            }
            Op::Connect(_) | Op::ConnectFrom { .. } => return self.tenants.start_connect(token),
            Op::CancelConnect => return,
        };
        let descriptor = self.descriptor(socket.0);
        let descriptor = descriptor.unwrap_or_else(|| panic!("{op:?}: nobody has that socket"));
        let cuts_short = descriptor.finish_asked && matches!(op, Op::Close(_));
        assert!(!descriptor.close_asked, "{op:?}: the socket is closed");
        assert!(!descriptor.finish_asked || cuts_short, "{op:?}: the socket is finished");
        let fits = match op {
            Op::Accept(_) => matches!(descriptor.kind, Kind::Acceptor(_)),
            Op::RecvFrom(_) | Op::SendTo { .. } => matches!(descriptor.kind, Kind::Datagram(_)),
            Op::Recv(_) | Op::Pause(_) | Op::Send(..) | Op::Finish(..) => descriptor.is_stream(),
            _ => true,
        };
        assert!(fits, "{op:?}: a socket of another kind");
        match op {
            Op::Send(..) => {
                let twice = std::mem::replace(&mut descriptor.send_asked, true);
                assert!(!twice, "{socket:?}: a second send before the first one's Sent");
            }
            Op::Finish(..) => {
                let twice = std::mem::replace(&mut descriptor.finish_asked, true);
                assert!(!twice, "{socket:?}: finished twice");
                assert!(!descriptor.send_asked, "{socket:?}: finished before a send's Sent");
            }
            Op::Close(_) => descriptor.close_asked = true,
            _ => {}
        }
        self.tenants.use_socket(token, socket, may_share);
    }
}

impl State {
    fn flush(&mut self, machine: usize) {
        for asked in std::mem::take(&mut self.machines[machine].submitted) {
            match asked {
                Asked::Op(token, op) => self.begin(machine, token, op),
                Asked::Forward(datagram) => self.forward(machine, datagram),
                Asked::Doorbell(sibling) => self.ring(machine, sibling),
            }
        }
    }

    fn ring(&mut self, machine: usize, sibling: ShardId) {
        let node = self.machines[machine].node;
        let same = |it: &&mut Machine| it.alive && (it.node, it.shard) == (node, sibling);
        match self.machines.iter_mut().find(same) {
            Some(sibling) => sibling.rung = true,
            None => *self.doorbells.entry((node, sibling)).or_default() += 1,
        }
    }

    fn forward(&mut self, machine: usize, datagram: Forward<SimBuffer>) {
        let Forward { socket: Socket(socket), to, buffer, .. } = datagram;
        let Some(id) = self.number_of(machine, socket) else { return };
        let sent = self.send_datagrams(id, to, &buffer, None);
        let counters = &mut self.machines[machine].counters;
        counters.forward_sends += 1;
        counters.forwards_failed += u64::from(sent.is_err());
    }

    fn begin(&mut self, machine: usize, token: Token, op: Op) {
        match op {
            Op::Accept(Socket(socket)) => {
                let Some(id) = self.number_of(machine, socket) else { return };
                if let Some(acceptor) = self.acceptors.get_mut(&id) {
                    acceptor.accepting = Some(token);
                }
                self.pump_accept(id);
            }
            Op::RecvFrom(Socket(socket)) => {
                let Some(id) = self.number_of(machine, socket) else { return };
                if let Some(datagrams) = self.datagrams.get_mut(&id) {
                    datagrams.receiving = Some(token);
                }
                self.pump_datagrams(id);
            }
            Op::Recv(Socket(socket)) => {
                self.stream(machine, socket).receiving = Some(token);
                self.pump_receive(machine, socket);
            }
            Op::Pause(Socket(socket)) => {
                // What has arrived may come before the end, or stay in the kernel until asked for.
                if self.prng.below(2) == 0 {
                    self.pump_receive(machine, socket);
                }
                self.end_receiving(machine, socket, End::Paused);
            }
            Op::Send(Socket(socket), gather) => {
                self.stream(machine, socket).sending = Some(Sending::new(token, gather));
                self.pump_send(machine, socket);
            }
            Op::Finish(Socket(socket), gather) => {
                let stream = self.stream(machine, socket);
                stream.receiving = None;
                stream.sending = Some(Sending::last(token, gather));
                self.pump_send(machine, socket);
            }
            Op::SendTo { socket: Socket(socket), to, payload, segment_size } => {
                let Some(id) = self.number_of(machine, socket) else { return };
                let mut sending = Sending::new(token, payload);
                let bytes = sending.take(sending.total);
                let result = self.send_datagrams(id, to, &bytes, segment_size);
                let result = result.map_err(errno::error);
                let completion = Completion::Sent { token, result };
                self.complete(machine, Some(socket), Lane::Sending, completion);
            }
            Op::Connect(to) => {
                let node = self.machines[machine].node;
                let port = self.ephemeral_port();
                let from = SocketAddr::new(address::source(node, to.ip()), port);
                self.connect(machine, token, (from, to));
            }
            Op::ConnectFrom { from, to } => self.connect_from(machine, token, (from, to)),
            Op::CancelConnect => self.cancel_connect(machine, token),
            Op::Close(Socket(socket)) => {
                // A finish that is through meanwhile has closed it already.
                if self.machines[machine].stream(socket).is_some()
                    || self.number_of(machine, socket).is_some()
                {
                    self.close(machine, token, socket);
                }
            }
        }
    }

    fn connect(&mut self, machine: usize, token: Token, (from, to): (SocketAddr, SocketAddr)) {
        let node = self.machines[machine].node;
        let owner = Owner::Connecting { machine, token };
        let connection = self.start_connect(owner, Some(node), from, to);
        self.machines[machine].connecting.push((token, connection));
    }

    fn connect_from(
        &mut self,
        machine: usize,
        token: Token,
        (mut from, to): (SocketAddr, SocketAddr),
    ) {
        let node = self.machines[machine].node;
        if from.ip().is_unspecified() {
            from.set_ip(address::source(node, to.ip()));
        }
        if from.port() == 0 {
            from.set_port(self.ephemeral_port());
        }
        let refused = if from.is_ipv4() != to.is_ipv4() {
            Some(errno::EAFNOSUPPORT)
        } else if !address::is_local(from.ip(), node) || self.is_connected(node, from, to) {
            Some(errno::EADDRNOTAVAIL)
        } else if self.acceptors.values().any(|it| it.keeps_from_others(node, from)) {
            Some(errno::EADDRINUSE)
        } else {
            None
        };
        match refused {
            Some(number) => self.connect_failed(machine, token, number),
            None => self.connect(machine, token, (from, to)),
        }
    }

    /// Whether a connection between these two addresses is there already.
    fn is_connected(&self, node: usize, from: SocketAddr, to: SocketAddr) -> bool {
        self.connections
            .values()
            .any(|it| it.host == Some(node) && it.sides[0].address == from && it.to == to)
    }

    fn number_of(&mut self, machine: usize, socket: u32) -> Option<u64> {
        match self.machines[machine].descriptor(socket)?.kind {
            Kind::Acceptor(id) | Kind::Datagram(id) => Some(id),
            Kind::Stream(_) => None,
        }
    }

    pub(crate) fn close(&mut self, machine: usize, token: Token, socket: u32) {
        if let Some(stream) = self.machines[machine].stream_mut(socket) {
            // What is cut short has no `Sent`.
            stream.sending = stream.sending.take().filter(|sending| !sending.is_last);
        }
        let reports = self.faults.close_reports;
        if self.prng.chance(reports) {
            let canceled = End::Failed(errno::error(errno::ECANCELED));
            self.end_receiving(machine, socket, canceled);
        }
        if self.prng.chance(reports) {
            self.end_sending(machine, socket, Err(errno::ECANCELED));
        }
        self.release(machine, socket);
        self.complete(machine, Some(socket), Lane::Closing, Completion::Closed { token });
    }

    /// Lets go of what is behind a descriptor; the descriptor itself stays.
    fn release(&mut self, machine: usize, socket: u32) {
        let Some(descriptor) = self.machines[machine].descriptor(socket) else { return };
        if std::mem::replace(&mut descriptor.closing, true) {
            return;
        }
        match &mut descriptor.kind {
            Kind::Stream(stream) => {
                stream.receiving = None;
                stream.sending = None;
                let (connection, side) = (stream.connection, stream.side);
                self.close_side(connection, side, false);
            }
            Kind::Acceptor(id) => {
                let id = *id;
                self.close_acceptor(id);
            }
            Kind::Datagram(id) => {
                let id = *id;
                self.datagrams.remove(&id);
            }
        }
    }

    /// Makes an attempt fail, also one that has succeeded without the service knowing.
    fn cancel_connect(&mut self, machine: usize, token: Token) {
        let it = &mut self.machines[machine];
        if let Some(index) = it.connecting.iter().position(|&(waiting, _)| waiting == token) {
            let (_, connection) = it.connecting[index];
            self.close_side(connection, 0, false);
            self.connect_failed(machine, token, errno::ECANCELED);
            return;
        }
        let connected = it.done.values_mut().find_map(|done| match &mut done.completion {
            Completion::Connected { token: other, result } if *other == token => {
                std::mem::replace(result, Err(errno::error(errno::ECANCELED))).ok()
            }
            _ => None,
        });
        if let Some(Socket(socket)) = connected {
            self.release(machine, socket);
            self.machines[machine].sockets[socket as usize] = None;
        }
    }

    fn end_machine(&mut self, machine: usize) {
        for (_, connection) in std::mem::take(&mut self.machines[machine].connecting) {
            self.close_side(connection, 0, false);
        }
        for socket in 0..self.machines[machine].sockets.len() {
            self.release(machine, socket as u32);
        }
        let it = &mut self.machines[machine];
        it.alive = false;
        it.sockets.clear();
        it.submitted.clear();
        it.done.clear();
        it.starved.clear();
    }
}
