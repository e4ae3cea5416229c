//! A WebSocket on which every message is said again.

use std::time::Instant;

use protocol_http::server::{Connection, Input, Server};
use protocol_ws::{CloseCode, Decoder, Kind, Limits, Opcode, Role, Step, write_close, write_frame};

use super::limits::{MESSAGE_BYTES_MAX, SILENCE};
use super::site::Block;

/// A connection that speaks WebSocket.
pub struct Echo {
    decoder: Decoder,
    /// What has come of a message that does not come in one piece.
    message: Vec<u8>,
    /// Whether the client was asked if it is there, and has said nothing since.
    is_pinged: bool,
}

impl Echo {
    pub fn new() -> Echo {
        let limits = Limits {
            frame_bytes_max: MESSAGE_BYTES_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..Limits::default()
        };
        let decoder = Decoder::new(Role::Server, limits);
        Echo { decoder, message: Vec::new(), is_pinged: false }
    }

    /// Goes through what came in, unless a send is under way; it is unmasked where it lies.
    pub fn work(
        &mut self,
        connection: &mut Connection,
        http: &mut Server<Block>,
        input: &mut Input<'_>,
        now: Instant,
    ) {
        while !connection.is_sending() && !http.output().is_full() {
            let Some((used, ends)) = self.step(input.rest_mut(), http.output().text()) else {
                break;
            };
            input.consume(used);
            self.is_pinged = false;
            if let Some(lingers) = ends {
                return connection.end(lingers);
            }
        }
        connection.set_upgraded_deadline(now + SILENCE);
    }

    /// It has been silent for long: asks whether it is there. The second time it is given up.
    pub fn expired(&mut self, connection: &mut Connection, http: &mut Server<Block>, now: Instant) {
        if connection.is_sending() {
            return connection.kill();
        }
        let out = http.output().text();
        if std::mem::replace(&mut self.is_pinged, true) {
            write_close(Some(CloseCode::GOING_AWAY), "no answer to a ping", None, out);
            return connection.end(false);
        }
        write_frame(Opcode::Ping, true, b"", None, out);
        connection.set_upgraded_deadline(now + SILENCE);
    }

    /// One step: how many bytes are done with, and, when it was the last, whether the client may
    /// still be sending. `None`: more has to come.
    fn step(&mut self, unread: &mut [u8], out: &mut Vec<u8>) -> Option<(usize, Option<bool>)> {
        match self.decoder.decode(unread) {
            Ok(Step::Need) => None,
            Ok(Step::Payload { kind, range, used, is_first, is_last }) => {
                self.payload(kind, &unread[range], is_first, is_last, out);
                Some((used, None))
            }
            Ok(Step::Ping { range, used }) => {
                write_frame(Opcode::Pong, true, &unread[range], None, out);
                Some((used, None))
            }
            Ok(Step::Pong { used, .. }) => Some((used, None)),
            Ok(Step::Close { code, .. }) => {
                write_close(code, "", None, out);
                Some((0, Some(false)))
            }
            Err(malformed) => {
                write_close(Some(malformed.close_code()), malformed.reason(), None, out);
                Some((0, Some(true)))
            }
        }
    }

    fn payload(
        &mut self,
        kind: Kind,
        piece: &[u8],
        is_first: bool,
        is_last: bool,
        out: &mut Vec<u8>,
    ) {
        // A message in one piece, which is nearly every one, is not collected.
        if is_first && is_last {
            write_frame(kind.into(), true, piece, None, out);
            return;
        }
        self.message.extend_from_slice(piece);
        if is_last {
            write_frame(kind.into(), true, &self.message, None, out);
            self.message = Vec::new();
        }
    }
}
