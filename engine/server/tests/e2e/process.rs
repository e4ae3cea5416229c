//! The program: its configuration, its signals, its logs.

use std::fs;
use std::process::Output;
use std::time::Instant;

use rustix::process::Signal;

use crate::harness::{
    Folder, Listener, PATIENCE, Server, Setup, Source, get, rest_ms, run_to_end, runs_of, wait_for,
};

fn skywave(args: &[&str]) -> Output {
    run_to_end(env!("CARGO_BIN_EXE_skywave"), args, PATIENCE)
}

fn check(toml: &str) -> (Option<i32>, String) {
    let folder = Folder::new("config");
    let path = folder.write("skywave.toml", toml);
    let output = skywave(&["--check-config", "--config", path.to_str().expect("readable")]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_good_configuration_is_in_order() {
    let toml = "[credentials]\nsource_password = \"s\"\nadmin_password = \"a\"\n";
    let (code, said) = check(toml);
    assert_eq!((code, said.as_str()), (Some(0), "the configuration is in order\n"));
    let (code, said) = check("[credentials]\nsource_password = \"hackme\"\n");
    assert_eq!(code, Some(0));
    assert!(said.contains("hackme") && said.contains("no admin password is set"), "{said}");
}

#[test]
fn a_bad_one_is_refused_with_all_that_is_wrong_and_where() {
    let table: &[(&str, &[&str])] = &[
        ("[[mount]]\nname = \"/a\"\nfalback = \"/b\"\n", &[":3", "falback", "fallback"]),
        ("[limits]\nclients_max = \"many\"\n", &[":2", "clients_max"]),
        ("[limits]\nclients_max = 0\nheader_timeout_ms = 1\n", &[":2", ":3"]),
        ("[[mount]]\nname = \"no slash\"\n", &[":2", "name"]),
        ("[[mount]]\nname = \"/a\"\n[[mount]]\nname = \"/a\"\n", &["/a"]),
        (
            "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n[[mount]]\nname = \"/b\"\nfallback = \"/a\"\n",
            &["/a", "/b"],
        ),
        ("[servr]\n", &["servr", "server"]),
        ("not toml at all", &[":1"]),
    ];
    for (toml, words) in table {
        let (code, said) = check(toml);
        assert_eq!(code, Some(2), "{toml}: {said}");
        for word in *words {
            assert!(said.contains(word), "{toml}: no {word:?} in\n{said}");
        }
    }
    let output = skywave(&["--check-config", "--config", "/not/there.toml"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/not/there.toml"));
    let output = skywave(&["--lisen", "127.0.0.1:8000"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--listen"), "the nearest flag");
}

#[test]
fn it_says_what_it_is_and_what_the_machine_lacks() {
    let version = skywave(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), "skywave 0.1.0\n");
    let help = String::from_utf8_lossy(&skywave(&["--help"]).stdout).into_owned();
    for flag in ["--listen", "--source-password", "--check-config", "--doctor"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    assert!(skywave(&["--doctor"]).status.success(), "this machine runs the other tests");
    let sample = skywave(&["--print-default-config"]).stdout;
    let (code, said) = check(&String::from_utf8(sample).expect("text"));
    assert_eq!(code, Some(0), "what it prints it reads: {said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::start("");
    let address = server.address.to_string();
    let output = skywave(&["--listen", &address, "--source-password", "s"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

#[test]
fn sighup_reloads_mounts_and_passwords_and_disturbs_nobody() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    let mut bytes = listener.read_exact(417 * 20);
    server.rewrite(
        "[credentials]\nrelay_password = \"fresh\"\n[[mount]]\nname = \"/live.mp3\"\n\
         listeners_max = 1\nstream_name = \"Renamed\"\n",
    );
    server.signal(Signal::HUP);
    let login = crate::harness::basic("relay", "fresh");
    wait_for("the new password counts", || {
        get(server.address, "/admin/streamlist.txt", &[&login]).status == 200
    });
    wait_for("the new limit counts", || server.get_head_status("/live.mp3") == 403);
    bytes.extend(listener.read_for_ms(500).bytes);
    let runs = runs_of(&bytes);
    assert_eq!(runs.len(), 1, "who was there before hears on: {runs:?}");
    // A file with a fault changes nothing.
    server.rewrite("[credentials]\nrelay_pasword = \"typo\"\n");
    server.signal(Signal::HUP);
    wait_for("the log says so", || server.log().contains("relay_pasword"));
    assert_eq!(get(server.address, "/admin/streamlist.txt", &[&login]).status, 200);
}

#[test]
fn many_sighups_under_load_harm_nobody() {
    let server = Server::start("[log]\naccess_log = \"{dir}/access.log\"\n");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    let mut bytes = Vec::new();
    for _ in 0..30 {
        server.signal(Signal::HUP);
        assert_eq!(server.get("/health").status, 200);
        bytes.extend(listener.read_for_ms(30).bytes);
    }
    bytes.extend(listener.read_for_ms(1_000).bytes);
    assert_eq!(runs_of(&bytes).len(), 1);
}

/// The parts of a line of the access log: `IP - user [date] "request" status bytes "ref" "agent" s`.
fn parse_line(line: &str) -> Option<(String, String, u16, u64, String, u64)> {
    let (start, rest) = line.split_once(" [")?;
    let (date, rest) = rest.split_once("] \"")?;
    let is_date = date.len() == 26 && date.ends_with(" +0000") && date.as_bytes()[2] == b'/';
    let (request, rest) = rest.split_once("\" ")?;
    let mut numbers = rest.splitn(3, ' ');
    let status = numbers.next()?.parse().ok()?;
    let bytes = numbers.next()?.parse().ok()?;
    let quoted = numbers.next()?;
    let (agents, seconds) = quoted.rsplit_once(' ')?;
    let seconds = seconds.parse().ok()?;
    is_date
        .then(|| (start.to_owned(), request.to_owned(), status, bytes, agents.to_owned(), seconds))
}

#[test]
fn the_access_log_has_icecasts_format_and_is_opened_anew() {
    let server = Server::start("[log]\naccess_log = \"{dir}/access.log\"\n");
    let path = server.folder.path().join("access.log");
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut listener = Listener::open(
        server.address,
        "/live.mp3?secret=1",
        &["User-Agent: play\"er 1", "Referer: http://page/"],
    );
    let count = listener.read_exact(60_000).len() + listener.reply.head.len();
    rest_ms(1_100);
    drop(listener);
    get(server.address, "/none.mp3", &["User-Agent: lost"]);
    drop(source);
    let mut found = None;
    wait_for("three lines are there", || {
        let all = lines();
        let with = |text: &str| all.iter().find(|line| line.contains(text)).cloned();
        found = with("GET /live.mp3 ").zip(with("lost")).zip(with("PUT /live.mp3"));
        found.is_some()
    });
    let ((listened, lost), sent) = found.expect("just found");
    let (who, request, status, bytes, agents, seconds) = parse_line(&listened).expect(&listened);
    assert_eq!(who, "127.0.0.1 - -");
    assert_eq!(request, "GET /live.mp3 HTTP/1.1", "without its query");
    assert_eq!(status, 200);
    assert!(bytes >= count as u64, "{bytes} bytes of at least {count}");
    assert_eq!(agents, "\"http://page/\" \"play%22er 1\"");
    assert!((1..=5).contains(&seconds));
    let (_, request, status, ..) = parse_line(&lost).expect(&lost);
    assert_eq!((request.as_str(), status), ("GET /none.mp3 HTTP/1.1", 404));
    let (_, _, status, ..) = parse_line(&sent).expect(&sent);
    assert_eq!(status, 200);
    for line in lines() {
        assert!(parse_line(&line).is_some(), "{line}");
    }
    // What logrotate does.
    fs::rename(&path, server.folder.path().join("access.log.1")).expect("renamed");
    server.signal(Signal::HUP);
    wait_for("the new file gets lines", || {
        get(server.address, "/after", &[]);
        lines().iter().any(|line| line.contains("/after"))
    });
}

#[test]
fn a_full_disk_costs_lines_of_the_log_and_nothing_else() {
    let server = Server::start("[log]\naccess_log = \"/dev/full\"\n");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    let mut bytes = Vec::new();
    for _ in 0..300 {
        assert_eq!(server.get("/none").status, 404);
    }
    bytes.extend(listener.read_for_ms(2_000).bytes);
    let runs = runs_of(&bytes);
    assert_eq!(runs.len(), 1, "{runs:?}");
    wait_for("the operator is told", || {
        let log = server.log();
        log.contains("/dev/full") && log.contains("No space left on device")
    });
    assert!(server.log().matches("/dev/full").count() < 20, "but not once for each line");
}

#[test]
fn sigterm_lets_listeners_finish_until_its_deadline() {
    let mut server = Server::start("[server]\ndrain_s = 2\n");
    let source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    listener.read_exact(417 * 10);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    let heard = listener.read_until(PATIENCE, |_| false);
    assert!(heard.is_closed, "at the deadline it is over");
    let lasted = begun.elapsed().as_secs_f64();
    assert!(lasted >= 1.0, "a listener had {lasted} s");
    let status = server.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
    drop(source);
}

#[test]
fn sigterm_with_nobody_there_ends_at_once() {
    let mut server = Server::start("[server]\ndrain_s = 3600\n");
    server.signal(Signal::TERM);
    let status = server.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
}

#[test]
fn the_demo_plays_by_itself() {
    let server = Server::start_with(Setup { flags: vec!["--demo".into()], ..Setup::default() });
    wait_for("it is up", || server.mount_status("/demo.flac").is_some());
    wait_for("it has a title", || server.title("/demo.flac").is_some());
    if crate::harness::have(&["ffmpeg"]) {
        rest_ms(2_000);
        crate::harness::decodes_for(&server, "/demo.flac", "2", &[]);
    }
}

#[test]
fn it_listens_on_several_sockets_of_both_families() {
    let server = Server::start_with(Setup {
        toml:
            "[[listen]]\naddress = \"127.0.0.1:{port}\"\n[[listen]]\naddress = \"[::1]:{port}\"\n"
                .into(),
        ..Setup::default()
    });
    let v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, server.address.port()));
    assert_eq!(get(v6, "/health", &[]).status, 200);
    assert_eq!(server.get("/health").status, 200);
}
