//! A server that says everything again, in TLS, on one shard.
//!
//! ```text
//! cargo run --release -p protocol-tls --example tls_echo -- ADDR CERTIFICATE.pem KEY.pem
//! openssl s_client -quiet -connect ADDR
//! ```
//!
//! *Invariant:* one send at a time; while one is under way its connection is not read, so that
//! nobody makes the server keep more than one receive.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol_tls::{ConfigError, Identity, ServerConfig, ServerSettings, Session, TicketKeys};
use shards_ring::{RingConfig, serve};
use shards_runtime::{
    Completion, Context, End, Gather, Io, Op, Piece, Placement, Service, ShardId, Shards, Slab,
    Socket, Token,
};

const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };
const CONNECTIONS_MAX: usize = 10_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, certificate, key] = &args[..] else {
        eprintln!("usage: echo ADDR CERTIFICATE.pem KEY.pem");
        return ExitCode::from(2);
    };
    match run(address, certificate, key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: &str, certificate: &str, key: &str) -> io::Result<()> {
    let address = address.parse().map_err(io::Error::other)?;
    let (certificate, key) = (std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
    let (address, shards) = start(address, &certificate, &key)?;
    println!("listening on {address}");
    shards.join();
    Ok(())
}

/// Starts the shard; the address carries the port in use.
///
/// # Errors
/// The texts are no identity, the address cannot be had, or the kernel lacks io_uring.
pub fn start(
    address: SocketAddr,
    certificate: &str,
    key: &str,
) -> io::Result<(SocketAddr, Shards)> {
    let config = || -> Result<ServerConfig, ConfigError> {
        let identity = Identity::from_pem(certificate, key)?;
        ServerConfig::new(ServerSettings::new(vec![identity], TicketKeys::new()?))
    };
    let config = Arc::new(config().map_err(io::Error::other)?);
    let anywhere = Placement { shards_count: 1, cores: Vec::new() };
    let serving = serve(address, &anywhere, RingConfig::default(), move |shard| {
        let slots = Slab::new(CONNECTIONS_MAX);
        let config = Arc::clone(&config);
        Ok(Echo { acceptor: shard.acceptor, slots, config, plaintext: Vec::new() })
    })?;
    Ok((serving.address, serving.shards))
}

struct Echo {
    acceptor: Socket,
    slots: Slab<Slot>,
    config: Arc<ServerConfig>,
    /// Empty between two events.
    plaintext: Vec<u8>,
}

struct Slot {
    socket: Socket,
    session: Session,
    /// To be sent when the send that is under way is done.
    out: Vec<u8>,
    is_sending: bool,
    is_paused: bool,
    is_ending: bool,
    is_closing: bool,
}

type Cx<'c, I> = Context<'c, I, Infallible>;

impl Echo {
    fn received<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, bytes: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let mut plaintext = std::mem::take(&mut self.plaintext);
        match slot.session.receive(bytes, &mut plaintext, &mut slot.out) {
            Ok(received) => {
                if !plaintext.is_empty() {
                    slot.is_ending |= slot.session.seal(&plaintext, &mut slot.out).is_err();
                }
                if received.is_closed {
                    slot.session.close(&mut slot.out);
                    slot.is_ending = true;
                }
            }
            // The alert is in `out`.
            Err(_) => slot.is_ending = true,
        }
        plaintext.clear();
        self.plaintext = plaintext;
        self.settle(cx, token);
    }

    fn settle<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        if slot.is_closing {
            return;
        }
        if !slot.is_sending && !slot.out.is_empty() {
            slot.is_sending = true;
            let piece = Piece::Owned(Bytes::from(std::mem::take(&mut slot.out)));
            cx.submit(token, Op::Send(slot.socket, Gather::from_iter([piece])));
            cx.submit(token, Op::Pause(slot.socket));
        } else if !slot.is_sending && slot.is_ending {
            slot.is_closing = true;
            cx.submit(token, Op::Close(slot.socket));
        } else if !slot.is_sending && std::mem::take(&mut slot.is_paused) {
            cx.submit(token, Op::Recv(slot.socket));
        }
    }
}

impl<I: Io> Service<I> for Echo {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Cx<'_, I>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I>, completion: Completion<I::Buffer>) {
        match completion {
            Completion::Accepted { socket, .. } => {
                let slot = Slot {
                    socket,
                    session: Session::server(&self.config),
                    out: Vec::new(),
                    is_sending: false,
                    is_paused: false,
                    is_ending: false,
                    is_closing: false,
                };
                match self.slots.insert(slot) {
                    Ok(token) => cx.submit(token, Op::Recv(socket)),
                    Err(_) => cx.submit(ACCEPTOR, Op::Close(socket)),
                }
            }
            Completion::Received { token, mut buffer } => self.received(cx, token, &mut buffer),
            Completion::Ended { token, end } => {
                let Some(slot) = self.slots.get_mut(token) else { return };
                match end {
                    End::Paused => slot.is_paused = true,
                    End::Eof | End::Failed(_) => slot.is_ending = true,
                }
                self.settle(cx, token);
            }
            Completion::Sent { token, result } => {
                let Some(slot) = self.slots.get_mut(token) else { return };
                slot.is_sending = false;
                slot.is_ending |= result.is_err();
                self.settle(cx, token);
            }
            Completion::Closed { token } if token != ACCEPTOR => _ = self.slots.remove(token),
            _ => {}
        }
    }

    fn on_message(&mut self, _: &mut Cx<'_, I>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, _: &mut Cx<'_, I>, _: Token) {}

    fn on_tick_end(&mut self, _: &mut Cx<'_, I>) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
