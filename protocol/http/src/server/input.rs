//! The unread bytes of a connection while it is being handled.
//!
//! Nearly always they are whole requests that lie where the driver received them, and are read
//! there. Only what is left over is kept, and only then is anything copied.

/// Unread bytes: where the driver has them, or joined with what was left over before.
#[derive(Debug)]
pub struct Input<'b> {
    bytes: Store<'b>,
    used: usize,
}

#[derive(Debug)]
enum Store<'b> {
    Fresh(&'b mut [u8]),
    Kept(Vec<u8>),
}

impl<'b> Input<'b> {
    pub(super) fn new(mut kept: Vec<u8>, fresh: &'b mut [u8]) -> Input<'b> {
        let bytes = if kept.is_empty() {
            Store::Fresh(fresh)
        } else {
            kept.extend_from_slice(fresh);
            Store::Kept(kept)
        };
        Input { bytes, used: 0 }
    }

    /// What nobody has taken yet. After an upgrade it is the other protocol's.
    pub fn rest_mut(&mut self) -> &mut [u8] {
        let used = self.used;
        match &mut self.bytes {
            Store::Fresh(bytes) => &mut bytes[used..],
            Store::Kept(bytes) => &mut bytes[used..],
        }
    }

    /// Takes bytes off the front.
    pub fn consume(&mut self, count: usize) {
        self.used += count;
    }

    /// The unread bytes for as long as the input is borrowed, and what has to be told when some of
    /// them are done with.
    pub(super) fn parts(&mut self) -> (&[u8], &mut usize) {
        let bytes: &[u8] = match &self.bytes {
            Store::Fresh(bytes) => bytes,
            Store::Kept(bytes) => bytes,
        };
        (bytes, &mut self.used)
    }

    /// What is to be kept; an empty buffer is given back.
    pub(super) fn into_kept(self) -> Vec<u8> {
        match self.bytes {
            Store::Fresh(bytes) if self.used >= bytes.len() => Vec::new(),
            Store::Fresh(bytes) => bytes[self.used..].to_vec(),
            Store::Kept(bytes) if self.used >= bytes.len() => Vec::new(),
            Store::Kept(mut bytes) => {
                bytes.drain(..self.used);
                bytes
            }
        }
    }
}
