//! An HTTP/1.1 client as a state machine: exchanges, the connections that carry them, redirects,
//! deadlines. It performs no I/O: it asks its driver to connect, send and close.
//!
//! ```text
//!            request ──►┐                           ┌──► Connect, Send, Close     (to the driver)
//!  Connected, Received, ├─ handle(now, …) ─ poll() ─┤
//!  Sent, Ended, Failed ─┘                           └──► Head, Body, End, Failed  (to the caller)
//! ```
//!
//! ```
//! use protocol_http::client::{Client, ClientRequest, ClientSettings, Input, Output, Url};
//! # #[allow(clippy::disallowed_methods, reason = "an example is its own driver")]
//! # fn main() {
//! let now = std::time::Instant::now();
//! let mut client = Client::new(ClientSettings::default());
//! let url = Url::parse("http://radio.example:8000/status").unwrap();
//! let exchange = client.request(now, ClientRequest::get(url)).unwrap();
//!
//! let Some(Output::Connect { connection, origin }) = client.poll() else { panic!() };
//! assert_eq!((origin.host.as_str(), origin.port), ("radio.example", 8000));
//! client.handle(now, Input::Connected(connection));
//! let Some(Output::Send { bytes, .. }) = client.poll() else { panic!() };
//! assert_eq!(bytes, b"GET /status HTTP/1.1\r\nHost: radio.example:8000\r\n\r\n");
//! client.handle(now, Input::Sent(connection));
//! let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
//! client.handle(now, Input::Received(connection, answer));
//! let Some(Output::Head { response, .. }) = client.poll() else { panic!() };
//! assert_eq!(response.status.0, 200);
//! assert_eq!(client.poll(), Some(Output::Body { exchange, bytes: b"hi".to_vec() }));
//! assert_eq!(client.poll(), Some(Output::End { exchange }));
//! // The connection is kept for the next request to this origin.
//! assert!(client.poll().is_none() && client.deadline().is_some());
//! # }
//! ```
//!
//! # What it promises
//!
//! * **Each exchange ends once**, with `End` or `Failed`, within its deadlines.
//! * **A connection carries one exchange at a time.** What comes on an idle one, or behind the end
//!   of an answer, is an answer to nobody: the connection is closed, and the bytes are never taken
//!   for the next exchange's. Ambiguous lengths are refused as in [`ResponseDecoder`].
//! * **A request that a kept connection lost is repeated once**, on a new connection, where no byte
//!   of an answer came, the method is idempotent and the body at hand (RFC 9110 §9.2.2). Nothing
//!   else is ever sent twice.
//! * **Bounded** by [`ClientSettings`]; at each bound a request waits, fails or is refused.
//!
//! # The driver's part
//!
//! After each `handle` (or a call of the caller's) it polls until `None`, and calls `handle` with
//! [`Input::Timer`] at `deadline()`. One `Send` of a connection is under way at a time; `Sent`
//! reports it. `Ended` is a proper end only: behind TLS that is a `close_notify`, and an end
//! without one is `Failed`, or a body until close could be cut short unnoticed. After `Close` and
//! after `Failed` a connection is forgotten. Back-pressure is the driver's: what it does not
//! receive is not handed in.
//!
//! [`ResponseDecoder`]: crate::ResponseDecoder

mod answer;
mod connection;
mod event;
mod exchange;
mod pool;
mod redirect;
mod request;
mod settings;
mod url;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

pub use connection::ConnectionId;
pub use event::{ClientCounters, Input, Output};
pub use exchange::{ClientError, ExchangeId, Response, Wait};
pub use request::{ClientRequest, RequestBody, RequestError};
pub use settings::ClientSettings;
pub use url::{Origin, Url};

use crate::write::{LAST_CHUNK, write_chunk_head};
use connection::{Connection, State};
use exchange::Exchange;

/// The client.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Exchanges without a connection, the first first.
    waiting: VecDeque<ExchangeId>,
    /// Whether one of those may have got a chance since they were last looked at.
    has_news: bool,
    outputs: VecDeque<Output>,
    numbers_given: u64,
    counters: ClientCounters,
}

impl Client {
    /// A client without connections.
    pub fn new(settings: ClientSettings) -> Client {
        Client {
            settings,
            exchanges: BTreeMap::new(),
            connections: BTreeMap::new(),
            waiting: VecDeque::new(),
            has_news: false,
            outputs: VecDeque::new(),
            numbers_given: 0,
            counters: ClientCounters::default(),
        }
    }

    /// Begins an exchange.
    ///
    /// # Errors
    ///
    /// [`RequestError`], when it cannot be sent as it is or there are too many.
    pub fn request(
        &mut self,
        now: Instant,
        request: ClientRequest,
    ) -> Result<ExchangeId, RequestError> {
        request.check()?;
        if self.exchanges.len() >= self.settings.exchanges_max {
            return Err(RequestError::TooMany);
        }
        let id = ExchangeId(self.next_number());
        let total = request.total.or(self.settings.total);
        let exchange = Exchange {
            deadline: total.and_then(|total| now.checked_add(total)),
            request,
            connection: None,
            redirects_count: 0,
            needs_new_connection: false,
        };
        self.exchanges.insert(id, exchange);
        self.waiting.push_back(id);
        self.has_news = true;
        self.assign(now);
        Ok(id)
    }

