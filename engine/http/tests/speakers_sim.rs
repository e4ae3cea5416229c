//! WebSockets that know each other, in a simulated world: two shards, whose clients are said what
//! others say, and who leave in every way there is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine_http::{
    CloseCode, Conversation, Ended, Everyone, Frame, Handler, Kind, Malformed, Message, Method,
    Order, Replies, Request, Route, Server, Site, Speaker, Timer,
};
use protocol_ws::{Connection, ConnectionSettings, Event, KeepaliveTimes};
use shards_mesh::{MeshPort, mesh};
use shards_runtime::{BindOptions, Io, Shard, ShardId};
use shards_sim::{Chance, Faults, MachineId, Peer, SimIo, World};

const SHARDS_COUNT: u16 = 2;
const MESSAGE_BYTES_MAX: u64 = 4_096;
const QUEUE_BYTES_MAX: usize = 16_384;

/// What a shard knows: who is there, and how others went.
struct Hall {
    everyone: Everyone<Hall>,
    speakers: BTreeMap<u64, Speaker>,
    begun_count: u64,
    ends: Vec<Option<Ended>>,
    alarm: Option<Instant>,
}

struct Guest(u64);

impl Conversation<Hall> for Guest {
    fn begin(&mut self, hall: &mut Hall, speaker: Speaker) {
        hall.speakers.insert(self.0, speaker);
    }

    /// `alarm` is said to all of the shard a second later, `leave` closes, everything else all hear
    /// on all shards.
    fn message(&mut self, hall: &mut Hall, message: Message<'_>, replies: &mut Replies<'_>) {
        match &*message.payload {
            b"alarm" => hall.alarm = Some(hall.everyone.now() + Duration::from_secs(1)),
            b"leave" => hall.speakers[&self.0].close(CloseCode::POLICY, "as it likes"),
            payload => {
                replies.send(Kind::Text, &b"said"[..]);
                for shard in 0..hall.everyone.shards_count() {
                    let frame = Frame::new(message.kind, payload);
                    let all = payload.to_vec();
                    if shard == hall.everyone.me() {
                        hall.say(&frame);
                    } else {
                        hall.everyone
                            .send(shard, move |hall| hall.say(&Frame::new(Kind::Text, &all)));
                    }
                }
            }
        }
    }

    fn end(&mut self, hall: &mut Hall, why: Option<Ended>) {
        if let Some(Ended::Malformed(_)) = why {
            hall.speakers[&self.0].send(&Frame::new(Kind::Text, b"a last word"));
        }
        hall.speakers.remove(&self.0);
        hall.ends.push(why);
    }
}

impl Hall {
    fn say(&self, frame: &Frame) {
        self.speakers.values().for_each(|speaker| speaker.send(frame));
    }
}

fn enter(hall: &mut Hall, _: &Request<'_>) -> Box<dyn Conversation<Hall>> {
    hall.begun_count += 1;
    Box::new(Guest(hall.begun_count))
}

fn site() -> Site<Hall> {
    let mut site = Site::new("hall", &[Route::new(Method::Get, "/", Handler::WebSocket(enter))]);
    let connection = &mut site.websockets.connection;
    connection.limits.message_bytes_max = MESSAGE_BYTES_MAX;
    connection.limits.frame_bytes_max = MESSAGE_BYTES_MAX;
    connection.queue.bytes_max = QUEUE_BYTES_MAX;
    site.timer = Some(Timer {
        deadline: |hall| hall.alarm,
        tick: |hall| {
            hall.alarm = None;
            hall.say(&Frame::new(Kind::Text, b"alarm"));
        },
    });
    site
}

/// Two shards that share a world, each at an address of its own.
struct Host {
    world: World,
    shards: Vec<(MachineId, Shard<SimIo, Server<Hall>>)>,
    /// Of a control plane, which says nothing.
    _control: MeshPort<Order<Hall>>,
}

