//! Pages of a mount into packets of Opus (RFC 7845): link after link.
//!
//! It reads what a [`Framer`](crate::Framer) gives out: whole pages that begin anywhere, headers
//! before the media of a link. Of a link of several streams the first of Opus is heard.
//!
//! *Invariants:* no packet without its link's head; a packet that lost a part is none; what is
//! collected of one is bounded.

use super::packet;
use crate::ogg::page::{Finder, Found, Page};

/// The longest packet that is collected, bytes. Mono or stereo of the highest rate is an eighth of
/// it for each 20 ms.
const PACKET_BYTES_MAX: usize = 16 * 1024;

/// What a link's head says (RFC 7845 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Channels that a decoder gives out.
    pub channels_count: u8,
    /// Whether its packets are plain ones, of mono or stereo: no bundle of several streams.
    pub is_plain: bool,
}

/// What is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard<'a> {
    /// A link begins: packets of another encoder follow.
    Link(Head),
    /// A packet.
    Packet {
        /// Its bytes.
        bytes: &'a [u8],
        /// How long it lasts, in samples.
        samples: u32,
    },
}

/// What a reader has seen. All only rise.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ReaderCounters {
    /// Packets given out.
    pub packets: u64,
    /// Packets that were malformed, too long, or lost a part.
    pub dropped: u64,
    /// Links.
    pub links: u64,
}

/// Takes pages apart.
#[derive(Debug, Default)]
pub struct Reader {
    serial: Option<u32>,
    sequence_next: u32,
    /// Header packets that are still to come.
    headers_left: u8,
    partial: Vec<u8>,
    /// What is collected is of no use: a part is missing, or it is too long.
    is_torn: bool,
    counters: ReaderCounters,
}

impl Reader {
    /// One that has heard nothing, and waits for a link to begin.
    #[must_use]
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Takes bytes that are whole pages: a unit of a framer, or its prelude. What is none is
    /// passed over.
    pub fn push(&mut self, mut pages: &[u8], sink: &mut dyn FnMut(Heard<'_>)) {
        let mut finder = Finder::new();
        while !pages.is_empty() {
            match finder.find(pages, true) {
                Found::Wait => return,
                Found::Garbage(count) => pages = &pages[count.max(1)..],
                Found::Page(page) => {
                    self.take(&page, sink);
                    pages = &pages[page.bytes.len()..];
                }
            }
        }
    }

    /// What was seen.
    #[must_use]
    pub fn counters(&self) -> ReaderCounters {
        self.counters
    }

    fn take(&mut self, page: &Page<'_>, sink: &mut dyn FnMut(Heard<'_>)) {
        if page.first() {
            return self.begin(page, sink);
        }
        if self.serial != Some(page.serial()) {
            return;
        }
        let has_gap = page.sequence() != self.sequence_next;
        self.sequence_next = page.sequence().wrapping_add(1);
        // The rest of a packet whose beginning is not here, or a beginning whose rest is not.
        let is_broken = has_gap || page.continued() == self.partial.is_empty();
        if is_broken && (page.continued() || !self.partial.is_empty()) {
            self.partial.clear();
            self.is_torn = page.continued();
        }
        for segment in page.segments() {
            let is_long = self.partial.len() + segment.bytes.len() > PACKET_BYTES_MAX;
            if is_long {
                self.is_torn = true;
                self.partial.clear();
            }
            if !segment.ends {
                if !self.is_torn {
                    self.partial.extend_from_slice(segment.bytes);
                }
                continue;
            }
            if std::mem::take(&mut self.is_torn) {
                self.partial.clear();
                self.counters.dropped += 1;
            } else if self.partial.is_empty() {
                self.packet(segment.bytes, sink);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(segment.bytes);
                self.packet(&whole, sink);
            }
        }
    }

    fn begin(&mut self, page: &Page<'_>, sink: &mut dyn FnMut(Heard<'_>)) {
        let head = page.segments().next().and_then(|segment| head(segment.bytes));
        let is_within_link = self.headers_left > 0;
        match head {
            // Another stream of the link whose head was just heard; a framer gives out no head
            // without media behind it.
            _ if is_within_link && self.serial != Some(page.serial()) => {}
            None => self.serial = None,
            Some(head) => {
                self.serial = Some(page.serial());
                self.sequence_next = page.sequence().wrapping_add(1);
                self.headers_left = 1;
                self.partial.clear();
                self.is_torn = false;
                self.counters.links += 1;
                sink(Heard::Link(head));
            }
        }
    }

    fn packet(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Heard<'_>)) {
        if self.headers_left > 0 {
            self.headers_left -= 1;
            return;
        }
        match packet::samples(bytes) {
            Ok(samples) => {
                self.counters.packets += 1;
                sink(Heard::Packet { bytes, samples });
            }
            Err(packet::Malformed) => self.counters.dropped += 1,
        }
    }
}

/// Reads `OpusHead`; none where it is another's head, or of a version that is not to be understood.
fn head(bytes: &[u8]) -> Option<Head> {
    let fields = bytes.strip_prefix(b"OpusHead").filter(|fields| fields.len() >= 11)?;
    let (version, channels_count, family) = (fields[0], fields[1], fields[10]);
    // A table follows for families other than 0: streams, and how many of them are pairs.
    let streams_count = if family == 0 { 1 } else { *fields.get(11)? };
    let is_plain = streams_count == 1 && (1..=2).contains(&channels_count);
    (version & 0xf0 == 0 && channels_count > 0).then_some(Head { channels_count, is_plain })
}
