//! Query strings and form bodies: pairs, and the percent-encoding of RFC 3986 §2.1.
//!
//! Values are bytes: an encoder may send a title in Latin-1, and says so in a neighbouring pair.

use std::borrow::Cow;

/// The pairs `name=value&…` of a query or of an `application/x-www-form-urlencoded` body.
#[derive(Debug, Clone, Copy)]
pub struct Query<'b> {
    raw: &'b [u8],
}

impl<'b> Query<'b> {
    /// Reads a query without its `?`, or a form body.
    pub fn new(raw: &'b [u8]) -> Query<'b> {
        Query { raw }
    }

    /// The value of the first pair with this name, decoded; empty when it has no `=`.
    pub fn get(&self, name: &str) -> Option<Cow<'b, [u8]>> {
        self.iter().find(|(key, _)| **key == *name.as_bytes()).map(|(_, value)| value)
    }

    /// The same as text; `None` also when it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<Cow<'b, str>> {
        match self.get(name)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// All pairs in order, decoded. Empty pieces (`&&`) are left out.
    pub fn iter(&self) -> QueryIter<'b> {
        QueryIter { rest: self.raw }
    }
}

impl<'b> IntoIterator for Query<'b> {
    type Item = (Cow<'b, [u8]>, Cow<'b, [u8]>);
    type IntoIter = QueryIter<'b>;

    fn into_iter(self) -> QueryIter<'b> {
        self.iter()
    }
}

/// See [`Query::iter`].
#[derive(Debug, Clone)]
pub struct QueryIter<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for QueryIter<'b> {
    type Item = (Cow<'b, [u8]>, Cow<'b, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (pair, rest) = split_at_byte(self.rest, b'&');
            self.rest = rest;
            if !pair.is_empty() {
                let (name, value) = split_at_byte(pair, b'=');
                return Some((form_decode(name), form_decode(value)));
            }
        }
        None
    }
}

/// Decodes `%XX`. What only looks like an encoding (`%`, `%4`, `%zz`) stays as it is.
pub fn percent_decode(raw: &[u8]) -> Cow<'_, [u8]> {
    decode(raw, false, false).unwrap_or(Cow::Borrowed(raw))
}

/// Decodes `%XX`; `None` when a percent sign does not begin an encoding.
pub(crate) fn percent_decode_strict(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    decode(raw, false, true)
}

/// Encodes all but the unreserved characters of RFC 3986 and `/`.
pub fn percent_encode(plain: &[u8]) -> String {
    let mut out = Vec::with_capacity(plain.len());
    write_percent_encoded(plain, &mut out);
    out.into_iter().map(char::from).collect()
}

/// The same, appended to `out`.
pub fn write_percent_encoded(plain: &[u8], out: &mut Vec<u8>) {
    for byte in plain {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            out.push(*byte);
        } else {
            push_encoded(*byte, out);
        }
    }
}

pub(crate) fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// As [`percent_decode`], and `+` is a blank.
fn form_decode(raw: &[u8]) -> Cow<'_, [u8]> {
    decode(raw, true, false).unwrap_or(Cow::Borrowed(raw))
}

fn decode(raw: &[u8], plus_is_blank: bool, strict: bool) -> Option<Cow<'_, [u8]>> {
    let special = |byte: &u8| *byte == b'%' || (plus_is_blank && *byte == b'+');
    let Some(first) = raw.iter().position(special) else {
        return Some(Cow::Borrowed(raw));
    };
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(&raw[..first]);
    let mut rest = &raw[first..];
    while let [byte, after @ ..] = rest {
        let digit = |index: usize| after.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        rest = after;
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            (b'%', ..) if strict => return None,
            (b'+', ..) if plus_is_blank => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    Some(Cow::Owned(out))
}

/// What stands before and after the first `separator`; all and nothing without one.
fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == separator) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}
