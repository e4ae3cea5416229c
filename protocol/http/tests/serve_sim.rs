//! The example in a simulated world: time, slow and vanishing clients, a kernel with faults.
//!
//! What must hold in every run: a client that is not cut off gets its answers, in order and whole;
//! whatever happens, every connection ends and nothing of the machine's is left behind.

#[path = "../examples/serve.rs"]
#[allow(dead_code, reason = "what starts it on real shards")]
mod serve;

use std::net::SocketAddr;
use std::time::Duration;

use engine_http::{CONNECTIONS_SPARE, Limits, Server};
use protocol_ws::{Opcode, write_frame};
use shards_mesh::mesh;
use shards_runtime::{BindOptions, Io, Shard, ShardId};
use shards_sim::{Chance, Faults, MachineId, Peer, Prng, SimIo, World};

const CONNECTIONS_MAX: usize = 20;
/// For a WebSocket to say something.
const SILENCE: Duration = Duration::from_secs(30);

/// A server in its world.
struct Host {
    world: World,
    machine: MachineId,
    shard: Shard<SimIo, Server<()>>,
    address: SocketAddr,
}

impl Host {
    fn new(seed: u64, faults: Faults) -> Host {
        let world = World::new(seed, faults);
        let mut io = world.machine(0, ShardId(0));
        let machine = io.id();
        let address = SocketAddr::new(World::node_address(0), 80);
        let (acceptor, _) = io.listen(address, BindOptions::default()).unwrap();
        let mut site = serve::site(&serve::Settings::default()).unwrap();
        site.limits.connections_max = CONNECTIONS_MAX;
        let server = Server::new(&site, (ShardId(0), 1), |_| (), acceptor, None, io.now());
        let port = mesh(2, 1).swap_remove(0);
        Host { shard: Shard::new(io, port, server), world, machine, address }
    }

    fn connect(&self) -> Peer {
        self.world.connect("192.0.2.1:0".parse().unwrap(), self.address)
    }

    /// Lets the world go on for this long.
    fn run(&mut self, time: Duration) {
        let until = self.world.now() + time;
        loop {
            while self.world.machine_ready(self.machine) {
                self.shard.tick();
            }
            match self.world.next_event().filter(|at| *at <= until) {
                Some(at) => self.world.advance_to(at),
                None => break,
            }
        }
        self.world.advance_to(until);
    }

