//! Players that people have, and the dialects of a request for a stream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::harness::{
    Listener, PATIENCE, Reply, Server, Source, exchange, have, media, peer, rest_ms, run_to_end,
    runs_of, wait_for,
};

fn tape_server() -> (Server, Source) {
    let server = Server::start("");
    let source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    rest_ms(1_000);
    (server, source)
}

/// A server that plays a tone for real players, a while into it.
fn tone_server() -> Option<(Server, Source)> {
    let tone = media("tone.mp3")?;
    let server = Server::start("");
    let source = Source::connect(server.address, "/live.mp3");
    let source = source.play_file(tone.bytes, tone.bytes_per_second * 2);
    rest_ms(1_500);
    Some((server, source))
}

#[test]
fn a_listener_starts_at_a_frame_with_a_burst_and_hears_no_gap() {
    let (server, _source) = tape_server();
    for head in [
        "GET /live.mp3 HTTP/1.0\r\n\r\n",
        "GET /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /live.mp3?who=cares HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
        "GET /live%2Emp3 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /live.mp3 HTTP/1.0\r\nUser-Agent: old radio\r\nIcy-MetaData:0\r\n\r\n",
    ] {
        let mut listener = Listener::send(server.address, head.as_bytes());
        let reply = &listener.reply;
        assert!(reply.head.starts_with("HTTP/1.0 200 OK\r\n"), "{head:?}: {}", reply.head);
        assert_eq!(reply.header("content-type"), Some("audio/mpeg"));
        assert!(
            reply.header("transfer-encoding").is_none() && reply.header("content-length").is_none()
        );
        assert!(reply.header("icy-metaint").is_none());
        let runs = runs_of(&listener.read_exact(417 * 150));
        assert_eq!(runs.len(), 1, "{head:?}: {runs:?}");
    }
}

#[test]
fn the_head_of_a_stream_is_icecasts_line_by_line() {
    let server = Server::start("");
    let _source = Source::attempt(
        server.address,
        "/live.mp3",
        &[
            "Content-Type: audio/mpeg",
            "Ice-Name: N1",
            "Ice-Description: D1",
            "Ice-Genre: G1",
            "Ice-URL: http://u/",
            "Ice-Public: 1",
        ],
    )
    .expect("accepted")
    .play_tape(1, 4.0);
    let listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
    let names: Vec<&str> = listener
        .reply
        .head
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let expected = [
        "Server",
        "Connection",
        "Date",
        "Content-Type",
        "Cache-Control",
        "Expires",
        "Pragma",
        "Access-Control-Allow-Origin",
        "icy-description",
        "icy-genre",
        "icy-name",
        "icy-pub",
        "icy-url",
        "icy-metaint",
    ];
    assert_eq!(names, expected, "{}", listener.reply.head);
    assert!(listener.reply.head.contains("\r\nicy-name:N1\r\n"), "no blank after the colon");
}

#[test]
fn a_range_of_a_live_stream_is_the_stream() {
    let (server, _source) = tape_server();
    for range in ["bytes=0-", "bytes=1000-", "bytes=0-1023", "nonsense"] {
        let line = format!("Range: {range}");
        let mut listener = Listener::open(server.address, "/live.mp3", &[&line]);
        assert_eq!(listener.reply.status, 200, "{range}");
        assert!(listener.reply.header("content-range").is_none());
        assert!(listener.reply.header("accept-ranges").is_none());
        assert_eq!(runs_of(&listener.read_exact(417 * 20)).len(), 1);
    }
}

