//! TLS beside plain HTTP on one port: names, sources, listeners, certificates that change.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Folder, Listener, Server, Source, exchange, have, peer, rest_ms, run_to_end, wait_for,
};

/// How long a peer may take for what it does at once.
const SOON: Duration = Duration::from_secs(30);

/// Writes a certificate for these names, with its key behind it in the same file.
fn certificate(path: &std::path::Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(path, made.cert.pem() + &made.signing_key.serialize_pem()).expect("a file");
}

/// A server with certificates for two names.
fn start(more: &str) -> (Server, Folder) {
    let folder = Folder::new("certificates");
    let (one, two) = (folder.path().join("one.pem"), folder.path().join("two.pem"));
    certificate(&one, &["localhost", "one.example"]);
    certificate(&two, &["two.example"]);
    let (one, two) = (one.display(), two.display());
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:{{port}}\"\ntls = true\n{more}\n\
         [tls]\ncertificates = [\"{one}\", \"{two}\"]\n"
    );
    (Server::start(&toml), folder)
}

/// What curl says to a URL of the server under one of its names.
fn curl(server: &Server, name: &str, path: &str, options: &[&str]) -> String {
    let port = server.address.port();
    let url = format!("https://{name}:{port}{path}");
    let resolve = format!("{name}:{port}:127.0.0.1");
    let args = [&["-sS", "--resolve", &resolve, "--max-time", "20", &url][..], options].concat();
    let output = run_to_end("curl", &args, SOON);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_name_has_its_certificate_and_plain_http_goes_on() {
    if !have(&["curl"]) {
        return;
    }
    let (server, folder) = start("");
    let file = |name| folder.path().join(name).display().to_string();
    for (name, own, other) in
        [("one.example", "one.pem", "two.pem"), ("two.example", "two.pem", "one.pem")]
    {
        let own = file(own);
        for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let options = [&["--cacert", own.as_str()][..], version].concat();
            assert!(curl(&server, name, "/status-json.xsl", &options).contains("icestats"));
        }
        let wrong = curl(&server, name, "/status-json.xsl", &["--cacert", &file(other)]);
        assert!(wrong.contains("certificate"), "{wrong}");
    }
    assert_eq!(server.get("/status-json.xsl").status, 200);
    wait_for("handshakes are counted", || {
        server.metric("skywave_tls_handshakes_total").is_some_and(|count| count >= 4.0)
    });
    // What is neither: an alert and the end, and nobody else notices.
    let answer = exchange(server.address, b"\x16\x03\x01\x00\x05hello, hello, hello");
    assert!(answer.first().is_none_or(|first| *first == 0x15), "{answer:?}");
    wait_for("it is counted", || {
        server.metric("skywave_tls_failures_total").is_some_and(|count| count >= 1.0)
    });
}

#[test]
fn a_source_and_a_listener_over_tls() {
    if !have(&["ffmpeg", "curl"]) {
        return;
    }
    let (server, folder) = start("");
    let port = server.address.port();
    let url = format!("icecast://source:a-source-password@localhost:{port}/live.mp3");
    let _source = peer(
        "ffmpeg",
        &[
            "-nostdin",
            "-loglevel",
            "error",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440",
            "-c:a",
            "libmp3lame",
            "-b:a",
            "128k",
            "-content_type",
            "audio/mpeg",
            "-f",
            "mp3",
            "-tls",
            "1",
            &url,
        ],
    );
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    rest_ms(2_000);
    // A player over TLS, and one without.
    let heard = folder.path().join("heard.mp3");
    let heard_text = heard.display().to_string();
    let secure = format!("https://localhost:{port}/live.mp3");
    run_to_end("curl", &["-sSk", "--max-time", "4", "-o", &heard_text, &secure], SOON);
    let bytes = fs::metadata(&heard).expect("curl wrote").len();
    assert!(bytes > 40_000, "{bytes} bytes of a burst and four seconds");
    let decode = ["-v", "error", "-i", &heard_text, "-f", "null", "-"];
    let decoded = run_to_end("ffmpeg", &decode, SOON);
    assert!(decoded.status.success());
    let said = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(said.lines().count() <= 2, "{said}");
    let mut plain = Listener::open(server.address, "/live.mp3", &[]);
    assert_eq!(plain.reply.status, 200);
    assert_eq!(plain.read_exact(20_000).len(), 20_000);
}

