//! TURN across a network: a peer behind a router and a link that takes short packets only.
//!
//! ```text
//! client, peer ───────────── 1500 ───────────── relay
//!         └────── 1300 ────── router ── 1500 ─────┘
//! ```
//!
//! Once with a peer of IPv4, once of IPv6, where no router cuts and this host does.
//!
//! The test runs itself again in a network namespace of its own, in which it is client and peer;
//! relay and router have one each besides. It needs root, and is left out without.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use protocol_stun::{
    AttributeKind, Builder, Class, Icmp, Integrity, Key, Message, Method, PasswordAlgorithm,
    TransactionId,
};

use crate::harness::{Folder, PATIENCE, Peer, have, peer, run_to_end};

const INSIDE: &str = "SKYWAVE_TEST_NETWORK";
const SERVER: &str = "10.9.1.1:3478";
/// The least that IPv6 takes is 1,280.
const LINK_BYTES: u32 = 1_300;
const TOO_LONG_BYTES: usize = 1_400;

/// What differs between the families.
struct Peers {
    external: &'static str,
    peer: &'static str,
    /// The value of REQUESTED-ADDRESS-FAMILY, where it is asked for.
    family: Option<[u8; 4]>,
    /// Type and code of what says that a packet was too long, and that nobody is there.
    too_long: (u8, u8),
    nobody: (u8, u8),
}

#[test]
fn what_the_network_says_of_a_peer_is_told_to_its_client_alone() {
    told_to_its_client_alone(
        "what_the_network_says_of_a_peer_is_told_to_its_client_alone",
        &Peers {
            external: "10.9.2.1",
            peer: "10.9.3.1:9000",
            family: None,
            too_long: (3, 4),
            nobody: (3, 3),
        },
    );
}

#[test]
fn what_the_network_says_of_a_v6_peer_is_told_to_its_client_alone() {
    told_to_its_client_alone(
        "what_the_network_says_of_a_v6_peer_is_told_to_its_client_alone",
        &Peers {
            external: "fd09:2::1",
            peer: "[fd09:3::1]:9000",
            family: Some([2, 0, 0, 0]),
            too_long: (2, 0),
            nobody: (1, 4),
        },
    );
}

fn told_to_its_client_alone(test: &str, peers: &Peers) {
    if !have(&["ip", "unshare"]) || !rustix::process::geteuid().is_root() {
        return;
    }
    if std::env::var(INSIDE).is_err() {
        let program = std::env::current_exe().expect("a program");
        let mut command = Command::new("unshare");
        command.arg("--net").arg(program).arg("--exact").arg(format!("turn_network::{test}"));
        command.arg("--nocapture");
        let status = command.env(INSIDE, "1").status().expect("unshare");
        assert!(status.success(), "in a namespace of its own: {status}");
        return;
    }
    let _namespaces = lay_network();
    let folder = Folder::new("turn-network");
    let _server = start_server(&folder, peers.external);
    let mut client = Client::new();
    client.allocate(peers.family);
    let there = UdpSocket::bind(peers.peer).expect("an address of ours");
    there.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let there_at = there.local_addr().expect("bound");
    client.permit(there_at);

    // Too long for the link: a router cuts it, or this host once it has been told.
    let arrives = |client: &mut Client, data: &[u8], dont_fragment| {
        let mut room = [0; 2_000];
        client.until("it arrives", |client| {
            client.send(there_at, data, dont_fragment);
            there.recv(&mut room).is_ok_and(|bytes| room[..bytes] == *data)
        });
    };
    arrives(&mut client, &[1; TOO_LONG_BYTES], false);
    // It must not be cut: the client is told how long it may be. Again and again, also when this
    // host knows it by itself.
    for _ in 0..3 {
        client.icmps.clear();
        client.until("it is told that it is too long", |client| {
            client.send(there_at, &[2; TOO_LONG_BYTES], true);
            client.listen();
            let (kind, code) = peers.too_long;
            client.icmps.contains(&(there_at, Icmp { kind, code, data: LINK_BYTES }))
        });
    }
    // What fits goes, and what may be cut goes after that as well.
    arrives(&mut client, &[3; 900], true);
    arrives(&mut client, &[4; TOO_LONG_BYTES], false);

    // Nobody is there; and who is there gets all that he is sent meanwhile.
    let nobody = SocketAddr::new(there_at.ip(), 9);
    let mut room = [0; 2_000];
    while there.recv(&mut room).is_ok() {}
    client.icmps.clear();
    for number in 0..200_u8 {
        client.send(nobody, &[5; 100], false);
        client.send(there_at, &[number; 100], false);
        client.listen();
        let bytes = there.recv(&mut room).unwrap_or_else(|_| panic!("{number} is lost"));
        assert_eq!(room[..bytes], [number; 100]);
    }
    client.until("it is told that nobody is there", |client| {
        client.listen();
        let (kind, code) = peers.nobody;
        client.icmps.contains(&(nobody, Icmp { kind, code, data: 0 }))
    });
}

