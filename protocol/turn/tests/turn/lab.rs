//! The world around a server: a clock, a driver that opens addresses, clients that sign.

use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Family, Integrity, Key, Message, Method,
    PasswordAlgorithm, SecurityFeatures, TransactionId, user_hash,
};
use protocol_turn::{
    AllocationId, Bind, Client, Config, Credentials, Input, Limits, Output, Payload, Prefix,
    Release, ReservationId, Server, To, Transport,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const REALM: &str = "example.org";
pub const UNIX_S: u64 = 1_800_000_000;

/// Everything that is not the server.
pub struct Lab {
    pub turn: Server,
    config: Config,
    limits: Limits,
    pub now: Instant,
    /// What clients got.
    pub to_clients: Vec<(Client, Vec<u8>)>,
    /// What peers got.
    pub to_peers: Vec<(AllocationId, SocketAddr, Vec<u8>)>,
    pub binds: Vec<Bind>,
    pub releases: Vec<Release>,
    pub released_families: Vec<(AllocationId, Family)>,
    pub forgotten: Vec<ReservationId>,
    /// What concerns TCP with peers.
    pub connection_outputs: Vec<Output>,
    /// Whether the last payload was named where it lay.
    pub was_in_place: bool,
    /// Whether the driver finds addresses.
    pub has_addresses: [bool; 2],
    next_port: u16,
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn udp(text: &str) -> Client {
    Client { address: address(text), socket: 1, transport: Transport::Udp }
}

pub fn config() -> Config {
    Config::new(REALM, Credentials::new().with_user("anna", "secret").with_user("ben", "word"))
}

impl Lab {
    pub fn new(config: Config, limits: Limits) -> Lab {
        #[expect(clippy::disallowed_methods, reason = "the one instant that tests count from")]
        let start = Instant::now();
        let turn = Server::new(config.clone(), limits.clone(), [7; 32], start, UNIX_S);
        Lab {
            turn: turn.expect("a configuration"),
            config,
            limits,
            now: start,
            to_clients: Vec::new(),
            to_peers: Vec::new(),
            binds: Vec::new(),
            releases: Vec::new(),
            released_families: Vec::new(),
            forgotten: Vec::new(),
            connection_outputs: Vec::new(),
            was_in_place: false,
            has_addresses: [true; 2],
            next_port: 50_000,
        }
    }

    /// A server anew, one of several with the same seed.
    pub fn share(&mut self, index: u16, count: u16) {
        let Lab { config, limits, now, .. } = self;
        let turn = Server::new(config.clone(), limits.clone(), [7; 32], *now, UNIX_S);
        self.turn = turn.expect("a configuration").with_share(index, count);
    }

    pub fn usual() -> Lab {
        Lab::new(config(), Limits::default())
    }

    pub fn allowing(prefix: &str) -> Lab {
        let mut config = config();
        config.policy.allowed = vec![prefix.parse::<Prefix>().expect("a prefix")];
        Lab::new(config, Limits::default())
    }

    pub fn client_sends(&mut self, client: Client, bytes: &[u8]) {
        self.turn.handle(self.now, Input::FromClient { client, bytes });
        self.settle(bytes);
    }

    /// A peer's datagram in the middle of a buffer with this much room before and behind.
    pub fn peer_sends(
        &mut self,
        allocation: AllocationId,
        peer: SocketAddr,
        data: &[u8],
        room: (usize, usize),
    ) {
        let mut buffer = vec![0xAA; room.0];
        buffer.extend_from_slice(data);
        buffer.resize(buffer.len() + room.1, 0xAA);
        let data = room.0..room.0 + data.len();
        let input = Input::FromPeer { allocation, peer, buffer: &mut buffer, data };
        self.turn.handle(self.now, input);
        self.settle(&buffer);
    }

    pub fn tell(&mut self, input: Input<'static>) {
        self.turn.handle(self.now, input);
        self.settle(&[]);
    }

    pub fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.tell(Input::Tick);
    }

    /// Does what the server wants, until it wants nothing.
    fn settle(&mut self, input: &[u8]) {
        let mut binds = Vec::new();
        while let Some(output) = self.turn.poll() {
            match output {
                Output::Transmit(transmit) => {
                    self.was_in_place = matches!(transmit.payload, Payload::Input(_));
                    let bytes = match transmit.payload {
                        Payload::Input(range) => input[range].to_vec(),
                        Payload::Written(range) => self.turn.written(range).to_vec(),
                    };
                    match transmit.to {
                        To::Client(client) => self.to_clients.push((client, bytes)),
                        To::Peer { allocation, peer, .. } => {
                            self.to_peers.push((allocation, peer, bytes));
                        }
                    }
                }
                Output::Bind(bind) => binds.push(bind),
                Output::Release(release) => self.releases.push(*release),
                Output::ReleaseFamily(id, family) => self.released_families.push((id, family)),
                Output::Forget(id) => self.forgotten.push(id),
                other => self.connection_outputs.push(other),
            }
        }
        for bind in binds {
            self.binds.push(bind);
            self.next_port += 2;
            let (ip, index) = match bind.family {
                Family::V4 => ("203.0.113.1", 0),
                Family::V6 => ("2001:db8:ffff::1", 1),
            };
            let ip = ip.parse().expect("an address");
            let relayed = SocketAddr::new(ip, self.next_port);
            let address = self.has_addresses[index].then_some(relayed);
            let Bind { allocation, family, .. } = bind;
            self.turn.handle(self.now, Input::Bound { allocation, family, address });
            self.settle(&[]);
        }
    }

    /// The allocation of a client.
    pub fn allocation(&self, client: Client) -> AllocationId {
        let mut all = self.turn.allocations(self.now);
        all.find(|each| each.client == client).expect("an allocation").allocation
    }
}

/// A client that has a name and a password.
#[derive(Clone)]
pub struct User {
    pub client: Client,
    pub name: String,
    pub password: String,
    pub nonce: Vec<u8>,
    /// None: RFC 5389, MD5 and SHA-1.
    pub algorithm: Option<PasswordAlgorithm>,
    pub hides_name: bool,
    pub next_id: u32,
}

impl User {
    pub fn new(name: &str, password: &str, client: Client) -> User {
        User {
            client,
            name: name.to_owned(),
            password: password.to_owned(),
            nonce: Vec::new(),
            algorithm: None,
            hides_name: false,
            next_id: 0,
        }
    }

    pub fn anna() -> User {
        User::new("anna", "secret", udp("198.51.100.1:4000"))
    }

    pub fn key(&self) -> Key {
        let how = self.algorithm.unwrap_or(PasswordAlgorithm::Md5);
        Key::long_term(how, self.name.as_bytes(), REALM.as_bytes(), self.password.as_bytes())
    }

    fn integrity(&self) -> Integrity {
        if self.algorithm.is_some() { Integrity::Sha256 } else { Integrity::Sha1 }
    }

    /// A signed request.
    pub fn request(&mut self, method: Method, write: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
        self.next_id += 1;
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.next_id.to_be_bytes());
        let mut buffer = [0; 2048];
        let mut builder = Builder::new(&mut buffer, Class::Request, method, TransactionId(id));
        write(&mut builder);
        if self.hides_name {
            let hash = user_hash(self.name.as_bytes(), REALM.as_bytes());
            builder.attribute(AttributeKind::USERHASH, &hash);
        } else {
            builder.attribute(AttributeKind::USERNAME, self.name.as_bytes());
        }
        builder.attribute(AttributeKind::REALM, REALM.as_bytes());
        builder.attribute(AttributeKind::NONCE, &self.nonce);
        if let Some(algorithm) = self.algorithm {
            builder.password_algorithms().password_algorithm(algorithm);
        }
        let used = builder.integrity(self.integrity(), &self.key()).finish().expect("room");
        buffer[..used].to_vec()
    }

    /// Asks, with a nonce that is fetched where it is missing, and gives the answer.
    pub fn ask(
        &mut self,
        lab: &mut Lab,
        method: Method,
        write: impl Fn(&mut Builder<'_>),
    ) -> Answer {
        if self.nonce.is_empty() {
            self.fetch_nonce(lab);
        }
        let request = self.request(method, &write);
        let answer = self.send(lab, &request);
        if answer.code() != Some(ErrorCode::STALE_NONCE) {
            return answer;
        }
        self.nonce = answer.find(AttributeKind::NONCE).expect("a nonce");
        let request = self.request(method, &write);
        self.send(lab, &request)
    }

    /// Sends a request as it is; an answer of the server must be signed if it proved itself.
    pub fn send(&self, lab: &mut Lab, request: &[u8]) -> Answer {
        lab.client_sends(self.client, request);
        let (to, bytes) = lab.to_clients.pop().expect("an answer");
        assert_eq!(to, self.client);
        let answer = Answer(bytes);
        assert!(answer.message().is_from(&self.key(), self.integrity()) || answer.code().is_some());
        answer
    }

    pub fn fetch_nonce(&mut self, lab: &mut Lab) {
        let mut buffer = [0; 64];
        let mut builder =
            Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId::default());
        let used = udp_transport(&mut builder).finish().expect("room");
        lab.client_sends(self.client, &buffer[..used]);
        let (_, bytes) = lab.to_clients.pop().expect("a challenge");
        assert!(bytes.len() <= 4 * used, "{} for {used}", bytes.len());
        let answer = Answer(bytes);
        assert_eq!(answer.code(), Some(ErrorCode::UNAUTHENTICATED));
        assert_eq!(answer.find(AttributeKind::REALM).as_deref(), Some(REALM.as_bytes()));
        self.nonce = answer.find(AttributeKind::NONCE).expect("a nonce");
        let offered = answer.find(AttributeKind::PASSWORD_ALGORITHMS).is_some();
        assert_eq!(SecurityFeatures::of_nonce(&self.nonce).has_password_algorithms, offered);
    }

    pub fn allocate(&mut self, lab: &mut Lab) -> Answer {
        self.ask(lab, Method::ALLOCATE, |builder| {
            udp_transport(builder);
        })
    }

    pub fn permit(&mut self, lab: &mut Lab, peers: &[SocketAddr]) -> Answer {
        self.ask(lab, Method::CREATE_PERMISSION, |builder| {
            for peer in peers {
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, *peer);
            }
        })
    }

    pub fn bind(&mut self, lab: &mut Lab, number: u16, peer: SocketAddr) -> Answer {
        self.ask(lab, Method::CHANNEL_BIND, |builder| {
            builder.channel_number(number);
            builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
        })
    }

    pub fn refresh(&mut self, lab: &mut Lab, lifetime_s: u32) -> Answer {
        self.ask(lab, Method::REFRESH, |builder| {
            builder.u32(AttributeKind::LIFETIME, lifetime_s);
        })
    }
}

