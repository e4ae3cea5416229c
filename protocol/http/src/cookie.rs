//! Cookies (RFC 6265, and 6265bis where it is stricter): reading what a client sends back, and
//! writing `Set-Cookie`.
//!
//! Invariants: a pair that is read is borrowed from the head, so there are no more of them than a
//! head has room for; a [`SetCookie`] that exists can be written: nothing in it ends its attribute
//! or its line, and a prefix of its name keeps its promise.

use crate::headers::{Headers, is_token_byte};
use crate::write::ResponseWriter;

/// Longest name and value together that user agents must take (6265bis §5.6), in bytes.
const NAME_AND_VALUE_BYTES_MAX: usize = 4096;
/// Longest value of an attribute that user agents must take, in bytes.
const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// The cookies of a request.
#[derive(Debug, Clone, Copy)]
pub struct Cookies<'h, 'b> {
    headers: &'h Headers<'b>,
}

impl<'h, 'b> Cookies<'h, 'b> {
    /// Of these header lines.
    pub fn new(headers: &'h Headers<'b>) -> Cookies<'h, 'b> {
        Cookies { headers }
    }

    /// The value of the first cookie with this name. Names are case-sensitive, prefixes included:
    /// what calls itself `__host-id` is not `__Host-id`.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The only cookie with this name; `None` when there are several. A neighbouring host can add
    /// a second one of the same name in front, so a session is looked up with this.
    pub fn get_only(&self, name: &str) -> Option<&'b [u8]> {
        let mut named = self.iter().filter(|(key, _)| *key == name);
        named.next().filter(|_| named.next().is_none()).map(|(_, value)| value)
    }

    /// All pairs in order. What is no `name=value` with a token for its name, or has a byte that no
    /// cookie may hold, is left out; quotes around a whole value are taken off.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'h, 'b> {
        let pairs = self.headers.get_all("cookie").flat_map(|line| line.split(|b| *b == b';'));
        pairs.filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
            let name = std::str::from_utf8(name).ok().filter(|name| is_token(name))?;
            let value = match value {
                [b'"', inner @ .., b'"'] => inner,
                _ => value,
            };
            value.iter().all(|byte| is_read_byte(*byte)).then_some((name, value))
        })
    }
}

/// When a cookie is sent along with requests from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When the user follows a link.
    Lax,
    /// Always; only with `Secure`.
    None,
}

/// Why a cookie cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieError {
    /// The name is no token.
    Name,
    /// The value has a blank, a quote, a comma, a semicolon, a backslash, a control character or
    /// what is not ASCII. Percent- or base64-encode it.
    Value,
    /// Name and value are longer than 4,096 bytes, or an attribute than 1,024.
    TooLong,
    /// A path or a domain has a semicolon, a control character or what is not ASCII.
    Attribute,
    /// `__Secure-` and `__Host-`, `SameSite=None` and `Partitioned` need `Secure`.
    NeedsSecure,
    /// `__Host-` needs `Path=/` and no domain.
    NeedsHost,
}

impl std::fmt::Display for CookieError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CookieError::Name => "the cookie's name is no token",
            CookieError::Value => "the cookie's value has a character that has to be encoded",
            CookieError::TooLong => "the cookie is too long",
            CookieError::Attribute => "a cookie's path or domain has a character that ends it",
            CookieError::NeedsSecure => "the cookie has to be Secure",
            CookieError::NeedsHost => "a __Host- cookie has Path=/ and no domain",
        })
    }
}

impl std::error::Error for CookieError {}

/// What a cookie may do; [`build`](CookieOptions::build) makes the cookie of it. The default is a
/// session cookie that scripts cannot read, sent over TLS alone and by this site alone.
#[derive(Debug, Clone, Copy)]
pub struct CookieOptions<'a> {
    /// `Path`
    pub path: Option<&'a str>,
    /// `Domain`: also this host's subdomains get it.
    pub domain: Option<&'a str>,
    /// `Max-Age` in seconds; 0 removes it. `None` is until the browser ends.
    pub max_age_seconds: Option<u64>,
    /// `Secure`
    pub secure: bool,
    /// `HttpOnly`
    pub http_only: bool,
    /// `SameSite`
    pub same_site: Option<SameSite>,
    /// `Partitioned`: one jar for each site that embeds this one.
    pub partitioned: bool,
}

