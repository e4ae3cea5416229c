//! Conditional requests (RFC 9110 §13): is what the client has still good?
//!
//! Invariant: the order of §13.2.2; a validator that we do not have never matches.

use crate::date::parse_http_date;
use crate::headers::Headers;
use crate::method::Method;

/// What we know of the representation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validators<'a> {
    /// Its entity tag as on the wire, quotes included: `"abc"` or `W/"abc"`.
    pub etag: Option<&'a str>,
    /// When it last changed, in seconds since 1970.
    pub modified_unix_seconds: Option<u64>,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Serve it (or do it).
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Weighs `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`. `current` is
/// the representation that exists, if one does.
pub fn evaluate(
    headers: &Headers<'_>,
    method: Method<'_>,
    current: Option<Validators<'_>>,
) -> Condition {
    let modified = current.and_then(|validators| validators.modified_unix_seconds);
    let safe = matches!(method, Method::Get | Method::Head);
    if headers.get("if-match").is_some() {
        if !any_matches(headers, "if-match", current, strong_equal) {
            return Condition::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, "if-unmodified-since"), modified)
        && modified > since
    {
        return Condition::Failed;
    }
    if headers.get("if-none-match").is_some() {
        if any_matches(headers, "if-none-match", current, weak_equal) {
            return if safe { Condition::NotModified } else { Condition::Failed };
        }
    } else if let (true, Some(since), Some(modified)) =
        (safe, date(headers, "if-modified-since"), modified)
        && modified <= since
    {
        return Condition::NotModified;
    }
    Condition::Proceed
}

/// Whether a `Range` of this request may be served: `If-Range` is absent, or it names exactly what
/// we have (§13.1.5). Otherwise the whole is served.
pub fn if_range_holds(headers: &Headers<'_>, current: Validators<'_>) -> bool {
    let Some(value) = headers.get("if-range") else { return true };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return current.etag.is_some_and(|etag| strong_equal(value, etag.as_bytes()));
    }
    let since = parse_http_date(value);
    since.is_some() && since == current.modified_unix_seconds
}

fn date(headers: &Headers<'_>, name: &str) -> Option<u64> {
    headers.get(name).and_then(parse_http_date)
}

fn any_matches(
    headers: &Headers<'_>,
    name: &str,
    current: Option<Validators<'_>>,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let Some(current) = current else { return false };
    let etag = current.etag.map(str::as_bytes);
    headers.get_all(name).any(|value| {
        value == b"*" || etag.is_some_and(|etag| etags(value).any(|item| equal(item, etag)))
    })
}

fn strong_equal(left: &[u8], right: &[u8]) -> bool {
    left == right && left.starts_with(b"\"")
}

fn weak_equal(left: &[u8], right: &[u8]) -> bool {
    left.strip_prefix(b"W/").unwrap_or(left) == right.strip_prefix(b"W/").unwrap_or(right)
}

/// The entity tags of a list. A comma may stand inside the quotes, so the quotes are what
/// separates; reading stops at the first thing that is no tag.
fn etags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let quote = if rest.starts_with(b"W/") { 2 } else { 0 };
        if rest.get(quote) != Some(&b'"') {
            return None;
        }
        let closing = rest[quote + 1..].iter().position(|byte| *byte == b'"')?;
        let (tag, after) = rest.split_at(quote + closing + 2);
        rest = after;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Step};

    fn check(lines: &str, expected: Condition) {
        check_method("GET", lines, expected);
    }

    fn check_method(method: &str, lines: &str, expected: Condition) {
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
            panic!("no head: {text}")
        };
        let current =
            Validators { etag: Some("\"a,b\""), modified_unix_seconds: Some(784_111_777) };
        assert_eq!(evaluate(&head.headers, head.method, Some(current)), expected, "{lines}");
    }

    #[test]
    fn none_match() {
        check("", Condition::Proceed);
        check("If-None-Match: \"a,b\"\r\n", Condition::NotModified);
        check("If-None-Match: W/\"a,b\"\r\n", Condition::NotModified);
        check("If-None-Match: \"x\", W/\"y\" , \"a,b\"\r\n", Condition::NotModified);
        check("If-None-Match: *\r\n", Condition::NotModified);
        check("If-None-Match: \"a\r\n", Condition::Proceed);
        check_method("PUT", "If-None-Match: *\r\n", Condition::Failed);
    }

    #[test]
    fn none_match_hides_modified_since() {
        let lines = "If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        check(lines, Condition::Proceed);
    }

    #[test]
    fn dates() {
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Condition::NotModified);
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", Condition::Proceed);
        check("If-Modified-Since: yesterday\r\n", Condition::Proceed);
        check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", Condition::Failed);
        check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Condition::Proceed);
    }

    #[test]
    fn matches_are_strong() {
        check("If-Match: \"a,b\"\r\n", Condition::Proceed);
        check("If-Match: W/\"a,b\"\r\n", Condition::Failed);
        check("If-Match: \"c\"\r\n", Condition::Failed);
    }

    #[test]
    fn if_range() {
        let holds = |line: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n");
            let mut decoder = RequestDecoder::new(Limits::default());
            let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
                panic!("no head")
            };
            let current =
                Validators { etag: Some("\"e\""), modified_unix_seconds: Some(784_111_777) };
            if_range_holds(&head.headers, current)
        };
        assert!(holds(""));
        assert!(holds("If-Range: \"e\"\r\n"));
        assert!(!holds("If-Range: W/\"e\"\r\n"));
        assert!(holds("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(!holds("If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n"));
    }
}
