//! One connection of a client: what it sends, and what its bytes say.

use std::time::Instant;

use super::exchange::{ExchangeId, Response};
use super::url::Origin;
use crate::limits::Limits;
use crate::response::ResponseDecoder;
use crate::status::Status;
use crate::step::Step;

/// A connection. A number is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Connection {
    pub origin: Origin,
    pub state: State,
    /// When the present wait is over; `None` while it is the caller's turn.
    pub deadline: Option<Instant>,
    pub decoder: ResponseDecoder,
    /// Received and not yet understood.
    input: Vec<u8>,
    /// How much of `input` is done with.
    read_bytes: usize,
    /// To be sent when the send under way is done.
    pub unsent: Vec<u8>,
    pub is_sending: bool,
    /// Requests begun on it, the present one included.
    pub requests_count: u32,
    /// Whether all of the present request has been put into `unsent`.
    pub is_request_whole: bool,
    /// Of a body with a length: what the caller has still to give.
    pub body_left_bytes: u64,
    /// Whether the caller has been asked for more of the body and has given none since.
    pub has_asked: bool,
    /// Whether a byte of the present answer has come.
    pub has_received: bool,
    /// Whether the final head of the present answer has come.
    pub has_head: bool,
    /// Whether the answer leaves the connection usable.
    pub keep_alive: bool,
    is_interim: bool,
    interim_count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Connecting(ExchangeId),
    Busy(ExchangeId),
    /// Reads the rest of an answer that nobody wants, of at most so many bytes.
    Draining(u64),
    Idle,
}

/// What the next bytes said.
pub(super) enum Said {
    Need,
    Head(Response),
    Body(Vec<u8>),
    End,
    Malformed(&'static str),
}

impl Connection {
    pub(super) fn new(origin: Origin, exchange: ExchangeId, limits: &Limits) -> Connection {
        Connection {
            origin,
            state: State::Connecting(exchange),
            deadline: None,
            decoder: ResponseDecoder::new(limits.clone()),
            input: Vec::new(),
            read_bytes: 0,
            unsent: Vec::new(),
            is_sending: false,
            requests_count: 0,
            is_request_whole: false,
            body_left_bytes: 0,
            has_asked: false,
            has_received: false,
            has_head: false,
            keep_alive: false,
            is_interim: false,
            interim_count: 0,
        }
    }

    /// Forgets the last exchange for the next.
    pub(super) fn begin(&mut self, exchange: ExchangeId) {
        self.state = State::Busy(exchange);
        self.requests_count = self.requests_count.saturating_add(1);
        (self.has_received, self.has_head, self.keep_alive) = (false, false, false);
        (self.is_interim, self.interim_count) = (false, 0);
    }

    pub(super) fn exchange(&self) -> Option<ExchangeId> {
        match self.state {
            State::Connecting(exchange) | State::Busy(exchange) => Some(exchange),
            State::Draining(_) | State::Idle => None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.has_received = true;
        self.input.extend_from_slice(bytes);
    }

    /// Whether bytes came behind the end of the answer.
    pub(super) fn has_surplus(&self) -> bool {
        self.read_bytes < self.input.len()
    }

    /// Gives the buffer back: an idle connection holds none.
    pub(super) fn drop_input(&mut self) {
        self.input = Vec::new();
        self.read_bytes = 0;
    }

    /// The next thing that the bytes say. Interim answers are skipped.
    pub(super) fn next(&mut self, interim_count_max: u32) -> Said {
        loop {
            let unread = &self.input[self.read_bytes..];
            match self.decoder.decode(unread) {
                Ok(Step::Need) => {
                    self.input.drain(..self.read_bytes);
                    self.read_bytes = 0;
                    return Said::Need;
                }
                Ok(Step::Head { head, used }) => {
                    if head.status == Status::SWITCHING_PROTOCOLS {
                        return Said::Malformed("it switches protocols, and nobody asked");
                    }
                    self.is_interim = head.status < Status::OK;
                    if self.is_interim {
                        self.interim_count += 1;
                        if self.interim_count > interim_count_max {
                            return Said::Malformed("there are too many interim answers");
                        }
                        self.read_bytes += used;
                        continue;
                    }
                    // The decoder takes a bare LF because old radio servers send it; a connection
                    // on which a second answer is to be found is no place for guesses.
                    self.keep_alive = head.keep_alive && !has_bare_lf(&unread[..used]);
                    self.has_head = true;
                    let response = Response::from_head(&head);
                    self.read_bytes += used;
                    return Said::Head(response);
                }
                Ok(Step::Body { range, used }) => {
                    let payload = unread[range].to_vec();
                    self.read_bytes += used;
                    if !payload.is_empty() {
                        return Said::Body(payload);
                    }
                }
                Ok(Step::End { used }) => {
                    self.read_bytes += used;
                    if !std::mem::take(&mut self.is_interim) {
                        return Said::End;
                    }
                }
                Err(malformed) => return Said::Malformed(malformed.reason),
            }
        }
    }
}

fn has_bare_lf(head: &[u8]) -> bool {
    let mut previous = 0;
    head.iter().any(|byte| {
        let is_bare = *byte == b'\n' && previous != b'\r';
        previous = *byte;
        is_bare
    })
}
