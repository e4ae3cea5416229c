//! Who may feed a mount: one at a time, with the right password and a type that is a stream.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{
    Listener, PASSWORD, Reply, Server, Setup, Source, basic, exchange, runs_of, until, wait_for,
};

const MP3: &str = "Content-Type: audio/mpeg";

#[test]
fn a_second_source_is_refused_and_does_not_mix_in() {
    let server = Server::start("");
    let _first = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    for _ in 0..5 {
        let refused = Source::attempt(server.address, "/live.mp3", &[MP3]).err().expect("in use");
        assert_eq!(refused.status, 403, "{}", refused.head);
        assert_eq!(refused.text(), "Mountpoint in use");
    }
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    let heard = listener.read_exact(417 * 200);
    let runs = runs_of(&heard);
    assert_eq!(runs.len(), 1, "one source, no gap: {runs:?}");
    assert_eq!(runs[0].name, 1);
}

#[test]
fn of_sources_that_come_at_once_one_gets_the_mount() {
    let server = Server::start("");
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let address = server.address;
            std::thread::spawn(move || Source::attempt(address, "/race.mp3", &[MP3]))
        })
        .collect();
    let attempts: Vec<_> = attempts.into_iter().map(|thread| thread.join().expect("ran")).collect();
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    let refused = attempts.iter().filter_map(|attempt| attempt.as_ref().err());
    assert!(refused.map(|reply| reply.status).all(|status| status == 403));
}

#[test]
fn where_the_mount_says_so_the_second_takes_over() {
    let server = Server::start("[[mount]]\nname = \"/live.mp3\"\ntakeover = true\n");
    let mut first = Source::tape(server.address, "/live.mp3", 1, 4.0);
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    listener.read_exact(417 * 10);
    let _second = Source::tape(server.address, "/live.mp3", 2, 4.0);
    assert!(first.is_closed_within_ms(3_000), "the first is told");
    wait_for("the second is heard", || {
        let heard = listener.read_for_ms(200);
        assert!(!heard.is_closed, "the listener stays");
        heard.bytes.windows(8).any(|window| window == b"tape\0\0\0\x02")
    });
}

#[test]
fn credentials_are_asked_for() {
    let server = Server::start("");
    let wrong = basic("source", "wrong");
    let other_user = basic("admin", PASSWORD);
    let mut asked = Vec::new();
    for method in ["PUT", "SOURCE"] {
        for line in ["X-Nothing: 1", &wrong, &other_user, "Authorization: Basic ???"] {
            let head = format!("{method} /live.mp3 HTTP/1.0\r\n{MP3}\r\n{line}\r\n\r\n");
            let address = server.address;
            asked.push(std::thread::spawn(move || {
                (Reply::parse(&exchange(address, head.as_bytes())), head)
            }));
        }
    }
    for thread in asked {
        let (reply, head) = thread.join().expect("answered and closed");
        assert_eq!(reply.status, 401, "{head}");
        assert_eq!(reply.text(), "You need to authenticate\r\n");
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"Icecast2 Server\""));
    }
    assert!(server.mount_status("/live.mp3").is_none());
}

