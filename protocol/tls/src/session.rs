//! One connection's TLS.
//!
//! ```text
//!  receive(ciphertext)
//!    in the handshake, or with bytes left over:  carry ◄─ up to the end of the next record, run
//!    otherwise:                                  run where the bytes are; what is left ─► carry
//! ```
//!
//! Invariants: outside a call `carry` holds no complete record but those of a handshake message
//! that is not complete, and is no allocation when it is empty; after a failure nothing is looked
//! at.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, ProtocolVersion};

use crate::machine::{Machine, Ran, SealError, Sinks};
use crate::names::Asked;
use crate::{ClientConfig, Failed, Fault, ServerConfig, Version};

/// The most bytes that a session keeps for later: a record that is not complete, and what came
/// before it of a handshake message.
pub const BUFFERED_BYTES_MAX: usize = 32 * 1024;

const HEADER_BYTES: usize = 5;

/// How a handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version that was agreed on.
    pub version: Version,
    /// Whether it went on with a ticket.
    pub is_resumed: bool,
}

/// What a [`Session::receive`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The handshake is finished, with this very call.
    pub handshake: Option<Handshake>,
    /// The handshake goes on: nothing can be sealed.
    pub is_handshaking: bool,
    /// The peer has said that it will send no more; what it sent is complete. It may still read.
    pub is_closed: bool,
}

/// One connection's TLS, at either end.
pub struct Session {
    machine: Machine,
    asked: Option<Arc<Asked>>,
    /// Received and not yet used.
    carry: Vec<u8>,
    /// Where in `carry` the record begins that is not complete.
    record_start: usize,
    handshake_bytes_left: usize,
    is_closed: bool,
    has_closed: bool,
    failed: Option<Box<Failed>>,
}

impl Session {
    /// A server's end of a new connection.
    #[must_use]
    pub fn server(config: &ServerConfig) -> Session {
        let asked = Arc::new(Asked::new(Arc::clone(&config.names)));
        let mut own = config.base.clone();
        own.cert_resolver = Arc::clone(&asked) as Arc<_>;
        let connection = UnbufferedServerConnection::new(Arc::new(own))
            .expect("a server's configuration was checked when it was made");
        let machine = Machine::Server(Box::new(connection));
        Session::new(machine, Some(asked), config.handshake_bytes_max)
    }

