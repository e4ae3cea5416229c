//! One connection after its handshake, with all that RFC 6455 asks of an end: whole messages, pings
//! answered, the closing handshake, compression, silence noticed, and a bounded queue of what is to
//! be sent.
//!
//! ```text
//!  bytes ─ receive ─▶ Decoder ─▶ inflate ─▶ Event::Message          send ─▶ SendQueue ─▶ deflate
//!                        └─ ping, close ─▶ what goes before messages ────────────▶ poll ─▶ bytes
//! ```
//!
//! Invariants: at most [`PONGS_COUNT_MAX`] pongs, one ping and one close wait beside the queue;
//! behind a close nothing is sent; an idle connection holds no buffer.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::close::CloseCode;
use crate::decoder::{Decoder, Kind, Role, Step};
use crate::deflate::{AgreedDeflate, Contexts, Deflating, Inflating};
use crate::frame::{FrameHead, Opcode, write_close, write_frame};
use crate::keepalive::{Keepalive, KeepaliveDue, KeepaliveTimes};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::mask::apply_mask;
use crate::queue::{Item, Pushed, QueueLimits, SendQueue};
use crate::utf8::Utf8;

/// Pongs that wait to be sent. Of more pings than that only the last are answered.
pub const PONGS_COUNT_MAX: usize = 16;

/// What all connections of a server have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Of what comes in.
    pub limits: Limits,
    /// Of what goes out.
    pub queue: QueueLimits,
    /// When to ask whether somebody is there.
    pub keepalive: KeepaliveTimes,
    /// How long the other end may take to answer a close, and to take what was sent before it.
    pub close_within: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> ConnectionSettings {
        ConnectionSettings {
            limits: Limits::default(),
            queue: QueueLimits::default(),
            keepalive: KeepaliveTimes::default(),
            close_within: Duration::from_secs(5),
        }
    }
}

/// What received bytes came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing: show the unread bytes again with more behind them.
    Need,
    /// Some were used, and there is nothing to say about it: call again.
    Progress,
    /// A whole message; text is UTF-8. What came in one piece lies where it was received.
    Message(Kind, Cow<'a, [u8]>),
    /// The other end closes. Its answer is ready to be polled; nothing more comes.
    Closed(Option<CloseCode>, &'a str),
    /// The other end cannot be understood. A close that says so is ready; nothing more is read.
    Failed(Malformed),
}

/// Why a connection ended, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The other end closed it, perhaps with a code.
    ByPeer(Option<CloseCode>),
    /// We did.
    ByUs(CloseCode),
    /// What came cannot be understood, or is beyond a limit.
    Malformed(Malformed),
    /// Nobody answered a ping.
    Silent,
    /// The queue was full.
    QueueFull,
}

/// One connection. `B` is what bytes are sent as: `Vec<u8>`, or something that is cheap to share.
pub struct Connection<B = Vec<u8>> {
    settings: Rc<ConnectionSettings>,
    decoder: Decoder,
    masks: Option<Masks>,
    compression: Option<Box<Compression>>,
    /// What has come of a message that does not come in one piece.
    message: Vec<u8>,
    queue: SendQueue<B>,
    keepalive: Keepalive,
    pongs: VecDeque<Vec<u8>>,
    is_ping_due: bool,
    closing: Closing,
    ended: Option<Ended>,
}

/// Where a client's masks come from. They must be unpredictable (§10.3).
pub type Masks = Box<dyn FnMut() -> [u8; 4]>;

struct Compression {
    deflating: Deflating,
    inflating: Inflating,
    utf8: Utf8,
    message_bytes_min: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    /// A close goes out behind what waits; all of it until then.
    Queued(Option<CloseCode>, &'static str, Instant),
    /// It went out; the other end's is awaited until then.
    Sent(Instant),
    /// Both went out, or the other end's is of no interest.
    Done,
}

impl<B: AsRef<[u8]> + From<Vec<u8>>> Connection<B> {
    /// A server's end.
    pub fn server(settings: &Rc<ConnectionSettings>, now: Instant) -> Connection<B> {
        Connection::new(Role::Server, None, settings, now)
    }

