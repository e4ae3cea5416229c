//! The example server and the programs that people use with one: curl, ab, wrk, Python's
//! `http.client`, HTTP/1.0 clients, and Chromium.

#[path = "peers/programs.rs"]
mod programs;
mod root;
#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "its command line and other tests use the rest")]
mod serve;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use programs::{have, run, run_with, shown_by_chromium};
use protocol_http::{MultipartDecoder, MultipartLimits, MultipartStep};

const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const LARGE_BYTES: usize = 3_000_000;

/// A page that asks for a range of a file and posts a form, and shows what came of it.
const PAGE: &str = "<!DOCTYPE html><title>t</title><pre id=range></pre><pre id=form></pre><script>\n\
    async function go() {\n\
      const range = await fetch('/text.txt', {headers: {Range: 'bytes=10-15'}});\n\
      const again = await fetch('/text.txt');\n\
      document.getElementById('range').textContent =\n\
        `[${range.status} ${await range.text()} ${(await again.text()).length}]`;\n\
      const form = new FormData();\n\
      form.append('na\"me', 'first\\nsecond');\n\
      const bits = new Uint8Array([13, 10, 45, 45, 0, 255]);\n\
      form.append('file', new File([bits], '../p\\u00e9.bin'));\n\
      const echo = await fetch('/', {method: 'POST', body: form});\n\
      const bytes = new Uint8Array(await echo.arrayBuffer());\n\
      document.getElementById('form').textContent =\n\
        `[${Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('')}]`;\n\
    }\n\
    go();\n\
    </script>\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers-{}", std::process::id()))
}

/// One server for all tests of this process; it ends with it.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&files.0, made.cert.pem()).unwrap();
        std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
        let served: [(&str, &[u8]); 3] = [
            ("text.txt", TEXT.as_bytes()),
            ("large.bin", &vec![b'x'; LARGE_BYTES]),
            ("page.html", PAGE.as_bytes()),
        ];
        let settings = serve::Settings {
            address: None,
            cores: Vec::new(),
            root: Some(root::root("peers-root", &served)),
            tls: Some(files),
        };
        let address = serve::start(&settings).unwrap().0;
        // The certificate was read at the start.
        std::fs::remove_dir_all(folder).unwrap();
        address
    })
}

fn url(path: &str) -> String {
    format!("http://{}{path}", address())
}

/// The form in a body: (name, file name, payload) of each part.
fn read_form(body: &[u8]) -> Vec<(String, Option<String>, Vec<u8>)> {
    let boundary = body[2..].split(|byte| *byte == b'\r').next().expect("a first line");
    let boundary = std::str::from_utf8(boundary).unwrap();
    let mut decoder = MultipartDecoder::new(boundary, MultipartLimits::default()).unwrap();
    let mut fields: Vec<(String, Option<String>, Vec<u8>)> = Vec::new();
    let mut unread = body;
    loop {
        let used = match decoder.decode(unread).unwrap() {
            MultipartStep::Need => break,
            MultipartStep::Part { part, used } => {
                let file = part.file_name.map(|name| name.into_owned());
                fields.push((part.name.into_owned(), file, Vec::new()));
                used
            }
            MultipartStep::Data { range, used } => {
                fields.last_mut().unwrap().2.extend_from_slice(&unread[range]);
                used
            }
            MultipartStep::PartEnd { used } | MultipartStep::End { used } => used,
        };
        unread = &unread[used..];
    }
    decoder.finish().unwrap();
    fields
}

