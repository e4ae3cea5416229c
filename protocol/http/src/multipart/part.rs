//! The head of one part: `Content-Disposition`, `Content-Type`, and names that can be trusted.

use std::borrow::Cow;

use crate::headers::{is_token, is_token_byte};
use crate::media_type::next_parameter;
use crate::status::{Refused, Status};

/// Most header lines of a part. Browsers send two.
const LINES_COUNT_MAX: usize = 8;

/// Longest file name that [`safe_file_name`] gives, in bytes: what file systems take.
const FILE_NAME_BYTES_MAX: usize = 255;

pub(super) const NO_NAME: Refused = Refused::bad("a part has no name");
const DISPOSITION: Refused = Refused::bad("a part's Content-Disposition is malformed");

/// What the head of a part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'b> {
    /// The field's name. `%22` stands for a quote in it, as browsers write it, and is decoded;
    /// line ends (`%0D`, `%0A`) stay encoded.
    pub name: Cow<'b, str>,
    /// The file's name as its sender wrote it, which may be a path and a lie: never opened as it
    /// is, see [`safe_file_name`]. `Some("")` is a file field without a file.
    pub file_name: Option<Cow<'b, str>>,
    /// `Content-Type` of the part as its sender guessed it; `text/plain` without.
    pub content_type: Option<&'b str>,
}

impl<'b> Part<'b> {
    /// Reads the lines of a head that ends with its blank line.
    pub(super) fn parse(bytes: &'b [u8]) -> Result<Part<'b>, Refused> {
        let mut previous = 0;
        for byte in bytes {
            if *byte == b'\n' && previous != b'\r' {
                return Err(Refused::bad("a line of a part's head ends in LF without CR"));
            }
            previous = *byte;
        }
        let mut slots = [httparse::EMPTY_HEADER; LINES_COUNT_MAX];
        let lines = match httparse::parse_headers(bytes, &mut slots) {
            Ok(httparse::Status::Complete((_, lines))) => lines,
            Err(httparse::Error::TooManyHeaders) => {
                let reason = "a part has too many header lines";
                return Err(Refused::new(Status::HEADERS_TOO_LARGE, reason));
            }
            _ => return Err(Refused::bad("a header line of a part is malformed")),
        };
        let mut disposition = None;
        let mut content_type = None;
        for line in lines {
            let name = line.name.as_bytes();
            let text = std::str::from_utf8(line.value);
            let not_text = |_| Refused::bad("a header line of a part is not UTF-8");
            let repeated = if is_token(name, "content-disposition") {
                disposition.replace(text.map_err(not_text)?).is_some()
            } else if is_token(name, "content-type") {
                content_type.replace(text.map_err(not_text)?).is_some()
            } else {
                // RFC 7578 §4.7: over HTTP nothing is encoded, and a decoder of ours that did not
                // decode would hand on something else than a filter saw.
                let is_plain =
                    ["7bit", "8bit", "binary"].iter().any(|word| is_token(line.value, word));
                if is_token(name, "content-transfer-encoding") && !is_plain {
                    return Err(Refused::bad("a part has a transfer encoding"));
                }
                false
            };
            if repeated {
                return Err(Refused::bad("a header line of a part is repeated"));
            }
        }
        let (name, file_name) = names(disposition.ok_or(NO_NAME)?)?;
        Ok(Part { name, file_name, content_type })
    }
}

/// `form-data; name="…"; filename="…"`.
///
/// Browsers do not escape a backslash, old curls do; so whether one is an escape nobody can tell.
/// It is refused where that matters: in a field's name, and before a quote. `filename*` is not read
/// (RFC 7578 §4.2 forbids it).
fn names(value: &str) -> Result<(Cow<'_, str>, Option<Cow<'_, str>>), Refused> {
    let kind_bytes = value.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(value.len());
    let (kind, mut rest) = value.split_at(kind_bytes);
    if !is_token(kind.as_bytes(), "form-data") {
        return Err(DISPOSITION);
    }
    let mut name = None;
    let mut file_name = None;
    while let Some((parameter, after)) = next_parameter(rest).ok_or(DISPOSITION)? {
        rest = after;
        let Some((key, value)) = parameter else { continue };
        let slot = if is_token(key.as_bytes(), "name") {
            &mut name
        } else if is_token(key.as_bytes(), "filename") {
            &mut file_name
        } else {
            continue;
        };
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = inner.unwrap_or(value);
        if slot.replace(text).is_some() || text.contains("\\\"") {
            return Err(DISPOSITION);
        }
    }
    let name = name.filter(|name| !name.is_empty()).ok_or(NO_NAME)?;
    if name.contains('\\') {
        return Err(Refused::bad("a part's name has a backslash"));
    }
    Ok((with_quotes(name), file_name.map(with_quotes)))
}

fn with_quotes(text: &str) -> Cow<'_, str> {
    match text.contains("%22") {
        true => Cow::Owned(text.replace("%22", "\"")),
        false => Cow::Borrowed(text),
    }
}

/// A file name that stays in the folder it is put into: the last piece of what may be a path of
/// Unix or Windows, without control characters and what Windows or a shell gives a meaning to, not
/// hidden, no device of Windows, at most 255 bytes. `None` when nothing is left of it.
///
/// Two files may still have the same name, and the type that it claims is a claim.
pub fn safe_file_name(sent: &str) -> Option<String> {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_kept = |letter: &char| !letter.is_control() && !"<>:\"|?*".contains(*letter);
    let kept: String =
        last.chars().filter(is_kept).filter(|letter| !is_invisible(*letter)).collect();
    let mut name = kept.trim_matches(|letter: char| letter == '.' || letter.is_whitespace());
    while name.len() > FILE_NAME_BYTES_MAX {
        let mut letters = name.chars();
        letters.next_back();
        name = letters.as_str();
    }
    let name = name.trim_end_matches(|letter: char| letter == '.' || letter.is_whitespace());
    let stem = name.split('.').next().unwrap_or_default();
    let is_device = ["con", "prn", "aux", "nul"].iter().any(|word| stem.eq_ignore_ascii_case(word))
        || stem.len() == 4
            && stem.get(..3).is_some_and(|start| {
                start.eq_ignore_ascii_case("com") || start.eq_ignore_ascii_case("lpt")
            })
            && stem.ends_with(|letter: char| letter.is_ascii_digit());
    (!name.is_empty() && !is_device).then(|| name.to_owned())
}

/// What turns the direction of text or has no width: `gpj.exe` must not look like `exe.jpg`.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
