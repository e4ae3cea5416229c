//! The smallest service that is careful: it echoes each connection, one send at a time, and stops
//! receiving while it has much to send.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use shards_runtime::{BindOptions, Completion, End, Io, Op, Piece, Socket, Token};
use shards_sim::{MachineId, SimBuffer, SimIo};

const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };
const QUEUE_MAX: usize = 8;

pub struct Echo {
    io: SimIo,
    connections: BTreeMap<u32, Connection>,
    slot_next: u32,
}

struct Connection {
    socket: Socket,
    /// Buffers that came and were not sent yet: what they hold is out of the machine's pool.
    queue: VecDeque<SimBuffer>,
    sending: bool,
    receiving: bool,
    ended: bool,
    closing: bool,
}

impl Echo {
    pub fn start(mut io: SimIo, at: SocketAddr) -> Echo {
        let options = BindOptions { shared: true, ..BindOptions::default() };
        let (acceptor, _) = io.listen(at, options).unwrap();
        io.submit(ACCEPTOR, Op::Accept(acceptor));
        io.flush();
        Echo { io, connections: BTreeMap::new(), slot_next: 0 }
    }

    pub fn id(&self) -> MachineId {
        self.io.id()
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub fn tick(&mut self) {
        let mut completions = Vec::new();
        self.io.wait(None, &mut completions);
        for completion in completions {
            self.complete(completion);
        }
    }

    fn complete(&mut self, completion: Completion<SimBuffer>) {
        match completion {
            Completion::Accepted { token, socket, .. } => {
                assert_eq!(token, ACCEPTOR);
                let connection = Connection {
                    socket,
                    queue: VecDeque::new(),
                    sending: false,
                    receiving: true,
                    ended: false,
                    closing: false,
                };
                self.connections.insert(self.slot_next, connection);
                self.io.submit(Token { slot: self.slot_next, generation: 0 }, Op::Recv(socket));
                self.slot_next += 1;
            }
            Completion::AcceptFailed { token, .. } => assert_eq!(token, ACCEPTOR),
            Completion::Received { token, buffer } => {
                assert!(!buffer.is_empty());
                let connection = self.connections.get_mut(&token.slot).unwrap();
                assert!(connection.receiving, "received after the end");
                connection.queue.push_back(buffer);
                if connection.queue.len() == QUEUE_MAX {
                    self.io.submit(token, Op::Pause(connection.socket));
                }
                self.go_on(token);
            }
            Completion::Ended { token, end } => {
                let connection = self.connections.get_mut(&token.slot).unwrap();
                assert!(connection.receiving, "ended twice");
                connection.receiving = false;
                match end {
                    End::Paused => {}
                    End::Eof => connection.ended = true,
                    End::Failed(_) => {
                        connection.ended = true;
                        connection.queue.clear();
                    }
                }
                self.go_on(token);
            }
            Completion::Sent { token, result } => {
                let connection = self.connections.get_mut(&token.slot).unwrap();
                assert!(connection.sending);
                connection.sending = false;
                if result.is_err() {
                    connection.ended = true;
                    connection.queue.clear();
                }
                self.go_on(token);
            }
            Completion::Closed { token } => {
                assert!(self.connections.remove(&token.slot).unwrap().closing);
            }
            Completion::Connected { .. }
            | Completion::ReceivedFrom { .. }
            | Completion::Icmp { .. } => unreachable!(),
        }
    }

    fn go_on(&mut self, token: Token) {
        let connection = self.connections.get_mut(&token.slot).unwrap();
        if connection.closing || connection.sending {
            return;
        }
        if let Some(buffer) = connection.queue.pop_front() {
            let bytes = Bytes::copy_from_slice(&buffer);
            let gather = [Piece::Owned(bytes)].into_iter().collect();
            connection.sending = true;
            self.io.submit(token, Op::Send(connection.socket, gather));
        } else if connection.ended {
            connection.closing = true;
            self.io.submit(token, Op::Close(connection.socket));
        }
        if !connection.receiving && !connection.ended && connection.queue.len() < QUEUE_MAX / 2 {
            connection.receiving = true;
            self.io.submit(token, Op::Recv(connection.socket));
        }
    }
}
