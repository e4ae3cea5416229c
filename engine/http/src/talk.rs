//! A connection that speaks WebSocket: the program's conversation on `protocol_ws`, compressed
//! where the client wants that.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol_http::server::{Connection, Input};
use protocol_ws::{
    AgreedDeflate, CloseCode, ConnectionSettings, ContextLimits, Contexts, DeflateSettings, Ended,
    Event, KeepaliveTimes, Kind, Upgrade, write_frame,
};

use crate::program::{Conversation, Http, Message};

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
    ws: protocol_ws::Connection,
    is_compressed: bool,
    conversation: Box<dyn Conversation<S>>,
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
        Talk { ws, is_compressed, conversation }
    }
}

impl<S> Talk<S> {
    /// Goes through what came in, unless a send is under way; it is unmasked where it lies.
    pub fn work(
        &mut self,
        (state, now): (&mut S, Instant),
        connection: &mut Connection,
        http: &mut Http,
        input: &mut Input<'_>,
    ) {
        while !connection.is_sending() && !http.output().is_full() {
            // Nothing is said behind a close.
            let is_direct = !self.is_compressed && self.ws.is_open();
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
                Event::Need | Event::Progress | Event::Closed(..) | Event::Failed(_) => {}
            }
            input.consume(used);
            for (kind, payload) in held {
                self.ws.send(now, kind, payload);
            }
            if let Some((code, reason)) = close {
                self.ws.close(now, code, reason);
            }
            if self.say(connection, http) {
                return;
            }
        }
        self.wait(connection, now);
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
        while let Some(frames) = self.ws.poll() {
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
