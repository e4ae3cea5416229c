//! ADTS frame headers of AAC (ISO/IEC 13818-7 §6.2).
//!
//! ```text
//!  11111111 1111i00p PPssss.c cc....LL LLLLLLLL LLL..... ......nn
//!  p no checksum · P profile · s rate index · c channels · L frame bytes · n raw blocks less one
//! ```

use crate::Format;
use crate::bits::{be16, be32};
use crate::frames::Header;
use crate::output::AudioInfo;

const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The header that `bytes` (at least seven) begin with.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let fixed = be16(bytes, 0);
    let rate_index = usize::from(bytes[2] >> 2 & 15);
    if fixed & 0xfff6 != 0xfff0 || rate_index >= RATES_HZ.len() {
        return None;
    }
    let header_bytes = if fixed & 1 == 1 { 7 } else { 9 };
    let frame_bytes = (be32(bytes, 2) >> 5 & 0x1fff) as usize;
    if frame_bytes <= header_bytes {
        return None;
    }
    let channels = bytes[2] << 2 & 4 | bytes[3] >> 6;
    Some(Header {
        format: Format::Adts,
        // All of the fixed header but the private, home and copyright bits.
        key: be32(bytes, 0) & 0xffff_fdc0,
        frame_bytes,
        padding_bytes: 0,
        samples: 1024 * (u32::from(bytes[6] & 3) + 1),
        audio: AudioInfo {
            sample_rate_hz: RATES_HZ[rate_index],
            channels_count: if channels == 7 { 8 } else { channels },
            bitrate_kbps: 0,
            codec: "aac",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn a_header_of_ffmpeg() {
        // AAC-LC, 44.1 kHz, stereo, 371 bytes.
        let header = header(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).expect("valid");
        assert_eq!((header.frame_bytes, header.samples), (371, 1024));
        assert_eq!((header.audio.sample_rate_hz, header.audio.channels_count), (44_100, 2));
    }

    #[test]
    fn impossible_headers() {
        assert!(header(&[0xff, 0xf1, 0x50, 0x80, 0, 0xff, 0xfc]).is_none(), "seven bytes only");
        assert!(header(&[0xff, 0xf1, 0x7c, 0x80, 0x2e, 0x7f, 0xfc]).is_none(), "rate index 15");
        assert!(header(&[0xff, 0xfb, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).is_none(), "a layer");
    }
}