fn start_server(folder: &Folder, external: &str) -> Peer {
    let data = folder.path().display().to_string();
    let relay = namespace("relay");
    peer(
        "ip",
        &[
            "netns",
            "exec",
            &relay,
            env!("CARGO_BIN_EXE_skywave"),
            "--listen",
            "127.0.0.1:8000",
            "--data-dir",
            &data,
            "--shards",
            "1",
            "--turn",
            SERVER,
            "--turn-external",
            external,
            "--turn-user",
            "anna:secret",
            "--turn-allow-peer",
            "10.9.0.0/16",
            "--turn-allow-peer",
            "fd09::/16",
        ],
    )
}

fn namespace(name: &str) -> String {
    format!("skywave-{name}-{}", std::process::id())
}

struct Namespaces([String; 2]);

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            run(&format!("netns del {name}"));
        }
    }
}

fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = run_to_end("ip", &words, Duration::from_secs(20));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {line}: {said}");
}

fn lay_network() -> Namespaces {
    let (relay, router) = (namespace("relay"), namespace("router"));
    run(&format!("netns add {relay}"));
    run(&format!("netns add {router}"));
    let namespaces = Namespaces([relay.clone(), router.clone()]);
    run(&format!("link add near type veth peer client netns {relay}"));
    run(&format!("-n {relay} link add out type veth peer in netns {router}"));
    run(&format!("link add far type veth peer short netns {router}"));
    run("addr add 10.9.1.2/24 dev near");
    run(&format!("-n {relay} addr add 10.9.1.1/24 dev client"));
    run(&format!("-n {relay} addr add 10.9.2.1/24 dev out"));
    run(&format!("-n {router} addr add 10.9.2.2/24 dev in"));
    run(&format!("-n {router} addr add 10.9.3.2/24 dev short"));
    run("addr add 10.9.3.1/24 dev far");
    // Without a search for doubles, or an address could not be used at once.
    run("addr add fd09:3::1/64 dev far nodad");
    run(&format!("-n {relay} addr add fd09:2::1/64 dev out nodad"));
    run(&format!("-n {router} addr add fd09:2::2/64 dev in nodad"));
    run(&format!("-n {router} addr add fd09:3::2/64 dev short nodad"));
    for device in ["lo", "near", "far"] {
        run(&format!("link set {device} up"));
    }
    for device in ["lo", "client", "out"] {
        run(&format!("-n {relay} link set {device} up"));
    }
    for device in ["lo", "in", "short"] {
        run(&format!("-n {router} link set {device} up"));
    }
    run(&format!("-n {router} link set short mtu {LINK_BYTES}"));
    run(&format!("link set far mtu {LINK_BYTES}"));
    run(&format!("-n {relay} route add 10.9.3.0/24 via 10.9.2.2"));
    run("route add 10.9.2.0/24 via 10.9.3.2");
    run(&format!("-n {relay} -6 route add fd09:3::/64 via fd09:2::2"));
    run("-6 route add fd09:2::/64 via fd09:3::2");
    let forward =
        "cd /proc/sys/net && echo 1 > ipv4/ip_forward && echo 1 > ipv6/conf/all/forwarding";
    let words = ["netns", "exec", &router, "sh", "-c", forward];
    let output = run_to_end("ip", &words, Duration::from_secs(20));
    assert!(output.status.success(), "the router does not forward");
    namespaces
}

