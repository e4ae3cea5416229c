//! What is sent through a relay: each payload says whose it is, which one of how many, and when it
//! was meant to leave; all else follows from that, so that every byte can be checked.
//!
//! ```text
//! | way, 4 | number, 8 | intended time ns, 8 | mix of these, 4 | the way's own pattern … |
//! ```

/// The smallest payload.
pub(crate) const HEAD_BYTES: usize = 24;
/// The largest.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1_400;

/// One direction of one allocation, at its sender and at its receiver.
pub(crate) struct Way {
    name: u32,
    pattern: Box<[u8]>,
    /// Where counting began, and what the next payload's number is.
    first: u64,
    next_number: u64,
    /// How many arrived as they left.
    pub(crate) received: u64,
    /// Above the highest number that arrived.
    next: u64,
    /// How many came after a later one, or twice.
    pub(crate) unordered: u64,
}

/// What a receiver finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// When it was meant to leave, ns since the trial's start.
    pub(crate) intended_ns: u64,
    /// Which one of its way.
    pub(crate) number: u64,
}

impl Way {
    /// A way with a pattern of its own.
    pub(crate) fn new(name: u32) -> Self {
        let mut state = u64::from(name) + 1;
        let pattern = (0..PAYLOAD_BYTES_MAX).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        Way {
            name,
            pattern: pattern.collect(),
            first: 0,
            next_number: 0,
            received: 0,
            next: 0,
            unordered: 0,
        }
    }

    /// Starts counting anew. Numbers go on, so that late payloads of before are not taken for new.
    pub(crate) fn begin_again(&mut self) {
        (self.first, self.received, self.unordered) = (self.next_number, 0, 0);
        self.next = self.first;
    }

    /// How many were made since counting began.
    pub(crate) fn sent(&self) -> u64 {
        self.next_number - self.first
    }

    /// Writes the next payload over all of `room`.
    pub(crate) fn write(&mut self, room: &mut [u8], intended_ns: u64) {
        let (head, rest) = room.split_at_mut(HEAD_BYTES);
        head[..4].copy_from_slice(&self.name.to_le_bytes());
        head[4..12].copy_from_slice(&self.next_number.to_le_bytes());
        head[12..20].copy_from_slice(&intended_ns.to_le_bytes());
        head[20..].copy_from_slice(&mix(self.name, self.next_number, intended_ns).to_le_bytes());
        rest.copy_from_slice(&self.pattern[..rest.len()]);
        self.next_number += 1;
    }

    /// Checks a payload of that length that arrived on this way.
    pub(crate) fn check(&mut self, payload: &[u8], payload_bytes: usize) -> Option<Found> {
        let found = read(payload)?;
        let rest = &payload[HEAD_BYTES..];
        if name_of(payload) != Some(self.name)
            || payload.len() != payload_bytes
            || *rest != self.pattern[..rest.len()]
            || !(self.first..self.next_number).contains(&found.number)
        {
            return None;
        }
        self.received += 1;
        self.unordered += u64::from(found.number < self.next);
        self.next = self.next.max(found.number + 1);
        Some(found)
    }
}

/// Which way a payload says that it is on.
pub(crate) fn name_of(payload: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(payload.get(..4)?.try_into().ok()?))
}

fn read(payload: &[u8]) -> Option<Found> {
    let name = name_of(payload)?;
    let number = u64::from_le_bytes(payload.get(4..12)?.try_into().ok()?);
    let intended_ns = u64::from_le_bytes(payload.get(12..20)?.try_into().ok()?);
    let written = u32::from_le_bytes(payload.get(20..24)?.try_into().ok()?);
    (written == mix(name, number, intended_ns)).then_some(Found { intended_ns, number })
}

fn mix(name: u32, number: u64, intended_ns: u64) -> u32 {
    let word = (u64::from(name) << 40) ^ number.rotate_left(17) ^ intended_ns;
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_known_again_and_nothing_else_is() {
        let (mut way, mut other) = (Way::new(6), Way::new(7));
        let mut bytes = [0; 160];
        way.write(&mut bytes, 5_000);
        assert_eq!(name_of(&bytes), Some(6));
        assert_eq!(other.check(&bytes, 160), None);
        assert_eq!(way.check(&bytes, 161), None);
        assert_eq!(way.check(&bytes[..159], 160), None);
        for at in 0..bytes.len() {
            let mut wrong = bytes;
            wrong[at] ^= 1;
            assert_eq!(way.check(&wrong, 160), None, "byte {at}");
        }
        assert_eq!(way.check(&bytes, 160), Some(Found { intended_ns: 5_000, number: 0 }));
        assert_eq!((way.received, way.unordered), (1, 0));
        way.check(&bytes, 160);
        assert_eq!((way.received, way.unordered), (2, 1), "twice is out of order");
        // Numbers that nobody sent are nobody's.
        let mut future = Way::new(6);
        assert_eq!(future.check(&bytes, 160), None);
    }
}
