//! [`UringIo`]: the event loop's half of the contract in `shards_runtime::Io`.
//!
//! A tick is normally one system call: [`Io::flush`] hands over what the tick asked for and brings
//! what is due, so that [`Io::wait`] finds it and need not call; it does where there was nothing to
//! hand over, or nothing came. More calls are made when what came back is only the machine's own
//! business (a peer's name, a cancelled receive).
//!
//! *Invariant:* a completion is made only here and in the handlers that [`UringIo::complete`]
//! calls; for a socket that is being closed they make none but `Closed`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};
use shards_runtime::{
    BindOptions, COMPLETIONS_PER_WAIT_MAX, Completion, Forward, Io, IoCounters, Op, ShardId,
    Socket, Token,
};

use crate::accept::AcceptLater;
use crate::address::Family;
use crate::buffers::{Buffer, Pool, PoolShape};
use crate::clock;
use crate::config::RingConfig;
use crate::entries;
use crate::forward::Forwards;
use crate::group::RingGroup;
use crate::kernel::{Event, Gather, Kernel, Sleep};
use crate::operations::{Operation, Operations, Pinned, Ticket, user_data};
use crate::overflow::Overflow;
use crate::prompt::Prompts;
use crate::receive::{DatagramShape, Held};
use crate::sockets::{self, Kind, Phase, State};

/// Buffer group of the streams.
pub(crate) const STREAM_GROUP: u16 = 0;
/// Buffer group of the datagrams.
pub(crate) const DATAGRAM_GROUP: u16 = 1;

/// So many events end a sleep that gathers: what the waking costs is then a small part of each.
const GATHERED_MAX: u32 = 32;

static ONE: u64 = 1;

/// The real machine under one shard. It stays on the thread that opened it.
pub struct UringIo {
    pub(crate) kernel: Kernel,
    pub(crate) operations: Operations,
    /// Lists of parts that the kernel has yet to read.
    pub(crate) staged: Vec<Pinned>,
    pub(crate) forwards: Forwards,
    pub(crate) prompts: Prompts,
    /// By slot: those of the ring's table, and behind them those that it has no room for.
    pub(crate) sockets: Vec<State>,
    pub(crate) overflow: Overflow,
    pub(crate) stream_pool: Rc<Pool>,
    pub(crate) datagram_pool: Rc<Pool>,
    pub(crate) datagram_shape: DatagramShape,
    /// Completions that no event brings, and those that one `wait` had no room for.
    pub(crate) ready: VecDeque<Completion<Buffer>>,
    /// Sockets (with their tenant) that wait for a free buffer; some entries are out of date.
    pub(crate) starved: VecDeque<(u32, u32)>,
    /// Streams that have received for the first time; some entries are out of date.
    pub(crate) held: VecDeque<Held>,
    pub(crate) accept_later: VecDeque<AcceptLater>,
    /// Operations that make a connection, for whoever gives one up.
    pub(crate) connecting: Vec<Ticket>,
    pub(crate) counters: IoCounters,
    /// Somebody rang during a set-up call.
    rung: bool,
    join_datagrams: bool,
    /// Where datagrams flow a sleep gathers several, for each that ends one costs more than itself.
    /// Not so where connections come and go: the timer that bounds a short sleep costs more than
    /// what it saves them.
    gather: Gather,
    /// The last wait brought datagrams.
    had_datagrams: bool,
    /// Taken and not dealt with, from `events_at` on.
    pub(crate) events: Vec<Event>,
    events_at: usize,
    /// Up to here they were looked at for prompt sends that failed.
    looked_at: usize,
    now: Instant,
    wall_clock: Duration,
    group: RingGroup,
    shard: ShardId,
}

