//! A certificate that is replaced while the server runs, as OpenSSL's client sees it.

#[path = "peers/programs.rs"]
mod programs;
#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "its command line and other tests use the rest")]
mod serve;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use programs::{have, run, run_with};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const BODY: &[u8] = b"Hello, world!";
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts a new certificate into the folder; answers its text, without blanks and line ends.
fn certify(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    bare(&made.cert.pem())
}

fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What OpenSSL's client says of a whole connection.
fn s_client(address: SocketAddr, options: &[&str]) -> String {
    let address = address.to_string();
    let fixed = ["s_client", "-connect", &address, "-servername", "localhost", "-ign_eof"];
    let output = run_with("openssl", &[&fixed[..], options].concat(), LAST_REQUEST);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A connection that stays open.
fn stay(address: SocketAddr) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-servername", "localhost", "-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is there")
}

fn ask(client: &mut Child) -> Vec<u8> {
    client.stdin.as_mut().unwrap().write_all(REQUEST).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(BODY) {
        let mut byte = [0];
        client.stdout.as_mut().unwrap().read_exact(&mut byte).expect("it is answered");
        answer.push(byte[0]);
    }
    answer
}

#[test]
fn a_new_certificate_is_used_and_connections_go_on() {
    if !have("openssl", "openssl") {
        return;
    }
    let name = format!("tls-reload-{}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let old = certify(&folder);
    let files = (folder.join("certificate.pem"), folder.join("key.pem"));
    let settings = serve::Settings { tls: Some(files.clone()), ..serve::Settings::default() };
    let (address, _) = serve::start(&settings).unwrap();
    let session = folder.join("session").display().to_string();
    let first = s_client(address, &["-sess_out", &session]);
    assert!(bare(&first).contains(&old), "{first}");
    let mut staying = stay(address);
    assert!(ask(&mut staying).starts_with(b"HTTP/1.1 200 OK\r\n"));

    let hang_up = || run("kill", &["-HUP", &std::process::id().to_string()]);
    // Half a change is none.
    std::fs::write(&files.0, "no certificate").unwrap();
    hang_up();
    assert!(bare(&s_client(address, &[])).contains(&old));

    let new = certify(&folder);
    hang_up();
    #[allow(clippy::disallowed_methods, reason = "a test has a clock")]
    let until = Instant::now() + PATIENCE;
    loop {
        let said = bare(&s_client(address, &[]));
        if said.contains(&new) {
            break;
        }
        #[allow(clippy::disallowed_methods, reason = "a test has a clock")]
        let is_late = Instant::now() > until;
        assert!(said.contains(&old) && !is_late, "{said}");
    }
    // Who is connected goes on, and who comes back is known by its ticket.
    assert!(ask(&mut staying).ends_with(BODY));
    let again = s_client(address, &["-sess_in", &session]);
    assert!(again.contains("Reused, TLSv1.3"), "{again}");
    staying.kill().unwrap();
    staying.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
