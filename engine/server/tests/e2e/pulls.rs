//! Pulls: mounts whose source is another server, Debian's icecast2 or another Skywave.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::harness::{
    Icecast, Listener, PATIENCE, Server, Setup, Source, free_port, rest_ms, runs_of, wait_for,
};

/// The metrics' name for attempts.
const ATTEMPTS: &str = "skywave_control_pull_attempts_total";

fn pulling(url: &str, more: &str) -> String {
    format!("[[mount]]\nname = \"/pulled.mp3\"\npull = [\"{url}\"]\n{more}")
}

fn set_title(server: &Server, mount: &str, title: &str) {
    let path = format!("/admin/metadata?mount={mount}&mode=updinfo&song={title}");
    assert_eq!(server.admin(&path).status, 200);
}

#[test]
fn from_another_skywave_with_its_titles_and_names() {
    let origin = Server::start("");
    let _source = Source::attempt(
        origin.address,
        "/live.mp3",
        &["Content-Type: audio/mpeg", "Ice-Name: Origin", "Ice-Genre: Jazz"],
    )
    .expect("accepted")
    .play_tape(1, 4.0);
    let edge = Server::start(&pulling(&origin.url("/live.mp3"), ""));
    wait_for("it is pulled", || edge.mount_status("/pulled.mp3").is_some());
    let mut listener = Listener::open(edge.address, "/pulled.mp3", &[]);
    let bytes = listener.read_exact(417 * 300);
    let runs = runs_of(&bytes);
    assert_eq!((runs.len(), runs[0].name), (1, 1), "titles are taken out: {runs:?}");
    assert_eq!(listener.reply.header("icy-name"), Some("Origin"));
    set_title(&origin, "/live.mp3", "From%20afar");
    wait_for("the title is taken over", || {
        edge.title("/pulled.mp3").as_deref() == Some("From afar")
    });
    let status = edge.mount_status("/pulled.mp3").expect("it is up");
    assert_eq!((&status["server_name"], &status["genre"]), (&"Origin".into(), &"Jazz".into()));
}

#[test]
fn it_comes_back_when_upstream_does() {
    let origin = Server::start("");
    let source = Source::tape(origin.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || origin.mount_status("/live.mp3").is_some());
    let edge = Server::start(&pulling(&origin.url("/live.mp3"), ""));
    wait_for("it is pulled", || edge.mount_status("/pulled.mp3").is_some());
    drop(source);
    wait_for("it ends with its upstream", || edge.mount_status("/pulled.mp3").is_none());
    let _again = Source::tape(origin.address, "/live.mp3", 2, 4.0);
    wait_for("it is pulled again", || edge.mount_status("/pulled.mp3").is_some());
    let mut listener = Listener::open(edge.address, "/pulled.mp3", &[]);
    assert_eq!(runs_of(&listener.read_exact(417 * 20))[0].name, 2);
}

#[test]
fn from_icecast() {
    let Some(icecast) = Icecast::start() else { return };
    let _source = Source::tape(icecast.address, "/live.mp3", 6, 4.0);
    rest_ms(500);
    let url = format!("http://{}/live.mp3", icecast.address);
    let edge = Server::start(&pulling(&url, ""));
    wait_for("it is pulled", || edge.mount_status("/pulled.mp3").is_some());
    icecast.set_title("/live.mp3", "Cast");
    wait_for("the title is taken over", || edge.title("/pulled.mp3").as_deref() == Some("Cast"));
    let mut listener = Listener::open(edge.address, "/pulled.mp3", &[]);
    let runs = runs_of(&listener.read_exact(417 * 300));
    assert_eq!((runs.len(), runs[0].name), (1, 6), "{runs:?}");
}

#[test]
fn icecast_pulls_from_us() {
    let origin = Server::start("");
    let _source = Source::tape(origin.address, "/live.mp3", 7, 4.0);
    set_title(&origin, "/live.mp3", "Ours");
    let Some(icecast) = Icecast::start_pulling(origin.address, "/live.mp3") else { return };
    let mut heard = None;
    wait_for("Icecast has it", || {
        let listener = Listener::open(icecast.address, "/live.mp3", &[]);
        let is_up = listener.reply.status == 200;
        heard = is_up.then_some(listener);
        is_up
    });
    let bytes = heard.expect("just heard").read_exact(417 * 200);
    // Icecast begins anywhere in a frame.
    let start = bytes.windows(4).position(|four| four == [0xff, 0xfb, 0x90, 0xc4]);
    let runs = runs_of(&bytes[start.expect("a frame")..]);
    assert_eq!((runs.len(), runs[0].name), (1, 7), "{runs:?}");
}

#[test]
fn on_demand_it_starts_with_the_first_listener_and_stops_after_the_last() {
    let origin = Server::start("");
    let _source = Source::tape(origin.address, "/live.mp3", 1, 4.0);
    let edge = Server::start(&pulling(&origin.url("/live.mp3"), "pull_on_demand = true\n"));
    rest_ms(1_000);
    assert_eq!(edge.metric(ATTEMPTS), Some(0.0), "nobody listens");
    assert_eq!(origin.metric("skywave_listeners"), Some(0.0));
    let mut first = Listener::open(edge.address, "/pulled.mp3", &[]);
    assert_eq!(first.reply.status, 200);
    assert_eq!(runs_of(&first.read_exact(417 * 40)).len(), 1);
    let mut second = Listener::open(edge.address, "/pulled.mp3", &[]);
    second.read_exact(417 * 40);
    wait_for("one pull serves both", || origin.metric("skywave_listeners") == Some(1.0));
    drop((first, second));
    let begun = std::time::Instant::now();
    while origin.metric("skywave_listeners") != Some(0.0) {
        assert!(begun.elapsed() < PATIENCE, "still pulled with nobody to hear it");
        rest_ms(100);
    }
}

