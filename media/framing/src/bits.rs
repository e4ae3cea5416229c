//! Integers in bytes, and the search for a marker.

/// The big-endian 16-bit integer at `at`, which must be there.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The big-endian 32-bit integer at `at`, which must be there.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The little-endian 16-bit integer at `at`, which must be there.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    be16(bytes, at).swap_bytes()
}

/// The little-endian 32-bit integer at `at`, which must be there.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    be32(bytes, at).swap_bytes()
}

/// The little-endian 64-bit integer at `at`, which must be there.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Where one of `markers` first stands in `bytes`, or where the beginning of one stands at their
/// end, or their length: nothing before that place can be a marker's start. Looks no further than
/// what it finds.
pub(crate) fn find_marker(bytes: &[u8], markers: &[&[u8]]) -> usize {
    let mut at = 0;
    let may_begin = |byte: &u8| markers.iter().any(|marker| marker[0] == *byte);
    while let Some(found) = bytes[at..].iter().position(may_begin) {
        at += found;
        let tail = &bytes[at..];
        let begins = |marker: &&[u8]| {
            let count = tail.len().min(marker.len());
            tail[..count] == marker[..count]
        };
        if markers.iter().any(begins) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Spreads a seed over all 64 bits (the finisher of SplitMix64).
pub(crate) fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::find_marker;

    #[test]
    fn a_marker_is_found_whole_or_begun() {
        assert_eq!(find_marker(b"OOggS", &[b"OggS"]), 1);
        assert_eq!(find_marker(b"xxOgOg", &[b"OggS"]), 4);
        assert_eq!(find_marker(b"xxRFRIFF", &[b"RF64", b"RIFF"]), 4);
        assert_eq!(find_marker(b"xxxx", &[b"OggS"]), 4);
        assert_eq!(find_marker(b"", &[b"OggS"]), 0);
    }
}
