//! A driver without I/O: the clock is a number, servers are what a test says, and what the client
//! tells its caller is written down. It holds the client to the order of its outputs.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use protocol_http::client::{
    Client, ClientCounters, ClientRequest, ClientSettings, ConnectionId, ExchangeId, Input, Output,
    RequestError, Url,
};

pub fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// The driver. Connections are known by a number, the first is 1.
pub struct Driver {
    pub client: Client,
    now: Instant,
    ids: Vec<ConnectionId>,
    connecting: Vec<ConnectionId>,
    open: BTreeSet<ConnectionId>,
    sending: BTreeSet<ConnectionId>,
    sent: BTreeMap<ConnectionId, Vec<u8>>,
    told: Vec<String>,
    /// Exchanges that are under way: each ends once.
    begun: BTreeSet<ExchangeId>,
    with_head: BTreeSet<ExchangeId>,
    pub closed: Vec<usize>,
    /// Whether a send is reported as done at once.
    pub sends_are_done: bool,
}

impl Default for Driver {
    fn default() -> Driver {
        Driver::new(ClientSettings::default())
    }
}

impl Driver {
    #[allow(clippy::disallowed_methods, reason = "any instant will do to count from")]
    pub fn new(settings: ClientSettings) -> Driver {
        Driver {
            client: Client::new(settings),
            now: Instant::now(),
            ids: Vec::new(),
            connecting: Vec::new(),
            open: BTreeSet::new(),
            sending: BTreeSet::new(),
            sent: BTreeMap::new(),
            told: Vec::new(),
            begun: BTreeSet::new(),
            with_head: BTreeSet::new(),
            closed: Vec::new(),
            sends_are_done: true,
        }
    }

    pub fn try_request(&mut self, request: ClientRequest) -> Result<ExchangeId, RequestError> {
        let exchange = self.client.request(self.now, request)?;
        self.begun.insert(exchange);
        self.poll_all();
        Ok(exchange)
    }

    pub fn request(&mut self, request: ClientRequest) -> ExchangeId {
        self.try_request(request).expect("a request that can be sent")
    }

    pub fn connect_all(&mut self) {
        while let Some(id) = self.connecting.pop() {
            self.client.handle(self.now, Input::Connected(id));
            self.poll_all();
        }
    }

    pub fn receive(&mut self, connection: usize, bytes: &[u8]) {
        let id = self.ids[connection - 1];
        self.client.handle(self.now, Input::Received(id, bytes));
        self.poll_all();
    }

    pub fn input(
        &mut self,
        input: impl FnOnce(&mut Client, Instant, ConnectionId),
        connection: usize,
    ) {
        let id = self.ids[connection - 1];
        self.sending.remove(&id);
        input(&mut self.client, self.now, id);
        self.poll_all();
    }

    pub fn send_body(&mut self, exchange: ExchangeId, bytes: &[u8]) -> usize {
        let taken = self.client.send_body(self.now, exchange, bytes);
        self.poll_all();
        taken
    }

    pub fn end_body(&mut self, exchange: ExchangeId) {
        self.client.end_body(self.now, exchange);
        self.poll_all();
    }

    pub fn cancel(&mut self, exchange: ExchangeId) {
        self.client.cancel(self.now, exchange);
        self.begun.remove(&exchange);
        self.poll_all();
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.client.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.client.handle(self.now, Input::Timer);
            self.poll_all();
            assert!(self.client.deadline().is_none_or(|deadline| deadline > self.now));
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    pub fn connections(&self) -> usize {
        self.client.connections_count()
    }

    pub fn counters(&self) -> ClientCounters {
        self.client.counters()
    }

    /// The number of the connection made last.
    pub fn newest(&self) -> usize {
        self.ids.len()
    }

    /// How many exchanges have not ended.
    pub fn exchanges(&self) -> usize {
        assert_eq!(self.client.exchanges_count(), self.begun.len(), "each ends once");
        self.begun.len()
    }

    /// Connections that the client has asked for and not let go of.
    pub fn open_numbers(&self) -> Vec<usize> {
        self.open.iter().map(|id| self.number(*id)).collect()
    }

    pub fn is_connecting(&self, connection: usize) -> bool {
        self.connecting.contains(&self.ids[connection - 1])
    }

    pub fn is_sending(&self, connection: usize) -> bool {
        self.sending.contains(&self.ids[connection - 1])
    }

    pub fn connect(&mut self, connection: usize) {
        let id = self.ids[connection - 1];
        self.connecting.retain(|other| *other != id);
        self.client.handle(self.now, Input::Connected(id));
        self.poll_all();
    }

    /// The connection is lost, or ends properly.
    pub fn lose(&mut self, connection: usize, is_proper_end: bool) {
        let id = self.ids[connection - 1];
        if is_proper_end {
            self.client.handle(self.now, Input::Ended(id));
        } else {
            self.connecting.retain(|other| *other != id);
            self.open.remove(&id);
            self.client.handle(self.now, Input::Failed(id));
        }
        self.poll_all();
    }

    pub fn take_sent(&mut self, connection: usize) -> String {
        let id = self.ids.get(connection - 1).copied();
        let sent = id.and_then(|id| self.sent.remove(&id)).unwrap_or_default();
        String::from_utf8(sent).expect("requests are text here")
    }

    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn number(&self, id: ConnectionId) -> usize {
        1 + self.ids.iter().position(|other| *other == id).expect("a connection asked for")
    }

    pub fn poll_all(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Connect { connection, .. } => {
                    self.ids.push(connection);
                    self.connecting.push(connection);
                    self.open.insert(connection);
                }
                Output::Send { connection, bytes } => {
                    assert!(!self.connecting.contains(&connection), "sent before it is connected");
                    assert!(!bytes.is_empty() && self.sending.insert(connection), "one at a time");
                    self.sent.entry(connection).or_default().extend_from_slice(&bytes);
                    if self.sends_are_done {
                        self.sending.remove(&connection);
                        self.client.handle(self.now, Input::Sent(connection));
                    }
                }
                Output::Close { connection } => {
                    assert!(self.open.remove(&connection), "closed once");
                    self.connecting.retain(|other| *other != connection);
                    let number = self.number(connection);
                    self.closed.push(number);
                }
                Output::BodyWanted { .. } => self.told.push("wanted".to_owned()),
                Output::Redirected { exchange, url } => {
                    assert!(self.begun.contains(&exchange));
                    self.told.push(format!("to {url}"));
                }
                Output::Head { exchange, response } => {
                    assert!(self.begun.contains(&exchange) && self.with_head.insert(exchange));
                    assert!(response.header("NoSuch").is_none());
                    self.told.push(response.status.0.to_string());
                }
                Output::Body { exchange, bytes } => {
                    assert!(self.with_head.contains(&exchange) && !bytes.is_empty());
                    self.told.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                Output::End { exchange } => {
                    assert!(self.with_head.contains(&exchange) && self.begun.remove(&exchange));
                    self.told.push("end".to_owned());
                }
                Output::Failed { exchange, error } => {
                    assert!(self.begun.remove(&exchange), "each ends once");
                    self.told.push(format!("failed: {error}"));
                }
            }
        }
    }
}
