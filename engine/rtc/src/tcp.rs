//! ICE-TCP (RFC 6544): connections that carry datagrams, framed as RFC 4571 says, for who cannot
//! use UDP. We wait for them; a connection is a path like any other.
//!
//! *Invariant:* a connection has one send in flight at most; what waits behind it is bounded, and
//! what is more is lost, as a full network would lose it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use media_rtc::{Framer, Transport};
use shards_runtime::{BindOptions, Context, Io, Op, Piece, Socket, Token};
use smallvec::smallvec;

use crate::letter::{Letter, Path};
use crate::rtc::{LISTENER_BASE, Rtc};

/// Acceptors' tokens stand above those of datagram sockets, and connections' above these.
const ACCEPTOR_BASE: u32 = LISTENER_BASE + 0x1000;
const CONNECTION_BASE: u32 = LISTENER_BASE + 0x10_0000;

/// Bytes that may wait to be sent on one connection.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// How long a connection of which no session knows may stay.
const UNKNOWN_MAX: Duration = Duration::from_secs(15);

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    pub(crate) path: Path,
    framer: Framer,
    output: BytesMut,
    is_sending: bool,
    is_closing: bool,
    since: Instant,
}

/// What a token of the driver is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A datagram socket, by its index.
    Datagrams(u8),
    /// An acceptor, by its index.
    Acceptor(u8),
    /// A connection, by its place in the slab.
    Connection(Token),
}

pub(crate) fn purpose_of(token: Token) -> Purpose {
    match token.slot {
        CONNECTION_BASE.. => {
            Purpose::Connection(Token { slot: token.slot - CONNECTION_BASE, ..token })
        }
        ACCEPTOR_BASE.. => Purpose::Acceptor((token.slot - ACCEPTOR_BASE) as u8),
        _ => Purpose::Datagrams((token.slot - LISTENER_BASE) as u8),
    }
}

fn outer(token: Token) -> Token {
    Token { slot: token.slot + CONNECTION_BASE, ..token }
}

impl Rtc {
    pub(crate) fn listen_tcp<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
    ) -> std::io::Result<()> {
        let options = BindOptions { shared: true, v6_only: true, ..BindOptions::default() };
        for (index, address) in self.config.rtc.listen.clone().into_iter().enumerate() {
            let (socket, _) = cx.io().listen(address, options)?;
            let token = Token { slot: ACCEPTOR_BASE + index as u32, generation: 0 };
            cx.submit(token, Op::Accept(socket));
        }
        Ok(())
    }

    pub(crate) fn accepted<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        listener: u8,
        socket: Socket,
        peer: std::net::SocketAddr,
    ) {
        let path = Path { peer, transport: Transport::Tcp, listener };
        let connection = Connection {
            socket,
            path,
            framer: Framer::default(),
            output: BytesMut::new(),
            is_sending: false,
            is_closing: false,
            since: cx.now(),
        };
        match self.connections.insert(connection) {
            Ok(token) => {
                self.connection_of.insert(path, token);
                cx.submit(outer(token), Op::Recv(socket));
            }
            Err(_) => {
                self.stats.connections_refused += 1;
                // Nobody waits for its end; the token is no connection's.
                let token = Token { slot: CONNECTION_BASE - 1, generation: socket.0 };
                cx.submit(token, Op::Close(socket));
            }
        }
    }

    pub(crate) fn received<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        bytes: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let (path, mut framer) = (connection.path, std::mem::take(&mut connection.framer));
        let pushed = framer.push(bytes, |frame| self.datagram(cx, path, frame));
        if let Some(connection) = self.connections.get_mut(token) {
            connection.framer = framer;
        }
        if pushed.is_err() {
            self.close_connection(cx, token);
        }
    }

    /// Sends a datagram on a connection, here or on the shard that has it.
    pub(crate) fn send_framed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        path: Path,
        bytes: &[u8],
    ) {
        let Some(token) = self.connection_of.get(&path).copied() else { return };
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.output.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.stats.datagrams_dropped += 1;
            return;
        }
        connection.output.extend_from_slice(&Framer::head(bytes.len()));
        connection.output.extend_from_slice(bytes);
        self.flush_connection(cx, token);
    }

    fn flush_connection<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.is_sending || connection.is_closing || connection.output.is_empty() {
            return;
        }
        connection.is_sending = true;
        let bytes = connection.output.split().freeze();
        cx.submit(outer(token), Op::Send(connection.socket, smallvec![Piece::Owned(bytes)]));
    }

    pub(crate) fn connection_sent<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        is_sent: bool,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.is_sending = false;
        match is_sent {
            true => self.flush_connection(cx, token),
            false => self.close_connection(cx, token),
        }
    }

    pub(crate) fn close_connection<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if !std::mem::replace(&mut connection.is_closing, true) {
            let (socket, path) = (connection.socket, connection.path);
            if self.connection_of.get(&path) == Some(&token) {
                self.connection_of.remove(&path);
            }
            cx.submit(outer(token), Op::Close(socket));
        }
    }

    pub(crate) fn connection_closed(&mut self, token: Token) {
        self.connections.remove(token);
    }

    /// Closes connections that belong to no session. Once a second.
    pub(crate) fn close_unknown<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        let now = cx.now();
        let is_unknown = |connection: &Connection| {
            now >= connection.since + UNKNOWN_MAX && !self.by_path.contains_key(&connection.path)
        };
        let unknown = self.connections.iter().filter(|(_, connection)| is_unknown(connection));
        for token in unknown.map(|(token, _)| token).collect::<Vec<_>>() {
            self.close_connection(cx, token);
        }
    }
}
