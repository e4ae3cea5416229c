//! The simulator, tested by an echo service under drawn faults, and by services that misbehave.

mod echo;

use std::net::SocketAddr;
use std::time::Duration;

use echo::Echo;
use shards_runtime::{
    BindOptions, Completion, End, Gather, Io, Op, PIECES_PER_SEND_MAX, Piece, ShardId, Socket,
    Token,
};
use shards_sim::{Chance, Faults, Peer, PeerState, Prng, SimIo, World};

const SEEDS: u64 = 40;
const PEERS: usize = 12;
const BYTES_EACH: usize = 40_000;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One listener of the echo: what it wrote and what came back.
struct Talker {
    peer: Peer,
    sent: Vec<u8>,
    heard: Vec<u8>,
}

impl Talker {
    fn step(&mut self, prng: &mut Prng) {
        let written: Vec<u8> = (0..prng.below(3_000)).map(|_| prng.next_u64() as u8).collect();
        let wanted = written.len().min(BYTES_EACH - self.sent.len());
        let count = self.peer.write(&written[..wanted]);
        self.sent.extend_from_slice(&written[..count]);
        if self.sent.len() == BYTES_EACH {
            self.peer.shut_down();
        }
        let bytes_max = prng.index(5_000);
        self.heard.extend(self.peer.read(bytes_max));
    }
}

/// Two shards on one address echo to peers, under faults drawn from the seed. The answer is the
/// trace, and what each peer heard.
fn echo_run(seed: u64) -> (u64, Vec<Vec<u8>>) {
    let mut prng = Prng::new(seed);
    let world = World::new(prng.next_u64(), Faults::draw(&mut prng));
    let at = address("10.0.0.1:8000");
    let mut shards: Vec<Echo> =
        (0..2).map(|shard| Echo::start(world.machine(0, ShardId(shard)), at)).collect();
    let mut talkers: Vec<Talker> = (0..PEERS)
        .map(|number| {
            let from = address(&format!("192.0.2.{}:0", number + 1));
            Talker { peer: world.connect(from, at), sent: Vec::new(), heard: Vec::new() }
        })
        .collect();
    let mut calm = false;
    for step in 0_u64.. {
        assert!(step < 400_000, "seed {seed}: no end in sight");
        if step == 3_000 {
            // Whoever is still connected gets everything, once nothing goes wrong any more.
            world.set_faults(Faults::none());
            calm = true;
        }
        let talker = prng.index(PEERS);
        talkers[talker].step(&mut prng);
        let is_over = talkers.iter().all(|talker| talker.peer.is_finished());
        if calm && is_over {
            break;
        }
        let ready: Vec<usize> =
            (0..2).filter(|&shard| world.machine_ready(shards[shard].id())).collect();
        match prng.pick(&ready) {
            Some(&shard) => shards[shard].tick(),
            None => {
                let soon = world.now() + Duration::from_millis(10);
                world.advance_to(world.next_event().map_or(soon, |event| event.min(soon)));
            }
        }
    }
    for talker in &talkers {
        assert!(talker.sent.starts_with(&talker.heard), "seed {seed}: heard what was not said");
        if talker.peer.state() == PeerState::Open {
            assert_eq!(talker.heard.len(), talker.sent.len(), "seed {seed}: not all came back");
        }
    }
    let heard = talkers.into_iter().map(|talker| talker.heard).collect();
    settle(&world, &mut shards);
    assert_eq!(world.streams_open(0), 0, "seed {seed}: a connection is left");
    assert_eq!(world.sockets_open(0), 2, "seed {seed}: only the acceptors are left");
    assert_eq!(world.buffers_outstanding(0), 0, "seed {seed}: a buffer is left");
    assert_eq!(world.operations_in_flight(0), 2, "seed {seed}: only accepting is left");
    (world.trace_hash(), heard)
}

fn settle(world: &World, shards: &mut [Echo]) {
    for _ in 0..400 {
        shards.iter_mut().for_each(Echo::tick);
        world.advance(Duration::from_millis(5));
    }
}

#[test]
fn what_is_echoed_is_what_was_said_whatever_goes_wrong() {
    let mut hashes: Vec<u64> = Vec::new();
    let mut complete = 0;
    for seed in 0..SEEDS {
        let (hash, heard) = echo_run(seed);
        complete += heard.iter().filter(|heard| heard.len() == BYTES_EACH).count();
        hashes.push(hash);
    }
    // Most connections live through the faults, or the test says nothing.
    assert!(complete > SEEDS as usize * PEERS / 2, "{complete} complete");
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len() as u64, SEEDS, "other seeds, other runs");
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..5 {
        assert_eq!(echo_run(seed), echo_run(seed), "seed {seed}");
    }
}

