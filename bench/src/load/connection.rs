//! One connection of a load: a socket, where it stands in its conversation, and what the socket
//! has not taken yet.
//!
//! *Invariant:* at most one exchange (a request, a batch of them, a message) is under way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustls::HandshakeKind;

use super::answer::Progress;
use super::echo;
use super::options::Kind;
use super::report::Counts;
use super::script::Script;
use super::secure::Secure;

const HEAD_BYTES_MAX: usize = 8 * 1024;
/// So many connections come from each of the addresses 127.0.1.1, 127.0.1.2 and so on.
const CONNECTIONS_PER_ADDRESS: usize = 100;
/// As many addresses are used in turn. With a connection for each request none of their ports is
/// used again within the minute that the server's kernel remembers it.
const ADDRESSES: usize = 250;

/// What all connections share.
pub(crate) struct Crowd {
    pub(crate) address: SocketAddr,
    pub(crate) kind: Kind,
    pub(crate) pipeline: usize,
    pub(crate) script: Script,
    pub(crate) epoll: OwnedFd,
    pub(crate) buffer: Vec<u8>,
    pub(crate) counts: Counts,
    /// Connections opened so far.
    pub(crate) opened: usize,
}

enum Phase {
    Closed,
    /// The head of the answer to an upgrade, as far as it is there.
    Upgrading(Vec<u8>),
    Idle,
    Busy,
}

/// A connection, and those that come after it in its place.
pub(crate) struct Connection {
    index: usize,
    socket: Option<TcpStream>,
    secure: Option<Secure>,
    phase: Phase,
    progress: Progress,
    answers_left: usize,
    /// Messages said so far, and bytes of the last that have come back.
    message: (usize, usize),
    unsent: Vec<u8>,
    waits_to_send: bool,
    handshake_counted: bool,
    /// When what is under way was due.
    pub(crate) since: Instant,
}

impl Connection {
    /// One that is closed.
    pub(crate) fn new(index: usize, secure: Option<Secure>, now: Instant) -> Self {
        Connection {
            index,
            socket: None,
            secure,
            phase: Phase::Closed,
            progress: Progress::default(),
            answers_left: 0,
            message: (index, 0),
            unsent: Vec::new(),
            waits_to_send: false,
            handshake_counted: false,
            since: now,
        }
    }

    /// Begins an exchange that was due at `since`, with a connection if there is none.
    pub(crate) fn start(&mut self, crowd: &mut Crowd, since: Instant) -> Result<(), String> {
        self.since = since;
        match self.phase {
            Phase::Closed => self.connect(crowd),
            Phase::Idle => self.say(crowd),
            Phase::Upgrading(_) | Phase::Busy => unreachable!("one exchange at a time"),
        }
    }

    /// The socket can do something. Says whether that completes the exchange.
    pub(crate) fn on_ready(
        &mut self,
        crowd: &mut Crowd,
        flags: EventFlags,
    ) -> Result<bool, String> {
        if flags.contains(EventFlags::OUT) {
            self.flush(crowd)?;
        }
        let incoming = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(incoming) { self.receive(crowd, flags) } else { Ok(false) }
    }

    /// Closes it.
    pub(crate) fn end(&mut self) {
        self.socket = None;
        self.phase = Phase::Closed;
        self.progress = Progress::default();
        self.message.1 = 0;
        self.unsent.clear();
        self.handshake_counted = false;
        if let Some(secure) = &mut self.secure {
            secure.session = None;
        }
    }

