//! The limit: a bare ring that only accepts and sends. No parsing, no framing, no mounts: whoever
//! has sent the end of a request head gets a fixed answer and a burst, and then, every `flush_ms`,
//! what a source at 128 kbit/s would have made meanwhile.
//!
//! The stream is made before the first listener comes, so that sending is all that is measured.
//! Listeners are spread over phases of [`PHASE_MS`] like in the real server.
//!
//! *Invariant:* `cursor` of a listener is where its last send ended; no two sends of one listener
//! are in flight.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use shards_ring::{Buffer, RingConfig, RingGroup, UringIo};
use shards_runtime::{
    BindOptions, Completion, Gather, Io, Op, Piece, ShardId, Slab, Socket, Token, pin,
};

use crate::args::Args;
use crate::content::frame;

const PHASE_MS: u64 = 10;
const BURST_BYTES: u64 = 65_536;
/// Made before time begins, so that the first listener already gets a burst.
const LEAD_BYTES: u64 = 2 * BURST_BYTES;
const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: Close\r\nContent-Type: audio/mpeg\r\n\r\n";
/// The acceptor's slot; listeners count from 0.
const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };

struct Listener {
    socket: Socket,
    phase: usize,
    head_bytes: [u8; 4],
    /// Where its next send begins; `None` before it has asked.
    cursor: Option<u64>,
    sending: bool,
    closing: bool,
}

struct Bare {
    io: UringIo,
    stream: Rc<Bytes>,
    start: Instant,
    listeners: Slab<Listener>,
    phases: Vec<Vec<Token>>,
    next_phase: usize,
}

/// `bench bare`: serves until it is ended, or until its stream is.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let address: SocketAddr = args.required("address")?;
    let flush_ms: u64 = args.value("flush-ms", 1_500)?;
    let minutes: u64 = args.value("minutes", 10)?;
    let core = args.optional("core")?;
    args.finish()?;
    if flush_ms < PHASE_MS {
        bail!("--flush-ms is at least {PHASE_MS}");
    }
    pin(core)?;
    let mut io = RingGroup::new(2)?.open(ShardId(0), RingConfig::default())?;
    let (acceptor, _) = io.listen(address, BindOptions::default())?;
    io.submit(ACCEPTOR, Op::Accept(acceptor));
    let sockets_max = RingConfig::default().sockets_max as usize;
    let mut bare = Bare {
        stream: Rc::new(stream(LEAD_BYTES + minutes * 60 * frame::BYTES_PER_SECOND)),
        start: io.now(),
        listeners: Slab::new(sockets_max),
        phases: vec![Vec::new(); (flush_ms / PHASE_MS) as usize],
        next_phase: 0,
        io,
    };
    bare.run()
}

impl Bare {
    fn run(&mut self) -> Result<()> {
        let mut completions = Vec::new();
        let mut due = self.start;
        let mut round = 0;
        loop {
            // The sends of the last round belong to it, not to the sleep.
            self.io.flush();
            self.io.wait(Some(due), &mut completions);
            for completion in completions.drain(..) {
                self.on_completion(completion);
            }
            if self.io.now() < due {
                continue;
            }
            due += Duration::from_millis(PHASE_MS);
            self.send_phase(round % self.phases.len());
            round += 1;
            if self.made() >= self.stream.len() as u64 {
                bail!("the stream is over; ask for more --minutes");
            }
        }
    }

    /// Bytes that the source would have made by now.
    fn made(&self) -> u64 {
        let us = (self.io.now() - self.start).as_micros() as u64;
        LEAD_BYTES + us * frame::BYTES_PER_SECOND / 1_000_000
    }

    fn on_completion(&mut self, completion: Completion<Buffer>) {
        match completion {
            Completion::Accepted { socket, .. } => self.on_accepted(socket),
            Completion::Received { token, buffer } => self.on_received(token, &buffer),
            Completion::Sent { token, result } => {
                let Some(listener) = self.listeners.get_mut(token) else { return };
                listener.sending = false;
                if result.is_err() {
                    self.close(token);
                }
            }
            Completion::Ended { token, .. } => self.close(token),
            Completion::Closed { token } => {
                let Some(listener) = self.listeners.remove(token) else { return };
                self.phases[listener.phase].retain(|&other| other != token);
            }
            Completion::AcceptFailed { error, .. } => eprintln!("accept: {error}"),
            Completion::Connected { .. }
            | Completion::ReceivedFrom { .. }
            | Completion::Icmp { .. } => {}
        }
    }

    fn on_accepted(&mut self, socket: Socket) {
        let phase = self.next_phase;
        self.next_phase = (phase + 1) % self.phases.len();
        let listener = Listener {
            socket,
            phase,
            head_bytes: [0; 4],
            cursor: None,
            sending: false,
            closing: false,
        };
        let Ok(token) = self.listeners.insert(listener) else { return };
        self.phases[phase].push(token);
        self.io.submit(token, Op::Recv(socket));
    }

    fn on_received(&mut self, token: Token, bytes: &[u8]) {
        let Some(listener) = self.listeners.get_mut(token) else { return };
        for &byte in bytes {
            listener.head_bytes.rotate_left(1);
            listener.head_bytes[3] = byte;
            if &listener.head_bytes == b"\r\n\r\n" && listener.cursor.is_none() {
                return self.begin(token);
            }
        }
    }

    /// Sends the head and the burst, from a frame's start.
    fn begin(&mut self, token: Token) {
        let made = self.made();
        let from = frame::start_of(frame::first_from(made - BURST_BYTES));
        let burst = self.piece(from, made);
        let Some(listener) = self.listeners.get_mut(token) else { return };
        listener.cursor = Some(made);
        listener.sending = true;
        let gather = Gather::from_iter([Piece::Static(HEAD), burst]);
        self.io.submit(token, Op::Send(listener.socket, gather));
    }

    /// Sends what has been made to the phase that is due.
    fn send_phase(&mut self, phase: usize) {
        let made = self.made();
        for index in 0..self.phases[phase].len() {
            let token = self.phases[phase][index];
            let Some(listener) = self.listeners.get_mut(token) else { continue };
            let Some(cursor) = listener.cursor else { continue };
            if listener.sending || listener.closing {
                continue;
            }
            listener.cursor = Some(made);
            listener.sending = true;
            let socket = listener.socket;
            let gather = Gather::from_iter([self.piece(cursor, made)]);
            self.io.submit(token, Op::Send(socket, gather));
        }
    }

    fn close(&mut self, token: Token) {
        let Some(listener) = self.listeners.get_mut(token) else { return };
        if !std::mem::replace(&mut listener.closing, true) {
            self.io.submit(token, Op::Close(listener.socket));
        }
    }

    fn piece(&self, from: u64, to: u64) -> Piece {
        Piece::Shared { block: Rc::clone(&self.stream), start: from as u32, end: to as u32 }
    }
}

/// The first `length` bytes of the endless MP3.
fn stream(length: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(length as usize + frame::FRAME_BYTES_MAX);
    let mut number = 0;
    while (bytes.len() as u64) < length {
        frame::write(number, &mut bytes);
        number += 1;
    }
    bytes.into()
}
