//! FLAC frame headers (RFC 9639 §9.1).
//!
//! ```text
//!  11111111 1111100v bbbbrrrr ccccsss0 │ number (1 to 7) │ block size (0 to 2) │ rate (0 to 2) │
//!  CRC-8
//! ```

use crate::checksum;

/// The longest header.
pub(super) const HEADER_BYTES_MAX: usize = 16;

/// A frame header whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub samples: u32,
    /// What all frames of a stream have in common: block strategy, rate, sample size.
    pub key: [u8; 3],
}

/// The frame header that `bytes` begin with.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let fixed: &[u8; 4] = bytes.first_chunk()?;
    let (block_size, rate) = (fixed[2] >> 4, fixed[2] & 15);
    let (channels, sample_size) = (fixed[3] >> 4, fixed[3] >> 1 & 7);
    let reserved = fixed[3] & 1 != 0 || block_size == 0 || rate == 15;
    if fixed[0] != 0xff || fixed[1] & 0xfe != 0xf8 || reserved {
        return None;
    }
    if channels > 10 || sample_size == 3 {
        return None;
    }
    let mut at = 4 + number_bytes(&bytes[4..])?;
    let samples = match block_size {
        1 => 192,
        2..=5 => 576 << (block_size - 2),
        6 => u32::from(*bytes.get(at)?) + 1,
        7 => (u32::from(*bytes.get(at)?) << 8 | u32::from(*bytes.get(at + 1)?)) + 1,
        _ => 256 << (block_size - 8),
    };
    at += match block_size {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    at += match rate {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let whole = bytes.get(..=at)?;
    let key = [fixed[1], rate, fixed[3] & 15];
    (checksum::flac_8(whole) == 0).then_some(Header { samples, key })
}

/// The length of the frame or sample number, which is coded like UTF-8 of up to 36 bits.
fn number_bytes(bytes: &[u8]) -> Option<usize> {
    let count = match bytes.first()?.leading_ones() {
        0 => 1,
        ones @ 2..=7 => ones as usize,
        _ => return None,
    };
    let rest = bytes.get(1..count)?;
    rest.iter().all(|byte| byte & 0xc0 == 0x80).then_some(count)
}
