//! What holds for any value that a stranger can put into a header or a body: ranges in parts stay
//! shorter than the whole, what is written reads back, what is read was there.

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_http::{
    ByteRanges, ContentCoding, CookieOptions, Cookies, Limits, MediaType, MultipartDecoder,
    MultipartLimits, MultipartStep, RequestDecoder, ServerEvent, Step, choose_coding, parse_range,
    safe_file_name,
};

/// A `GET` with these lines, read.
fn with_head<T>(
    lines: &[u8],
    look: impl FnOnce(&protocol_http::RequestHead<'_>) -> T,
) -> Option<T> {
    let text = [b"GET / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n"].concat();
    match RequestDecoder::new(Limits::default()).decode(&text) {
        Ok(Step::Head { head, .. }) => Some(look(&head)),
        _ => None,
    }
}

/// The parts of a form: (name, file name, payload).
type Fields = Vec<(String, Option<String>, Vec<u8>)>;

/// Reads a form that comes in pieces of these lengths, then at once; `None` when it is refused.
fn read_form(boundary: &str, body: &[u8], cuts: &[usize]) -> Option<Fields> {
    let mut decoder = MultipartDecoder::new(boundary, MultipartLimits::default()).ok()?;
    let mut fields = Fields::new();
    let (mut read, mut shown) = (0, 0);
    for cut in cuts.iter().copied().chain([body.len()]) {
        shown = body.len().min(shown + cut);
        loop {
            let unread = &body[read..shown];
            let used = match decoder.decode(unread).ok()? {
                MultipartStep::Need => break,
                MultipartStep::Part { part, used } => {
                    let file = part.file_name.map(|name| name.into_owned());
                    fields.push((part.name.into_owned(), file, Vec::new()));
                    used
                }
                MultipartStep::Data { range, used } => {
                    fields.last_mut().expect("a part came").2.extend_from_slice(&unread[range]);
                    used
                }
                MultipartStep::PartEnd { used } | MultipartStep::End { used } => used,
            };
            assert!(used > 0 && used <= unread.len(), "it goes forward");
            read += used;
        }
    }
    decoder.finish().ok().map(|()| fields)
}

/// The stream as the HTML standard reads it (§9.2.6): (type, data, id) of each event.
fn read_events(text: &str) -> Vec<(String, String, String)> {
    let mut events = Vec::new();
    let (mut kind, mut data, mut id) = (String::new(), Vec::<&str>::new(), String::new());
    for line in text.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push((std::mem::take(&mut kind), data.join("\n"), id.clone()));
            }
            data.clear();
            kind.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => kind = value.to_owned(),
            "data" => data.push(value),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    events
}