#[test]
fn sharing_acceptors_get_their_share() {
    let world = World::new(1, Faults::none());
    let at = address("10.0.0.1:8000");
    let mut shards: Vec<Echo> =
        (0..2).map(|shard| Echo::start(world.machine(0, ShardId(shard)), at)).collect();
    let from = address("192.0.2.1:0");
    let peers: Vec<Peer> = (0..200).map(|_| world.connect(from, at)).collect();
    settle(&world, &mut shards);
    let counts: Vec<usize> = shards.iter().map(Echo::connections).collect();
    assert_eq!(counts.iter().sum::<usize>(), peers.len());
    assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
}

#[test]
fn a_dead_process_closes_its_sockets() {
    let world = World::new(1, Faults::none());
    let at = address("10.0.0.1:8000");
    let mut shards = vec![Echo::start(world.machine(0, ShardId(0)), at)];
    let peer = world.connect(address("192.0.2.1:0"), at);
    settle(&world, &mut shards);
    assert_eq!(world.streams_open(0), 1);
    drop(shards);
    world.advance(Duration::from_millis(1));
    assert!(peer.is_finished());
    assert_eq!(world.sockets_open(0), 0);
    let again = Echo::start(world.machine(0, ShardId(0)), at);
    assert_eq!(again.connections(), 0);
}

#[test]
fn a_vanished_peer_is_given_up_by_the_kernel_at_last() {
    let world = World::new(1, Faults::none());
    let at = address("10.0.0.1:8000");
    let mut shards = vec![Echo::start(world.machine(0, ShardId(0)), at)];
    let mut peer = world.connect(address("192.0.2.1:0"), at);
    settle(&world, &mut shards);
    assert_eq!(peer.write(b"are you there"), 13);
    peer.vanish();
    settle(&world, &mut shards);
    assert_eq!(world.streams_open(0), 1, "nobody knows yet");
    world.advance(Duration::from_secs(1_000));
    settle(&world, &mut shards);
    assert_eq!(world.streams_open(0), 0);
}