impl UringIo {
    pub(crate) fn open(group: RingGroup, shard: ShardId, config: &RingConfig) -> io::Result<Self> {
        let slots_count = config.sockets_max.saturating_add(config.overflow_sockets_max);
        if slots_count > sockets::SOCKETS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "at most 1,048,576 sockets"));
        }
        let kernel = Kernel::open(config)?;
        let shape = DatagramShape::new(config.udp_gro);
        let gather = match config.gather_us {
            time_us if time_us > 0 && kernel.can_gather() => {
                Gather { events_count: GATHERED_MAX, time_us }
            }
            _ => Gather::NOTHING,
        };
        let submitter = kernel.ring().submitter();
        let stream_pool = Pool::open(
            &submitter,
            STREAM_GROUP,
            PoolShape {
                buffers_count: config.stream_buffers_count,
                buffer_bytes: config.stream_buffer_bytes,
                tail_bytes: 0,
            },
        )?;
        let datagram_pool = Pool::open(
            &submitter,
            DATAGRAM_GROUP,
            PoolShape {
                buffers_count: config.datagram_buffers_count,
                buffer_bytes: config.datagram_payload_bytes() + shape.headroom_bytes(),
                tail_bytes: config.datagram_tail_bytes(),
            },
        )?;
        let mut machine = UringIo {
            kernel,
            operations: Operations::new(),
            staged: Vec::new(),
            forwards: Forwards::new(),
            prompts: Prompts::default(),
            sockets: vec![State::free(); slots_count as usize],
            overflow: Overflow::new(config.sockets_max, config.overflow_sockets_max),
            stream_pool,
            datagram_pool,
            datagram_shape: shape,
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            held: VecDeque::new(),
            accept_later: VecDeque::new(),
            connecting: Vec::new(),
            counters: IoCounters::default(),
            rung: false,
            join_datagrams: config.udp_gro,
            gather,
            had_datagrams: false,
            events: Vec::with_capacity(COMPLETIONS_PER_WAIT_MAX),
            events_at: 0,
            looked_at: 0,
            now: clock::now(),
            wall_clock: clock::wall_clock(),
            group,
            shard,
        };
        machine.poll_bell();
        machine.kernel.submit();
        // SAFETY: the descriptor belongs to `machine.kernel`, which is open.
        let ring = unsafe { BorrowedFd::borrow_raw(machine.kernel.as_raw_fd()) };
        machine.group.publish(shard, ring)?;
        Ok(machine)
    }

    /// The slot of a socket that is open. `None` when it is being closed or gone: an operation on
    /// it is late, and is forgotten.
    pub(crate) fn slot(&self, socket: Socket) -> Option<u32> {
        let slot = sockets::slot_of(socket);
        let state = self.sockets.get(slot as usize)?;
        (state.is_open() && state.name(slot) == socket).then_some(slot)
    }

    /// What the world above calls the socket in a slot.
    pub(crate) fn name(&self, slot: u32) -> Socket {
        self.sockets[slot as usize].name(slot)
    }

    /// Submits an operation of a socket.
    ///
    /// # Safety
    /// The memory that `entry` names is owned by the operation `ticket`, by the machine for its
    /// whole life, or is static.
    pub(crate) unsafe fn start(&mut self, socket: u32, ticket: Ticket, entry: squeue::Entry) {
        self.sockets[socket as usize].in_flight_count += 1;
        let entry = self.aim(socket, entry).user_data(ticket.user_data());
        // SAFETY: the table keeps the operation until its last event, and `drop` waits for all.
        unsafe { self.kernel.push(entry) };
    }

    /// An entry that was written for a slot of the ring's table, for whatever holds that slot.
    pub(crate) fn aim(&self, slot: u32, entry: squeue::Entry) -> squeue::Entry {
        match self.overflow.descriptor(slot) {
            None => entry,
            Some(descriptor) => entries::on_descriptor(entry, descriptor),
        }
    }

    /// Takes out an operation of a socket whose last event has come.
    pub(crate) fn finish(&mut self, socket: u32, ticket: Ticket) -> Option<Operation> {
        self.sockets[socket as usize].in_flight_count -= 1;
        self.operations.remove(ticket)
    }

    /// Asks the kernel to end an operation; its own event says how it went.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        let entry = opcode::AsyncCancel::new(ticket.user_data())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(ticket.cancel_user_data());
        // SAFETY: the entry names no memory.
        unsafe { self.kernel.push(entry) };
    }

    /// The kernel has put a socket into a slot. That the one before it is gone may be told later
    /// than that (a multishot may post its event before those of its batch); then this
    /// tells it, and the late event finds another tenant.
    pub(crate) fn occupy(
        &mut self,
        slot: u32,
        (kind, family): (Kind, Family),
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let state = &mut self.sockets[slot as usize];
        let closing = match state.phase {
            Phase::Closing(token) => Some(token),
            Phase::Ending(token) => Some(Some(token)),
            Phase::Free | Phase::Open => None,
        };
        if let Some(token) = closing {
            completions.extend(token.map(|token| Completion::Closed { token }));
            state.release();
        }
        state.open(kind, family);
    }

    /// Puts a socket made by a set-up call into the table.
    pub(crate) fn install(
        &mut self,
        file: &OwnedFd,
        kind: Kind,
        family: Family,
    ) -> io::Result<Socket> {
        let (mut events, mut completions) = (Vec::new(), Vec::new());
        let outcome = self.kernel.install(file.as_fd(), &mut events);
        for event in events {
            match event.user_data >> 56 {
                kind if kind == user_data::PROMPT >> 56 => {
                    self.on_prompt_failed(event, &mut completions);
                }
                kind if kind == user_data::FORWARD >> 56 => self.on_forward_failed(event),
                _ => self.rung |= self.complete(event, &mut completions),
            }
        }
        self.ready.extend(completions);
        let slot = outcome?;
        self.sockets[slot as usize].open(kind, family);
        Ok(self.name(slot))
    }

    fn poll_bell(&mut self) {
        let bell = Fd(self.group.bell(self.shard));
        let entry = opcode::PollAdd::new(bell, libc::POLLIN as u32).multi(true).build();
        // SAFETY: the entry names no memory; the bell lives as long as the group, which we hold.
        unsafe { self.kernel.push(entry.user_data(user_data::BELL_POLL)) };
    }

    /// Deals with one event; true when it is a doorbell.
    fn complete(&mut self, event: Event, completions: &mut Vec<Completion<Buffer>>) -> bool {
        match event.user_data {
            user_data::BELL => return true,
            user_data::BELL_POLL => {
                if !cqueue::more(event.flags) {
                    self.poll_bell();
                }
                return true;
            }
            user_data::IGNORED | user_data::INSTALL => return false,
            _ => {}
        }
        match event.user_data >> 56 {
            // Dealt with when they were taken.
            kind if kind == user_data::FORWARD >> 56 => return false,
            kind if kind == user_data::PROMPT >> 56 => return false,
            _ => {}
        }
        let ticket = Ticket::from_user_data(event.user_data);
        if event.user_data != ticket.user_data() {
            self.on_cancel_failed(ticket);
            return false;
        }
        let Some(operation) = self.operations.get_mut(ticket) else {
            debug_assert!(false, "an event without an operation: {event:?}");
            return false;
        };
        match *operation {
            Operation::Send(_) => self.on_send(ticket, event, completions),
            Operation::Errors { .. } => self.on_error_read(ticket, event, completions),
            Operation::Receive { socket, token } => {
                self.on_receive(ticket, (socket, token), event, completions);
            }
            Operation::Accept { acceptor, token } => {
                self.on_accept(ticket, (acceptor, token), event, completions);
            }
            Operation::PeerName { .. } => self.on_peer_name(ticket, event, completions),
            Operation::Open { .. } => self.on_open(ticket, event, completions),
            Operation::Connect { .. } => self.on_connect(ticket, event, completions),
            Operation::Close { socket, tenant } => {
                self.on_close(ticket, (socket, tenant), event, completions);
            }
            Operation::Shutdown { socket } => {
                self.finish(socket, ticket);
                self.close_when_quiet(socket);
            }
        }
        false
    }

    /// Takes all events that there are, to be dealt with when their turn comes. Whether prompt
    /// sends of which nothing was heard are sent.
    fn take_events(&mut self, completions: &mut Vec<Completion<Buffer>>) -> bool {
        let is_handed_over = self.kernel.is_handed_over();
        self.take_failed_forwards();
        let before = std::mem::replace(&mut self.looked_at, self.events.len());
        if self.prompts.is_empty() {
            return false;
        }
        self.look_for_failed(before, completions);
        is_handed_over && self.kernel.has_told_all()
    }

    /// Takes all events, and deals with the forwards among them that failed, while their buffers
    /// are still at hand.
    fn take_failed_forwards(&mut self) {
        let before = self.events.len();
        self.kernel.take(&mut self.events);
        if self.counters.forwards == 0 {
            return;
        }
        for at in before..self.events.len() {
            let event = self.events[at];
            if event.user_data >> 56 == user_data::FORWARD >> 56 {
                self.on_forward_failed(event);
            }
        }
    }

    /// Gives back what the kernel needed only until it had taken the entries, but for what failed
    /// and is handed over once more.
    fn release_taken(&mut self) {
        if !self.forwards.is_empty() {
            self.take_failed_forwards();
        }
        self.release_staged();
    }

    /// Deals with events until there are none or there is no more room.
    fn drain(&mut self, start: usize, completions: &mut Vec<Completion<Buffer>>) -> bool {
        let mut rung = false;
        if self.take_events(completions) {
            self.confirm_prompts(completions);
        }
        while let Some(event) = self.events.get(self.events_at).copied() {
            if completions.len() - start >= COMPLETIONS_PER_WAIT_MAX {
                break;
            }
            self.events_at += 1;
            rung |= self.complete(event, completions);
        }
        self.events.drain(..self.events_at);
        self.looked_at -= self.events_at;
        self.events_at = 0;
        // An event may bring two completions: the last bytes, and that they were the last.
        let at_most = (start + COMPLETIONS_PER_WAIT_MAX).min(completions.len());
        self.ready.extend(completions.drain(at_most..));
        rung
    }

    /// How long the machine may sleep; not at all when `until` has passed.
    fn sleep_until(&self, until: Option<Instant>) -> Sleep {
        let retry = self.accept_later.front().map(|later| later.at);
        let Some(at) = [until, retry].into_iter().flatten().min() else { return Sleep::Forever };
        let now = clock::now();
        if until.is_some_and(|until| until <= now) {
            return Sleep::No;
        }
        Sleep::For(at.saturating_duration_since(now))
    }
}