impl Host {
    fn new(faults: Faults) -> Host {
        let world = World::new(1, faults);
        let mut ports = mesh(usize::from(SHARDS_COUNT) + 1, 8);
        let control = ports.pop().unwrap();
        let shard = |(index, port)| {
            let mut io = world.machine(0, ShardId(index));
            let machine = io.id();
            let (acceptor, _) = io.listen(address(index), BindOptions::default()).unwrap();
            let state = |everyone: &Everyone<Hall>| Hall {
                everyone: everyone.clone(),
                speakers: BTreeMap::new(),
                begun_count: 0,
                ends: Vec::new(),
                alarm: None,
            };
            let place = (ShardId(index), usize::from(SHARDS_COUNT));
            let server = Server::new(&site(), place, state, acceptor, None, io.now());
            (machine, Shard::new(io, port, server))
        };
        let shards = (0..).zip(ports).map(shard).collect();
        Host { world, shards, _control: control }
    }

    fn enter(&mut self, shard: u16) -> Client {
        let wire = self.world.connect("192.0.2.1:0".parse().unwrap(), address(shard));
        self.run(Duration::from_millis(5));
        let mut client = Client::new(wire, self.world.now());
        let request = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.wire.write(request);
        self.run(Duration::from_millis(5));
        client
    }

    fn run(&mut self, time: Duration) {
        let until = self.world.now() + time;
        loop {
            let (mut is_busy, mut next) = (false, self.world.next_event());
            for (machine, shard) in &mut self.shards {
                let now = self.world.now();
                let is_due = shard.sleeps_until().is_some_and(|at| at <= now);
                if is_due || self.world.machine_ready(*machine) {
                    shard.tick();
                    is_busy = true;
                }
                next = next.into_iter().chain(shard.sleeps_until()).min();
            }
            match next.filter(|at| !is_busy && *at <= until) {
                Some(at) => self.world.advance_to(at),
                None if is_busy => {}
                None => break,
            }
        }
        self.world.advance_to(until);
    }

    fn hall(&self, shard: usize) -> &Hall {
        self.shards[shard].1.service().state()
    }
}

fn address(shard: u16) -> SocketAddr {
    SocketAddr::new(World::node_address(0), 80 + shard)
}

struct Client {
    wire: Peer,
    ws: Connection,
    input: Vec<u8>,
    has_head: bool,
    closed: Option<CloseCode>,
}

impl Client {
    fn new(wire: Peer, now: Instant) -> Client {
        let never = Duration::from_secs(100_000);
        let keepalive = KeepaliveTimes { ping_after: never, give_up_after: never };
        let settings = Rc::new(ConnectionSettings { keepalive, ..ConnectionSettings::default() });
        let ws = Connection::client(&settings, Box::new(|| [7, 1, 2, 9]), now);
        Client { wire, ws, input: Vec::new(), has_head: false, closed: None }
    }

    fn say(&mut self, now: Instant, text: &str) {
        self.ws.send(now, Kind::Text, text.as_bytes().to_vec());
        while let Some(frames) = self.ws.poll() {
            assert_eq!(self.wire.write(&frames), frames.len(), "there is room");
        }
    }

    /// What came since the last time.
    fn heard(&mut self, now: Instant) -> Vec<String> {
        self.input.extend(self.wire.read(usize::MAX));
        if !self.has_head {
            let end = self.input.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
            assert!(self.input.drain(..end).collect::<Vec<_>>().starts_with(b"HTTP/1.1 101 "));
            self.has_head = true;
        }
        let (mut heard, mut at) = (Vec::new(), 0);
        loop {
            let (used, event) = self.ws.receive(now, &mut self.input[at..]);
            at += used;
            match event {
                Event::Need if used == 0 => break,
                Event::Message(_, text) => {
                    heard.push(String::from_utf8(text.into_owned()).unwrap())
                }
                Event::Closed(code, _) => self.closed = code,
                _ => {}
            }
        }
        self.input.drain(..at);
        while let Some(frames) = self.ws.poll() {
            self.wire.write(&frames);
        }
        heard
    }
}

