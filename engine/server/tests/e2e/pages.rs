//! Pages, playlists and statistics: what programs read from the server.

use crate::harness::{Listener, PASSWORD, Server, Source, get, wait_for};

#[test]
fn sources_are_absent_an_object_or_an_array() {
    let server = Server::start("");
    let shape = || server.status()["icestats"].clone();
    let none = shape();
    assert!(none.get("source").is_none());
    for name in ["admin", "host", "location", "server_id", "server_start", "server_start_iso8601"] {
        assert!(none[name].is_string(), "{name}: {none}");
    }
    assert!(none.get("dummy").is_some_and(serde_json::Value::is_null));
    let _one = Source::tape(server.address, "/one.mp3", 1, 1.0);
    wait_for("an object", || shape()["source"].is_object());
    let source = shape()["source"].clone();
    assert_eq!(source["server_type"], "audio/mpeg");
    assert_eq!(source["server_name"], "Unspecified name");
    assert_eq!(source["server_description"], "Unspecified description");
    assert_eq!(source["genre"], "various");
    assert_eq!(source["listeners"], 0);
    let url = source["listenurl"].as_str().expect("a URL");
    assert_eq!(url, format!("http://localhost:{}/one.mp3", server.address.port()));
    let _two = Source::tape(server.address, "/two.mp3", 2, 1.0);
    wait_for("an array", || shape()["source"].as_array().is_some_and(|all| all.len() == 2));
    assert_eq!(
        server.mount_status("/two.mp3").expect("only this one")["listenurl"],
        format!("http://localhost:{}/two.mp3", server.address.port())
    );
    let reply = server.get("/status-json.xsl");
    assert_eq!(reply.header("content-type"), Some("application/json; charset=UTF-8"));
    assert!(reply.text().ends_with("\"dummy\":null}]}}"), "{}", reply.text());
    assert!(!reply.text().contains("source_ip") && !reply.text().contains("user_agent"));
}

#[test]
fn listeners_and_numbers_for_titles_are_counted() {
    let server = Server::start("");
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/one.mp3").is_some());
    let crowd: Vec<Listener> =
        (0..7).map(|_| Listener::open(server.address, "/one.mp3", &[])).collect();
    wait_for("seven", || server.mount_status("/one.mp3").is_some_and(|s| s["listeners"] == 7));
    // A visit between two counts is part of the peak, too.
    drop(Listener::open(server.address, "/one.mp3", &[]));
    let connections = || server.metric("skywave_listener_connections_total");
    wait_for("the guest was counted", || connections() == Some(8.0));
    drop(crowd);
    wait_for("none", || server.mount_status("/one.mp3").is_some_and(|s| s["listeners"] == 0));
    assert_eq!(server.mount_status("/one.mp3").expect("it is up")["listener_peak"], 8);
    server.admin("/admin/metadata?mount=/one.mp3&mode=updinfo&song=123");
    wait_for("a number", || server.mount_status("/one.mp3").is_some_and(|s| s["title"] == 123));
}

#[test]
fn a_hidden_mount_is_heard_and_not_seen() {
    let server = Server::start("[[mount]]\nname = \"/hidden.mp3\"\nhidden = true\n");
    let _source = Source::tape(server.address, "/hidden.mp3", 1, 4.0);
    wait_for("it is heard", || {
        Listener::open(server.address, "/hidden.mp3", &[]).reply.status == 200
    });
    assert!(server.status()["icestats"].get("source").is_none());
    for path in ["/", "/status.xsl", "/metrics"] {
        assert!(!server.get(path).text().contains("hidden.mp3"), "{path}");
    }
    assert!(server.admin("/admin/stats").text().contains("hidden.mp3"), "the operator sees it");
}

