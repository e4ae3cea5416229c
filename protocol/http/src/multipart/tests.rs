//! Forms as browsers and others send them, whole and cut at every byte.

use super::*;

/// What came out: parts as `name|file|type=payload`, or the status and reason of a refusal.
fn read(
    limits: MultipartLimits,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<String>, Result<(), Refused>) {
    let mut decoder = MultipartDecoder::new("X-b", limits).unwrap();
    let mut parts: Vec<(String, Vec<u8>, bool)> = Vec::new();
    let (mut read, mut shown) = (0, 0);
    let told = |parts: Vec<(String, Vec<u8>, bool)>| {
        let text = |(head, data, is_whole): (String, Vec<u8>, bool)| {
            let cut_off = if is_whole { "" } else { " (cut off)" };
            format!("{head}={}{cut_off}", String::from_utf8_lossy(&data))
        };
        parts.into_iter().map(text).collect::<Vec<_>>()
    };
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        shown = bytes.len().min(shown + cut);
        loop {
            let unread = &bytes[read..shown];
            let used = match decoder.decode(unread) {
                Ok(MultipartStep::Need) => break,
                Ok(MultipartStep::Part { part, used }) => {
                    let file = part.file_name.as_deref().unwrap_or("-");
                    let head = format!("{}|{file}|{}", part.name, part.content_type.unwrap_or("-"));
                    parts.push((head, Vec::new(), false));
                    used
                }
                Ok(MultipartStep::Data { range, used }) => {
                    assert!(!range.is_empty());
                    parts.last_mut().unwrap().1.extend_from_slice(&unread[range]);
                    used
                }
                Ok(MultipartStep::PartEnd { used }) => {
                    parts.last_mut().unwrap().2 = true;
                    used
                }
                Ok(MultipartStep::End { used }) => used,
                Err(refused) => {
                    assert_eq!(decoder.finish(), Err(refused), "a refusal is final");
                    return (told(parts), Err(refused));
                }
            };
            assert!(used > 0 && used <= unread.len(), "it goes forward");
            read += used;
        }
        assert!(shown - read <= limits.head_bytes_max + 80, "little is held");
    }
    (told(parts), decoder.finish())
}

/// Whole, byte by byte, and in two at every place: always the same.
fn read_all_ways(limits: MultipartLimits, bytes: &[u8]) -> (Vec<String>, Result<(), Refused>) {
    let whole = read(limits, bytes, &[]);
    assert_eq!(read(limits, bytes, &vec![1; bytes.len()]), whole);
    for at in 1..bytes.len() {
        assert_eq!(read(limits, bytes, &[at]), whole, "cut at {at}");
    }
    whole
}

fn parts(text: &str) -> Vec<String> {
    let (parts, end) = read_all_ways(MultipartLimits::default(), text.as_bytes());
    assert_eq!(end, Ok(()), "{text}");
    parts
}

fn refused(text: &str) -> u16 {
    let (_, end) = read_all_ways(MultipartLimits::default(), text.as_bytes());
    end.expect_err(text).status.0
}

#[test]
fn fields_and_files() {
    let text = "--X-b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --X-b\r\ncontent-type: image/png\r\nContent-Disposition: FORM-DATA; \
        filename=\"p \u{e9}.png\"; name=f\r\n\r\n\r\n--X-\r\n--X-b no\r\r\n\r\n\
        --X-b\r\nContent-Disposition: form-data; name=\"q%22%0D\"; filename=\"\"\r\n\r\n\r\n--X-b--\r\n";
    let (got, end) = read_all_ways(MultipartLimits::default(), text.as_bytes());
    assert_eq!(got, ["a|-|-=1", "f|p \u{e9}.png|image/png=\r\n--X-"]);
    assert_eq!(end.unwrap_err().status.0, 400, "a boundary with more behind it");
    let text = text.replace("--X-b no", "--X-B no");
    let wanted = ["a|-|-=1", "f|p \u{e9}.png|image/png=\r\n--X-\r\n--X-B no\r\r\n", "q\"%0D||-="];
    assert_eq!(parts(&text), wanted);
}

#[test]
fn beginnings_and_ends() {
    let none: [String; 0] = [];
    assert_eq!(parts("--X-b--"), none);
    assert_eq!(parts("\r\n--X-b--\r\n"), none);
    let head = "--X-b\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    assert_eq!(parts(&format!("\r\n{head}\r\n--X-b--")), ["a|-|-="]);
    for text in [
        "",
        "-",
        "\r",
        "--X-b",
        "--X-b-",
        "--X-b\r\n",
        "--X-b--\r",
        "x--X-b--",
        "preamble\r\n--X-b--",
        "\n--X-b--",
        "--X-b \r\n",
        "--X-b--\r\n\r\n",
        "--X-b--\r\nepilogue",
        "--X-b--x",
        "--X-c--",
        head,
        &format!("{head}data"),
        &format!("{head}data\r\n--X-b"),
        &format!("{head}data\r\n--X-b\r\n"),
        &format!("{head}data\n--X-b--"),
    ] {
        assert_eq!(refused(text), 400, "{text:?}");
    }
}

