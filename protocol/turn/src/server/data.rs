//! Data, both ways: found where it lies, and sent from there.
//!
//! ```text
//! from a client   | number, length | data |           -> data, to the peer
//!                 | header | peer | DATA | data | … | -> data, to the peer
//! from a peer     …headroom…| data |                  -> | number, length | data |
//!                                                     or | header | peer | DATA | data | pad |
//! ```
//!
//! Invariant: no `To::Peer` leaves but from `send_to_peer`, behind permission and policy.

use super::Server;
use crate::bucket::Bucket;
use crate::client::{Client, Transport};
use crate::config::Limits;
use crate::counters::DropCause;
use crate::exchange::{AllocationId, Output, Payload, RelayTransport, To, Transmit};
use protocol_stun::{
    AttributeKind, Builder, CHANNEL_HEADER_BYTES, ChannelData, Class, HEADER_BYTES, Icmp, Message,
    Method, TransactionId,
};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

/// More data than this a Data indication cannot carry; no datagram has as much.
const DATA_BYTES_MAX: usize = 65_000;

/// The longest head of a Data indication: header, an IPv6 peer, the head of DATA.
const INDICATION_HEAD_BYTES_MAX: usize = HEADER_BYTES + 24 + 4;

impl Server {
    /// ChannelData of a client (RFC 8656 §12.6).
    pub(super) fn channel_data(&mut self, now: Instant, client: Client, bytes: &[u8]) {
        let Ok(ChannelData { number, data }) = ChannelData::decode(bytes) else {
            return self.counters.drop_one(DropCause::Malformed);
        };
        let Some(id) = self.table.find_sender(&client) else {
            return self.counters.drop_one(DropCause::NoAllocation);
        };
        let peer = self.table.get(id).and_then(|allocation| allocation.peer_of(number, now));
        match peer {
            Some(peer) => self.send_to_peer(now, id, peer, data, false),
            None => self.counters.drop_one(DropCause::NoChannel),
        }
    }

    /// A Send indication (RFC 8656 §11.2).
    pub(super) fn send_indication(&mut self, now: Instant, client: Client, message: &Message<'_>) {
        let known =
            [AttributeKind::XOR_PEER_ADDRESS, AttributeKind::DATA, AttributeKind::DONT_FRAGMENT];
        let dont_fragment = message.find(AttributeKind::DONT_FRAGMENT).is_some();
        let peer = message.xor_address(AttributeKind::XOR_PEER_ADDRESS);
        let data = message.range_of(AttributeKind::DATA);
        let (Ok(Some(peer)), Some(data)) = (peer, data) else {
            return self.counters.drop_one(DropCause::Malformed);
        };
        if message.unknown_required(&known).next().is_some()
            || dont_fragment && !self.config.has_dont_fragment
        {
            return self.counters.drop_one(DropCause::Unexpected);
        }
        match self.table.find_sender(&client) {
            Some(id) => self.send_to_peer(now, id, peer, data, dont_fragment),
            None => self.counters.drop_one(DropCause::NoAllocation),
        }
    }

    /// A datagram of a peer (RFC 8656 §11.3, §12.7).
    pub(super) fn peer_sent(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: SocketAddr,
        buffer: &mut [u8],
        data: Range<usize>,
    ) {
        let data_bytes = buffer.get(data.clone()).map_or(usize::MAX, <[u8]>::len);
        if data_bytes > DATA_BYTES_MAX {
            return self.counters.drop_one(DropCause::Malformed);
        }
        let Some((allocation, user_bucket)) = self.table.with_bucket(id) else {
            return self.counters.drop_one(DropCause::NoAllocation);
        };
        let is_permitted = allocation.is_live()
            && allocation.has_family_of(&peer)
            && allocation.permits(peer.ip(), now);
        if !is_permitted {
            return self.counters.drop_one(DropCause::NoPermission);
        }
        if !may_pass(&self.limits, now, &mut allocation.bucket, user_bucket, data_bytes) {
            return self.counters.drop_one(DropCause::Bandwidth);
        }
        for usage in [&mut allocation.usage, &mut self.counters.usage] {
            usage.to_client_packets += 1;
            usage.to_client_bytes += data_bytes as u64;
        }
        let client = allocation.client;
        // Fits: DATA_BYTES_MAX is below 2^16.
        let length = data_bytes as u16;
        let payload = match allocation.channel_of(&peer, now) {
            Some(number) => {
                let is_stream = client.transport == Transport::Stream;
                let padding = if is_stream { padding_of(data_bytes) } else { 0 };
                self.frame(&ChannelData::header(number, length), buffer, data, padding)
            }
            None => {
                let mut head = [0; INDICATION_HEAD_BYTES_MAX];
                let used = self.indication_head(&mut head, peer, length);
                self.frame(&head[..used], buffer, data, padding_of(data_bytes))
            }
        };
        self.outputs.push_back(Output::Transmit(Transmit { to: To::Client(client), payload }));
    }

