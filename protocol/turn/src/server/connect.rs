//! TCP with peers (RFC 6062): Connect, ConnectionAttempt, ConnectionBind.
//!
//! ```text
//! Connect ──► Making ──connected──► Waiting ──ConnectionBind──► Joined ──► gone
//! a peer connects ─────────────────►   │ 30 s                      either end closed
//! ```
//!
//! A Connect is consent by itself, as ChannelBind is: who asked has shown who he is, and the policy
//! says where to. Who connects from outside needs a permission.
//!
//! Invariant: a connection that the driver was told of ends with exactly one `Disconnect`, or was
//! ended by the driver's `PeerClosed`.

use super::Server;
use super::allocate::bad;
use super::answer::Asker;
use super::prove::Proof;
use crate::bucket::seconds;
use crate::client::{Client, Transport};
use crate::counters::DropCause;
use crate::exchange::{AllocationId, ConnectionId, Output, RelayTransport};
use protocol_stun::{AttributeKind, Builder, Class, ErrorCode, Message, Method};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// All connections with peers.
pub(super) struct Connections {
    by_id: BTreeMap<ConnectionId, Connection>,
    /// Streams of clients that carry a peer's data.
    by_client: BTreeMap<Client, ConnectionId>,
    /// When each that is being made or waits gives up, in order; some are out of date.
    ends: VecDeque<(Instant, ConnectionId)>,
    next_id: u32,
    /// Which of how many servers with this seed: their names differ, so that a stream that comes
    /// to another than it should finds nothing there.
    share: (u32, u32),
}

struct Connection {
    allocation: AllocationId,
    peer: SocketAddr,
    stage: Stage,
}

enum Stage {
    /// The driver connects; this is who wants to know.
    Making(Box<Asker>, Instant),
    /// For its ConnectionBind, until then.
    Waiting(Instant),
    Joined(Client),
}

impl Connections {
    /// None yet. The first name is not the same for every server.
    pub(super) fn new(seed: &[u8; 32]) -> Connections {
        let [a, b, c, d, ..] = *seed;
        Connections {
            by_id: BTreeMap::new(),
            by_client: BTreeMap::new(),
            ends: VecDeque::new(),
            next_id: u32::from_be_bytes([a, b, c, d]),
            share: (0, 1),
        }
    }

    /// From here on, only names of this share.
    pub(super) fn set_share(&mut self, index: u16, count: u16) {
        let (index, count) = (u32::from(index), u32::from(count));
        self.share = (index, count);
        let first = self.next_id / count * count;
        self.next_id = first.checked_add(index).unwrap_or(index);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.front().map(|(at, _)| *at)
    }

    fn insert(&mut self, connection: Connection, until: Instant) -> ConnectionId {
        // A name comes back when the numbers are used up; it is free then, or the next one is.
        let (index, step) = self.share;
        let next = |id: u32| id.checked_add(step).unwrap_or(index);
        while self.by_id.contains_key(&ConnectionId(self.next_id)) {
            self.next_id = next(self.next_id);
        }
        let id = ConnectionId(self.next_id);
        self.next_id = next(self.next_id);
        self.by_id.insert(id, connection);
        self.ends.push_back((until, id));
        id
    }
}

