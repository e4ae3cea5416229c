//! Whose pages may open a WebSocket here (RFC 6455 §10.2).
//!
//! A browser sends the `Origin` of the page and does not let the page choose it; programs that are
//! no browsers send none, or what they like. So this protects people who have a browser with
//! cookies, and not the server.
//!
//! Invariant: a rule that cannot be read is an error when it is made, never a rule that allows.

use std::fmt;

/// Most rules of a policy.
pub const ORIGIN_RULES_COUNT_MAX: usize = 256;

/// What origins are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPolicy {
    rules: Vec<Rule>,
    allows_absent: bool,
    allows_same_host: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Any,
    /// The word `null`: sandboxed frames, files.
    Opaque,
    Exact(Origin),
    /// Any name with this behind it; the port as it stands.
    Below(Origin),
}

/// In lower case, the port always there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// A rule that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnOriginRule(
    /// The text of it.
    pub String,
);

impl OriginPolicy {
    /// Allows every page. For servers whose users prove themselves in each connection.
    pub fn any() -> OriginPolicy {
        OriginPolicy { rules: vec![Rule::Any], allows_absent: true, allows_same_host: true }
    }

    /// Allows programs that send no origin, and no page.
    pub fn none() -> OriginPolicy {
        OriginPolicy { rules: Vec::new(), allows_absent: true, allows_same_host: false }
    }

    /// Allows what one of the rules does: `https://radio.example`, `http://localhost:8080`,
    /// `https://*.radio.example` (every name below, not that one itself), `null`, or `*`. No origin
    /// at all is allowed too.
    ///
    /// # Errors
    /// A rule that is none of these, or too many.
    pub fn of<'r>(
        rules: impl IntoIterator<Item = &'r str>,
    ) -> Result<OriginPolicy, NotAnOriginRule> {
        let mut policy = OriginPolicy::none();
        for text in rules {
            let rule = Rule::parse(text).ok_or_else(|| NotAnOriginRule(text.to_owned()))?;
            if policy.rules.len() == ORIGIN_RULES_COUNT_MAX {
                return Err(NotAnOriginRule(text.to_owned()));
            }
            policy.rules.push(rule);
        }
        Ok(policy)
    }

    /// Also allows a page of the host that the request names, on whatever scheme. That is what most
    /// want, and it trusts names: an attacker whose own name points here (DNS rebinding) has the
    /// same host. Where cookies or the network itself give rights, list the names instead.
    #[must_use]
    pub fn with_same_host(self) -> OriginPolicy {
        OriginPolicy { allows_same_host: true, ..self }
    }

    /// Refuses whoever sends no origin: nobody but browsers gets in by accident.
    #[must_use]
    pub fn without_absent(self) -> OriginPolicy {
        OriginPolicy { allows_absent: false, ..self }
    }

    /// Whether this may come in. `origin` and `host` are the header lines of the request. What is
    /// refused is answered 403.
    pub fn allows(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return self.allows_absent };
        if self.rules.contains(&Rule::Any) {
            return true;
        }
        if origin == b"null" {
            return self.rules.contains(&Rule::Opaque);
        }
        let Some(origin) = str::from_utf8(origin).ok().and_then(Origin::parse) else {
            return false;
        };
        self.rules.iter().any(|rule| rule.covers(&origin))
            || self.allows_same_host && host.is_some_and(|host| origin.is_of_host(host))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        match text {
            "*" => return Some(Rule::Any),
            "null" => return Some(Rule::Opaque),
            _ => {}
        }
        match text.split_once("://*.") {
            Some((scheme, rest)) => Origin::parse(&format!("{scheme}://{rest}")).map(Rule::Below),
            None => Origin::parse(text).map(Rule::Exact),
        }
    }

    fn covers(&self, origin: &Origin) -> bool {
        match self {
            Rule::Any => true,
            Rule::Opaque => false,
            Rule::Exact(exact) => exact == origin,
            Rule::Below(above) => {
                let before = origin.host.strip_suffix(&*above.host);
                above.scheme == origin.scheme
                    && above.port == origin.port
                    && before.is_some_and(|before| before.len() > 1 && before.ends_with('.'))
            }
        }
    }
}

