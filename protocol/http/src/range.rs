//! Byte ranges (RFC 9110 §14).
//!
//! Invariant: a range handed out lies inside the representation, `first <= last < length`. A set
//! that asks for more ranges than [`RANGES_COUNT_MAX`] or for overlapping ones is ignored and the
//! whole is served: such sets are the known way to make a server send more than it has.

use crate::headers::{is_token, list_items};
use crate::request::parse_length;

/// Most ranges of one request that are served.
pub const RANGES_COUNT_MAX: usize = 8;

/// One range of a known representation; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteRange {
    /// First byte, counted from 0.
    pub first: u64,
    /// Last byte, included.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes it holds, at least one.
    pub fn length_bytes(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Appends the value of `Content-Range`: `bytes 0-9/100`.
    pub fn write_content_range(&self, length_bytes: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"bytes ");
        crate::write_decimal(self.first, out);
        out.push(b'-');
        crate::write_decimal(self.last, out);
        out.push(b'/');
        crate::write_decimal(length_bytes, out);
    }
}

/// What a `Range` header means for a representation of known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranges {
    /// No bytes unit, malformed, or unreasonable: serve the whole with 200.
    Whole,
    /// Serve 206: these ranges (the first `count`) in the order asked.
    Some {
        /// The ranges; those from `count` on are without meaning.
        ranges: [ByteRange; RANGES_COUNT_MAX],
        /// How many, at least one.
        count: usize,
    },
    /// Answer 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

impl Ranges {
    /// The ranges to serve; none unless 206.
    pub fn as_slice(&self) -> &[ByteRange] {
        match self {
            Ranges::Some { ranges, count } => &ranges[..*count],
            _ => &[],
        }
    }
}

/// One item of a `Range` header before the length is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-`
    From(u64),
    /// `first-last`, `first <= last`
    Between(u64, u64),
    /// `-count`: that many bytes at the end
    Suffix(u64),
}

/// The items of a `Range` header's value; `None` when the unit is not `bytes`, an item is malformed
/// or there is none.
pub fn parse_range_specs(value: &[u8]) -> Option<impl Iterator<Item = RangeSpec>> {
    let at = value.iter().position(|byte| *byte == b'=')?;
    if !is_token(value[..at].trim_ascii(), "bytes") {
        return None;
    }
    let items = || list_items(&value[at + 1..]).map(parse_spec);
    if items().next().is_none() || items().any(|spec| spec.is_none()) {
        return None;
    }
    Some(items().flatten())
}

/// Reads a `Range` header's value against a representation of `length_bytes`.
pub fn parse_range(value: &[u8], length_bytes: u64) -> Ranges {
    let Some(specs) = parse_range_specs(value) else { return Ranges::Whole };
    let mut ranges = [ByteRange::default(); RANGES_COUNT_MAX];
    let mut count = 0;
    for (index, spec) in specs.enumerate() {
        if index >= RANGES_COUNT_MAX {
            return Ranges::Whole;
        }
        let Some(range) = spec.resolve(length_bytes) else { continue };
        let overlaps = |other: &ByteRange| range.first <= other.last && other.first <= range.last;
        if ranges[..count].iter().any(overlaps) {
            return Ranges::Whole;
        }
        ranges[count] = range;
        count += 1;
    }
    if count == 0 { Ranges::Unsatisfiable } else { Ranges::Some { ranges, count } }
}

impl RangeSpec {
    /// The bytes meant in a representation of `length_bytes`; `None` when it has none of them.
    pub fn resolve(self, length_bytes: u64) -> Option<ByteRange> {
        let end = length_bytes.checked_sub(1)?;
        match self {
            RangeSpec::From(first) => (first <= end).then_some(ByteRange { first, last: end }),
            RangeSpec::Between(first, last) => {
                (first <= end).then_some(ByteRange { first, last: last.min(end) })
            }
            RangeSpec::Suffix(0) => None,
            RangeSpec::Suffix(count) => {
                Some(ByteRange { first: length_bytes.saturating_sub(count), last: end })
            }
        }
    }
}

fn parse_spec(item: &[u8]) -> Option<RangeSpec> {
    let at = item.iter().position(|byte| *byte == b'-')?;
    match (&item[..at], &item[at + 1..]) {
        ([], count) => parse_length(count).map(RangeSpec::Suffix),
        (first, []) => parse_length(first).map(RangeSpec::From),
        (first, last) => {
            let (first, last) = (parse_length(first)?, parse_length(last)?);
            (first <= last).then_some(RangeSpec::Between(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(value: &str, length_bytes: u64) -> Vec<(u64, u64)> {
        let ranges = parse_range(value.as_bytes(), length_bytes);
        ranges.as_slice().iter().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn single_multi_and_suffix() {
        assert_eq!(ranges("bytes=0-", 100), [(0, 99)]);
        assert_eq!(ranges("bytes=0-0", 100), [(0, 0)]);
        assert_eq!(ranges("Bytes = 10-1000", 100), [(10, 99)]);
        assert_eq!(ranges("bytes=-5", 100), [(95, 99)]);
        assert_eq!(ranges("bytes=-500", 100), [(0, 99)]);
        assert_eq!(ranges("bytes=0-1, 98-, 500-600", 100), [(0, 1), (98, 99)]);
    }

    #[test]
    fn unsatisfiable() {
        for (value, length_bytes) in [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)] {
            assert_eq!(parse_range(value.as_bytes(), length_bytes), Ranges::Unsatisfiable);
        }
    }

    #[test]
    fn ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=5-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes=-",
            "bytes=0-1,x",
            "bytes=0-99999999999999999999999",
            "bytes=0-10,5-15",
            "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16",
        ] {
            assert_eq!(parse_range(value.as_bytes(), 100), Ranges::Whole, "{value}");
        }
    }

    #[test]
    fn content_range() {
        let mut out = Vec::new();
        ByteRange { first: 3, last: 9 }.write_content_range(10, &mut out);
        assert_eq!(out, b"bytes 3-9/10");
    }
}