    /// A client's end, which masks what it sends.
    pub fn client(settings: &Rc<ConnectionSettings>, masks: Masks, now: Instant) -> Connection<B> {
        Connection::new(Role::Client, Some(masks), settings, now)
    }

    fn new(
        role: Role,
        masks: Option<Masks>,
        settings: &Rc<ConnectionSettings>,
        now: Instant,
    ) -> Connection<B> {
        Connection {
            settings: Rc::clone(settings),
            decoder: Decoder::new(role, settings.limits),
            masks,
            compression: None,
            message: Vec::new(),
            queue: SendQueue::new(settings.queue),
            keepalive: Keepalive::new(settings.keepalive, now),
            pongs: VecDeque::new(),
            is_ping_due: false,
            closing: Closing::Open,
            ended: None,
        }
    }

    /// The same with the compression that the handshake agreed on.
    #[must_use]
    pub fn with_deflate(mut self, agreed: &AgreedDeflate, contexts: &Contexts) -> Connection<B> {
        let (deflating, inflating) = agreed.streams(contexts);
        self.decoder = self.decoder.with_compression();
        self.compression = Some(Box::new(Compression {
            deflating,
            inflating,
            utf8: Utf8::default(),
            message_bytes_min: agreed.message_bytes_min(),
        }));
        self
    }

    /// Looks at the unread bytes: how many are done with, and what they came to. The caller drops
    /// them from the front and calls again until [`Event::Need`]. Once the connection has ended all
    /// bytes are taken and nothing is said of them.
    pub fn receive<'a>(&'a mut self, now: Instant, bytes: &'a mut [u8]) -> (usize, Event<'a>) {
        if self.decoder.is_closed() || matches!(self.closing, Closing::Done) {
            return (bytes.len(), Event::Need);
        }
        if !bytes.is_empty() {
            self.keepalive.heard(now);
        }
        let step = match self.decoder.decode(bytes) {
            Ok(step) => step,
            Err(malformed) => return (bytes.len(), self.fail(now, malformed)),
        };
        match step {
            Step::Need => (0, Event::Need),
            Step::Payload { kind, range, used, is_first, is_last } => {
                if is_first && is_last && !self.decoder.is_compressed() {
                    return (used, Event::Message(kind, Cow::Borrowed(&bytes[range])));
                }
                if let Err(malformed) = self.collect(kind, &bytes[range], is_last) {
                    return (bytes.len(), self.fail(now, malformed));
                }
                if !is_last {
                    return (used, Event::Progress);
                }
                (used, Event::Message(kind, Cow::Owned(std::mem::take(&mut self.message))))
            }
            Step::Ping { range, used } => {
                // Of several the last is enough (§5.5.3).
                if self.pongs.len() == PONGS_COUNT_MAX {
                    self.pongs.pop_front();
                }
                if matches!(self.closing, Closing::Open | Closing::Queued(..)) {
                    self.pongs.push_back(bytes[range].to_vec());
                }
                (used, Event::Progress)
            }
            Step::Pong { used, .. } => (used, Event::Progress),
            Step::Close { code, range, used } => {
                self.peer_closed(now, code);
                let reason = str::from_utf8(&bytes[range]).expect("the decoder has checked it");
                (used, Event::Closed(code, reason))
            }
        }
    }

    /// Queues a message.
    pub fn send(&mut self, now: Instant, kind: Kind, payload: B) -> Pushed {
        self.push(now, Item::Message(kind, payload))
    }