impl Io for UringIo {
    type Buffer = Buffer;

    fn now(&self) -> Instant {
        self.now
    }

    fn wall_clock(&self) -> Duration {
        self.wall_clock
    }

    fn submit(&mut self, token: Token, op: Op) {
        match op {
            Op::Send(socket, gather) => self.send(token, socket, gather),
            Op::Recv(socket) | Op::RecvFrom(socket) => self.receive(token, socket),
            Op::Pause(socket) => self.pause(token, socket),
            Op::Accept(socket) => self.accept(token, socket),
            Op::SendTo { socket, to, payload, segment_size } => {
                self.send_to(token, socket, to, (payload, segment_size));
            }
            Op::Connect(address) => self.connect(token, address),
            Op::ConnectFrom { from, to } => self.connect_from(token, from, to),
            Op::CancelConnect => self.cancel_connect(token),
            Op::Close(socket) => self.close(token, socket),
            Op::Finish(socket, gather) => self.finish_stream(token, socket, gather),
        }
    }

    fn wait(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<Buffer>>) {
        let start = completions.len();
        self.emit_forwards();
        if self.datagram_pool.is_low() {
            // What is received while this sleeps needs the buffers that wait to be sent.
            self.kernel.submit();
            self.release_taken();
        }
        let confirms = self.take_events(completions);
        self.arm_held(false);
        self.feed_starved();
        self.accept_again();
        if confirms {
            self.confirm_prompts(completions);
        }
        let room = COMPLETIONS_PER_WAIT_MAX.saturating_sub(completions.len() - start);
        let waiting = self.ready.len().min(room);
        completions.extend(self.ready.drain(..waiting));
        let mut rung = std::mem::take(&mut self.rung);
        loop {
            let mut expired = false;
            let has_events = !self.events.is_empty() || self.kernel.has_events();
            if completions.len() > start || rung || has_events || !self.prompts.is_empty() {
                // What became due since the last call comes with the next one, which this tick's
                // own operations make necessary anyway.
                if self.kernel.has_to_enter() {
                    self.kernel.enter(Sleep::No);
                }
            } else if !self.held.is_empty() {
                // Nobody may sleep on bytes that no receive waits for.
                self.kernel.enter(Sleep::No);
                if !self.kernel.has_events() {
                    self.arm_held(true);
                }
            } else {
                let sleep = self.sleep_until(until);
                expired = sleep == Sleep::No;
                let gather = if self.had_datagrams { self.gather } else { Gather::NOTHING };
                self.kernel.enter_gathering(sleep, gather);
            }
            rung |= self.drain(start, completions);
            self.feed_starved();
            self.accept_again();
            let full = completions.len() - start >= COMPLETIONS_PER_WAIT_MAX;
            if full || expired || rung || completions.len() > start {
                break;
            }
        }
        self.release_staged();
        self.now = clock::now();
        self.wall_clock = clock::wall_clock();
        let is_datagram = |it: &Completion<_>| matches!(it, Completion::ReceivedFrom { .. });
        self.had_datagrams = completions[start..].iter().any(is_datagram);
    }

