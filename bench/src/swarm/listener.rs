//! One listener: a socket, where it stands, and what it has counted. Most discard what they
//! receive inside the kernel (`MSG_TRUNC`); the sampled ones read and check every byte.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::Result;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv};

use super::report::{Content, Tally};
use crate::content::{Run, Titles};
use crate::{clock, http};

/// Size of one receive; a shorter one has emptied the socket.
const RECEIVE_BYTES: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const LISTENERS_PER_ADDRESS: usize = 2_000;

/// What all listeners of a part share: the request, and how they stand together.
pub(crate) struct Crowd {
    pub(crate) request: Vec<u8>,
    pub(crate) burst_bytes: u64,
    pub(crate) buffer: Vec<u8>,
    pub(crate) tally: Tally,
    pub(crate) complaints: Vec<String>,
    pub(crate) window_receives: u64,
}

impl Crowd {
    /// Sets up what is shared.
    pub(crate) fn new(request: Vec<u8>, burst_bytes: u64, asked: usize) -> Self {
        Crowd {
            request,
            burst_bytes,
            buffer: vec![0; RECEIVE_BYTES],
            tally: Tally { asked, ..Tally::default() },
            complaints: Vec::new(),
            window_receives: 0,
        }
    }

    fn complain(&mut self, why: String) {
        if self.complaints.len() < 3 {
            self.complaints.push(why);
        }
    }
}

enum Phase {
    Connecting,
    Head(Vec<u8>),
    Body,
}

/// One who listens, or has.
pub(crate) struct Listener {
    socket: Option<OwnedFd>,
    phase: Phase,
    since: Instant,
    bytes: u64,
    window_bytes: u64,
    pub(crate) first_byte_us: Option<u32>,
    pub(crate) burst_us: Option<u32>,
    ears: Option<Box<Ears>>,
}

/// What a sampled listener checks with.
#[derive(Default)]
struct Ears {
    wants_titles: bool,
    titles: Option<Titles>,
    run: Run,
}