    /// Queues a message whose ws frames were written before, with [`write_frame`] and without a
    /// mask: once for all connections of a server that get it.
    ///
    /// # Panics
    /// On a client's end, which has to mask each for itself: a bug.
    pub fn send_frames(&mut self, now: Instant, frames: B) -> Pushed {
        assert!(self.masks.is_none(), "a client masks each ws frame for itself");
        self.push(now, Item::Frames(frames))
    }

    /// Queues ws frames as [`send_frames`](Connection::send_frames) does, also where a close is
    /// queued already: they go out before it. So a peer that is refused, whether by us or for what
    /// it sent, can be told why in its own protocol.
    pub fn send_frames_before_close(&mut self, now: Instant, frames: B) -> Pushed {
        if !matches!(self.closing, Closing::Queued(..)) || self.ended == Some(Ended::QueueFull) {
            return self.send_frames(now, frames);
        }
        assert!(self.masks.is_none(), "a client masks each ws frame for itself");
        self.queue.push(Item::Frames(frames))
    }

    /// Closes, behind what waits to be sent. The other end's answer is awaited for as long as the
    /// settings say.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &'static str) {
        if matches!(self.closing, Closing::Open) {
            self.closing = Closing::Queued(Some(code), reason, now + self.settings.close_within);
            self.ended.get_or_insert(Ended::ByUs(code));
        }
    }

    /// Time passes; call it at [`deadline`](Connection::deadline) at the latest.
    pub fn handle_time(&mut self, now: Instant) {
        match self.closing {
            Closing::Open => match self.keepalive.handle(now) {
                Some(KeepaliveDue::Ping) => self.is_ping_due = true,
                Some(KeepaliveDue::GiveUp) => {
                    self.ended.get_or_insert(Ended::Silent);
                    self.abort(now, CloseCode::GOING_AWAY, "no answer to a ping");
                }
                None => {}
            },
            Closing::Queued(_, _, until) | Closing::Sent(until) if until <= now => {
                self.queue.clear();
                self.closing = Closing::Done;
            }
            _ => {}
        }
    }

    /// When [`handle_time`](Connection::handle_time) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.closing {
            Closing::Open => self.keepalive.deadline(),
            Closing::Queued(_, _, until) | Closing::Sent(until) => Some(until),
            Closing::Done => None,
        }
    }

    /// The next bytes to send: whole ws frames, in order.
    pub fn poll(&mut self) -> Option<B> {
        if matches!(self.closing, Closing::Sent(_) | Closing::Done) {
            return None;
        }
        let mut out = Vec::new();
        if let Some(payload) = self.pongs.pop_front() {
            if self.pongs.is_empty() {
                self.pongs = VecDeque::new();
            }
            let mask = self.mask();
            write_frame(Opcode::Pong, true, &payload, mask, &mut out);
        } else if std::mem::take(&mut self.is_ping_due) {
            let mask = self.mask();
            write_frame(Opcode::Ping, true, b"", mask, &mut out);
        } else {
            match self.queue.pop() {
                Some(Item::Frames(frames)) => return Some(frames),
                Some(Item::Message(kind, payload)) => {
                    self.write_message(kind, payload.as_ref(), &mut out);
                }
                None => {
                    let Closing::Queued(code, reason, until) = self.closing else { return None };
                    let mask = self.mask();
                    write_close(code, reason, mask, &mut out);
                    let is_answered = self.decoder.is_closed();
                    self.closing = if is_answered { Closing::Done } else { Closing::Sent(until) };
                }
            }
        }
        Some(B::from(out))
    }

    /// Whether [`poll`](Connection::poll) has something.
    pub fn has_output(&self) -> bool {
        match self.closing {
            Closing::Open => !self.queue.is_empty() || !self.pongs.is_empty() || self.is_ping_due,
            Closing::Queued(..) => true,
            Closing::Sent(_) | Closing::Done => false,
        }
    }

    /// Whether all is said: send what was polled, then close the transport.
    pub fn is_done(&self) -> bool {
        matches!(self.closing, Closing::Done)
    }

    /// Whether messages may still be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.closing, Closing::Open)
    }

    /// Why it ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// What waits to be sent.
    pub fn queue(&self) -> &SendQueue<B> {
        &self.queue
    }

    fn push(&mut self, now: Instant, item: Item<B>) -> Pushed {
        if !self.is_open() {
            return Pushed::Dropped;
        }
        let pushed = self.queue.push(item);
        if let Pushed::Full(code) = pushed {
            self.ended.get_or_insert(Ended::QueueFull);
            self.abort(now, code, "too much waits to be read");
        }
        pushed
    }

    /// Appends a piece to the message that is under way.
    fn collect(&mut self, kind: Kind, piece: &[u8], is_last: bool) -> Result<(), Malformed> {
        if !self.decoder.is_compressed() {
            self.message.extend_from_slice(piece);
            return Ok(());
        }
        let compression = self.compression.as_mut().expect("agreed on, or the decoder refuses");
        let before = self.message.len();
        let bytes_max = usize::try_from(self.settings.limits.message_bytes_max);
        let bytes_max = bytes_max.unwrap_or(usize::MAX - 1).min(usize::MAX - 1);
        compression.inflating.piece(piece, is_last, bytes_max, &mut self.message)?;
        if kind == Kind::Text {
            compression.utf8.piece(&self.message[before..])?;
        }
        if is_last { compression.utf8.end() } else { Ok(()) }
    }

    fn write_message(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.mask();
        let mut compressed = Vec::new();
        let is_compressed = self.compression.as_mut().is_some_and(|compression| {
            payload.len() >= compression.message_bytes_min.max(1)
                && compression.deflating.message(payload, &mut compressed)
        });
        let payload = if is_compressed { &compressed[..] } else { payload };
        out.reserve_exact(payload.len() + crate::FRAME_HEAD_BYTES_MAX);
        let payload_bytes = payload.len() as u64;
        FrameHead { opcode: kind.into(), is_final: true, is_compressed, mask, payload_bytes }
            .encode(out);
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = mask {
            apply_mask(&mut out[start..], key, 0);
        }
    }

    fn mask(&mut self) -> Option<[u8; 4]> {
        self.masks.as_mut().map(|masks| masks())
    }

    fn fail<'a>(&mut self, now: Instant, malformed: Malformed) -> Event<'a> {
        self.decoder.fail(malformed);
        self.ended.get_or_insert(Ended::Malformed(malformed));
        self.message = Vec::new();
        let until = now + self.settings.close_within;
        // What was said to what came before it is still sent.
        self.closing = match self.closing {
            Closing::Open | Closing::Queued(..) => {
                Closing::Queued(Some(malformed.close_code()), malformed.reason(), until)
            }
            Closing::Sent(_) | Closing::Done => Closing::Done,
        };
        Event::Failed(malformed)
    }

    /// Closes without what waits, and without waiting for an answer.
    fn abort(&mut self, now: Instant, code: CloseCode, reason: &'static str) {
        self.queue.clear();
        self.pongs = VecDeque::new();
        self.is_ping_due = false;
        self.closing = match self.closing {
            Closing::Open | Closing::Queued(..) => {
                Closing::Queued(Some(code), reason, now + self.settings.close_within)
            }
            Closing::Sent(_) | Closing::Done => Closing::Done,
        };
    }

    fn peer_closed(&mut self, now: Instant, code: Option<CloseCode>) {
        self.ended.get_or_insert(Ended::ByPeer(code));
        self.queue.clear();
        self.pongs = VecDeque::new();
        self.is_ping_due = false;
        self.message = Vec::new();
        self.compression = None;
        self.closing = match self.closing {
            Closing::Open => Closing::Queued(code, "", now + self.settings.close_within),
            // Ours crosses theirs: it still goes out, and is the last.
            queued @ Closing::Queued(..) => queued,
            Closing::Sent(_) | Closing::Done => Closing::Done,
        };
    }
}
