//! Out to the network: datagrams of one session to one place, several to a send where they are of
//! one size.

use std::net::SocketAddr;

use bytes::Bytes;
use shards_runtime::{Context, Gather, Io, Op, Piece, Socket, Token};

/// The most datagrams of one send: the kernel's own bound (`UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 64;

/// The most bytes of one send.
const SEND_BYTES_MAX: usize = 60_000;

/// Sends that the machine may have under way on this shard; what comes then is dropped.
const SENDS_IN_FLIGHT_MAX: u32 = 16_384;

/// A socket where datagrams come and from where they leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) token: Token,
}

/// The sockets of this shard.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) sends_in_flight: u32,
    pub(crate) sends: u64,
    pub(crate) dropped: u64,
}

/// Datagrams that are gathered for one send.
#[derive(Debug)]
pub(crate) struct Run {
    to: SocketAddr,
    listener: usize,
    segment_bytes: usize,
    bytes: usize,
    pieces: Gather,
    /// The last one was shorter: nothing may follow it.
    is_over: bool,
}

impl Wire {
    /// The first socket for a family of addresses.
    pub(crate) fn listener_for(&self, peer: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|it| it.address.is_ipv4() == peer.is_ipv4())
    }

    /// Adds a datagram to what is gathered, or sends that and begins anew.
    pub(crate) fn gather<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        run: &mut Option<Run>,
        listener: usize,
        (to, bytes): (SocketAddr, Vec<u8>),
    ) {
        let fits = |run: &Run| {
            run.to == to
                && run.listener == listener
                && !run.is_over
                && bytes.len() <= run.segment_bytes
                && run.pieces.len() < SEGMENTS_MAX
                && run.bytes + bytes.len() <= SEND_BYTES_MAX
        };
        if run.as_ref().is_some_and(|run| !fits(run)) {
            self.send(cx, run.take());
        }
        let length = bytes.len();
        let piece = Piece::Owned(Bytes::from(bytes));
        match run {
            Some(run) => {
                run.is_over = length < run.segment_bytes;
                run.bytes += length;
                run.pieces.push(piece);
            }
            None => {
                let pieces = Gather::from_iter([piece]);
                let (segment_bytes, is_over) = (length, false);
                *run = Some(Run { to, listener, segment_bytes, bytes: length, pieces, is_over });
            }
        }
    }

    /// Sends what is gathered.
    pub(crate) fn send<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, run: Option<Run>) {
        let Some(Run { to, listener, segment_bytes, pieces: payload, .. }) = run else { return };
        let Some(listener) = self.listeners.get(listener) else { return };
        if self.sends_in_flight >= SENDS_IN_FLIGHT_MAX {
            self.dropped += payload.len() as u64;
            return;
        }
        self.sends_in_flight += 1;
        self.sends += 1;
        let segment_size = (payload.len() > 1).then_some(segment_bytes as u16);
        let op = Op::SendTo { socket: listener.socket, to, payload, segment_size };
        cx.submit(listener.token, op);
    }

    pub(crate) fn sent(&mut self, is_sent: bool) {
        self.sends_in_flight = self.sends_in_flight.saturating_sub(1);
        self.dropped += u64::from(!is_sent);
    }
}
