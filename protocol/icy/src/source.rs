//! What a source asks for: its credentials, its type and its stream (Icecast 2.4.4, src/source.c,
//! `source_startup`).

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::stream_info::{StreamInfo, VALUE_BYTES_MAX, leading_number};
use crate::text::value_of;

/// Longest interval of titles inside a source's stream that is believed.
const METAINT_MAX: u64 = 16 * 1024 * 1024;
const CREDENTIALS_BYTES_MAX: usize = 512;

/// The head of a `PUT`, a `SOURCE`, or an ICY v1 source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRequest {
    /// `Content-Type` as sent. `None`: a `PUT` is refused, a `SOURCE` is taken as `audio/mpeg`.
    pub content_type: Option<String>,
    /// Who it says it is; `None` when it does not, or not readably.
    pub credentials: Option<Credentials>,
    /// What it says about the stream.
    pub stream: StreamInfo,
    /// `icy-metaint`: audio bytes between title blocks inside its stream.
    pub metaint_in: Option<usize>,
    /// Whether it waits for `100 Continue`.
    pub expect_continue: bool,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
}

impl SourceRequest {
    /// Reads the lines of a head; names in any case.
    pub fn from_headers<'a>(
        headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
        expect_continue: bool,
    ) -> SourceRequest {
        let get = |wanted: &str| header(headers.clone(), wanted);
        let text = |wanted: &str| get(wanted).and_then(|raw| value_of(raw, VALUE_BYTES_MAX));
        let basic = get("authorization").and_then(basic_credentials);
        // The oldest login: a password on a line of its own.
        let old = text("ice-password").map(Credentials::of_source);
        SourceRequest {
            content_type: text("content-type"),
            credentials: basic.or(old),
            stream: StreamInfo::from_headers(headers.clone()),
            metaint_in: get("icy-metaint").and_then(metaint_of),
            expect_continue,
            user_agent: text("user-agent"),
        }
    }
}

/// A user and a password. They are compared by whoever knows the right ones, in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; `source` where the dialect has none.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// A password of a dialect without users.
    pub(crate) fn of_source(password: String) -> Credentials {
        Credentials { user: "source".to_owned(), password }
    }
}

impl fmt::Debug for Credentials {
    /// Leaves the password out: logs are read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The value of an `Authorization: Basic …` (RFC 7617 §2); `None` for other schemes, for what is
/// not Base64 of `user:password`, and for what is not UTF-8.
pub fn basic_credentials(value: &[u8]) -> Option<Credentials> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    let encoded = encoded.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"Basic ") || encoded.len() > CREDENTIALS_BYTES_MAX * 4 / 3 + 4
    {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// Whether a source may be of this type: audio, video, and the `application` types that carry them.
///
/// Icecast takes whatever has a type. A source could then have this server hand out pages and
/// scripts in its name; nothing that plays needs that.
pub fn is_supported_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    };
    match essence.split_once('/') {
        Some(("audio" | "video", subtype)) => is_token(subtype),
        Some(("application", subtype)) => {
            matches!(
                subtype,
                "ogg" | "x-ogg" | "mp4" | "octet-stream" | "x-matroska" | "flac" | "x-flac"
            )
        }
        _ => false,
    }
}

/// The first value of a header, any case.
pub(crate) fn header<'a>(
    mut headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    wanted: &str,
) -> Option<&'a [u8]> {
    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// An `icy-metaint`; `None` for 0 and for what nobody would send.
pub(crate) fn metaint_of(value: &[u8]) -> Option<usize> {
    let number = leading_number(std::str::from_utf8(value).ok()?);
    let is_possible = (1..=METAINT_MAX).contains(&number);
    usize::try_from(number).ok().filter(|_| is_possible)
}

/// Encoders pad and do not pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