#[test]
fn heads_that_two_could_read_differently() {
    for head in [
        "",
        "X: y",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=\"\"",
        "Content-Disposition: attachment; name=a",
        "Content-Disposition: form-data name=a",
        "Content-Disposition: form-data; name=a; name=b",
        "Content-Disposition: form-data; name=\"a\\\"; filename=\"b\"",
        "Content-Disposition: form-data; name=\"a\\b\"",
        "Content-Disposition: form-data; name=a; filename=\"x\\\"y\"",
        "Content-Disposition: form-data; name=\"a",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "Content-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: c/d",
        "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition : form-data; name=a",
        "Content-Disposition: form-data;\r\n name=a",
        "Content-Disposition: form-data; name=a\nX: y",
        "Content-Disposition: form-data; name=\"a\0b\"",
    ] {
        assert_eq!(refused(&format!("--X-b\r\n{head}\r\n\r\n\r\n--X-b--")), 400, "{head}");
    }
    let latin1 = b"--X-b\r\nContent-Disposition: form-data; name=\"\xe9\"\r\n\r\n\r\n--X-b--";
    assert!(read_all_ways(MultipartLimits::default(), latin1).1.is_err());
    let allowed = "--X-b\r\nContent-Disposition: form-data; name=a; filename*=utf-8''x; x=y;\r\n\
        Content-Transfer-Encoding: binary\r\nX-Other: \"\r\n\r\n1\r\n--X-b--";
    assert_eq!(parts(allowed), ["a|-|-=1"]);
}

#[test]
fn limits() {
    let part = |name: &str, data: &str| {
        format!("--X-b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{data}\r\n")
    };
    let limits = MultipartLimits { parts_count_max: 2, head_bytes_max: 60, part_bytes_max: 4 };
    let status = |text: String| {
        let (_, end) = read_all_ways(limits, text.as_bytes());
        end.err().map(|refused| refused.status.0)
    };
    assert_eq!(status([part("a", "1234"), part("b", ""), "--X-b--".into()].concat()), None);
    assert_eq!(status([part("a", "12345"), "--X-b--".into()].concat()), Some(413));
    assert_eq!(status([part("a", ""), part("b", ""), part("c", "")].concat()), Some(413));
    assert_eq!(status([part(&"a".repeat(40), ""), "--X-b--".into()].concat()), Some(431));
    let many = "X: y\r\n".repeat(9);
    let many = format!("--X-b\r\nContent-Disposition: form-data; name=a\r\n{many}\r\n\r\n--X-b--");
    assert_eq!(refused(&many), 431);
}

#[test]
fn boundaries() {
    for boundary in ["a", &"b".repeat(70), "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a b", "=_(x)?"]
    {
        assert!(MultipartDecoder::new(boundary, MultipartLimits::default()).is_ok(), "{boundary}");
    }
    for boundary in ["", &"b".repeat(71), "a ", "a\r\nb", "a\"b", "\u{e9}", "a;b"] {
        assert!(MultipartDecoder::new(boundary, MultipartLimits::default()).is_err(), "{boundary}");
    }
}

#[test]
fn file_names_stay_where_they_are_put() {
    for (sent, safe) in [
        ("photo.png", Some("photo.png")),
        ("C:\\Users\\me\\photo.png", Some("photo.png")),
        ("../../etc/passwd", Some("passwd")),
        ("..\\..\\x", Some("x")),
        ("/", None),
        ("", None),
        ("..", None),
        (". .", None),
        (".htaccess", Some("htaccess")),
        ("a\r\nb\0c", Some("abc")),
        ("a:b?.txt ", Some("ab.txt")),
        ("x.", Some("x")),
        ("con", None),
        ("NUL.txt", None),
        ("com1.log", None),
        ("command.txt", Some("command.txt")),
        ("\u{202e}gpj.exe", Some("gpj.exe")),
        ("\u{1f4fb} r\u{e9}sum\u{e9}.pdf", Some("\u{1f4fb} r\u{e9}sum\u{e9}.pdf")),
    ] {
        assert_eq!(safe_file_name(sent).as_deref(), safe, "{sent:?}");
    }
    let long = safe_file_name(&"\u{e9}".repeat(300)).unwrap();
    assert!(long.len() <= 255 && long.chars().all(|letter| letter == '\u{e9}'));
}
