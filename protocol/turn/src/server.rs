//! The machine: inputs go to whom they concern, outputs wait in a queue.
//!
//! Invariants: nothing is kept of who has not shown who he is; every allocation that the driver
//! was told of by `Bind` ends with exactly one `Release`; a datagram goes to a peer in
//! `server/data.rs` only, behind the permission.

mod allocate;
mod answer;
mod connect;
mod data;
mod manage;
mod prove;

use crate::allocation::Allocation;
use crate::bucket::{SourceLimit, seconds};
use crate::client::Client;
use crate::config::{Config, ConfigError, Limits};
use crate::counters::{Counters, DropCause, Usage};
use crate::exchange::{AllocationId, End, Input, Output, Release, ReservationId};
use crate::nonce::Nonces;
use crate::table::Table;
use crate::users::UserChange;
use protocol_stun::{Class, ErrorCode, Family, Message, Method};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

/// A TURN server: see the crate's documentation for how it is driven.
pub struct Server {
    config: Config,
    /// The users' names by their hash.
    user_hashes: BTreeMap<[u8; 32], Vec<u8>>,
    limits: Limits,
    seed: [u8; 32],
    nonces: Nonces,
    sources: SourceLimit,
    /// When the wall clock showed what.
    wall_clock: (Instant, u64),
    table: Table,
    /// Ports that are kept, in the order of their end.
    reservations: VecDeque<Reservation>,
    reservation_count: u64,
    /// Which of how many servers with this seed: their tokens differ.
    share: (u64, u64),
    connections: connect::Connections,
    indication_count: u64,
    outputs: VecDeque<Output>,
    /// What was written during the last input.
    written: Vec<u8>,
    counters: Counters,
}

/// A port that is kept for a second allocation of the same user.
struct Reservation {
    id: ReservationId,
    token: [u8; 8],
    user: Box<[u8]>,
    family: Family,
    expires: Instant,
}

/// An allocation as the operator sees it.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// Its name, for [`Input::Kill`].
    pub allocation: AllocationId,
    /// Whose it is.
    pub client: Client,
    /// The name shown.
    pub user: &'a str,
    /// Its relayed addresses.
    pub relayed: [Option<SocketAddr>; 2],
    /// What it relayed.
    pub usage: Usage,
    /// When it ends if nobody refreshes it.
    pub expires: Instant,
    /// How many permissions hold.
    pub permission_count: usize,
    /// How many channels hold.
    pub channel_count: usize,
}

impl Server {
    /// A server without allocations. `seed` is chance. Servers that share a port share seed and
    /// `now`: the nonces of one are then good at the others. `unix_s` is what the wall clock shows
    /// now.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: there is no server with this configuration.
    pub fn new(
        config: Config,
        limits: Limits,
        seed: [u8; 32],
        now: Instant,
        unix_s: u64,
    ) -> Result<Server, ConfigError> {
        config.check()?;
        Ok(Server {
            nonces: Nonces::new(seed, now, seconds(limits.nonce_s)),
            sources: SourceLimit::new(limits.unproven_rate, seed, now),
            user_hashes: config.credentials.user_hashes(config.realm.as_bytes()),
            config,
            limits,
            seed,
            wall_clock: (now, unix_s),
            table: Table::default(),
            reservations: VecDeque::new(),
            reservation_count: 0,
            share: (0, 1),
            connections: connect::Connections::new(&seed),
            indication_count: 0,
            outputs: VecDeque::new(),
            written: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// The same server as one of several with the same seed: number `index` of `count`. The tokens
    /// of reserved ports and the names of connections that one gives are then nobody else's.
    ///
    /// # Panics
    ///
    /// If `index` is not below `count`.
    #[must_use]
    pub fn with_share(mut self, index: u16, count: u16) -> Server {
        assert!(index < count, "a share is one of them");
        self.share = (index.into(), count.into());
        self.connections.set_share(index, count);
        if count > 1 {
            self.table.users.tell_others();
        }
        self
    }

    /// Takes what happened. Then [`Server::poll`] to none, before the next call: payloads that it
    /// names lie in this input's buffer.
    ///
    /// # Panics
    ///
    /// If outputs of the input before were not taken.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        assert!(self.outputs.is_empty(), "poll to none before the next input");
        self.written.clear();
        self.expire(now);
        match input {
            Input::FromClient { client, bytes } => self.client_sent(now, client, bytes),
            Input::FromPeer { allocation, peer, buffer, data } => {
                self.peer_sent(now, allocation, peer, buffer, data);
            }
            Input::Icmp { allocation, peer, icmp } => {
                self.network_said(now, allocation, peer, icmp)
            }
            Input::Bound { allocation, family, address } => {
                self.bound(now, allocation, family, address);
            }
            Input::Connected { connection, is_connected } => {
                self.connected(now, connection, is_connected);
            }
            Input::PeerConnected { allocation, peer, handle } => {
                self.peer_connected(now, allocation, peer, handle);
            }
            Input::PeerClosed { connection } => self.forget_connection(connection),
            Input::Closed { client } => {
                self.data_stream_closed(&client);
                if let Some(id) = self.table.find(&client) {
                    self.end(id, End::Closed);
                }
            }
            Input::Kill { allocation } => self.end(allocation, End::Killed),
            Input::WallClock { unix_s } => self.wall_clock = (now, unix_s),
            Input::Tick => {}
        }
    }

    /// What is to be done next, until none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Bytes of ours that an output of the last input names.
    pub fn written(&self, range: Range<usize>) -> &[u8] {
        &self.written[range]
    }

    /// When to call with [`Input::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let reservation = self.reservations.front().map(|reservation| reservation.expires);
        let allocation = self.table.next_end().map(|(at, _)| at);
        let connection = self.connections.deadline();
        reservation.into_iter().chain(allocation).chain(connection).min()
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many allocations there are.
    pub fn allocation_count(&self) -> usize {
        self.table.len()
    }

    /// Whether a client has an allocation.
    pub fn has_allocation(&self, client: &Client) -> bool {
        self.table.find(client).is_some()
    }

    /// How many permissions and channels are held; some may have passed their time.
    pub fn held_counts(&self) -> (usize, usize) {
        self.table.held_counts()
    }

    /// All allocations, for the operator.
    pub fn allocations(&self, now: Instant) -> impl Iterator<Item = Summary<'_>> {
        self.table.iter().map(move |(id, allocation)| summary(id, allocation, now))
    }

    /// What the other servers with this seed are to be told
    /// ([`Server::users_changed_elsewhere`]), so that quotas of users count for all of them
    /// together; nothing for who has no others.
    pub fn take_user_changes(&mut self) -> Vec<UserChange> {
        self.table.users.take_changes()
    }

    /// What another server with this seed said: every change once.
    pub fn users_changed_elsewhere(&mut self, changes: &[UserChange]) {
        self.table.users.changed_elsewhere(changes);
    }

    /// Changes what the operator decides. Allocations that are there stay, with the permissions
    /// that they have.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: everything stays as it was.
    pub fn configure(&mut self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.user_hashes = config.credentials.user_hashes(config.realm.as_bytes());
        self.config = config;
        Ok(())
    }

    /// A client's bytes: the first two bits tell what they are (RFC 8656 §12.4).
    fn client_sent(&mut self, now: Instant, client: Client, bytes: &[u8]) {
        if bytes.first().is_some_and(|first| first & 0xC0 == 0x40) {
            return self.channel_data(now, client, bytes);
        }
        let message = match Message::decode(bytes) {
            Ok(message) if !message.has_fingerprint() || message.has_good_fingerprint() => message,
            _ => return self.counters.drop_one(DropCause::Malformed),
        };
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => self.send_indication(now, client, &message),
            (Class::Request, Method::BINDING) => self.binding(now, client, &message),
            (
                Class::Request,
                Method::ALLOCATE
                | Method::REFRESH
                | Method::CREATE_PERMISSION
                | Method::CHANNEL_BIND
                | Method::CONNECT
                | Method::CONNECTION_BIND,
            ) => self.request(now, client, &message),
            // A Binding indication keeps a NAT's door open and wants nothing.
            (Class::Indication, Method::BINDING) => {}
            _ => self.counters.drop_one(DropCause::Unexpected),
        }
    }

