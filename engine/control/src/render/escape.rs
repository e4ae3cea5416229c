//! Text of strangers, made safe to stand in XML, HTML, JSON and Prometheus labels.
//!
//! * What XML 1.0 cannot hold at all (control characters, U+FFFE, U+FFFF) is left out.
//! * A value never ends the text, attribute, string or label that it stands in.

/// Appends what stands between tags, as libxml2 writes it: quotes stay as they are.
pub(super) fn push_xml_text(text: &str, out: &mut String) {
    for char in text.chars().filter(|char| is_xml(*char)) {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            char => out.push(char),
        }
    }
}

/// Appends what stands in an attribute between double quotes, in XML or HTML. It may stand between
/// the tags of HTML as well.
pub(super) fn push_attribute(text: &str, out: &mut String) {
    for char in text.chars().filter(|char| is_xml(*char)) {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            char => out.push(char),
        }
    }
}

/// The same as a string of its own, for HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    push_attribute(text, &mut out);
    out
}

/// Appends a JSON string with its quotes. The characters that a script element or an old reader
/// of JavaScript would trip over are escaped too.
pub(crate) fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// Appends the value of a label of the Prometheus text format, without its quotes.
pub(super) fn push_label_value(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            char => out.push(char),
        }
    }
}

/// `Char` of XML 1.0 §2.2.
fn is_xml(char: char) -> bool {
    matches!(char,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\"b'<c>&amp;\\\r\n\t\0\u{1}\u{7f}\u{ffff}\u{2028}é😀";

    fn escaped(push: fn(&str, &mut String)) -> String {
        let mut out = String::new();
        push(NASTY, &mut out);
        out
    }

    #[test]
    fn each_language_has_its_own_escapes() {
        let xml = "a\"b'&lt;c&gt;&amp;amp;\\&#13;\n\t\u{7f}\u{2028}é😀";
        assert_eq!(escaped(push_xml_text), xml);
        let attribute = "a&quot;b&#39;&lt;c&gt;&amp;amp;\\&#13;&#10;&#9;\u{7f}\u{2028}é😀";
        assert_eq!(escaped(push_attribute), attribute);
        let label = "a\\\"b'<c>&amp;\\\\\r\\n\t\0\u{1}\u{7f}\u{ffff}\u{2028}é😀";
        assert_eq!(escaped(push_label_value), label);
    }

    #[test]
    fn json_reads_back_what_was_written() {
        let json = escaped(push_json_string);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), NASTY);
        assert!(json.contains("\\u0000\\u0001\\u007f") && json.contains("\\u2028"));
    }
}
