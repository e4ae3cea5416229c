//! PCM in RIFF/WAVE, as an endless stream.
//!
//! ```text
//!  RIFF ffffffff WAVE │ fmt … │ data ffffffff │ block │ block │ …      what listeners get
//! ```
//!
//! Sizes are replaced by "unknown" and all chunks but `fmt ` and `data` are dropped. A unit is
//! about 20 ms, always whole sample frames, always a sync unit. A second header of the same form (a
//! file behind a file) is dropped; one of another form makes a new link.

use bytes::Bytes;

use crate::bits::{find_marker, le16, le32};
use crate::output::{AudioInfo, Output};

/// Longest `fmt ` chunk: the extensible form has 40 bytes.
const FORMAT_BYTES_MAX: usize = 256;
const UNIT_BYTES_MAX: usize = 4096;
/// A `data` chunk of this size or 0 has no end: its encoder did not know one.
const ENDLESS_BYTES_MIN: u32 = 0x7fff_0000;

/// Finds the sample blocks of a WAVE stream.
#[derive(Debug, Default)]
pub(crate) struct Wav {
    state: State,
    /// The `fmt ` chunk's body.
    format: Option<Box<[u8]>>,
    /// The header in force, once its link's first block is out.
    header: Bytes,
    align_bytes: usize,
    unit_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Waiting for `RIFF` or `RF64`.
    #[default]
    Outside,
    /// At a chunk header.
    Chunk,
    Skip {
        left: u64,
    },
    /// In sample data; `None` has no end. A chunk of odd length has a byte of padding.
    Data {
        left: Option<u64>,
        padded: bool,
    },
}

impl Wav {
    /// Uses up a header, a chunk or a block. Returns the bytes used; 0 to wait for more.
    pub fn step(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match self.state {
            State::Outside => self.outside(pending, output),
            State::Chunk => self.chunk(pending, output),
            State::Skip { left: 0 } => {
                self.state = State::Chunk;
                self.chunk(pending, output)
            }
            State::Skip { left } => {
                let used = pending.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.state = State::Skip { left: left - used as u64 };
                output.dropped(used);
                used
            }
            State::Data { left: Some(0), padded } => {
                self.state = State::Skip { left: u64::from(padded) };
                self.step(pending, at_end, output)
            }
            State::Data { left, padded } => {
                let (used, whole) = self.block(pending, left, at_end);
                let left = left.map(|left| left - used as u64);
                self.state = State::Data { left, padded };
                output.dropped(used - whole);
                if whole > 0 {
                    self.announce(output);
                    output.unit(&pending[..whole], true);
                }
                used
            }
        }
    }

    fn outside(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        let start = find_marker(pending, &[b"RIFF", b"RF64"]);
        if start > 0 {
            output.dropped(start);
            return start;
        }
        if pending.len() < 12 {
            return 0;
        }
        let used = if &pending[8..12] == b"WAVE" {
            self.state = State::Chunk;
            12
        } else {
            1
        };
        output.dropped(used);
        used
    }

    fn chunk(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        if pending.len() < 8 {
            return 0;
        }
        let size = le32(pending, 4);
        match &pending[..4] {
            b"RIFF" | b"RF64" => {
                self.state = State::Outside;
                self.outside(pending, output)
            }
            b"fmt " => self.format_chunk(pending, size, output),
            b"data" if self.format.is_some() => {
                let endless = size == 0 || size >= ENDLESS_BYTES_MIN;
                let left = (!endless).then_some(u64::from(size));
                self.state = State::Data { left, padded: size & 1 == 1 };
                output.dropped(8);
                8
            }
            id if id.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                // Chunks are padded to an even length.
                self.state = State::Skip { left: u64::from(size) + u64::from(size & 1) };
                output.dropped(8);
                8
            }
            _ => self.lose(output),
        }
    }

    fn format_chunk(&mut self, pending: &[u8], size: u32, output: &mut Output<'_>) -> usize {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if !(16..=FORMAT_BYTES_MAX).contains(&size) {
            output.refused();
            return self.lose(output);
        }
        let used = 8 + size + (size & 1);
        if pending.len() < used {
            return 0;
        }
        let format = &pending[8..8 + size];
        let (align, rate) = (usize::from(le16(format, 12)), le32(format, 4));
        let bytes_per_second = u64::from(rate) * align as u64;
        if align == 0 || rate == 0 {
            output.refused();
            return self.lose(output);
        }
        let changed = self.format.as_deref() != Some(format);
        if changed {
            let wanted = usize::try_from(bytes_per_second / 50).unwrap_or(usize::MAX);
            self.unit_bytes = (wanted.min(UNIT_BYTES_MAX) / align).max(1) * align;
            self.align_bytes = align;
            self.format = Some(format.into());
            self.header = Bytes::new();
            let kbps = (bytes_per_second * 8 + 500) / 1000;
            output.audio(AudioInfo {
                sample_rate_hz: rate,
                channels_count: u8::try_from(le16(format, 2)).unwrap_or(u8::MAX),
                bitrate_kbps: u32::try_from(kbps).unwrap_or(u32::MAX),
                codec: "pcm",
            });
        }
        self.state = State::Chunk;
        output.dropped(used);
        used
    }

    /// How many bytes the next block uses, and how many of them are whole sample frames: half of
    /// one at the end of a chunk would shift all that follow.
    fn block(&self, pending: &[u8], left: Option<u64>, at_end: bool) -> (usize, usize) {
        let in_chunk = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let wanted = self.unit_bytes.min(in_chunk);
        if pending.len() < wanted && !at_end {
            return (0, 0);
        }
        let used = wanted.min(pending.len());
        (used, used - used % self.align_bytes)
    }

    /// Gives the header out before a link's first block.
    fn announce(&mut self, output: &mut Output<'_>) {
        let Some(format) = self.format.as_deref().filter(|_| self.header.is_empty()) else {
            return;
        };
        let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
        // Bounded by FORMAT_BYTES_MAX.
        header.extend_from_slice(&(format.len() as u32).to_le_bytes());
        header.extend_from_slice(format);
        header.resize(header.len() + format.len() % 2, 0);
        header.extend_from_slice(b"data\xff\xff\xff\xff");
        self.header = Bytes::from(header);
        output.shared.counters.links += 1;
        output.unit(&self.header, false);
        output.prelude(self.header.clone());
    }

    /// What follows is no chunk: waits for the next file.
    fn lose(&mut self, output: &mut Output<'_>) -> usize {
        self.state = State::Outside;
        output.lost();
        output.dropped(1);
        1
    }
}
