//! Names that say where their owner lives: a session's number, and its name for ICE.
//!
//! ```text
//! session   0003 9c1de0a4b7f05521      the shard that answered the offer, then chance
//! ufrag     s 00d kQ3/x9Lm             "s", the shard in three letters of base 32, then chance
//! ```
//!
//! A datagram of nobody known carries the ufrag, a request for a session its number: both are read
//! by any shard, which then asks the one that is named. What was forged leads to a shard that knows
//! of no such session.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac as _};
use media_rtc::IceCredentials;
use sha2::Sha256;
use shards_runtime::ShardId;

/// The number of a session: never used twice, and not to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    shard: u16,
    number: u64,
}

impl SessionId {
    /// The shard that made it, and knows where it is now.
    pub fn shard(self) -> ShardId {
        ShardId(self.shard)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04x}{:016x}", self.shard, self.number)
    }
}

/// It is no session's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSessionId;

impl FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<SessionId, NoSessionId> {
        let is_one = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 20 || !text.bytes().all(is_one) {
            return Err(NoSessionId);
        }
        let shard = u16::from_str_radix(&text[..4], 16).map_err(|_| NoSessionId)?;
        let number = u64::from_str_radix(&text[4..], 16).map_err(|_| NoSessionId)?;
        Ok(SessionId { shard, number })
    }
}

/// A shard's source of names: an HMAC of a secret seed over a counter.
pub(crate) struct Names {
    seed: [u8; 32],
    shard: u16,
    count: u64,
}

impl Names {
    pub(crate) fn new(seed: [u8; 32], shard: u16) -> Names {
        Names { seed, shard, count: 0 }
    }

    pub(crate) fn session(&mut self) -> SessionId {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        SessionId { shard: self.shard, number: u64::from_be_bytes([a, b, c, d, e, f, g, h]) }
    }

    pub(crate) fn credentials(&mut self) -> IceCredentials {
        let random: [u8; 32] = self.draw();
        let (random, _) = random.split_first_chunk::<24>().expect("32 are more than 24");
        let made = IceCredentials::from_random(&ufrag_prefix(self.shard), *random);
        made.expect("the prefix is short, and of ICE's letters")
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.session().number
    }

    fn draw(&mut self) -> [u8; 32] {
        self.count += 1;
        let mac = Hmac::<Sha256>::new_from_slice(&self.seed).expect("any length will do");
        let mac = mac.chain_update(self.shard.to_be_bytes()).chain_update(self.count.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn ufrag_prefix(shard: u16) -> String {
    let letter = |shift: u16| LETTERS[usize::from(shard >> shift & 31)] as char;
    ['s', letter(10), letter(5), letter(0)].iter().collect()
}

/// The shard that a ufrag names, if it is one of ours.
pub(crate) fn shard_of_ufrag(ufrag: &[u8]) -> Option<ShardId> {
    let [b's', a, b, c, ..] = ufrag else { return None };
    let value = |letter: u8| LETTERS.iter().position(|it| *it == letter).map(|at| at as u16);
    Some(ShardId(value(*a)? << 10 | value(*b)? << 5 | value(*c)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_their_owner_lives_and_differ() {
        for shard in [0, 1, 31, 32, 255, 32_767] {
            let mut names = Names::new([7; 32], shard);
            let (id, credentials) = (names.session(), names.credentials());
            assert_eq!(id.shard(), ShardId(shard));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(shard_of_ufrag(credentials.ufrag().as_bytes()), Some(ShardId(shard)));
            assert_ne!(names.session(), id);
            assert_ne!(names.credentials().ufrag(), credentials.ufrag());
        }
        for foreign in ["", "s", "s00", "x000abcd", "s0+0abcd"] {
            assert_eq!(shard_of_ufrag(foreign.as_bytes()), None, "{foreign}");
        }
        for bad in
            ["", "0", "00010000000000000g0f", "0001000000000000000FF", "+0010000000000000000"]
        {
            assert_eq!(bad.parse::<SessionId>(), Err(NoSessionId), "{bad}");
        }
    }
}