#[test]
fn curl_reads_over_tls_on_the_same_port() {
    if !have("curl", "curl") {
        return;
    }
    let secure = |path: &str| url(path).replace("http:", "https:");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let (text, hello) = (secure("/text.txt"), secure("/"));
        let args = [&["-sSfk", text.as_str(), hello.as_str()][..], version].concat();
        assert_eq!(run("curl", &args), format!("{TEXT}Hello, world!"));
    }
    // More than one send carries, and an end that the length does not tell.
    assert_eq!(run("curl", &["-sSfk", &secure("/large.bin")]).len(), LARGE_BYTES);
    let closing = ["-sSfk", "-H", "Connection: close", &secure("/text.txt")];
    assert_eq!(run("curl", &closing), TEXT);
    assert_eq!(run("curl", &["-sSfk", "--http1.0", &secure("/text.txt")]), TEXT);
    let refused = ["-sSk", "-X", "BREW", "-w", " %{http_code}", &secure("/")];
    assert!(run("curl", &refused).ends_with(" 501"));
}

#[test]
fn curl_reads() {
    if !have("curl", "curl") {
        return;
    }
    assert_eq!(run("curl", &["-sSf", &url("/")]), "Hello, world!");
    assert_eq!(run("curl", &["-sSf", "--http1.0", &url("/text.txt")]), TEXT);
    assert_eq!(run("curl", &["-sSf", "-r", "-6", &url("/text.txt")]), "uvwxyz");
    // Two ranges come in parts, where those are shorter than the whole; else the whole comes.
    let parts = run("curl", &["-sSf", "-r", "0-3,-2", &url("/large.bin")]);
    let lines: Vec<_> = parts.lines().filter(|line| line.starts_with("Content-Range: ")).collect();
    let first = "Content-Range: bytes 0-3/3000000";
    assert_eq!(lines, [first, "Content-Range: bytes 2999998-2999999/3000000"], "{parts}");
    assert!(parts.lines().any(|line| line == "xxxx") && parts.ends_with("--\r\n"), "{parts}");
    assert_eq!(run("curl", &["-sSf", "-r", "0-3,6-7", &url("/text.txt")]), TEXT);
    let head = run("curl", &["-sSfI", &url("/text.txt")]);
    assert!(head.contains("Content-Length: 36\r\n") && head.contains("Accept-Ranges: bytes\r\n"));
    let large =
        run("curl", &["-sSf", "-o", "/dev/null", "-w", "%{size_download}", &url("/large.bin")]);
    assert_eq!(large, LARGE_BYTES.to_string());
    // Three requests, one connection.
    let (one, two) = (url("/"), url("/text.txt"));
    let made = run("curl", &["-sSf", "-w", "\n%{num_connects}\n", &one, &two, &one]);
    let connects: Vec<_> = made.lines().filter(|line| ["0", "1"].contains(line)).collect();
    assert_eq!(connects, ["1", "0", "0"], "{made}");
    // A condition that holds, and a redirect target that does not exist.
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an entity tag");
    let line = format!("If-None-Match: {etag}");
    let status = ["-sS", "-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(run("curl", &[&status[..], &["-H", &line, &two]].concat()), "304");
    assert_eq!(run("curl", &[&status[..], &["--path-as-is", &url("/../x")]].concat()), "400");
    assert_eq!(run("curl", &[&status[..], &["-X", "OPTIONS", &two]].concat()), "204");
}

#[test]
fn curl_sends() {
    if !have("curl", "curl") {
        return;
    }
    let body = vec![b'b'; 60_000];
    for lines in [
        &["-H", "Expect: 100-continue"][..],
        &["-H", "Transfer-Encoding: chunked"],
        &["-H", "Expect:"],
    ] {
        let target = url("/");
        let arguments = [&["-sSf", "--data-binary", "@-"][..], lines, &[&target]].concat();
        let output = run_with("curl", &arguments, &body);
        assert!(output.status.success() && output.stdout == body, "{lines:?}");
    }
    let target = url("/length");
    let arguments = ["-sSf", "-T", "-", &target];
    assert_eq!(run_with("curl", &arguments, &vec![b'x'; 900_000]).stdout, b"900000\n");
    // A form as curl makes it, read by our decoder.
    let target = url("/");
    let file = "file=@-;filename=a\"b\\c.txt;type=text/plain";
    let arguments = ["-sSf", "-F", "name=value; x", "-F", file, &target];
    let fields = read_form(&run_with("curl", &arguments, b"\r\n--\r\n").stdout);
    assert_eq!(fields[0], ("name".into(), None, b"value".to_vec()));
    assert_eq!((fields[1].0.as_str(), &*fields[1].2), ("file", &b"\r\n--\r\n"[..]));
}

#[test]
fn ab_which_speaks_http_1_0() {
    if !have("ab", "apache2-utils") {
        return;
    }
    for options in [&["-k"][..], &[]] {
        let target = url("/");
        let told = run("ab", &[&["-q", "-n", "500", "-c", "10"][..], options, &[&target]].concat());
        let number = |name: &str| {
            let line = told.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().find_map(|word| word.parse::<u64>().ok())
        };
        assert_eq!((number("Complete requests"), number("Failed requests")), (Some(500), Some(0)));
        assert_eq!(number("Non-2xx responses"), None, "{told}");
        let kept = number("Keep-Alive requests");
        assert_eq!(kept, (!options.is_empty()).then_some(500), "{told}");
    }
}

#[test]
fn wrk() {
    if !have("wrk", "wrk") {
        return;
    }
    let told = run("wrk", &["-t", "1", "-c", "20", "-d", "1", &url("/text.txt")]);
    assert!(!told.contains("Socket errors") && !told.contains("Non-2xx"), "{told}");
    let line = told.lines().find(|line| line.contains("requests in")).expect("a sum");
    let count = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 0), "{told}");
}

