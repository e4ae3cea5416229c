//! Titles: who may set them, how they stand in the stream, and what they cannot do to it.

use crate::harness::{
    ADMIN, Listener, PASSWORD, PATIENCE, Reply, Server, Source, Tape, basic, exchange,
    from_first_frame, get, have, rest_ms, run_to_end, runs_of, wait_for,
};

const METAINT: usize = 16_000;

/// The audio of a stream with titles from its first frame on, and the title blocks that were not
/// empty, in order.
fn take_apart(bytes: &[u8], metaint: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut audio, mut blocks) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    loop {
        let count = rest.len().min(metaint);
        audio.extend_from_slice(&rest[..count]);
        rest = &rest[count..];
        let Some((units, after)) = rest.split_first() else { break };
        let length = usize::from(*units) * 16;
        if after.len() < length {
            break;
        }
        if length > 0 {
            blocks.push(after[..length].to_vec());
        }
        rest = &after[length..];
    }
    (from_first_frame(&audio).to_vec(), blocks)
}

/// The text of a block, without its padding.
fn text_of(block: &[u8]) -> String {
    let end = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    String::from_utf8(block[..end].to_vec()).expect("UTF-8")
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn set_title(server: &Server, mount: &str, title: &str) -> Reply {
    server.admin(&format!("/admin/metadata?mount={mount}&mode=updinfo&song={}", percent(title)))
}

#[test]
fn blocks_stand_where_they_are_announced_over_many_of_them() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 16.0);
    assert_eq!(set_title(&server, "/live.mp3", "First").status, 200);
    rest_ms(500);
    let mut listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
    assert_eq!(listener.reply.header("icy-metaint"), Some("16000"));
    let mut bytes = listener.read_exact(12 * METAINT);
    assert_eq!(set_title(&server, "/live.mp3", "Second").status, 200);
    rest_ms(600);
    bytes.extend(listener.read_exact(48 * METAINT));
    let (audio, blocks) = take_apart(&bytes, METAINT);
    let runs = runs_of(&audio);
    assert_eq!(runs.len(), 1, "the audio between them has no gap: {runs:?}");
    let titles: Vec<String> = blocks.iter().map(|block| text_of(block)).collect();
    assert_eq!(titles, ["StreamTitle='First';", "StreamTitle='Second';"]);
}

#[test]
fn a_mount_may_have_another_interval_or_none() {
    let server = Server::start(
        "[[mount]]\nname = \"/dense.mp3\"\nmetaint = 511\n\
         [[mount]]\nname = \"/none.mp3\"\nmetaint = 0\n",
    );
    let _dense = Source::tape(server.address, "/dense.mp3", 1, 4.0);
    let _none = Source::tape(server.address, "/none.mp3", 2, 4.0);
    rest_ms(500);
    let mut listener = Listener::open(server.address, "/dense.mp3", &["Icy-MetaData: 1"]);
    assert_eq!(listener.reply.header("icy-metaint"), Some("511"));
    let (audio, blocks) = take_apart(&listener.read_exact(60_000), 511);
    assert_eq!(runs_of(&audio).len(), 1);
    assert_eq!(blocks.len(), 1, "an empty title once, then nothing new");
    assert_eq!(text_of(&blocks[0]), "StreamTitle='';");
    let mut listener = Listener::open(server.address, "/none.mp3", &["Icy-MetaData: 1"]);
    assert!(listener.reply.header("icy-metaint").is_none());
    assert_eq!(runs_of(&listener.read_exact(40_000)).len(), 1);
}

#[test]
fn a_listener_that_comes_later_gets_the_title_with_its_first_block() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 8.0);
    set_title(&server, "/live.mp3", "Said once");
    rest_ms(3_000);
    let mut listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
    let (_, blocks) = take_apart(&listener.read_exact(METAINT + 64), METAINT);
    assert_eq!(text_of(&blocks[0]), "StreamTitle='Said once';");
}