#[test]
fn on_demand_a_listener_of_a_dead_upstream_is_told_so() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let url = format!("http://{nobody}/live.mp3");
    let edge = Server::start(&pulling(&url, "pull_on_demand = true\n"));
    let mut stream = std::net::TcpStream::connect(edge.address).expect("connects");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a timeout");
    stream.write_all(b"GET /pulled.mp3 HTTP/1.0\r\n\r\n").expect("sends");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let reply = crate::harness::Reply::parse(&answer);
    assert!(matches!(reply.status, 404 | 503), "{}", reply.head);
}

#[test]
fn upstreams_are_tried_in_order() {
    let origin = Server::start("");
    let _source = Source::tape(origin.address, "/live.mp3", 3, 4.0);
    wait_for("it is up", || origin.mount_status("/live.mp3").is_some());
    let dead = free_port();
    let edge = Server::start(&format!(
        "[[mount]]\nname = \"/pulled.mp3\"\npull = [\"http://127.0.0.1:{dead}/live.mp3\", \
         \"{}\", \"{}\"]\n",
        origin.url("/not-there.mp3"),
        origin.url("/live.mp3"),
    ));
    wait_for("the third is pulled", || edge.mount_status("/pulled.mp3").is_some());
    assert_eq!(edge.metric(ATTEMPTS), Some(3.0));
    let log = edge.log();
    assert!(log.contains(&format!("127.0.0.1:{dead}")) && log.contains("/not-there.mp3"), "{log}");
}

/// A server that redirects `/hop…` and answers all else with nothing.
fn redirector(to: String) -> SocketAddr {
    let acceptor = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = acceptor.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in acceptor.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut head = [0; 1024];
            let count = connection.read(&mut head).unwrap_or(0);
            let is_round = head[..count].starts_with(b"GET /round");
            let target = if is_round { format!("http://{address}/round") } else { to.clone() };
            let _ = write!(
                connection,
                "HTTP/1.0 302 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            );
        }
    });
    address
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let origin = Server::start("");
    let _source = Source::tape(origin.address, "/live.mp3", 4, 4.0);
    wait_for("it is up", || origin.mount_status("/live.mp3").is_some());
    let hop = redirector(origin.url("/live.mp3"));
    let edge = Server::start(&format!(
        "{}[[mount]]\nname = \"/round.mp3\"\npull = [\"http://{hop}/round\"]\n",
        pulling(&format!("http://{hop}/hop"), "")
    ));
    wait_for("it is pulled", || edge.mount_status("/pulled.mp3").is_some());
    rest_ms(1_500);
    assert!(edge.mount_status("/round.mp3").is_none());
    let attempts = edge.metric(ATTEMPTS).expect("a metric");
    assert!(attempts < 40.0, "{attempts} attempts: it goes round without a wait");
    assert_eq!(edge.get("/health").status, 200);
}

#[test]
fn a_loop_between_two_nodes_is_detected() {
    let (one, two) = (free_port(), free_port());
    let start = |port: u16, other: u16| {
        let toml = format!(
            "[[mount]]\nname = \"/loop.mp3\"\npull = [\"http://127.0.0.1:{other}/loop.mp3\"]\n\
             pull_on_demand = false\n"
        );
        Server::start_with(Setup { toml, port, ..Setup::default() })
    };
    // The first pulls from the second, which has a source; then the source goes, and the second
    // begins to pull what it was itself the origin of.
    let second = start(two, one);
    let source = Source::tape(second.address, "/loop.mp3", 1, 4.0);
    let first = start(one, two);
    wait_for("the first pulls", || first.mount_status("/loop.mp3").is_some());
    drop(source);
    wait_for("both are down", || {
        first.mount_status("/loop.mp3").is_none() && second.mount_status("/loop.mp3").is_none()
    });
    rest_ms(2_500);
    assert!(
        first.mount_status("/loop.mp3").is_none() && second.mount_status("/loop.mp3").is_none()
    );
    let clients = first.metric("skywave_clients").expect("a metric");
    assert!(clients < 10.0, "{clients} connections: they feed each other");
}

#[test]
fn a_server_that_pulls_from_itself_finds_out() {
    let server = Server::start(
        "[[mount]]\nname = \"/a.mp3\"\npull = [\"http://127.0.0.1:{port}/b.mp3\"]\n\
         pull_on_demand = true\n[[mount]]\nname = \"/b.mp3\"\n\
         pull = [\"http://127.0.0.1:{port}/a.mp3\"]\npull_on_demand = true\n",
    );
    let address = server.address;
    let asking = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(3))).expect("a timeout");
        stream.write_all(b"GET /a.mp3 HTTP/1.0\r\n\r\n").expect("sends");
        let _ = stream.read(&mut [0; 64]);
    });
    wait_for("the loop is named in the log", || server.log().contains("loop"));
    assert!(server.mount_status("/a.mp3").is_none_or(|status| status["stream_start"].is_null()));
    let attempts = server.metric(ATTEMPTS).expect("a metric");
    assert!(attempts < 20.0, "{attempts} attempts");
    asking.join().expect("it was answered or gave up");
}
