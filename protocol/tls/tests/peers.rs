//! OpenSSL at the other end, over loopback: its client against the example, its server against a
//! client's session.

#[path = "../examples/tls_echo.rs"]
#[allow(dead_code, reason = "its command line is not used")]
mod echo;
#[path = "tls/lab.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod lab;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lab::Authority;
use protocol_tls::{Session, Version};

const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    authority: Authority,
    address: SocketAddr,
    /// A file with the authority's certificate.
    roots: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let authority = Authority::new();
        let (certificate, key) = authority.issue(&["a.example"]);
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, _) = echo::start(any, &(certificate + &authority.pem()), &key).unwrap();
        let roots = scratch(name);
        std::fs::write(&roots, authority.pem()).unwrap();
        Scene { authority, address, roots }
    }

    /// OpenSSL's client, which verifies and has to find everything right.
    fn openssl(&self, options: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address.to_string()]);
        command.args(["-servername", "a.example", "-verify_return_error", "-CAfile"]);
        command.arg(&self.roots).args(options).stdin(Stdio::null());
        command
    }

    fn said(&self, options: &[&str]) -> (Output, String) {
        let output = self.openssl(options).output().expect("openssl is installed");
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into();
        (output, text)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_file(&self.roots);
    }
}

fn scratch(name: &str) -> PathBuf {
    let name = format!("tls-{name}-{}", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn openssl_hears_what_it_said() {
    let scene = Scene::new("echo");
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = scene.openssl(&["-quiet", "-ign_eof", version]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = Ends(command.spawn().expect("openssl is installed"));
        let said: Vec<u8> = (0..200_000_u32).map(|at| b'a' + (at % 26) as u8).collect();
        let mut stdin = client.0.stdin.take().unwrap();
        let to_say = said.clone();
        let writer = std::thread::spawn(move || {
            stdin.write_all(&to_say).unwrap();
            stdin
        });
        let mut heard = vec![0; said.len()];
        client.0.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
        assert!(heard == said, "{version}");
        drop(writer.join().unwrap());
    }
}

#[test]
fn openssl_finds_the_handshake_right_and_resumes() {
    let scene = Scene::new("check");
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (output, text) = scene.said(&[version, "-alpn", "h2,http/1.1"]);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
        assert!(text.contains(&format!("New, {name}")), "{text}");
    }
    // Five more connections, each of which goes on with the first one's ticket.
    let (_, text) = scene.said(&["-tls1_2", "-reconnect"]);
    assert_eq!(text.matches("Reused, TLSv1.2").count(), 5, "{text}");
}

#[test]
fn openssl_is_refused_what_is_not_safe() {
    let scene = Scene::new("unsafe");
    for options in [
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "AES128-SHA"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
        &["-alpn", "h2"],
    ] {
        let (output, text) = scene.said(options);
        assert!(!output.status.success() && text.contains("alert"), "{options:?}: {text}");
    }
    let (_, text) = scene.said(&["-tls1_2"]);
    assert!(text.contains("Secure Renegotiation IS supported"), "{text}");
    assert!(text.contains("Compression: NONE") && text.contains("Extended master secret: yes"));
}

#[test]
fn plain_http_gets_an_alert_and_the_end() {
    let scene = Scene::new("plain");
    let mut stream = TcpStream::connect(scene.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard[..6], [21, 3, 3, 0, 2, 2]);
}

#[test]
fn a_session_of_ours_is_served_by_openssl() {
    let scene = Scene::new("server");
    let (certificate, key) = scene.authority.issue(&["b.example"]);
    let identity = scratch("identity");
    std::fs::write(&identity, certificate + &key).unwrap();
    for (version, option) in [(Version::Tls12, "-tls1_2"), (Version::Tls13, "-tls1_3")] {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &address, "-www", option, "-cert"]).arg(&identity);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _server = Ends(command.spawn().expect("openssl is installed"));
        let config = scene.authority.client();
        // The second goes on with the first one's ticket.
        for is_resumed in [false, true] {
            let mut stream = connect(&address);
            let mut out = Vec::new();
            let mut session = Session::client(&config, "b.example", &mut out).unwrap();
            let (mut plaintext, mut has_asked) = (Vec::new(), false);
            loop {
                stream.write_all(&std::mem::take(&mut out)).unwrap();
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).unwrap();
                let received = session.receive(&mut buffer[..count], &mut plaintext, &mut out);
                if received.unwrap().is_closed || count == 0 {
                    break;
                }
                if !session.is_handshaking() && !has_asked {
                    has_asked = true;
                    session.seal(b"GET / HTTP/1.0\r\n\r\n", &mut out).unwrap();
                }
            }
            let handshake = session.handshake().unwrap();
            assert_eq!((handshake.version, handshake.is_resumed), (version, is_resumed));
            assert!(plaintext.starts_with(b"HTTP/1.0 200 ok"), "{version:?}");
            assert_eq!(session.end(), Ok(()));
        }
    }
    std::fs::remove_file(identity).unwrap();
}

/// Tries until the server listens.
fn connect(address: &str) -> TcpStream {
    let mut attempts = 0;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) => assert!(attempts < 1000, "{error}"),
        }
        attempts += 1;
        #[allow(clippy::disallowed_methods, reason = "waits for another process")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
