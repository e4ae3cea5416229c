//! A shard's end of its workers' links.

use std::collections::{BTreeMap, VecDeque};
use std::thread::Thread;
use std::time::{Duration, Instant};

use media_link::{Job, Limits, Link, Message, Refused, Side};
use rtrb::{Consumer, Producer};
use shards_runtime::{Completion, Context, End, Gather, Io, Op, Piece, Socket, Token};

use crate::supervisor::{Arrival, Departure, Order, wake};

/// Workers of one shard.
pub const WORKERS_MAX: usize = 256;

/// Tokens of desks stand above those of WebRTC and below those of acceptors.
const TOKENS_BASE: u32 = 0x9000_0000;
const TOKENS_END: u32 = 0x9100_0000;

/// How often arrivals are looked for while some are expected: who is no shard cannot ring.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Words that wait to be polled before receiving pauses.
const WORDS_MAX: usize = 1024;

/// Frames of one send: a head and a payload each.
const FRAMES_PER_SEND_MAX: usize = 24;

/// A worker's number at its desk. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId(pub u32);

/// What a desk has to tell.
#[derive(Debug)]
pub enum Word {
    /// The worker runs and has its job.
    Started(WorkerId),
    /// It says something.
    Said(WorkerId, Message),
    /// Its link is closed. What becomes of it the next word tells.
    Closed(WorkerId),
    /// Its process has ended. Nothing that it said follows.
    Departed(WorkerId, Departure),
}

/// What a desk has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Workers that were hired and are neither done nor dismissed.
    pub workers_count: u64,
    /// Processes that were started.
    pub starts: u64,
    /// Processes that crashed.
    pub crashes: u64,
    /// Links that broke the rules.
    pub links_broken: u64,
    /// Packets that were not taken because too much waited for the worker.
    pub packets_refused: u64,
    /// Bytes that came from workers.
    pub received_bytes: u64,
    /// Bytes that went to them.
    pub sent_bytes: u64,
}

struct Employee {
    job: Box<Job>,
    desk: Option<Line>,
    is_dismissed: bool,
    /// Its process has ended, and its last words are still to be read.
    departure: Option<Departure>,
}

/// The link of a worker that runs.
struct Line {
    link: Link,
    socket: Socket,
    token: Token,
    is_sending: bool,
    is_paused: bool,
    is_closing: bool,
}

/// The workers of one shard.
pub struct Desk {
    orders: Producer<Order>,
    arrivals: Consumer<Arrival>,
    supervisor: Thread,
    employees: BTreeMap<WorkerId, Employee>,
    /// Links of workers that are no employees any more, until their sockets are closed.
    leaving: Vec<Line>,
    by_token: BTreeMap<u32, WorkerId>,
    words: VecDeque<Word>,
    hired_count: u32,
    lines_count: u32,
    looked_at: Option<Instant>,
    stats: Stats,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(
        orders: Producer<Order>,
        arrivals: Consumer<Arrival>,
        supervisor: Thread,
    ) -> Desk {
        Desk {
            orders,
            arrivals,
            supervisor,
            employees: BTreeMap::new(),
            leaving: Vec::new(),
            by_token: BTreeMap::new(),
            words: VecDeque::new(),
            hired_count: 0,
            lines_count: 0,
            looked_at: None,
            stats: Stats::default(),
        }
    }

    /// Asks for a worker that does this job. None where there are too many.
    pub fn hire(&mut self, job: Job) -> Option<WorkerId> {
        if self.employees.len() >= WORKERS_MAX {
            return None;
        }
        let id = WorkerId(self.hired_count);
        self.orders.push(Order::Hire(id)).ok()?;
        self.hired_count += 1;
        let employee =
            Employee { job: Box::new(job), desk: None, is_dismissed: false, departure: None };
        self.employees.insert(id, employee);
        wake(&self.supervisor);
        Some(id)
    }

