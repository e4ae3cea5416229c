//! Every answer against what Icecast 2.4.4 put on the wire, byte for byte, `Server` and `Date`
//! given.

use protocol_http::parse_http_date;
use protocol_icy::{
    Answers, Playlist, PlaylistTrack, SourceRequest, StreamInfo, Title, TitleUpdate, V1Decoder,
    V1Step, V1TitleUpdate, listen_url, playlist, source_welcome, stream_list, wants_length,
    wants_titles,
};

const VECTORS: &str = include_str!("vectors/answers.txt");

/// The bytes of a case and the second in its `Date`.
fn vector(name: &str) -> (Vec<u8>, u64) {
    let heading = format!("#### {name}\n");
    let start = VECTORS.find(&heading).unwrap_or_else(|| panic!("no case {name}")) + heading.len();
    let case = VECTORS[start..].split("\n\n").next().unwrap();
    let mut bytes = Vec::new();
    for line in case.lines() {
        bytes.extend(unescape(line));
    }
    let date = case.lines().find_map(|line| line.strip_prefix("Date: ")?.strip_suffix("\\r\\n"));
    (bytes, date.map_or(0, |date| parse_http_date(date.as_bytes()).unwrap()))
}

fn unescape(line: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), line);
    while let Some(first) = rest.chars().next() {
        if let Some(hex) = rest.strip_prefix("\\x") {
            bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
            continue;
        }
        let end = rest.strip_prefix("\\r").map(|after| (b'\r', after));
        let end = end.or_else(|| rest.strip_prefix("\\n").map(|after| (b'\n', after)));
        let (byte, after) = end.unwrap_or((first as u8, &rest[1..]));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[track_caller]
fn expect(name: &str, answer: impl FnOnce(Answers<'_>) -> Vec<u8>) {
    let (expected, unix_seconds) = vector(name);
    let extra_headers = [("Access-Control-Allow-Origin".to_owned(), "*".to_owned())];
    let answers = Answers { server: "Icecast 2.4.4", unix_seconds, extra_headers: &extra_headers };
    let written = answer(answers);
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&expected),
        "the case {name:?}"
    );
    assert_eq!(written, expected);
}

fn lines<'a>(lines: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
    lines.iter().map(|(name, value)| (*name, value.as_bytes()))
}

/// The head that ffmpeg sent before the listeners of `/live.mp3` came.
const FFMPEG: [(&str, &str); 13] = [
    ("User-Agent", "Lavf/59.27.100"),
    ("Accept", "*/*"),
    ("Expect", "100-continue"),
    ("Connection", "close"),
    ("Host", "127.0.0.1:18000"),
    ("Content-Type", "audio/mpeg"),
    ("Icy-MetaData", "1"),
    ("Ice-Name", "N1"),
    ("Ice-Description", "D1"),
    ("Ice-URL", "http://u/"),
    ("Ice-Genre", "G1"),
    ("Ice-Public", "1"),
    ("Authorization", "Basic c291cmNlOmhhY2ttZQ=="),
];

#[test]
fn sources() {
    let ffmpeg = SourceRequest::from_headers(lines(&FFMPEG), true);
    assert_eq!(ffmpeg.content_type.as_deref(), Some("audio/mpeg"));
    assert_eq!(ffmpeg.credentials.as_ref().unwrap().password, "hackme");
    assert_eq!(ffmpeg.metaint_in, None, "Icy-MetaData is no icy-metaint");
    expect("source welcome", |_| source_welcome(ffmpeg.expect_continue));
    assert_eq!(source_welcome(false), b"HTTP/1.0 200 OK\r\n\r\n");
    expect("source refused", |answers| answers.unauthorised());
    expect("poke", |answers| answers.unrecognised_command());
}

#[test]
fn listeners() {
    let info = StreamInfo::from_headers(lines(&FFMPEG));
    expect("listener with titles", |answers| {
        answers.listener_head("audio/mpeg", &info, Some(16_000), false)
    });
    let ogg = StreamInfo::from_headers(lines(&[("Icy-MetaData", "1"), ("Ice-Public", "0")]));
    expect("listener of Ogg", |answers| {
        answers.listener_head("application/ogg", &ogg, None, false)
    });
    expect("mount full", |answers| answers.listeners_full());
    expect("unknown mount", |answers| answers.not_found());
}

