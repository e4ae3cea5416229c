//! Answers that go on, in a simulated world: slow, silent and vanishing clients, two shards.

#[path = "../examples/live.rs"]
#[allow(dead_code, reason = "what starts it on real shards")]
mod live;

use std::net::SocketAddr;
use std::time::Duration;

use engine_http::{Limits, Order, Server};
use live::Live;
use shards_mesh::{MeshPort, mesh};
use shards_runtime::{BindOptions, Io, Shard, ShardId};
use shards_sim::{Faults, MachineId, Peer, SimIo, World};

/// Two shards that share a world, each at an address of its own.
struct Host {
    world: World,
    shards: Vec<(MachineId, Shard<SimIo, Server<Live>>)>,
    /// Of a control plane, which says nothing.
    _control: MeshPort<Order<Live>>,
}

impl Host {
    fn new(faults: Faults) -> Host {
        let world = World::new(1, faults);
        let mut ports = mesh(3, 64);
        let control = ports.pop().unwrap();
        let shard = |(index, port)| {
            let mut io = world.machine(0, ShardId(index));
            let machine = io.id();
            let (acceptor, _) = io.listen(address(index), BindOptions::default()).unwrap();
            let place = (ShardId(index), 2);
            let server = Server::new(&live::site(), place, live::state, acceptor, None, io.now());
            (machine, Shard::new(io, port, server))
        };
        let shards = (0..).zip(ports).map(shard).collect();
        Host { world, shards, _control: control }
    }

    fn ask(&mut self, shard: u16, request: &str) -> Peer {
        let mut peer = self.world.connect("192.0.2.1:0".parse().unwrap(), address(shard));
        self.run(Duration::from_millis(5));
        peer.write(request.as_bytes());
        peer
    }

    fn listen(&mut self, shard: u16) -> Peer {
        self.ask(shard, "GET /events HTTP/1.1\r\nHost: h\r\n\r\n")
    }

    fn say(&mut self, shard: u16, text: &str) {
        let length = text.len();
        let request = format!("POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        let mut peer = self.ask(shard, &(request + text));
        self.run(Duration::from_millis(20));
        assert!(read(&mut peer).starts_with("HTTP/1.1 204 No Content\r\n"));
    }

    fn run(&mut self, time: Duration) {
        let until = self.world.now() + time;
        loop {
            for (machine, shard) in &mut self.shards {
                while self.world.machine_ready(*machine) {
                    shard.tick();
                }
            }
            if self.shards.iter().any(|(machine, _)| self.world.machine_ready(*machine)) {
                continue;
            }
            match self.world.next_event().filter(|at| *at <= until) {
                Some(at) => self.world.advance_to(at),
                None => break,
            }
        }
        self.world.advance_to(until);
    }

    fn server(&self, shard: usize) -> &Server<Live> {
        self.shards[shard].1.service()
    }

    fn assert_nothing_left(&mut self) {
        self.run(Duration::from_secs(200));
        for shard in [0, 1] {
            assert_eq!(self.server(shard).connections_count(), 0, "every connection ends");
            assert_eq!(self.server(shard).state().topic.subscribers_count(), 0);
        }
        assert_eq!(self.world.streams_open(0), 0);
        assert_eq!(self.world.buffers_outstanding(0), 0);
    }
}

fn address(shard: u16) -> SocketAddr {
    SocketAddr::new(World::node_address(0), 80 + shard)
}

fn read(peer: &mut Peer) -> String {
    String::from_utf8(peer.read(1 << 24)).unwrap()
}

/// What chunks carry, whole chunks alone.
fn unchunked(text: &str) -> String {
    let mut body = String::new();
    let mut rest = text.split_once("\r\n\r\n").expect("a head").1;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        body.push_str(&after[..length]);
        rest = after[length..].strip_prefix("\r\n").expect("the end of a chunk");
    }
    body
}

#[test]
fn who_listens_hears_what_is_said_on_any_shard() {
    let mut host = Host::new(Faults::none());
    let mut listeners: Vec<Peer> = (0..20).map(|number| host.listen(number % 2)).collect();
    host.run(Duration::from_millis(20));
    for (shard, text) in [(0, "a"), (1, "two\nlines"), (0, "c")] {
        host.say(shard, text);
    }
    host.run(Duration::from_millis(20));
    for listener in &mut listeners {
        let answer = read(listener);
        assert!(answer.contains("\r\nContent-Type: text/event-stream\r\n"), "{answer}");
        let events = "retry: 2000\n\ndata: a\n\ndata: two\ndata: lines\n\ndata: c\n\n";
        assert_eq!(unchunked(&answer), events);
    }
    for shard in [0, 1] {
        let topic = host.server(shard).state().topic.counters();
        assert_eq!((topic.published, topic.sent, topic.missed), (3, 30, 0));
    }
    drop(listeners);
    host.assert_nothing_left();
}

#[test]
fn to_http_1_0_the_stream_lasts_until_the_close() {
    let mut host = Host::new(Faults::none());
    let mut listener = host.ask(0, "GET /events HTTP/1.0\r\n\r\n");
    host.run(Duration::from_millis(20));
    host.say(0, "a");
    let answer = read(&mut listener);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nretry: 2000\n\ndata: a\n\n"), "{answer}");
    let mut head = host.ask(0, "HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n");
    host.run(Duration::from_millis(20));
    assert!(read(&mut head).ends_with("\r\n\r\n"));
    assert_eq!(host.server(0).state().topic.subscribers_count(), 1);
    // Who ends its direction has left.
    listener.shut_down();
    host.run(Duration::from_millis(20));
    assert!(listener.is_finished());
    drop((listener, head));
    host.assert_nothing_left();
}

