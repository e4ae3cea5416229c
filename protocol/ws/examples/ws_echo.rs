//! A WebSocket server in a page: it says everything again, compressed where the client wants it.
//!
//! ```text
//! cargo run --release -p protocol-ws --example ws_echo -- 127.0.0.1:9001
//! ```
//!
//! `protocol-http` reads the request, `protocol-ws` is the rest, `shards-runtime` runs it on one
//! core. `cargo xtask conform autobahn` drives it through the Autobahn test suite.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_http as http;
use protocol_ws as ws;
use shards_ring::{RingConfig, serve};
use shards_runtime::{
    Completion, Context, End, Gather, Io, Op, Piece, Placement, Service, ShardId, Slab, Socket,
    Token,
};

const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
const CONNECTIONS_MAX: usize = 1000;
/// Unread bytes that may wait while an answer is sent; beyond it TCP holds the client back.
const INPUT_BYTES_MAX: usize = 256 * 1024;
const HEAD_WITHIN: Duration = Duration::from_secs(10);

type Cx<'c, I> = Context<'c, I, Infallible>;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let address: SocketAddr = address.parse().expect("an address such as 127.0.0.1:9001");
    let anywhere = Placement { shards_count: 1, cores: Vec::new() };
    let (address, shards) =
        serve(address, &anywhere, RingConfig::default(), |shard| Ok(Echo::new(shard.acceptor)))?;
    println!("listening on ws://{address}/");
    shards.join();
    Ok(())
}

struct Echo {
    acceptor: Socket,
    clients: Slab<Client>,
    settings: Rc<ws::ConnectionSettings>,
    deflate: ws::DeflateSettings,
    contexts: ws::Contexts,
}

struct Client {
    socket: Socket,
    input: Vec<u8>,
    stage: Stage,
    is_sending: bool,
    receiving: Receiving,
    /// When its timer fires; a later deadline needs no other.
    armed: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Receiving {
    Yes,
    Pausing,
    Paused,
}

enum Stage {
    /// The request has to be there by then.
    Http(Instant),
    Ws(Box<ws::Connection<Bytes>>),
    /// It closes once the refusal is sent.
    Refused,
    Closing,
}

impl Echo {
    fn new(acceptor: Socket) -> Echo {
        let limits = ws::Limits {
            frame_bytes_max: MESSAGE_BYTES_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            fragments_count_max: 1 << 18,
        };
        let queue = ws::QueueLimits { bytes_max: 2 << 24, ..ws::QueueLimits::default() };
        let settings = ws::ConnectionSettings { limits, queue, ..Default::default() };
        Echo {
            acceptor,
            clients: Slab::new(u32::MAX as usize),
            settings: Rc::new(settings),
            deflate: ws::DeflateSettings { own_context: true, ..Default::default() },
            contexts: ws::Contexts::new(ws::ContextLimits::default()),
        }
    }

    /// Goes through what has come, sends what there is to say, closes what is at its end.
    fn work<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let now = cx.now();
        let Some(client) = self.clients.get_mut(token) else { return };
        let mut out = Gather::new();
        while !client.is_sending && out.is_empty() {
            let used = match &mut client.stage {
                Stage::Http(_) => match handshake(&client.input, &self.deflate, &self.contexts) {
                    None => break,
                    Some(Ok((used, head, agreed))) => {
                        let connection = ws::Connection::server(&self.settings, now);
                        client.stage = Stage::Ws(Box::new(match agreed {
                            Some(agreed) => connection.with_deflate(&agreed, &self.contexts),
                            None => connection,
                        }));
                        out.push(Piece::Owned(head.into()));
                        used
                    }
                    Some(Err(head)) => {
                        client.stage = Stage::Refused;
                        out.push(Piece::Owned(head.into()));
                        client.input.len()
                    }
                },
                Stage::Ws(connection) => {
                    let used = read(connection, now, &mut client.input);
                    let frames = std::iter::from_fn(|| connection.poll());
                    out.extend(frames.take(32).map(Piece::Owned));
                    if used == 0 && out.is_empty() {
                        break;
                    }
                    used
                }
                Stage::Refused | Stage::Closing => break,
            };
            client.input.drain(..used);
        }
        if !out.is_empty() {
            client.is_sending = true;
            cx.submit(token, Op::Send(client.socket, out));
        }
        let is_over = match &client.stage {
            Stage::Ws(connection) => connection.is_done(),
            Stage::Refused => true,
            _ => false,
        };
        if is_over && !client.is_sending {
            return self.close(cx, token);
        }
        let deadline = match &client.stage {
            Stage::Http(until) => Some(*until),
            Stage::Ws(connection) => connection.deadline(),
            _ => None,
        };
        let has_room = client.input.len() < INPUT_BYTES_MAX;
        match client.receiving {
            Receiving::Yes if !has_room => {
                client.receiving = Receiving::Pausing;
                cx.submit(token, Op::Pause(client.socket));
            }
            Receiving::Paused if has_room => {
                client.receiving = Receiving::Yes;
                cx.submit(token, Op::Recv(client.socket));
            }
            _ => {}
        }
        let is_sooner = |at: Instant| client.armed.is_none_or(|armed| at < armed);
        if let Some(deadline) = deadline.filter(|at| is_sooner(*at)) {
            client.armed = Some(deadline);
            cx.arm(deadline, token);
        }
    }