/// A node connects to a server outside, which sends without end; what is not read holds it back,
/// and its reset arrives after what it sent.
#[test]
fn a_node_pulls_from_a_server_outside() {
    let world = World::new(1, Faults::none());
    let mut io = world.machine(0, ShardId(0));
    let mut server = world.peer_listen(address("192.0.2.9:8000")).unwrap();
    io.submit(token(1), Op::Connect(server.address()));
    io.submit(token(2), Op::Connect(address("192.0.2.9:8001")));
    io.flush();
    assert!(server.accept().is_none(), "not yet");
    world.advance(Duration::from_millis(1));
    let mut upstream = server.accept().unwrap();
    assert_eq!(upstream.address(), Some(server.address()));
    let mut completions = Vec::new();
    io.wait(None, &mut completions);
    let [
        Completion::Connected { result: Ok(socket), .. },
        Completion::Connected { result: Err(error), .. },
    ] = &completions[..]
    else {
        panic!("{completions:?}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let (mut sent, mut received) = (0, 0);
    while upstream.write(&[7; 1_000]) > 0 {
        sent += 1;
        assert!(sent < 1_000, "no end of room");
        world.advance(Duration::from_micros(10));
    }
    world.advance(Duration::from_millis(1));
    io.submit(token(1), Op::Recv(*socket));
    io.wait(None, &mut Vec::new());
    assert!(upstream.write(&[7; 1_000]) > 0, "there is room again");
    world.advance(Duration::from_millis(1));
    upstream.reset();
    world.advance(Duration::from_millis(1));
    let mut completions = Vec::new();
    io.wait(None, &mut completions);
    let Some(Completion::Ended { end: End::Failed(_), .. }) = completions.pop() else {
        panic!("the reset comes last")
    };
    for completion in &completions {
        let Completion::Received { buffer, .. } = completion else { panic!("{completion:?}") };
        received += buffer.len();
    }
    assert_eq!(received, 1_000);
}

#[test]
fn a_doorbell_makes_a_sleeping_machine_ready() {
    let world = World::new(1, Faults::none());
    let mut first = world.machine(0, ShardId(0));
    let mut second = world.machine(0, ShardId(1));
    let mut none = Vec::new();
    second.wait(None, &mut none);
    assert!(!world.machine_ready(second.id()));
    first.doorbell(ShardId(1));
    first.doorbell(ShardId(2));
    assert!(!world.machine_ready(second.id()), "not before the next submission");
    first.flush();
    assert!(world.machine_ready(second.id()));
    assert_eq!((world.take_doorbells(0, ShardId(2)), world.take_doorbells(0, ShardId(2))), (1, 0));
    second.wait(None, &mut none);
    assert!(!world.machine_ready(second.id()));
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken_and_never_changed() {
    let mut faults = Faults::none();
    faults.datagram_loss = Chance(200);
    faults.datagram_duplicate = Chance(200);
    faults.datagram_reorder = Chance(200);
    faults.datagram_join = Chance(300);
    let world = World::new(3, faults);
    let mut io = world.machine(0, ShardId(0));
    let at = address("10.0.0.1:3478");
    let (socket, at) = io.bind(at, BindOptions::default()).unwrap();
    io.submit(Token { slot: 0, generation: 0 }, Op::RecvFrom(socket));
    io.flush();
    let mut client = world.peer_bind(address("192.0.2.1:5000")).unwrap();
    let mut got: Vec<u32> = Vec::new();
    for number in 0..1_000_u32 {
        client.send_to(at, &number.to_be_bytes()).unwrap();
        world.advance(Duration::from_micros(20));
        let mut completions = Vec::new();
        io.wait(None, &mut completions);
        for completion in completions {
            let Completion::ReceivedFrom { buffer, peer, segment_size, .. } = completion else {
                panic!("{completion:?}");
            };
            assert_eq!(peer, client.address());
            assert!(segment_size.is_none_or(|size| size == 4));
            got.extend(buffer.chunks(4).map(|it| u32::from_be_bytes(it.try_into().unwrap())));
        }
    }
    let mut sorted = got.clone();
    sorted.sort_unstable();
    assert_ne!(got, sorted, "overtaken");
    sorted.dedup();
    assert_ne!(sorted.len(), got.len(), "doubled");
    assert!((700..900).contains(&sorted.len()), "lost: {} of 1,000 came", sorted.len());
}

/// A service with one connection, for the services that misbehave.
fn connected() -> (World, Peer, SimIo, Socket) {
    let world = World::new(1, Faults::none());
    let mut io = world.machine(0, ShardId(0));
    let (acceptor, at) = io.listen(address("10.0.0.1:0"), BindOptions::default()).unwrap();
    io.submit(token(0), Op::Accept(acceptor));
    io.flush();
    let peer = world.connect(address("192.0.2.1:0"), at);
    world.advance(Duration::from_millis(1));
    let mut completions = Vec::new();
    io.wait(None, &mut completions);
    let [Completion::Accepted { socket, .. }] = completions[..] else { panic!("{completions:?}") };
    (world, peer, io, socket)
}

fn token(slot: u32) -> Token {
    Token { slot, generation: 0 }
}

fn hello() -> Gather {
    [Piece::Static(b"hello")].into_iter().collect()
}

#[test]
#[should_panic(expected = "a second send before the first one's Sent")]
fn a_second_send_is_a_bug() {
    let (_world, _peer, mut io, socket) = connected();
    io.submit(token(1), Op::Send(socket, hello()));
    io.submit(token(1), Op::Send(socket, hello()));
}

#[test]
#[should_panic(expected = "the socket is closed")]
fn an_operation_on_a_closed_socket_is_a_bug() {
    let (_world, _peer, mut io, socket) = connected();
    io.submit(token(1), Op::Close(socket));
    io.submit(token(1), Op::Recv(socket));
}

#[test]
#[should_panic(expected = "nobody has that socket")]
fn an_operation_on_somebody_elses_socket_is_a_bug() {
    let (_world, _peer, mut io, _) = connected();
    io.submit(token(1), Op::Recv(Socket(9)));
}

#[test]
#[should_panic(expected = "used again before its last tenant's Closed")]
fn a_slot_given_away_before_closed_is_a_bug() {
    let (_world, _peer, mut io, socket) = connected();
    io.submit(token(1), Op::Close(socket));
    io.flush();
    io.submit(Token { slot: 1, generation: 1 }, Op::Connect(address("192.0.2.1:80")));
}

#[test]
fn a_slot_given_away_after_closed_is_not() {
    let (_world, _peer, mut io, socket) = connected();
    io.submit(token(1), Op::Close(socket));
    io.wait(None, &mut Vec::new());
    io.submit(Token { slot: 1, generation: 1 }, Op::Connect(address("192.0.2.1:80")));
}

#[test]
#[should_panic(expected = "a send of 65 pieces")]
fn too_many_pieces_are_a_bug() {
    let (_world, _peer, mut io, socket) = connected();
    let pieces = (0..=PIECES_PER_SEND_MAX).map(|_| Piece::Static(b"x")).collect();
    io.submit(token(1), Op::Send(socket, pieces));
}
