//! STUN's codec, the framing of streams, and a TURN server that is told anything by anybody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol_stun::{
    AttributeKind, Builder, ChannelData, Class, Frame, Integrity, Key, Message, Method,
    PasswordAlgorithm, Reassembly, Step, TransactionId,
};
use protocol_turn::{
    AllocationId, Bind, Client, Config, Credentials, Input, Limits, Output, Payload, Server, To,
    Transport,
};

use super::same_for_all_cuts;

/// No frame of a stream under test may be longer.
const FRAME_BYTES_MAX: usize = 4096;

/// A message from any bytes: what is read lies within it, and written again it reads the same.
pub fn message(data: &[u8]) {
    let _ = ChannelData::decode(data).map(|found| assert!(found.data.end <= data.len()));
    let Ok(message) = Message::decode(data) else { return };
    let key = Key::short_term(b"secret");
    for how in [Integrity::Sha1, Integrity::Sha256] {
        let _ = message.is_from(&key, how);
    }
    let _ = (message.has_good_fingerprint(), message.error_code(), message.icmp());
    let _ = (message.even_port(), message.password_algorithm(), message.channel_number());
    for kind in [AttributeKind::XOR_PEER_ADDRESS, AttributeKind::MAPPED_ADDRESS] {
        let _ = (message.xor_address(kind), message.address(kind), message.family(kind));
    }
    let mut buffer = vec![0; data.len() + 64];
    let (class, method) = (message.class(), message.method());
    let mut builder = Builder::new(&mut buffer, class, method, message.transaction_id());
    for attribute in message.attributes() {
        assert!(attribute.value.len() <= data.len());
        builder.attribute(attribute.kind, attribute.value);
    }
    let used = builder.finish().expect("no longer than what was read");
    let again = Message::decode(&buffer[..used]).expect("what we write is well-formed");
    assert!(again.attributes().eq(message.attributes()));
}

/// A stream is cut into the same frames however it came, and holds one frame at most.
pub fn stream(data: &[u8]) {
    same_for_all_cuts(data, |cut| {
        let mut reassembly = Reassembly::new(FRAME_BYTES_MAX);
        let mut frames = Vec::new();
        for piece in super::pieces(data, cut) {
            reassembly.push(piece);
            loop {
                match reassembly.next() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    // Why it is lost may be seen sooner or later; that it is, is not.
                    Err(_) => return (frames, true),
                }
            }
            assert!(reassembly.pending_bytes() <= FRAME_BYTES_MAX + piece.len());
        }
        (frames, false)
    });
    if let Ok(Step::Frame(frame)) = Frame::decode(data, FRAME_BYTES_MAX) {
        assert!(frame.used() > 0 && frame.used() <= data.len());
    }
}

const REALM: &str = "example.org";

/// A server with a client that has an allocation, and strangers; anybody says anything.
pub fn server(mut data: &[u8]) {
    let mut world = World::new();
    world.allocate();
    while let Some((&[what, who, length], rest)) = data.split_first_chunk() {
        let (bytes, after) = rest.split_at(usize::from(length).min(rest.len()));
        data = after;
        match what % 6 {
            0 => world.client_says(who, bytes),
            1 | 2 => world.signed_request(who, bytes),
            3 => world.peer_says(who, bytes),
            4 => world.pass(Duration::from_secs(u64::from(who) * 3)),
            _ => world.client_says(0, &[&[0x40, who & 3, 0, length][..], bytes].concat()),
        }
    }
    world.pass(Duration::from_secs(4000));
    assert_eq!(world.turn.allocation_count(), 0, "everything ends");
}

struct World {
    turn: Server,
    now: Instant,
    nonce: Vec<u8>,
    allocation: Option<AllocationId>,
    ids: u32,
}

impl World {
    fn new() -> World {
        #[allow(clippy::disallowed_methods, reason = "the one instant that all are counted from")]
        let now = Instant::now();
        let credentials = Credentials::new().with_user("anna", "secret").with_secret(b"shared");
        let mut config = Config::new(REALM, credentials);
        config.has_tcp_allocations = true;
        let turn = Server::new(config, Limits::default(), [7; 32], now, 1_800_000_000);
        let turn = turn.expect("a configuration");
        World { turn, now, nonce: Vec::new(), allocation: None, ids: 0 }
    }

    fn client(who: u8) -> Client {
        let address = SocketAddr::from(([198, 51, 100, who % 4], 4000));
        let transport = if who & 4 == 0 { Transport::Udp } else { Transport::Stream };
        Client { address, socket: u64::from(who % 8), transport }
    }