    fn connect(&mut self, crowd: &mut Crowd) -> Result<(), String> {
        let said = |what: &'static str| move |error: Errno| format!("{what}: {error}");
        let to = crowd.address;
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None);
        let socket = socket.map_err(said("socket"))?;
        if to.is_ipv4() && to.ip().is_loopback() {
            let from = SocketAddr::new(source_address(crowd.opened), 0);
            rustix::net::bind(&socket, &from).map_err(said("bind"))?;
        }
        crowd.opened += 1;
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(said("connect")(error)),
        }
        if crowd.kind != Kind::Close {
            rustix::net::sockopt::set_tcp_nodelay(&socket, true).map_err(said("nodelay"))?;
        }
        let data = EventData::new_u64(self.index as u64);
        let interest = EventFlags::IN | EventFlags::RDHUP;
        epoll::add(&crowd.epoll, &socket, data, interest).map_err(said("epoll"))?;
        self.socket = Some(TcpStream::from(socket));
        self.waits_to_send = false;
        if let Some(secure) = &mut self.secure {
            secure.begin()?;
        }
        match &crowd.script {
            Script::Http { .. } => self.say(crowd),
            Script::Echo { upgrade, .. } => {
                self.phase = Phase::Upgrading(Vec::new());
                send(&mut self.secure, self.socket.as_ref(), &mut self.unsent, upgrade)?;
                self.update_interest(crowd)
            }
        }
    }

    /// Says what is next. On loopback a connection is there when `connect` returns; where it is
    /// not, what was said waits.
    fn say(&mut self, crowd: &mut Crowd) -> Result<(), String> {
        self.phase = Phase::Busy;
        let bytes = match &crowd.script {
            Script::Http { requests, .. } => {
                self.answers_left = crowd.pipeline;
                requests
            }
            Script::Echo { echoes, .. } => {
                self.message.0 += 1;
                &echoes.outgoing[self.message.0 % echoes.outgoing.len()]
            }
        };
        send(&mut self.secure, self.socket.as_ref(), &mut self.unsent, bytes)?;
        self.update_interest(crowd)
    }

    fn flush(&mut self, crowd: &Crowd) -> Result<(), String> {
        let unsent = std::mem::take(&mut self.unsent);
        send(&mut self.secure, self.socket.as_ref(), &mut self.unsent, &unsent)?;
        self.update_interest(crowd)
    }

    fn update_interest(&mut self, crowd: &Crowd) -> Result<(), String> {
        let secure = self.secure.as_ref().and_then(|secure| secure.session.as_ref());
        let waits = !self.unsent.is_empty() || secure.is_some_and(|session| session.wants_write());
        if waits == self.waits_to_send {
            return Ok(());
        }
        self.waits_to_send = waits;
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut interest = EventFlags::IN | EventFlags::RDHUP;
        interest.set(EventFlags::OUT, waits);
        let data = EventData::new_u64(self.index as u64);
        epoll::modify(&crowd.epoll, socket, data, interest).map_err(|error| error.to_string())
    }

    fn receive(&mut self, crowd: &mut Crowd, flags: EventFlags) -> Result<bool, String> {
        let mut buffer = std::mem::take(&mut crowd.buffer);
        let result = self.receive_into(crowd, flags, &mut buffer);
        crowd.buffer = buffer;
        result
    }

    fn receive_into(
        &mut self,
        crowd: &mut Crowd,
        flags: EventFlags,
        buffer: &mut [u8],
    ) -> Result<bool, String> {
        let Some(socket) = &self.socket else { return Ok(false) };
        let (length, is_over) = match &mut self.secure {
            Some(secure) => secure.receive(socket, buffer)?,
            None => match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => (0, true),
                // The end had come before this, and no bytes are behind these.
                Ok((_, length)) => {
                    (length, flags.contains(EventFlags::RDHUP) && length < buffer.len())
                }
                Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
                Err(error) => return Err(error.to_string()),
            },
        };
        let is_complete = length > 0 && self.hear(crowd, &buffer[..length])?;
        if self.secure.is_some() {
            self.update_interest(crowd)?;
        }
        if is_complete && crowd.kind != Kind::Close {
            self.count_handshake(crowd);
            self.phase = Phase::Idle;
            // If the server has closed as well, its next event says so.
            return Ok(true);
        }
        if !is_over {
            return Ok(false);
        }
        if crowd.kind == Kind::Close && self.answers_left == 0 {
            self.count_handshake(crowd);
            self.end();
            return Ok(true);
        }
        Err("closed by the server".into())
    }

    /// Looks at received bytes; says whether the last one that is due is among them.
    fn hear(&mut self, crowd: &mut Crowd, bytes: &[u8]) -> Result<bool, String> {
        match (&mut self.phase, &mut crowd.script) {
            (Phase::Upgrading(head), _) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    let too_long = head.len() > HEAD_BYTES_MAX;
                    return if too_long { Err("a head has no end".into()) } else { Ok(false) };
                };
                echo::is_upgraded(&String::from_utf8_lossy(&head[..end]))?;
                if end + 4 < head.len() {
                    return Err("the server speaks before it is spoken to".into());
                }
                self.say(crowd)?;
                Ok(false)
            }
            (Phase::Busy, Script::Http { answers, .. }) => {
                let count = answers.take(&mut self.progress, bytes)?;
                if count > self.answers_left {
                    return Err("more answers than requests".into());
                }
                self.answers_left -= count;
                if self.answers_left == 0 && !self.progress.is_between() {
                    return Err("bytes behind the last answer".into());
                }
                Ok(self.answers_left == 0)
            }
            (Phase::Busy, Script::Echo { echoes, .. }) => {
                echoes.take(self.message.0, &mut self.message.1, bytes)
            }
            (Phase::Idle | Phase::Closed, _) => Err("bytes that nobody asked for".into()),
        }
    }

    fn count_handshake(&mut self, crowd: &mut Crowd) {
        let Some(secure) = &self.secure else { return };
        if std::mem::replace(&mut self.handshake_counted, true) {
            return;
        }
        match secure.kind() {
            Some(HandshakeKind::Resumed) => crowd.counts.handshakes_resumed += 1,
            Some(_) => crowd.counts.handshakes_full += 1,
            None => {}
        }
    }
}

/// Sends bytes behind those that wait.
fn send(
    secure: &mut Option<Secure>,
    socket: Option<&TcpStream>,
    unsent: &mut Vec<u8>,
    bytes: &[u8],
) -> Result<(), String> {
    let Some(socket) = socket else { return Err("no socket".into()) };
    if let Some(secure) = secure {
        secure.write(bytes)?;
        return secure.flush(socket).map(drop);
    }
    if !unsent.is_empty() || bytes.is_empty() {
        unsent.extend_from_slice(bytes);
        return Ok(());
    }
    match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => unsent.extend_from_slice(&bytes[sent..]),
        Err(Errno::AGAIN | Errno::INTR | Errno::NOTCONN) => unsent.extend_from_slice(bytes),
        Err(error) => return Err(format!("send: {error}")),
    }
    Ok(())
}

fn source_address(number: usize) -> IpAddr {
    let address = number / CONNECTIONS_PER_ADDRESS % ADDRESSES;
    Ipv4Addr::new(127, 0, 1, 1 + address as u8).into()
}
