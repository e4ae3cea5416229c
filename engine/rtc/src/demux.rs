//! What a datagram is, by its first byte (RFC 7983 §7).

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A check of ICE.
    Stun,
    /// A record of DTLS: the handshake, or data channels.
    Dtls,
    /// RTP or RTCP, encrypted.
    Media,
    /// Nothing that is spoken here: ZRTP, TURN's channels, QUIC, or nonsense.
    Foreign,
}

/// The table. QUIC shares the last two ranges with nothing that we speak.
const TABLE: &[(std::ops::RangeInclusive<u8>, Kind)] =
    &[(0..=3, Kind::Stun), (20..=63, Kind::Dtls), (128..=191, Kind::Media)];

impl Kind {
    pub(crate) fn of(bytes: &[u8]) -> Kind {
        let Some(first) = bytes.first() else { return Kind::Foreign };
        let found = TABLE.iter().find(|(range, _)| range.contains(first));
        found.map_or(Kind::Foreign, |(_, kind)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_what_the_rfc_says() {
        for first in 0..=255 {
            let expected = match first {
                0..4 => Kind::Stun,
                20..64 => Kind::Dtls,
                128..192 => Kind::Media,
                _ => Kind::Foreign,
            };
            assert_eq!(Kind::of(&[first]), expected, "{first}");
        }
        assert_eq!(Kind::of(&[]), Kind::Foreign);
    }
}
