//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6).
//!
//! The lengths of all part heads are known before the first byte is sent, so the answer has a
//! `Content-Length` and a connection can go on afterwards. Parts are streamed: the writer gives the
//! head of the next one and says which bytes of the representation belong behind it.
//!
//! Invariant: an answer in parts is shorter than the whole. Asking for many small ranges to make a
//! server send more than it has is known as range amplification; where parts would be longer,
//! [`ByteRanges::new`] is `None` and the whole is served.

use crate::range::{ByteRange, RANGES_COUNT_MAX, Ranges};
use crate::write::{push_value, write_decimal};

/// Hexadecimal digits of a boundary.
const BOUNDARY_BYTES: usize = 32;

/// One answer in parts, and how far it has been written. It is small and can be copied, so a
/// connection keeps it between two sends.
#[derive(Debug, Clone, Copy)]
pub struct ByteRanges {
    ranges: [ByteRange; RANGES_COUNT_MAX],
    ranges_count: u8,
    next: u8,
    boundary: [u8; BOUNDARY_BYTES],
    length_bytes: u64,
    content_length: u64,
}

impl ByteRanges {
    /// An answer of these `ranges` of a representation of `length_bytes`, whose own `media_type` is
    /// repeated in each part. `seed` makes the boundary: it is drawn anew for each answer, by who
    /// may draw, so that nobody can put the boundary into the content beforehand.
    ///
    /// `None` when there are not at least two ranges, or when the parts with their heads are no
    /// shorter than the whole.
    pub fn new(
        seed: u128,
        media_type: &str,
        length_bytes: u64,
        ranges: &Ranges,
    ) -> Option<ByteRanges> {
        let Ranges::Some { ranges, count } = *ranges else { return None };
        if count < 2 {
            return None;
        }
        let mut boundary = [0; BOUNDARY_BYTES];
        for (index, digit) in boundary.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(seed >> (4 * index)) as usize & 15];
        }
        let mut parts = ByteRanges {
            ranges,
            ranges_count: u8::try_from(count).ok()?,
            next: 0,
            boundary,
            length_bytes,
            content_length: 0,
        };
        // What is written is what is counted: the same code makes the heads and measures them.
        let mut measured = parts;
        let mut heads = Vec::with_capacity(count * 160);
        let mut content_length: u64 = 0;
        while let Some(range) = measured.next_part(media_type, &mut heads) {
            content_length = content_length.checked_add(range.length_bytes())?;
        }
        content_length = content_length.checked_add(heads.len() as u64)?;
        parts.content_length = content_length;
        (content_length < length_bytes).then_some(parts)
    }

    /// `Content-Length`: all parts, their heads and the closing line.
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// Appends the value of `Content-Type`.
    pub fn write_content_type(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"multipart/byteranges; boundary=");
        out.extend_from_slice(&self.boundary);
    }

    /// Appends what stands before the next part, and says which bytes of the representation follow.
    /// `None` when there are no more: then the closing line was appended, and the answer is
    /// complete. `media_type` is the same as in [`new`](Self::new).
    pub fn next_part(&mut self, media_type: &str, out: &mut Vec<u8>) -> Option<ByteRange> {
        if self.next > self.ranges_count {
            return None;
        }
        // The first delimiter has no line to end; the others end the payload before them.
        out.extend_from_slice(if self.next == 0 { b"--" } else { b"\r\n--" });
        out.extend_from_slice(&self.boundary);
        let range = self.ranges[..usize::from(self.ranges_count)].get(usize::from(self.next));
        self.next += 1;
        let Some(range) = range else {
            out.extend_from_slice(b"--\r\n");
            return None;
        };
        out.extend_from_slice(b"\r\nContent-Type: ");
        push_value(media_type.as_bytes(), out);
        out.extend_from_slice(b"\r\nContent-Range: ");
        range.write_content_range(self.length_bytes, out);
        out.extend_from_slice(b"\r\n\r\n");
        Some(*range)
    }
}

/// Appends the value of `Content-Range` for 416: `bytes */100`.
pub fn write_unsatisfied_range(length_bytes: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"bytes */");
    write_decimal(length_bytes, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_range;

    fn answer(value: &str, content: &[u8]) -> Option<String> {
        let ranges = parse_range(value.as_bytes(), content.len() as u64);
        let mut parts = ByteRanges::new(0xabc, "text/plain", content.len() as u64, &ranges)?;
        let mut out = Vec::new();
        while let Some(range) = parts.next_part("text/plain", &mut out) {
            out.extend_from_slice(&content[range.first as usize..=range.last as usize]);
        }
        assert_eq!(parts.content_length(), out.len() as u64, "{value}");
        assert_eq!(parts.next_part("text/plain", &mut out), None, "it ends once");
        assert_eq!(parts.content_length(), out.len() as u64, "{value}");
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn two_parts_byte_for_byte() {
        let content = [b"0123456789".as_slice(), &[b'x'; 1000]].concat();
        let boundary = "cba00000000000000000000000000000";
        assert_eq!(
            answer("bytes=0-3, 8-8", &content).unwrap(),
            format!(
                "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-3/1010\r\n\r\n\
                 0123\r\n--{boundary}\r\nContent-Type: text/plain\r\n\
                 Content-Range: bytes 8-8/1010\r\n\r\n8\r\n--{boundary}--\r\n"
            )
        );
        let ranges = parse_range(b"bytes=0-3,8-8", 1010);
        let parts = ByteRanges::new(0xabc, "text/plain", 1010, &ranges).unwrap();
        let mut value = Vec::new();
        parts.write_content_type(&mut value);
        assert_eq!(value, format!("multipart/byteranges; boundary={boundary}").as_bytes());
    }

    #[test]
    fn parts_that_are_no_shorter_than_the_whole_are_not_made() {
        assert_eq!(answer("bytes=0-0, 2-2", b"0123456789"), None);
        assert_eq!(answer("bytes=0-499, 500-999", &[0; 1000]), None);
        assert_eq!(answer("bytes=0-3", &[0; 1000]), None, "one range is no multipart");
        assert_eq!(answer("bytes=0-1,1-2", &[0; 1000]), None, "overlapping ranges are ignored");
        let nine = "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16";
        assert_eq!(answer(nine, &[0; 100_000]), None, "too many are ignored");
        assert!(answer(&nine[..nine.len() - 6], &[b'x'; 100_000]).is_some(), "eight are served");
    }

    #[test]
    fn a_boundary_follows_its_seed() {
        let ranges = parse_range(b"bytes=0-0,2-2", 10_000);
        let boundary = |seed| ByteRanges::new(seed, "a/b", 10_000, &ranges).unwrap().boundary;
        assert_ne!(boundary(1), boundary(2));
        assert_ne!(boundary(1), boundary(1 << 127));
        assert!(boundary(u128::MAX).iter().all(|digit| *digit == b'f'));
    }

    #[test]
    fn lengths_beyond_memory() {
        let ranges = parse_range(b"bytes=0-1,-9223372036854775808", u64::MAX);
        let parts = ByteRanges::new(0, "a/b", u64::MAX, &ranges).unwrap();
        assert!(parts.content_length() > 1 << 63);
        let mut out = Vec::new();
        write_unsatisfied_range(u64::MAX, &mut out);
        assert_eq!(out, b"bytes */18446744073709551615");
    }
}
