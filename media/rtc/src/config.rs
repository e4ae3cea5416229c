//! What a session is told before it starts: who we are, where we can be reached, and how much.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use str0m::config::DtlsCert;

use crate::codec::Codec;

/// How a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, each datagram framed as RFC 4571 says ([`Framer`](crate::Framer)).
    Tcp,
}

/// An address at which the session can be reached, as it is announced to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalCandidate {
    /// The announced address: behind a NAT of one to one, the outer one.
    pub address: SocketAddr,
    /// UDP, or TCP that waits for the peer to connect (passive).
    pub transport: Transport,
}

/// The certificate of our end of DTLS. Made once for a process and shared by all its sessions.
#[derive(Clone)]
pub struct Identity(pub(crate) DtlsCert);

impl Identity {
    /// A new self-signed certificate. Draws from the system's randomness and takes about a
    /// millisecond: not for a shard that is busy.
    pub fn generate() -> Option<Self> {
        let provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider.generate_certificate().map(Self)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Our name and password for ICE (RFC 8445 §5.3): the name finds the session, and what stands at
/// its start is the driver's to read.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    ufrag: String,
    password: String,
}

impl IceCredentials {
    /// Of these; `None` unless both are ICE's letters and as long as RFC 8839 §5.4 wants: 4 to 256
    /// and 22 to 256.
    pub fn new(ufrag: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        let (ufrag, password) = (ufrag.into(), password.into());
        let is_ice = |text: &str, min| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            (min..=256).contains(&text.len()) && text.bytes().all(is_letter)
        };
        (is_ice(&ufrag, 4) && is_ice(&password, 22)).then_some(Self { ufrag, password })
    }

    /// A name that begins with `prefix` and goes on with 48 random bits, and a password of 144.
    /// `None` where the prefix is longer than 64 bytes or has other than ICE's letters.
    pub fn from_random(prefix: &str, random: [u8; 24]) -> Option<Self> {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(32);
        for three in random.chunks_exact(3) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            text.extend([18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize] as char));
        }
        let (name, password) = text.split_at(8);
        let is_short = prefix.len() <= 64;
        is_short.then(|| Self::new(format!("{prefix}{name}"), password)).flatten()
    }

    /// The name (`a=ice-ufrag`).
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password (`a=ice-pwd`).
    pub fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn inner(&self) -> str0m::IceCreds {
        str0m::IceCreds { ufrag: self.ufrag.clone(), pass: self.password.clone() }
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, …)", self.ufrag)
    }
}

/// What the peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Send to us, and get nothing: WHIP.
    Publish,
    /// Get from us, and send nothing: WHEP.
    View,
    /// Both.
    Both,
}

/// How much of everything. What happens at each is written beside it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of an offer or a fragment. Longer is refused.
    pub offer_bytes_max: usize,
    /// Media sections of an offer, closed ones too. More are refused.
    pub sections_max: usize,
    /// Layers of a track. What else comes is dropped and counted.
    pub layers_max: usize,
    /// Packets of a track that wait for the pacer. At this many, [`Session::send`] refuses.
    ///
    /// [`Session::send`]: crate::Session::send
    pub queued_packets_max: usize,
    /// Packets of a sent track of pictures that are kept to be sent again.
    pub resend_packets_max: usize,
    /// Bytes of a message of a data channel, in either direction. Longer ones are refused.
    pub message_bytes_max: u32,
    /// Bytes that may wait in all data channels together. Beyond, sending is refused.
    pub message_buffer_bytes_max: usize,
    /// Without a connection after this long, the session closes.
    pub connect_timeout: Duration,
    /// A connection that was lost may come back (ICE restart) for this long; then the session
    /// closes.
    pub reconnect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            offer_bytes_max: 64 * 1024,
            sections_max: 32,
            layers_max: 4,
            queued_packets_max: 1_000,
            resend_packets_max: 1_000,
            message_bytes_max: 64 * 1024,
            message_buffer_bytes_max: 256 * 1024,
            connect_timeout: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(30),
        }
    }
}

/// How fast a viewer is sent to. All in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitrateBounds {
    /// What the estimate begins with.
    pub start_bps: u64,
    /// What is sent at least, filled up with padding where the network takes it, to find out
    /// whether more would pass.
    pub min_bps: u64,
    /// What is wanted at most: nothing is probed for beyond it.
    pub max_bps: u64,
}

impl Default for BitrateBounds {
    fn default() -> Self {
        Self { start_bps: 1_000_000, min_bps: 0, max_bps: 8_000_000 }
    }
}

/// How sessions are made. One for many.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our certificate; without, each session makes its own.
    pub identity: Option<Identity>,
    /// Where we can be reached, in the order of preference.
    pub candidates: Vec<LocalCandidate>,
    /// What may be spoken.
    pub codecs: Vec<Codec>,
    /// Whether Opus may be wrapped in RED (RFC 2198), against loss.
    pub has_red: bool,
    /// Whether data channels may be opened.
    pub has_data_channels: bool,
    /// How fast a viewer is sent to; `None` sends everything at once and estimates nothing.
    pub bitrate: Option<BitrateBounds>,
    /// Bounds.
    pub limits: Limits,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            identity: None,
            candidates: Vec::new(),
            codecs: Codec::ALL.to_vec(),
            has_red: true,
            has_data_channels: true,
            bitrate: Some(BitrateBounds::default()),
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_ices_letters_of_ices_length() {
        let password = "0123456789012345678901";
        assert!(IceCredentials::new("s0Az", password).is_some());
        assert!(IceCredentials::new("s0A", password).is_none(), "a short name");
        assert!(IceCredentials::new("s0Az", "short").is_none());
        assert!(IceCredentials::new("s0:z", password).is_none(), "a colon parts two names");
        assert!(IceCredentials::new("s0 z\r\na=x", password).is_none());
    }

    #[test]
    fn random_credentials_begin_with_the_prefix() {
        let made = IceCredentials::from_random("s3x", [0xa5; 24]).expect("a good prefix");
        assert!(made.ufrag().starts_with("s3x"));
        assert_eq!((made.ufrag().len(), made.password().len()), (11, 24));
        assert!(IceCredentials::from_random("s:", [0; 24]).is_none());
        assert!(!format!("{made:?}").contains(made.password()), "no password in a log");
    }
}
