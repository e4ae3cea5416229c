//! Names on the wire: rooms, session ids, and the addresses `user|id`.
//!
//! Invariant: an id says on which shard its session lives, so that what is sent to it needs no
//! table to find it.

use std::fmt;
use std::sync::Arc;

/// Which of the shards, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(
    /// The number.
    pub u16,
);

/// Most shards of a server: two digits of base 36.
pub const SHARDS_COUNT_MAX: u16 = 36 * 36;

/// A session's id: two digits of its shard, and sixteen that cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; ID_BYTES]);

const ID_BYTES: usize = 18;
const SHARD_DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

impl PeerId {
    /// An id on this shard of sixteen random bytes, which must be unpredictable.
    ///
    /// # Panics
    /// When the shard is beyond [`SHARDS_COUNT_MAX`]: a bug.
    pub fn new(shard: ShardIndex, random: [u8; 16]) -> PeerId {
        assert!(shard.0 < SHARDS_COUNT_MAX, "two digits for the shard");
        let mut id = [0; ID_BYTES];
        id[0] = SHARD_DIGITS[usize::from(shard.0 / 36)];
        id[1] = SHARD_DIGITS[usize::from(shard.0 % 36)];
        for (digit, byte) in id[2..].iter_mut().zip(random) {
            *digit = DIGITS[usize::from(byte & 63)];
        }
        PeerId(id)
    }

    /// Reads an id; `None` when it cannot be one of ours.
    pub fn parse(text: &str) -> Option<PeerId> {
        let id: [u8; ID_BYTES] = text.as_bytes().try_into().ok()?;
        let is_shard = |byte: &u8| SHARD_DIGITS.contains(byte);
        let is_right = id[..2].iter().all(is_shard) && id[2..].iter().all(|it| DIGITS.contains(it));
        is_right.then_some(PeerId(id))
    }

    /// Where the session lives.
    pub fn shard(&self) -> ShardIndex {
        let digit = |byte: u8| SHARD_DIGITS.iter().position(|it| *it == byte).unwrap_or(0) as u16;
        ShardIndex(digit(self.0[0]) * 36 + digit(self.0[1]))
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A room's name: not empty, at most [`NAME_BYTES_MAX`] bytes, no `|` and no control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

/// Longest name of a room, a user or a peer, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

impl RoomName {
    /// Checks a name.
    pub fn new(name: &str) -> Option<RoomName> {
        is_name(name).then(|| RoomName(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard that the room lives on: by a hash of its name (FNV-1a), the same everywhere.
    pub fn home(&self, shards_count: u16) -> ShardIndex {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        ShardIndex(((hash ^ hash >> 32) % u64::from(shards_count.max(1))) as u16)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this may name a user or a room.
pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |letter: char| letter != '|' && !letter.is_control();
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_allowed)
}

/// The id in an address `user|id`; the part before the first `|` selects nothing. `None` where
/// there is no `|`.
pub(crate) fn id_of_address(address: &str) -> Option<&str> {
    address.split_once('|').map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_know_their_shard() {
        for shard in [0, 1, 35, 36, 1295] {
            let id = PeerId::new(ShardIndex(shard), [0xab; 16]);
            assert_eq!(id.shard(), ShardIndex(shard));
            assert_eq!(PeerId::parse(id.as_str()), Some(id));
            assert!(!id.as_str().contains('|'));
        }
        for wrong in ["", "0", "00aaaaaaaaaaaaaaa|", "AA0123456789abcdef", "0".repeat(19).as_str()]
        {
            assert_eq!(PeerId::parse(wrong), None);
        }
    }

    #[test]
    fn names() {
        assert!(RoomName::new("public").is_some() && RoomName::new(&"x".repeat(128)).is_some());
        for wrong in ["", "a|b", "a\nb", &"x".repeat(129)] {
            assert!(RoomName::new(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(id_of_address("bob|B7|c"), Some("B7|c"));
        assert_eq!((id_of_address("|x"), id_of_address("room")), (Some("x"), None));
    }
}
