//! Absolute `http` and `https` URLs, and what a `Location` means beside one (RFC 3986).
//!
//! Invariant: a [`Url`] can be put on the wire as it is: its host has the characters of a host, its
//! target is visible ASCII and begins with `/`. User names in a URL are refused: they are how a
//! link to one host is dressed up as another, and credentials belong into a header.

use std::fmt;

use crate::query::push_encoded;

/// Who answers: requests to one origin may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Whether TLS goes around it.
    pub is_https: bool,
    /// The host in lower case; an IPv6 address stands in its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// The value of `Host`: the port is left out where it is the scheme's own.
    pub fn authority(&self) -> String {
        let default_port = if self.is_https { 443 } else { 80 };
        match self.port == default_port {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// What to ask, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whom.
    pub origin: Origin,
    /// Path and query, ready for a request line.
    target: String,
}

impl Url {
    /// Reads an absolute URL; its fragment is dropped. `None` when it is no `http` or `https` URL,
    /// has a user name, no host or an impossible port, or a control character anywhere.
    pub fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match () {
            () if scheme.eq_ignore_ascii_case("http") => false,
            () if scheme.eq_ignore_ascii_case("https") => true,
            () => return None,
        };
        Url::after_scheme(is_https, rest)
    }

    /// Path and query, percent-encoded.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What a reference found in an answer to this URL means (RFC 3986 §5.2): absolute, or with
    /// this one's scheme, host or folder.
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        if reference.bytes().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let reference = reference.split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            return Url::after_scheme(self.origin.is_https, rest);
        }
        if has_scheme(reference) {
            return Url::parse(reference);
        }
        let (path, query) = split_query(&self.target);
        let (new_path, new_query) = split_query(reference);
        let (path, query) = match new_path {
            "" => (path.to_owned(), new_query.or(query)),
            absolute if absolute.starts_with('/') => (absolute.to_owned(), new_query),
            relative => {
                let folder_bytes = path.rfind('/').map_or(0, |at| at + 1);
                (format!("{}{relative}", &path[..folder_bytes]), new_query)
            }
        };
        Some(Url { origin: self.origin.clone(), target: target_of(&path, query) })
    }

    fn after_scheme(is_https: bool, rest: &str) -> Option<Url> {
        let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        // Browsers read a backslash as a slash here; others do not. Neither reading is ours.
        if rest.bytes().any(|byte| byte.is_ascii_control()) || rest.starts_with('\\') {
            return None;
        }
        let host_bytes = match authority.strip_prefix('[') {
            Some(address) => address.find(']')? + 2,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(host_bytes);
        let port = match port.strip_prefix(':') {
            None | Some("") => (if is_https { 443 } else { 80 }).into(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
        };
        let is_port_well_formed = port.is_some_and(|port| port != 0) && {
            let behind_host = &authority[host_bytes..];
            behind_host.is_empty() || behind_host.starts_with(':')
        };
        if !is_host(host) || !is_port_well_formed {
            return None;
        }
        let origin = Origin { is_https, host: host.to_ascii_lowercase(), port: port? };
        let (path, query) = split_query(rest.split('#').next().unwrap_or_default());
        Some(Url { origin, target: target_of(path, query) })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.target)
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=253).contains(&host.len()) && host.bytes().all(is_allowed)
        }
    }
}

/// `letter *( letter / digit / + - . ) ":"` before any slash.
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// Joins path and query, without dot segments (RFC 3986 §5.2.4) and encoded where it has to be.
fn target_of(path: &str, query: Option<&str>) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut pieces = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        match piece {
            "." | ".." => {
                if piece == ".." {
                    segments.pop();
                }
                // A dot segment at the end names a folder.
                if is_last {
                    segments.push("");
                }
            }
            _ => segments.push(piece),
        }
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    out.push(b'/');
    push_visible(&segments.join("/"), &mut out);
    if let Some(query) = query {
        out.push(b'?');
        push_visible(query, &mut out);
    }
    out.into_iter().map(char::from).collect()
}

fn push_visible(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte.is_ascii_graphic() {
            true => out.push(byte),
            false => push_encoded(byte, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Url::parse(text).map(|url| url.to_string())
    }

    #[test]
    fn absolute() {
        for (text, expected) in [
            ("http://Radio.example", "http://radio.example/"),
            ("HTTPS://h:443/a?b=c#d", "https://h/a?b=c"),
            ("https://h:80/", "https://h:80/"),
            ("http://h?x", "http://h/?x"),
            ("http://h#x", "http://h/"),
            ("http://[::1]:8000/a b\u{e9}", "http://[::1]:8000/a%20b%C3%A9"),
            ("http://127.0.0.1:65535/a/./b/../c/..", "http://127.0.0.1:65535/a/"),
            ("http://h/../../x", "http://h/x"),
            ("http://h:/x", "http://h/x"),
            ("http://h/%2e%2e/%zz", "http://h/%2e%2e/%zz"),
            ("http://h//x", "http://h//x"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "/",
            "h/x",
            "ftp://h/",
            "http:/h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:65536/",
            "http://h:+1/",
            "http://h:x/",
            "http://user@h/",
            "http://user:pass@h/",
            "http://h\\@evil/",
            "http://h\r\nX: y/",
            "http://h/a\r\nb",
            "http://h/\0",
            "http://[::1/",
            "http://[::1]x/",
            "http://[zz]/",
            "http://h%2f/",
            "http://a b/",
            "http://\u{e9}/",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn references() {
        let base = Url::parse("http://a:81/b/c/d;p?q").unwrap();
        // RFC 3986 §5.4, and what servers really send.
        for (reference, expected) in [
            ("g", "http://a:81/b/c/g"),
            ("./g", "http://a:81/b/c/g"),
            ("g/", "http://a:81/b/c/g/"),
            ("/g", "http://a:81/g"),
            ("//g", "http://g/"),
            ("?y", "http://a:81/b/c/d;p?y"),
            ("g?y#s", "http://a:81/b/c/g?y"),
            ("#s", "http://a:81/b/c/d;p?q"),
            (";x", "http://a:81/b/c/;x"),
            ("", "http://a:81/b/c/d;p?q"),
            (".", "http://a:81/b/c/"),
            ("..", "http://a:81/b/"),
            ("../g", "http://a:81/b/g"),
            ("../../../g", "http://a:81/g"),
            ("g;x=1/../y", "http://a:81/b/c/y"),
            ("g?y/../x", "http://a:81/b/c/g?y/../x"),
            ("https://x/y", "https://x/y"),
            ("/caf\u{e9} 1", "http://a:81/caf%C3%A9%201"),
            ("a/b:c", "http://a:81/b/c/a/b:c"),
        ] {
            let resolved = base.resolve(reference).map(|url| url.to_string());
            assert_eq!(resolved.as_deref(), Some(expected), "{reference}");
        }
        for reference in ["g:h", "javascript:x", "ftp://x/", "//u@x/", "/a\r\nX: y", "http:g"] {
            assert_eq!(base.resolve(reference), None, "{reference}");
        }
    }

    #[test]
    fn origins() {
        let origin = |text: &str| Url::parse(text).unwrap().origin;
        assert_eq!(origin("http://h/a"), origin("HTTP://H:80/b?c"));
        assert_ne!(origin("http://h/"), origin("https://h/"));
        assert_ne!(origin("http://h/"), origin("http://h:81/"));
        assert_eq!(origin("http://[::1]/").authority(), "[::1]");
    }
}
