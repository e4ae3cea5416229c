//! nginx in front of the example, with one connection between them that is kept; and through it
//! every request of the tables in `vectors/`. Where the two saw different ends of a request, what
//! is left over would be the front of somebody else's: the next to ask would get a wrong answer.

#[path = "peers/programs.rs"]
mod programs;
mod root;
#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "its command line and other tests use the rest")]
mod serve;
mod walk;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use programs::have;
use walk::unescape;

const PATIENCE: Duration = Duration::from_secs(60);
const TEXT: &str = "what a stranger asked for";

/// nginx with one worker; it ends with the test.
struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    fn in_front_of(server: SocketAddr) -> Nginx {
        let name = format!("desync-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(folder.join("logs")).unwrap();
        // A port that was free a moment ago; nginx cannot be asked which one it got.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.display();
        // What nginx would straighten out on the way is passed on as far as it can be told to.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/errors;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
               uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
               ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;\n\
               client_max_body_size 0;\n\
               upstream behind {{ server {server}; keepalive 1; }}\n\
               server {{\n\
                 listen {address};\n\
                 location / {{\n\
                   proxy_pass http://behind;\n\
                   proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                   proxy_set_header Host h;\n\
                   proxy_request_buffering off; proxy_ignore_client_abort on;\n\
                 }}\n\
               }}\n\
             }}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-p", &folder.to_string_lossy(), "-c", &file.to_string_lossy()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Nginx { child, address, folder };
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return nginx;
            }
            rest();
        }
        panic!("nginx does not listen: {:?}", std::fs::read_to_string(nginx.folder.join("errors")));
    }

    /// Sends bytes and gives all that comes back.
    fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may have refused and closed before it has read all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[allow(clippy::disallowed_methods, reason = "the test waits for a program")]
fn rest() {
    std::thread::sleep(Duration::from_millis(50));
}

/// The requests of a table, by name.
fn payloads(table: &str) -> Vec<(String, Vec<u8>)> {
    let mut lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut payloads = Vec::new();
    while let (Some(title), Some(bytes)) = (lines.next(), lines.next()) {
        payloads.push((title.to_owned(), unescape(bytes)));
    }
    payloads
}

#[test]
fn nothing_is_left_over_between_nginx_and_us() {
    if !have("nginx", "nginx") {
        return;
    }
    let root = root::root("behind-root", &[("text.txt", TEXT.as_bytes())]);
    let settings =
        serve::Settings { address: None, cores: Vec::new(), root: Some(root), tls: None };
    let server = serve::start(&settings).unwrap().0;
    let nginx = Nginx::in_front_of(server);
    let probe = b"GET /text.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let is_fine = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer);
        let is_one = text.matches("HTTP/1.1 ").count() == 1;
        is_one && text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{TEXT}"))
    };
    assert!(is_fine(&nginx.say(probe)), "the way through is open");
    let refused = payloads(include_str!("vectors/refused.txt"));
    let accepted = payloads(include_str!("vectors/accepted.txt"));
    let mut passed_count = 0;
    for (name, bytes) in refused.into_iter().chain(accepted) {
        let answer = nginx.say(&bytes);
        // Our own lines: it came through to us.
        passed_count += usize::from(answer.starts_with(b"HTTP/1.1 2"));
        for _ in 0..2 {
            let answer = nginx.say(probe);
            assert!(is_fine(&answer), "behind {name}: {}", answer.escape_ascii());
        }
    }
    assert!(passed_count > 20, "only {passed_count} came through");
}
