//! Every bound of the server in one place, and what happens at it.

use std::time::Duration;

/// Connections of one shard: what comes beyond is answered 503. Some of the machine's sockets are
/// kept for those answers and for the acceptor.
pub fn connections_max(sockets_max: u32) -> usize {
    (sockets_max as usize).saturating_sub(CONNECTIONS_SPARE).max(1)
}

/// Connections beyond the limit that can be told so at the same time; further ones are closed.
pub const CONNECTIONS_SPARE: usize = 64;

/// Bytes of unread requests that may wait while an answer is being sent. Beyond it receiving
/// pauses, and TCP holds the client back.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Once a send has so many bytes no further request is looked at until the client has taken them.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Longest message that is echoed: 1009 beyond.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Between two requests: closed without a word.
pub const IDLE: Duration = Duration::from_secs(60);

/// From the first byte of a request to its last: 408. A byte now and then does not help.
pub const REQUEST: Duration = Duration::from_secs(10);

/// For a send to be taken: closed.
pub const SEND: Duration = Duration::from_secs(30);

/// For a WebSocket to say something: pinged, and after the same time again closed.
pub const SILENCE: Duration = Duration::from_secs(30);

/// For a refused client that still sends to read why: closed.
pub const LINGER: Duration = Duration::from_secs(1);

/// Files of the root, and their bytes together: the server does not start beyond.
pub const FILES_COUNT_MAX: usize = 10_000;
/// See [`FILES_COUNT_MAX`].
pub const FILES_BYTES_MAX: u64 = 256 << 20;