/// Near enough to a form that many of them are one.
fn form_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "--b\r\n",
        "\r\n--b\r\n",
        "\r\n--b--",
        "--b--\r\n",
        "\r\n",
        "\r",
        "\n",
        "--b",
        "data",
        "\0",
        "Content-Disposition: form-data; name=\"a\"",
        "Content-Disposition: form-data; name=a",
        "; filename=\"x\"",
        "; filename=\"\\\"",
        "Content-Type: a/b",
        "\r\n\r\n",
        ": ",
        "\"",
        "é",
    ]);
    vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn parts_are_shorter_than_the_whole_and_lie_in_it(
        items in vec((0_u64..3000, 0_u64..3000), 1..10),
        length_bytes in 0_u64..3000,
        seed in any::<u128>(),
    ) {
        let items: Vec<_> = items.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let ranges = parse_range(format!("bytes={}", items.join(",")).as_bytes(), length_bytes);
        if let Some(mut parts) = ByteRanges::new(seed, "audio/mpeg", length_bytes, &ranges) {
            prop_assert!(parts.content_length() < length_bytes);
            let mut heads = Vec::new();
            let mut payload_bytes = 0;
            while let Some(range) = parts.next_part("audio/mpeg", &mut heads) {
                prop_assert!(range.first <= range.last && range.last < length_bytes);
                payload_bytes += range.length_bytes();
            }
            prop_assert_eq!(heads.len() as u64 + payload_bytes, parts.content_length());
        }
    }

    #[test]
    fn any_accept_encoding(value in "[a-z*;=q,. 0-9\\-]{0,40}") {
        let lines = format!("Accept-Encoding: {value}\r\n");
        let check = |head: &protocol_http::RequestHead<'_>| {
            let all = choose_coding(&head.headers, &ContentCoding::ALL);
            // Fewer variants never make a better choice, and the choice is at hand.
            if let Some(chosen) = all {
                assert_eq!(choose_coding(&head.headers, &[chosen]), Some(chosen));
            } else {
                for one in ContentCoding::ALL {
                    assert_eq!(choose_coding(&head.headers, &[one]), None);
                }
            }
        };
        prop_assert!(with_head(lines.as_bytes(), check).is_some());
    }

    #[test]
    fn a_cookie_that_can_be_set_comes_back(
        pairs in vec(("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}", "[ -~]{0,20}"), 0..6),
    ) {
        let mut line = b"Cookie: ".to_vec();
        let mut set = Vec::new();
        for (name, value) in &pairs {
            if let Ok(cookie) = CookieOptions::default().build(name, value) {
                let pair = cookie.as_bytes().split(|byte| *byte == b';').next().unwrap();
                line.extend_from_slice(pair);
                line.extend_from_slice(b"; ");
                set.push((name.clone(), value.clone().into_bytes()));
            }
        }
        line.extend_from_slice(b"\r\n");
        let read = with_head(&line, |head| {
            let pairs = Cookies::new(&head.headers);
            pairs.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect::<Vec<_>>()
        });
        prop_assert_eq!(read, Some(set));
    }

    #[test]
    fn any_cookie_line(value in vec(0x20_u8..=0xff, 0..80)) {
        let line = [b"Cookie: ", &value[..], b"\r\n"].concat();
        with_head(&line, |head| {
            for (name, value) in Cookies::new(&head.headers).iter() {
                assert!(!name.is_empty() && !value.contains(&b';'));
            }
        });
    }

    #[test]
    fn any_content_type(value in vec(any::<u8>(), 0..60), text in "[a-b/;= \"\\\\]{0,30}") {
        for value in [&value[..], text.as_bytes()] {
            if let Some(media_type) = MediaType::parse(value) {
                prop_assert!(media_type.essence().contains('/'));
                media_type.parameter("a");
            }
        }
    }

    /// Whatever data and types hold, a reader by the standard gets that event and no other.
    #[test]
    fn an_event_comes_back_as_one(
        kind in "[a-z\r\n:\0 é]{1,10}",
        id in "[a-z\r\n:\0 é]{0,10}",
        data in "[ad:i\r\n\0 é]{0,30}",
    ) {
        let event = ServerEvent {
            event: Some(&kind),
            id: Some(&id),
            data: Some(&data),
            ..ServerEvent::default()
        };
        let mut out = Vec::new();
        event.encode(&mut out);
        let on_one_line = |text: &str| text.replace(['\r', '\n', '\0'], " ");
        let lines = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(
            read_events(&String::from_utf8(out).unwrap()),
            vec![(on_one_line(&kind), lines, on_one_line(&id))]
        );
    }

    #[test]
    fn a_form_comes_back_however_it_is_cut(
        fields in vec(("[a-zé ]{1,8}", "[a-z.é]{0,8}", vec(any::<u8>(), 0..80)), 0..5),
        cuts in vec(1_usize..40, 0..30),
    ) {
        let mut body = Vec::new();
        for (name, file, data) in &fields {
            let head = format!(
                "--bound\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\
                 \r\nContent-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--bound--\r\n");
        let expected: Fields = fields
            .into_iter()
            .map(|(name, file, data)| (name, Some(file), data))
            .collect();
        prop_assert_eq!(read_form("bound", &body, &cuts), Some(expected));
    }

    #[test]
    fn any_form_reads_the_same_however_it_is_cut(
        body in form_like(),
        cuts in vec(1_usize..20, 0..40),
    ) {
        let whole = read_form("b", &body, &[]);
        prop_assert_eq!(&read_form("b", &body, &cuts), &whole);
        prop_assert_eq!(&read_form("b", &body, &vec![1; body.len()]), &whole);
    }

    #[test]
    fn any_file_name_is_safe_or_none(sent in "\\PC{0,20}[./\\\\:\0\r\n]{0,4}\\PC{0,300}") {
        if let Some(name) = safe_file_name(&sent) {
            prop_assert!(!name.is_empty() && name.len() <= 255 && !name.starts_with('.'));
            prop_assert!(!name.contains(['/', '\\', '\0', '\r', '\n', ':']));
        }
    }
}
