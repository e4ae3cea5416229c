//! Protocol versions.

/// The version in a first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`: closes unless both sides say keep-alive; knows no chunks.
    Http10,
    /// `HTTP/1.1`
    Http11,
    /// `ICE/1.0`: an old encoder's `SOURCE` request; read as HTTP/1.0.
    Ice10,
    /// `ICY`: SHOUTcast's status line `ICY 200 OK`; the body lasts until the connection closes.
    Icy,
}

impl Version {
    /// The token as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Ice10 => "ICE/1.0",
            Version::Icy => "ICY",
        }
    }
}
