//! Every bound of the server in one place, and what they add up to.
//!
//! *Invariant:* the process never holds more than [`Limits::memory_bytes_max`]; the simulator
//! checks it, and the number is printed at start.

use crate::define::keys;

keys! {
    /// Bounds. Each says what happens when it is reached.
    pub struct Limits in "limits", const DEFAULTS {
        /// Connections of all kinds at once; another is refused (403).
        clients_max: u32 = 100_000, within(1, 4_000_000);

        /// Connections of one address (of one /64 for IPv6) at once, counted by each shard; another
        /// is refused (403). 0 is no limit. Trusted proxies have none.
        address_connections_max: u32 = 0, within(0, 1_000_000);

        /// Requests of one address for each second, counted by each shard; another is answered 429.
        /// 0 is no limit. Trusted proxies have none.
        address_requests_per_second_max: u32 = 0, within(0, 1_000_000);

        /// Requests that one connection may carry before it is closed, where it is kept at all. 0
        /// is no limit.
        connection_requests_max: u32 = 1_000, within(0, 1_000_000);

        /// How long a connection may be kept without a request.
        idle_timeout_ms: u64 = 15_000, within(100, 600_000);

        /// Sources and pulls at once; another is refused (403).
        sources_max: u32 = 256, within(1, 100_000);

        /// Mounts that the server knows at once, configured ones included; a source for another is
        /// refused (403).
        mounts_max: u32 = 4_096, within(1, 100_000);

        /// A request head must be complete after so long; otherwise 408.
        header_timeout_ms: u64 = 15_000, within(100, 600_000);

        /// A request body must be complete after so long; otherwise 408.
        body_timeout_ms: u64 = 30_000, within(100, 600_000);

        /// Bytes of a request head; a longer one is refused (431).
        head_bytes_max: usize = 8_192, within(1_024, 65_536);

        /// Bytes of a request body, sources excepted; a longer one is refused (413).
        body_bytes_max: usize = 65_536, within(1_024, 16_777_216);

        /// The largest `window_bytes` that a mount may have.
        window_bytes_max: usize = 524_288, within(16_384, 1 << 30);

        /// Sends that a shard starts in one tick; the rest wait for the next. It bounds how long a
        /// tick takes.
        sends_per_tick_max: u32 = 96, within(1, 65_536);

        /// Questions of a shard that wait for control, each with its request's body; another is
        /// answered 503.
        asks_in_flight_max: u32 = 2_048, within(1, 65_536), restart();

        /// Bytes of files that a shard is reading or has read and not sent; further reads wait.
        file_read_bytes_max: usize = 67_108_864, within(1_048_576, 1 << 32), restart();

        /// Bytes of small files that a shard keeps in memory.
        file_cache_bytes_max: usize = 33_554_432, within(0, 1 << 32), restart();

        /// Receive buffers (4 KiB each) that a shard lends the kernel, a power of two. When all are
        /// out, receives wait.
        receive_buffers_count: u32 = 1_024, within(16, 32_768), restart(),
            check(|limits| power_of_two(limits.receive_buffers_count));

        /// Sockets that a shard holds; it accepts no more until one is closed.
        sockets_per_shard_max: u32 = 65_536, within(64, 1_048_576), restart();

        /// Messages from one shard to another that may be under way. A full queue makes the sender
        /// try again at its next tick.
        mesh_queue_messages: u32 = 1_024, within(64, 65_536), restart();
    }
}