#[test]
fn quotes_and_control_bytes_cannot_add_a_field_or_a_line() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    let evil = "It's \"he\r\nre\0\u{7}';StreamUrl='http://evil/';x='<b>&";
    assert_eq!(set_title(&server, "/live.mp3", evil).status, 200);
    rest_ms(1_000);
    let mut listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
    let (_, blocks) = take_apart(&listener.read_exact(METAINT + 512), METAINT);
    let text = text_of(&blocks[0]);
    assert!(text.starts_with("StreamTitle='It's \"he"), "{text}");
    assert_eq!(text.matches("';").count(), 1, "only the field's own end: {text}");
    assert!(!text.contains(['\r', '\n', '\0', '\u{7}']), "{text:?}");
    // It is as harmless in JSON, XML and HTML.
    let status = server.status();
    let title = status["icestats"]["source"]["title"].as_str().expect("a title").to_owned();
    assert!(title.starts_with("It's \"he"), "{title}");
    let xml = server.admin("/admin/stats").text();
    assert!(xml.contains("&lt;b&gt;&amp;</title>"), "{xml}");
    let page = server.get("/").text();
    assert!(!page.contains("<b>&") && page.contains("&lt;b&gt;&amp;"));
}

#[test]
fn a_title_of_4080_bytes_with_quotes_fits_or_is_cut_to_fit() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    for unit in ["'", "\"é';", "a"] {
        let title: String =
            unit.chars().cycle().take(4_080 / unit.len() * unit.chars().count()).collect();
        let form = format!("mount=/live.mp3&mode=updinfo&song={}", percent(&title));
        let request = format!(
            "POST /admin/metadata HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            basic(ADMIN.0, ADMIN.1),
            form.len()
        );
        let reply = Reply::parse(&exchange(server.address, request.as_bytes()));
        assert_eq!(reply.status, 200, "{}", reply.head);
        rest_ms(900);
        let mut listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
        let bytes = listener.read_exact(METAINT + 4_081);
        let (audio, blocks) = take_apart(&bytes, METAINT);
        assert_eq!(runs_of(&audio).len(), 1);
        let text = text_of(&blocks[0]);
        assert!(text.len() > 2_000 && text.ends_with("';"), "{} bytes", text.len());
        assert_eq!(text.matches("';").count(), 1, "only the field's own end");
    }
}

#[test]
fn a_flood_of_updates_harms_nobody_and_the_last_one_stands() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 8.0);
    let mut listener = Listener::open(server.address, "/live.mp3", &["Icy-MetaData: 1"]);
    let flood: Vec<_> = (0..4)
        .map(|thread| {
            let address = server.address;
            std::thread::spawn(move || {
                let login = basic("source", PASSWORD);
                for number in 0..500 {
                    let path = format!(
                        "/admin/metadata?mount=/live.mp3&mode=updinfo&song=T{thread}-{number}"
                    );
                    assert_eq!(get(address, &path, &[&login]).status, 200);
                }
            })
        })
        .collect();
    let mut bytes = Vec::new();
    for thread in flood {
        bytes.extend(listener.read_for_ms(100).bytes);
        thread.join().expect("every update was taken");
    }
    assert_eq!(set_title(&server, "/live.mp3", "The last").status, 200);
    let heard = listener.read_for_ms(3_000);
    assert!(!heard.is_closed, "the listener is still there");
    bytes.extend(heard.bytes);
    let (audio, blocks) = take_apart(&bytes, METAINT);
    assert_eq!(runs_of(&audio).len(), 1, "and has heard no gap");
    assert_eq!(text_of(blocks.last().expect("titles")), "StreamTitle='The last';");
    assert_eq!(server.title("/live.mp3").as_deref(), Some("The last"));
}

