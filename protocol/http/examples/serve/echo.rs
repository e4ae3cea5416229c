//! A WebSocket on which every message is said again, compressed where the client wants that.

use std::rc::Rc;
use std::time::Instant;

use protocol_http::server::{Connection, Input, Server};
use protocol_ws::{
    AgreedDeflate, ConnectionSettings, ContextLimits, Contexts, DeflateSettings, Ended, Event,
    KeepaliveTimes, Limits, Upgrade, write_frame,
};

use super::limits::{MESSAGE_BYTES_MAX, SILENCE};
use super::site::Block;

/// What all of a shard have in common.
pub struct Echoes {
    settings: Rc<ConnectionSettings>,
    deflate: DeflateSettings,
    /// The memory for compression is one budget for all; who comes later goes without.
    contexts: Contexts,
}

/// A connection that speaks WebSocket.
pub struct Echo {
    ws: protocol_ws::Connection,
    is_compressed: bool,
}

impl Echoes {
    pub fn new() -> Echoes {
        let limits = Limits {
            frame_bytes_max: MESSAGE_BYTES_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..Limits::default()
        };
        let keepalive = KeepaliveTimes { ping_after: SILENCE, give_up_after: SILENCE };
        Echoes {
            settings: Rc::new(ConnectionSettings { limits, keepalive, ..Default::default() }),
            deflate: DeflateSettings::default(),
            contexts: Contexts::new(ContextLimits::default()),
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
    pub fn open(&self, agreed: Option<&AgreedDeflate>, now: Instant) -> Echo {
        let ws = protocol_ws::Connection::server(&self.settings, now);
        let is_compressed = agreed.is_some();
        let ws = match agreed {
            Some(agreed) => ws.with_deflate(agreed, &self.contexts),
            None => ws,
        };
        Echo { ws, is_compressed }
    }
}

impl Echo {
    /// Goes through what came in, unless a send is under way; it is unmasked where it lies.
    pub fn work(
        &mut self,
        connection: &mut Connection,
        http: &mut Server<Block>,
        input: &mut Input<'_>,
        now: Instant,
    ) {
        while !connection.is_sending() && !http.output().is_full() {
            let (used, event) = self.ws.receive(now, input.rest_mut());
            let message = match event {
                Event::Need if used == 0 => break,
                // It is said again from where it lies.
                Event::Message(kind, payload) if !self.is_compressed => {
                    write_frame(kind.into(), true, &payload, None, http.output().text());
                    None
                }
                Event::Message(kind, payload) => Some((kind, payload.into_owned())),
                Event::Need | Event::Progress | Event::Closed(..) | Event::Failed(_) => None,
            };
            input.consume(used);
            if let Some((kind, payload)) = message {
                self.ws.send(now, kind, payload);
            }
            if self.say(connection, http) {
                return;
            }
        }
        self.wait(connection, now);
    }

    /// Its time has come: asks whether somebody is there, or gives up.
    pub fn expired(&mut self, connection: &mut Connection, http: &mut Server<Block>, now: Instant) {
        self.ws.handle_time(now);
        if connection.is_sending() {
            return connection.kill();
        }
        if !self.say(connection, http) {
            self.wait(connection, now);
        }
    }

    /// Writes what there is to say. Whether it was the last.
    fn say(&mut self, connection: &mut Connection, http: &mut Server<Block>) -> bool {
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
