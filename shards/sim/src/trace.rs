//! A running hash over what was seen, so that two runs can be compared by one number.

/// The hash so far.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Trace {
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}