#[test]
fn admin_stats_has_icecasts_names_in_its_order() {
    let server = Server::start("");
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/one.mp3").is_some());
    let text = server.admin("/admin/stats").text();
    let globals = [
        "admin",
        "client_connections",
        "clients",
        "connections",
        "file_connections",
        "host",
        "listener_connections",
        "listeners",
        "location",
        "server_id",
        "server_start",
        "server_start_iso8601",
        "source_client_connections",
        "source_relay_connections",
        "source_total_connections",
        "sources",
        "stats",
        "stats_connections",
    ];
    let mut at = 0;
    for name in globals {
        let found = text[at..].find(&format!("<{name}>"));
        at += found.unwrap_or_else(|| panic!("<{name}> in its place: {text}"));
    }
    assert!(text[at..].contains("<source mount=\"/one.mp3\">"));
    for name in ["listeners", "listenurl", "source_ip", "total_bytes_read", "slow_listeners"] {
        assert!(text[at..].contains(&format!("<{name}>")), "<{name}>: {text}");
    }
    assert!(text.contains("<max_listeners>unlimited</max_listeners>"));
    assert_eq!(server.admin("/admin/stats.xml").status, 200);
}

#[test]
fn playlists_name_the_stream() {
    let server = Server::start("");
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/one.mp3").is_some());
    let by_host = format!("http://{}/one.mp3", server.address);
    let host = format!("Host: {}", server.address);
    let m3u = get(server.address, "/one.mp3.m3u", &[&host]);
    assert_eq!(m3u.header("content-type"), Some("audio/x-mpegurl"));
    let localhost = format!("http://localhost:{}/one.mp3", server.address.port());
    let line = m3u.text();
    assert!(line == format!("{by_host}\r\n") || line == format!("{localhost}\r\n"), "{line}");
    let pls = server.get("/one.mp3.pls");
    assert_eq!(pls.header("content-type"), Some("audio/x-scpls"));
    assert!(pls.text().starts_with("[playlist]\r\nNumberOfEntries=1\r\nFile1=http://"));
    let xspf = server.get("/one.mp3.xspf");
    assert_eq!(xspf.header("content-type"), Some("application/xspf+xml; charset=UTF-8"));
    assert!(xspf.text().contains(&format!("<location>{localhost}</location>")), "{}", xspf.text());
    let vclt = server.get("/one.mp3.vclt");
    assert_eq!(vclt.header("content-type"), Some("audio/x-vclt; charset=UTF-8"));
    assert!(vclt.text().contains(&format!("STREAMURL={localhost}\n")), "{}", vclt.text());
    assert_eq!(server.get("/not-there.mp3.m3u").status, 200, "as Icecast has it");
}

#[test]
fn pages_for_people() {
    let server = Server::start("");
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/one.mp3").is_some());
    for path in ["/", "/status.xsl"] {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-type").is_some_and(|value| value.starts_with("text/html")));
        assert!(reply.text().contains("<audio") && reply.text().contains("/one.mp3"), "{path}");
    }
    assert_eq!(server.get("/server_version.xsl").status, 200);
    let health = || -> serde_json::Value {
        serde_json::from_slice(&server.get("/health").body).expect("valid JSON")
    };
    wait_for("every shard has reported", || health()["status"] == "ok");
    assert_eq!((&health()["sources"], &health()["shards"]), (&1.into(), &2.into()));
    wait_for("it takes listeners", || server.get("/ready").status == 200);
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let server = Server::start("");
    let _one = Source::tape(server.address, "/one.mp3", 1, 4.0);
    wait_for("it is up", || server.metric("skywave_sources") == Some(1.0));
    wait_for("both shards have reported", || server.metric("skywave_shard_clients").is_some());
    let text = server.get("/metrics").text();
    for line in text.lines() {
        let is_comment = line.starts_with("# HELP ") || line.starts_with("# TYPE ");
        let is_sample = line.rsplit_once(' ').is_some_and(|(name, value)| {
            name.starts_with("skywave_") && value.parse::<f64>().is_ok()
        });
        assert!(is_comment || is_sample, "{line}");
    }
    assert!(text.contains("skywave_tick_us_bucket{shard=\"0\",le=\"+Inf\"}"), "{text}");
    assert!(text.contains("skywave_mount_up{mount=\"/one.mp3\"} 1"), "{text}");
    assert!(!text.contains(PASSWORD));
}
