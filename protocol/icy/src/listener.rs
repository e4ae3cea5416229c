//! What a listener hears before the stream (Icecast 2.4.4, src/format.c, `format_prepare_headers`,
//! and src/format_mp3.c, `format_mp3_create_client_data`).
//!
//! ```text
//!  …the head of every answer…
//!  icy-br:128                    the source's own lines, no blank after the colon
//!  ice-audio-info: bitrate=128   but here
//!  icy-name:N1
//!  Via: 1.1 upstream             only of a stream that was pulled
//!  Content-Length: 221183499     only for Flash and old Internet Explorer
//!  icy-metaint:16000             only if titles were asked for and stand in the stream
//! ```

use crate::answers::Answers;
use crate::source::header;
use crate::stream_info::{StreamInfo, leading_number};

/// A length that is longer than anyone listens: Flash players want one.
const ENDLESS_LENGTH_BYTES: u64 = 221_183_499;

impl Answers<'_> {
    /// The head of a stream. `metaint`: titles stand behind every so many bytes; `None` when the
    /// listener did not ask ([`wants_titles`]) or the format has its own. `with_length`: for a
    /// listener that [`wants_length`].
    pub fn listener_head(
        &self,
        content_type: &str,
        info: &StreamInfo,
        metaint: Option<usize>,
        with_length: bool,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let mut head = self.begin(200, content_type, &mut out);
        for (name, value) in &info.echoed {
            match name.starts_with("ice-") {
                true => head.header(name, value),
                false => head.header_tight(name, value),
            };
        }
        if !info.via.is_empty() {
            head.header("Via", crate::pull::via_value(&info.via));
        }
        if with_length {
            head.content_length(ENDLESS_LENGTH_BYTES);
        }
        if let Some(metaint) = metaint {
            head.header_tight("icy-metaint", metaint.to_string());
        }
        head.finish();
        out
    }
}

/// Whether a listener asks for titles between the audio: `Icy-MetaData: 1`, any number but 0.
pub fn wants_titles<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> bool {
    let value = header(headers, "icy-metadata").and_then(|raw| std::str::from_utf8(raw).ok());
    value.is_some_and(|value| leading_number(value) != 0)
}

/// Whether a listener does not play without a length: Flash, and Internet Explorer's agent.
pub fn wants_length<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> bool {
    let agent = header(headers.clone(), "user-agent").unwrap_or_default();
    header(headers, "x-flash-version").is_some() || agent.windows(4).any(|word| word == b"MSIE")
}
