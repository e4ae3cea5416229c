//! Title updates by request (Icecast 2.4.4, src/admin.c, `command_metadata` and
//! `command_shoutcast_metadata`).
//!
//! ```text
//!  /admin/metadata?mode=updinfo&mount=%2flive&charset=UTF%2d8&song=Artist%20-%20Title
//!  /admin/metadata?mode=updinfo&mount=%2flive&artist=A&title=T&url=http…
//!  /admin.cgi?pass=secret&mode=updinfo&song=Title[&mount=%2flive]
//! ```
//!
//! Icecast keeps an old artist when only a song comes, drops a title without an artist, and takes
//! text without a charset as ISO-8859-1. None of that is wanted by anybody: a `song` replaces all,
//! either of artist and title will do, and undeclared UTF-8 is UTF-8.

use std::borrow::Cow;

use protocol_http::Query;

use crate::answers::Answers;
use crate::charset::{Charset, decode_undeclared};
use crate::text::value_of;
use crate::title::Title;

const MOUNT_BYTES_MAX: usize = 1024;

/// `/admin/metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitleUpdate {
    /// Which mount.
    pub mount: String,
    /// The new title; `None` when the request has none, which is answered as a success.
    pub title: Option<Title>,
}

/// `/admin.cgi`, of ICY v1 sources.
#[derive(Clone, PartialEq, Eq)]
pub struct V1TitleUpdate {
    /// Which mount, where the encoder says it; else the one of the acceptor.
    pub mount: Option<String>,
    /// The source's password.
    pub password: String,
    /// The new title.
    pub title: Title,
}

impl std::fmt::Debug for V1TitleUpdate {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mount, title, .. } = self;
        f.debug_struct("V1TitleUpdate")
            .field("mount", mount)
            .field("title", title)
            .finish_non_exhaustive()
    }
}

/// Why an update is none: the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateError {
    /// `mode` or `song` is missing.
    MissingParameter,
    /// `mount` is missing.
    MissingMount,
    /// `pass` is missing.
    MissingPassword,
    /// `mode` is not `updinfo`.
    NoSuchAction,
    /// The same in `/admin.cgi`, which answers otherwise.
    NoSuchV1Action,
}

impl UpdateError {
    /// Icecast's words.
    pub fn message(self) -> &'static str {
        match self {
            UpdateError::MissingParameter => "Missing parameter",
            UpdateError::MissingMount => "Unknown admin request",
            UpdateError::MissingPassword => "missing pass parameter",
            UpdateError::NoSuchAction | UpdateError::NoSuchV1Action => "No such action",
        }
    }

    /// Status of the answer: an unknown mode is told with 200.
    pub fn status(self) -> u16 {
        if self == UpdateError::NoSuchAction { 200 } else { 400 }
    }

    /// The whole answer.
    pub fn answer(self, answers: &Answers<'_>) -> Vec<u8> {
        match self {
            UpdateError::NoSuchAction => answers.admin_message(self.message(), 0),
            _ => answers.html_error(400, self.message()),
        }
    }
}

impl TitleUpdate {
    /// What is said when the title was taken.
    pub const DONE: &'static str = "Metadata update successful";

    /// Reads the query, without its `?`. Whether the mount exists is asked first of all, so a
    /// missing mount comes before what else is missing.
    pub fn from_query(query: &str) -> Result<TitleUpdate, UpdateError> {
        let query = Query::new(query.as_bytes());
        let mount = mount_of(query).ok_or(UpdateError::MissingMount)?;
        let mode = query.get("mode").ok_or(UpdateError::MissingParameter)?;
        if *mode != *b"updinfo" {
            return Err(UpdateError::NoSuchAction);
        }
        let charset = query.get_str("charset").and_then(|label| Charset::from_label(&label));
        Ok(TitleUpdate { mount, title: title_of(query, charset) })
    }
}

impl V1TitleUpdate {
    /// Reads the query, without its `?`.
    pub fn from_query(query: &str) -> Result<V1TitleUpdate, UpdateError> {
        let query = Query::new(query.as_bytes());
        let password = query.get("pass").ok_or(UpdateError::MissingPassword)?;
        let mode = query.get("mode").ok_or(UpdateError::MissingParameter)?;
        let charset = query.get_str("charset").and_then(|label| Charset::from_label(&label));
        let title = title_of(query, charset).ok_or(UpdateError::MissingParameter)?;
        if *mode != *b"updinfo" {
            return Err(UpdateError::NoSuchV1Action);
        }
        let (mount, password) = (mount_of(query), decode_undeclared(&password).into_owned());
        Ok(V1TitleUpdate { mount, password, title })
    }
}

/// A mount's path. `None` without one that could name a mount.
fn mount_of(query: Query<'_>) -> Option<String> {
    query.get("mount").and_then(|raw| value_of(&raw, MOUNT_BYTES_MAX))
}

fn title_of(query: Query<'_>, charset: Option<Charset>) -> Option<Title> {
    let text = |name: &str| query.get(name).map(|raw| decoded(&raw, charset).into_owned());
    let title = match (text("song"), text("artist"), text("title")) {
        (Some(song), ..) => Title::new(song),
        (None, None, None) => return None,
        (None, artist, title) => {
            Title::of_artist(&artist.unwrap_or_default(), &title.unwrap_or_default())
        }
    };
    Some(match text("url") {
        Some(url) => title.with_url(&url),
        None => title,
    })
}

fn decoded(raw: &[u8], charset: Option<Charset>) -> Cow<'_, str> {
    match charset {
        Some(charset) => charset.decode(raw),
        None => decode_undeclared(raw),
    }
}

#[cfg(test)]
mod tests;