#[test]
fn pythons_http_client() {
    if !have("python3", "python3") {
        return;
    }
    let script = r#"
import http.client, sys
host, port = sys.argv[1].split(":")
for version, text in ((11, "HTTP/1.1"), (10, "HTTP/1.0")):
    http.client.HTTPConnection._http_vsn = version
    http.client.HTTPConnection._http_vsn_str = text
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    def ask(method, path, *rest, **more):
        connection.request(method, path, *rest, **more)
        answer = connection.getresponse()
        return answer.status, answer.read()
    assert ask("GET", "/") == (200, b"Hello, world!")
    first = connection.sock
    assert ask("HEAD", "/text.txt") == (200, b"")
    assert ask("GET", "/none")[0] == 404
    assert ask("POST", "/", b"x" * 1000) == (200, b"x" * 1000)
    assert ask("DELETE", "/")[0] == 405
    assert version == 10 or connection.sock is first, "one connection"
    if version == 11:
        pieces = iter([b"ab", b"cde", b"f" * 5000])
        lines = {"Transfer-Encoding": "chunked"}
        assert ask("PUT", "/length", pieces, lines, encode_chunked=True) == (200, b"5005\n")
    assert len(ask("GET", "/large.bin")[1]) == 3000000
print("fine")
"#;
    assert_eq!(run("python3", &["-c", script, &address().to_string()]), "fine\n");
}

#[test]
fn an_old_client_that_knows_no_host() {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nHello, world!"));
    assert!(
        answer.contains("\r\nConnection: close\r\n") && !answer.contains("chunked"),
        "{answer}"
    );
}

#[test]
fn chromium_loads_a_page() {
    if !have("chromium", "chromium") {
        return;
    }
    let profile = folder().with_extension("profile");
    let shown = shown_by_chromium(&url("/page.html"), &profile, &[]);
    assert!(shown.contains(">[206 abcdef 36]<"), "{shown}");
    let hex = shown.split("id=\"form\">[").nth(1).and_then(|rest| rest.split(']').next());
    let pairs = hex.expect("the posted form").as_bytes().chunks(2);
    let body: Vec<u8> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let fields = read_form(&body);
    assert_eq!(fields[0], ("na\"me".into(), None, b"first\r\nsecond".to_vec()));
    let (name, file, payload) = &fields[1];
    assert_eq!((name.as_str(), payload.as_slice()), ("file", &b"\r\n--\0\xff"[..]));
    let safe = protocol_http::safe_file_name(file.as_deref().unwrap());
    assert_eq!(safe.as_deref(), Some("p\u{e9}.bin"));
}
