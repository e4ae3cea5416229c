//! Where a pull goes: `http://[user:password@]host[:port]/path`, from the configuration or from a
//! `Location` header.
//!
//! A `Location` comes from a stranger. It may name another host, but never another scheme, and a
//! password goes only to the host that it was configured for.

use std::net::{IpAddr, SocketAddr};

use protocol_http::percent_decode;

/// The longest URL that is followed, bytes.
const URL_BYTES_MAX: usize = 2048;

/// One place to pull from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query, `/` first.
    pub(crate) path: String,
    pub(crate) credentials: Option<(String, String)>,
}

impl Upstream {
    /// Reads a whole URL.
    pub(crate) fn parse(url: &str) -> Result<Upstream, &'static str> {
        if url.len() > URL_BYTES_MAX {
            return Err("the URL is too long");
        }
        if url.contains(|c: char| c.is_control() || c == ' ') {
            return Err("the URL has blanks or control characters");
        }
        let rest = strip_http(url).ok_or("not an http:// URL")?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (userinfo, host_and_port) = match authority.rsplit_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, authority),
        };
        let (host, port) = split_port(host_and_port)?;
        if host.is_empty() {
            return Err("the URL has no host");
        }
        let credentials = userinfo.map(|userinfo| {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            (decoded(user), decoded(password))
        });
        Ok(Upstream { host: host.to_owned(), port, path, credentials })
    }

    /// Where a `Location` header leads from here.
    pub(crate) fn redirected(&self, location: &str) -> Result<Upstream, &'static str> {
        let location = location.trim();
        if location.contains("://") {
            return self.keeping_credentials(Upstream::parse(location)?);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return self.keeping_credentials(Upstream::parse(&format!("http://{rest}"))?);
        }
        if location.is_empty() || location.len() > URL_BYTES_MAX {
            return Err("the redirect says not where");
        }
        if location.contains(|c: char| c.is_control() || c == ' ') {
            return Err("the redirect has blanks or control characters");
        }
        let location = location.split('#').next().unwrap_or_default();
        let path = match location.chars().next() {
            Some('/') => location.to_owned(),
            Some('?') => format!("{}{location}", self.path_without_query()),
            _ => {
                let path = self.path_without_query();
                let folder = &path[..=path.rfind('/').unwrap_or(0)];
                format!("{folder}{location}")
            }
        };
        Ok(Upstream { path, ..self.clone() })
    }

    /// The address, where the host is one; no name has to be looked up then.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    /// What the `Host` header says.
    pub(crate) fn host_header(&self) -> String {
        let is_v6 = self.host.contains(':');
        let host = if is_v6 { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// The URL for the log, without the password.
    pub(crate) fn shown(&self) -> String {
        format!("http://{}{}", self.host_header(), self.path)
    }

    fn path_without_query(&self) -> &str {
        self.path.split('?').next().unwrap_or("/")
    }

    fn keeping_credentials(&self, mut to: Upstream) -> Result<Upstream, &'static str> {
        if to.credentials.is_none() && to.host == self.host && to.port == self.port {
            to.credentials.clone_from(&self.credentials);
        }
        Ok(to)
    }
}

fn strip_http(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    scheme.eq_ignore_ascii_case("http").then_some(rest)
}

/// Takes the port from `host:port` and the brackets from `[::1]`.
fn split_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match port.filter(|port| !port.is_empty()).map(str::parse::<u16>) {
        None => Ok((host, 80)),
        Some(Ok(port @ 1..)) => Ok((host, port)),
        Some(_) => Err("the port is not a number from 1 to 65535"),
    }
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Upstream;

    #[test]
    fn urls_in_all_shapes() {
        let cases = [
            ("http://a/x", Ok("http://a/x")),
            ("HTTP://a:8000/x?y=1", Ok("http://a:8000/x?y=1")),
            ("http://u:p%40@a:8000/x#f", Ok("http://a:8000/x")),
            ("http://[::1]:8000/x", Ok("http://[::1]:8000/x")),
            ("http://[::1]/x", Ok("http://[::1]/x")),
            ("http://a", Ok("http://a/")),
            ("http://a?b", Ok("http://a/?b")),
            ("https://a/x", Err("not an http:// URL")),
            ("/x", Err("not an http:// URL")),
            ("http:///x", Err("the URL has no host")),
            ("http://a:0/x", Err("the port is not a number from 1 to 65535")),
            ("http://a:99999/x", Err("the port is not a number from 1 to 65535")),
            ("http://a/x y", Err("the URL has blanks or control characters")),
        ];
        for (url, expected) in cases {
            let shown = Upstream::parse(url).map(|upstream| upstream.shown());
            assert_eq!(shown.as_deref(), expected.as_deref(), "{url}");
        }
        let with_user = Upstream::parse("http://u:p%40@a/x").expect("a URL");
        assert_eq!(with_user.credentials, Some(("u".into(), "p@".into())));
    }

    #[test]
    fn redirects_from_a_place() {
        let here = Upstream::parse("http://u:p@a:8000/dir/x?q=1").expect("a URL");
        let cases = [
            ("http://b/y", Ok(("http://b/y", false))),
            ("http://a:8000/y", Ok(("http://a:8000/y", true))),
            ("http://a:9000/y", Ok(("http://a:9000/y", false))),
            ("//b/y", Ok(("http://b/y", false))),
            ("/y?z", Ok(("http://a:8000/y?z", true))),
            ("y", Ok(("http://a:8000/dir/y", true))),
            ("?r=2", Ok(("http://a:8000/dir/x?r=2", true))),
            ("https://b/y", Err("not an http:// URL")),
            ("", Err("the redirect says not where")),
            ("/a b", Err("the redirect has blanks or control characters")),
        ];
        for (location, expected) in cases {
            let to = here.redirected(location);
            let to = to.as_ref().map(|to| (to.shown(), to.credentials.is_some()));
            let to = to.as_ref().map(|(shown, known)| (shown.as_str(), *known)).map_err(|e| **e);
            assert_eq!(to, expected, "{location}");
        }
    }

    #[test]
    fn a_literal_address_needs_no_resolver() {
        let literal = |url| Upstream::parse(url).expect("a URL").literal();
        assert_eq!(literal("http://127.0.0.1:9/x"), Some(([127, 0, 0, 1], 9).into()));
        assert!(literal("http://[::1]:9/x").is_some());
        assert_eq!(literal("http://radio.example/x"), None);
    }
}
