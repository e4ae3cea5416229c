//! What must hold of single values beyond their type. Each check says what was expected and found.

use std::net::SocketAddr;

use crate::setting::is_token;

/// A mount's path: `/` and at least one more character, nothing that a URL or a header cannot hold.
pub(crate) fn mount_path(path: &str) -> Result<(), String> {
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '%');
    let fault = if !path.starts_with('/') {
        "a path that starts with /"
    } else if path.len() < 2 {
        "a path with a name after the /"
    } else if path.len() > 255 {
        "a path of at most 255 bytes"
    } else if path.contains(is_bad) {
        "a path without spaces, control characters, ?, # and %"
    } else if let Some(own) = OWN_PLACES.iter().find(|own| is_within(path, own)) {
        return Err(format!(
            "expected a path outside {own}, which is the server's, found {path:?}"
        ));
    } else {
        return Ok(());
    };
    Err(format!("expected {fault}, found {path:?}"))
}

/// Where files are: a path with a name and a slash at its end.
pub(crate) fn files_prefix(prefix: &str) -> Result<(), String> {
    match prefix.strip_suffix('/') {
        Some(path) if !prefix.contains("//") => mount_path(path),
        _ => Err(format!("expected a path that ends with one /, found {prefix:?}")),
    }
}

/// Nothing, or the name of a file in a directory.
pub(crate) fn file_name_or_empty(name: &str) -> Result<(), String> {
    if !name.starts_with('.') && !name.contains(['/', '\\']) {
        return Ok(());
    }
    Err(format!("expected the name of a file that is not hidden, found {name:?}"))
}

/// What is the server's own: no mount is one of these, or stands below one.
const OWN_PLACES: [&str; 10] = [
    "/admin",
    "/api",
    "/artifacts",
    "/health",
    "/ice-servers",
    "/metrics",
    "/ready",
    "/whep",
    "/whip",
    "/ws",
];

fn is_within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// [`mount_path`] where there is one.
pub(crate) fn mount_path_if_set(path: &Option<String>) -> Result<(), String> {
    path.as_deref().map_or(Ok(()), mount_path)
}

/// A port that a peer can know: not 0.
pub(crate) fn port(address: SocketAddr) -> Result<(), String> {
    match address.port() {
        0 => Err(format!("expected a port from 1 to 65535, found {address}")),
        _ => Ok(()),
    }
}

/// [`port`] of each.
pub(crate) fn ports(addresses: &[SocketAddr]) -> Result<(), String> {
    addresses.iter().try_for_each(|address| port(*address))
}

/// A host name or address as it stands in a URL.
pub(crate) fn host(name: &str) -> Result<(), String> {
    let is_good =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if !name.is_empty() && name.chars().all(is_good) {
        return Ok(());
    }
    Err(format!("expected a host name without scheme or path, found {name:?}"))
}

/// Nothing, or a word of letters, digits and the marks of an HTTP token.
pub(crate) fn token_or_empty(text: &str) -> Result<(), String> {
    if text.is_empty() || is_token(text) {
        return Ok(());
    }
    Err(format!("expected letters, digits and - . _ only, found {text:?}"))
}

/// A user name: `Authorization: Basic` cannot carry a colon in it (RFC 7617 §2).
pub(crate) fn user(name: &str) -> Result<(), String> {
    if !name.is_empty() && !name.contains(':') {
        return Ok(());
    }
    Err(format!("expected a user name without a colon, found {name:?}"))
}

/// `type/subtype`, parameters allowed.
pub(crate) fn content_type_if_set(value: &Option<String>) -> Result<(), String> {
    let Some(value) = value else { return Ok(()) };
    let essence = value.split(';').next().unwrap_or("").trim();
    if essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub)) {
        return Ok(());
    }
    Err(format!("expected a content type such as \"audio/mpeg\", found {value:?}"))
}

/// URLs to pull from.
pub(crate) fn pulls(urls: &[String]) -> Result<(), String> {
    urls.iter().try_for_each(|url| pull_url(url))
}

/// `http://[user:password@]host[:port]/path`. What is found is not repeated whole: it may hold a
/// password.
fn pull_url(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("expected a URL such as \"http://host:8000/live.mp3\", found no scheme".into());
    };
    match scheme {
        "http" => {}
        "https" => return Err("https is not supported for pulls yet; use http://".into()),
        _ => return Err(format!("expected a URL with http://, found {scheme}://")),
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_bad = rest.contains(|c: char| c.is_control() || c.is_whitespace() || c == '#');
    if has_bad || path.is_empty() {
        return Err(format!("expected a URL with a path for {scheme}://{host_and_port}"));
    }
    let (host_name, port) = split_port(host_and_port);
    host(host_name)?;
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(format!("expected a port from 1 to 65535 in {host_and_port:?}")),
    }
}

/// Splits `host:port`, leaving the colons of `[::1]` alone.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
