//! What lies between a socket and the connection on it: nothing, or TLS.
//!
//! *Invariant:* one send at a time. The connection's own, sealed, waits behind the records of a
//! handshake; only when all is sent is the connection told so.

use protocol_http::server::Connection;
use protocol_tls::{ServerConfig, Session, is_tls};

/// The most that a connection may have sent before its turn at shaking hands comes, in bytes.
const WAITING_BYTES_MAX: usize = 32 * 1024;

/// How a connection's bytes are wrapped.
pub(crate) enum Wire {
    Plain,
    /// Its first byte will tell.
    Unknown,
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    session: Session,
    /// Sealed, and not with the machine yet.
    records: Vec<u8>,
    is_sending: bool,
    /// The connection has a send under way, which is in `records` or in flight.
    is_awaited: bool,
    has_failed: bool,
    /// Received and not looked at: this tick has had its handshakes.
    waiting: Vec<u8>,
}

/// What became of received bytes.
pub(crate) enum Opened {
    /// They are what they seem.
    Plain,
    /// What they said is in the plain buffer.
    Secret,
    /// The same, and it was the last.
    Ended,
    /// They wait; true: the connection is to be called when its turn has come.
    Waits(bool),
}

impl Wire {
    /// Takes bytes as they were on the wire.
    pub fn open(
        &mut self,
        config: Option<&ServerConfig>,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        handshakes_left: &mut u32,
    ) -> Opened {
        if matches!(self, Wire::Unknown) {
            *self = match config.filter(|_| bytes.first().is_some_and(|first| is_tls(*first))) {
                Some(config) => Wire::Tls(Box::new(Tls::new(config))),
                None => Wire::Plain,
            };
        }
        match self {
            Wire::Tls(tls) => tls.open(bytes, plain, handshakes_left),
            Wire::Plain | Wire::Unknown => Opened::Plain,
        }
    }

    /// Whose turn it is goes on with what waited.
    pub fn open_waiting(&mut self, plain: &mut Vec<u8>, handshakes_left: &mut u32) -> Opened {
        let Wire::Tls(tls) = self else { return Opened::Secret };
        let mut bytes = std::mem::take(&mut tls.waiting);
        tls.open(&mut bytes, plain, handshakes_left)
    }

    /// TLS, if that is spoken.
    pub fn tls(&mut self) -> Option<&mut Tls> {
        match self {
            Wire::Tls(tls) => Some(tls),
            Wire::Plain | Wire::Unknown => None,
        }
    }
}

impl Tls {
    fn new(config: &ServerConfig) -> Tls {
        Tls {
            session: Session::server(config),
            records: Vec::new(),
            is_sending: false,
            is_awaited: false,
            has_failed: false,
            waiting: Vec::new(),
        }
    }

    /// Seals a send of the connection, part by part, and says that nothing follows where it is the
    /// last.
    pub fn seal<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>, http: &mut Connection) {
        self.is_awaited = true;
        for part in parts {
            self.has_failed |= self.session.seal(part, &mut self.records).is_err();
        }
        if http.is_ending() {
            self.session.close(&mut self.records);
        }
    }

    /// What the machine has to send now.
    pub fn next_send(&mut self) -> Option<Vec<u8>> {
        if self.is_sending || self.records.is_empty() {
            return None;
        }
        self.is_sending = true;
        Some(std::mem::take(&mut self.records))
    }

    /// A send is done. Whether that was the end of what the connection waits for.
    pub fn sent(&mut self) -> bool {
        self.is_sending = false;
        self.records.is_empty() && std::mem::take(&mut self.is_awaited)
    }

    /// Whether the session is at its end and its alert sent.
    pub fn is_over(&self) -> bool {
        self.has_failed && !self.is_sending && self.records.is_empty()
    }

    fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, handshakes_left: &mut u32) -> Opened {
        let is_handshaking = self.session.is_handshaking();
        if is_handshaking && (*handshakes_left == 0 || !self.waiting.is_empty()) {
            let is_first = self.waiting.is_empty();
            self.waiting.extend_from_slice(bytes);
            self.has_failed |= self.waiting.len() > WAITING_BYTES_MAX;
            return Opened::Waits(is_first);
        }
        *handshakes_left -= u32::from(is_handshaking);
        match self.session.receive(bytes, plain, &mut self.records) {
            Ok(received) if received.is_closed => Opened::Ended,
            Ok(_) => Opened::Secret,
            Err(_) => {
                self.has_failed = true;
                Opened::Secret
            }
        }
    }
}
