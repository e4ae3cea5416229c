//! The example over TLS and what others find there: OpenSSL's client in the manner of testssl,
//! Python, wrk, and Chromium.

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

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.join(format!("tls-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// One server for all tests of this process; it ends with it.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let folder = folder();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let page = "<!DOCTYPE html><title>t</title><p id=p></p><script>\
            fetch('/').then(answer => answer.text()).then(text => {\
            document.getElementById('p').textContent = `[${isSecureContext} ${text}]` })</script>";
        let settings = serve::Settings {
            address: None,
            cores: Vec::new(),
            root: Some(root::root("tls-peers-root", &[("page.html", page.as_bytes())])),
            tls: Some((certificate, key)),
        };
        let address = serve::start(&settings).unwrap().0;
        // The certificate was read at the start.
        std::fs::remove_dir_all(folder).unwrap();
        address
    })
}

/// What OpenSSL's client says when it asks for `/` with these options; and whether it was answered.
fn s_client(options: &[&str]) -> (bool, String) {
    let address = address().to_string();
    let fixed = ["s_client", "-connect", &address, "-servername", "localhost", "-ign_eof"];
    let output = run_with("openssl", &[&fixed[..], options].concat(), REQUEST);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (said.contains("HTTP/1.1 200 OK") && said.contains("Hello, world!"), said.into_owned())
}

#[test]
fn versions() {
    if !have("openssl", "openssl") {
        return;
    }
    for (version, line) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (is_answered, said) = s_client(&[version]);
        assert!(is_answered && said.contains(line), "{said}");
        assert!(said.contains("Compression: NONE"), "{said}");
        assert!(!said.to_lowercase().contains("heartbeat"), "{said}");
    }
    // Old ones are refused by us, not by OpenSSL: it is told to offer them.
    for version in ["-tls1", "-tls1_1"] {
        let (is_answered, said) = s_client(&[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!is_answered && said.contains("alert"), "{version}: {said}");
    }
    let (_, said) = s_client(&["-tls1_2"]);
    assert!(said.contains("Secure Renegotiation IS supported"), "{said}");
    assert!(said.contains("Extended master secret: yes"), "{said}");
}

#[test]
fn ciphers_and_groups() {
    if !have("openssl", "openssl") {
        return;
    }
    let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    for suite in suites.iter().chain(&["ECDHE-ECDSA-CHACHA20-POLY1305"]) {
        assert!(s_client(&["-tls1_2", "-cipher", suite]).0, "{suite}");
    }
    // No CBC, no key exchange without forward secrecy, nobody anonymous, nothing in the clear.
    for suite in ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "kRSA", "aNULL", "eNULL"] {
        let list = format!("{suite}:@SECLEVEL=0");
        let (is_answered, said) = s_client(&["-tls1_2", "-cipher", &list]);
        assert!(!is_answered && said.contains("alert"), "{suite}: {said}");
    }
    for suite in
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    {
        assert!(s_client(&["-tls1_3", "-ciphersuites", suite]).0, "{suite}");
    }
    for group in ["X25519", "P-256", "P-384"] {
        let (is_answered, said) = s_client(&["-groups", group]);
        assert!(is_answered && said.contains("Server Temp Key"), "{group}: {said}");
    }
}

#[test]
fn protocols_by_alpn() {
    if !have("openssl", "openssl") {
        return;
    }
    let (is_answered, said) = s_client(&["-alpn", "h2,http/1.1"]);
    assert!(is_answered && said.contains("ALPN protocol: http/1.1"), "{said}");
    let (is_answered, said) = s_client(&["-alpn", "h2"]);
    assert!(!is_answered && said.contains("no application protocol"), "{said}");
    assert!(s_client(&[]).0, "who asks for none gets HTTP/1.1");
}

#[test]
fn sessions_are_resumed_and_nothing_is_taken_early() {
    if !have("openssl", "openssl") {
        return;
    }
    let folder = folder().with_extension("sessions");
    std::fs::create_dir_all(&folder).unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = folder.join(format!("session{version}")).to_string_lossy().into_owned();
        assert!(s_client(&[version, "-sess_out", &session]).0);
        let (is_answered, said) = s_client(&[version, "-sess_in", &session]);
        assert!(is_answered && said.contains("Reused, TLSv1"), "{version}: {said}");
        if version == "-tls1_3" {
            let early = folder.join("early").to_string_lossy().into_owned();
            std::fs::write(&early, REQUEST).unwrap();
            let (_, said) = s_client(&[version, "-sess_in", &session, "-early_data", &early]);
            assert!(!said.contains("Early data was accepted"), "{said}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_client_cannot_renegotiate() {
    if !have("openssl", "openssl") {
        return;
    }
    let address = address().to_string();
    let arguments = ["s_client", "-connect", &address, "-tls1_2"];
    // `R` at the front of a line asks for it; what follows is not answered any more.
    let input = [b"R\n".as_slice(), REQUEST].concat();
    let output = run_with("openssl", &arguments, &input);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("RENEGOTIATING") && !said.contains("HTTP/1.1 200"), "{said}");
}

#[test]
fn python_and_wrk() {
    if !have("python3", "python3") || !have("wrk", "wrk") {
        return;
    }
    let script = r#"
import http.client, socket, ssl, sys
host, port = sys.argv[1].split(":")
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
for _ in range(3):
    connection.request("PUT", "/", b"y" * 50000)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"y" * 50000)
# A proper end: with suppress_ragged_eofs off, an end without close_notify would raise.
with socket.create_connection((host, int(port)), timeout=60) as plain:
    with context.wrap_socket(plain, suppress_ragged_eofs=False) as secure:
        secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
        pieces = b"".join(iter(lambda: secure.recv(65536), b""))
        assert pieces.endswith(b"Hello, world!"), pieces
# And neither protocol for what is neither.
for junk in (b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x00\xff\xff" + b"x" * 70000, b"\x80\x2e\x01\x00\x02"):
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        said = b""
        try:
            plain.sendall(junk)
            plain.shutdown(socket.SHUT_WR)
            while (piece := plain.recv(65536)):
                said += piece
        except OSError as error:
            # It may be cut off at any point, but it may not be left waiting.
            assert not isinstance(error, TimeoutError), error
        assert b"200" not in said and len(said) < 1000, said
print("fine")
"#;
    assert_eq!(run("python3", &["-c", script, &address().to_string()]), "fine\n");
    let told = run("wrk", &["-t1", "-c10", "-d1", &format!("https://{}/", address())]);
    assert!(!told.contains("Socket errors") && !told.contains("Non-2xx"), "{told}");
    assert!(told.contains("requests in") && !told.contains(" 0 requests in"), "{told}");
}

#[test]
fn chromium_loads_a_page() {
    if !have("chromium", "chromium") {
        return;
    }
    let profile = folder().with_extension("profile");
    let page = format!("https://{}/page.html", address());
    let shown = shown_by_chromium(&page, &profile, &["--ignore-certificate-errors"]);
    assert!(shown.contains("[true Hello, world!]"), "{shown}");
}