impl Limits {
    /// What the process can hold at most with so many shards, in bytes, but for its code.
    pub fn memory_bytes_max(&self, shards_count: usize) -> u64 {
        self.memory_terms(shards_count).iter().fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    /// The terms of [`Limits::memory_bytes_max`], to print.
    pub fn memory_terms(&self, shards_count: usize) -> [MemoryTerm; 7] {
        let shards = shards_count as u64;
        let sockets = u64::from(self.sockets_per_shard_max).saturating_mul(shards);
        let connections = sockets.min(u64::from(self.clients_max));
        let window = self.window_bytes_max as u64;
        // A stream is kept once as it came and once with title blocks in it.
        let feeds = 2 * u64::from(self.sources_max);
        // Control is a participant of the mesh beside the shards.
        let queues = shards.saturating_add(1).saturating_pow(2);
        [
            // Each connection: its slot, its timer, and what is queued for it to send.
            MemoryTerm::new("connections", connections, CONNECTION_BYTES),
            // Each connection may be in the middle of a request head, at its own pace.
            MemoryTerm::new("request heads", connections, self.head_bytes_max as u64),
            // A body is collected only for a request that will be asked of control.
            MemoryTerm::new(
                "request bodies",
                shards.saturating_mul(u64::from(self.asks_in_flight_max)),
                self.body_bytes_max as u64,
            ),
            // Each feed: its window, the block that is being filled, and the oldest block, of which
            // one byte in the window keeps all.
            MemoryTerm::new("windows", feeds, window + 2 * BLOCK_BYTES),
            // Each shard may subscribe to each feed, with a reference for each chunk in the window.
            MemoryTerm::new(
                "chunk references",
                shards.saturating_mul(feeds),
                (window / CHUNK_BYTES_MIN) * CHUNK_REFERENCE_BYTES,
            ),
            // Each shard: the buffers it lends the kernel, and the ring with its operation table.
            MemoryTerm::new(
                "rings",
                shards,
                u64::from(self.receive_buffers_count) * RECEIVE_BUFFER_BYTES
                    + u64::from(self.sockets_per_shard_max) * OPERATION_BYTES,
            ),
            // Each ordered pair of participants: a queue of whole messages.
            MemoryTerm::new("mesh", queues, u64::from(self.mesh_queue_messages) * MESSAGE_BYTES),
        ]
    }
}

/// One summand of the memory bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryTerm {
    /// What is counted.
    pub name: &'static str,
    /// How many there can be.
    pub count: u64,
    /// How large one can be.
    pub each_bytes: u64,
    /// Both multiplied.
    pub bytes: u64,
}

impl MemoryTerm {
    pub(crate) fn new(name: &'static str, count: u64, each_bytes: u64) -> Self {
        MemoryTerm { name, count, each_bytes, bytes: count.saturating_mul(each_bytes) }
    }
}

fn power_of_two(count: u32) -> Result<(), String> {
    if count.is_power_of_two() {
        return Ok(());
    }
    let below = 1 << count.ilog2();
    Err(format!("expected a power of two such as {below} or {}, found {count}", below * 2))
}

/// What SPEC promises for a listener, all included.
const CONNECTION_BYTES: u64 = 1_024;

/// A block of `media/mount`.
const BLOCK_BYTES: u64 = 65_536;

/// Chunks shorter than this on average do not occur while a window is full: they are closed by age,
/// and a stream so slow does not fill it.
const CHUNK_BYTES_MIN: u64 = 512;

/// A chunk: offset, block, range, sync.
const CHUNK_REFERENCE_BYTES: u64 = 64;

/// A provided buffer of `shards/ring` for streams.
const RECEIVE_BUFFER_BYTES: u64 = 4_096;

/// An entry of the operation table for receiving and one for sending, for each socket.
const OPERATION_BYTES: u64 = 256;

/// As `engine/node` asserts for its message.
const MESSAGE_BYTES: u64 = 64;

// How the defaults relate.
const _: () = {
    let limits = Limits::DEFAULTS;
    assert!(limits.window_bytes_max as u64 >= 2 * BLOCK_BYTES, "a window has several blocks");
    assert!(limits.sources_max <= limits.mounts_max, "each source has a mount");
    assert!(limits.sources_max < limits.clients_max, "sources are clients too");
    assert!(limits.head_bytes_max <= 2 * RECEIVE_BUFFER_BYTES as usize, "a head is few receives");
    assert!(limits.header_timeout_ms <= limits.body_timeout_ms, "a body is longer than a head");
    assert!(limits.receive_buffers_count.is_power_of_two(), "the kernel masks the index");
    assert!(limits.sends_per_tick_max < limits.sockets_per_shard_max, "a tick is part of a round");
    assert!(limits.mesh_queue_messages >= 64, "a tick takes 64 messages from each sibling");
};
