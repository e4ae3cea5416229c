//! A complete signalling server in a few pages: Symple v4 over WebSocket, on as many cores as it is
//! told.
//!
//! ```text
//! cargo run --release -p protocol-symple --example signalling -- ADDR [--shards N] [--token T]
//! ```
//!
//! It is served on `/` and `/ws`. Everybody is in `public`, and may join any room but another's
//! own. `protocol-http` reads the request, `protocol-ws` makes messages of bytes, `protocol-symple`
//! knows what they mean, `shards-runtime` runs it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_http as http;
use protocol_symple as symple;
use protocol_ws as ws;
use sha2::{Digest, Sha256};
use shards_ring::{RingConfig, serve};
use shards_runtime::{
    Completion, Context, End, Gather, Io, Op, Piece, Placement, Service, ShardId, Shards, Slab,
    Socket, Token,
};

const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Connections of a shard: what comes beyond is closed. Some of them are not sessions yet.
const CONNECTIONS_MAX: usize = 20_000;
/// What may wait for a client that does not read: 1008 beyond.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Ws frames of one send.
const FRAMES_MAX: usize = 256;

type Letter = Box<symple::Mail>;
type Cx<'c, I> = Context<'c, I, Letter>;

#[allow(dead_code, reason = "tests start it by themselves")]
fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: signalling ADDR [--shards N] [--token T]";
    let address = args.next().and_then(|text| text.parse().ok()).expect(usage);
    let (mut shards_count, mut token) = (1, None);
    while let Some(flag) = args.next() {
        let value = args.next().expect(usage);
        match flag.as_str() {
            "--shards" => shards_count = value.parse().expect(usage),
            "--token" => token = Some(value),
            _ => panic!("{usage}"),
        }
    }
    let (address, shards) = start(address, shards_count, token)?;
    println!("listening on ws://{address}/");
    shards.join();
    Ok(())
}

/// Starts the shards; the address has the port in use.
pub fn start(
    address: SocketAddr,
    shards_count: u16,
    token: Option<String>,
) -> io::Result<(SocketAddr, Shards)> {
    let access = token.map(|token| symple::Access::Token(symple::Token::new(token)));
    let config = symple::Config {
        access: access.unwrap_or_default(),
        rooms: symple::RoomRules { chosen: symple::Chosen::Any, ..Default::default() },
        ..Default::default()
    };
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let placement = Placement { shards_count: usize::from(shards_count), cores: Vec::new() };
    let serving = serve(address, &placement, RingConfig::default(), move |shard| {
        let me = symple::ShardIndex(shard.shard.0);
        let server = symple::Server::shard(config.clone(), me, shards_count);
        Ok(Signalling::new(shard.acceptor, server, (seed, shard.shard.0)))
    })?;
    Ok((serving.address, serving.shards))
}

/// One shard.
struct Signalling {
    acceptor: Socket,
    clients: Slab<Client>,
    server: symple::Server,
    settings: Rc<ws::ConnectionSettings>,
    seed: ([u8; 32], u16),
    connections_count: u64,
    /// Who was sent something in this tick.
    to_flush: Vec<Token>,
}

struct Client {
    socket: Socket,
    input: Vec<u8>,
    stage: Stage,
    is_sending: bool,
    /// When its timer fires; a later deadline needs no other.
    armed: Option<Instant>,
}

enum Stage {
    /// The request has to be there by then.
    Http(Instant),
    Ws(Box<ws::Connection<Bytes>>),
    /// It closes when the answer is sent.
    Refused,
    Closing,
}

impl Signalling {
    fn new(acceptor: Socket, server: symple::Server, seed: ([u8; 32], u16)) -> Signalling {
        let bytes_max = symple::Limits::default().message_bytes_max as u64;
        let limits = ws::Limits {
            frame_bytes_max: bytes_max,
            message_bytes_max: bytes_max,
            ..ws::Limits::default()
        };
        // A newcomer is told of everybody in its rooms at once.
        let queue = ws::QueueLimits {
            bytes_max: QUEUE_BYTES_MAX,
            messages_max: symple::Limits::default().members_of_room_max * 2,
            ..ws::QueueLimits::default()
        };
        let settings = ws::ConnectionSettings { limits, queue, ..Default::default() };
        Signalling {
            acceptor,
            clients: Slab::new(u32::MAX as usize),
            server,
            settings: Rc::new(settings),
            seed,
            connections_count: 0,
            to_flush: Vec::new(),
        }
    }

