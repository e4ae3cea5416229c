//! RED (RFC 2198): earlier sound sent once more beside the newest, against loss. It is passed on as
//! it is; for a viewer who has not agreed to it the newest is taken out.

/// The newest block of a payload; `None` where it is malformed.
///
/// ```text
/// 1|type 7|timestamp offset 14|length 10    each earlier block
/// 0|type 7                                  the newest
/// blocks, in the same order
/// ```
pub(crate) fn newest(payload: &[u8]) -> Option<&[u8]> {
    let (mut at, mut earlier_bytes) = (0, 0);
    while payload.get(at)? & 0x80 != 0 {
        let low = payload.get(at + 2..at + 4)?;
        earlier_bytes += usize::from(u16::from_be_bytes([low[0], low[1]]) & 0x03ff);
        at += 4;
    }
    payload.get(at + 1 + earlier_bytes..).filter(|newest| !newest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_newest_is_the_last_block() {
        assert_eq!(newest(&[111, 1, 2]), Some(&[1, 2][..]));
        assert_eq!(newest(&[0x80 | 111, 0, 0, 3, 111, 7, 8, 9, 1, 2]), Some(&[1, 2][..]));
        assert_eq!(newest(&[0x80 | 111, 0x03, 0xc0, 1, 111, 7, 1]), Some(&[1][..]));
        assert_eq!(newest(&[0x80 | 111, 0, 0, 3, 111, 7, 8, 9]), None, "no newest");
        assert_eq!(newest(&[0x80 | 111, 0, 0]), None);
        assert_eq!(newest(&[]), None);
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            newest(&payload);
        }
    }
}