    /// A client's end of a new connection, to the server of this name or address, which has to be
    /// in its certificate. What is to be sent first is appended to `out`.
    ///
    /// # Errors
    /// [`Fault::Refused`] when `host` is neither a name nor an address.
    pub fn client(config: &ClientConfig, host: &str, out: &mut Vec<u8>) -> Result<Session, Failed> {
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return Err(Failed::new(Fault::Refused, "the host is neither a name nor an address"));
        };
        let connection = UnbufferedClientConnection::new(Arc::clone(&config.base), name)?;
        let machine = Machine::Client(Box::new(connection));
        let mut session = Session::new(machine, None, config.handshake_bytes_max);
        session.run(&mut [], &mut Sinks { plaintext: &mut Vec::new(), out })?;
        Ok(session)
    }

    fn new(machine: Machine, asked: Option<Arc<Asked>>, handshake_bytes_max: usize) -> Session {
        Session {
            machine,
            asked,
            carry: Vec::new(),
            record_start: 0,
            handshake_bytes_left: handshake_bytes_max,
            is_closed: false,
            has_closed: false,
            failed: None,
        }
    }

    /// Takes what was received, all of it, decrypting in place. Appends what it says to
    /// `plaintext`, at most as many bytes as were given and kept, and what is to be sent back to
    /// `out`, also when it fails: an alert.
    ///
    /// While it [`Session::is_handshaking`], a call may cost a signature, a thousand times what a
    /// record costs: count them in each tick.
    ///
    /// # Errors
    /// Why the session is over; the connection has to be closed when `out` is sent. Said again
    /// whenever it is asked again.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Received, Failed> {
        if let Some(failed) = &self.failed {
            return Err(Failed::clone(failed));
        }
        let was_handshaking = self.is_handshaking();
        if let Err(failed) = self.take(ciphertext, &mut Sinks { plaintext, out }) {
            self.carry = Vec::new();
            self.failed = Some(Box::new(failed.clone()));
            return Err(failed);
        }
        let is_handshaking = self.is_handshaking();
        let is_finished = was_handshaking && !is_handshaking;
        let handshake = if is_finished { self.handshake() } else { None };
        Ok(Received { handshake, is_handshaking, is_closed: self.is_closed })
    }

    /// Appends the records of `plaintext` to `out`.
    ///
    /// # Errors
    /// [`Fault::Ours`] before the handshake is finished, after [`Session::close`], and when the
    /// keys of a TLS 1.2 session are used up, after more records than anybody hears.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        if let Some(failed) = &self.failed {
            return Err(Failed::clone(failed));
        }
        if self.has_closed {
            return Err(Failed::new(Fault::Ours, "the session was closed"));
        }
        let sealed = self.machine.seal(&mut self.carry, plaintext, out);
        sealed.map_err(|error| match error {
            SealError::NotOpen => Failed::new(Fault::Ours, "the handshake is not finished"),
            SealError::KeysUsedUp => Failed::new(Fault::Ours, "the keys are used up"),
            SealError::Failed(error) => error.into(),
        })
    }

    /// Says to the peer that nothing more will be sent (`close_notify`, RFC 8446 §6.1). Does
    /// nothing in a handshake, after a failure, and the second time.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.failed.is_none() && !self.has_closed {
            self.has_closed = true;
            // A peer that is still shaking hands is left without a word, as it may be.
            let _in_handshake = self.machine.close(&mut self.carry, out);
        }
    }

    /// To be asked when the connection has ended: whether all that the peer had to say was said.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if it was cut: without `close_notify`, anybody could have ended it.
    /// Where the protocol above knows the length, that may be ignored.
    pub fn end(&self) -> Result<(), Failed> {
        match &self.failed {
            Some(failed) => Err(Failed::clone(failed)),
            None if self.is_closed => Ok(()),
            None if self.is_handshaking() => {
                Err(Failed::new(Fault::Malformed, "the connection ended in the handshake"))
            }
            None => Err(Failed::new(Fault::Malformed, "the connection ended without close_notify")),
        }
    }

    /// Whether the handshake is not finished.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.machine.state().is_handshaking()
    }

    /// The protocol that was agreed on (ALPN), if any.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.machine.state().alpn_protocol()
    }

    /// The name that the client asked for (SNI), in lower case.
    #[must_use]
    pub fn sni(&self) -> Option<&str> {
        self.asked.as_ref()?.name()
    }

    /// How the handshake went, when it is finished.
    #[must_use]
    pub fn handshake(&self) -> Option<Handshake> {
        let state = self.machine.state();
        if state.is_handshaking() {
            return None;
        }
        let version = match state.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => Version::Tls12,
        };
        let is_resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
        Some(Handshake { version, is_resumed })
    }

    /// Bytes that were received and wait for the rest of their record.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.carry.len()
    }

    fn take(&mut self, mut rest: &mut [u8], sinks: &mut Sinks<'_>) -> Result<(), Failed> {
        // Each round takes a byte at least.
        while !rest.is_empty() {
            if self.is_closed {
                // What stands behind `close_notify` is ignored (RFC 8446 §6.1).
                self.carry = Vec::new();
                return Ok(());
            }
            if self.carry.is_empty() && !self.is_handshaking() {
                let used_bytes = self.run(rest, sinks)?;
                return self.keep(&rest[used_bytes..]);
            }
            let taken = self.missing_bytes().min(rest.len());
            let (next, later) = rest.split_at_mut(taken);
            self.budget(taken)?;
            self.carry.extend_from_slice(next);
            rest = later;
            self.run_carry(sinks)?;
        }
        Ok(())
    }

    /// How much is missing of the record that is not complete, or of its header.
    fn missing_bytes(&self) -> usize {
        let begun = &self.carry[self.record_start..];
        record_bytes(begun).map_or(HEADER_BYTES, |bytes| bytes) - begun.len()
    }

    fn run_carry(&mut self, sinks: &mut Sinks<'_>) -> Result<(), Failed> {
        let mut carry = std::mem::take(&mut self.carry);
        let used_bytes = self.run(&mut carry, sinks)?;
        if used_bytes < carry.len() {
            carry.drain(..used_bytes);
            self.carry = carry;
        }
        let begun = self.record_start.saturating_sub(used_bytes);
        self.record_start = begun + whole_records_bytes(&self.carry[begun..]);
        self.within_bounds()
    }

    fn keep(&mut self, left: &[u8]) -> Result<(), Failed> {
        self.carry.extend_from_slice(left);
        self.record_start = whole_records_bytes(left);
        self.within_bounds()
    }

    fn run(&mut self, input: &mut [u8], sinks: &mut Sinks<'_>) -> Result<usize, Failed> {
        let Ran { used_bytes, peer_closed } = self.machine.run(input, sinks)?;
        self.is_closed |= peer_closed;
        Ok(if self.is_closed { input.len() } else { used_bytes })
    }

    fn budget(&mut self, taken_bytes: usize) -> Result<(), Failed> {
        if self.is_handshaking() {
            let Some(left) = self.handshake_bytes_left.checked_sub(taken_bytes) else {
                return Err(Failed::new(Fault::Refused, "the handshake has too many bytes"));
            };
            self.handshake_bytes_left = left;
        }
        Ok(())
    }

    fn within_bounds(&self) -> Result<(), Failed> {
        // Until then its budget is the bound.
        if !self.is_handshaking() && self.carry.len() > BUFFERED_BYTES_MAX {
            return Err(Failed::new(Fault::Refused, "a handshake message has too many bytes"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("handshake", &self.handshake())
            .field("buffered_bytes", &self.carry.len())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// How long the record is that these bytes begin, if its header is there.
fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    Some(HEADER_BYTES + usize::from(u16::from_be_bytes([header[3], header[4]])))
}

/// How many bytes at the front are whole records.
fn whole_records_bytes(bytes: &[u8]) -> usize {
    let mut whole_bytes = 0;
    // Each round passes a header at least.
    while let Some(record) = record_bytes(&bytes[whole_bytes..]) {
        if whole_bytes + record > bytes.len() {
            break;
        }
        whole_bytes += record;
    }
    whole_bytes
}
