//! MPEG audio frame headers (ISO/IEC 11172-3, 13818-3, and the 2.5 extension), all layers.
//!
//! ```text
//!  11111111 111vvllp bbbbrrpx cc......   v version · l layer · b bitrate · r rate · p padding · c
//!  mode
//! ```

use crate::Format;
use crate::bits::be32;
use crate::frames::Header;
use crate::output::AudioInfo;

/// The header that `bytes` (at least four) begin with. In the free format `frame_bytes` is 0.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let word = be32(bytes, 0);
    let field = |shift: u32, width: u32| (word >> shift) as usize & ((1 << width) - 1);
    let (version, layer) = (field(19, 2), field(17, 2));
    let (bitrate, rate, padding) = (field(12, 4), field(10, 2), field(9, 1));
    let reserved_emphasis = field(0, 2) == 2;
    if field(21, 11) != 0x7ff || version == 1 || layer == 0 || reserved_emphasis {
        return None;
    }
    if bitrate == 15 || rate == 3 {
        return None;
    }
    let version_one = version == 3;
    let layer = 4 - layer;
    let halved = match version {
        3 => 0,
        2 => 1,
        _ => 2,
    };
    let sample_rate_hz = [44_100, 48_000, 32_000][rate] >> halved;
    let samples = match layer {
        1 => 384,
        3 if !version_one => 576,
        _ => 1152,
    };
    let bitrate_kbps = kbps(version_one, layer, bitrate);
    let slot_bytes = if layer == 1 { 4 } else { 1 };
    let slots = samples / 8 * 1000 * bitrate_kbps / (sample_rate_hz * slot_bytes);
    let padding_bytes = padding * slot_bytes as usize;
    let mono = field(6, 2) == 3;
    let free = bitrate == 0;
    let frame_bytes = if free { 0 } else { (slots * slot_bytes) as usize + padding_bytes };
    Some(Header {
        format: Format::Mpeg,
        key: word & 0xfffe_0c00 | u32::from(mono) << 1 | u32::from(free),
        frame_bytes,
        padding_bytes,
        samples,
        audio: AudioInfo {
            sample_rate_hz,
            channels_count: if mono { 1 } else { 2 },
            bitrate_kbps,
            codec: ["mp1", "mp2", "mp3"][layer - 1],
        },
    })
}

/// The bitrate that an index from 0 (free) to 14 stands for.
fn kbps(version_one: bool, layer: usize, index: usize) -> u32 {
    const ONE: [[u32; 15]; 3] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    ];
    const TWO: [[u32; 15]; 2] = [
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    if version_one { ONE[layer - 1][index] } else { TWO[usize::from(layer > 1)][index] }
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn lengths_of_known_frames() {
        let cases: [(u32, usize, &str, u32, u8); 7] = [
            (0xfffb_9000, 417, "mp3", 44_100, 2), // MPEG-1 layer III, 128 kbit/s
            (0xfffb_9200, 418, "mp3", 44_100, 2), // padded
            (0xfffb_e4c0, 960, "mp3", 48_000, 1), // 320 kbit/s, mono
            (0xfff3_8000, 208, "mp3", 22_050, 2), // MPEG-2 layer III, 64 kbit/s
            (0xffe3_8000, 417, "mp3", 11_025, 2), // MPEG-2.5
            (0xfffd_8400, 384, "mp2", 48_000, 2), // layer II, 128 kbit/s
            (0xffff_8400, 256, "mp1", 48_000, 2), // layer I, 256 kbit/s
        ];
        for (word, frame_bytes, codec, rate, channels) in cases {
            let header = header(&word.to_be_bytes()).expect("valid");
            assert_eq!((header.frame_bytes, header.audio.codec), (frame_bytes, codec), "{word:x}");
            assert_eq!(
                (header.audio.sample_rate_hz, header.audio.channels_count),
                (rate, channels)
            );
        }
    }

    #[test]
    fn reserved_values_are_no_headers() {
        for word in
            [0xfffb_f000_u32, 0xfffb_9c00, 0xfff1_5080, 0xffeb_9000, 0xfffb_9002, 0x00fb_9000]
        {
            assert!(header(&word.to_be_bytes()).is_none(), "{word:x}");
        }
    }
}
