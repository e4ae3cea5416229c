//! One connection, between two events.

use std::time::{Duration, Instant};

use shards_runtime::Socket;

use super::echo::Echo;
use super::http::Http;
use super::limits::{IDLE, LINGER, REQUEST, SEND, SILENCE};
use super::output::{Output, Rest};
use super::site::Site;

/// What a connection is while it waits for its next event. It holds no buffer while it is idle.
pub struct Connection {
    pub socket: Socket,
    pub stage: Stage,
    /// Received and not yet looked at, or not yet complete.
    pub input: Vec<u8>,
    /// Of a file, before anything else is answered.
    pub rest: Option<Rest>,
    pub receiving: Receiving,
    pub is_sending: bool,
    /// What the deadline is for.
    pub wait: Wait,
    pub deadline: Instant,
    /// When the timer's entry fires; an earlier deadline needs another entry.
    pub armed: Option<Instant>,
}

const _: () = assert!(size_of::<Connection>() <= 512, "an idle connection is small");

/// What its bytes mean.
pub enum Stage {
    /// Requests.
    Http(Http),
    /// WebSocket; in a box, for most connections never get there.
    Echo(Box<Echo>),
    /// Nothing any more; it closes when the last answer is sent.
    Last {
        /// Whether to wait a moment, taking what still comes: a close with bytes unread resets the
        /// connection, and takes the answer with it.
        lingers: bool,
    },
    /// The machine was told to close it; the slot stays until it has.
    Closing,
}

/// Whether the machine receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    Yes,
    /// It was told not to.
    Pausing,
    Paused,
    /// The client has ended its direction. It still wants its answers.
    Ended,
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The next request.
    Idle,
    /// The rest of a request.
    Request,
    /// The client, to take an answer.
    Send,
    /// A ws frame.
    Frame,
    /// The client, to read its last answer and close.
    Linger,
}

/// What a step through unread bytes came to.
pub enum Progress {
    /// Nothing: more has to be received.
    Need,
    /// So many bytes are done with.
    Used(usize),
    /// Likewise, and what follows is WebSocket.
    Upgraded(usize),
    /// No byte behind this is of interest: send what there is, and close.
    Last {
        /// Whether that is the proper end. If not, the client may still be sending.
        is_understood: bool,
    },
}

impl Connection {
    pub fn new(socket: Socket, now: Instant) -> Connection {
        Connection {
            socket,
            stage: Stage::Http(Http::new()),
            input: Vec::new(),
            rest: None,
            receiving: Receiving::Yes,
            is_sending: false,
            wait: Wait::Idle,
            deadline: now + Wait::Idle.time(),
            armed: None,
        }
    }

    /// Goes through the unread bytes as far as it gets: until they are not enough, or the answers
    /// are enough for one send. Says how many bytes are done with.
    pub fn work(&mut self, unread: &mut [u8], site: &Site, out: &mut Output) -> usize {
        if let Some(rest) = self.rest.take() {
            out.go_on(rest);
        }
        let mut used = 0;
        while !out.is_full() {
            let progress = match &mut self.stage {
                Stage::Http(http) => http.step(&unread[used..], site, out),
                Stage::Echo(echo) => echo.step(&mut unread[used..], out),
                Stage::Last { .. } | Stage::Closing => {
                    used = unread.len();
                    break;
                }
            };
            match progress {
                Progress::Need => break,
                Progress::Used(bytes) => used += bytes,
                Progress::Upgraded(bytes) => {
                    used += bytes;
                    self.stage = Stage::Echo(Box::new(Echo::new()));
                }
                Progress::Last { is_understood } => {
                    self.end(is_understood);
                }
            }
        }
        self.rest = out.take_rest();
        used
    }

    /// Nothing more is read: it closes when what was written is sent.
    pub fn end(&mut self, is_understood: bool) {
        self.stage = Stage::Last { lingers: !is_understood };
        self.input = Vec::new();
    }

    /// What it waits for as it stands.
    pub fn waits_for(&self) -> Wait {
        match &self.stage {
            _ if self.is_sending => Wait::Send,
            Stage::Http(http) if http.is_idle() && self.input.is_empty() => Wait::Idle,
            Stage::Http(_) => Wait::Request,
            Stage::Echo(_) => Wait::Frame,
            Stage::Last { .. } | Stage::Closing => Wait::Linger,
        }
    }

    /// Sets the deadline for what it waits for now. A request that goes on coming in is given no
    /// more time for that; a ws frame that comes is a sign of life.
    pub fn set_deadline(&mut self, now: Instant) {
        let wait = self.waits_for();
        if wait != self.wait || wait == Wait::Frame {
            self.wait = wait;
            self.deadline = now + wait.time();
        }
    }
}

impl Wait {
    fn time(self) -> Duration {
        match self {
            Wait::Idle => IDLE,
            Wait::Request => REQUEST,
            Wait::Send => SEND,
            Wait::Frame => SILENCE,
            Wait::Linger => LINGER,
        }
    }
}