    fn forward(&mut self, datagram: Forward<Buffer>) {
        self.forward_datagram(datagram);
    }

    fn flush(&mut self) {
        self.emit_forwards();
        self.kernel.submit();
        self.release_taken();
    }

    fn doorbell(&mut self, sibling: ShardId) {
        let entry = if self.group.is_control(sibling) {
            let bell = Fd(self.group.bell(sibling));
            opcode::Write::new(bell, (&raw const ONE).cast(), size_of::<u64>() as u32).build()
        } else if let Some(ring) = self.group.ring(sibling) {
            opcode::MsgRingData::new(Fd(ring), 0, user_data::BELL, None).build()
        } else {
            return;
        };
        // A shard that rings itself means its own next wait.
        self.rung |= sibling == self.shard;
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data::IGNORED);
        // SAFETY: the only memory named is static.
        unsafe { self.kernel.push(entry) };
    }

    fn listen(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)> {
        let (file, bound) = sockets::listening(address, options)?;
        Ok((self.install(&file, Kind::Acceptor, Family::of(&address))?, bound))
    }

    fn bind(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)> {
        let (file, bound) = sockets::datagram(address, options, self.join_datagrams)?;
        let family = Family::of(&address);
        let socket = match self.install(&file, Kind::Datagram, family) {
            Err(error) if error.raw_os_error() == Some(libc::ENFILE) => {
                let slot = self.overflow.take_in(file).ok_or(error)?;
                self.sockets[slot as usize].open(Kind::Datagram, family);
                self.name(slot)
            }
            outcome => outcome?,
        };
        let state = &mut self.sockets[sockets::slot_of(socket) as usize];
        state.fragmentable = options.fragmentable;
        state.reports_icmp = options.reports_icmp;
        Ok((socket, bound))
    }

    fn adopt(&mut self, stream: OwnedFd) -> io::Result<Socket> {
        // The table holds the file from here on; the ordinary descriptor is closed with this call.
        self.install(&stream, Kind::Stream, Family::V4)
    }

    fn since_wait(&self) -> Duration {
        clock::now().saturating_duration_since(self.now)
    }

    fn counters(&self) -> IoCounters {
        IoCounters {
            enters: self.kernel.enters_count(),
            operations_in_flight: self.operations.in_flight_count(),
            ..self.counters
        }
    }
}