    fn close<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(client) = self.clients.get_mut(token) else { return };
        if !matches!(client.stage, Stage::Closing) {
            client.stage = Stage::Closing;
            cx.submit(token, Op::Close(client.socket));
        }
    }
}

/// Says everything again, until one send is full. How many bytes are done with.
fn read(connection: &mut ws::Connection<Bytes>, now: Instant, input: &mut [u8]) -> usize {
    let mut used = 0;
    while connection.queue().messages_count() < 32 {
        let (bytes, event) = connection.receive(now, &mut input[used..]);
        let message = match event {
            ws::Event::Message(kind, payload) => Some((kind, Bytes::from(payload.into_owned()))),
            ws::Event::Need if bytes == 0 => break,
            _ => None,
        };
        if let Some((kind, payload)) = message {
            connection.send(now, kind, payload);
        }
        used += bytes;
    }
    used
}

type Granted = (usize, Vec<u8>, Option<ws::AgreedDeflate>);

/// `None`: more is needed. `Err`: the answer that refuses.
fn handshake(
    input: &[u8],
    deflate: &ws::DeflateSettings,
    contexts: &ws::Contexts,
) -> Option<Result<Granted, Vec<u8>>> {
    let mut out = Vec::new();
    let refused = |status: u16| {
        let mut out = Vec::new();
        http::ResponseWriter::new(&mut out, http::Version::Http11, http::Status(status))
            .header("Sec-WebSocket-Version", "13")
            .content_length(0)
            .close()
            .finish();
        Some(Err(out))
    };
    let mut decoder = http::RequestDecoder::new(http::Limits::default());
    let (head, used) = match decoder.decode(input) {
        Ok(http::Step::Head { head, used }) => (head, used),
        Ok(_) => return None,
        Err(error) => return refused(error.status.0),
    };
    let upgrade = match ws::Upgrade::parse(&head.headers) {
        Ok(Some(upgrade)) if head.method == http::Method::Get => upgrade,
        Ok(_) => return refused(426),
        Err(error) => return refused(error.status),
    };
    let mut lines = Vec::new();
    upgrade.write_response_lines(None, &mut lines);
    let agreed = upgrade.agree_on_deflate(deflate, contexts);
    if let Some(agreed) = &agreed {
        agreed.write_response_line(&mut lines);
    }
    http::ResponseWriter::new(&mut out, http::Version::Http11, http::Status::SWITCHING_PROTOCOLS)
        .raw_lines(&lines)
        .finish();
    Some(Ok((used, out, agreed)))
}

impl<I: Io> Service<I> for Echo {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Cx<'_, I>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I>, completion: Completion<I::Buffer>) {
        match completion {
            Completion::Accepted { socket, .. } => {
                let stage = Stage::Http(cx.now() + HEAD_WITHIN);
                let input = Vec::new();
                let client = Client {
                    socket,
                    input,
                    stage,
                    is_sending: false,
                    receiving: Receiving::Yes,
                    armed: None,
                };
                let Ok(token) = self.clients.insert(client) else { unreachable!("room for all") };
                if self.clients.len() > CONNECTIONS_MAX {
                    return self.close(cx, token);
                }
                cx.submit(token, Op::Recv(socket));
                self.work(cx, token);
            }
            Completion::Received { token, buffer } => {
                if let Some(client) = self.clients.get_mut(token) {
                    client.input.extend_from_slice(&buffer);
                    self.work(cx, token);
                }
            }
            Completion::Sent { token, result: Ok(_) } => {
                if let Some(client) = self.clients.get_mut(token) {
                    client.is_sending = false;
                    self.work(cx, token);
                }
            }
            Completion::Ended { token, end: End::Paused } => {
                if let Some(client) = self.clients.get_mut(token) {
                    client.receiving = Receiving::Paused;
                    self.work(cx, token);
                }
            }
            Completion::Ended { token, .. } | Completion::Sent { token, .. } => {
                self.close(cx, token);
            }
            Completion::Closed { token } => _ = self.clients.remove(token),
            _ => {}
        }
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
        self.work(cx, token);
    }

    fn on_message(&mut self, _: &mut Cx<'_, I>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_tick_end(&mut self, _: &mut Cx<'_, I>) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
