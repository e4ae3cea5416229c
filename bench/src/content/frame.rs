//! An endless MP3, 128 kbit/s at 44,100 Hz, in which every frame names its own number.
//!
//! ```text
//! header 4       FF FB 90|92 04          MPEG-1 layer III, 128 kbit/s, 44.1 kHz, padding or not
//! side info 32   zeroes                  no coded audio: a decoder plays silence
//! number 5       7 bits a byte, most significant first
//! pattern        376 or 377 bytes, each below 0x80, made from number and place
//! ```
//!
//! *Invariant:* outside the header no byte is above 0x7F, so no frame starts inside another.

/// Bytes each second: 128 kbit/s, exactly.
pub(crate) const BYTES_PER_SECOND: u64 = 16_000;
/// Length of a frame with padding.
pub(crate) const FRAME_BYTES_MAX: usize = 418;
const FRAME_BYTES_MIN: u64 = 417;
const NUMBER_AT: usize = 36;
const PATTERN_AT: usize = 41;

/// Where frame `number` starts. A frame is 417 + 47/49 bytes on average, and padding keeps to that.
pub(crate) fn start_of(number: u64) -> u64 {
    number * FRAME_BYTES_MIN + number * 47 / 49
}

/// Length of frame `number`, bytes.
pub(crate) fn length_of(number: u64) -> usize {
    (start_of(number + 1) - start_of(number)) as usize
}

/// The first frame that starts at `offset` or behind it.
pub(crate) fn first_from(offset: u64) -> u64 {
    let mut number = offset / FRAME_BYTES_MAX as u64;
    while start_of(number) < offset {
        number += 1;
    }
    number
}

/// Appends frame `number`.
pub(crate) fn write(number: u64, out: &mut Vec<u8>) {
    let length = length_of(number);
    let padding = if length == FRAME_BYTES_MAX { 2 } else { 0 };
    let start = out.len();
    out.extend_from_slice(&[0xff, 0xfb, 0x90 | padding, 0x04]);
    out.resize(start + NUMBER_AT, 0);
    out.extend((0..5).rev().map(|group| (number >> (7 * group)) as u8 & 0x7f));
    let salt = (number as u8).wrapping_mul(31);
    out.extend((PATTERN_AT..length).map(|at| salt.wrapping_add((at as u8).wrapping_mul(7)) & 0x7f));
}

/// Reads the number of the frame that begins here; `None` when none does or it is cut short.
pub(crate) fn number_at(bytes: &[u8]) -> Option<u64> {
    let [0xff, 0xfb, 0x90 | 0x92, 0x04] = *bytes.first_chunk::<4>()? else { return None };
    let digits = bytes.get(NUMBER_AT..PATTERN_AT)?;
    Some(digits.iter().fold(0, |number, digit| number << 7 | u64::from(digit & 0x7f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_at_the_exact_rate() {
        // 49 frames are 49 × 1152 samples at 44,100 Hz: 1.28 s.
        assert_eq!(start_of(49) * 100, BYTES_PER_SECOND * 128);
        for number in 0..2_000 {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            assert_eq!(bytes.len(), length_of(number));
            assert_eq!(number_at(&bytes), Some(number));
            assert!(bytes[4..].iter().all(|&byte| byte < 0x80));
            assert_eq!(first_from(start_of(number)), number);
            assert_eq!(first_from(start_of(number) + 1), number + 1);
        }
    }

    #[test]
    fn large_numbers_survive() {
        let mut bytes = Vec::new();
        write(0x7_1234_5678, &mut bytes);
        assert_eq!(number_at(&bytes), Some(0x7_1234_5678));
        assert_eq!(number_at(&bytes[1..]), None);
        assert_eq!(number_at(&bytes[..40]), None);
    }
}