#[test]
fn silence_is_filled_and_shows_who_has_vanished() {
    let faults = Faults { pipe_bytes_min: 512, pipe_bytes_max: 512, ..Faults::none() };
    let mut host = Host::new(faults);
    let mut listeners = [host.listen(0), host.listen(0)];
    host.run(Duration::from_secs(1));
    listeners.iter_mut().for_each(|listener| _ = read(listener));
    for _ in 0..10 {
        host.run(Duration::from_secs(15));
        assert_eq!(read(&mut listeners[0]), "3\r\n:\n\n\r\n");
    }
    listeners[1].vanish();
    // Until no kernel holds more for it, and its time to take that is over.
    for _ in 0..100 {
        host.run(Duration::from_secs(15));
        read(&mut listeners[0]);
    }
    assert_eq!(host.server(0).connections_count(), 1);
    assert_eq!(host.server(0).state().topic.subscribers_count(), 1);
    assert!(!listeners[0].is_finished());
    drop(listeners);
    host.assert_nothing_left();
}

#[test]
fn who_does_not_read_misses_some_and_holds_nobody_up() {
    let faults = Faults { pipe_bytes_min: 4096, pipe_bytes_max: 4096, ..Faults::none() };
    let mut host = Host::new(faults);
    let (mut slow, mut quick) = (host.listen(0), host.listen(0));
    host.run(Duration::from_millis(20));
    let text = "x".repeat(1000);
    let mut heard = String::new();
    for _ in 0..400 {
        host.say(0, &text);
        heard.push_str(&read(&mut quick));
    }
    assert_eq!(unchunked(&heard).matches("data: x").count(), 400);
    let mut late = read(&mut slow);
    for _ in 0..200 {
        host.run(Duration::from_millis(20));
        late.push_str(&read(&mut slow));
    }
    let late = unchunked(&late);
    let told = late.split_once(" events were missed").expect("it is told").0;
    let missed: usize = told.rsplit_once(": ").unwrap().1.parse().unwrap();
    assert_eq!(late.matches("data: x").count() + missed, 400);
    let topic = host.server(0).state().topic.counters();
    assert_eq!(topic.missed, missed as u64);
    drop((slow, quick));
    host.assert_nothing_left();
}

#[test]
fn a_long_body_is_made_as_the_client_takes_it() {
    let faults = Faults { pipe_bytes_min: 4096, pipe_bytes_max: 4096, ..Faults::none() };
    let mut host = Host::new(faults);
    let count = 1_000_000;
    let request = format!("GET /numbers/{count} HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut peer = host.ask(0, &(request + "GET /numbers/x HTTP/1.1\r\nHost: h\r\n\r\n"));
    host.run(Duration::from_secs(5));
    // One send, which nobody takes.
    let made = host.server(0).state().lines_count;
    assert!(made < 100_000, "{made} lines for a client that reads none");
    let mut answers = String::new();
    for _ in 0..20_000 {
        if answers.ends_with("that is no number") {
            break;
        }
        answers.push_str(&read(&mut peer));
        host.run(Duration::from_millis(5));
    }
    let (numbers, _) = answers.split_once("\r\n0\r\n\r\n").expect("the body's end");
    let body = unchunked(&(numbers.to_owned() + "\r\n"));
    assert_eq!(body.lines().count(), count);
    assert!(body.lines().zip(1..).all(|(line, number)| line == number.to_string()));
    drop(peer);
    host.assert_nothing_left();
}

#[test]
fn who_takes_nothing_of_a_long_body_is_closed() {
    let faults = Faults { pipe_bytes_min: 4096, pipe_bytes_max: 4096, ..Faults::none() };
    let mut host = Host::new(faults);
    let peer = host.ask(0, "GET /numbers/1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    host.run(Limits::default().http.send + Duration::from_secs(1));
    assert_eq!(host.server(0).connections_count(), 0);
    assert_eq!(host.server(0).counters().http.slow_readers, 1);
    drop(peer);
    host.assert_nothing_left();
}

#[test]
fn subscribers_come_and_go_under_faults() {
    for seed in 0..100 {
        let mut prng = shards_sim::Prng::new(seed);
        let faults = Faults::draw(&mut prng);
        let mut host = Host::new(faults);
        let mut listeners: Vec<Peer> = Vec::new();
        for number in 0..60 {
            listeners.push(host.listen((number % 2) as u16));
            let request = "POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
            let mut speaker = host.ask(prng.below(2) as u16, request);
            host.run(Duration::from_millis(prng.between(1, 400)));
            drop(read_some(&mut speaker));
            let at = prng.below(listeners.len() as u64) as usize;
            match prng.below(5) {
                0 => listeners.remove(at).close(),
                1 => listeners.remove(at).reset(),
                2 => listeners[at].shut_down(),
                _ => drop(read_some(&mut listeners[at])),
            }
        }
        drop(listeners);
        host.world.set_faults(Faults::none());
        host.assert_nothing_left();
    }
}

fn read_some(peer: &mut Peer) -> Vec<u8> {
    peer.read(300)
}
