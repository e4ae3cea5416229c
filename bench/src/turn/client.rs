//! TURN clients: each has its own socket and goes through a handshake of its own.
//!
//! ```text
//! Allocate ─401─► Allocate, proven ─► ChannelBind or CreatePermission ─► ready ─► Refresh …
//! ```
//!
//! All clients of a bench are driven by one loop that asks again after a while, so that a lost
//! datagram is no failure and no server is asked by more than [`WINDOW`] at once.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Integrity, Key, Message, Method, PasswordAlgorithm,
    TransactionId,
};
use protocol_turn::timed_credential;

use super::wire;
use crate::bare_udp;
use crate::clock;

/// The secret of every server that the bench starts.
pub(crate) const SECRET: &str = "bench";
/// The channel of every allocation.
pub(crate) const CHANNEL: u16 = 0x4001;
/// Clients that ask at once.
const WINDOW: usize = 64;
/// Allocations of one user: fewer than any default quota.
const USER_ALLOCATIONS: usize = 32;
/// Clients of one source address: fewer than a server challenges at once for each.
const ADDRESS_CLIENTS: usize = 100;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
const LIFETIME_S: u32 = 1_200;
const UDP: u32 = 17 << 24;
const NO_REALM: &[u8] = b"";

/// How data goes between client and server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Framing {
    /// ChannelData.
    Channel,
    /// Send and Data indications.
    Indication,
    /// None: the bare forwarder's.
    Bare,
}

/// What a client does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Hello,
    Allocate,
    Bind,
    Ready,
    Refresh,
    Failed,
}

/// One client.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    server: IpAddr,
    pub(crate) peer: SocketAddr,
    /// Its relayed address, from when it is ready.
    pub(crate) relay: Option<SocketAddr>,
    framing: Framing,
    stage: Stage,
    user: String,
    password: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Option<Key>,
    /// Of the request in flight.
    transaction: u64,
    asked_at: Option<Instant>,
    failure: Option<String>,
}

impl Client {
    /// A client of that server that will talk with that peer.
    pub(crate) fn open(
        number: usize,
        server: SocketAddr,
        peer: SocketAddr,
        framing: Framing,
    ) -> Result<Self> {
        let host = number / ADDRESS_CLIENTS;
        let address = wire::source(host, server.ip());
        let socket = UdpSocket::bind((address, 0)).context("no socket for a client")?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let user = format!("user{}", number / USER_ALLOCATIONS);
        let (user, password) = timed_credential(SECRET.as_bytes(), &user, clock::unix_s() + 86_400);
        Ok(Client {
            socket,
            server: server.ip(),
            peer,
            relay: None,
            framing,
            stage: if framing == Framing::Bare { Stage::Hello } else { Stage::Allocate },
            user,
            password,
            realm: NO_REALM.to_vec(),
            nonce: Vec::new(),
            key: None,
            transaction: (number as u64) << 16,
            asked_at: None,
            failure: None,
        })
    }

    fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Failed)
    }

    /// Asks, or asks again, or takes the answer.
    fn step(&mut self, now: Instant) -> Result<()> {
        let mut room = [0; 1_500];
        match self.socket.recv(&mut room) {
            Ok(len) => self.take(&room[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("a client's socket"),
        }
        let due = self.asked_at.is_none_or(|at| now >= at + ASK_AGAIN_AFTER);
        if !self.is_settled() && due {
            self.asked_at = Some(now);
            let request = self.request()?;
            // A full socket is a lost datagram: it is asked again.
            let _ = self.socket.send(&request);
        }
        Ok(())
    }

    fn request(&self) -> Result<Vec<u8>> {
        if self.stage == Stage::Hello {
            return Ok(bare_udp::hello(self.peer));
        }
        let method = match self.stage {
            Stage::Allocate => Method::ALLOCATE,
            Stage::Bind if self.framing == Framing::Channel => Method::CHANNEL_BIND,
            Stage::Bind => Method::CREATE_PERMISSION,
            _ => Method::REFRESH,
        };
        let mut room = [0; 1_024];
        let mut builder = Builder::new(&mut room, Class::Request, method, self.id());
        match method {
            Method::ALLOCATE => {
                builder.u32(AttributeKind::REQUESTED_TRANSPORT, UDP);
                builder.u32(AttributeKind::LIFETIME, LIFETIME_S);
            }
            Method::CHANNEL_BIND => {
                builder.channel_number(CHANNEL);
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, self.peer);
            }
            Method::CREATE_PERMISSION => {
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, self.peer);
            }
            _ => {
                builder.u32(AttributeKind::LIFETIME, LIFETIME_S);
            }
        }
        if let Some(key) = &self.key {
            builder.attribute(AttributeKind::USERNAME, self.user.as_bytes());
            builder.attribute(AttributeKind::REALM, &self.realm);
            builder.attribute(AttributeKind::NONCE, &self.nonce);
            builder.integrity(Integrity::Sha1, key);
        }
        let len = builder.finish()?;
        Ok(room[..len].to_vec())
    }

    fn id(&self) -> TransactionId {
        let mut id = [0x5a; 12];
        id[..8].copy_from_slice(&self.transaction.to_be_bytes());
        TransactionId(id)
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Hello {
            if let &[high, low] = bytes {
                let port = u16::from_be_bytes([high, low]);
                self.relay = Some(SocketAddr::new(self.server, port));
                self.stage = Stage::Ready;
            }
            return;
        }
        let Ok(message) = Message::decode(bytes) else { return };
        if message.transaction_id() != self.id() || self.is_settled() {
            return;
        }
        match message.class() {
            Class::Success => self.succeeded(&message),
            Class::Error => self.refused(&message),
            _ => return,
        }
        // The next request is another one, and is asked at once.
        self.transaction += 1;
        self.asked_at = None;
    }

    fn succeeded(&mut self, message: &Message<'_>) {
        self.stage = match self.stage {
            Stage::Allocate => {
                self.relay = message.xor_address(AttributeKind::XOR_RELAYED_ADDRESS).ok().flatten();
                Stage::Bind
            }
            _ => Stage::Ready,
        };
    }

    fn refused(&mut self, message: &Message<'_>) {
        let code = message.error_code().ok().flatten().map(|(code, _)| code);
        let challenge = code == Some(ErrorCode::UNAUTHENTICATED) && self.key.is_none()
            || code == Some(ErrorCode::STALE_NONCE);
        if !challenge {
            self.failure = Some(format!("{:?} was refused: {code:?}", self.stage));
            self.stage = Stage::Failed;
            return;
        }
        let text = |kind| message.find(kind).unwrap_or_default().to_vec();
        self.realm = text(AttributeKind::REALM);
        self.nonce = text(AttributeKind::NONCE);
        self.key = Some(Key::long_term(
            PasswordAlgorithm::Md5,
            self.user.as_bytes(),
            &self.realm,
            self.password.as_bytes(),
        ));
    }
}

/// Brings all clients to where they are ready; an error says why the first one is not.
pub(crate) fn settle(clients: &mut [Client], patience: Duration) -> Result<()> {
    let give_up_at = clock::now() + patience;
    let mut waiting: Vec<usize> = (0..clients.len()).rev().collect();
    let mut asking: Vec<usize> = Vec::new();
    while !(waiting.is_empty() && asking.is_empty()) {
        while asking.len() < WINDOW
            && let Some(next) = waiting.pop()
        {
            asking.push(next);
        }
        let now = clock::now();
        if now >= give_up_at {
            bail!("{} of {} clients are not served", waiting.len() + asking.len(), clients.len());
        }
        for &index in &asking {
            clients[index].step(now)?;
        }
        asking.retain(|&index| !clients[index].is_settled());
    }
    match clients.iter().find_map(|client| client.failure.as_ref()) {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

/// Asks for all allocations to live on.
pub(crate) fn refresh(clients: &mut [Client], patience: Duration) -> Result<()> {
    for client in clients.iter_mut().filter(|client| client.framing != Framing::Bare) {
        client.stage = Stage::Refresh;
        client.asked_at = None;
    }
    settle(clients, patience)
}
