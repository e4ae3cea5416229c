//! Media types with their parameters (RFC 9110 §8.3.1): what a `Content-Type` says.
//!
//! Invariant: what is malformed is `None`, never half a type; a parameter is looked up in the text
//! each time, so nothing is stored and no list grows.

use std::borrow::Cow;

use crate::headers::is_token_byte;

/// `type/subtype; name=value`, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'b> {
    essence: &'b str,
    parameters: &'b str,
}

impl<'b> MediaType<'b> {
    /// Reads a `Content-Type`; `None` when it is malformed.
    pub fn parse(value: &'b [u8]) -> Option<MediaType<'b>> {
        let text = std::str::from_utf8(value).ok()?;
        let (essence, parameters) = match text.find(';') {
            Some(at) => (&text[..at], &text[at..]),
            None => (text, ""),
        };
        let essence = essence.trim_ascii();
        let (kind, subtype) = essence.split_once('/')?;
        let is_well_formed = is_token(kind) && is_token(subtype);
        let mut rest = parameters;
        while let Some((_, after)) = next_parameter(rest)? {
            rest = after;
        }
        is_well_formed.then_some(MediaType { essence, parameters })
    }

    /// `type/subtype` as it was written.
    pub fn essence(&self) -> &'b str {
        self.essence
    }

    /// Whether it is this `type/subtype`, in any case and with any parameters.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// The first parameter with this name (any case), its quotes taken off.
    pub fn parameter(&self, name: &str) -> Option<Cow<'b, str>> {
        let mut rest = self.parameters;
        while let Some(Some((parameter, after))) = next_parameter(rest) {
            rest = after;
            if let Some((_, value)) = parameter.filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
                return Some(unquote(value));
            }
        }
        None
    }
}

/// One `; name=value` and what follows it. Nothing between two semicolons is no parameter
/// (RFC 9110 §5.6.6 has it so).
type Parameter<'b> = (Option<(&'b str, &'b str)>, &'b str);

/// `None` when it is malformed, `Some(None)` at the end.
pub(crate) fn next_parameter(rest: &str) -> Option<Option<Parameter<'_>>> {
    let rest = rest.trim_ascii_start();
    let Some(rest) = rest.strip_prefix(';') else {
        return rest.is_empty().then_some(None);
    };
    let rest = rest.trim_ascii_start();
    if rest.is_empty() || rest.starts_with(';') {
        return Some(Some((None, rest)));
    }
    let (name, rest) = rest.split_once('=')?;
    let value_bytes = match rest.strip_prefix('"') {
        Some(quoted) => quoted_end(quoted)? + 2,
        None => rest.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(rest.len()),
    };
    let (value, rest) = rest.split_at(value_bytes);
    let is_whole = matches!(rest.trim_ascii_start().bytes().next(), None | Some(b';'));
    (is_token(name) && !value.is_empty() && is_whole).then_some(Some((Some((name, value)), rest)))
}

/// Where the closing quote stands.
fn quoted_end(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Takes quotes off. A backslash is taken off before a quote and a backslash alone: browsers write
/// Windows paths into file names without escaping them.
pub(crate) fn unquote(value: &str) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some('"' | '\\')) => out.extend(letters.next()),
            _ => out.push(letter),
        }
    }
    Cow::Owned(out)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<MediaType<'_>> {
        MediaType::parse(text.as_bytes())
    }

    #[test]
    fn types_and_parameters() {
        let html = parse("Text/HTML ; Charset=utf-8;; x=\"a;b\\\"c\" ;").unwrap();
        assert!(html.is("text/html") && !html.is("text/plain"));
        assert_eq!(html.essence(), "Text/HTML");
        assert_eq!(html.parameter("charset").as_deref(), Some("utf-8"));
        assert_eq!(html.parameter("X").as_deref(), Some("a;b\"c"));
        assert_eq!(html.parameter("none"), None);
        assert_eq!(parse("a/b").unwrap().parameter("boundary"), None);
        let windows = parse("a/b; x=\"C:\\tmp\\a\"").unwrap();
        assert_eq!(windows.parameter("x").as_deref(), Some("C:\\tmp\\a"));
    }

    #[test]
    fn malformed_is_none() {
        for text in [
            "",
            "/",
            "text",
            "text/",
            "/html",
            "te xt/html",
            "a/b; x",
            "a/b; x=",
            "a/b; =y",
            "a/b; x=\"y",
            "a/b; x=\"y\"z",
            "a/b; x = y",
            "a/b, c/d",
            "a/b; x=\"\\\"",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(MediaType::parse(b"a/\xff"), None);
    }
}