impl Server {
    /// A TCP connection to a peer (§5.2).
    pub(super) fn connect(
        &mut self,
        now: Instant,
        asker: &Asker,
        proof: &Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let id = self.own_allocation(&asker.client, &proof.name)?;
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if allocation.transport != RelayTransport::Tcp {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let peer = message.xor_address(AttributeKind::XOR_PEER_ADDRESS).map_err(bad)?;
        let peer = peer.ok_or(ErrorCode::BAD_REQUEST)?;
        if !allocation.has_family_of(&peer) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        let policy = &self.config.policy;
        if !policy.permits(peer.ip()) || !policy.permits_endpoint(peer) {
            return Err(ErrorCode::FORBIDDEN);
        }
        let is_same = |known: &Connection| known.allocation == id && known.peer == peer;
        let known = self.connections.by_id.values().find(|known| is_same(known));
        if let Some(known) = known {
            // The same request again: its answer is on its way.
            let is_repeated =
                matches!(&known.stage, Stage::Making(first, _) if first.id == asker.id);
            if is_repeated {
                self.counters.drop_one(DropCause::Repeated);
                return Ok(());
            }
            return Err(ErrorCode::CONNECTION_ALREADY_EXISTS);
        }
        if allocation.connection_count >= self.limits.connection_count_max {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        allocation.connection_count += 1;
        let until = now + seconds(self.limits.connection_s);
        let stage = Stage::Making(Box::new(asker.clone()), until);
        let made = Connection { allocation: id, peer, stage };
        let connection = self.connections.insert(made, until);
        self.outputs.push_back(Output::Connect { allocation: id, connection, peer });
        Ok(())
    }

    /// The driver connected to a peer, or could not.
    pub(super) fn connected(&mut self, now: Instant, id: ConnectionId, is_connected: bool) {
        let until = now + seconds(self.limits.connection_s);
        let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
        if !matches!(connection.stage, Stage::Making(..)) {
            return;
        }
        let stage = std::mem::replace(&mut connection.stage, Stage::Waiting(until));
        let Stage::Making(asker, _) = stage else { return };
        if is_connected {
            self.connections.ends.push_back((until, id));
            self.succeed(&asker, |builder| {
                builder.u32(AttributeKind::CONNECTION_ID, id.0);
            });
        } else {
            self.forget_connection(id);
            self.fail(&asker, ErrorCode::CONNECTION_TIMEOUT);
        }
    }

    /// A peer connected to a relayed address (§5.3).
    pub(super) fn peer_connected(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: SocketAddr,
        handle: u64,
    ) {
        let count_max = self.limits.connection_count_max;
        let allocation = self.table.get_mut(id).filter(|allocation| {
            allocation.is_live()
                && allocation.transport == RelayTransport::Tcp
                && allocation.permits(peer.ip(), now)
                && allocation.connection_count < count_max
        });
        let Some(allocation) = allocation else {
            self.counters.drop_one(DropCause::NoPermission);
            return self.outputs.push_back(Output::Refuse { handle });
        };
        allocation.connection_count += 1;
        let client = allocation.client;
        let until = now + seconds(self.limits.connection_s);
        let made = Connection { allocation: id, peer, stage: Stage::Waiting(until) };
        let connection = self.connections.insert(made, until);
        self.outputs.push_back(Output::Keep { handle, connection });
        let mut buffer = [0; 64];
        let (class, name) = (Class::Indication, self.next_indication());
        let mut builder = Builder::new(&mut buffer, class, Method::CONNECTION_ATTEMPT, name);
        builder.u32(AttributeKind::CONNECTION_ID, connection.0);
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        let used = builder.finish().expect("64 bytes hold header, name and address");
        self.send(client, &buffer[..used]);
    }

    /// A stream that shall carry a peer's data (§5.4).
    pub(super) fn connection_bind(
        &mut self,
        asker: &Asker,
        proof: &Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let client = asker.client;
        let id = message.u32(AttributeKind::CONNECTION_ID).map_err(bad)?;
        let id = ConnectionId(id.ok_or(ErrorCode::BAD_REQUEST)?);
        let is_free = client.transport == Transport::Stream && self.table.find(&client).is_none();
        let connection = self.connections.by_id.get_mut(&id).filter(|_| is_free);
        let connection = connection.ok_or(ErrorCode::BAD_REQUEST)?;
        let allocation = self.table.get(connection.allocation).ok_or(ErrorCode::BAD_REQUEST)?;
        if *allocation.name != *proof.name || !matches!(connection.stage, Stage::Waiting(_)) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        connection.stage = Stage::Joined(client);
        self.connections.by_client.insert(client, id);
        self.succeed(asker, |builder| {
            builder.u32(AttributeKind::CONNECTION_ID, id.0);
        });
        self.outputs.push_back(Output::Join { connection: id, client });
        Ok(())
    }

    /// Counts what passed a joined connection; the answer is until when the driver takes no more
    /// of it, where a bandwidth limit is passed.
    pub fn spliced(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        to_peer_bytes: usize,
        to_client_bytes: usize,
    ) -> Option<Instant> {
        let id = self.connections.by_id.get(&connection)?.allocation;
        let (allocation, user_bucket) = self.table.with_bucket(id)?;
        for usage in [&mut allocation.usage, &mut self.counters.usage] {
            usage.to_peer_packets += u64::from(to_peer_bytes > 0);
            usage.to_peer_bytes += to_peer_bytes as u64;
            usage.to_client_packets += u64::from(to_client_bytes > 0);
            usage.to_client_bytes += to_client_bytes as u64;
        }
        let bytes = (to_peer_bytes + to_client_bytes) as u64;
        let own = self.limits.allocation_bytes_rate;
        let users = self.limits.user_bytes_rate;
        let own = own.map(|rate| allocation.bucket.owe(now, rate, bytes));
        let users = users.map(|rate| user_bucket.owe(now, rate, bytes));
        let wait = own.max(users).filter(|wait| *wait > Duration::ZERO)?;
        now.checked_add(wait)
    }

    /// How many connections with peers there are.
    pub fn connection_count(&self) -> usize {
        self.connections.by_id.len()
    }

    /// The driver's end of a connection is gone.
    pub(super) fn forget_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.by_id.remove(&id) else { return };
        if let Stage::Joined(client) = connection.stage {
            self.connections.by_client.remove(&client);
        }
        if let Some(allocation) = self.table.get_mut(connection.allocation) {
            allocation.connection_count -= 1;
        }
        if let Stage::Making(asker, _) = connection.stage {
            self.fail(&asker, ErrorCode::CONNECTION_TIMEOUT);
        }
    }

    /// A client's stream ended: the peer's end with it, if it carried a peer's data.
    pub(super) fn data_stream_closed(&mut self, client: &Client) {
        if let Some(id) = self.connections.by_client.get(client).copied() {
            self.disconnect(id);
        }
    }

    /// Ends what was not made, or not fetched, in time.
    pub(super) fn expire_connections(&mut self, now: Instant) {
        while let Some((at, id)) = self.connections.ends.front().copied() {
            if now < at {
                break;
            }
            self.connections.ends.pop_front();
            let is_over = self.connections.by_id.get(&id).is_some_and(|connection| {
                matches!(connection.stage, Stage::Making(_, until) | Stage::Waiting(until)
                    if until <= now)
            });
            if is_over {
                self.disconnect(id);
            }
        }
    }

    /// Ends all connections of an allocation.
    pub(super) fn end_connections_of(&mut self, allocation: AllocationId) {
        let count = self.table.get(allocation).map_or(0, |it| it.connection_count);
        if count == 0 {
            return;
        }
        let own = self.connections.by_id.iter().filter(|(_, it)| it.allocation == allocation);
        for id in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.disconnect(id);
        }
    }

    fn disconnect(&mut self, id: ConnectionId) {
        self.outputs.push_back(Output::Disconnect(id));
        self.forget_connection(id);
    }
}
