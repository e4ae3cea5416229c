//! What a stranger says does not become what we say: no value begins a line of an answer, of a
//! request, of an event, or of a log.

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_http::client::{Client, ClientRequest, ClientSettings, Input, Output, Url};
use protocol_http::{
    ByteRanges, CookieOptions, Limits, Method, RequestDecoder, RequestWriter, ResponseDecoder,
    ResponseWriter, Status, Step, Version, parse_range,
};

/// What makes a line of its own, in every way that it has been smuggled in.
const EVIL: [&str; 12] = [
    "x\r\nSet-Cookie: evil=1",
    "x\nSet-Cookie: evil=1",
    "x\rSet-Cookie: evil=1",
    "x\r\n\r\n<script>",
    "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "x\r\n folded",
    "\r\n",
    "\0\r\n",
    "x\u{b}Set-Cookie: evil=1",
    "x\u{85}Set-Cookie: evil=1",
    // Cut to their low bytes, these letters are CR and LF.
    "x\u{560d}\u{560a}Set-Cookie: evil=1",
    "x\u{2028}Set-Cookie: evil=1",
];

/// The lines of a head, its first included.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    let lines = text.trim_end().split("\r\n").map(str::to_owned).collect::<Vec<_>>();
    let is_clean = |line: &String| !line.contains(['\r', '\n', '\0']);
    assert!(lines.iter().all(is_clean), "{lines:?}");
    lines
}

#[test]
fn answers_cannot_be_split() {
    for evil in EVIL {
        let mut out = Vec::new();
        ResponseWriter::with_reason(&mut out, Version::Http11, Status::FOUND, evil)
            .header("Location", evil)
            .header_tight("icy-name", evil)
            .content_length(0)
            .finish();
        let written = lines(&out);
        assert_eq!(written.len(), 4, "{evil:?}");
        let mut decoder = ResponseDecoder::new(Limits::default());
        let Ok(Step::Head { head, used }) = decoder.decode(&out) else { panic!("{evil:?}") };
        assert_eq!((head.headers.len(), used), (3, out.len()), "{evil:?}");
        assert!(head.headers.get("set-cookie").is_none(), "{evil:?}");

        let ranges = parse_range(b"bytes=0-1,4-5", 10_000);
        let mut parts = ByteRanges::new(1, evil, 10_000, &ranges).expect("two short ranges");
        let mut head = Vec::new();
        parts.next_part(evil, &mut head);
        assert_eq!(lines(&head).len(), 3, "{evil:?}");
    }
}

#[test]
fn requests_cannot_be_split() {
    for evil in EVIL {
        let mut out = Vec::new();
        RequestWriter::new(&mut out, Method::Get, &format!("/{evil} HTTP/1.1"), Version::Http11)
            .header("Host", evil)
            .header("User-Agent", evil)
            .finish();
        assert_eq!(lines(&out).len(), 3, "{evil:?}");
        assert_eq!(lines(&out)[0].split(' ').count(), 3, "{evil:?}");
        // A client does not blank it out but refuses it: the caller should know.
        let request = |url: &str| Url::parse(url).map(ClientRequest::get);
        assert!(request(&format!("http://h{evil}/")).is_none(), "{evil:?}");
        if let Some(request) = request(&format!("http://h/{evil}")) {
            assert!(!evil.bytes().any(|byte| byte.is_ascii_control()));
            let mut client = Client::new(ClientSettings::default());
            #[allow(clippy::disallowed_methods, reason = "any instant will do")]
            let now = std::time::Instant::now();
            client.request(now, request).expect("it is encoded");
            let Some(Output::Connect { connection, .. }) = client.poll() else { panic!() };
            client.handle(now, Input::Connected(connection));
            let Some(Output::Send { bytes, .. }) = client.poll() else { panic!() };
            assert_eq!(lines(&bytes).len(), 2, "{evil:?}");
        }
        let _ = CookieOptions::default().build("n", evil).expect_err(evil);
    }
}

/// Requests with bytes of all kinds where a client chooses them.
fn request_with_anything() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20)).prop_map(
        |(method, target, value)| {
            let start = if method.len() % 3 == 0 { b"GET".to_vec() } else { method };
            let target = [b"/".as_slice(), &target].concat();
            [
                &start[..],
                b" ",
                &target,
                b" HTTP/1.1\r\nHost: h\r\nUser-Agent: ",
                &value,
                b"\r\n\r\n",
            ]
            .concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A log line made of a head that was read has no control character but tabs in values, so it
    /// is one line; and what is refused is told in words of ours alone.
    #[test]
    fn what_is_logged_of_a_request_is_one_line(bytes in request_with_anything()) {
        let mut decoder = RequestDecoder::new(Limits::default());
        match decoder.decode(&bytes) {
            Ok(Step::Head { head, .. }) => {
                let host = head.host.unwrap_or_default();
                for word in [head.method.as_str(), head.target.raw(), host] {
                    prop_assert!(!word.bytes().any(|byte| byte.is_ascii_control()), "{word:?}");
                    prop_assert!(!word.contains(' '), "{word:?}");
                }
                for (name, value) in &head.headers {
                    let is_clean = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
                    prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert!(value.iter().all(is_clean), "{value:?}");
                }
                if let Ok(path) = head.target.decoded_path() {
                    prop_assert!(!path.chars().any(char::is_control), "{path:?}");
                }
            }
            Ok(_) => {}
            Err(refused) => {
                let text = refused.to_string();
                prop_assert!(text.is_ascii() && !text.contains(['\r', '\n']), "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_logged_of_an_answer_is_one_line(
        reason in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..20),
    ) {
        let bytes = [b"HTTP/1.1 200 ", &reason[..], b"\r\nServer: ", &value, b"\r\n\r\n"].concat();
        let mut decoder = ResponseDecoder::new(Limits::default());
        if let Ok(Step::Head { head, .. }) = decoder.decode(&bytes) {
            let is_clean = |byte: u8| !byte.is_ascii_control() || byte == b'\t';
            prop_assert!(head.reason.bytes().all(is_clean), "{:?}", head.reason);
            for (_, value) in &head.headers {
                prop_assert!(value.iter().copied().all(is_clean), "{value:?}");
            }
        }
    }
}
