//! What simulated sources play: MP3 frames whose every byte says whose it is.
//!
//! ```text
//!   FF FB b 00 | source (3 × 7 bits) | frame (3 × 7 bits) | check | filler of (source, frame) …
//!   header       4                     7                   10      11
//! ```
//!
//! * *Invariant:* 0xFF stands at the beginning of a frame and nowhere else, so that whoever looks
//!   for a place in a run of frames finds it without a doubt.
//! * Equal numbers give equal bytes; frames of different numbers differ within a few bytes.

/// Bytes that name a frame: its header, its numbers and their check.
pub(crate) const NAME_BYTES: usize = 11;

/// Samples of a frame.
const FRAME_SAMPLES: u64 = 1152;
const SAMPLES_PER_SECOND: u64 = 44_100;

/// A bit rate of MPEG 1 layer III at 44.1 kHz.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    kbps: u32,
    /// As the frame header writes it.
    code: u8,
}

/// The rates that sources have: low, so that windows last, and different, so that they differ.
pub(crate) const RATES: [Rate; 3] =
    [Rate { kbps: 32, code: 1 }, Rate { kbps: 64, code: 5 }, Rate { kbps: 128, code: 9 }];

impl Rate {
    /// Length of a frame, bytes.
    pub(crate) fn frame_bytes(self) -> usize {
        (144_000 * self.kbps as usize) / SAMPLES_PER_SECOND as usize
    }

    fn of_code(code: u8) -> Option<Rate> {
        RATES.into_iter().find(|rate| rate.code == code)
    }
}

/// Frames that a source has played after a time, microseconds.
pub(crate) fn frames_after(elapsed_us: u64) -> u64 {
    elapsed_us * SAMPLES_PER_SECOND / FRAME_SAMPLES / 1_000_000
}

/// One frame, whole.
pub(crate) fn frame(source: u32, frame: u32, rate: Rate) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rate.frame_bytes());
    bytes.extend([0xff, 0xfb, rate.code << 4, 0]);
    bytes.extend(septets(source));
    bytes.extend(septets(frame));
    bytes.push(check(source, frame));
    let mut state = (u64::from(source) << 32 | u64::from(frame)) ^ 0x9e37_79b9_7f4a_7c15;
    while bytes.len() < rate.frame_bytes() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend((state >> 8).to_le_bytes()[..7].iter().map(|byte| byte & 0x7f));
    }
    bytes.truncate(rate.frame_bytes());
    bytes
}

/// The source, the frame and the rate that a beginning of a frame names.
pub(crate) fn read_name(bytes: &[u8]) -> Option<(u32, u32, Rate)> {
    let name: &[u8; NAME_BYTES] = bytes.first_chunk()?;
    let number = |at: usize| {
        (0..3).fold(0, |number, index| number << 7 | u32::from(name[at + index] & 0x7f))
    };
    let (source, frame) = (number(4), number(7));
    let rate = Rate::of_code(name[2] >> 4)?;
    let is_name = name[..2] == [0xff, 0xfb] && name[10] == check(source, frame);
    is_name.then_some((source, frame, rate))
}

fn septets(number: u32) -> [u8; 3] {
    assert!(number < 1 << 21, "a simulation has fewer sources and frames");
    [14, 7, 0].map(|shift| (number >> shift) as u8 & 0x7f)
}

fn check(source: u32, frame: u32) -> u8 {
    (source.wrapping_mul(31) ^ frame.wrapping_mul(17) ^ 0x55) as u8 & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_name_and_only_there() {
        for rate in RATES {
            let bytes = frame(5, 70_000, rate);
            assert_eq!(bytes.len(), rate.frame_bytes());
            assert_eq!(read_name(&bytes), Some((5, 70_000, rate)));
            assert_eq!(bytes.iter().rposition(|byte| *byte == 0xff), Some(0));
            assert_ne!(frame(5, 70_001, rate)[11..19], bytes[11..19]);
        }
        assert_eq!(frames_after(1_000_000), 38);
    }
}
