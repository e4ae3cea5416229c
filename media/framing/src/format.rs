//! What a mount carries, as its content type says it.

/// What a mount carries, as far as its framing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// MPEG-1, -2 and -2.5 audio frames of any layer (MP3).
    Mpeg,
    /// AAC in ADTS frames (ISO/IEC 13818-7).
    Adts,
    /// Ogg pages (RFC 3533) of Opus, Vorbis, FLAC, Speex, Theora and others.
    Ogg,
    /// Native FLAC (RFC 9639).
    Flac,
    /// PCM in RIFF/WAVE.
    Wav,
    /// Matroska and WebM (RFC 9559).
    Matroska,
    /// Anything else: passed on as it comes, a listener may start anywhere.
    Plain,
}

impl Format {
    /// The format that a media type names; `None` where it is no media type at all. Parameters and
    /// case do not matter. An unknown type is [`Format::Plain`].
    pub fn from_content_type(content_type: &str) -> Option<Format> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = essence.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() {
            return None;
        }
        let subtype = subtype.to_ascii_lowercase();
        Some(match subtype.as_str() {
            "mpeg" if kind.eq_ignore_ascii_case("video") => Format::Plain,
            "mpeg" | "mp3" | "mpeg3" | "x-mpeg" | "x-mp3" | "x-mpeg-3" | "mpa" => Format::Mpeg,
            "aac" | "aacp" | "x-aac" | "x-aacp" | "x-hx-aac-adts" => Format::Adts,
            "ogg" | "x-ogg" | "opus" | "vorbis" | "speex" => Format::Ogg,
            "flac" | "x-flac" => Format::Flac,
            "wav" | "x-wav" | "wave" | "vnd.wave" => Format::Wav,
            "webm" | "matroska" | "x-matroska" | "x-matroska-3d" => Format::Matroska,
            _ => Format::Plain,
        })
    }

    /// Whether titles travel inside the stream, so that ICY titles must not be put between it.
    pub fn titles_inside(&self) -> bool {
        matches!(self, Format::Ogg | Format::Matroska)
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn content_types_in_all_dialects() {
        let cases = [
            ("audio/mpeg", Some(Format::Mpeg)),
            ("Audio/MPEG; charset=x", Some(Format::Mpeg)),
            ("audio/aacp", Some(Format::Adts)),
            ("audio/x-aac", Some(Format::Adts)),
            ("application/ogg", Some(Format::Ogg)),
            ("video/ogg", Some(Format::Ogg)),
            ("audio/ogg; codecs=opus", Some(Format::Ogg)),
            ("audio/opus", Some(Format::Ogg)),
            ("audio/x-flac", Some(Format::Flac)),
            ("audio/x-wav", Some(Format::Wav)),
            ("video/webm", Some(Format::Matroska)),
            ("video/x-matroska", Some(Format::Matroska)),
            ("video/mp2t", Some(Format::Plain)),
            ("video/mpeg", Some(Format::Plain)),
            ("text/plain", Some(Format::Plain)),
            ("", None),
            ("audio", None),
            ("/", None),
        ];
        for (content_type, format) in cases {
            assert_eq!(Format::from_content_type(content_type), format, "{content_type}");
        }
    }
}
