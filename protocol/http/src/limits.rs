//! The bounds of one connection's decoder.

/// What a decoder accepts. The defaults suit a public server; a client that follows an endless
/// stream raises the body limit with `set_body_bytes_max` once the head is there.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest head in bytes, first line and blank line included: 431 beyond. At most 65,535.
    pub head_bytes_max: usize,
    /// Longest request target in bytes: 414 beyond.
    pub target_bytes_max: usize,
    /// Most header lines: 431 beyond. At most [`HEADERS_COUNT_MAX`](crate::HEADERS_COUNT_MAX).
    pub headers_count_max: usize,
    /// Longest body in payload bytes: 413 beyond. `u64::MAX` is no limit.
    pub body_bytes_max: u64,
    /// Longest chunk-size line in bytes, extensions included: 400 beyond.
    pub chunk_line_bytes_max: usize,
    /// Longest trailer section in bytes: 431 beyond.
    pub trailer_bytes_max: usize,
    /// Requests on one connection; the last one says `keep_alive: false`. 0 is no limit.
    pub requests_count_max: u32,
    /// Whether HTTP/1.1 without `Host` is refused with 400 (RFC 9112 §3.2).
    pub host_required: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 8192,
            target_bytes_max: 4096,
            headers_count_max: 64,
            body_bytes_max: 1 << 20,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 4096,
            requests_count_max: 0,
            host_required: true,
        }
    }
}

impl Limits {
    /// The same with the fields that have a hard ceiling brought under it.
    pub(crate) fn clamped(mut self) -> Limits {
        self.head_bytes_max = self.head_bytes_max.min(usize::from(u16::MAX));
        self.headers_count_max = self.headers_count_max.min(crate::HEADERS_COUNT_MAX);
        self
    }
}