impl Origin {
    /// `scheme://host[:port]` (RFC 6454 §6.2) and nothing behind it.
    fn parse(text: &str) -> Option<Origin> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let of_scheme =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(of_scheme) {
            return None;
        }
        let (host, port) = split_port(authority)?;
        let port = match (port, &*scheme) {
            (Some(port), _) => port,
            (None, "http" | "ws") => 80,
            (None, "https" | "wss") => 443,
            (None, _) => 0,
        };
        Some(Origin { scheme, host, port })
    }

    /// Whether a request with this `Host` goes to where the page came from.
    fn is_of_host(&self, host: &[u8]) -> bool {
        let Some((host, port)) = str::from_utf8(host).ok().and_then(split_port) else {
            return false;
        };
        let of_scheme = if self.scheme == "https" { 443 } else { 80 };
        self.host == host && self.port == port.unwrap_or(of_scheme)
    }
}

/// A host in lower case, and its port where it has one.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok()?)
        }
        Some(_) => return None,
        None => None,
    };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let of_address = |byte: u8| byte.is_ascii_hexdigit() || b":.[]".contains(&byte);
    let is_right = match is_address {
        true => host.bytes().all(of_address),
        false => !host.is_empty() && host.bytes().all(of_name),
    };
    is_right.then(|| (host.to_ascii_lowercase(), port))
}

impl fmt::Display for NotAnOriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no rule for origins: {:?}", self.0)
    }
}

impl std::error::Error for NotAnOriginRule {}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &OriginPolicy, origin: &str) -> bool {
        policy.allows(Some(origin.as_bytes()), Some(b"here.example:8000"))
    }

    #[test]
    fn rules() {
        let rules = ["https://Radio.example", "http://localhost:8080", "https://*.radio.example"];
        let policy = OriginPolicy::of(rules).unwrap();
        for right in [
            "https://radio.example",
            "HTTPS://RADIO.EXAMPLE:443",
            "http://localhost:8080",
            "https://a.radio.example",
            "https://a.b.radio.example",
        ] {
            assert!(allows(&policy, right), "{right}");
        }
        for wrong in [
            "http://radio.example",
            "https://radio.example:444",
            "https://radio.example.evil",
            "https://evilradio.example",
            "https://.radio.example",
            "https://radio.example/",
            "https://user@radio.example",
            "http://localhost",
            "null",
            "",
            "radio.example",
            "http://here.example:8000",
        ] {
            assert!(!allows(&policy, wrong), "{wrong}");
        }
        assert!(policy.allows(None, None));
        assert!(!policy.without_absent().allows(None, None));
    }

    #[test]
    fn the_same_host() {
        let policy = OriginPolicy::none().with_same_host();
        assert!(allows(&policy, "http://here.example:8000"));
        assert!(!allows(&policy, "http://here.example"));
        assert!(policy.allows(Some(b"https://[::1]"), Some(b"[::1]")));
        assert!(policy.allows(Some(b"https://a.example"), Some(b"A.example:443")));
        assert!(!policy.allows(Some(b"https://a.example"), None));
        assert!(!policy.allows(Some(b"https://a.example"), Some(b"\xff")));
    }

    #[test]
    fn what_is_no_rule() {
        for wrong in ["", "radio.example", "https://", "https://*", "https://a/b", "https://a:x"] {
            assert!(OriginPolicy::of([wrong]).is_err(), "{wrong}");
        }
        assert!(OriginPolicy::any().allows(Some(b"what ever"), None));
        assert!(OriginPolicy::of(["null"]).unwrap().allows(Some(b"null"), None));
    }
}
