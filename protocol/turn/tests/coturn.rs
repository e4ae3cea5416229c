//! The whole relay of `examples/relay` against coturn's own clients: `turnutils_uclient` and
//! `turnutils_stunclient`. The exit code of the first says nothing, so what it prints is read.

#[path = "../examples/relay/mod.rs"]
mod relay;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use relay::Args;

const PASSWORD: &str = "secret";

/// A relay on loopback, for both families.
struct Relay {
    port: u16,
}

impl Relay {
    fn start(more: &[&str]) -> Relay {
        // The same port for both families: the clients know only one.
        for _ in 0..64 {
            let probe = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            let port = probe.local_addr().expect("bound").port();
            drop(probe);
            let text = format!(
                "--turn 127.0.0.1:{port} --turn [::1]:{port} --turn-user anna:{PASSWORD} \
                 --turn-secret shared --turn-allow-peer 127.0.0.0/8 --turn-allow-peer ::1"
            );
            let words = text.split(' ').chain(more.iter().copied()).map(str::to_owned);
            let args = Args::parse(words.filter(|word| !word.is_empty())).expect("arguments");
            if let Ok((listeners, _shards)) = relay::start(&args) {
                assert!(listeners.len() >= 4 && listeners[0].address.port() == port);
                // The shards run until the process ends.
                return Relay { port };
            }
        }
        panic!("no port is free for UDP and TCP and both families");
    }

    /// What `turnutils_uclient` printed.
    fn uclient(&self, options: &str, server: &str) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("turnutils_uclient");
        command.args(["-u", "anna", "-w", PASSWORD, "-p", &port, "-z", "5"]);
        command.args(options.split_whitespace()).arg(server);
        output_of(&mut command)
    }

    /// The packets that a run of `turnutils_uclient` lost.
    fn lost(&self, options: &str, server: &str) -> u64 {
        let printed = self.uclient(options, server);
        let line = printed.lines().rfind(|line| line.contains("Total lost packets"));
        let line = line.unwrap_or_else(|| panic!("{options}: no result in\n{printed}"));
        let (_, rest) = line.split_once("Total lost packets ").expect("found above");
        let number = rest.split([' ', '(']).next().and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{options}: no number in {line}"))
    }
}

fn output_of(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child: Child = command.spawn().expect("coturn's clients are installed");
    let output = child.wait_with_output().expect("it ends by itself");
    let (out, err) = (output.stdout, output.stderr);
    format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
}

/// A peer that says everything again, on a port and the next one.
struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    fn start(ip: IpAddr) -> Echo {
        let (first, second) = loop {
            let first = UdpSocket::bind((ip, 0)).expect("a free port");
            let port = first.local_addr().expect("bound").port();
            if let Some(Ok(second)) = port.checked_add(1).map(|next| UdpSocket::bind((ip, next))) {
                break (first, second);
            }
        };
        let address = first.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let serve = |socket: UdpSocket| {
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
                        socket.send_to(&buffer[..bytes], from).expect("loopback takes it");
                    }
                }
            })
        };
        let threads = vec![serve(first), serve(second)];
        Echo { address, stop, threads }
    }

    fn options(&self) -> String {
        format!("-e {} -r {}", self.address.ip(), self.address.port())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the echo does not panic");
        }
    }
}

fn echo(ip: &str) -> Echo {
    Echo::start(ip.parse().expect("an address"))
}

#[test]
fn channels_between_two_clients_of_both_families() {
    let relay = Relay::start(&[]);
    for server in ["127.0.0.1", "::1"] {
        assert_eq!(relay.lost("-y -c -n 50 -l 160", server), 0);
    }
    assert_eq!(relay.lost("-y -c -n 20 -l 1200 -x", "127.0.0.1"), 0, "an IPv6 relay");
}

#[test]
fn channels_and_send_indications_to_a_peer() {
    let relay = Relay::start(&[]);
    let peer = echo("127.0.0.1");
    for options in ["-c", "-s -c", "-s -c -g", "-c -G", "-c -m 10"] {
        let options = format!("{} -n 20 -l 160 {options}", peer.options());
        assert_eq!(relay.lost(&options, "127.0.0.1"), 0, "{options}");
    }
    let peer = echo("::1");
    for server in ["127.0.0.1", "::1"] {
        let options = format!("{} -n 20 -l 160 -c -x", peer.options());
        assert_eq!(relay.lost(&options, server), 0);
    }
}

