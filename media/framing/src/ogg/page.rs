//! Ogg pages (RFC 3533 §6): found, checked, written anew.
//!
//! ```text
//!  "OggS" 0 │ flags │ granule (8) │ serial (4) │ sequence (4) │ checksum (4) │ count │ lacing │
//!  body 0        │ 5     │ 6           │ 14         │ 18           │ 22           │ 26    │ 27
//! ```
//!
//! A page is one only if its checksum says so: "OggS" may stand in any body.

use crate::bits::{find_marker, le32, le64};
use crate::checksum;

pub(crate) const MAGIC: &[u8] = b"OggS";
pub(crate) const HEADER_BYTES: usize = 27;

/// A page whose checksum is right.
pub(crate) struct Page<'a> {
    pub bytes: &'a [u8],
    lacing: &'a [u8],
    body: &'a [u8],
}

/// What stands at the beginning of some bytes.
pub(crate) enum Found<'a> {
    Wait,
    /// So many bytes belong to no page.
    Garbage(usize),
    Page(Page<'a>),
}

/// The part of a packet that lies in a page.
pub(crate) struct Segment<'a> {
    pub bytes: &'a [u8],
    /// The packet ends here.
    pub ends: bool,
}

/// Finds pages. What is spent on checksums that turn out wrong is bounded by what comes in, so
/// nobody makes us sum up 64 KiB for each 27 bytes.
#[derive(Debug)]
pub(crate) struct Finder {
    /// Bytes that may yet be summed up in vain.
    vain_bytes_left: usize,
}

const VAIN_BYTES_MAX: usize = 1024 * 1024;
const VAIN_BYTES_FACTOR: usize = 4;

impl Finder {
    pub fn new() -> Finder {
        Finder { vain_bytes_left: VAIN_BYTES_MAX }
    }

    /// Looks at the beginning of `pending`, which is not empty. At the end of the stream nothing
    /// is waited for: what claims to be longer is no page.
    pub fn find<'a>(&mut self, pending: &'a [u8], at_end: bool) -> Found<'a> {
        match self.look(pending) {
            Found::Wait if at_end => self.garbage(1),
            found => found,
        }
    }

    fn look<'a>(&mut self, pending: &'a [u8]) -> Found<'a> {
        let start = find_marker(pending, &[MAGIC]);
        if start > 0 {
            return self.garbage(start);
        }
        if pending.len() < HEADER_BYTES {
            return Found::Wait;
        }
        if pending[4] != 0 {
            return self.garbage(1);
        }
        let body_at = HEADER_BYTES + usize::from(pending[26]);
        if pending.len() < body_at {
            return Found::Wait;
        }
        let lacing = &pending[HEADER_BYTES..body_at];
        let end = body_at + lacing.iter().map(|value| usize::from(*value)).sum::<usize>();
        if pending.len() < end {
            return Found::Wait;
        }
        let page = Page { bytes: &pending[..end], lacing, body: &pending[body_at..end] };
        if checksum_of(page.bytes) == le32(pending, 22) {
            return Found::Page(page);
        }
        match self.vain_bytes_left.checked_sub(end) {
            Some(left) => {
                self.vain_bytes_left = left;
                self.garbage(1)
            }
            None => self.garbage(end),
        }
    }

    fn garbage(&mut self, count: usize) -> Found<'static> {
        let earned = count.saturating_mul(VAIN_BYTES_FACTOR);
        self.vain_bytes_left = (self.vain_bytes_left + earned).min(VAIN_BYTES_MAX);
        Found::Garbage(count)
    }
}

impl<'a> Page<'a> {
    /// Its first packet began on an earlier page.
    pub fn continued(&self) -> bool {
        self.bytes[5] & 1 != 0
    }

    /// It begins a logical stream.
    pub fn first(&self) -> bool {
        self.bytes[5] & 2 != 0
    }

    pub fn serial(&self) -> u32 {
        le32(self.bytes, 14)
    }

    /// Counted within its logical stream.
    pub fn sequence(&self) -> u32 {
        le32(self.bytes, 18)
    }

    /// The position after the last packet that ends here; `None` where none does.
    pub fn granule(&self) -> Option<u64> {
        Some(le64(self.bytes, 6)).filter(|granule| *granule != u64::MAX)
    }

    /// The packets, or parts of packets, in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> {
        let (mut lacing, mut body) = (self.lacing, self.body);
        std::iter::from_fn(move || {
            if lacing.is_empty() {
                return None;
            }
            let full = lacing.iter().take_while(|value| **value == 255).count();
            let ends = full < lacing.len();
            let values = full + usize::from(ends);
            let length = lacing[..values].iter().map(|value| usize::from(*value)).sum();
            let (bytes, rest) = body.split_at(length);
            (lacing, body) = (&lacing[values..], rest);
            Some(Segment { bytes, ends })
        })
    }

    /// Appends the page to `out` under another serial and sequence number, and with another granule
    /// where there is one.
    pub fn rewrite(&self, serial: u32, sequence: u32, granule: Option<u64>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.bytes);
        let page = &mut out[start..];
        if let Some(granule) = granule {
            page[6..14].copy_from_slice(&granule.to_le_bytes());
        }
        page[14..18].copy_from_slice(&serial.to_le_bytes());
        page[18..22].copy_from_slice(&sequence.to_le_bytes());
        let checksum = checksum_of(page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The checksum is taken with its own field as zeros.
pub(crate) fn checksum_of(page: &[u8]) -> u32 {
    let sum = checksum::ogg(0, &page[..22]);
    let sum = checksum::ogg(sum, &[0; 4]);
    checksum::ogg(sum, &page[26..])
}
