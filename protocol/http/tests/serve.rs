//! The example over loopback, on the real ring: raw sockets, and another WebSocket's client.

mod root;
#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "its command line and the simulator's tests use the rest")]
mod serve;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use protocol_http::{Limits, Method, ResponseDecoder, Step};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for a byte.
const PATIENCE: Duration = Duration::from_secs(20);

const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
/// More than one send carries.
const LARGE_BYTES: usize = 1_000_000;

/// One server for all tests of this file; it ends with the process.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let files: [(&str, &[u8]); 6] = [
            ("text.txt", TEXT.as_bytes()),
            ("large.bin", &vec![b'x'; LARGE_BYTES]),
            ("folder/index.html", b"<p>here"),
            ("style.css", b"plain"),
            ("style.css.gz", b"gzip"),
            (".hidden", b"hidden"),
        ];
        let root = root::root("serve-root", &files);
        let _is_there_already = std::os::unix::fs::symlink("/etc/hostname", root.join("link"));
        let settings =
            serve::Settings { address: None, cores: Vec::new(), root: Some(root), tls: None };
        serve::start(&settings).unwrap().0
    })
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    keep_alive: bool,
}

impl Answer {
    fn line(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1).next()
    }
}

/// Reads answers to these methods, in order.
fn read(stream: &mut TcpStream, methods: &[Method<'_>]) -> Vec<Answer> {
    let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
    let mut decoder = ResponseDecoder::new(limits);
    let mut answers: Vec<Answer> = Vec::new();
    let mut unread = Vec::new();
    let mut buffer = [0; 16_384];
    let mut ends_count = 0;
    decoder.request_sent(methods[0]);
    while ends_count < methods.len() {
        let (used, needs) = match decoder.decode(&unread).expect("an answer") {
            Step::Need => (0, true),
            Step::Head { head, used } => {
                let (status, keep_alive) = (head.status.0, head.keep_alive);
                let head = String::from_utf8_lossy(&unread[..used]).into_owned();
                answers.push(Answer { status, head, body: Vec::new(), keep_alive });
                (used, false)
            }
            Step::Body { range, used } => {
                answers.last_mut().unwrap().body.extend_from_slice(&unread[range]);
                (used, false)
            }
            Step::End { used } => {
                if answers.last().unwrap().status == 100 {
                    answers.pop();
                } else {
                    ends_count += 1;
                    if let Some(method) = methods.get(ends_count) {
                        decoder.request_sent(*method);
                    }
                }
                (used, false)
            }
        };
        unread.drain(..used);
        if needs {
            let count = stream.read(&mut buffer).expect("an answer in time");
            assert!(count > 0, "ended after {answers:?}");
            unread.extend_from_slice(&buffer[..count]);
        }
    }
    assert_eq!(unread, b"", "nothing behind the answers");
    answers
}

fn ask(request: &str) -> Answer {
    let mut stream = connect();
    stream.write_all(request.as_bytes()).unwrap();
    let method = Method::from_token(request.split(' ').next().unwrap());
    read(&mut stream, &[method]).pop().unwrap()
}

fn get(path: &str, lines: &str) -> Answer {
    ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

fn assert_ended(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0, "the end"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_routes() {
    let hello = get("/", "");
    assert_eq!((hello.status, hello.body.len(), hello.keep_alive), (200, 13, true));
    assert!(protocol_http::parse_http_date(hello.line("Date").unwrap().as_bytes()).is_some());
    let empty = get("/empty", "");
    assert_eq!((empty.status, &*empty.body), (200, &b""[..]));
    assert_eq!(get("/no", "").status, 404);
    assert_eq!(get("/link", "").status, 404);
    assert_eq!(get("/%2e%2e/etc/passwd", "").status, 400);
    assert_eq!(get("/echo", "").status, 426);
    assert_eq!(get("/folder/", "").body, b"<p>here");
    let refused = ask("DELETE /empty HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((refused.status, refused.line("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    let options = ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((options.status, options.line("Content-Length")), (204, None));
    assert_eq!(ask("BREW / HTTP/1.1\r\nHost: h\r\n\r\n").status, 501);
    let head = ask("HEAD /text.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((head.status, head.line("Content-Length")), (200, Some("36")));
}

#[test]
fn bodies() {
    let length = |lines: &str| ask(&format!("POST /length HTTP/1.1\r\nHost: h\r\n{lines}"));
    assert_eq!(length("Content-Length: 5\r\n\r\nhello").body, b"5\n");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n8;x=y\r\n12345678\r\n0\r\n\r\n";
    assert_eq!(length(chunked).body, b"11\n");
    assert_eq!(length("\r\n").status, 411);
    assert_eq!(length("Content-Length: 9999999\r\n\r\n").status, 413);
    assert_eq!(length("Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi").body, b"2\n");
    let mirror = |lines: &str| ask(&format!("PUT / HTTP/1.1\r\nHost: h\r\n{lines}"));
    assert_eq!(mirror(chunked).body, b"abc12345678");
    assert_eq!(mirror("Content-Length: 0\r\n\r\n").body, b"");
    assert_eq!(mirror("Content-Length: 65537\r\n\r\n").status, 413);
    // Nobody wants this body: the client is not asked to send it.
    let expects = "HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let unwanted = ask(&format!("POST /empty {expects}"));
    assert_eq!((unwanted.status, unwanted.keep_alive), (405, false));
}

#[test]
fn refusals() {
    let long = "x".repeat(5000);
    let many = "A: b\r\n".repeat(70);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: h\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}{long}\r\n\r\n"), 431),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".into(), 501),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n".into(), 505),
    ] {
        let mut stream = connect();
        // What is right before it is still answered.
        let bytes = format!("GET /empty HTTP/1.1\r\nHost: h\r\n\r\n{request}");
        stream.write_all(bytes.as_bytes()).unwrap();
        let answers = read(&mut stream, &[Method::Get, Method::Get]);
        assert_eq!((answers[0].status, answers[1].status), (200, status), "{request:.80}");
        assert!(!answers[1].keep_alive);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_ended(&mut stream);
    }
}

#[test]
fn http_1_0_and_close() {
    let mut stream = connect();
    let kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    stream.write_all(format!("{kept}{kept}GET / HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let answers = read(&mut stream, &[Method::Get; 3]);
    assert_eq!(answers[1].line("Connection"), Some("keep-alive"));
    assert_eq!(answers[2].line("Connection"), Some("close"));
    assert_ended(&mut stream);
    let mut stream = connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    assert!(!read(&mut stream, &[Method::Get])[0].keep_alive);
    assert_ended(&mut stream);
    // Also behind what is more than one send.
    let mut stream = connect();
    stream.write_all(b"GET /large.bin HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream, &[Method::Get])[0].body.len(), LARGE_BYTES);
    assert_ended(&mut stream);
}

#[test]
fn a_thousand_pipelined_requests() {
    let mut stream = connect();
    let mut requests = String::new();
    for number in 0..1000 {
        let path = ["/", "/empty", "/text.txt", "/none"][number % 4];
        write!(requests, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    }
    stream.write_all(requests.as_bytes()).unwrap();
    let answers = read(&mut stream, &[Method::Get; 1000]);
    for (number, answer) in answers.iter().enumerate() {
        let expected = [(200, 13), (200, 0), (200, TEXT.len()), (404, 21)][number % 4];
        assert_eq!((answer.status, answer.body.len()), expected, "{number}");
    }
}

#[test]
fn a_client_that_does_not_read_is_held_back() {
    let mut stream = connect();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let request = b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";
    // It asks for far more than it could be sent, until the server takes no more of its questions.
    let block = request.repeat(1000);
    let mut written_bytes = 0;
    while written_bytes < 64 << 20 {
        match stream.write(&block[written_bytes % request.len()..]) {
            Ok(bytes) => written_bytes += bytes,
            Err(_) => break,
        }
    }
    assert!(written_bytes < 64 << 20, "nobody held it back");
    // Others are served meanwhile, and it is when it reads.
    assert_eq!(get("/", "").status, 200);
    let answers = read_some(&mut stream, 40);
    assert!(answers.iter().all(|answer| answer.body.len() == LARGE_BYTES));
}

/// Reads so many answers to `GET`, and lets the rest be.
fn read_some(stream: &mut TcpStream, count: usize) -> Vec<Answer> {
    let mut limited = Vec::new();
    let head_bytes = get("/large.bin", "").head.len();
    for _ in 0..count {
        let mut bytes = vec![0; head_bytes + LARGE_BYTES];
        stream.read_exact(&mut bytes).expect("an answer in time");
        let body = bytes.split_off(head_bytes);
        let head = String::from_utf8(bytes).expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        limited.push(Answer { status: 200, head, body, keep_alive: true });
    }
    limited
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let mut stream = connect();
    let requests = "GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3);
    stream.write_all(requests.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answers = read(&mut stream, &[Method::Get; 3]);
    assert!(answers.iter().all(|answer| answer.body.len() == LARGE_BYTES));
    assert_ended(&mut stream);
    // Half a request is none.
    let mut stream = connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_ended(&mut stream);
}

#[test]
fn byte_after_byte() {
    let mut stream = connect();
    let requests = "POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        GET /text.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=-1\r\n\r\n";
    for byte in requests.bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    let answers = read(&mut stream, &[Method::Post, Method::Get]);
    assert_eq!((&*answers[0].body, &*answers[1].body), (&b"3\n"[..], &b"z"[..]));
}

#[test]
fn conditions_and_ranges() {
    let whole = get("/text.txt", "");
    assert_eq!(whole.body, TEXT.as_bytes());
    let etag = whole.line("ETag").unwrap();
    let modified = whole.line("Last-Modified").unwrap();
    for lines in
        [format!("If-None-Match: \"x\", {etag}\r\n"), format!("If-Modified-Since: {modified}\r\n")]
    {
        let answer = get("/text.txt", &lines);
        assert_eq!((answer.status, answer.body.len(), answer.line("ETag")), (304, 0, Some(etag)));
    }
    assert_eq!(get("/text.txt", "If-Match: \"x\"\r\n").status, 412);
    let range = |value: &str, lines: &str| {
        let answer = get("/text.txt", &format!("Range: bytes={value}\r\n{lines}"));
        let range = answer.line("Content-Range").map(str::to_owned);
        (answer.status, String::from_utf8(answer.body).unwrap(), range)
    };
    let part = |body: &str, range: &str| (206, body.to_owned(), Some(range.to_owned()));
    assert_eq!(range("0-3", ""), part("0123", "bytes 0-3/36"));
    assert_eq!(range("34-", ""), part("yz", "bytes 34-35/36"));
    assert_eq!(range("-2", &format!("If-Range: {etag}\r\n")), part("yz", "bytes 34-35/36"));
    assert_eq!(range("-2", "If-Range: \"x\"\r\n"), (200, TEXT.to_owned(), None));
    assert_eq!(range("36-", ""), (416, String::new(), Some("bytes */36".to_owned())));
    assert_eq!(range("0-1,4-5", ""), (200, TEXT.to_owned(), None));
}

fn echo() -> WebSocket<TcpStream> {
    let url = format!("ws://{}/echo", address());
    tungstenite::client(url, connect()).expect("a WebSocket").0
}

#[test]
fn a_websocket_says_it_again() {
    let mut socket = echo();
    for length in [0, 1, 125, 126, 5000, 65_535, 65_536, 1 << 20] {
        for message in [Message::text("ä".repeat(length / 2)), Message::binary(vec![7; length])] {
            socket.send(message.clone()).unwrap();
            assert_eq!(socket.read().unwrap(), message);
        }
    }
    // Many at once come back in order.
    for number in 0..500 {
        socket.write(Message::text(number.to_string())).unwrap();
    }
    socket.flush().unwrap();
    for number in 0..500 {
        assert_eq!(socket.read().unwrap(), Message::text(number.to_string()));
    }
    socket.send(Message::Ping(b"there?".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"there?".as_slice().into()));
    socket.close(None).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(None));
    assert_ended(socket.get_mut());
}

#[test]
fn a_websocket_is_compressed_for_who_wants_it() {
    let mut stream = connect();
    let request = "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{head}");
    // RFC 7692 §7.2.3.1, with a mask of zeroes; short messages come back as they are.
    stream.write_all(b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0").unwrap();
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x05Hello");
    let mut long = b"\x81\xfe\x03\xe8\0\0\0\0".to_vec();
    long.resize(8 + 1000, b'x');
    stream.write_all(&long).unwrap();
    stream.read_exact(&mut frame[..2]).unwrap();
    assert_eq!(frame[0], 0xc1, "text, compressed");
    assert!(frame[1] < 100, "a thousand equal letters in {} bytes", frame[1]);
}

#[test]
fn a_websocket_that_breaks_the_rules() {
    // Fragments first, which are right; then text that is not.
    let wrong: [(&[u8], u16); 3] = [
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x81\x01x", 1002),
        (b"\x82\xff\0\0\0\x01\0\0\0\0\0\0\0\0", 1009),
    ];
    for (bytes, code) in wrong {
        let mut socket = echo();
        let stream = socket.get_mut();
        stream.write_all(b"\x01\x82\0\0\0\0\xe6\xb0\x89\x80\0\0\0\0\x80\x81\0\0\0\0\xb4").unwrap();
        stream.write_all(bytes).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong(b"".as_slice().into()));
        assert_eq!(socket.read().unwrap(), Message::text("水"));
        match socket.read().unwrap() {
            Message::Close(Some(close)) => assert_eq!(u16::from(close.code), code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_large_file_in_any_range() {
    let whole = get("/large.bin", "");
    assert_eq!((whole.status, whole.body.len()), (200, LARGE_BYTES));
    assert!(whole.body.iter().all(|byte| *byte == b'x'));
    let etag = whole.line("ETag").unwrap().to_owned();
    let range = get("/large.bin", &format!("Range: bytes=300000-899999\r\nIf-Range: {etag}\r\n"));
    assert_eq!((range.status, range.body.len()), (206, 600_000));
    assert_eq!(range.line("Content-Range"), Some("bytes 300000-899999/1000000"));
    let same = get("/large.bin", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((same.status, same.body.len()), (304, 0));
    let parts = get("/large.bin", "Range: bytes=0-9,500000-799999,-5\r\n");
    assert_eq!(parts.status, 206);
    assert!(parts.line("Content-Type").unwrap().starts_with("multipart/byteranges"));
    assert!(parts.body.len() > 300_015 && parts.body.len() < 301_000);
}

#[test]
fn large_files_one_behind_the_other() {
    let mut stream = connect();
    let request = "GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n\
        GET /text.txt HTTP/1.1\r\nHost: h\r\n\r\n\
        HEAD /large.bin HTTP/1.1\r\nHost: h\r\n\r\n\
        GET /no.txt HTTP/1.1\r\nHost: h\r\n\r\n\
        GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let methods = [Method::Get, Method::Get, Method::Head, Method::Get, Method::Get];
    let answers = read(&mut stream, &methods);
    let lengths: Vec<_> = answers.iter().map(|answer| (answer.status, answer.body.len())).collect();
    let large = (200, LARGE_BYTES);
    assert_eq!(lengths, [large, (200, TEXT.len()), (200, 0), (404, 21), large]);
}

#[test]
fn a_variant_for_who_can_read_it() {
    let plain = get("/style.css", "");
    assert_eq!((&*plain.body, plain.line("Content-Encoding")), (&b"plain"[..], None));
    assert_eq!(plain.line("Vary"), Some("Accept-Encoding"));
    let gzip = get("/style.css", "Accept-Encoding: br, gzip\r\n");
    assert_eq!((&*gzip.body, gzip.line("Content-Encoding")), (&b"gzip"[..], Some("gzip")));
    assert_eq!(gzip.line("Content-Type"), Some("text/css; charset=utf-8"));
    assert_ne!(gzip.line("ETag"), plain.line("ETag"));
    assert_eq!(get("/text.txt", "Accept-Encoding: gzip\r\n").line("Vary"), None);
}

#[test]
fn what_is_not_under_the_root_or_hidden() {
    for path in [
        "/link",
        "/.hidden",
        "/%2ehidden",
        "/folder/%2e%2e/text.txt",
        "/..%2ftext.txt",
        "/text.txt%00",
        "/folder%5cindex.html",
        "/%252e%252e/text.txt",
        "//etc/hostname",
        "/folder",
    ] {
        let answer = get(path, "");
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.head);
    }
}
