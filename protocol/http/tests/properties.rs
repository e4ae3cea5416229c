//! What holds for any bytes: no panic, no standing still, the same outcome however they are cut,
//! and no reading that differs from httparse's.

mod walk;

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_http::{
    Limits, Query, RequestDecoder, ResponseWriter, Status, Step, Version, parse_http_date,
    parse_range, write_chunk_head,
};
use walk::{Event, requests, responses};

/// Pieces of requests, most of them right, in any order: close enough to real ones that many get
/// through, and wrong in every way that a stranger can think of.
fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a?b=c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "PUT /m HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n", "0\r\n\r\n", "0\r\nA: b\r\n\r\n", "a;x=y\r\n0123456789\r\n",
        ]),
        2 => prop::sample::select(vec![
            "GET ", "SOURCE ", "/m", " HTTP/1.1\r\n", " ICE/1.0\r\n", "Host: h\r\n", "X:y\r\n",
            "Expect: 100-continue\r\n", "Content-Length: 3\r\n", "\r\n", "\n", "\r", ":", " ", "\t",
            "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "HTTP/1.1 200 OK\r\n",
            "ICY 200 OK\r\n", "\0", "é",
        ]),
    ];
    let pieces = vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    (pieces, vec((any::<prop::sample::Index>(), any::<u8>()), 0..2)).prop_map(
        |(mut bytes, changes)| {
            for (index, byte) in changes {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

fn small_limits() -> Limits {
    Limits {
        head_bytes_max: 90,
        target_bytes_max: 20,
        headers_count_max: 3,
        body_bytes_max: 20,
        chunk_line_bytes_max: 6,
        trailer_bytes_max: 8,
        requests_count_max: 3,
        host_required: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cuts_do_not_matter(bytes in request_like(), cuts in vec(1_usize..20, 0..40)) {
        for limits in [Limits::default(), small_limits()] {
            let whole = requests(limits.clone(), &bytes, &[]);
            prop_assert_eq!(&requests(limits.clone(), &bytes, &cuts), &whole);
            prop_assert_eq!(&requests(limits.clone(), &bytes, &vec![1; bytes.len()]), &whole);
            let whole = responses(limits.clone(), &bytes, &[]);
            prop_assert_eq!(&responses(limits.clone(), &bytes, &cuts), &whole);
            prop_assert_eq!(&responses(limits, &bytes, &vec![1; bytes.len()]), &whole);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in vec(any::<u8>(), 0..200), cuts in vec(1_usize..20, 0..20)) {
        let whole = requests(Limits::default(), &bytes, &[]);
        prop_assert_eq!(requests(Limits::default(), &bytes, &cuts), whole);
        responses(Limits::default(), &bytes, &cuts);
        Query::new(&bytes).iter().count();
        parse_range(&bytes, 1000);
        parse_http_date(&bytes);
    }

    /// Where we see a head, httparse sees the same one: stricter, never different.
    #[test]
    fn heads_as_httparse_reads_them(bytes in request_like()) {
        let mut decoder = RequestDecoder::new(Limits::default());
        if let Ok(Step::Head { head, used }) = decoder.decode(&bytes)
            && head.version != Version::Ice10
        {
            let mut slots = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut slots);
            prop_assert_eq!(request.parse(&bytes), Ok(httparse::Status::Complete(used)));
            prop_assert_eq!(request.method, Some(head.method.as_str()));
            prop_assert_eq!(request.path, Some(head.target.raw()));
            let theirs = request.headers.iter().map(|line| (line.name, line.value));
            let theirs: Vec<_> = theirs.collect();
            prop_assert_eq!(head.headers.iter().collect::<Vec<_>>(), theirs);
        }
    }

    /// And a well-formed head that httparse takes, we take.
    #[test]
    fn well_formed_heads_are_taken(
        method in "[A-Z]{1,10}",
        path in "/[!-~&&[^#]]{0,40}",
        lines in vec(("X-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,12}", "([!-~][ -~]{0,20}[!-~])?"), 0..12),
    ) {
        prop_assume!(method != "CONNECT");
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n");
        for (name, value) in &lines {
            text.push_str(&format!("{name}: {value} \r\n"));
        }
        text.push_str("\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        let Ok(Step::Head { head, used }) = decoder.decode(text.as_bytes()) else {
            return Err(TestCaseError::fail(text));
        };
        prop_assert_eq!(used, text.len());
        prop_assert_eq!(head.target.raw(), path);
        let read: Vec<_> = head.headers.iter().skip(1).collect();
        let written: Vec<_> =
            lines.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn chunks_come_back(
        payloads in vec(vec(any::<u8>(), 1..60), 0..10),
        cuts in vec(1_usize..30, 0..40),
    ) {
        let mut bytes = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for payload in &payloads {
            write_chunk_head(payload.len(), &mut bytes);
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(protocol_http::LAST_CHUNK);
        let events = requests(Limits::default(), &bytes, &cuts);
        let body: Vec<u8> = events
            .iter()
            .filter_map(|event| match event {
                Event::Body(body) => Some(body.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        prop_assert_eq!(body, payloads.concat());
        prop_assert_eq!(events.last(), Some(&Event::End));
    }

    /// Whatever a value holds, the head has the lines that were written and no more.
    #[test]
    fn written_values_cannot_split(values in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let mut out = Vec::new();
        let mut writer = ResponseWriter::new(&mut out, Version::Http11, Status::OK);
        for value in &values {
            writer.header("X-Value", value);
        }
        writer.content_length(0).finish();
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut slots);
        prop_assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(response.headers.len(), values.len() + 1);
    }

    #[test]
    fn decoded_paths_stay_below_their_root(path in "/(\\.|%2e|%2E|/|%2f|a|%5c|\\\\|%00|%25){0,8}") {
        let text = format!("GET {path} HTTP/1.0\r\n\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
            return Err(TestCaseError::fail(text));
        };
        if let Ok(decoded) = head.target.decoded_path() {
            prop_assert!(decoded.split('/').all(|segment| segment != ".."));
            prop_assert!(!decoded.contains(['\\', '\0']));
        }
    }
}
