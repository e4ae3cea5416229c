//! Directories on disk, served beside mounts: asked for with curl and by hand.

use std::fs;
use std::time::Duration;

use crate::harness::{
    Listener, Reply, Server, Setup, Source, exchange, have, request, run_to_end, wait_for,
};

/// How long a peer may take for what it does at once.
const SOON: Duration = Duration::from_secs(30);
/// More than several sends carry.
const LARGE_BYTES: usize = 3_000_000;

/// A server with a directory.
fn start() -> Server {
    let toml = "[[files]]\nprefix = \"/media/\"\ndirectory = \"{dir}/media\"\n\
                [[files]]\nprefix = \"/media/bare/\"\ndirectory = \"{dir}/bare\"\nindex = \"\"\n";
    let setup = Setup { toml: toml.to_owned(), ..Setup::default() };
    // The folder is the server's own: what is served is there before it starts.
    Server::start_prepared(&setup, |folder| {
        for directory in ["media/sub", "media/empty", "bare"] {
            fs::create_dir_all(folder.join(directory)).expect("a folder");
        }
        let large: Vec<u8> = (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect();
        for (name, bytes) in [
            ("media/index.html", &b"<p>here"[..]),
            ("media/sub/index.html", b"<p>below"),
            ("media/text.txt", b"0123456789"),
            ("media/style.css", b"plain"),
            ("media/style.css.gz", b"gzip"),
            ("media/style.css.br", b"brotli"),
            ("media/.hidden", b"hidden"),
            ("media/live.mp3", b"a file"),
            ("media/large.bin", &large),
            ("bare/index.html", b"<p>not asked for"),
            ("secret", b"secret"),
        ] {
            fs::write(folder.join(name), bytes).expect("a file");
        }
        std::os::unix::fs::symlink("../secret", folder.join("media/out")).expect("a link");
        std::os::unix::fs::symlink("text.txt", folder.join("media/in")).expect("a link");
    })
}

/// What curl says: status, head and body.
fn curl(server: &Server, path: &str, options: &[&str]) -> (u16, String, Vec<u8>) {
    let url = server.url(path);
    let fixed = ["-sS", "-i", "--path-as-is", "--max-time", "20", &url];
    let output = run_to_end("curl", &[&fixed[..], options].concat(), SOON);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let reply = Reply::parse(&output.stdout);
    (reply.status, reply.head.to_ascii_lowercase(), reply.body)
}

#[test]
fn curl_gets_files_with_ranges_conditions_and_variants() {
    if !have(&["curl"]) {
        return;
    }
    let server = start();
    let (status, head, body) = curl(&server, "/media/text.txt", &[]);
    assert_eq!((status, &*body), (200, &b"0123456789"[..]));
    assert!(head.contains("content-type: text/plain") && head.contains("accept-ranges: bytes"));
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let (status, head, body) = curl(&server, "/media/text.txt", &["-r", "2-4"]);
    assert_eq!((status, &*body), (206, &b"234"[..]));
    assert!(head.contains("content-range: bytes 2-4/10"));
    assert_eq!(curl(&server, "/media/text.txt", &["-r", "20-"]).0, 416);
    let condition = format!("If-None-Match: {etag}");
    let (status, _, body) = curl(&server, "/media/text.txt", &["-H", &condition]);
    assert_eq!((status, body.len()), (304, 0));
    assert_eq!(curl(&server, "/media/text.txt", &["-H", "If-Match: \"x\""]).0, 412);
    let (status, head, body) = curl(&server, "/media/text.txt", &["-I"]);
    assert!(status == 200 && head.contains("content-length: 10") && body.is_empty());
    for (wish, coding, body) in [("gzip", "gzip", "gzip"), ("br, gzip", "br", "brotli")] {
        let wish = format!("Accept-Encoding: {wish}");
        let (_, head, got) = curl(&server, "/media/style.css", &["-H", &wish]);
        assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{head}");
        assert!(head.contains("vary: accept-encoding") && head.contains("text/css"), "{head}");
        assert_eq!(got, body.as_bytes());
    }
    let (_, _, body) = curl(&server, "/media/large.bin", &[]);
    let is_right = |(at, byte): (usize, &u8)| *byte == (at % 251) as u8;
    assert!(body.len() == LARGE_BYTES && body.iter().enumerate().all(is_right));
    let (status, _, body) = curl(&server, "/media/large.bin", &["-r", "1000000-2499999"]);
    assert_eq!((status, body.len(), body[0]), (206, 1_500_000, (1_000_000 % 251) as u8));
    let (status, head, body) = curl(&server, "/media/large.bin", &["-r", "0-9,2000000-2999999"]);
    assert!(status == 206 && head.contains("multipart/byteranges"), "{head}");
    assert!(body.len() > 1_000_010 && body.len() < 1_000_600);
    // On one connection, one behind the other.
    let urls = [server.url("/media/text.txt"), server.url("/media/large.bin")];
    let args = ["-sS", "-v", &urls[0], &urls[1], &urls[0]];
    let output = run_to_end("curl", &args, SOON);
    assert_eq!(output.stdout.len(), 10 + LARGE_BYTES + 10);
    let told = String::from_utf8_lossy(&output.stderr).to_ascii_lowercase();
    assert_eq!(told.matches("re-using existing").count(), 2, "{told}");
    wait_for("files are counted", || {
        server.metric("skywave_files_sent_total").is_some_and(|count| count >= 13.0)
    });
}

#[test]
fn directories_and_what_is_not_served() {
    if !have(&["curl"]) {
        return;
    }
    let server = start();
    assert_eq!(curl(&server, "/media/", &[]).2, b"<p>here");
    assert_eq!(curl(&server, "/media/sub/", &[]).2, b"<p>below");
    assert_eq!(curl(&server, "/media/in", &[]).2, b"0123456789");
    for (path, to) in [("/media", "/media/"), ("/media/sub", "/media/sub/")] {
        let (status, head, _) = curl(&server, path, &[]);
        assert!(status == 301 && head.contains(&format!("location: {to}\r\n")), "{head}");
    }
    for path in [
        "/media/none",
        "/media/empty/",
        "/media/out",
        "/media/.hidden",
        "/media/%2ehidden",
        "/media/../secret",
        "/media/%2e%2e/secret",
        "/media/sub/%2e%2e/%2e%2e/secret",
        "/media/..%2fsecret",
        "/media/text.txt%00",
        "/media/sub%5cindex.html",
        "/media/bare/",
        "/media//text.txt",
    ] {
        let (status, _, body) = curl(&server, path, &[]);
        assert!([400, 404].contains(&status), "{path}: {status}");
        assert!(body != b"secret" && body != b"hidden", "{path}");
    }
    let (status, head, _) = curl(&server, "/media/text.txt", &["-X", "POST", "-d", "x"]);
    assert!(status == 405 && head.contains("allow: get, head, options"), "{head}");
    // No file hides a mount of its name.
    assert_eq!(curl(&server, "/media/live.mp3", &[]).2, b"a file");
    let _source = Source::tape(server.address, "/media/live.mp3", 1, 1.0);
    wait_for("the mount is up", || server.mount_status("/media/live.mp3").is_some());
    let mut listener = Listener::open(server.address, "/media/live.mp3", &[]);
    assert_eq!(listener.reply.header("Content-Type"), Some("audio/mpeg"));
    assert_eq!(listener.read_exact(1000).len(), 1000);
}

#[test]
fn a_file_that_is_changed_while_it_is_sent_ends_before_its_length() {
    let server = start();
    let path = server.folder.path().join("media/growing.bin");
    // More than the kernels take before anybody reads.
    fs::write(&path, vec![7; 64 << 20]).expect("a file");
    let asked = request("GET", "/media/growing.bin", &[]);
    let mut client = Listener::send(server.address, asked.as_bytes());
    assert_eq!(client.reply.header("Content-Length"), Some("67108864"));
    fs::write(&path, b"another").expect("a file");
    assert!(client.closes_within_ms(20_000), "it cannot go on");
    wait_for("it is counted", || {
        server.metric("skywave_files_broken_total").is_some_and(|count| count >= 1.0)
    });
    let fresh = exchange(server.address, asked.as_bytes());
    assert!(fresh.ends_with(b"another"));
}