    fn allocate(&mut self) {
        for _ in 0..2 {
            self.signed(0, Method::ALLOCATE, |builder| {
                builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            });
        }
        assert!(self.allocation.is_some(), "the client gets in");
    }

    /// A request whose method and attributes are the input's, signed by who has the password.
    fn signed_request(&mut self, who: u8, bytes: &[u8]) {
        let Some((method, attributes)) = bytes.split_first() else { return };
        let method = Method::new(u16::from(*method % 16)).expect("twelve bits");
        self.signed(who, method, |builder| {
            let mut rest = attributes;
            while let Some((&[high, low, length], value)) = rest.split_first_chunk() {
                let (value, after) = value.split_at(usize::from(length).min(value.len()));
                rest = after;
                let kind = u16::from_be_bytes([high & 0x80, low]);
                builder.attribute(AttributeKind(kind), value);
            }
        });
    }

    fn signed(&mut self, who: u8, method: Method, write: impl Fn(&mut Builder<'_>)) {
        self.ids += 1;
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.ids.to_be_bytes());
        let mut buffer = [0; 4096];
        let mut builder = Builder::new(&mut buffer, Class::Request, method, TransactionId(id));
        write(&mut builder);
        builder.attribute(AttributeKind::USERNAME, b"anna");
        builder.attribute(AttributeKind::REALM, REALM.as_bytes());
        builder.attribute(AttributeKind::NONCE, &self.nonce);
        let how = PasswordAlgorithm::Md5;
        let key = Key::long_term(how, b"anna", REALM.as_bytes(), b"secret");
        let Ok(used) = builder.integrity(Integrity::Sha1, &key).finish() else { return };
        self.client_says(who, &buffer[..used]);
    }

    fn client_says(&mut self, who: u8, bytes: &[u8]) {
        let client = World::client(who);
        self.turn.handle(self.now, Input::FromClient { client, bytes });
        self.settle(bytes, Some((client, bytes.len())));
    }

    fn peer_says(&mut self, who: u8, bytes: &[u8]) {
        let Some(allocation) = self.allocation else { return };
        let peer = SocketAddr::from(([192, 0, 2, who], 5000));
        let mut buffer = [&[0xAA; 48][..], bytes, &[0xAA; 3]].concat();
        let data = 48..48 + bytes.len();
        let input = Input::FromPeer { allocation, peer, buffer: &mut buffer, data };
        self.turn.handle(self.now, input);
        self.settle(&buffer, None);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.turn.handle(self.now, Input::Tick);
        self.settle(&[], None);
    }

    /// Does what the server wants, and holds it to what it promises.
    fn settle(&mut self, input: &[u8], asked: Option<(Client, usize)>) {
        let mut todo: Vec<Input<'static>> = Vec::new();
        while let Some(output) = self.turn.poll() {
            match output {
                Output::Transmit(transmit) => {
                    let bytes = match transmit.payload {
                        Payload::Input(range) => &input[range],
                        Payload::Written(range) => self.turn.written(range),
                    };
                    match transmit.to {
                        To::Client(client) => {
                            if let Some((asker, length)) = asked
                                && asker == client
                                && self.allocation.is_none()
                            {
                                assert!(bytes.len() <= 4 * length.max(32), "an amplification");
                            }
                            if let Ok(message) = Message::decode(bytes)
                                && let Some(nonce) = message.find(AttributeKind::NONCE)
                            {
                                self.nonce = nonce.to_vec();
                            }
                        }
                        To::Peer { peer, .. } => {
                            let ip = peer.ip();
                            assert!(protocol_turn::PeerPolicy::default().permits(ip), "{ip}");
                        }
                    }
                }
                Output::Bind(Bind { allocation, family, .. }) => {
                    self.allocation = Some(allocation);
                    let ip = match family {
                        protocol_turn::Family::V4 => [203, 0, 113, 1].into(),
                        protocol_turn::Family::V6 => std::net::Ipv6Addr::LOCALHOST.into(),
                    };
                    let address = Some(SocketAddr::new(ip, 50_000));
                    todo.push(Input::Bound { allocation, family, address });
                }
                Output::Connect { connection, .. } => {
                    todo.push(Input::Connected { connection, is_connected: true });
                }
                Output::Disconnect(connection) => todo.push(Input::PeerClosed { connection }),
                _ => {}
            }
        }
        for input in todo {
            self.turn.handle(self.now, input);
            self.settle(&[], None);
        }
    }
}