impl Default for CookieOptions<'_> {
    fn default() -> Self {
        CookieOptions {
            path: Some("/"),
            domain: None,
            max_age_seconds: None,
            secure: true,
            http_only: true,
            same_site: Some(SameSite::Lax),
            partitioned: false,
        }
    }
}

/// A cookie that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    value: Vec<u8>,
}

impl CookieOptions<'_> {
    /// A cookie with these options.
    ///
    /// # Errors
    ///
    /// [`CookieError`], when a browser would not store it, or not so.
    pub fn build(&self, name: &str, value: &str) -> Result<SetCookie, CookieError> {
        if !is_token(name) {
            return Err(CookieError::Name);
        }
        if !value.bytes().all(is_cookie_octet) {
            return Err(CookieError::Value);
        }
        if name.len() + value.len() > NAME_AND_VALUE_BYTES_MAX {
            return Err(CookieError::TooLong);
        }
        for attribute in [self.path, self.domain].into_iter().flatten() {
            if attribute.len() > ATTRIBUTE_BYTES_MAX {
                return Err(CookieError::TooLong);
            }
            if !attribute.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b';') {
                return Err(CookieError::Attribute);
            }
        }
        // 6265bis compares prefixes in any case, so that a server that does cannot be fooled.
        let has_prefix = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let needs_secure = has_prefix("__Secure-")
            || has_prefix("__Host-")
            || self.partitioned
            || self.same_site == Some(SameSite::None);
        if needs_secure && !self.secure {
            return Err(CookieError::NeedsSecure);
        }
        if has_prefix("__Host-") && (self.path != Some("/") || self.domain.is_some()) {
            return Err(CookieError::NeedsHost);
        }
        Ok(SetCookie { value: self.render(name, value) })
    }

    fn render(&self, name: &str, value: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(name.len() + value.len() + 80);
        let mut push = |parts: &[&str]| {
            for part in parts {
                out.extend_from_slice(part.as_bytes());
            }
        };
        push(&[name, "=", value]);
        if let Some(path) = self.path {
            push(&["; Path=", path]);
        }
        if let Some(domain) = self.domain {
            push(&["; Domain=", domain]);
        }
        if let Some(seconds) = self.max_age_seconds {
            push(&["; Max-Age=", &seconds.to_string()]);
            // Clients older than Max-Age know a date alone, and 1970 is past for all of them.
            if seconds == 0 {
                push(&["; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
            }
        }
        if self.secure {
            push(&["; Secure"]);
        }
        if self.http_only {
            push(&["; HttpOnly"]);
        }
        match self.same_site {
            Some(SameSite::Strict) => push(&["; SameSite=Strict"]),
            Some(SameSite::Lax) => push(&["; SameSite=Lax"]),
            Some(SameSite::None) => push(&["; SameSite=None"]),
            None => {}
        }
        if self.partitioned {
            push(&["; Partitioned"]);
        }
        out
    }
}

impl SetCookie {
    /// The value of a `Set-Cookie` line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.value
    }

    /// Writes the line. Each cookie has a line of its own: they cannot be joined (RFC 9110 §5.3).
    pub fn write(&self, response: &mut ResponseWriter<'_>) {
        response.header("Set-Cookie", &self.value);
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// `cookie-octet` of RFC 6265 §4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// What is read is wider: other servers of the same site set what they like. No control characters
/// (6265bis §5.6 drops such cookies).
fn is_read_byte(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Status, Step, Version};

    fn with_cookies<T>(lines: &str, look: impl FnOnce(Cookies<'_, '_>) -> T) -> T {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        match decoder.decode(text.as_bytes()) {
            Ok(Step::Head { head, .. }) => look(Cookies::new(&head.headers)),
            other => panic!("no head but {other:?}"),
        }
    }

    #[test]
    fn pairs_are_read_in_order() {
        let lines = "Cookie: a=1; b=\"two\"; =x; nothing; c=; a=2\r\nCookie: d==e; f g=h\r\n";
        with_cookies(lines, |cookies| {
            let pairs: Vec<_> = cookies.iter().collect();
            let expected: [(&str, &[u8]); 5] =
                [("a", b"1"), ("b", b"two"), ("c", b""), ("a", b"2"), ("d", b"=e")];
            assert_eq!(pairs, expected);
            assert_eq!(cookies.get("a"), Some(&b"1"[..]));
            assert_eq!((cookies.get_only("a"), cookies.get("A")), (None, None));
            assert_eq!(cookies.get_only("d"), Some(&b"=e"[..]));
        });
        with_cookies("", |cookies| assert_eq!(cookies.iter().count(), 0));
        with_cookies("Cookie: \"\r\n", |cookies| assert_eq!(cookies.get("\""), None));
        with_cookies("Cookie: a=\"\r\n", |cookies| assert_eq!(cookies.get("a"), Some(&b"\""[..])));
    }

    #[test]
    fn set_cookie_byte_for_byte() {
        let session = CookieOptions::default().build("__Host-id", "abc").unwrap();
        let mut out = Vec::new();
        let mut head = ResponseWriter::new(&mut out, Version::Http11, Status::OK);
        session.write(&mut head);
        head.finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-id=abc; Path=/; Secure; HttpOnly; \
             SameSite=Lax\r\n\r\n"
        );
        let embedded = CookieOptions {
            path: None,
            domain: Some("radio.example"),
            max_age_seconds: Some(0),
            http_only: false,
            same_site: Some(SameSite::None),
            partitioned: true,
            ..CookieOptions::default()
        };
        assert_eq!(
            embedded.build("t", "").unwrap().as_bytes(),
            b"t=; Domain=radio.example; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; \
              SameSite=None; Partitioned"
        );
    }

    #[test]
    fn what_would_split_or_be_dropped_is_refused() {
        let options = CookieOptions::default();
        for name in ["", "a b", "a;b", "a=b", "a\r\nX", "é"] {
            assert_eq!(options.build(name, "v"), Err(CookieError::Name), "{name:?}");
        }
        for value in ["a b", "a;b", "a,b", "a\"b", "a\\b", "a\r\nSet-Cookie: x=y", "é", "\0"] {
            assert_eq!(options.build("n", value), Err(CookieError::Value), "{value:?}");
        }
        assert_eq!(options.build("n", &"v".repeat(4096)), Err(CookieError::TooLong));
        for attribute in ["/; Secure", "/\r\nX: y", "/é", "/\0"] {
            let path = CookieOptions { path: Some(attribute), ..options };
            let domain = CookieOptions { domain: Some(attribute), ..options };
            assert_eq!(path.build("n", "v"), Err(CookieError::Attribute), "{attribute:?}");
            assert_eq!(domain.build("n", "v"), Err(CookieError::Attribute), "{attribute:?}");
        }
        let long = "/".repeat(1025);
        let long = CookieOptions { path: Some(&long), ..options };
        assert_eq!(long.build("n", "v"), Err(CookieError::TooLong));
    }

    #[test]
    fn prefixes_keep_their_promise() {
        let options = CookieOptions::default();
        let plain = CookieOptions { secure: false, ..options };
        let none = CookieOptions { same_site: Some(SameSite::None), ..plain };
        let partitioned = CookieOptions { partitioned: true, ..plain };
        for (options, name) in
            [(plain, "__Secure-a"), (plain, "__host-a"), (none, "a"), (partitioned, "a")]
        {
            assert_eq!(options.build(name, "v"), Err(CookieError::NeedsSecure), "{name}");
        }
        let elsewhere = CookieOptions { path: Some("/x"), ..options };
        let shared = CookieOptions { domain: Some("h"), ..options };
        for options in [elsewhere, shared] {
            assert_eq!(options.build("__Host-a", "v"), Err(CookieError::NeedsHost));
            assert!(options.build("__Secure-a", "v").is_ok());
        }
        assert!(plain.build("a", "v").is_ok());
    }
}