pub fn udp_transport<'a, 'b>(builder: &'a mut Builder<'b>) -> &'a mut Builder<'b> {
    builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// A Send indication.
pub fn send_indication(peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let id = TransactionId([9; 12]);
    let mut builder = Builder::new(&mut buffer, Class::Indication, Method::SEND, id);
    builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peer);
    let used = builder.attribute(AttributeKind::DATA, data).finish().expect("room");
    buffer[..used].to_vec()
}

/// What a client got.
#[derive(Debug)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn message(&self) -> Message<'_> {
        Message::decode(&self.0).expect("what we send is well-formed")
    }

    pub fn is_success(&self) -> bool {
        self.message().class() == Class::Success
    }

    pub fn code(&self) -> Option<ErrorCode> {
        self.message().error_code().expect("well-formed").map(|(code, _)| code)
    }

    pub fn find(&self, kind: AttributeKind) -> Option<Vec<u8>> {
        self.message().find(kind).map(<[u8]>::to_vec)
    }

    pub fn lifetime_s(&self) -> Option<u32> {
        self.message().u32(AttributeKind::LIFETIME).expect("well-formed")
    }

    pub fn relayed(&self) -> Vec<SocketAddr> {
        let found = self.message().xor_addresses(AttributeKind::XOR_RELAYED_ADDRESS);
        found.map(|address| address.expect("well-formed")).collect()
    }
}
