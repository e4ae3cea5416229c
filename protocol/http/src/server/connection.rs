//! The machine of one connection.
//!
//! *Invariant:* at most one request is under way: `reading` says how much of it has come, `answer`
//! how much of the answer was written. Only when both are through does the next begin.

use std::mem;
use std::time::{Duration, Instant};

use crate::body::BodyKind;
use crate::request::{RequestDecoder, RequestHead};
use crate::status::Refused;
use crate::step::Step;
use crate::version::Version;
use crate::write::CONTINUE;

use super::action::{Action, Event, Expired, ReceiveEnd};
use super::input::Input;
use super::settings::{Server, Settings};

/// How large a connection is at most, in bytes; one that waits has no more than this.
pub const CONNECTION_BYTES_MAX: usize = 288;

const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);

/// One connection of a server, between two events.
#[derive(Debug)]
pub struct Connection {
    pub(super) decoder: RequestDecoder,
    /// Received and not used yet.
    kept: Vec<u8>,
    pub(super) stage: Stage,
    pub(super) reading: Reading,
    pub(super) answer: Answer,
    receiving: Receiving,
    pub(super) is_sending: bool,
    /// To `HEAD`: the same head, and no body.
    pub(super) is_head: bool,
    /// HTTP/1.0 has to be told that the connection goes on, and knows no chunks.
    pub(super) is_http10: bool,
    pub(super) keep_alive: bool,
    /// `100 Continue` is owed before a byte of the body comes.
    pub(super) expects_continue: bool,
    /// The program has no room for more of the body.
    body_paused: bool,
    /// It was told that its answer is late.
    is_late: bool,
    /// The connection may carry no further request, though the client may think so.
    is_last_request: bool,
    /// Of the present request, framing included.
    body_bytes: u64,
    wait: Wait,
    /// When that wait began.
    since: Instant,
    deadline: Instant,
}

/// What its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Requests,
    /// Another protocol's.
    Upgraded,
    /// Nothing any more; it closes when the last answer is sent.
    Last {
        /// Whether to wait a moment, taking what still comes: a close with bytes unread resets the
        /// connection, and takes the answer with it.
        lingers: bool,
    },
    /// It closes whatever is under way.
    Dead,
    /// The driver was told to close it.
    Closing,
}

/// How much of a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not all of its head.
    Head,
    Body,
    Ended,
    /// It will never be whole.
    Broken,
}

/// How much of the answer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    /// A body of a known length: so many bytes are missing.
    Length(u64),
    Chunked,
    UntilClose,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Yes,
    Pausing,
    Paused,
    Ended,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Idle,
    Head,
    Body,
    Answer,
    Send,
    Linger,
    /// The other protocol's business.
    Upgraded,
}

impl Connection {
    /// A connection that was just accepted. The driver receives for it.
    #[must_use]
    pub fn new<P>(server: &Server<P>, now: Instant) -> Connection {
        Connection {
            decoder: RequestDecoder::new(server.settings.limits.clone()),
            kept: Vec::new(),
            stage: Stage::Requests,
            reading: Reading::Head,
            answer: Answer::None,
            receiving: Receiving::Yes,
            is_sending: false,
            is_head: false,
            is_http10: false,
            keep_alive: true,
            expects_continue: false,
            body_paused: false,
            is_late: false,
            is_last_request: false,
            body_bytes: 0,
            wait: Wait::Idle,
            since: now,
            deadline: now + server.settings.idle,
        }
    }

