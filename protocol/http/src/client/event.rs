//! What goes into a client and what comes out of it.

use super::connection::ConnectionId;
use super::exchange::{ClientError, ExchangeId, Response};
use super::url::{Origin, Url};

/// What the driver reports.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A connection is made, TLS included.
    Connected(ConnectionId),
    /// Bytes came.
    Received(ConnectionId, &'a [u8]),
    /// The send under way is done.
    Sent(ConnectionId),
    /// The server has ended its direction, properly.
    Ended(ConnectionId),
    /// The connection could not be made, or is lost. There is nothing to close.
    Failed(ConnectionId),
    /// `deadline()` has come.
    Timer,
}

/// What is to be done (the first three, by the driver) or known (the others, by the caller).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to the origin, and report `Connected` or `Failed`.
    Connect {
        /// Under this number.
        connection: ConnectionId,
        /// Whom; with TLS where it says https, for this host's name.
        origin: Origin,
    },
    /// Send, and report `Sent`.
    Send {
        /// On this connection.
        connection: ConnectionId,
        /// All of these.
        bytes: Vec<u8>,
    },
    /// Close (or stop connecting). Nothing more is heard of it.
    Close {
        /// This one.
        connection: ConnectionId,
    },
    /// `send_body` would take bytes now.
    BodyWanted {
        /// For this exchange.
        exchange: ExchangeId,
    },
    /// A redirect is followed.
    Redirected {
        /// Of this exchange.
        exchange: ExchangeId,
        /// To here.
        url: Url,
    },
    /// The final head of the answer.
    Head {
        /// To this exchange.
        exchange: ExchangeId,
        /// What it says.
        response: Response,
    },
    /// A piece of the answer's body.
    Body {
        /// To this exchange.
        exchange: ExchangeId,
        /// Never empty.
        bytes: Vec<u8>,
    },
    /// The answer is complete.
    End {
        /// Of this exchange.
        exchange: ExchangeId,
    },
    /// There is no more of an answer.
    Failed {
        /// To this exchange.
        exchange: ExchangeId,
        /// Why.
        error: ClientError,
    },
}

/// What a client has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the words themselves")]
pub struct ClientCounters {
    pub connections_begun: u64,
    pub connections_reused: u64,
    pub requests_repeated: u64,
    pub redirects_followed: u64,
    /// Connections closed because bytes came that answer nothing.
    pub surplus_answers: u64,
    pub exchanges_failed: u64,
}
