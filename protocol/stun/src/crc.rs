//! CRC-32 as ITU V.42 has it, which FINGERPRINT wants (RFC 8489 §14.7).

/// What the CRC is combined with, so that another protocol's CRC in the same place is no match.
const FINGERPRINT_XOR: u32 = 0x5354_554E;

const TABLE: [u32; 256] = table();

/// The FINGERPRINT of a message whose bytes before that attribute come in these parts.
pub(crate) fn fingerprint(parts: [&[u8]; 3]) -> u32 {
    let bytes = parts.into_iter().flatten();
    let crc = bytes.fold(u32::MAX, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8));
    !crc ^ FINGERPRINT_XOR
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue() {
        let crc = super::fingerprint([b"1234", b"56", b"789"]) ^ super::FINGERPRINT_XOR;
        assert_eq!(crc, 0xCBF4_3926);
    }
}
