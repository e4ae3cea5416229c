//! One shard with a relay in a calm world, and clients that come by streams.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_relay::{External, Listener, Listening, Relay, Settings, Stats};
use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Frame, Integrity, Key, Message, Method,
    PasswordAlgorithm, Step, TransactionId,
};
use protocol_tls::ServerConfig;
use protocol_turn::{Config, Credentials, Limits};
use shards_mesh::mesh;
use shards_runtime::{Completion, Context, Io, Service, Shard, ShardId, Token};
use shards_sim::{Faults, MachineId, Peer, PeerDatagrams, SimIo, World};

const REALM: &str = "example.org";
const USER: &str = "anna";
const PASSWORD: &str = "secret";

struct RelayService(Relay);

impl<I: Io> Service<I> for RelayService {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Context<'_, I, Infallible>) {
        self.0.start(cx).expect("addresses that are free");
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Infallible>,
        completion: Completion<I::Buffer>,
    ) {
        self.0.on_completion(cx, completion);
    }

    fn on_message(&mut self, _: &mut Context<'_, I, Infallible>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, cx: &mut Context<'_, I, Infallible>, token: Token) {
        self.0.on_timer(cx, token);
    }

    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Infallible>) {
        self.0.on_tick_end(cx);
        self.0.take_ended();
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
}

/// How the relay is set up.
pub struct Setup {
    pub tls: Option<Arc<ServerConfig>>,
    pub stream_count_max: usize,
    pub handshakes_per_tick_max: u32,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { tls: None, stream_count_max: 64, handshakes_per_tick_max: 4 }
    }
}

pub struct Lab {
    pub world: World,
    pub server: SocketAddr,
    pub tick_count: usize,
    shard: Shard<SimIo, RelayService>,
    id: MachineId,
}

impl Lab {
    pub fn new(setup: Setup) -> Lab {
        let world = World::new(1, Faults::none());
        let server = SocketAddr::new(World::node_address(0), 3478);
        let listening = if setup.tls.is_some() { Listening::Tls } else { Listening::Tcp };
        let settings = Settings {
            config: Config::new(REALM, Credentials::new().with_user(USER, PASSWORD)),
            limits: Limits::default(),
            listeners: vec![Listener { address: server, listening }],
            own: Vec::new(),
            machine: Vec::new(),
            externals: vec![External::own(server.ip())],
            ports: 50_000..=50_999,
            tls: setup.tls,
            spreads_by_address: true,
            stream_count_max: setup.stream_count_max,
            handshakes_per_tick_max: setup.handshakes_per_tick_max,
            seed: [7; 32],
            epoch: world.now(),
            shard: (0, 1),
        };
        let io = world.machine(0, ShardId(0));
        let id = io.id();
        let relay = Relay::new(settings, io.now(), io.wall_clock().as_secs()).expect("settings");
        let port = mesh::<Infallible>(1, 4).into_iter().next().expect("one participant");
        let shard = Shard::new(io, port, RelayService(relay));
        let mut lab = Lab { world, server, tick_count: 0, shard, id };
        lab.pass_ms(1);
        lab
    }

    /// Lets time pass.
    pub fn pass_ms(&mut self, ms: u64) {
        let until = self.world.now() + Duration::from_millis(ms);
        loop {
            if self.world.machine_ready(self.id) {
                self.shard.tick();
                self.tick_count += 1;
                continue;
            }
            if self.world.now() >= until {
                return;
            }
            let next = self.world.next_event().unwrap_or(until);
            self.world.advance_to(next.min(until));
        }
    }

    pub fn stats(&self) -> Stats {
        self.shard.service().0.stats()
    }

    /// The one relayed address.
    pub fn relayed(&self) -> SocketAddr {
        let mut all = self.shard.service().0.allocations(self.world.now());
        all.next().and_then(|it| it.relayed[0]).expect("an allocation")
    }

    /// A stream that is connected.
    pub fn connect(&mut self, host: u8) -> Peer {
        let peer = self.world.connect(([198, 51, 100, host], 0).into(), self.server);
        self.pass_ms(5);
        peer
    }

    /// A client with an allocation, `transport` 17 or 6.
    pub fn client(&mut self, host: u8, transport: u8) -> Client {
        let stream = self.connect(host);
        let mut client =
            Client { stream, nonce: Vec::new(), id: 0, input: Vec::new(), has_data: 0 };
        for code in [Some(ErrorCode::UNAUTHENTICATED), None] {
            client.ask(Method::ALLOCATE, |builder| {
                builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[transport, 0, 0, 0]);
            });
            assert_eq!(client.answer(self), Some(code));
        }
        client
    }

    pub fn peer(&self, address: &str) -> PeerDatagrams {
        self.world.peer_bind(address.parse().expect("an address")).expect("it is free")
    }
}

/// A client of TURN at the end of a stream.
pub struct Client {
    pub stream: Peer,
    /// Frames of data that came.
    pub has_data: usize,
    nonce: Vec<u8>,
    id: u64,
    input: Vec<u8>,
}

impl Client {
    pub fn ask(&mut self, method: Method, write: impl FnOnce(&mut Builder<'_>)) {
        let bytes = self.request(method, write);
        assert_eq!(self.stream.write(&bytes), bytes.len());
    }

    /// A signed request.
    pub fn request(&mut self, method: Method, write: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
        self.id += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.id.to_be_bytes());
        let mut buffer = [0; 512];
        let mut builder = Builder::new(&mut buffer, Class::Request, method, TransactionId(id));
        write(&mut builder);
        let used = if self.nonce.is_empty() {
            builder.finish()
        } else {
            builder.attribute(AttributeKind::USERNAME, USER.as_bytes());
            builder.attribute(AttributeKind::REALM, REALM.as_bytes());
            builder.attribute(AttributeKind::NONCE, &self.nonce);
            let (name, realm) = (USER.as_bytes(), REALM.as_bytes());
            let key = Key::long_term(PasswordAlgorithm::Md5, name, realm, PASSWORD.as_bytes());
            builder.integrity(Integrity::Sha1, &key).finish()
        };
        buffer[..used.expect("room")].to_vec()
    }

    /// The next answer: its error code, if it is one; nothing if none came.
    pub fn answer(&mut self, lab: &mut Lab) -> Option<Option<ErrorCode>> {
        lab.pass_ms(20);
        loop {
            if let Some(answer) = self.take() {
                return Some(answer);
            }
            let bytes = self.stream.read(4_096);
            if bytes.is_empty() {
                return None;
            }
            self.input.extend(bytes);
            lab.pass_ms(1);
        }
    }

    fn take(&mut self) -> Option<Option<ErrorCode>> {
        while let Ok(Step::Frame(frame)) = Frame::decode(&self.input, 70_000) {
            let bytes = self.input[frame.range()].to_vec();
            self.input.drain(..frame.used().min(self.input.len()));
            let message = Message::decode(&bytes).ok().filter(|it| it.class() != Class::Indication);
            let Some(message) = message else {
                self.has_data += 1;
                continue;
            };
            if let Some(nonce) = message.find(AttributeKind::NONCE) {
                self.nonce = nonce.to_vec();
            }
            return Some(message.error_code().expect("well-formed").map(|(code, _)| code));
        }
        None
    }
}
