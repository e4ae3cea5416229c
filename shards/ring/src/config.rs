//! Sizes of one ring and of what hangs on it.

use rustix::process::{Resource, getrlimit};
use shards_runtime::{HEADROOM_BYTES, TAILROOM_BYTES};

/// One in so many of the descriptors that a process may open is for a shard's overflow.
const OVERFLOW_SHARE: u64 = 8;

/// The most datagrams that a kernel joins, or leaves joined on loopback (`UDP_MAX_SEGMENTS`).
const JOINED_MAX: u32 = 128;

/// A table larger than this buys nothing that a second shard would not.
const SOCKETS_MAX_DEFAULT: u64 = 20_000;

/// Sizes of one shard's machine. The defaults serve about 20,000 sockets in about 6 MB.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Entries of the submission queue, a power of two. When it is full the machine submits.
    pub submissions_max: u32,
    /// Entries of the completion queue, a power of two, at least as many as submissions.
    pub completions_max: u32,
    /// Slots of the socket table; at most `RLIMIT_NOFILE`, which the kernel demands.
    pub sockets_max: u32,
    /// Datagram sockets that may be open besides, as ordinary descriptors of the process, when the
    /// table is full.
    pub overflow_sockets_max: u32,
    /// Buffers that receive from streams; at most 32,768.
    pub stream_buffers_count: u16,
    /// Size of each of them.
    pub stream_buffer_bytes: u32,
    /// Buffers that receive datagrams; at most 32,768.
    pub datagram_buffers_count: u16,
    /// The largest datagram that is received; longer ones are dropped. With `udp_gro` it is 65,536.
    pub datagram_buffer_bytes: u32,
    /// Let the kernel join datagrams of one sender (`UDP_GRO`). Each buffer then takes 72 KiB.
    pub udp_gro: bool,
    /// While datagrams flow a sleep lasts at least so long unless many came, µs: one call into the
    /// kernel then brings several of them. It bounds how often a shard is woken, and is what a
    /// datagram may wait. After a pause the first one wakes at once. 0: each wakes.
    pub gather_us: u32,
}

impl Default for RingConfig {
    fn default() -> Self {
        let open_files_max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        RingConfig {
            submissions_max: 4_096,
            completions_max: 16_384,
            sockets_max: open_files_max.min(SOCKETS_MAX_DEFAULT) as u32,
            overflow_sockets_max: (open_files_max / OVERFLOW_SHARE).min(SOCKETS_MAX_DEFAULT) as u32,
            stream_buffers_count: 1_024,
            stream_buffer_bytes: 4_096,
            datagram_buffers_count: 256,
            datagram_buffer_bytes: 2_048,
            udp_gro: false,
            gather_us: 500,
        }
    }
}

impl RingConfig {
    /// Payload bytes that a datagram buffer holds.
    pub(crate) fn datagram_payload_bytes(&self) -> u32 {
        if self.udp_gro { 65_536 } else { self.datagram_buffer_bytes }
    }

    /// Room behind the payload, where joined datagrams are moved apart.
    pub(crate) fn datagram_tail_bytes(&self) -> u32 {
        let gaps = if self.udp_gro { JOINED_MAX } else { 0 };
        gaps * HEADROOM_BYTES as u32 + TAILROOM_BYTES as u32
    }
}
