//! Who a client is, when a proxy stands between: believed from trusted networks only.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::{Listener, Server, Setup, Source, basic, exchange, wait_for};

const TRUSTED: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const PROXIED: &str = "[[listen]]\naddress = \"127.0.0.1:{port}\"\n\
                       [[listen]]\naddress = \"127.0.0.1:{proxied}\"\nproxy_protocol = true\n";

/// What the server takes the only listener of a mount for.
fn listener_address(server: &Server) -> String {
    let mut address = None;
    wait_for("one listener is listed", || {
        let list = server.admin("/admin/listclients?mount=/live.mp3").text();
        let found = list.split("<IP>").nth(1).and_then(|rest| rest.split('<').next());
        address = found.map(str::to_owned);
        address.is_some()
    });
    address.expect("just found")
}

fn heard_as(toml: &str, line: &str) -> String {
    let server = Server::start(toml);
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let _listener = Listener::open(server.address, "/live.mp3", &[line]);
    listener_address(&server)
}

#[test]
fn x_forwarded_for_is_believed_from_trusted_proxies_only() {
    let forwarded = "X-Forwarded-For: 203.0.113.7";
    assert_eq!(heard_as(TRUSTED, forwarded), "203.0.113.7");
    assert_eq!(heard_as("", forwarded), "127.0.0.1");
    let elsewhere = "[server]\ntrusted_proxies = [\"192.0.2.0/24\"]\n";
    assert_eq!(heard_as(elsewhere, forwarded), "127.0.0.1");
    // Of a chain, the last that is not itself trusted: what stands before it, anybody may write.
    let chain = "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 127.0.0.5";
    assert_eq!(heard_as(TRUSTED, chain), "203.0.113.9");
    assert_eq!(heard_as(TRUSTED, "X-Forwarded-For: nobody"), "127.0.0.1");
}

/// A server with a socket for proxies; the second address is that socket's.
fn proxied(toml: &str) -> (Server, std::net::SocketAddr) {
    // The port above the server's own is free as well: `free_port` made sure.
    let port = crate::harness::free_port();
    let sockets = PROXIED.replace("{proxied}", &(port + 1).to_string());
    let toml = format!("{toml}{sockets}");
    let server = Server::start_with(Setup { toml, port, ..Setup::default() });
    let mut address = server.address;
    address.set_port(port + 1);
    (server, address)
}

fn version_2(source: [u8; 4], command: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[0x20 | command, 0x11, 0, 12]);
    header.extend_from_slice(&source);
    header.extend_from_slice(&[127, 0, 0, 1, 0x1f, 0x40, 0x1f, 0x41]);
    header
}

#[test]
fn proxy_protocol_in_both_versions() {
    let (server, address) = proxied(TRUSTED);
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let request = b"GET /live.mp3 HTTP/1.0\r\n\r\n";
    let table = [
        (b"PROXY TCP4 203.0.113.1 10.0.0.1 5000 80\r\n".to_vec(), "203.0.113.1"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (version_2([203, 0, 113, 2], 1), "203.0.113.2"),
        (version_2([203, 0, 113, 3], 0), "127.0.0.1"),
    ];
    for (header, expected) in table {
        let bytes = [&header[..], request].concat();
        let listener = Listener::send(address, &bytes);
        assert_eq!(listener.reply.status, 200);
        assert_eq!(listener_address(&server), expected);
        drop(listener);
        wait_for("nobody is left", || {
            !server.admin("/admin/listclients?mount=/live.mp3").text().contains("<IP>")
        });
    }
    // In pieces, it is the same.
    let mut stream = TcpStream::connect(address).expect("connects");
    for byte in [&version_2([203, 0, 113, 4], 1)[..], request].concat() {
        stream.write_all(&[byte]).expect("sends");
    }
    assert_eq!(listener_address(&server), "203.0.113.4");
}

#[test]
fn what_is_no_proxy_header_is_closed_without_a_word() {
    let (server, address) = proxied(TRUSTED);
    for bytes in
        ["GET / HTTP/1.0\r\n\r\n", "PROXY TCP4 x y z\r\n", "PROXY \r\n", "\r\n\r\n\0\r\nQUIT\nxxxx"]
    {
        assert_eq!(exchange(address, bytes.as_bytes()), b"", "{bytes:?}");
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_proxy_header_from_elsewhere_is_not_believed() {
    let (_server, address) = proxied("[server]\ntrusted_proxies = [\"192.0.2.0/24\"]\n");
    let bytes = b"PROXY TCP4 203.0.113.1 10.0.0.1 5000 80\r\nGET /health HTTP/1.0\r\n\r\n";
    assert_eq!(exchange(address, bytes), b"");
}

#[test]
fn wrong_passwords_are_logged_with_the_real_address() {
    let server = Server::start(TRUSTED);
    let line = basic("source", "wrong");
    let request = format!(
        "SOURCE /x.mp3 HTTP/1.0\r\nContent-Type: audio/mpeg\r\nX-Forwarded-For: 203.0.113.8\r\n\
         {line}\r\n\r\n"
    );
    exchange(server.address, request.as_bytes());
    wait_for("the log names it", || server.log().contains("203.0.113.8"));
    assert!(!server.log().contains(&line[21..]), "but not what was sent");
}