    /// Gives the next bytes of a request's body and says how many were taken: none before the first
    /// `BodyWanted` and after the end, at most as many as there is room for otherwise.
    ///
    /// # Panics
    ///
    /// When there are more than the length that was said: they would be the next request.
    pub fn send_body(&mut self, now: Instant, exchange: ExchangeId, bytes: &[u8]) -> usize {
        let Some((id, mut connection)) = self.take_sending(exchange) else { return 0 };
        let room = self.settings.send_buffer_bytes_max.saturating_sub(connection.unsent.len());
        let taken = &bytes[..bytes.len().min(room)];
        match self.exchanges.get(&exchange).map(|exchange| &exchange.request.body) {
            Some(RequestBody::Length(_)) => {
                let left = connection.body_left_bytes.checked_sub(taken.len() as u64);
                connection.body_left_bytes = left.expect("a body is not longer than its length");
                connection.unsent.extend_from_slice(taken);
                connection.is_request_whole = connection.body_left_bytes == 0;
            }
            _ if taken.is_empty() => {}
            _ => {
                write_chunk_head(taken.len(), &mut connection.unsent);
                connection.unsent.extend_from_slice(taken);
                connection.unsent.extend_from_slice(b"\r\n");
            }
        }
        let taken_bytes = taken.len();
        connection.has_asked &= taken_bytes == 0;
        self.flush(now, id, &mut connection);
        self.connections.insert(id, connection);
        taken_bytes
    }

    /// Ends a request's body. One with a length ends by itself; ending it early fails it.
    pub fn end_body(&mut self, now: Instant, exchange: ExchangeId) {
        let Some((id, mut connection)) = self.take_sending(exchange) else { return };
        if connection.body_left_bytes > 0 {
            self.drop_connection(id);
            self.fail(exchange, ClientError::BodyTooShort);
            return self.assign(now);
        }
        connection.unsent.extend_from_slice(LAST_CHUNK);
        connection.is_request_whole = true;
        self.flush(now, id, &mut connection);
        self.connections.insert(id, connection);
    }

    /// Gives an exchange up. Nothing more is heard of it.
    pub fn cancel(&mut self, now: Instant, exchange: ExchangeId) {
        let Some(cancelled) = self.exchanges.remove(&exchange) else { return };
        self.waiting.retain(|waiting| *waiting != exchange);
        if let Some(id) = cancelled.connection
            && self.connections.remove(&id).is_some()
        {
            self.drop_connection(id);
        }
        self.assign(now);
    }

    /// Takes what the driver reports. What is reported of a forgotten connection is ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected(id) => self.connected(now, id),
            Input::Received(id, bytes) => self.received(now, id, bytes),
            Input::Sent(id) => self.sent(now, id),
            Input::Ended(id) => self.lost(id, true),
            Input::Failed(id) => self.lost(id, false),
            Input::Timer => self.time_out(now),
        }
        self.assign(now);
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle` with [`Input::Timer`].
    pub fn deadline(&self) -> Option<Instant> {
        let exchanges = self.exchanges.values().filter_map(|exchange| exchange.deadline);
        let connections = self.connections.values().filter_map(|connection| connection.deadline);
        exchanges.chain(connections).min()
    }

    /// Exchanges that have not ended.
    pub fn exchanges_count(&self) -> usize {
        self.exchanges.len()
    }

    /// Connections, those that are being made and those that are idle included.
    pub fn connections_count(&self) -> usize {
        self.connections.len()
    }

    /// What it has done so far.
    pub fn counters(&self) -> ClientCounters {
        self.counters
    }

    fn next_number(&mut self) -> u64 {
        self.numbers_given += 1;
        self.numbers_given
    }

    /// The connection that an exchange's body goes onto, taken out of the table.
    fn take_sending(&mut self, exchange: ExchangeId) -> Option<(ConnectionId, Connection)> {
        let id = self.exchanges.get(&exchange)?.connection?;
        let connection = self.connections.get(&id)?;
        let is_sending = connection.state == State::Busy(exchange) && !connection.is_request_whole;
        is_sending.then(|| self.connections.remove_entry(&id)).flatten()
    }

    /// Says that a connection, which is out of the table already, is to be closed.
    fn drop_connection(&mut self, connection: ConnectionId) {
        self.outputs.push_back(Output::Close { connection });
        self.has_news = true;
    }

    fn fail(&mut self, exchange: ExchangeId, error: ClientError) {
        if self.exchanges.remove(&exchange).is_some() {
            self.counters.exchanges_failed += 1;
            self.outputs.push_back(Output::Failed { exchange, error });
        }
    }
}