#[test]
fn pairs_of_ports_with_a_reservation() {
    // Without -c the client asks for an even port, and with the token for the next one.
    let relay = Relay::start(&[]);
    assert_eq!(relay.lost("-y -n 20 -l 160", "127.0.0.1"), 0);
    let peer = echo("127.0.0.1");
    assert_eq!(relay.lost(&format!("{} -n 20 -l 160", peer.options()), "127.0.0.1"), 0);
}

#[test]
fn both_families_in_one_allocation() {
    let relay = Relay::start(&[]);
    for ip in ["127.0.0.1", "::1"] {
        let peer = echo(ip);
        let options = format!("{} -Z -n 20 -l 160", peer.options());
        assert_eq!(relay.lost(&options, "127.0.0.1"), 0, "{ip}");
    }
}

#[test]
fn clients_over_tcp() {
    let relay = Relay::start(&[]);
    let peer = echo("127.0.0.1");
    for options in ["-y -c".to_owned(), peer.options(), format!("-s {}", peer.options())] {
        for server in ["127.0.0.1", "::1"] {
            // Odd lengths need padding.
            let options = format!("-t -n 20 -l 161 -X {options}");
            assert_eq!(relay.lost(&options, server), 0, "{options}");
        }
    }
}

#[test]
fn clients_over_tls_on_a_port_of_its_own_and_on_the_other() {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("relay-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, pair.cert.pem()).expect("a file");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("a file");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let tls_port = free.local_addr().expect("bound").port();
    drop(free);
    let tls = format!("127.0.0.1:{tls_port}");
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let flags = ["--turn-tls", &tls, "--tls-certificate", &certificate, "--tls-key", &key];
    let relay = Relay::start(&flags);
    let peer = echo("127.0.0.1");
    for port in [tls_port, relay.port] {
        for options in ["-y -c".to_owned(), peer.options(), format!("-s {}", peer.options())] {
            let options = format!("-t -S -n 20 -l 161 -X -p {port} {options}");
            assert_eq!(relay.lost(&options, "127.0.0.1"), 0, "{options}");
        }
    }
    assert_eq!(relay.lost("-T -S -n 20 -l 160", "127.0.0.1"), 0, "TCP with peers");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn tcp_with_peers() {
    let relay = Relay::start(&[]);
    assert_eq!(relay.lost("-T -n 20 -l 160", "127.0.0.1"), 0);
    // Of a passive client only one direction is counted, with coturn's server too.
    assert_eq!(relay.lost("-P -n 20 -l 160", "127.0.0.1"), 20);
}

#[test]
fn a_timed_name_of_a_shared_secret() {
    let relay = Relay::start(&[]);
    assert_eq!(relay.lost("-u ben -W shared -y -c -n 10 -l 100", "127.0.0.1"), 0);
    let printed = relay.uclient("-u ben -W wrong -y -c -n 10 -l 100", "127.0.0.1");
    assert!(!printed.contains("Total lost packets"), "{printed}");
}

#[test]
fn nobody_gets_in_with_a_wrong_password() {
    let relay = Relay::start(&[]);
    let printed = relay.uclient("-w wrong -y -c -n 5", "127.0.0.1");
    assert!(printed.contains("Cannot complete Allocation"), "{printed}");
}

#[test]
fn its_negative_modes_leave_the_relay_well() {
    let relay = Relay::start(&[]);
    let peer = echo("127.0.0.1");
    for options in ["-N -c", "-B -c", "-t -N -c"] {
        relay.uclient(&format!("{} -n 10 -l 100 {options}", peer.options()), "127.0.0.1");
    }
    assert_eq!(relay.lost("-y -c -n 20 -l 160", "127.0.0.1"), 0);
}

#[test]
fn where_a_client_is_seen_from() {
    let relay = Relay::start(&[]);
    for ip in ["127.0.0.1", "::1"] {
        let port = relay.port.to_string();
        let mut command = Command::new("turnutils_stunclient");
        let printed = output_of(command.args(["-p", &port, ip]));
        assert!(printed.contains(&format!("UDP reflexive addr: {ip}:")), "{printed}");
    }
}

#[test]
fn there_are_no_default_credentials() {
    let words = ["--turn", "127.0.0.1:0"].map(str::to_owned);
    let error = Args::parse(words.into_iter()).expect_err("nobody may have an allocation");
    assert!(error.contains("--turn-user"), "{error}");
}
