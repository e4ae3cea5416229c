//! The bounds of one connection's decoder.

/// What a decoder accepts. The defaults suit a public server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest payload of one ws frame in bytes: 1009 beyond, when its head is there.
    pub frame_bytes_max: u64,
    /// Longest message in bytes, all its ws frames together: 1009 beyond, likewise.
    pub message_bytes_max: u64,
    /// Most ws frames of one message: 1008 beyond. Without it a message of empty ones has no end.
    pub fragments_count_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_count_max: 1024 }
    }
}
