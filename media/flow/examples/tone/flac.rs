//! As much of FLAC as a tone needs: verbatim mono frames of 16 bits (RFC 9639), and Ogg's headers
//! for it.

/// The packets before the first frame, and whether each ends its page.
pub fn headers(rate: u32, block_samples: u16) -> Vec<(Vec<u8>, bool)> {
    // RFC 9639 §10.1: packet type, "FLAC", version 1.0, one header packet more, then a FLAC file's
    // own beginning: magic and stream information (§8.2), whose sizes and checksum are unknown.
    let mut first = b"\x7fFLAC\x01\x00\x00\x01fLaC\x00\x00\x00\x22".to_vec();
    first.extend(block_samples.to_be_bytes());
    first.extend(block_samples.to_be_bytes());
    first.extend([0; 6]);
    // 20 bits of rate, 3 of channels less one, 5 of bits less one, 36 of samples.
    first.extend((u64::from(rate) << 44 | 15 << 36).to_be_bytes());
    first.extend([0; 16]);
    // An empty Vorbis comment (§8.6), the last of the headers.
    let mut comment = vec![0x84, 0, 0, 16];
    comment.extend(8_u32.to_le_bytes());
    comment.extend(b"Skywave.");
    comment.extend(0_u32.to_le_bytes());
    vec![(first, true), (comment, true)]
}

/// A frame that holds its samples as they are.
pub fn frame(number: u32, samples: &[i16]) -> Vec<u8> {
    // §9.1: fixed block size, which is said in 16 bits below; the rate of the stream information;
    // one channel; 16 bits.
    let mut frame = vec![0xff, 0xf8, 0x70, 0x08];
    let coded = char::from_u32(number).expect("a small number");
    frame.extend(coded.encode_utf8(&mut [0; 4]).as_bytes());
    frame.extend((samples.len() as u16 - 1).to_be_bytes());
    frame.push(checksum(&frame, 8, 0x07) as u8);
    // §9.2.1: a verbatim subframe.
    frame.push(0x02);
    frame.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
    frame.extend((checksum(&frame, 16, 0x8005) as u16).to_be_bytes());
    frame
}

/// The samples of a frame: all behind its header, but its checksum.
pub fn samples(frame: &[u8]) -> impl Iterator<Item = i16> + '_ {
    let coded_length = match frame[4] {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let samples = &frame[4 + coded_length + 4..frame.len() - 2];
    samples.chunks_exact(2).map(|two| i16::from_be_bytes([two[0], two[1]]))
}

fn checksum(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    let top = 1 << (bits - 1);
    let mask = top | (top - 1);
    let mut sum = 0;
    for byte in bytes {
        sum ^= u32::from(*byte) << (bits - 8);
        for _ in 0..8 {
            sum = if sum & top != 0 { sum << 1 ^ polynomial } else { sum << 1 } & mask;
        }
    }
    sum
}
