//! The header lines of one head, borrowed from the bytes that it was parsed from.
//!
//! Invariant: every line's offsets lie inside `bytes`; names are tokens (ASCII). An entry is eight
//! bytes and the first [`LINES_INLINE`] lie within the head itself, so that a head can be moved
//! about; one with more lines, which browsers do not send, allocates once.

use smallvec::SmallVec;

use crate::status::Refused;

/// Most header lines that a head can have, whatever the limits say.
pub const HEADERS_COUNT_MAX: usize = 64;

const LINES_INLINE: usize = 24;

/// The header lines of a head, in the order received.
#[derive(Clone)]
pub struct Headers<'b> {
    bytes: &'b [u8],
    lines: SmallVec<[Line; LINES_INLINE]>,
}

#[derive(Clone, Copy)]
struct Line {
    name_offset: u16,
    name_bytes: u16,
    value_offset: u16,
    value_bytes: u16,
}

impl<'b> Headers<'b> {
    /// The value of the first line with this name (any case), without blanks at its ends.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.get_all(name).next()
    }

    /// The same as text; `None` also when it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&'b str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all lines with this name (any case), in order.
    pub fn get_all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'b [u8]> + 'h {
        self.lines
            .iter()
            .filter(move |line| usize::from(line.name_bytes) == name.len())
            .filter(move |line| line.name(self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            .map(|line| line.value(self.bytes))
    }

    /// Whether a comma-separated list header holds this token (any case), in any of its lines:
    /// `has_token("connection", "upgrade")`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name).any(|value| list_items(value).any(|item| is_token(item, token)))
    }

    /// All lines as (name, value), in order.
    pub fn iter(&self) -> HeadersIter<'_, 'b> {
        HeadersIter { headers: self, index: 0 }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a tab stands between a value of this name and the end of its line. It is a blank,
    /// but not to everyone.
    pub(crate) fn has_tab_behind(&self, name: &str) -> bool {
        self.get_all(name).any(|value| {
            let end = usize::from(offset_in(self.bytes, value)) + value.len();
            let behind = self.bytes[end..].iter();
            behind.take_while(|byte| matches!(byte, b' ' | b'\t')).any(|byte| *byte == b'\t')
        })
    }

    pub(crate) fn new(bytes: &'b [u8]) -> Headers<'b> {
        Headers { bytes, lines: SmallVec::new() }
    }

    /// Adds a line that was parsed out of `bytes`. The caller has checked the count.
    pub(crate) fn push(&mut self, header: &httparse::Header<'b>) {
        let line = Line {
            name_offset: offset_in(self.bytes, header.name.as_bytes()),
            name_bytes: header.name.len() as u16,
            value_offset: offset_in(self.bytes, header.value),
            value_bytes: header.value.len() as u16,
        };
        self.lines.push(line);
    }

    /// Refuses line ends other than CR LF. httparse also takes a bare LF, which a proxy in front
    /// might not; values hold neither, so the two bytes before each name and before the end tell.
    pub(crate) fn check_line_ends(&self, head_bytes: usize) -> Result<(), Refused> {
        let crlf_before = |end: usize| end >= 2 && self.bytes[end - 2..end] == *b"\r\n";
        let names = self.lines.iter();
        let strict = names.map(|line| usize::from(line.name_offset)).all(crlf_before)
            && crlf_before(head_bytes)
            && crlf_before(head_bytes - 2);
        if strict { Ok(()) } else { Err(BARE_LF) }
    }
}

pub(crate) const BARE_LF: Refused = Refused::bad("a line ends in LF without CR");

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

impl<'h, 'b> IntoIterator for &'h Headers<'b> {
    type Item = (&'b str, &'b [u8]);
    type IntoIter = HeadersIter<'h, 'b>;

    fn into_iter(self) -> HeadersIter<'h, 'b> {
        self.iter()
    }
}

/// See [`Headers::iter`].
#[derive(Debug, Clone)]
pub struct HeadersIter<'h, 'b> {
    headers: &'h Headers<'b>,
    index: usize,
}

impl<'b> Iterator for HeadersIter<'_, 'b> {
    type Item = (&'b str, &'b [u8]);

    fn next(&mut self) -> Option<(&'b str, &'b [u8])> {
        let line = self.headers.lines.get(self.index)?;
        self.index += 1;
        let name = std::str::from_utf8(line.name(self.headers.bytes)).unwrap_or_default();
        Some((name, line.value(self.headers.bytes)))
    }
}

impl Line {
    fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[usize::from(self.name_offset)..][..usize::from(self.name_bytes)]
    }

    fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[usize::from(self.value_offset)..][..usize::from(self.value_bytes)]
    }
}

/// The items of a comma-separated list (RFC 9110 §5.6.1), blanks trimmed, empty ones left out.
pub(crate) fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

pub(crate) fn is_token(item: &[u8], token: &str) -> bool {
    item.eq_ignore_ascii_case(token.as_bytes())
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");
    TOKEN[byte as usize]
}

/// A table of letters, digits and these.
pub(crate) const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// Where `part`, which was cut out of `bytes`, begins in it. An empty part may lie anywhere.
fn offset_in(bytes: &[u8], part: &[u8]) -> u16 {
    if part.is_empty() {
        return 0;
    }
    let offset = part.as_ptr().addr() - bytes.as_ptr().addr();
    debug_assert!(offset + part.len() <= bytes.len());
    offset as u16
}