    /// A request that needs a proof.
    fn request(&mut self, now: Instant, client: Client, message: &Message<'_>) {
        let proof = match self.prove(now, client, message) {
            Ok(proof) => proof,
            Err(denial) => return self.deny(now, client, message, denial),
        };
        let asker = answer::Asker::proven(client, message, &proof);
        let mut unknown = message.unknown_required(self.known_attributes()).peekable();
        if unknown.peek().is_some() {
            return self.fail_unknown(&asker, unknown);
        }
        let held = self.table.held_of(&client);
        let outcome = match message.method() {
            Method::ALLOCATE => self.allocate(now, &asker, proof, message),
            Method::REFRESH => self.refresh(now, &asker, &proof, message),
            Method::CREATE_PERMISSION => self.create_permission(now, &asker, &proof, message),
            Method::CONNECT => self.connect(now, &asker, &proof, message),
            Method::CONNECTION_BIND => self.connection_bind(&asker, &proof, message),
            _ => self.channel_bind(now, &asker, &proof, message),
        };
        if matches!(message.method(), Method::CREATE_PERMISSION | Method::CHANNEL_BIND) {
            self.table.recount(&client, held);
        }
        if let Err(code) = outcome {
            self.fail(&asker, code);
        }
    }

    /// The live allocation of a client, if this proof is its user's.
    ///
    /// # Errors
    ///
    /// 437 where there is none, 441 where it is another's (RFC 8656 §5).
    fn own_allocation(&self, client: &Client, name: &[u8]) -> Result<AllocationId, ErrorCode> {
        let id = self.table.find(client).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let allocation = self.table.get(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if !allocation.is_live() {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        if *allocation.name != *name {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        Ok(id)
    }

    /// Ends what has passed its time.
    fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.table.next_end().filter(|(at, _)| *at <= now) {
            self.end(id, End::Expired);
        }
        self.expire_connections(now);
        while self.reservations.front().is_some_and(|reservation| reservation.expires <= now) {
            let passed = self.reservations.pop_front().map(|reservation| reservation.id);
            self.outputs.extend(passed.map(Output::Forget));
        }
    }

    fn end(&mut self, id: AllocationId, end: End) {
        self.end_connections_of(id);
        let Some(allocation) = self.table.remove(id) else { return };
        self.outputs.push_back(Output::Release(Box::new(Release {
            allocation: id,
            client: allocation.client,
            user: text(&allocation.name).to_owned(),
            usage: allocation.usage,
            end,
        })));
    }

    /// What the wall clock shows, in seconds of the Unix epoch.
    fn unix_s(&self, now: Instant) -> u64 {
        let (at, unix_s) = self.wall_clock;
        unix_s.saturating_add(now.saturating_duration_since(at).as_secs())
    }
}

fn summary(id: AllocationId, allocation: &Allocation, now: Instant) -> Summary<'_> {
    let (permission_count, channel_count) = allocation.counts(now);
    Summary {
        allocation: id,
        client: allocation.client,
        user: text(&allocation.name),
        relayed: allocation.relayed,
        usage: allocation.usage,
        expires: allocation.expires,
        permission_count,
        channel_count,
    }
}

/// A name as text; it was clean when it was taken.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}
