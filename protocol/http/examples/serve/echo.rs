//! The WebSocket half of a connection: every message is said again.

use protocol_ws::{CloseCode, Decoder, Kind, Limits, Opcode, Role, Step, write_close, write_frame};

use super::connection::Progress;
use super::limits::MESSAGE_BYTES_MAX;
use super::output::Output;

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

    /// Takes one step through the unread bytes, which are unmasked where they lie.
    pub fn step(&mut self, unread: &mut [u8], out: &mut Output) -> Progress {
        let used = match self.decoder.decode(unread) {
            Ok(Step::Need) => return Progress::Need,
            Ok(Step::Payload { kind, range, used, is_first, is_last }) => {
                self.payload(kind, &unread[range], is_first, is_last, out);
                used
            }
            Ok(Step::Ping { range, used }) => {
                write_frame(Opcode::Pong, true, &unread[range], None, out.text());
                used
            }
            Ok(Step::Pong { used, .. }) => used,
            Ok(Step::Close { code, .. }) => {
                write_close(code, "", None, out.text());
                return Progress::Last { is_understood: true };
            }
            Err(malformed) => {
                let code = Some(malformed.close_code());
                write_close(code, malformed.reason(), None, out.text());
                return Progress::Last { is_understood: false };
            }
        };
        self.is_pinged = false;
        Progress::Used(used)
    }

    /// It has been silent for long: asks whether it is there. False the second time, when it is
    /// given up.
    pub fn ask_whether_there(&mut self, out: &mut Output) -> bool {
        if std::mem::replace(&mut self.is_pinged, true) {
            write_close(Some(CloseCode::GOING_AWAY), "no answer to a ping", None, out.text());
            return false;
        }
        write_frame(Opcode::Ping, true, b"", None, out.text());
        true
    }

    fn payload(
        &mut self,
        kind: Kind,
        piece: &[u8],
        is_first: bool,
        is_last: bool,
        out: &mut Output,
    ) {
        // A message in one piece, which is nearly every one, is not collected.
        if is_first && is_last {
            write_frame(kind.into(), true, piece, None, out.text());
            return;
        }
        self.message.extend_from_slice(piece);
        if is_last {
            write_frame(kind.into(), true, &self.message, None, out.text());
            self.message = Vec::new();
        }
    }
}
