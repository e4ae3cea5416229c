//! A connection that speaks WebSocket: the program's conversation on `protocol_ws`, compressed
//! where the client wants that.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_http::server::{Connection, Input};
use protocol_ws::{
    AgreedDeflate, CloseCode, ConnectionSettings, ContextLimits, Contexts, DeflateSettings, Ended,
    Event, KeepaliveTimes, Kind, Upgrade, write_frame,
};

use crate::program::{Conversation, Http, Message};
use crate::speaker::Word;

/// How a site's WebSockets are.
#[derive(Clone, Copy, Debug)]
pub struct WebSockets {
    /// Limits and times of each.
    pub connection: ConnectionSettings,
    /// What is agreed on where a client offers compression.
    pub deflate: DeflateSettings,
    /// The memory of a shard for that is one budget for all; who comes later goes without.
    pub contexts: ContextLimits,
}

impl Default for WebSockets {
    fn default() -> WebSockets {
        let silence = Duration::from_secs(30);
        let keepalive = KeepaliveTimes { ping_after: silence, give_up_after: silence };
        WebSockets {
            connection: ConnectionSettings { keepalive, ..Default::default() },
            deflate: DeflateSettings::default(),
            contexts: ContextLimits::default(),
        }
    }
}

/// What all of a shard have in common.
pub(crate) struct Talks {
    settings: Rc<ConnectionSettings>,
    deflate: DeflateSettings,
    contexts: Contexts,
}

/// A connection that speaks WebSocket.
pub(crate) struct Talk<S> {
    ws: protocol_ws::Connection<Bytes>,
    is_compressed: bool,
    conversation: Box<dyn Conversation<S>>,
    /// Whether the conversation knows that it is over.
    has_ended: bool,
    /// Whether it stands among those that have something to send.
    is_queued: bool,
}

/// What is said to a message.
pub struct Replies<'r> {
    /// Where ws frames may be written at once; without it messages wait to be compressed.
    direct: Option<&'r mut Vec<u8>>,
    held: Vec<(Kind, Vec<u8>)>,
    close: Option<(CloseCode, &'static str)>,
}

impl Replies<'_> {
    /// Says something.
    pub fn send<'p>(&mut self, kind: Kind, payload: impl Into<Cow<'p, [u8]>>) {
        let payload = payload.into();
        match &mut self.direct {
            Some(output) => write_frame(kind.into(), true, &payload, None, output),
            None => self.held.push((kind, payload.into_owned())),
        }
    }

    /// Closes behind what was said.
    pub fn close(&mut self, code: CloseCode, reason: &'static str) {
        self.close.get_or_insert((code, reason));
    }
}

impl Talks {
    pub fn new(settings: &WebSockets) -> Talks {
        Talks {
            settings: Rc::new(settings.connection),
            deflate: settings.deflate,
            contexts: Contexts::new(settings.contexts),
        }
    }

    /// Agrees on compression; its line is added to those of the answer.
    pub fn agree(&self, upgrade: &Upgrade<'_>, lines: &mut Vec<u8>) -> Option<AgreedDeflate> {
        let agreed = upgrade.agree_on_deflate(&self.deflate, &self.contexts);
        if let Some(agreed) = &agreed {
            agreed.write_response_line(lines);
        }
        agreed
    }

    /// The other half of an upgraded connection.
    pub fn open<S>(
        &self,
        agreed: Option<&AgreedDeflate>,
        conversation: Box<dyn Conversation<S>>,
        now: Instant,
    ) -> Talk<S> {
        let ws = protocol_ws::Connection::server(&self.settings, now);
        let is_compressed = agreed.is_some();
        let ws = match agreed {
            Some(agreed) => ws.with_deflate(agreed, &self.contexts),
            None => ws,
        };
        Talk { ws, is_compressed, conversation, has_ended: false, is_queued: false }
    }
}