#[test]
fn a_mount_may_have_a_password_of_its_own() {
    let server = Server::start(
        "[[mount]]\nname = \"/own.mp3\"\nusername = \"dj\"\npassword = \"of the mount\"\n",
    );
    let default = Source::attempt(server.address, "/own.mp3", &[MP3]).err().expect("refused");
    assert_eq!(default.status, 401);
    let line = basic("dj", "of the mount");
    let head = format!("PUT /own.mp3 HTTP/1.1\r\nHost: x\r\n{MP3}\r\n{line}\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).expect("connects");
    stream.write_all(head.as_bytes()).expect("sends");
    assert!(until(&mut stream, b"\r\n\r\n").starts_with(b"HTTP/1.0 200 OK\r\n"));
}

#[test]
fn a_source_says_what_it_sends() {
    let server = Server::start("");
    let untyped = Source::attempt(server.address, "/a.mp3", &[]).err().expect("refused");
    assert_eq!((untyped.status, untyped.text().as_str()), (403, "No Content-type given"));
    for content_type in ["text/html", "application/javascript", "image/png"] {
        let line = format!("Content-Type: {content_type}");
        let refused = Source::attempt(server.address, "/a.mp3", &[&line]).err().expect("refused");
        assert_eq!(
            (refused.status, refused.text().as_str()),
            (403, "Content-type not supported"),
            "{content_type}"
        );
    }
    // The old method had no type: it was MP3.
    let head = format!("SOURCE /old.mp3 HTTP/1.0\r\n{}\r\n\r\n", basic("source", PASSWORD));
    let mut stream = TcpStream::connect(server.address).expect("connects");
    stream.write_all(head.as_bytes()).expect("sends");
    assert_eq!(until(&mut stream, b"\r\n\r\n"), b"HTTP/1.0 200 OK\r\n\r\n");
    wait_for("it is MP3", || {
        server.mount_status("/old.mp3").is_some_and(|status| status["server_type"] == "audio/mpeg")
    });
}

#[test]
fn expect_is_answered_with_both_heads_at_once() {
    let server = Server::start("");
    let line = basic("source", PASSWORD);
    let head = format!(
        "PUT /e.mp3 HTTP/1.1\r\nHost: x\r\n{MP3}\r\n{line}\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server.address).expect("connects");
    stream.write_all(head.as_bytes()).expect("sends");
    let answer = until(&mut stream, b"200 OK\r\n\r\n");
    let expected = "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\nHTTP/1.0 200 OK\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[test]
fn sources_are_limited() {
    let server = Server::start("[limits]\nsources_max = 2\n");
    let _one = Source::connect(server.address, "/1.mp3");
    let two = Source::connect(server.address, "/2.mp3");
    let refused = Source::attempt(server.address, "/3.mp3", &[MP3]).err().expect("too many");
    assert_eq!((refused.status, refused.text().as_str()), (403, "too many sources connected"));
    drop(two);
    wait_for("there is room again", || Source::attempt(server.address, "/3.mp3", &[MP3]).is_ok());
}

#[test]
fn a_source_of_zero_bytes_leaves_nothing() {
    let server = Server::start("");
    for _ in 0..20 {
        drop(Source::connect(server.address, "/zero.mp3"));
        wait_for("the mount is free again", || server.mount_status("/zero.mp3").is_none());
    }
    // One that sends nothing but stays has listeners who wait, and who hear of its end.
    let source = Source::connect(server.address, "/zero.mp3");
    let address = server.address;
    let waiting = std::thread::spawn(move || exchange(address, b"GET /zero.mp3 HTTP/1.0\r\n\r\n"));
    crate::harness::rest_ms(500);
    drop(source);
    let answer = waiting.join().expect("it was answered or closed");
    assert!(Reply::parse(&answer).body.len() < 200, "nobody sent anything");
    let _again = Source::connect(server.address, "/zero.mp3");
}

#[test]
fn the_old_dialect_has_a_port_of_its_own() {
    let server = Server::start_with(Setup {
        toml: "[[listen]]\naddress = \"127.0.0.1:{port}\"\nshoutcast_mount = \"/sc\"\n".into(),
        ..Setup::default()
    });
    let mut v1 = server.address;
    v1.set_port(v1.port() + 1);
    let head = "icy-name:Nm\r\nicy-genre:Ge\r\nicy-pub:0\r\nicy-br:128\r\nicy-url:http://x\r\n\
                content-type:audio/mpeg\r\n\r\n";
    let feed = |password: &str| {
        let mut stream = TcpStream::connect(v1).expect("connects");
        stream.write_all(format!("{password}\r\n").as_bytes()).expect("sends");
        assert_eq!(until(&mut stream, b"\r\n\r\n"), b"OK2\r\nicy-caps:11\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sends");
        Source::over(stream).play_tape(5, 4.0)
    };
    let source = feed(PASSWORD);
    wait_for("it is up", || server.mount_status("/sc").is_some());
    let mut listener = Listener::open(server.address, "/sc", &[]);
    assert_eq!(listener.reply.header("icy-name"), Some("Nm"));
    assert_eq!(listener.reply.header("icy-br"), Some("128"));
    assert_eq!(runs_of(&listener.read_exact(417 * 50))[0].name, 5);
    drop(source);
    wait_for("it is gone", || server.mount_status("/sc").is_none());
    // The password line may name another mount.
    let _other = feed(&format!("/other.mp3:{PASSWORD}"));
    wait_for("it is up", || server.mount_status("/other.mp3").is_some());
    // A wrong password is told, and the connection closed.
    let answer = exchange(v1, b"wrong\r\nicy-name:x\r\n\r\n");
    assert!(answer.starts_with(b"invalid password"), "{}", String::from_utf8_lossy(&answer));
}