    /// Unpredictable bytes: a hash of what nobody knows and a number that never comes again.
    fn random(&mut self) -> [u8; 16] {
        self.connections_count += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed.0);
        hash.update(self.seed.1.to_be_bytes());
        hash.update(self.connections_count.to_be_bytes());
        *hash.finalize().first_chunk().expect("thirty-two bytes")
    }

    /// Goes through what a client sent.
    fn read<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let now = cx.now();
        let key = key(token);
        let Some(client) = self.clients.get_mut(token) else { return };
        let mut input = std::mem::take(&mut client.input);
        let mut at = 0;
        if matches!(client.stage, Stage::Http(_)) {
            match handshake(&input) {
                None if input.len() <= HEAD_BYTES_MAX => {
                    client.input = input;
                    return;
                }
                None => return self.close(cx, token),
                Some((used, answer, is_upgraded)) => {
                    let answer = Piece::Owned(Bytes::from(answer));
                    client.is_sending = true;
                    cx.submit(token, Op::Send(client.socket, Gather::from_iter([answer])));
                    if !is_upgraded {
                        client.stage = Stage::Refused;
                        return;
                    }
                    at = used;
                    let connection = ws::Connection::server(&self.settings, now);
                    client.stage = Stage::Ws(Box::new(connection));
                    let random = self.random();
                    let connected = symple::Input::Connected { connection: key, random };
                    self.server.handle(now, connected);
                }
            }
        }
        loop {
            let Some(client) = self.clients.get_mut(token) else { return };
            let Stage::Ws(connection) = &mut client.stage else { return };
            let (used, event) = connection.receive(now, &mut input[at..]);
            at += used;
            match event {
                ws::Event::Need if used == 0 => break,
                ws::Event::Need | ws::Event::Progress => {}
                ws::Event::Message(ws::Kind::Text, payload) => {
                    let text = str::from_utf8(&payload).expect("the connection has checked it");
                    self.server.handle(now, symple::Input::Text { connection: key, text });
                }
                ws::Event::Message(ws::Kind::Binary, _) => {
                    connection.close(now, ws::CloseCode::UNSUPPORTED, "text only");
                }
                ws::Event::Failed(ws::Malformed::MessageTooLong | ws::Malformed::FrameTooLong) => {
                    self.server.handle(now, symple::Input::TooLarge { connection: key });
                }
                ws::Event::Closed(..) | ws::Event::Failed(_) => {
                    self.server.handle(now, symple::Input::Disconnected { connection: key });
                }
            }
            self.carry_out(cx);
        }
        self.to_flush.push(token);
        input.drain(..at);
        if input.is_empty() {
            // A client that says nothing holds no buffer.
            input = Vec::new();
        }
        if let Some(client) = self.clients.get_mut(token) {
            client.input = input;
        }
    }

    /// Does what the server says.
    fn carry_out<I: Io>(&mut self, cx: &mut Cx<'_, I>) {
        let now = cx.now();
        while let Some(output) = self.server.poll() {
            match output {
                symple::Output::Send { to, text } => {
                    let mut frame = Vec::with_capacity(text.len() + ws::FRAME_HEAD_BYTES_MAX);
                    ws::write_frame(ws::Opcode::Text, true, text.as_bytes(), None, &mut frame);
                    let frame = Bytes::from(frame);
                    for token in to.into_iter().map(token) {
                        let Some(client) = self.clients.get_mut(token) else { continue };
                        if let Stage::Ws(connection) = &mut client.stage {
                            connection.send_frames_before_close(now, frame.clone());
                            self.to_flush.push(token);
                        }
                    }
                }
                symple::Output::Close { connection } => {
                    let token = token(connection);
                    let Some(client) = self.clients.get_mut(token) else { continue };
                    if let Stage::Ws(connection) = &mut client.stage {
                        connection.close(now, ws::CloseCode::POLICY, "");
                        self.to_flush.push(token);
                    }
                }
                symple::Output::Mail { to, mail } => cx.send_surely(ShardId(to.0), mail),
                // There are no virtual peers, and nobody is asked.
                symple::Output::Heard { .. } | symple::Output::Ask { .. } => {}
            }
        }
    }

    /// Sends what waits, all of a tick in one piece; closes what is at its end.
    fn flush<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(client) = self.clients.get_mut(token) else { return };
        let deadline = match &mut client.stage {
            Stage::Refused | Stage::Closing => return,
            Stage::Http(until) => Some(*until),
            Stage::Ws(connection) => {
                if !client.is_sending {
                    let frames: Vec<Bytes> =
                        std::iter::from_fn(|| connection.poll()).take(FRAMES_MAX).collect();
                    let all = match frames.len() {
                        0 => None,
                        1 => frames.into_iter().next(),
                        _ => Some(Bytes::from(frames.concat())),
                    };
                    if let Some(all) = all {
                        client.is_sending = true;
                        let pieces = Gather::from_iter([Piece::Owned(all)]);
                        cx.submit(token, Op::Send(client.socket, pieces));
                    } else if connection.is_done() {
                        return self.close(cx, token);
                    }
                }
                connection.deadline()
            }
        };
        let is_sooner = |at: Instant| client.armed.is_none_or(|armed| at < armed);
        if let Some(deadline) = deadline.filter(|at| is_sooner(*at)) {
            client.armed = Some(deadline);
            cx.arm(deadline, token);
        }
    }

    fn close<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(client) = self.clients.get_mut(token) else { return };
        if matches!(client.stage, Stage::Closing) {
            return;
        }
        client.stage = Stage::Closing;
        cx.submit(token, Op::Close(client.socket));
        let gone = symple::Input::Disconnected { connection: key(token) };
        self.server.handle(cx.now(), gone);
        self.carry_out(cx);
    }
}

