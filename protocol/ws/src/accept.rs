//! `Sec-WebSocket-Accept` (RFC 6455 §4.2.2): the proof that a server understood the handshake.
//!
//! It is base64 of SHA-1 over the key and a fixed text. SHA-1 protects nothing here, so the few
//! lines that compute it for a key's 60 bytes are written out and the crate needs no other.

const SUFFIX: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value that answers a key; both are ASCII.
pub(crate) fn accept_value(key: &[u8; 24]) -> [u8; 28] {
    let mut text = [0; 60];
    text[..24].copy_from_slice(key);
    text[24..].copy_from_slice(SUFFIX);
    base64_of(&sha1_of(&text))
}

/// Base64 of a nonce's 16 bytes, as a client sends it.
pub(crate) fn key_of(nonce: [u8; 16]) -> [u8; 24] {
    base64_of(&nonce)
}

/// Whether this can be base64 of 16 bytes: 22 digits and `==`.
pub(crate) fn is_key(value: &[u8]) -> Option<&[u8; 24]> {
    let key: &[u8; 24] = value.try_into().ok()?;
    let (digits, padding) = key.split_at(22);
    (digits.iter().all(|byte| DIGITS.contains(byte)) && padding == b"==").then_some(key)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_of<const TEXT_BYTES: usize>(bytes: &[u8]) -> [u8; TEXT_BYTES] {
    assert_eq!(bytes.len().div_ceil(3) * 4, TEXT_BYTES, "lengths that belong together");
    let mut text = [b'='; TEXT_BYTES];
    for (three, four) in bytes.chunks(3).zip(text.chunks_exact_mut(4)) {
        let mut word = [0; 4];
        word[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(word);
        for (index, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
            *digit = DIGITS[(bits >> (18 - 6 * index) & 63) as usize];
        }
    }
    text
}

/// FIPS 180-4 §6.1 for 56 to 119 bytes: two blocks.
fn sha1_of(text: &[u8; 60]) -> [u8; 20] {
    let mut padded = [0; 128];
    padded[..60].copy_from_slice(text);
    padded[60] = 0x80;
    padded[120..].copy_from_slice(&(60_u64 * 8).to_be_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        sha1_block(&mut state, block);
    }
    let mut digest = [0; 20];
    for (four, word) in digest.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut schedule = [0_u32; 80];
    for (word, four) in schedule.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*four);
    }
    for at in 16..80 {
        let mixed = schedule[at - 3] ^ schedule[at - 8] ^ schedule[at - 14] ^ schedule[at - 16];
        schedule[at] = mixed.rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (at, word) in schedule.into_iter().enumerate() {
        let (choice, constant) = match at / 20 {
            0 => ((b & c) | (!b & d), 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(choice).wrapping_add(e);
        let next = sum.wrapping_add(constant).wrapping_add(word);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(&accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&key_of(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn keys() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ==").is_some());
        for wrong in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZ===", b"=="] {
            assert!(is_key(wrong).is_none());
        }
        assert!(is_key(b"dGhlIHNhbXBsZSBub25j Q==").is_none());
    }
}
