//! What the operator is told.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use protocol_turn::{Counters, Release};

/// An allocation that ended, for the access log.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whose it was, what it relayed, and why it ended.
    pub release: Release,
    /// Its relayed addresses as the world saw them; none where it never had one.
    pub relayed: [Option<SocketAddr>; 2],
    /// How long it was there.
    pub lasted: Duration,
}

/// What a relay counted since it began, and what it holds now.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The protocol's counters.
    pub counters: Counters,
    /// Allocations now.
    pub allocation_count: usize,
    /// Permissions now; some may have passed their time.
    pub permission_count: usize,
    /// Channels now; some may have passed their time.
    pub channel_count: usize,
    /// Connections with peers now (RFC 6062).
    pub connection_count: usize,
    /// Streams of clients now.
    pub stream_count: usize,
    /// Data that streams were too slow for, in packets.
    pub stream_drops: u64,
    /// Streams that were closed because they took nothing, or spoke no TURN.
    pub streams_closed: u64,
    /// Clients' connections that found no room.
    pub streams_refused: u64,
    /// TLS handshakes that waited for their turn.
    pub handshakes_delayed: u64,
    /// TLS sessions that failed.
    pub tls_failures: u64,
    /// Datagrams that the machine could not send.
    pub send_failures: u64,
    /// Time from a packet's arrival on the shard to its leaving, microseconds.
    pub packet_us: Histogram<u32>,
}

/// A histogram for [`Stats::packet_us`].
pub(crate) fn packet_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 10_000_000, 2).expect("valid bounds")
}