/// How many bytes of a request are done with, what is answered, and whether it is 101.
fn handshake(input: &[u8]) -> Option<(usize, Vec<u8>, bool)> {
    let mut out = Vec::new();
    let mut refuse = |status: u16| {
        http::ResponseWriter::new(&mut out, http::Version::Http11, http::Status(status))
            .header("Sec-WebSocket-Version", "13")
            .content_length(0)
            .close()
            .finish();
    };
    let mut decoder = http::RequestDecoder::new(http::Limits::default());
    let refused = match decoder.decode(input) {
        Ok(http::Step::Head { head, .. }) if !matches!(head.target.path(), "/" | "/ws") => 404,
        Ok(http::Step::Head { head, used }) => match ws::Upgrade::parse(&head.headers) {
            Ok(Some(upgrade)) if head.method == http::Method::Get => {
                let mut lines = Vec::new();
                upgrade.write_response_lines(None, &mut lines);
                let status = http::Status::SWITCHING_PROTOCOLS;
                http::ResponseWriter::new(&mut out, http::Version::Http11, status)
                    .raw_lines(&lines)
                    .finish();
                return Some((used, out, true));
            }
            Ok(_) => 426,
            Err(error) => error.status,
        },
        Ok(_) => return None,
        Err(error) => error.status.0,
    };
    refuse(refused);
    Some((input.len(), out, false))
}

fn key(token: Token) -> symple::ConnectionKey {
    symple::ConnectionKey(u64::from(token.slot) << 32 | u64::from(token.generation))
}

fn token(key: symple::ConnectionKey) -> Token {
    Token { slot: (key.0 >> 32) as u32, generation: key.0 as u32 }
}

impl<I: Io> Service<I> for Signalling {
    type Message = Letter;

    fn on_start(&mut self, cx: &mut Cx<'_, I>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I>, completion: Completion<I::Buffer>) {
        match completion {
            Completion::Accepted { socket, .. } => {
                let stage = Stage::Http(cx.now() + HEAD_WITHIN);
                let input = Vec::new();
                let client = Client { socket, input, stage, is_sending: false, armed: None };
                let Ok(token) = self.clients.insert(client) else { unreachable!("room for all") };
                if self.clients.len() > CONNECTIONS_MAX {
                    return self.close(cx, token);
                }
                cx.submit(token, Op::Recv(socket));
                self.to_flush.push(token);
            }
            Completion::Received { token, buffer } => {
                if let Some(client) = self.clients.get_mut(token) {
                    client.input.extend_from_slice(&buffer);
                    self.read(cx, token);
                }
            }
            Completion::Sent { token, result: Ok(_) } => {
                let Some(client) = self.clients.get_mut(token) else { return };
                client.is_sending = false;
                match client.stage {
                    Stage::Refused => self.close(cx, token),
                    _ => self.to_flush.push(token),
                }
            }
            Completion::Ended { end: End::Paused, .. } => {}
            Completion::Ended { token, .. } | Completion::Sent { token, .. } => {
                self.close(cx, token);
            }
            Completion::Closed { token } => _ = self.clients.remove(token),
            _ => {}
        }
    }

    fn on_message(&mut self, cx: &mut Cx<'_, I>, _: ShardId, letter: Letter) {
        self.server.handle(cx.now(), symple::Input::Mail(*letter));
        self.carry_out(cx);
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let now = cx.now();
        let Some(client) = self.clients.get_mut(token) else { return };
        client.armed = client.armed.filter(|at| now < *at);
        match &mut client.stage {
            Stage::Http(until) if *until <= now => return self.close(cx, token),
            Stage::Ws(connection) => {
                connection.handle_time(now);
                // Whoever does not take the last of it is not waited for.
                if connection.is_done() {
                    return self.close(cx, token);
                }
            }
            _ => {}
        }
        self.to_flush.push(token);
    }

    fn on_tick_end(&mut self, cx: &mut Cx<'_, I>) {
        if self.server.deadline().is_some_and(|at| at <= cx.now()) {
            self.server.handle(cx.now(), symple::Input::Tick);
            self.carry_out(cx);
        }
        let mut to_flush = std::mem::take(&mut self.to_flush);
        for token in to_flush.drain(..) {
            self.flush(cx, token);
        }
        self.to_flush.append(&mut to_flush);
    }

    fn deadline(&self) -> Option<Instant> {
        self.server.deadline()
    }
}