    fn assert_nothing_left(&mut self) {
        self.run(Duration::from_secs(200));
        assert_eq!(self.shard.service().connections_count(), 0, "every connection ends");
        assert_eq!(self.world.streams_open(0), 0);
        assert_eq!(self.world.buffers_outstanding(0), 0);
    }
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn text(peer: &mut Peer) -> String {
    String::from_utf8(peer.read(1 << 20)).unwrap()
}

#[test]
fn deadlines() {
    let mut host = Host::new(1, Faults::none());
    let (mut idle, mut slow, mut body) = (host.connect(), host.connect(), host.connect());
    host.run(milliseconds(10));
    idle.write(b"GET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
    body.write(b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
    // A byte each second does not help.
    for byte in b"GET / HTT" {
        slow.write(&[*byte]);
        host.run(milliseconds(1000));
    }
    assert_eq!((slow.readable(), body.readable()), (0, 0));
    assert!(text(&mut idle).starts_with("HTTP/1.1 200 OK\r\n"));
    host.run(milliseconds(2000));
    for peer in [&mut slow, &mut body] {
        assert!(text(peer).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
        host.run(milliseconds(1100));
        assert!(peer.is_finished());
    }
    host.run(milliseconds(30_000));
    assert!(!idle.is_finished());
    host.run(milliseconds(30_000));
    assert!(idle.is_finished() && idle.readable() == 0);
    host.assert_nothing_left();
}

#[test]
fn too_many_connections() {
    let mut host = Host::new(2, Faults::none());
    let mut peers: Vec<Peer> = (0..CONNECTIONS_MAX).map(|_| host.connect()).collect();
    host.run(milliseconds(10));
    let mut late = host.connect();
    host.run(milliseconds(10));
    assert!(text(&mut late).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    peers.pop();
    drop(late);
    host.run(milliseconds(10));
    let mut next = host.connect();
    host.run(milliseconds(10));
    next.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    host.run(milliseconds(10));
    assert!(text(&mut next).ends_with("Hello, world!"));
    // Nor are more told so at a time than can be; all of them are gone soon.
    let mut crowd: Vec<Peer> = (0..200).map(|_| host.connect()).collect();
    host.run(milliseconds(500));
    let open = CONNECTIONS_MAX + CONNECTIONS_SPARE;
    assert_eq!(host.shard.service().connections_count(), open);
    let told = crowd.iter_mut().map(text).filter(|answer| answer.contains(" 503 "));
    assert_eq!(told.count(), CONNECTIONS_SPARE);
    host.run(Limits::default().http.linger + milliseconds(100));
    assert_eq!(host.shard.service().connections_count(), CONNECTIONS_MAX);
    drop((crowd, peers));
    host.assert_nothing_left();
}

#[test]
fn who_is_gone_leaves_no_timers_behind() {
    let mut host = Host::new(5, Faults::none());
    for _ in 0..500 {
        let mut peers = [host.connect(), host.connect(), host.connect()];
        host.run(milliseconds(5));
        for peer in &mut peers {
            peer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        }
        host.run(milliseconds(20));
        assert!(peers.iter_mut().all(|peer| text(peer).ends_with("Hello, world!")));
    }
    assert_eq!(host.shard.service().counters().connections, 1500);
    // Two for each slot that was in use at a time: until it is idle too long, and until a send is.
    assert!(host.shard.timers_count() <= 6, "{}", host.shard.timers_count());
    // Deadlines are kept all the same.
    let idle = host.connect();
    host.run(Limits::default().http.idle + milliseconds(100));
    assert!(idle.is_finished());
    host.assert_nothing_left();
    assert_eq!(host.shard.timers_count(), 0);
}

#[test]
fn a_silent_websocket_is_pinged_and_given_up() {
    let mut host = Host::new(3, Faults::none());
    let mut peer = host.connect();
    host.run(milliseconds(10));
    let mut bytes =
        b"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
    // The first message comes with the request.
    write_frame(Opcode::Text, true, b"hello", Some([1, 2, 3, 4]), &mut bytes);
    peer.write(&bytes);
    host.run(milliseconds(10));
    let answer = peer.read(1000);
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    assert!(answer.ends_with(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello"));
    for _ in 0..3 {
        host.run(SILENCE + milliseconds(50));
        assert_eq!(peer.read(1000), b"\x89\x00", "a ping");
        peer.write(b"\x8a\x80\0\0\0\0");
        host.run(milliseconds(10));
    }
    host.run(2 * SILENCE + milliseconds(100));
    let last = peer.read(1000);
    assert!(last.starts_with(b"\x89\x00\x88\x15\x03\xe9"), "{last:x?}");
    assert!(peer.is_finished());
    host.assert_nothing_left();
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_amount() {
    let faults = Faults { pipe_bytes_min: 4096, pipe_bytes_max: 4096, ..Faults::none() };
    let mut host = Host::new(4, faults);
    let mut peer = host.connect();
    host.run(milliseconds(10));
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100);
    let mut written_bytes = 0;
    for _ in 0..5000 {
        written_bytes += peer.write(&request);
        host.run(milliseconds(1));
    }
    // What the kernels hold, and the input's bound with what arrived before the pause.
    assert!(written_bytes < Limits::default().http.input_bytes_max + 64 * 1024, "{written_bytes}");
    host.run(Limits::default().http.send + milliseconds(100));
    while !peer.read(1 << 20).is_empty() {
        host.run(milliseconds(10));
    }
    assert!(peer.is_finished());
    let counters = host.shard.service().counters();
    assert_eq!((counters.http.slow_readers, counters.http.input_paused), (1, 1));
    host.assert_nothing_left();
}

/// A client that asks for a known sequence, in pieces, and checks what comes back.
struct Client {
    peer: Peer,
    asks: Vec<u8>,
    asked_bytes: usize,
    expected: Vec<&'static str>,
    received: Vec<u8>,
    leaves_at: usize,
}

impl Client {
    fn new(host: &Host, prng: &mut Prng) -> Client {
        let mut asks = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..prng.between(1, 60) {
            let (ask, answer): (&[u8], _) = match prng.below(4) {
                0 => (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "Hello, world!"),
                1 => (b"GET /empty HTTP/1.1\r\nHost: h\r\n\r\n", ""),
                2 => (b"PUT /length HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "4\n"),
                _ => (b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n", "there is no such file"),
            };
            asks.extend_from_slice(ask);
            expected.push(answer);
        }
        let leaves = prng.chance(Chance(200));
        let leaves_at = if leaves { prng.below(asks.len() as u64) as usize } else { usize::MAX };
        let peer = host.connect();
        Client { peer, asks, asked_bytes: 0, expected, received: Vec::new(), leaves_at }
    }

    fn step(&mut self, prng: &mut Prng) {
        let count = prng.between(1, 400) as usize;
        let end = (self.asked_bytes + count).min(self.asks.len());
        self.asked_bytes += self.peer.write(&self.asks[self.asked_bytes..end]);
        if self.asked_bytes >= self.leaves_at {
            match prng.below(3) {
                0 => self.peer.close(),
                1 => self.peer.reset(),
                _ => self.peer.vanish(),
            }
        }
        self.received.extend(self.peer.read(prng.between(1, 3000) as usize));
    }

    /// How many answers are there; those that are must be the right ones.
    fn answers_count(&self) -> usize {
        let received = String::from_utf8(self.received.clone()).unwrap();
        let mut rest = &received[..];
        let mut count = 0;
        while let Some((head, after)) = rest.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 "), "{head}");
            let length = head.split_once("Content-Length: ").expect("a length").1;
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let Some(body) = after.get(..length) else { break };
            assert_eq!(body, self.expected[count], "answer {count}");
            rest = &after[length..];
            count += 1;
        }
        count
    }
}

#[test]
fn answers_are_right_whatever_the_kernel_and_the_network_do() {
    let mut complete_count = 0;
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let faults = if seed % 10 == 0 { Faults::none() } else { Faults::draw(&mut prng) };
        let is_calm = faults == Faults::none();
        let mut host = Host::new(seed, faults);
        let clients_count = prng.between(1, 12);
        let mut clients: Vec<Client> =
            (0..clients_count).map(|_| Client::new(&host, &mut prng)).collect();
        for _ in 0..400 {
            for client in &mut clients {
                client.step(&mut prng);
            }
            let pause = prng.between(1, 20);
            host.run(milliseconds(pause));
        }
        for client in &clients {
            let is_complete = client.answers_count() == client.expected.len();
            complete_count += usize::from(is_complete);
            let stayed = client.leaves_at == usize::MAX;
            assert!(is_complete || !stayed || !is_calm, "seed {seed}: not all answers");
        }
        drop(clients);
        host.world.set_faults(Faults::none());
        host.assert_nothing_left();
    }
    assert!(complete_count > 600, "most get through: {complete_count}");
}
