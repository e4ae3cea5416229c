//! The checksums of Ogg and FLAC: plain polynomials, most significant bit first, starting at 0.

const OGG: [u32; 256] = table(0x04c1_1db7);
/// FLAC's two polynomials, moved to the top of the word, so that one table maker serves.
const FLAC_16: [u32; 256] = table(0x8005 << 16);
const FLAC_8: [u32; 256] = table(0x07 << 24);

/// Ogg's page checksum (RFC 3533 §6), continued from `checksum`.
pub(crate) fn ogg(checksum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(checksum, |sum, byte| sum << 8 ^ OGG[(sum >> 24) as usize ^ *byte as usize])
}

/// FLAC's frame checksum (RFC 9639 §9.3), continued from `checksum`. Over a whole frame with its
/// footer it is 0.
pub(crate) fn flac_16(checksum: u16, byte: u8) -> u16 {
    let index = usize::from(checksum >> 8) ^ usize::from(byte);
    checksum << 8 ^ (FLAC_16[index] >> 16) as u16
}

/// FLAC's frame header checksum (RFC 9639 §9.1.8). Over a header with its checksum it is 0.
pub(crate) fn flac_8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| (FLAC_8[usize::from(sum ^ *byte)] >> 24) as u8)
}

const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value >> 31 == 1 { value << 1 ^ polynomial } else { value << 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{flac_8, flac_16, ogg};

    #[test]
    fn known_answers() {
        // The catalogue's check values for these polynomials over "123456789".
        assert_eq!(flac_8(b"123456789"), 0xf4);
        assert_eq!(b"123456789".iter().fold(0, |sum, byte| flac_16(sum, *byte)), 0xfee8);
        assert_eq!(ogg(0, b"123456789"), 0x89a1_897f);
    }
}