#[test]
fn a_v1_source_and_its_listener() {
    let mut unread: &[u8] = b"hackme\r\nicy-name:Nm\r\nicy-genre:Ge\r\nicy-pub:0\r\nicy-br:128\r\n\
        icy-url:http://x\r\ncontent-type:audio/mpeg\r\n\r\n";
    let mut decoder = V1Decoder::new(4096);
    let V1Step::Password { used, .. } = decoder.decode(unread).unwrap() else { panic!() };
    unread = &unread[used..];
    let V1Step::Head { request, used } = decoder.decode(unread).unwrap() else { panic!() };
    assert_eq!(used, unread.len());
    let content_type = request.content_type.unwrap();
    expect("listener of an ICY v1 source", |answers| {
        answers.listener_head(&content_type, &request.stream, Some(16_000), false)
    });
}

#[test]
fn title_updates() {
    let done = TitleUpdate::DONE;
    assert!(TitleUpdate::from_query("mount=/live.mp3&mode=updinfo&song=Foo").is_ok());
    expect("title taken", |answers| answers.admin_message(done, 1));
    let bogus = TitleUpdate::from_query("mount=/live.mp3&mode=bogus&song=Foo").unwrap_err();
    expect("title with another mode", |answers| bogus.answer(&answers));
    let missing = TitleUpdate::from_query("mount=/live.mp3&song=Foo").unwrap_err();
    expect("title without a mode", |answers| missing.answer(&answers));
    assert!(V1TitleUpdate::from_query("pass=hackme&mode=updinfo&song=Hello").is_ok());
    expect("v1 title taken", |answers| answers.admin_success(done));
}

#[test]
fn playlists_and_lists() {
    expect("slave's list", |answers| {
        answers.stream_list(&stream_list(["/auth.mp3", "/fb.mp3"].into_iter()))
    });
    let info = StreamInfo::from_headers(lines(&FFMPEG));
    let title = Title::new("Artist - Title Ã©");
    let page = |kind: Playlist, base: &str| {
        let url = listen_url(base, "/live.mp3");
        let (listen_url, content_type) = (url.as_str(), "audio/mpeg");
        let (title, listener_count, listener_peak) = (Some(&title), 1, 1);
        let track = PlaylistTrack {
            listen_url,
            content_type,
            info: &info,
            title,
            listener_count,
            listener_peak,
        };
        playlist(kind, &[track])
    };
    let (vclt, m3u) = (Playlist::Vclt, Playlist::M3u);
    let body = page(vclt, "http://localhost:8000");
    expect("VCLT", |answers| answers.page(200, vclt.content_type(), body.as_bytes()));
    let body = page(m3u, "http://127.0.0.1:18000");
    expect("M3U", |answers| answers.page_to_end(200, m3u.content_type(), body.as_bytes()));
}

#[test]
fn what_listeners_ask_for() {
    for name in ["Icy-MetaData", "icy-metadata", "Icy-Metadata"] {
        assert!(wants_titles(lines(&[("Host", "x"), (name, "1")])), "{name}");
        assert!(!wants_titles(lines(&[(name, "0")])) && !wants_titles(lines(&[(name, "x")])));
    }
    assert!(!wants_titles(lines(&[])));
    assert!(wants_length(lines(&[("User-Agent", "Mozilla/4.0 (compatible; MSIE 6.0)")])));
    assert!(wants_length(lines(&[("x-flash-version", "10")])));
    assert!(!wants_length(lines(&[("User-Agent", "VLC/3.0.24 LibVLC/3.0.24")])));
    let answers = Answers { server: "s", unix_seconds: 0, extra_headers: &[] };
    let head = answers.listener_head("audio/mpeg", &StreamInfo::default(), Some(8192), true);
    assert!(head.ends_with(b"no-cache\r\nContent-Length: 221183499\r\nicy-metaint:8192\r\n\r\n"));
}

#[test]
fn strangers_text_stays_inside_its_line_and_its_element() {
    let answers = Answers { server: "s", unix_seconds: 0, extra_headers: &[] };
    let evil = [("ice-name", "<script>\r\nSet-Cookie: a\r\n\r\n"), ("ice-x", "\u{1}\0y")];
    let mut info = StreamInfo::from_headers(lines(&evil));
    info.add_via("node\r\nX: y");
    let head = answers.listener_head("audio/mpeg\r\nX: y", &info, None, false);
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.contains("icy-name:<script>  Set-Cookie: a\r\nicy-x:y\r\nVia: 1.1 node  X: y\r\n")
    );
    assert!(!head.contains("\nSet-Cookie") && !head.contains("\nX:"));
    let page = String::from_utf8(answers.html_error(400, "</b><script>")).unwrap();
    assert!(page.contains("&lt;/b&gt;&lt;script&gt;"));
}