#[test]
fn all_the_dialects_of_an_update() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let source = basic("source", PASSWORD);
    let admin = basic(ADMIN.0, ADMIN.1);
    let table = [
        ("mount=/live.mp3&mode=updinfo&song=Plain", &admin, "Plain"),
        ("mode=updinfo&mount=%2flive%2emp3&charset=UTF%2d8&song=A%20-%20B", &source, "A - B"),
        ("mount=/live.mp3&mode=updinfo&artist=Who&title=What", &source, "Who - What"),
        ("mount=/live.mp3&mode=updinfo&title=Only", &source, "Only"),
        ("mount=/live.mp3&mode=updinfo&song=Plus+Plus", &source, "Plus Plus"),
        ("mount=/live.mp3&mode=updinfo&song=caf%C3%A9", &source, "café"),
        ("mount=/live.mp3&mode=updinfo&song=caf%E9", &source, "café"),
        ("mount=/live.mp3&mode=updinfo&charset=ISO-8859-1&song=caf%E9", &source, "café"),
    ];
    for (query, login, expected) in table {
        let reply = get(server.address, &format!("/admin/metadata?{query}"), &[login]);
        assert_eq!(reply.status, 200, "{query}");
        assert_eq!(
            reply.text(),
            "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update successful</message>\
             <return>1</return></iceresponse>\n"
        );
        wait_for(query, || server.title("/live.mp3").as_deref() == Some(expected));
    }
    let wrong = basic("source", "wrong");
    let path = "/admin/metadata?mount=/live.mp3&mode=updinfo&song=Evil";
    assert_eq!(get(server.address, path, &[&wrong]).status, 401);
    assert_eq!(get(server.address, path, &[]).status, 401);
    assert_eq!(server.title("/live.mp3").as_deref(), Some("café"));
}

#[test]
fn curl_updates_a_title() {
    if !have(&["curl"]) {
        return;
    }
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let login = format!("{}:{}", ADMIN.0, ADMIN.1);
    let url = server.url("/admin/metadata");
    let args = [
        "-sS",
        "-f",
        "-G",
        "-u",
        &login,
        "--data-urlencode",
        "mount=/live.mp3",
        "-d",
        "mode=updinfo",
        "--data-urlencode",
        "song=Straße & Söhne",
        &url,
    ];
    let output = run_to_end("curl", &args, PATIENCE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the title is there", || {
        server.title("/live.mp3").as_deref() == Some("Straße & Söhne")
    });
}

#[test]
fn titles_inside_a_sources_stream_are_taken_out_and_put_back_for_who_asks() {
    let server = Server::start("");
    let mut source = Source::attempt(
        server.address,
        "/live.mp3",
        &["Content-Type: audio/mpeg", "icy-metaint: 1000"],
    )
    .expect("accepted");
    let mut tape = Tape::new(9);
    let audio = tape.frames(400);
    let address = server.address;
    let feeding = std::thread::spawn(move || {
        for (number, piece) in audio.chunks(1_000).enumerate() {
            source.feed(piece).expect("it is taken");
            if piece.len() < 1_000 {
                break;
            }
            let mut block = vec![0];
            if number % 10 == 0 {
                block = format!("\u{2}StreamTitle='Inside {number:02}';").into_bytes();
                block.resize(33, 0);
            }
            source.feed(&block).expect("it is taken");
            rest_ms(15);
        }
        rest_ms(1_500);
    });
    rest_ms(700);
    let mut plain = Listener::open(address, "/live.mp3", &[]);
    let mut titled = Listener::open(address, "/live.mp3", &["Icy-MetaData: 1"]);
    assert_eq!(runs_of(&plain.read_exact(417 * 200)).len(), 1);
    let (audio, blocks) = take_apart(&titled.read_exact(METAINT * 4), METAINT);
    assert_eq!(runs_of(&audio).len(), 1);
    assert!(text_of(&blocks[0]).starts_with("StreamTitle='Inside "), "{blocks:?}");
    feeding.join().expect("all was taken");
}
