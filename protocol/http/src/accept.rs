//! Content codings (RFC 9110 §8.4, §12.5.3): which of the variants at hand a client wants.
//!
//! A server that keeps `page.html`, `page.html.gz` and `page.html.br` says which it has, and
//! [`choose_coding`] says which to send. What may be chosen differently for another client carries
//! `Vary: Accept-Encoding`, also when the answer is 304, 406 or not encoded at all: see
//! [`VARY_CODING`]. The entity tags of two variants differ, or a cache mixes them up;
//! [`ContentCoding::suffix`] is a way to make them so.

use crate::headers::{Headers, is_token, list_items};

/// The line for every answer that depends on `Accept-Encoding`, with its CR LF.
pub const VARY_CODING: &[u8] = b"Vary: Accept-Encoding\r\n";

/// How the bytes of a variant are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// `br` (RFC 7932)
    Brotli,
    /// `gzip` (RFC 1952)
    Gzip,
    /// As they are.
    Identity,
}

impl ContentCoding {
    /// All, the smallest variant first.
    pub const ALL: [ContentCoding; 3] =
        [ContentCoding::Brotli, ContentCoding::Gzip, ContentCoding::Identity];

    /// The word for `Content-Encoding`; `None` for identity, which is never named there (§8.4).
    pub fn token(self) -> Option<&'static str> {
        match self {
            ContentCoding::Brotli => Some("br"),
            ContentCoding::Gzip => Some("gzip"),
            ContentCoding::Identity => None,
        }
    }

    /// What a precompressed file is called behind the name of the plain one, dot included; empty
    /// for identity.
    pub fn suffix(self) -> &'static str {
        match self {
            ContentCoding::Brotli => ".br",
            ContentCoding::Gzip => ".gz",
            ContentCoding::Identity => "",
        }
    }

    fn is_named(self, item: &[u8]) -> bool {
        match self {
            ContentCoding::Brotli => is_token(item, "br"),
            // A recipient treats "x-gzip" as "gzip" (§8.4.1.3).
            ContentCoding::Gzip => is_token(item, "gzip") || is_token(item, "x-gzip"),
            ContentCoding::Identity => is_token(item, "identity"),
        }
    }
}

/// Chooses among the `available` variants, which stand in the server's order of preference: the
/// heaviest weight wins, and of equal ones the first. `None` is 406: what there is the client has
/// ruled out.
///
/// Without `Accept-Encoding` it is identity if that is at hand, else the first: a client that says
/// nothing takes anything (§12.5.3), but one that cannot decode says nothing either.
pub fn choose_coding(headers: &Headers<'_>, available: &[ContentCoding]) -> Option<ContentCoding> {
    if headers.get("accept-encoding").is_none() {
        let has_identity = available.contains(&ContentCoding::Identity);
        return if has_identity {
            Some(ContentCoding::Identity)
        } else {
            available.first().copied()
        };
    }
    let mut best = None;
    for coding in available {
        let weight = weight_of(headers, *coding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// What the client gives for a coding, in thousandths; 0 rules it out.
fn weight_of(headers: &Headers<'_>, coding: ContentCoding) -> u16 {
    let mut wildcard = None;
    for (name, weight) in headers.get_all("accept-encoding").flat_map(weighted_items) {
        if coding.is_named(name) {
            return weight;
        }
        if name == b"*" {
            wildcard = wildcard.or(Some(weight));
        }
    }
    match (wildcard, coding) {
        (Some(weight), _) => weight,
        // Identity stays acceptable unless it or `*` is given 0; unnamed, it is the last resort.
        (None, ContentCoding::Identity) => 1,
        (None, _) => 0,
    }
}

/// The items of a list with weights. An item with a malformed weight is left out.
fn weighted_items(value: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    list_items(value).filter_map(|item| {
        let Some(at) = item.iter().position(|byte| *byte == b';') else {
            return Some((item, 1000));
        };
        let parameter = item[at + 1..].trim_ascii();
        let (name, weight) = parameter.split_at_checked(2)?;
        is_token(name, "q=")
            .then(|| parse_weight(weight))?
            .map(|weight| (item[..at].trim_ascii(), weight))
    })
}

/// `qvalue` of §12.4.2 in thousandths: `0`, `0.5`, `0.123`, `1`, `1.000`.
fn parse_weight(text: &[u8]) -> Option<u16> {
    let (whole, digits) = match text {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (*whole, digits),
        _ => return None,
    };
    let mut thousandths = 0;
    for index in 0..3 {
        let digit = digits.get(index).copied().unwrap_or(b'0');
        thousandths = thousandths * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match whole {
        b'0' => Some(thousandths),
        _ => (thousandths == 0).then_some(1000),
    }
}

#[cfg(test)]
mod tests {
    use super::ContentCoding::{Brotli, Gzip, Identity};
    use super::*;
    use crate::{Limits, RequestDecoder, Step};

    fn choose(lines: &str, available: &[ContentCoding]) -> Option<ContentCoding> {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        match decoder.decode(text.as_bytes()) {
            Ok(Step::Head { head, .. }) => choose_coding(&head.headers, available),
            other => panic!("no head but {other:?}"),
        }
    }

    #[test]
    fn among_all_three() {
        for (value, expected) in [
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip, deflate", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP;Q=0.5", Some(Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("br ; q=0.001, gzip;q=0", Some(Brotli)),
            ("identity, gzip;q=0.9", Some(Identity)),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("*", Some(Brotli)),
            ("*;q=0.1, br;q=0", Some(Gzip)),
            ("gzip;q=0, *;q=0.2", Some(Brotli)),
            ("*;q=0, gzip", Some(Gzip)),
            ("", Some(Identity)),
            ("zstd, compress", Some(Identity)),
            ("br;q=0, gzip;q=0", Some(Identity)),
            ("*;q=0", None),
            ("identity;q=0", None),
            ("identity;q=0, *;q=0", None),
            ("*;q=0, identity;q=0.1", Some(Identity)),
            // A malformed weight counts as though the item were not there.
            ("br;q=2, gzip", Some(Gzip)),
            ("br;q=0.1234, gzip;q=0.1", Some(Gzip)),
            ("br;level=5, gzip", Some(Gzip)),
            ("br;q=1.001", Some(Identity)),
        ] {
            let chosen = choose(&format!("Accept-Encoding: {value}\r\n"), &ContentCoding::ALL);
            assert_eq!(chosen, expected, "{value}");
        }
    }

    #[test]
    fn lines_are_one_list() {
        let lines = "Accept-Encoding: deflate\r\nAccept-Encoding: gzip;q=0.1\r\n";
        assert_eq!(choose(lines, &ContentCoding::ALL), Some(Gzip));
    }

    #[test]
    fn who_says_nothing_gets_it_plain_where_it_is_at_hand() {
        assert_eq!(choose("", &ContentCoding::ALL), Some(Identity));
        assert_eq!(choose("", &[Gzip]), Some(Gzip));
        assert_eq!(choose("", &[]), None);
    }

    #[test]
    fn what_is_not_at_hand_is_not_chosen() {
        assert_eq!(choose("Accept-Encoding: br, gzip;q=0.1\r\n", &[Gzip, Identity]), Some(Gzip));
        assert_eq!(choose("Accept-Encoding: br\r\n", &[Gzip]), None);
        assert_eq!(choose("Accept-Encoding: identity;q=0, br\r\n", &[Identity]), None);
    }
}