impl Listener {
    /// Opens the connection; its answer comes later.
    pub(crate) fn connect(
        to: SocketAddr,
        number: usize,
        sampled: bool,
        wants_titles: bool,
    ) -> Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        if to.ip().is_loopback() && to.is_ipv4() {
            rustix::net::bind(&socket, &SocketAddr::new(source_address(number), 0))?;
        }
        let since = clock::now();
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let ears = sampled.then(|| Box::new(Ears { wants_titles, ..Ears::default() }));
        Ok(Listener {
            socket: Some(socket),
            phase: Phase::Connecting,
            since,
            bytes: 0,
            window_bytes: 0,
            first_byte_us: None,
            burst_us: None,
            ears,
        })
    }

    /// The socket, as long as it is open.
    pub(crate) fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// Whether it hears the stream.
    pub(crate) fn listens(&self) -> bool {
        self.socket.is_some() && self.bytes > 0
    }

    /// Bytes of the window so far.
    pub(crate) fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// Counts from here on.
    pub(crate) fn begin_window(&mut self) {
        self.window_bytes = 0;
    }

    /// The socket can do something.
    pub(crate) fn on_ready(&mut self, crowd: &mut Crowd) {
        let result = match &self.phase {
            Phase::Connecting => self.on_connected(crowd),
            Phase::Head(_) => self.read(crowd),
            Phase::Body if self.ears.is_some() => self.read(crowd),
            Phase::Body => self.discard(crowd),
        };
        if let Err(why) = result {
            self.end(crowd, why);
        }
    }

    /// Adds what was heard closely to `content`.
    pub(crate) fn describe(&self, content: &mut Content) {
        let Some(ears) = &self.ears else { return };
        let frames = ears.run.frames();
        content.sampled += 1;
        content.frames += frames;
        content.frames_min = Some(content.frames_min.map_or(frames, |least| least.min(frames)));
        content.skipped_bytes_max = content.skipped_bytes_max.max(ears.run.skipped_bytes());
        let titles = ears.titles.as_ref();
        content.title_blocks += titles.map_or(0, Titles::blocks);
        content.titled += usize::from(titles.and_then(Titles::last).is_some_and(|t| !t.is_empty()));
        let failure = ears.run.failure().or_else(|| titles.and_then(Titles::failure));
        let no_titles = ears.wants_titles && titles.is_none() && self.bytes > 0;
        let failure = failure.or(no_titles.then_some("titles were asked for and do not come"));
        if let Some(failure) = failure {
            content.failures += 1;
            content.first_failure.get_or_insert_with(|| failure.to_owned());
        }
    }

    fn on_connected(&mut self, crowd: &Crowd) -> Result<(), String> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match rustix::net::sockopt::socket_error(socket) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => return Err(format!("connect: {error}")),
        }
        match rustix::net::send(socket, &crowd.request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == crowd.request.len() => {}
            Ok(_) => return Err("the request was sent in part".into()),
            Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
            Err(error) => return Err(format!("request: {error}")),
        }
        self.phase = Phase::Head(Vec::new());
        Ok(())
    }

    /// Receives without looking: the kernel throws the bytes away.
    fn discard(&mut self, crowd: &mut Crowd) -> Result<(), String> {
        loop {
            let Some(socket) = &self.socket else { return Ok(()) };
            match recv(socket, &mut crowd.buffer[..], RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err("closed by the server".into()),
                Ok((_, length)) => {
                    self.count(crowd, length);
                    if length < RECEIVE_BYTES {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Receives and looks at every byte.
    fn read(&mut self, crowd: &mut Crowd) -> Result<(), String> {
        let mut buffer = std::mem::take(&mut crowd.buffer);
        let result = loop {
            let Some(socket) = &self.socket else { break Ok(()) };
            match recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => break Err("closed by the server".to_owned()),
                Ok((_, length)) => {
                    if let Err(why) = self.hear(crowd, &buffer[..length]) {
                        break Err(why);
                    }
                    if length < RECEIVE_BYTES {
                        break Ok(());
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        crowd.buffer = buffer;
        result
    }

    fn hear(&mut self, crowd: &mut Crowd, bytes: &[u8]) -> Result<(), String> {
        let Phase::Head(head) = &mut self.phase else {
            self.hear_body(crowd, bytes);
            return Ok(());
        };
        let before = head.len();
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            let too_long = head.len() > HEAD_BYTES_MAX;
            return if too_long { Err("the head has no end".into()) } else { Ok(()) };
        };
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        if http::status_of(text.as_bytes()) != Some(200) {
            return Err(text.lines().next().unwrap_or_default().to_owned());
        }
        if let Some(ears) = &mut self.ears
            && let Some(metaint) = http::header(&text, "icy-metaint")
        {
            let metaint = metaint.parse().map_err(|_| format!("icy-metaint: {metaint}"))?;
            ears.titles = Some(Titles::new(metaint));
        }
        self.phase = Phase::Body;
        self.hear_body(crowd, &bytes[end + 4 - before..]);
        Ok(())
    }

    fn hear_body(&mut self, crowd: &mut Crowd, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.count(crowd, bytes.len());
        let Some(ears) = &mut self.ears else { return };
        match &mut ears.titles {
            Some(titles) => titles.split(bytes, |media| ears.run.hear(media)),
            None => ears.run.hear(bytes),
        }
    }

    fn count(&mut self, crowd: &mut Crowd, length: usize) {
        crowd.window_receives += 1;
        self.bytes += length as u64;
        self.window_bytes += length as u64;
        if self.burst_us.is_some() {
            return;
        }
        let us = clock::now().saturating_duration_since(self.since).as_micros() as u32;
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(us);
            crowd.tally.heard += 1;
        }
        if self.bytes >= crowd.burst_bytes {
            self.burst_us = Some(us);
            crowd.tally.burst += 1;
        }
    }

    fn end(&mut self, crowd: &mut Crowd, why: String) {
        self.socket = None;
        if self.first_byte_us.is_none() {
            crowd.tally.refused += 1;
            crowd.complain(format!("refused: {why}"));
        } else {
            crowd.tally.dropped += 1;
            crowd.tally.dropped_in_burst += usize::from(self.burst_us.is_none());
            crowd.complain(format!("dropped after {} bytes: {why}", self.bytes));
        }
    }
}

/// Where listener `number` connects from: 127.0.1.1, 127.0.1.2, …
fn source_address(number: usize) -> IpAddr {
    let address = number / LISTENERS_PER_ADDRESS;
    Ipv4Addr::new(127, 0, (1 + address / 250 % 250) as u8, (1 + address % 250) as u8).into()
}