#[test]
fn a_stream_over_tls_ends_with_a_word() {
    if !have(&["python3"]) {
        return;
    }
    let (server, folder) = start("");
    let source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    // Python's `ssl` takes an end without `close_notify` for an error, when told to.
    let script = folder.path().join("listen.py");
    let port = server.address.port();
    let code = format!(
        "import socket, ssl\n\
         context = ssl.create_default_context()\n\
         context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n\
         plain = socket.create_connection(('127.0.0.1', {port}), 20)\n\
         secure = context.wrap_socket(plain, suppress_ragged_eofs=False)\n\
         secure.sendall(b'GET /live.mp3 HTTP/1.0\\r\\n\\r\\n')\n\
         total = 0\n\
         while data := secure.recv(65536):\n    total += len(data)\n\
         print('ended after', total)\n"
    );
    fs::write(&script, code).expect("a file");
    let mut listener = peer("python3", &[&script.display().to_string()]);
    wait_for("it hears", || {
        server.mount_status("/live.mp3").is_some_and(|mount| mount["listeners"] == 1)
    });
    drop(source);
    assert!(listener.succeeds_within(SOON), "{}", listener.log());
}

#[test]
fn certificates_change_and_connections_go_on() {
    if !have(&["curl"]) {
        return;
    }
    let (server, folder) = start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let heard = folder.path().join("heard.mp3");
    let url = format!("https://localhost:{}/live.mp3", server.address.port());
    let mut listener = peer("curl", &["-sSk", "-o", &heard.display().to_string(), &url]);
    let heard_bytes = || fs::metadata(&heard).map_or(0, |data| data.len());
    wait_for("it hears", || heard_bytes() > 10_000);
    let one = folder.path().join("one.pem");
    let old = fs::read(&one).expect("the old one");
    let old_path = folder.write("old.pem", old).display().to_string();
    certificate(&one, &["localhost", "one.example"]);
    server.signal(Signal::HUP);
    let new = one.display().to_string();
    wait_for("the new one is shown", || {
        curl(&server, "one.example", "/health", &["--cacert", &new, "-f"]).trim() != ""
            && !curl(&server, "one.example", "/health", &["--cacert", &new]).contains("SSL")
    });
    assert!(curl(&server, "one.example", "/health", &["--cacert", &old_path]).contains("SSL"));
    let so_far = heard_bytes();
    wait_for("the listener goes on", || heard_bytes() > so_far + 50_000);
    assert!(listener.is_running());
    // A file that is none is said, and what was there stays.
    fs::write(&one, "no certificate").expect("a file");
    server.signal(Signal::HUP);
    wait_for("it is said", || server.log().contains("certificates not reloaded"));
    assert!(curl(&server, "two.example", "/status-json.xsl", &["-k"]).contains("icestats"));
}

#[test]
fn browsers_are_sent_to_https_and_nobody_else() {
    let (server, _folder) = start("https_redirect = true");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let browser = ["Accept: text/html,application/xhtml+xml", "Connection: close"];
    let host = format!("radio.example:{}", server.address.port());
    let request = format!(
        "GET /status.xsl?a=b HTTP/1.1\r\nHost: {host}\r\n{}\r\n{}\r\n\r\n",
        browser[0], browser[1]
    );
    let answer = String::from_utf8(exchange(server.address, request.as_bytes())).expect("text");
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.contains(&format!("\r\nLocation: https://{host}/status.xsl?a=b\r\n")));
    assert_eq!(server.get("/status-json.xsl").status, 200, "a script");
    let listener = Listener::open(server.address, "/live.mp3", &browser[..1]);
    assert_eq!(listener.reply.status, 200, "a player, and a browser that plays");
}
