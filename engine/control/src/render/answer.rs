//! Whole answers, and the small bodies that are neither XML nor pages.
//!
//! The head is Icecast's ([`Answers`]); every answer says its length and ends its connection.

use protocol_http::percent_encode;
use protocol_icy::{Answers, Credentials, Playlist, PlaylistTrack, StreamInfo};

use super::facts::base_url;
use crate::view::View;

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// A page for people.
    Html,
    /// An answer of `/admin/`.
    Xml,
    /// The public statistics.
    Json,
    /// Plain text.
    Text,
    /// The Prometheus text format.
    Metrics,
    /// A playlist of this kind.
    Playlist(Playlist),
    /// A playlist that a browser should save.
    SavedPlaylist,
}

/// A whole answer, head and body.
pub(crate) fn answer(answers: &Answers<'_>, status: u16, kind: Body, body: &str) -> Vec<u8> {
    let lines: &[(&str, &str)] = match kind {
        Body::Html => &PAGE_LINES,
        Body::SavedPlaylist => &[("Content-Disposition", "attachment; filename=listen.m3u")],
        _ => &[],
    };
    answers.page_with(status, content_type_of(kind), lines, body.as_bytes())
}

/// The same answer as `HEAD` gets it.
pub(crate) fn without_body(mut answer: Vec<u8>) -> Vec<u8> {
    if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        answer.truncate(end + 4);
    }
    answer
}

/// How the client sees the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen<'a> {
    /// Its `Host`.
    pub(crate) host: Option<&'a str>,
    /// It came over TLS, and what it is told to play shall too.
    pub(crate) is_secure: bool,
}

/// A playlist of one mount. As in Icecast an M3U or PLS says yes to any mount and goes by the
/// client's own `Host` where that has a port; the others tell only of what runs. Over TLS all go by
/// `Host`, which needs no port there: the configuration names none that speaks TLS.
pub(crate) fn playlist(view: &View, mount: &str, kind: Playlist, seen: Seen<'_>) -> String {
    let base = match (kind, seen.host) {
        (_, Some(host)) if seen.is_secure && is_host(host) => format!("https://{host}"),
        (Playlist::M3u | Playlist::Pls, Some(host)) if is_host_and_port(host) => {
            format!("http://{host}")
        }
        _ => base_url(&view.hostname, view.port),
    };
    let url = protocol_icy::listen_url(&base, mount);
    let running = view.mounts.iter().find(|known| known.name == mount);
    let running = running.and_then(|known| Some((known, known.source.as_ref()?)));
    let nothing = StreamInfo::default();
    let track = match running {
        Some((mount, source)) => PlaylistTrack {
            listen_url: &url,
            content_type: &source.content_type,
            info: &source.info,
            title: source.title.as_ref(),
            listener_count: mount.listeners_count,
            listener_peak: mount.listeners_peak,
        },
        None => PlaylistTrack {
            listen_url: &url,
            content_type: "",
            info: &nothing,
            title: None,
            listener_count: 0,
            listener_peak: 0,
        },
    };
    let is_told = running.is_some() || matches!(kind, Playlist::M3u | Playlist::Pls);
    protocol_icy::playlist(kind, if is_told { std::slice::from_ref(&track) } else { &[] })
}

/// `/admin/buildm3u`: a playlist that logs its player in.
pub(crate) fn playlist_with_login(view: &View, mount: &str, login: &Credentials) -> String {
    // The encoding leaves `/` as it is, which would end the authority (RFC 3986 §3.2).
    let encoded = |text: &str| percent_encode(text.as_bytes()).replace('/', "%2F");
    let base = base_url(&view.hostname, view.port);
    let authority = base.strip_prefix("http://").unwrap_or(&base);
    let login = format!("{}:{}", encoded(&login.user), encoded(&login.password));
    protocol_icy::listen_url(&format!("http://{login}@{authority}"), mount) + "\r\n"
}

/// `/admin/streamlist.txt`: what a mirroring server may have, whether it runs or not.
pub(crate) fn stream_list_txt(view: &View) -> String {
    let shown = view.mounts.iter().filter(|mount| !mount.hidden);
    protocol_icy::stream_list(shown.map(|mount| mount.name.as_str()))
}

/// A page loads nothing from elsewhere; that nothing else gets in is for the escapes to see to, and
/// for the browser.
const PAGE_LINES: [(&str, &str); 3] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
         connect-src 'self'; media-src 'self'; form-action 'self'; base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

fn content_type_of(kind: Body) -> &'static str {
    match kind {
        Body::Html => "text/html; charset=utf-8",
        Body::Xml => "text/xml; charset=utf-8",
        Body::Json => "application/json; charset=UTF-8",
        Body::Text => "text/plain; charset=utf-8",
        Body::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        Body::Playlist(kind) => kind.content_type(),
        Body::SavedPlaylist => Playlist::M3u.content_type(),
    }
}

/// `radio.example:8000`, `[::1]:8000`: what may stand in a URL as it is.
fn is_host_and_port(host: &str) -> bool {
    let Some((name, port)) = host.rsplit_once(':') else { return false };
    is_name(name) && port.parse::<u16>().is_ok()
}

/// The same, or without a port.
fn is_host(host: &str) -> bool {
    let has_port = host.rsplit_once(':').is_some() && !host.ends_with(']');
    if has_port { is_host_and_port(host) } else { is_name(host) }
}

fn is_name(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    !name.is_empty() && name.bytes().all(is_usual)
}