    /// Lets a worker finish what it has, and go. It is not started again.
    pub fn dismiss(&mut self, id: WorkerId) {
        let Some(employee) = self.employees.get_mut(&id) else { return };
        if std::mem::replace(&mut employee.is_dismissed, true) {
            return;
        }
        if let Some(line) = &mut employee.desk {
            // A link that is over ends its worker, too.
            line.link.send(Message::Drain).ok();
        } else {
            self.employees.remove(&id);
        }
        // The queue has room for more than all workers: were it full, the link's end would tell.
        self.orders.push(Order::Dismiss(id)).ok();
        wake(&self.supervisor);
    }

    /// Says something to a worker.
    ///
    /// # Errors
    /// It is given back where the worker does not run, or too much waits for it.
    #[allow(clippy::result_large_err, reason = "the message comes back as it was")]
    pub fn say(&mut self, id: WorkerId, message: Message) -> Result<(), Refused> {
        let employee = self.employees.get_mut(&id);
        let Some(line) = employee.and_then(|employee| employee.desk.as_mut()) else {
            return Err(Refused::OutOfOrder(message));
        };
        let is_packet = matches!(message, Message::Packet(_));
        let said = line.link.send(message);
        self.stats.packets_refused += u64::from(is_packet && said.is_err());
        said
    }

    /// What a worker, or its end, has to say. Poll until there is nothing.
    pub fn poll(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// Whether a completion with this token is for a desk.
    pub fn owns(token: Token) -> bool {
        (TOKENS_BASE..TOKENS_END).contains(&token.slot)
    }

    /// An operation on a worker's socket is done, or a step of a lasting one.
    pub fn on_completion<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        completion: Completion<I::Buffer>,
    ) {
        let token = completion.token();
        match completion {
            Completion::Received { buffer, .. } => self.received(cx, token, &buffer),
            Completion::Sent { result, .. } => {
                if let Some(line) = self.line(token) {
                    line.is_sending = false;
                    let is_broken = result.is_err();
                    self.stats.sent_bytes += result.unwrap_or(0) as u64;
                    if is_broken {
                        self.close(cx, token);
                    }
                }
            }
            Completion::Ended { end: End::Paused, .. } => {}
            Completion::Ended { .. } => self.close(cx, token),
            Completion::Closed { .. } => {
                self.leaving.retain(|line| line.token != token);
                self.by_token.remove(&token.slot);
            }
            _ => {}
        }
    }

