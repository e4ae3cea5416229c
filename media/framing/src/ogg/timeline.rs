//! Granules of a link that came to us in its middle, counted anew from its first page.
//!
//! A stream that is pulled from another server, or whose encoder has run for hours, begins at a
//! granule far from 0; players would show its listeners hours, and some wait for them. What went
//! before the first page is taken off once for the mount, so that all listeners of a link share
//! one timeline. A link that begins at its beginning is left as it is, to the sample.
//!
//! The first page keeps at least as many samples as it can hold: a granule below that would tell a
//! decoder to cut its beginning off (RFC 7845 §4.3, Vorbis I §A.2).

use super::page::Page;
use crate::bits::le32;
use crate::opus::samples_at_most;

/// What is taken off the granules of a logical stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Known with the first media page that has a granule.
    offset: Option<u64>,
    pace: Pace,
}

/// How many samples a packet can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// Each packet says it itself (RFC 6716 §3.1).
    Opus,
    /// At most so many.
    AtMost(u32),
    /// Nobody knows, or the granules count something else: they are left alone.
    #[default]
    Unknown,
}

impl Timeline {
    pub fn new(pace: Pace) -> Timeline {
        Timeline { offset: None, pace }
    }

    /// The granule with which a media page goes out. `alone` says that the link has no other
    /// stream, which would have to keep in step.
    pub fn granule(&mut self, page: &Page<'_>, alone: bool) -> Option<u64> {
        // Positions before 0 are allowed where a beginning is cut off; they are small in size.
        let granule = page.granule().filter(|granule| *granule <= i64::MAX as u64)?;
        let offset = *self.offset.get_or_insert_with(|| match self.pace.samples_max(page) {
            Some(samples) if alone => granule.saturating_sub(samples),
            _ => 0,
        });
        Some(granule.saturating_sub(offset))
    }
}

impl Pace {
    /// The pace of a Vorbis stream, by its first header: no packet spans more than half of the
    /// longer block.
    pub fn vorbis(head: &[u8]) -> Pace {
        Pace::AtMost(1 << (head[28] >> 4).saturating_sub(1))
    }

    /// The pace of a Speex stream, by its header's frame size and frames in a packet.
    pub fn speex(head: &[u8]) -> Pace {
        Pace::AtMost(le32(head, 56).saturating_mul(le32(head, 64).max(1)))
    }

    /// The most samples that the packets which end on this page can hold.
    fn samples_max(self, page: &Page<'_>) -> Option<u64> {
        let ended = page.segments().filter(|segment| segment.ends);
        match self {
            Pace::Opus => {
                Some(ended.map(|segment| u64::from(samples_at_most(segment.bytes))).sum())
            }
            Pace::AtMost(samples) => Some(ended.count() as u64 * u64::from(samples)),
            Pace::Unknown => None,
        }
    }
}