    /// Bytes came in: they stand behind those that were kept. Without new ones (when a send is
    /// done, when the program answers late) it is called with an empty slice.
    #[must_use]
    pub fn input<'b>(&mut self, received: &'b mut [u8]) -> Input<'b> {
        Input::new(mem::take(&mut self.kept), received)
    }

    /// Keeps what is left of the input.
    pub fn keep(&mut self, input: Input<'_>) {
        self.kept = match self.stage {
            Stage::Requests | Stage::Upgraded => input.into_kept(),
            Stage::Last { .. } | Stage::Dead | Stage::Closing => Vec::new(),
        };
    }

    /// What comes next in the input. `None`: nothing for now, because bytes are missing, an answer
    /// is missing, or the answers so far have to be sent first.
    pub fn next<'i, P>(
        &mut self,
        server: &mut Server<P>,
        input: &'i mut Input<'_>,
    ) -> Option<Event<'i>> {
        let (bytes, used) = input.parts();
        loop {
            self.turn_over(*used < bytes.len());
            match self.stage {
                Stage::Requests => {}
                Stage::Upgraded => return None,
                Stage::Last { .. } | Stage::Dead | Stage::Closing => {
                    *used = bytes.len();
                    return None;
                }
            }
            if self.is_sending || server.output.is_full() || !self.may_read(server) {
                return None;
            }
            let unread = &bytes[*used..];
            // Nearly every event ends here: all that came is answered.
            if unread.is_empty() && self.reading == Reading::Head {
                return None;
            }
            match self.decoder.decode(unread) {
                Ok(Step::Need) => return None,
                Ok(Step::Head { head, used: count }) => {
                    *used += count;
                    self.begin(server, &head);
                    return Some(Event::Request(head));
                }
                Ok(Step::Body { range, used: count }) => {
                    *used += count;
                    self.body_bytes += count as u64;
                    if self.answer == Answer::None && !range.is_empty() {
                        return Some(Event::Body(&unread[range]));
                    }
                }
                Ok(Step::End { used: count }) => {
                    *used += count;
                    self.reading = Reading::Ended;
                    if self.answer == Answer::None {
                        return Some(Event::End);
                    }
                }
                Err(refused) => {
                    let is_new = self.break_off();
                    if is_new {
                        server.counters.refused += 1;
                        return Some(Event::Refused(refused));
                    }
                }
            }
        }
    }

    /// A send is done; false when it failed.
    pub fn sent(&mut self, is_whole: bool) {
        self.is_sending = false;
        if !is_whole {
            self.kill();
        }
    }

    /// Receiving stopped.
    pub fn receive_ended(&mut self, end: ReceiveEnd) {
        self.receiving = match end {
            ReceiveEnd::Paused => Receiving::Paused,
            ReceiveEnd::Eof => Receiving::Ended,
            ReceiveEnd::Failed => {
                self.kill();
                Receiving::Ended
            }
        };
    }

    /// What the driver has to do now; asked until there is nothing.
    pub fn poll<P>(&mut self, server: &mut Server<P>, now: Instant) -> Option<Action> {
        self.turn_over(!self.kept.is_empty());
        match self.stage {
            Stage::Closing => return None,
            Stage::Dead => {
                drop(server.output.take_parts());
                return Some(self.close());
            }
            _ => {}
        }
        if !server.output.is_empty() {
            assert!(!self.is_sending, "nothing is written while a send is under way");
            self.is_sending = true;
            // The time to take it runs from now on; nobody may ask again before it is over.
            if self.stage == (Stage::Last { lingers: false }) {
                self.set_deadline(&server.settings, now);
                return Some(Action::Finish);
            }
            return Some(Action::Send);
        }
        if !self.is_sending && self.is_over() {
            return Some(self.close());
        }
        let is_full = self.kept.len() > server.settings.input_bytes_max;
        match self.receiving {
            Receiving::Yes if is_full => {
                self.receiving = Receiving::Pausing;
                server.counters.input_paused += 1;
                return Some(Action::Pause);
            }
            Receiving::Paused if !is_full => {
                self.receiving = Receiving::Yes;
                return Some(Action::Receive);
            }
            _ => {}
        }
        self.set_deadline(&server.settings, now);
        None
    }

    /// When [`Connection::expired`] has to be asked. It moves; a timer that fires too early asks
    /// too early and is told so.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The deadline may have passed.
    pub fn expired<P>(&mut self, server: &mut Server<P>, now: Instant) -> Expired {
        if now < self.deadline || matches!(self.stage, Stage::Dead | Stage::Closing) {
            return Expired::NotYet;
        }
        let counters = &mut server.counters;
        match self.wait {
            Wait::Head | Wait::Body => {
                let slow = if self.wait == Wait::Head {
                    &mut counters.slow_heads
                } else {
                    &mut counters.slow_bodies
                };
                *slow += 1;
                if self.break_off() {
                    return Expired::Request;
                }
            }
            Wait::Answer if !self.is_late => {
                counters.answers_late += 1;
                self.is_late = true;
                self.keep_alive = false;
                self.deadline = now + server.settings.linger;
                return Expired::Answer;
            }
            Wait::Idle => counters.idle_closed += 1,
            Wait::Send => counters.slow_readers += 1,
            Wait::Upgraded => return Expired::Over,
            Wait::Answer | Wait::Linger => {}
        }
        self.kill();
        Expired::Over
    }

    /// Whether a send is under way; then nothing is to be written.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.is_sending
    }

    /// Whether it stands between two requests.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.reading == Reading::Head && self.decoder.is_idle() && self.kept.is_empty()
    }

    /// Whether nothing follows what is being sent.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Last { .. })
    }

    /// Whether the driver was told to close it.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Whether the connection goes on behind the present answer, as far as is known.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// Bytes that are kept unread.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Ends the connection behind the present answer, or at once when it is idle: the server goes
    /// down.
    pub fn finish(&mut self) {
        self.keep_alive = false;
        if self.is_idle() && !self.is_sending && self.stage == Stage::Requests {
            self.stage = Stage::Last { lingers: false };
        }
    }

    /// Nothing more is read; it closes when what was written is sent. For whoever speaks another
    /// protocol on it; `lingers` when the client may still be sending.
    pub fn end(&mut self, lingers: bool) {
        self.stage = Stage::Last { lingers };
        self.kept = Vec::new();
    }

    /// Another protocol's deadline.
    pub fn set_upgraded_deadline(&mut self, at: Instant) {
        if self.stage == Stage::Upgraded && !self.is_sending {
            (self.wait, self.deadline) = (Wait::Upgraded, at);
        }
    }

    /// Changes how long the body of the present request may be, in bytes still to come.
    pub fn set_body_bytes_max(&mut self, body_bytes_max: u64) {
        self.decoder.set_body_bytes_max(body_bytes_max);
    }

    /// Whether the program has no room for more of the body: what comes waits, and TCP holds the
    /// client back. Ask for the next event when it has again.
    pub fn set_body_paused(&mut self, is_paused: bool) {
        self.body_paused = is_paused;
    }

    /// Gives the connection up to a driver that reads on by itself: the decoder, which stands
    /// behind the head of the present request.
    #[must_use]
    pub fn into_decoder(self) -> RequestDecoder {
        self.decoder
    }

    /// Closes it whatever is under way.
    pub fn kill(&mut self) {
        if self.stage != Stage::Closing {
            self.stage = Stage::Dead;
        }
    }

    fn begin<P>(&mut self, server: &mut Server<P>, head: &RequestHead<'_>) {
        server.counters.requests += 1;
        let requests_count_max = server.settings.limits.requests_count_max;
        if requests_count_max > 0 && self.decoder.heads_count() >= requests_count_max {
            server.counters.requests_exhausted += 1;
            self.is_last_request = true;
        }
        self.reading = Reading::Body;
        self.is_head = head.method == crate::Method::Head;
        self.is_http10 = head.version != Version::Http11;
        self.keep_alive &= head.keep_alive;
        self.expects_continue = head.expect_continue && head.body != BodyKind::None;
        self.body_bytes = 0;
    }

    /// Lets the next request begin, or none, where one is through.
    fn turn_over(&mut self, has_unread: bool) {
        if self.answer != Answer::Done || self.stage != Stage::Requests {
            return;
        }
        match self.reading {
            Reading::Ended if self.keep_alive => {
                (self.reading, self.answer) = (Reading::Head, Answer::None);
                (self.is_late, self.body_paused) = (false, false);
            }
            Reading::Ended => self.end(has_unread || self.is_last_request),
            Reading::Broken => self.end(true),
            // The client is not asked to go on, so nobody knows whether a body follows.
            Reading::Body if self.expects_continue => self.end(true),
            Reading::Head | Reading::Body => {}
        }
    }

    fn may_read<P>(&mut self, server: &mut Server<P>) -> bool {
        match self.reading {
            Reading::Head => true,
            Reading::Ended | Reading::Broken => false,
            Reading::Body if self.answer != Answer::None => true,
            Reading::Body if self.body_paused => false,
            Reading::Body => {
                if mem::take(&mut self.expects_continue) {
                    server.output.text().extend_from_slice(CONTINUE);
                }
                true
            }
        }
    }

    /// The present request will never be whole. Whether it is still to be answered.
    fn break_off(&mut self) -> bool {
        if self.reading == Reading::Head {
            (self.is_head, self.is_http10, self.is_last_request) = (false, false, false);
        }
        self.reading = Reading::Broken;
        self.keep_alive = false;
        self.answer == Answer::None
    }

    /// Makes it one whose answer is a refusal, whatever it was at.
    pub(super) fn break_for(&mut self, refused: Refused) -> Option<Refused> {
        self.break_off().then_some(refused)
    }

    /// Whether everything that will be sent is sent.
    fn is_over(&self) -> bool {
        let has_ended = self.receiving == Receiving::Ended;
        match self.stage {
            Stage::Last { lingers } => !lingers || has_ended,
            Stage::Requests if has_ended => match self.reading {
                Reading::Head => true,
                Reading::Body => {
                    !self.body_paused && matches!(self.answer, Answer::None | Answer::Done)
                }
                Reading::Ended | Reading::Broken => false,
            },
            Stage::Upgraded => has_ended,
            Stage::Requests | Stage::Dead | Stage::Closing => false,
        }
    }

    fn close(&mut self) -> Action {
        self.stage = Stage::Closing;
        self.kept = Vec::new();
        Action::Close
    }

    fn waits_for(&self) -> Wait {
        match self.stage {
            _ if self.is_sending => Wait::Send,
            Stage::Requests => match (self.reading, self.answer) {
                (Reading::Head, _) if self.is_idle() => Wait::Idle,
                (Reading::Head, _) => Wait::Head,
                (Reading::Body, Answer::None) if !self.body_paused => Wait::Body,
                (Reading::Body, Answer::Done) => Wait::Body,
                _ => Wait::Answer,
            },
            Stage::Upgraded => Wait::Upgraded,
            Stage::Last { .. } | Stage::Dead | Stage::Closing => Wait::Linger,
        }
    }

    /// Sets the deadline for what it waits for now. What goes on coming in is given no more time
    /// for that, but for a body in so far as it keeps a rate.
    fn set_deadline(&mut self, settings: &Settings, now: Instant) {
        let wait = self.waits_for();
        if wait != self.wait {
            (self.wait, self.since) = (wait, now);
            self.deadline = now
                + match wait {
                    Wait::Idle => settings.idle,
                    Wait::Head => settings.head,
                    Wait::Body => settings.body,
                    Wait::Answer => settings.answer,
                    // The other protocol says when.
                    Wait::Send | Wait::Upgraded => settings.send,
                    Wait::Linger => settings.linger,
                };
        }
        if wait == Wait::Body {
            let seconds = self.body_bytes / u64::from(settings.body_rate_min_bytes.max(1));
            self.deadline = self.since + settings.body + Duration::from_secs(seconds);
        }
    }
}
