//! Text of strangers, made safe to keep and to write into one line.

use crate::charset::decode_undeclared;

/// Text of at most `bytes_max` bytes without control characters, blanks trimmed. What is not UTF-8
/// is taken as Windows-1252.
pub(crate) fn line_of(raw: &[u8], bytes_max: usize) -> String {
    // A few times the bound is enough to fill it even after what is taken out.
    let raw = &raw[..raw.len().min(4 * bytes_max)];
    let mut line = one_line(&decode_undeclared(raw));
    truncate(&mut line, bytes_max);
    line
}

/// As [`line_of`]; `None` when nothing is left.
pub(crate) fn value_of(raw: &[u8], bytes_max: usize) -> Option<String> {
    Some(line_of(raw, bytes_max)).filter(|line| !line.is_empty())
}

/// Line ends and tabs become blanks, other control characters go, outer blanks are trimmed.
pub(crate) fn one_line(text: &str) -> String {
    let kept = text.chars().filter_map(|char| match char {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        char if char.is_control() => None,
        char => Some(char),
    });
    let line: String = kept.collect();
    line.trim().to_owned()
}

/// Cuts at the last character boundary that fits, and leaves no blank at the end.
pub(crate) fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.truncate(text.trim_end().len());
    }
}

/// `&`, `<`, `>` and quotes as entities, for HTML and XML alike.
pub(crate) fn push_escaped(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char => out.push(char),
        }
    }
}
