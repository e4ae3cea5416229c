//! Masking (RFC 6455 §5.3): payload XOR a key of four bytes, over and over; the same both ways.
//!
//! Eight bytes at a time in a loop without branches, which the compiler widens to vectors, and 128
//! between two looks at the end.

/// What is masked between two looks at the end: a whole number of the widest vectors.
const BLOCK_BYTES: usize = 128;

/// Masks or unmasks in place. `offset` says how many bytes of the same ws frame came before.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    let mut turned = key;
    turned.rotate_left((offset % 4) as usize);
    let [a, b, c, d] = turned;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        for eight in block.as_chunks_mut::<8>().0 {
            *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_byte_by_byte_at_every_length_and_offset() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for length in (0..70).chain(120..140).chain([255]) {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).collect();
                let slow = plain.iter().zip(offset..).map(|(byte, at)| byte ^ key[at % 4]);
                let expected: Vec<u8> = slow.collect();
                let mut masked = plain.clone();
                apply_mask(&mut masked, key, offset as u64);
                assert_eq!(masked, expected, "{length} bytes from {offset}");
            }
        }
    }
}
