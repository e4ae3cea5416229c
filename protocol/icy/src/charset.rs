//! The character sets that encoders send titles in.
//!
//! Icecast takes an undeclared title as ISO-8859-1, so that UTF-8 comes out double-encoded. Here
//! what is valid UTF-8 is UTF-8: Latin-1 text with an accent hardly ever is.

use std::borrow::Cow;

use encoding_rs::{EncoderResult, Encoding, UTF_8, WINDOWS_1252};

/// A character set by its label in the WHATWG Encoding Standard, where `ISO-8859-1` is
/// Windows-1252.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// UTF-8, the only one for Ogg.
    pub const UTF_8: Charset = Charset(UTF_8);
    /// Windows-1252, which holds ISO-8859-1.
    pub const WINDOWS_1252: Charset = Charset(WINDOWS_1252);

    /// The character set of a label such as `ISO8859-1` or `utf-8`, any case; `None` when unknown.
    pub fn from_label(label: &str) -> Option<Charset> {
        Encoding::for_label_no_replacement(label.as_bytes()).map(Charset)
    }

    /// Text of declared bytes. What is declared as UTF-8 and is not falls back to Windows-1252;
    /// otherwise what cannot be decoded becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        if self.0 == UTF_8 {
            return decode_undeclared(bytes);
        }
        self.0.decode_without_bom_handling(bytes).0
    }

    /// Bytes of text; what the character set does not have becomes `?`.
    pub fn encode(self, text: &str) -> Cow<'_, [u8]> {
        // UTF-16 and its like cannot be written inside a byte protocol: they answer UTF-8 here.
        let encoding = self.0.output_encoding();
        if encoding == UTF_8 {
            return Cow::Borrowed(text.as_bytes());
        }
        let mut encoder = encoding.new_encoder();
        let (mut out, mut rest) = (Vec::with_capacity(text.len() + 16), text);
        loop {
            let (result, read) =
                encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return Cow::Owned(out),
                EncoderResult::OutputFull => out.reserve(rest.len() + 16),
                EncoderResult::Unmappable(_) => {
                    out.reserve(rest.len() + 16);
                    out.push(b'?');
                }
            }
        }
    }
}

/// UTF-8 where it is, Windows-1252 where not.
pub(crate) fn decode_undeclared(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_text_is_utf8_where_it_can_be() {
        assert_eq!(decode_undeclared("Tité".as_bytes()), "Tité");
        assert_eq!(decode_undeclared(b"Tit\xe9 \x92s"), "Tité ’s");
        assert_eq!(Charset::UTF_8.decode(b"Tit\xe9"), "Tité");
    }

    #[test]
    fn labels_in_the_spellings_of_encoders() {
        for label in ["ISO-8859-1", "iso8859-1", "latin1", "windows-1252"] {
            assert_eq!(Charset::from_label(label), Some(Charset::WINDOWS_1252), "{label}");
        }
        assert_eq!(Charset::from_label("UTF8"), Some(Charset::UTF_8));
        assert_eq!(Charset::from_label("klingon"), None);
        let cyrillic = Charset::from_label("koi8-r").unwrap();
        assert_eq!(cyrillic.decode(b"\xf0\xf2"), "ПР");
    }

    #[test]
    fn what_a_charset_lacks_becomes_a_question_mark() {
        assert_eq!(&*Charset::WINDOWS_1252.encode("é ’ → x"), b"\xe9 \x92 ? x");
        assert_eq!(&*Charset::from_label("utf-16le").unwrap().encode("é"), "é".as_bytes());
        let many = "→".repeat(1000);
        assert_eq!(Charset::WINDOWS_1252.encode(&many).len(), 1000);
    }
}