impl<S> Talk<S> {
    /// It is told something by a speaker. Whether it has to be queued for sending.
    pub fn take(&mut self, word: Word, now: Instant) -> bool {
        match word {
            Word::Frame(frame) => _ = self.ws.send_frames_before_close(now, frame),
            Word::Close(code, reason) => self.ws.close(now, code, reason),
        }
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// It is its turn to send: nothing was said to it that is not in its queue.
    pub fn leave_queue(&mut self) {
        self.is_queued = false;
    }

    /// The shard cannot listen to it any more. Whether it did until now.
    pub fn overload(&mut self, now: Instant) -> bool {
        let was_open = self.ws.is_open();
        self.ws.close(now, CloseCode::TRY_AGAIN_LATER, "too much to do");
        was_open
    }

    /// Tells the conversation that it is over, once.
    pub fn end(&mut self, state: &mut S) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.conversation.end(state, self.ws.ended());
        }
    }

    /// Whether it was closed because its client did not read.
    pub fn was_slow(&self) -> bool {
        self.ws.ended() == Some(Ended::QueueFull)
    }

    /// Goes through what came in, unless a send is under way; it is unmasked where it lies. Says
    /// first what waits, unless there is more to come in this tick. Whether it has to be queued for
    /// sending: it is over, and what the conversation says to that comes at the end of the tick.
    pub fn work(
        &mut self,
        (state, now): (&mut S, Instant),
        connection: &mut Connection,
        http: &mut Http,
        input: &mut Input<'_>,
    ) -> bool {
        if self.is_queued || connection.is_closing() {
            return false;
        }
        if connection.is_sending() {
            if self.was_slow() {
                // It does not take the last of it either.
                connection.kill();
            }
            return false;
        }
        if self.ws.has_output() && self.say(connection, http) {
            return false;
        }
        while !connection.is_sending() && !http.output().is_full() {
            // Nothing is said behind a close.
            let is_direct = !self.is_compressed && self.ws.is_open() && !self.ws.has_output();
            let (used, event) = self.ws.receive(now, input.rest_mut());
            let (mut held, mut close) = (Vec::new(), None);
            match event {
                Event::Need if used == 0 => break,
                Event::Message(kind, payload) => {
                    // What is not compressed is written from where it lies.
                    let direct = is_direct.then(|| http.output().text());
                    let mut replies = Replies { direct, held, close };
                    let message = Message { kind, payload };
                    self.conversation.message(state, message, &mut replies);
                    (held, close) = (replies.held, replies.close);
                }
                Event::Closed(..) | Event::Failed(_) => {
                    input.consume(used);
                    self.end(state);
                    return !std::mem::replace(&mut self.is_queued, true);
                }
                Event::Need | Event::Progress => {}
            }
            input.consume(used);
            for (kind, payload) in held {
                self.ws.send(now, kind, payload.into());
            }
            if let Some((code, reason)) = close {
                self.ws.close(now, code, reason);
            }
            if self.say(connection, http) {
                return false;
            }
        }
        self.wait(connection, now);
        false
    }

    /// Its time has come: asks whether somebody is there, or gives up.
    pub fn expired(&mut self, connection: &mut Connection, http: &mut Http, now: Instant) {
        self.ws.handle_time(now);
        if connection.is_sending() {
            return connection.kill();
        }
        if !self.say(connection, http) {
            self.wait(connection, now);
        }
    }

    /// Writes what there is to say. Whether it was the last.
    fn say(&mut self, connection: &mut Connection, http: &mut Http) -> bool {
        while !http.output().is_full()
            && let Some(frames) = self.ws.poll()
        {
            http.output().text().extend_from_slice(&frames);
        }
        // Nobody waits for an answer of somebody who does not answer.
        let is_over = self.ws.is_done() || self.ws.ended() == Some(Ended::Silent);
        if is_over {
            // Who cannot be understood may still be sending.
            connection.end(matches!(self.ws.ended(), Some(Ended::Malformed(_))));
        }
        is_over
    }

    fn wait(&self, connection: &mut Connection, now: Instant) {
        connection.set_upgraded_deadline(self.ws.deadline().unwrap_or(now));
    }
}