    /// The tick ends: workers that have started are told their jobs, and what waits is sent.
    pub fn on_tick_end<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        self.looked_at = Some(cx.now());
        while let Ok(arrival) = self.arrivals.pop() {
            match arrival {
                Arrival::Started(id, socket) => self.started(cx, id, socket),
                Arrival::Departed(id, departure) => self.departed(id, departure),
            }
        }
        let has_room = self.words.len() < WORDS_MAX / 2;
        for employee in self.employees.values_mut() {
            let Some(line) = &mut employee.desk else { continue };
            line.flush(cx);
            if has_room && line.is_paused && !line.is_closing {
                line.is_paused = false;
                cx.submit(line.token, Op::Recv(line.socket));
            }
        }
    }

    /// When [`Desk::on_tick_end`] wants to run at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.words.is_empty() {
            return self.looked_at;
        }
        let is_waited_for = |employee: &Employee| employee.desk.is_none();
        let is_expecting = self.employees.values().any(is_waited_for);
        is_expecting.then(|| self.looked_at.map(|at| at + LOOK_EVERY)).flatten()
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        Stats { workers_count: self.employees.len() as u64, ..self.stats }
    }

    fn line(&mut self, token: Token) -> Option<&mut Line> {
        let id = self.by_token.get(&token.slot)?;
        let employee = self.employees.get_mut(id);
        let line = employee.and_then(|employee| employee.desk.as_mut());
        match line.filter(|line| line.token == token) {
            Some(line) => Some(line),
            None => self.leaving.iter_mut().find(|line| line.token == token),
        }
    }

    fn started<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        id: WorkerId,
        socket: std::os::fd::OwnedFd,
    ) {
        self.stats.starts += 1;
        let Some(employee) = self.employees.get_mut(&id).filter(|it| !it.is_dismissed) else {
            return; // the socket is dropped, and with it the worker ends
        };
        let socket = match cx.io().adopt(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "a worker's link cannot be taken");
                return;
            }
        };
        let mut link = Link::new(Side::Server, Limits::default());
        link.send(Message::Job(employee.job.clone())).expect("the first word after hello");
        let token = Token { slot: TOKENS_BASE + self.lines_count % (1 << 24), generation: 0 };
        self.lines_count = self.lines_count.wrapping_add(1);
        self.by_token.insert(token.slot, id);
        cx.submit(token, Op::Recv(socket));
        if let Some(before) = self.employees.get(&id).and_then(|it| it.desk.as_ref()) {
            // What the last one has not said by now is not waited for.
            self.close(cx, before.token);
        }
        let Some(employee) = self.employees.get_mut(&id) else { return };
        let (is_sending, is_paused, is_closing) = (false, false, false);
        employee.desk = Some(Line { link, socket, token, is_sending, is_paused, is_closing });
        self.words.push_back(Word::Started(id));
    }

    /// A process has ended. That is told when its link has come to its end: what it said last is on
    /// its way there, and the end of a process is heard of sooner.
    fn departed(&mut self, id: WorkerId, departure: Departure) {
        self.stats.crashes += u64::from(matches!(departure, Departure::Crashed { .. }));
        match self.employees.get_mut(&id) {
            Some(employee) if employee.desk.is_some() => employee.departure = Some(departure),
            _ => self.tell_departure(id, departure),
        }
    }

    fn tell_departure(&mut self, id: WorkerId, departure: Departure) {
        if !matches!(departure, Departure::Crashed { .. }) {
            self.employees.remove(&id);
        }
        self.words.push_back(Word::Departed(id, departure));
    }

    /// A line without its employee, until its socket is closed.
    fn leave(&mut self, id: WorkerId) {
        let employee = self.employees.get_mut(&id);
        if let Some(line) = employee.and_then(|employee| employee.desk.take()) {
            self.leaving.push(line);
        }
    }

    fn received<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token, bytes: &[u8]) {
        self.stats.received_bytes += bytes.len() as u64;
        let Some(&id) = self.by_token.get(&token.slot) else { return };
        let mut words = std::mem::take(&mut self.words);
        let mut broken = None;
        if let Some(line) = self.line(token) {
            line.link.receive(bytes);
            loop {
                match line.link.poll() {
                    Ok(Some(message)) => words.push_back(Word::Said(id, message)),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if words.len() >= WORDS_MAX && !line.is_paused && !line.is_closing {
                line.is_paused = true;
                cx.submit(token, Op::Pause(line.socket));
            }
        }
        self.words = words;
        if let Some(error) = broken {
            tracing::warn!(%error, worker = id.0, "a worker's link is broken");
            self.stats.links_broken += 1;
            self.close(cx, token);
        }
    }

    fn close<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(line) = self.line(token) else { return };
        if std::mem::replace(&mut line.is_closing, true) {
            return;
        }
        cx.submit(token, Op::Close(line.socket));
        if let Some(&id) = self.by_token.get(&token.slot) {
            self.leave(id);
            self.words.push_back(Word::Closed(id));
            let employee = self.employees.get_mut(&id);
            if let Some(departure) = employee.and_then(|employee| employee.departure.take()) {
                self.tell_departure(id, departure);
            }
        }
    }
}

impl Line {
    /// Sends what waits, unless a send is under way.
    fn flush<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        if self.is_sending || self.is_closing {
            return;
        }
        let mut pieces = Gather::new();
        for _ in 0..FRAMES_PER_SEND_MAX {
            let Some(frame) = self.link.next_output() else { break };
            let parts = [frame.head, frame.payload].into_iter().filter(|part| !part.is_empty());
            pieces.extend(parts.map(Piece::Owned));
        }
        if !pieces.is_empty() {
            self.is_sending = true;
            cx.submit(self.token, Op::Send(self.socket, pieces));
        }
    }
}