#[test]
fn head_of_a_stream_is_its_head_alone() {
    let (server, _source) = tape_server();
    let answer = exchange(server.address, b"HEAD /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = Reply::parse(&answer);
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-type"), Some("audio/mpeg"));
    let answer = exchange(server.address, b"HEAD /none.mp3 HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = Reply::parse(&answer);
    assert_eq!((reply.status, reply.body.len()), (404, 0));
}

#[test]
fn options_is_answered_and_a_preflight_lets_titles_through() {
    let (server, _source) = tape_server();
    let plain = Reply::parse(&exchange(server.address, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(plain.status, 204, "{}", plain.head);
    assert!(plain.header("allow").is_none(), "libshout reads it and changes its ways");
    let preflight = b"OPTIONS /live.mp3 HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n\
                      Access-Control-Request-Method: GET\r\n\
                      Access-Control-Request-Headers: icy-metadata\r\n\r\n";
    let reply = Reply::parse(&exchange(server.address, preflight));
    assert!(matches!(reply.status, 200 | 204), "{}", reply.head);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let methods = reply.header("access-control-allow-methods").unwrap_or_default();
    assert!(methods.contains("GET"), "{}", reply.head);
    let headers = reply.header("access-control-allow-headers").unwrap_or_default();
    assert!(headers.to_ascii_lowercase().contains("icy-metadata"), "{}", reply.head);
}

#[test]
fn a_mount_that_nobody_feeds_is_not_found() {
    let server = Server::start("[[mount]]\nname = \"/configured.mp3\"\n");
    for path in ["/none.mp3", "/configured.mp3"] {
        let reply = server.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("The file you requested could not be found"));
    }
}

#[test]
fn ffmpeg_listens_with_titles() {
    let Some((server, _source)) = tone_server() else { return };
    crate::harness::decodes_for(&server, "/live.mp3", "3", &["-icy", "1"]);
}

#[test]
fn curl_listens() {
    let Some((server, _source)) = tone_server() else { return };
    if !have(&["curl"]) {
        return;
    }
    let url = server.url("/live.mp3");
    for version in ["--http1.0", "--http1.1"] {
        let output = run_to_end("curl", &["-sS", version, "-m", "2", &url], PATIENCE);
        assert_eq!(output.status.code(), Some(28), "it goes on until curl's time is up");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("timed out"), "{complaint}");
        assert!(output.stdout.len() > 48_000, "{} bytes in two seconds", output.stdout.len());
        assert_eq!(output.stdout[0], 0xff, "from a frame");
        assert_eq!(output.stdout[1] & 0xe0, 0xe0, "from a frame");
    }
}

#[test]
fn mpv_listens() {
    let Some((server, _source)) = tone_server() else { return };
    if !have(&["mpv"]) {
        return;
    }
    let url = server.url("/live.mp3");
    let args = [
        "--no-config",
        "--no-video",
        "--ao=null",
        "--length=2",
        "--msg-level=all=warn",
        "--ytdl=no",
        &url,
    ];
    let output = run_to_end("mpv", &args, 2 * PATIENCE);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    let lower = said.to_ascii_lowercase();
    assert!(!lower.contains("error") && !lower.contains("failed"), "{said}");
}

/// A page that plays the stream and fetches it, and tells what it sees to where it came from.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><audio id="a" src="STREAM"></audio><script>
const tell = text => fetch("/told?" + encodeURIComponent(text));
const audio = document.getElementById("a");
audio.addEventListener("error", () => tell("error " + audio.error.message));
audio.addEventListener("timeupdate", () => { if (audio.currentTime > 1.5) tell("played"); });
audio.play().catch(error => tell("refused " + error));
fetch("STREAM", { headers: { "Icy-MetaData": "1" } }).then(async answer => {
  const { value } = await answer.body.getReader().read();
  tell(answer.status === 200 && value.length > 0 ? "fetched" : "no stream");
}).catch(error => tell("fetch: " + error));
</script>"#;

/// Serves the page, and keeps what it tells.
fn page_server(stream: String) -> (u16, Arc<Mutex<Vec<String>>>) {
    let acceptor = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = acceptor.local_addr().expect("an address").port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    std::thread::spawn(move || {
        for connection in acceptor.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut line = String::new();
            let mut reader = BufReader::new(&mut connection);
            let _ = reader.read_line(&mut line);
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|count| count > 2) {
                rest.clear();
            }
            if let Some(text) = path.strip_prefix("/told?") {
                kept.lock().expect("nobody panics here").push(text.to_owned());
            }
            let page = PAGE.replace("STREAM", &stream);
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{page}",
                page.len()
            );
            let _ = connection.shutdown(std::net::Shutdown::Write);
            let _ = connection.read(&mut [0; 16]);
        }
    });
    (port, told)
}

#[test]
fn chromium_plays_it_and_its_scripts_may_ask_for_titles() {
    let Some((server, _source)) = tone_server() else { return };
    if !have(&["chromium"]) {
        return;
    }
    let (port, told) = page_server(server.url("/live.mp3"));
    let folder = crate::harness::Folder::new("chromium");
    let profile = format!("--user-data-dir={}", folder.path().display());
    let page = format!("http://127.0.0.1:{port}/");
    let _chromium = peer(
        "chromium",
        &[
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--mute-audio",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--autoplay-policy=no-user-gesture-required",
            &profile,
            &page,
        ],
    );
    wait_for("the page plays and fetches", || {
        let told = told.lock().expect("nobody panics here").clone();
        let has = |word: &str| told.iter().any(|text| text.starts_with(word));
        for word in ["error", "refused", "fetch%3A", "no%20stream"] {
            assert!(!has(word), "the page says {told:?}");
        }
        has("played") && has("fetched")
    });
}