#[test]
fn all_hear_what_one_says_in_its_order_wherever_they_are() {
    let mut host = Host::new(Faults {
        completion_delay: Chance(300),
        completion_delay_us_max: 3_000,
        wait_partial: Chance(300),
        send_short: Chance(300),
        receive_fragment: Chance(100),
        buffers_exhausted: Chance(50),
        multishot_end: Chance(50),
        ..Faults::none()
    });
    let mut clients: Vec<Client> = (0..6).map(|number| host.enter(number % 2)).collect();
    for number in 0..60 {
        let now = host.world.now();
        clients[0].say(now, &format!("{number}"));
        clients[1].say(now, &format!("other {number}"));
        host.run(Duration::from_millis(1));
        if number % 20 == 19 {
            host.run(Duration::from_secs(2));
        }
    }
    host.run(Duration::from_secs(5));
    let now = host.world.now();
    for (number, client) in clients.iter_mut().enumerate() {
        let heard = client.heard(now);
        let of = |is_it: &dyn Fn(&str) -> bool| -> Vec<String> {
            heard.iter().filter(|text| is_it(text)).cloned().collect()
        };
        let numbers: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        assert_eq!(of(&|text| text.parse::<u32>().is_ok()), numbers, "client {number}");
        let others: Vec<String> = (0..60).map(|number| format!("other {number}")).collect();
        assert_eq!(of(&|text| text.starts_with("other")), others, "client {number}");
        let said = of(&|text| text == "said").len();
        assert_eq!(said, if number < 2 { 60 } else { 0 });
    }
}

#[test]
fn every_end_is_told_once_and_who_is_refused_is_told_why() {
    let mut host = Host::new(Faults::none());
    let mut clients: Vec<Client> = (0..7).map(|_| host.enter(0)).collect();
    let now = host.world.now();
    clients.iter_mut().for_each(|client| assert!(client.heard(now).is_empty()));
    clients[0].wire.close();
    clients[1].wire.reset();
    clients[2].wire.vanish();
    clients[3].ws.close(now, CloseCode::NORMAL, "");
    clients[3].heard(now);
    clients[4].say(now, &"x".repeat(MESSAGE_BYTES_MAX as usize + 1));
    clients[5].say(now, "leave");
    host.run(Duration::from_secs(1));
    let now = host.world.now();
    assert_eq!(clients[4].heard(now), ["a last word"], "before the close");
    assert_eq!(clients[4].closed, Some(CloseCode::TOO_BIG));
    assert!(clients[5].heard(now).is_empty());
    assert_eq!(clients[5].closed, Some(CloseCode::POLICY));
    // The last one answers pings, the one that vanished does not.
    for _ in 0..100 {
        host.run(Duration::from_secs(1));
        let now = host.world.now();
        clients[6].heard(now);
    }
    let hall = host.hall(0);
    assert_eq!((hall.begun_count, hall.speakers.len()), (7, 1));
    let ends = &hall.ends;
    assert_eq!(ends.len(), 6, "{ends:?}");
    let count = |end: Option<Ended>| ends.iter().filter(|it| **it == end).count();
    assert_eq!(count(None), 2);
    assert_eq!(count(Some(Ended::Silent)), 1);
    assert_eq!(count(Some(Ended::ByPeer(Some(CloseCode::NORMAL)))), 1);
    assert_eq!(count(Some(Ended::Malformed(Malformed::FrameTooLong))), 1);
    assert_eq!(count(Some(Ended::ByUs(CloseCode::POLICY))), 1);
}

#[test]
fn who_does_not_read_is_closed_and_holds_nobody_up() {
    let mut host =
        Host::new(Faults { pipe_bytes_min: 4_096, pipe_bytes_max: 4_096, ..Faults::none() });
    let (mut speaker, mut reader, _idle) = (host.enter(0), host.enter(1), host.enter(1));
    let text = "x".repeat(2_000);
    for _ in 0..40 {
        let now = host.world.now();
        speaker.say(now, &text);
        host.run(Duration::from_millis(20));
        let now = host.world.now();
        for client in [&mut speaker, &mut reader] {
            assert_eq!(client.heard(now).iter().filter(|it| **it == text).count(), 1);
        }
    }
    host.run(Duration::from_secs(1));
    assert_eq!(host.hall(1).speakers.len(), 1);
    assert_eq!(host.hall(1).ends, [Some(Ended::QueueFull)]);
    assert_eq!(host.shards[1].1.service().counters().websockets_slow, 1);
}

#[test]
fn what_has_its_time_is_said_then() {
    let mut host = Host::new(Faults::none());
    let mut clients = [host.enter(0), host.enter(0), host.enter(1)];
    let now = host.world.now();
    clients[0].say(now, "alarm");
    host.run(Duration::from_millis(990));
    let now = host.world.now();
    assert!(clients.iter_mut().all(|client| client.heard(now).is_empty()));
    host.run(Duration::from_millis(20));
    let now = host.world.now();
    let heard = clients.each_mut().map(|client| client.heard(now).len());
    assert_eq!(heard, [1, 1, 0], "of its shard");
}
