//! Every bound of a site that is not the machine's own, what happens at it, and what counts it.

use protocol_http::server::{AddressLimits, Counters as HttpCounters, Settings};
use shards_storage::{FileCounters, FileLimits};

/// Connections beyond the limit that can be told so at the same time; further ones are closed
/// without a word. So many of the machine's sockets are kept for that.
pub const CONNECTIONS_SPARE: usize = 64;

/// How much of a file one send carries at most, beside other answers, in bytes.
pub(crate) const BLOCK_BYTES_MAX: u32 = 256 * 1024;

/// Answers of the storage thread in one tick.
pub(crate) const FILES_PER_TICK_MAX: usize = 256;

/// Bodies that a tick asks for more because they were woken; the others are asked in the next.
pub(crate) const WOKEN_PER_TICK_MAX: usize = 256;

/// WebSockets that a tick sends to because something was said to them; the rest is sent in the
/// next.
pub(crate) const SAID_PER_TICK_MAX: usize = 1_024;

/// Orders of a shard to all that may wait, and messages that may be under way to the others before
/// it says another.
pub(crate) const ORDERS_MAX: usize = 256;

/// What bounds one shard of a site. The defaults suit a public server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Times and sizes of a connection; each has a counter of its own there.
    pub http: Settings,
    /// Connections that are served; one beyond is answered 503. Never more than the machine has
    /// sockets, less [`CONNECTIONS_SPARE`].
    pub connections_max: usize,
    /// What one address may have: 503 to a connection beyond, 429 to a request.
    pub addresses: AddressLimits,
    /// Steps of TLS handshakes in one tick; whoever comes later waits for the next, so that a storm
    /// of them delays nobody else.
    pub handshakes_per_tick_max: u32,
    /// Of the files that are being read: 503, or the read waits.
    pub files: FileLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            http: Settings::default(),
            connections_max: usize::MAX,
            addresses: AddressLimits::default(),
            handshakes_per_tick_max: 8,
            files: FileLimits::default(),
        }
    }
}

/// What happened on one shard since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, refused because there were too many.
    pub connections_refused: u64,
    /// Refused because their address had too many.
    pub address_connections_refused: u64,
    /// Requests refused because their address asked too often.
    pub address_requests_refused: u64,
    /// Requests refused because they did not prove who asks.
    pub unauthorised_requests: u64,
    /// Times that a handshake had to wait for the next tick.
    pub handshakes_delayed: u64,
    /// Handshakes that failed, and sessions that broke.
    pub tls_failed: u64,
    /// Connections that became a WebSocket.
    pub websockets: u64,
    /// Of these, closed because too much waited for a client that does not read.
    pub websockets_slow: u64,
    /// Closed because this shard had too many letters to send.
    pub websockets_overloaded: u64,
    /// Answers that began to stream.
    pub streams: u64,
    /// Orders to all shards that were refused because too many waited.
    pub orders_refused: u64,
    /// What happened on connections.
    pub http: HttpCounters,
    /// What the reading of files came to.
    pub files: FileCounters,
}