/// A client of datagrams.
struct Client {
    socket: UdpSocket,
    nonce: Vec<u8>,
    realm: Vec<u8>,
    id: u64,
    /// What it was told of the network.
    icmps: Vec<(SocketAddr, Icmp)>,
    /// The classes of the answers to its requests.
    answers: Vec<Class>,
}

impl Client {
    fn new() -> Client {
        let socket = UdpSocket::bind("10.9.1.2:0").expect("an address of ours");
        socket.connect(SERVER).expect("a route");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let (nonce, realm) = (Vec::new(), Vec::new());
        Client { socket, nonce, realm, id: 0, icmps: Vec::new(), answers: Vec::new() }
    }

    fn until(&mut self, what: &str, mut is_true: impl FnMut(&mut Client) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true(self) {
            assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}: {what}");
        }
    }

    fn allocate(&mut self, family: Option<[u8; 4]>) {
        self.ask(Method::ALLOCATE, |builder| {
            builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            if let Some(family) = family {
                builder.attribute(AttributeKind::REQUESTED_ADDRESS_FAMILY, &family);
            }
        });
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.ask(Method::CREATE_PERMISSION, |builder| {
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        });
    }

    /// Asks until it is done.
    fn ask(&mut self, method: Method, write: impl Fn(&mut Builder<'_>)) {
        self.answers.clear();
        self.until("a request is done", |client| {
            client.id += 1;
            let mut id = [0; 12];
            id[..8].copy_from_slice(&client.id.to_be_bytes());
            let mut room = [0; 512];
            let mut builder = Builder::new(&mut room, Class::Request, method, TransactionId(id));
            write(&mut builder);
            if !client.nonce.is_empty() {
                builder.attribute(AttributeKind::USERNAME, b"anna");
                builder.attribute(AttributeKind::REALM, &client.realm);
                builder.attribute(AttributeKind::NONCE, &client.nonce);
                let md5 = PasswordAlgorithm::Md5;
                let key = Key::long_term(md5, b"anna", &client.realm, b"secret");
                builder.integrity(Integrity::Sha1, &key);
            }
            let bytes = builder.finish().expect("room");
            // Refused while the server is not there yet.
            let _ = client.socket.send(&room[..bytes]);
            client.listen();
            client.answers.contains(&Class::Success)
        });
    }

    fn send(&self, peer: SocketAddr, data: &[u8], dont_fragment: bool) {
        let mut room = [0; 1_600];
        let id = TransactionId([9; 12]);
        let mut builder = Builder::new(&mut room, Class::Indication, Method::SEND, id);
        builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        if dont_fragment {
            builder.attribute(AttributeKind::DONT_FRAGMENT, &[]);
        }
        let bytes = builder.attribute(AttributeKind::DATA, data).finish().expect("room");
        self.socket.send(&room[..bytes]).expect("sent");
    }

    /// Takes what comes until nothing does.
    fn listen(&mut self) {
        let mut room = [0; 2_000];
        while let Ok(bytes) = self.socket.recv(&mut room) {
            let message = Message::decode(&room[..bytes]).expect("a message");
            if let Some(nonce) = message.find(AttributeKind::NONCE) {
                self.nonce = nonce.to_vec();
            }
            if let Some(realm) = message.find(AttributeKind::REALM) {
                self.realm = realm.to_vec();
            }
            if message.class() != Class::Indication {
                self.answers.push(message.class());
            } else if let Some(icmp) = message.icmp().expect("well-formed") {
                let peer = message.xor_address(AttributeKind::XOR_PEER_ADDRESS);
                self.icmps.push((peer.expect("well-formed").expect("a peer"), icmp));
            }
        }
    }
}
