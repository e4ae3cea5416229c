//! ChannelData: TURN's short way to carry data for a peer (RFC 8656 §12.4).
//!
//! ```text
//! | channel number, 2 | bytes of data, 2 | data | over a stream: 0 to 3 bytes to a multiple of 4 |
//! ```

use crate::message::Malformed;
use std::ops::Range;

/// Bytes before the data.
pub const CHANNEL_HEADER_BYTES: usize = 4;

/// The smallest channel number.
pub const CHANNEL_MIN: u16 = 0x4000;

/// The largest channel number. RFC 8656 stops at 0x4FFF; clients of RFC 5766, coturn's among
/// them, draw from all of this range, and nothing else on a TURN port begins with these bits.
pub const CHANNEL_MAX: u16 = 0x7FFF;

/// A ChannelData message, found in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelData {
    /// The channel.
    pub number: u16,
    /// Where in the bytes given its data lies.
    pub data: Range<usize>,
}

impl ChannelData {
    /// Reads a datagram. Bytes behind the data are padding and skipped (§12.5).
    ///
    /// # Errors
    ///
    /// `Short` where the data is not all there, `Type` where it is no channel's number.
    pub fn decode(datagram: &[u8]) -> Result<ChannelData, Malformed> {
        let Some((&[a, b, c, d], rest)) = datagram.split_first_chunk() else {
            return Err(Malformed::Short);
        };
        let number = u16::from_be_bytes([a, b]);
        if !(CHANNEL_MIN..=CHANNEL_MAX).contains(&number) {
            return Err(Malformed::Type);
        }
        let length = usize::from(u16::from_be_bytes([c, d]));
        if length > rest.len() {
            return Err(Malformed::Short);
        }
        Ok(ChannelData { number, data: CHANNEL_HEADER_BYTES..CHANNEL_HEADER_BYTES + length })
    }

    /// The four bytes before data of this length.
    pub const fn header(number: u16, data_bytes: u16) -> [u8; CHANNEL_HEADER_BYTES] {
        let ([a, b], [c, d]) = (number.to_be_bytes(), data_bytes.to_be_bytes());
        [a, b, c, d]
    }
}