    /// What the network said about a datagram to a peer (RFC 8656 §11.5).
    pub(super) fn network_said(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: SocketAddr,
        icmp: Icmp,
    ) {
        let Some(allocation) = self.table.get(id).filter(|allocation| allocation.is_live()) else {
            return self.counters.drop_one(DropCause::NoAllocation);
        };
        if !allocation.permits(peer.ip(), now) {
            return self.counters.drop_one(DropCause::NoPermission);
        }
        // Unreachable, too big, time exceeded; and of those only what they say of an MTU.
        let (is_told, has_data) = match (peer.is_ipv4(), icmp.kind, icmp.code) {
            (true, 3, 4) | (false, 2, _) => (true, true),
            (true, 3 | 11, _) | (false, 1 | 3, _) => (true, false),
            _ => (false, false),
        };
        if !is_told {
            return self.counters.drop_one(DropCause::Unexpected);
        }
        let icmp = Icmp { data: if has_data { icmp.data } else { 0 }, ..icmp };
        let client = allocation.client;
        let mut buffer = [0; 64];
        let name = self.next_indication();
        let mut builder = Builder::new(&mut buffer, Class::Indication, Method::DATA, name);
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer).icmp(icmp);
        let used = builder.finish().expect("64 bytes hold header, address and ICMP");
        self.send(client, &buffer[..used]);
    }

    /// The only way to a peer.
    fn send_to_peer(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: SocketAddr,
        data: Range<usize>,
        dont_fragment: bool,
    ) {
        let Some((allocation, user_bucket)) = self.table.with_bucket(id) else {
            return self.counters.drop_one(DropCause::NoAllocation);
        };
        let is_permitted = allocation.is_live()
            && allocation.transport == RelayTransport::Udp
            && allocation.has_family_of(&peer)
            && allocation.permits(peer.ip(), now);
        if !is_permitted {
            return self.counters.drop_one(DropCause::NoPermission);
        }
        if !self.config.policy.permits_endpoint(peer) {
            return self.counters.drop_one(DropCause::Forbidden);
        }
        if !may_pass(&self.limits, now, &mut allocation.bucket, user_bucket, data.len()) {
            return self.counters.drop_one(DropCause::Bandwidth);
        }
        for usage in [&mut allocation.usage, &mut self.counters.usage] {
            usage.to_peer_packets += 1;
            usage.to_peer_bytes += data.len() as u64;
        }
        let to = To::Peer { allocation: id, peer, dont_fragment };
        self.outputs.push_back(Output::Transmit(Transmit { to, payload: Payload::Input(data) }));
    }

    /// Puts a head before the data and zeros behind it: in the buffer where there is room, else
    /// in a copy.
    fn frame(
        &mut self,
        head: &[u8],
        buffer: &mut [u8],
        data: Range<usize>,
        padding: usize,
    ) -> Payload {
        let end = data.end + padding;
        if let Some(start) = data.start.checked_sub(head.len()).filter(|_| end <= buffer.len()) {
            buffer[start..data.start].copy_from_slice(head);
            buffer[data.end..end].fill(0);
            return Payload::Input(start..end);
        }
        let start = self.written.len();
        self.written.extend_from_slice(head);
        self.written.extend_from_slice(&buffer[data]);
        self.written.resize(self.written.len() + padding, 0);
        Payload::Written(start..self.written.len())
    }

    /// Writes a Data indication up to its data, and says how long that is.
    fn indication_head(&mut self, head: &mut [u8], peer: SocketAddr, data_bytes: u16) -> usize {
        let name = self.next_indication();
        let mut builder = Builder::new(head, Class::Indication, Method::DATA, name);
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        let used = builder.finish().expect("the head has room for an address");
        let end = used + CHANNEL_HEADER_BYTES;
        let length = end - HEADER_BYTES + usize::from(data_bytes).next_multiple_of(4);
        // Fits: DATA_BYTES_MAX leaves room for the head.
        head[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        head[used..used + 2].copy_from_slice(&AttributeKind::DATA.0.to_be_bytes());
        head[used + 2..end].copy_from_slice(&data_bytes.to_be_bytes());
        end
    }

    /// What an indication of ours is called: nobody answers it, so it need only differ.
    pub(super) fn next_indication(&mut self) -> TransactionId {
        self.indication_count = self.indication_count.wrapping_add(1);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.seed[..4]);
        id[4..].copy_from_slice(&self.indication_count.to_be_bytes());
        TransactionId(id)
    }
}

/// Whether both buckets let so many bytes through; then it takes them.
fn may_pass(
    limits: &Limits,
    now: Instant,
    allocation: &mut Bucket,
    user: &mut Bucket,
    bytes: usize,
) -> bool {
    let bytes = bytes as u64;
    let (own, users) = (limits.allocation_bytes_rate, limits.user_bytes_rate);
    let has_own = own.is_none_or(|rate| allocation.has(now, rate, bytes));
    let is_free = has_own && users.is_none_or(|rate| user.take(now, rate, bytes));
    is_free && own.is_none_or(|rate| allocation.take(now, rate, bytes))
}

/// Bytes to the next multiple of four.
const fn padding_of(bytes: usize) -> usize {
    bytes.next_multiple_of(4) - bytes
}
