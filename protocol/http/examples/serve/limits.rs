//! Every bound of the server that is not the machine's own, and what happens at it.

use std::time::Duration;

use protocol_http::server::{AddressLimits, Settings};

/// Connections of one shard: what comes beyond is answered 503. Some of the machine's sockets are
/// kept for those answers and for the acceptor.
pub fn connections_max(sockets_max: u32) -> usize {
    (sockets_max as usize).saturating_sub(CONNECTIONS_SPARE).max(1)
}

/// Connections beyond the limit that can be told so at the same time; further ones are closed.
pub const CONNECTIONS_SPARE: usize = 64;

/// Longest body that is counted: 413 beyond.
pub const BODY_BYTES_MAX: u64 = 1 << 20;

/// Longest body that is said again, and so is held until its end: 413 beyond.
pub const MIRROR_BYTES_MAX: u64 = 64 << 10;

/// Longest message that is echoed: 1009 beyond.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// How much of a file one send carries at most, beside other answers.
pub const BLOCK_BYTES_MAX: u32 = 256 * 1024;

/// For a WebSocket to say something: pinged, and after the same time again closed.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Steps of TLS handshakes in one tick: a storm of them delays nobody else.
pub const HANDSHAKES_PER_TICK_MAX: u32 = 8;

/// Answers of the storage thread in one tick.
pub const FILES_PER_TICK_MAX: usize = 256;

/// Times and sizes of a connection.
pub fn settings() -> Settings {
    Settings::default()
}

/// What one address may have of a shard. Generous: one load generator is one address.
pub fn addresses() -> AddressLimits {
    AddressLimits {
        connections_max: 50_000,
        requests_per_second_max: 10_000_000,
        ..AddressLimits::default()
    }
}
