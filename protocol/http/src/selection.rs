//! What a request for a representation comes to: conditions and ranges, weighed in the one order
//! that RFC 9110 §13.2.2 gives them.

use crate::condition::{Condition, Validators, evaluate, if_range_holds};
use crate::headers::Headers;
use crate::method::Method;
use crate::range::{ByteRange, Ranges, parse_range};

/// How much of a representation to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// 200 and all of it.
    Whole,
    /// 206 and one range, with `Content-Range`.
    Part(ByteRange),
    /// 206 and several, as [`ByteRanges`](crate::ByteRanges); the whole where it has none to make.
    Parts(Ranges),
    /// 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
    /// 304.
    NotModified,
    /// 412.
    ConditionFailed,
}

impl Selection {
    /// Weighs the conditions and the range of a request for a representation that exists and has
    /// `length_bytes`.
    ///
    /// It is for requests that would be answered with 200 otherwise (§13.2.1): a 404 or a redirect
    /// is sent whatever the conditions say. Ranges are for `GET` alone (§14.2).
    pub fn of(
        method: Method<'_>,
        headers: &Headers<'_>,
        validators: Validators<'_>,
        length_bytes: u64,
    ) -> Selection {
        match evaluate(headers, method, Some(validators)) {
            Condition::NotModified => return Selection::NotModified,
            Condition::Failed => return Selection::ConditionFailed,
            Condition::Proceed => {}
        }
        let mut lines = headers.get_all("range");
        // A repeated Range is no list: which line counts is anyone's guess, so none does.
        let value = match (method, lines.next(), lines.next()) {
            (Method::Get, Some(value), None) => value,
            _ => return Selection::Whole,
        };
        if !if_range_holds(headers, validators) {
            return Selection::Whole;
        }
        match parse_range(value, length_bytes) {
            Ranges::Whole => Selection::Whole,
            Ranges::Unsatisfiable => Selection::Unsatisfiable,
            Ranges::Some { ranges, count: 1 } => Selection::Part(ranges[0]),
            several => Selection::Parts(several),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Step};

    fn select(method: &str, lines: &str) -> Selection {
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
            panic!("no head: {text}")
        };
        let validators =
            Validators { etag: Some("\"e\""), modified_unix_seconds: Some(784_111_777) };
        Selection::of(head.method, &head.headers, validators, 100)
    }

    #[test]
    fn conditions_come_before_ranges() {
        let both = "Range: bytes=0-1\r\nIf-None-Match: \"e\"\r\n";
        assert_eq!(select("GET", both), Selection::NotModified);
        assert_eq!(
            select("GET", "Range: bytes=200-\r\nIf-Match: \"x\"\r\n"),
            Selection::ConditionFailed
        );
        let unmodified =
            "Range: bytes=0-1\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(select("GET", unmodified), Selection::Part(ByteRange { first: 0, last: 1 }));
    }

    #[test]
    fn ranges() {
        assert_eq!(select("GET", ""), Selection::Whole);
        assert_eq!(
            select("GET", "Range: bytes=5-\r\n"),
            Selection::Part(ByteRange { first: 5, last: 99 })
        );
        assert_eq!(select("GET", "Range: bytes=100-\r\n"), Selection::Unsatisfiable);
        assert_eq!(select("HEAD", "Range: bytes=5-\r\n"), Selection::Whole);
        assert_eq!(select("GET", "Range: bytes=0-1\r\nRange: bytes=4-5\r\n"), Selection::Whole);
        let Selection::Parts(ranges) = select("GET", "Range: bytes=0-1,4-5\r\n") else {
            panic!("no parts")
        };
        assert_eq!(ranges.as_slice().len(), 2);
    }

    #[test]
    fn if_range_is_strong_and_only_with_range() {
        let held = "Range: bytes=0-1\r\nIf-Range: \"e\"\r\n";
        assert_eq!(select("GET", held), Selection::Part(ByteRange { first: 0, last: 1 }));
        for line in ["W/\"e\"", "\"x\"", "Sun, 06 Nov 1994 08:49:36 GMT", "e", "\"e\", \"f\""] {
            let lines = format!("Range: bytes=200-\r\nIf-Range: {line}\r\n");
            assert_eq!(select("GET", &lines), Selection::Whole, "{line}");
        }
        assert_eq!(select("GET", "If-Range: \"x\"\r\n"), Selection::Whole);
    }
}
