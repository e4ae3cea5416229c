//! `bench bare-http`: the limit for HTTP on the ring. It does not parse, route, or time anything:
//! for each end of a head among what it receives it sends an answer made beforehand, all answers
//! to one receive in one send.
//!
//! It listens once for each size of body, and once more for connections that it closes behind the
//! answer; where, it prints.
//!
//! *Invariant:* no two sends of one connection are in flight; ends that come meanwhile are
//! answered by the next.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use shards_ring::{Buffer, RingConfig, RingGroup, UringIo};
use shards_runtime::{
    BindOptions, Completion, Gather, Io, Op, Piece, ShardId, Slab, Socket, Token, pin,
};

use crate::args::Args;

/// Bytes of answers of one send, but for one answer that is longer.
const SEND_BYTES_MAX: usize = 64 * 1024;
const END: &[u8; 4] = b"\r\n\r\n";
/// Acceptors have no slot of the table; their generation is the number of their answer.
const ACCEPTOR_SLOT: u32 = u32::MAX;

/// One size of body.
struct Answer {
    /// The same answer again and again.
    block: Rc<Bytes>,
    length: usize,
    closes: bool,
}

struct Connection {
    socket: Socket,
    answer: u8,
    /// Bytes of [`END`] that the last receive ended with.
    end_bytes: u8,
    /// Ends that have no answer yet.
    due: u32,
    sending: bool,
    closing: bool,
}

struct Bare {
    io: UringIo,
    answers: Vec<Answer>,
    connections: Slab<Connection>,
}

/// The command: serves until it is ended.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let bodies: Vec<usize> = args.list("bodies", "0,13,1024,65536")?;
    let root: Option<std::path::PathBuf> = args.optional("root")?;
    let core = args.optional("core")?;
    args.finish()?;
    pin(core)?;
    let mut io = RingGroup::new(2)?.open(ShardId(0), RingConfig::default())?;
    let mut answers = Vec::new();
    let mut said = std::io::stdout().lock();
    let sizes = bodies.iter().map(|&bytes| (bytes, false)).chain([(13, true)]);
    for (number, (body_bytes, closes)) in sizes.enumerate() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (acceptor, address) = io.listen(address, BindOptions::default())?;
        let token = Token { slot: ACCEPTOR_SLOT, generation: number as u32 };
        io.submit(token, Op::Accept(acceptor));
        answers.push(Answer::new(&body(body_bytes, root.as_deref())?, closes));
        let closing = if closes { " close" } else { "" };
        writeln!(said, "{address} {body_bytes}{closing}")?;
    }
    writeln!(said, "ready")?;
    said.flush()?;
    let sockets_max = RingConfig::default().sockets_max as usize;
    Bare { io, answers, connections: Slab::new(sockets_max) }.run()
}

impl Bare {
    fn run(&mut self) -> Result<()> {
        let mut completions = Vec::new();
        loop {
            self.io.wait(None, &mut completions);
            for completion in completions.drain(..) {
                self.on_completion(completion);
            }
        }
    }

    fn on_completion(&mut self, completion: Completion<Buffer>) {
        match completion {
            Completion::Accepted { token, socket, .. } => self.on_accepted(token, socket),
            Completion::Received { token, buffer } => {
                let Some(connection) = self.connections.get_mut(token) else { return };
                connection.due += ends(&buffer, &mut connection.end_bytes);
                drop(buffer);
                self.send(token);
            }
            Completion::Sent { token, result } => {
                let Some(connection) = self.connections.get_mut(token) else { return };
                connection.sending = false;
                if result.is_err() {
                    self.close(token);
                } else {
                    self.send(token);
                }
            }
            Completion::Ended { token, .. } => self.close(token),
            Completion::Closed { token } => drop(self.connections.remove(token)),
            Completion::AcceptFailed { error, .. } => eprintln!("accept: {error}"),
            Completion::Connected { .. }
            | Completion::ReceivedFrom { .. }
            | Completion::Icmp { .. } => {}
        }
    }

    fn on_accepted(&mut self, acceptor: Token, socket: Socket) {
        let connection = Connection {
            socket,
            answer: acceptor.generation as u8,
            end_bytes: 0,
            due: 0,
            sending: false,
            closing: false,
        };
        let Ok(token) = self.connections.insert(connection) else { return };
        self.io.submit(token, Op::Recv(socket));
    }

    fn send(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.due == 0 || connection.sending || connection.closing {
            return;
        }
        let answer = &self.answers[usize::from(connection.answer)];
        let count = (connection.due as usize).min(answer.block.len() / answer.length);
        connection.due -= count as u32;
        connection.sending = true;
        let closes = answer.closes;
        connection.closing = closes;
        let end = (count * answer.length) as u32;
        let piece = Piece::Shared { block: Rc::clone(&answer.block), start: 0, end };
        let gather = Gather::from_iter([piece]);
        let socket = connection.socket;
        self.io.submit(
            token,
            if closes { Op::Finish(socket, gather) } else { Op::Send(socket, gather) },
        );
    }

    fn close(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if !std::mem::replace(&mut connection.closing, true) {
            self.io.submit(token, Op::Close(connection.socket));
        }
    }
}

impl Answer {
    fn new(body: &[u8], closes: bool) -> Self {
        let close = if closes { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{close}\r\n", body.len());
        let one = [head.as_bytes(), body].concat();
        let count = if closes { 1 } else { (SEND_BYTES_MAX / one.len()).max(1) };
        Answer { length: one.len(), block: Rc::new(one.repeat(count).into()), closes }
    }
}

/// The file of that size, if there is a root; otherwise the greeting, or as many of its letters.
fn body(bytes: usize, root: Option<&std::path::Path>) -> Result<Vec<u8>> {
    match root {
        Some(root) if bytes >= 1_024 => {
            Ok(std::fs::read(root.join(format!("{}k.bin", bytes / 1_024)))?)
        }
        _ => Ok(b"Hello, world!".iter().copied().cycle().take(bytes).collect()),
    }
}

/// How many heads end in these bytes. `end_bytes` is how much of an end stood before them, and
/// then how much of one they end with.
fn ends(bytes: &[u8], end_bytes: &mut u8) -> u32 {
    let mut count = 0;
    let mut rest = bytes;
    // Rare: an end that is cut. The bytes are taken one by one until it is over.
    while *end_bytes > 0 {
        let Some((&byte, behind)) = rest.split_first() else { return count };
        rest = behind;
        if byte == END[usize::from(*end_bytes)] {
            *end_bytes += 1;
        } else {
            *end_bytes = u8::from(byte == END[0]);
        }
        if *end_bytes == 4 {
            count += 1;
            *end_bytes = 0;
        }
    }
    let mut at = 0;
    while let Some(four) = rest.get(at..at + 4) {
        // The last of four bytes says how far no end can begin.
        at += match four[3] {
            b'\n' if four == END => {
                count += 1;
                4
            }
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
    let rest = &rest[at..];
    let is_begun = |length: &usize| rest.ends_with(&END[..*length]);
    *end_bytes = (1..4).rev().find(is_begun).unwrap_or(0) as u8;
    count
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn ends_are_found_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /\r\r\n\r\n\r\n\r\r\n\r\n";
        let whole = ends(text, &mut 0);
        assert_eq!(whole, 3);
        for piece in 1..=text.len() {
            let mut end_bytes = 0;
            let count: u32 = text.chunks(piece).map(|part| ends(part, &mut end_bytes)).sum();
            assert_eq!(count, whole, "pieces of {piece}");
        }
    }
}
