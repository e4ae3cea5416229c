//! Request targets (RFC 9112 §3.2) and the paths in them.
//!
//! Invariant: a decoded path has no `..` segment, however it was written, and no control character
//! or backslash; what remains cannot leave a root that it is appended to.

use std::borrow::Cow;

use crate::headers::letters_digits_and;
use crate::method::Method;
use crate::query::{Query, percent_decode_strict};
use crate::status::{Refused, Status};

/// What a request is for. Origin form, absolute form and `*` read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'b> {
    raw: &'b str,
    authority: Option<&'b str>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// The target as received.
    pub fn raw(&self) -> &'b str {
        self.raw
    }

    /// The path as received, from its `/`, still percent-encoded. `*` for `OPTIONS *`.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// The query as received, without its `?`.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The pairs of the query, decoded; none when there is no query.
    pub fn pairs(&self) -> Query<'b> {
        Query::new(self.query.unwrap_or_default().as_bytes())
    }

    /// Host and port of an absolute-form target; it takes the place of `Host` (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&'b str> {
        self.authority
    }

    /// Whether it is `*`: the server as a whole.
    pub fn is_asterisk(&self) -> bool {
        self.raw == "*"
    }

    /// The path, percent-decoded once. Borrowed when nothing was encoded.
    ///
    /// # Errors
    ///
    /// 400 for a `..` segment (also `%2e%2e`, `..%2f`), a backslash, NUL or another control
    /// character, an incomplete percent-encoding, or what is not UTF-8 afterwards.
    pub fn decoded_path(&self) -> Result<Cow<'b, str>, Refused> {
        // Most paths are written plainly, and are looked at once.
        if is_plain(self.path.as_bytes()) {
            return Ok(Cow::Borrowed(self.path));
        }
        let decoded = match percent_decode_strict(self.path.as_bytes()) {
            Some(Cow::Borrowed(_)) => Cow::Borrowed(self.path),
            Some(Cow::Owned(bytes)) => Cow::Owned(
                String::from_utf8(bytes).map_err(|_| Refused::bad("the path is not UTF-8"))?,
            ),
            None => return Err(Refused::bad("the path has a malformed percent-encoding")),
        };
        // Also the control characters beyond ASCII: a path is printed, and U+009B begins a command
        // to a terminal.
        let is_refused = |byte: u8| byte.is_ascii_control() || byte == b'\\';
        if decoded.bytes().any(is_refused)
            || !decoded.is_ascii() && decoded.chars().any(char::is_control)
        {
            return Err(Refused::bad("the path has a control character or a backslash"));
        }
        if decoded.split('/').any(|segment| segment == "..") {
            return Err(Refused::bad("the path has a '..' segment"));
        }
        Ok(decoded)
    }

    pub(crate) fn parse(raw: &'b str, method: Method<'_>) -> Result<Target<'b>, Refused> {
        if method == Method::Other("CONNECT") {
            return Err(Refused::new(Status::NOT_IMPLEMENTED, "CONNECT is not implemented"));
        }
        let whole_server = raw == "*" && method == Method::Options;
        let (authority, from_path) = if raw.starts_with('/') || whole_server {
            (None, raw)
        } else {
            let (authority, rest) = split_absolute(raw)?;
            (Some(authority), rest)
        };
        // One look at each byte: nearly every target has neither.
        let mark = from_path.bytes().position(|byte| byte == b'?' || byte == b'#');
        let (path, query) = match mark.map(|at| from_path.split_at(at)) {
            None => (from_path, None),
            Some((path, rest)) => {
                let rest = rest.split('#').next().unwrap_or_default();
                (path, rest.strip_prefix('?'))
            }
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Target { raw, authority, path, query })
    }
}

/// `http://authority/rest` → (`authority`, `/rest`).
fn split_absolute(raw: &str) -> Result<(&str, &str), Refused> {
    let scheme_end = raw.find("://").filter(|end| {
        raw[..*end].eq_ignore_ascii_case("http") || raw[..*end].eq_ignore_ascii_case("https")
    });
    let Some(scheme_end) = scheme_end else {
        return Err(Refused::bad("the target is neither a path nor an http URL"));
    };
    let rest = &raw[scheme_end + 3..];
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(Refused::bad("the target has a malformed authority"));
    }
    Ok((authority, path))
}

/// Whether a path has nothing to decode and nothing to refuse: no `..`, percent, backslash or
/// control character.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for byte in path {
        if !PLAIN[usize::from(*byte)] || (*byte == b'.' && before == b'.') {
            return false;
        }
        before = *byte;
    }
    true
}

/// Whether this can be a `Host`: RFC 3986's characters of host and port; user names are refused.
pub(crate) fn is_authority(value: &[u8]) -> bool {
    value.iter().all(|byte| AUTHORITY[usize::from(*byte)])
}

const AUTHORITY: [bool; 256] = letters_digits_and(b"-._~:[]%!$&'()*+;=");
/// What stands for itself in a path; not everything that does.
const PLAIN: [bool; 256] = letters_digits_and(b"-._~:@!$&'()*+,;=/");
