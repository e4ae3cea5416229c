//! Those outside the shards: an encoder, a listener, an upstream server, a datagram client. A
//! workload holds a handle for each and moves it whenever it likes; nothing here waits.

use std::io;
use std::net::SocketAddr;

use shards_runtime::BindOptions;

use crate::connect::AcceptorOwner;
use crate::errno;
use crate::stream::Owner;
use crate::world::World;

/// How a peer's connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// The far end has not answered yet.
    Connecting,
    /// Connected; either direction may have ended.
    Open,
    /// Refused, timed out or reset. What had arrived can still be read.
    Failed(io::ErrorKind),
    /// Closed or vanished by this peer itself.
    Gone,
}

/// One end of a TCP connection outside the shards. Dropping it closes it.
pub struct Peer {
    world: World,
    connection: u64,
    side: usize,
    gone: bool,
}

impl World {
    /// A peer at `from` connects. Port 0 picks a free one.
    #[must_use]
    pub fn connect(&self, mut from: SocketAddr, to: SocketAddr) -> Peer {
        let mut state = self.state.borrow_mut();
        if from.port() == 0 {
            from.set_port(state.ephemeral_port());
        }
        let connection = state.start_connect(Owner::Peer, None, from, to);
        Peer { world: self.clone(), connection, side: 0, gone: false }
    }

    /// A server outside the shards, for nodes to connect to.
    ///
    /// # Errors
    /// Another server has that address.
    pub fn peer_listen(&self, address: SocketAddr) -> io::Result<PeerAcceptor> {
        let options = BindOptions::default();
        let owner = AcceptorOwner::Peer;
        let mut state = self.state.borrow_mut();
        let (id, address) = state.open_acceptor(owner, None, address, options)?;
        Ok(PeerAcceptor { world: self.clone(), id, address })
    }

    /// A datagram socket outside the shards.
    ///
    /// # Errors
    /// Another one has that address.
    pub fn peer_bind(&self, address: SocketAddr) -> io::Result<PeerDatagrams> {
        let options = BindOptions::default();
        let owner = AcceptorOwner::Peer;
        let mut state = self.state.borrow_mut();
        let (id, address) = state.open_datagram(owner, None, address, options)?;
        Ok(PeerDatagrams { world: self.clone(), id, address })
    }
}

impl Peer {
    /// How the connection stands.
    #[must_use]
    pub fn state(&self) -> PeerState {
        let state = self.world.state.borrow();
        match state.connections.get(&self.connection).filter(|_| !self.gone) {
            None => PeerState::Gone,
            Some(it) => match it.sides[self.side].failed {
                Some(number) => PeerState::Failed(errno::error(number).kind()),
                None if it.established => PeerState::Open,
                None => PeerState::Connecting,
            },
        }
    }

    /// This end's address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let state = self.world.state.borrow();
        state.connections.get(&self.connection).map(|it| it.sides[self.side].address)
    }

    /// Writes what there is room for and says how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.state() != PeerState::Open {
            return 0;
        }
        let mut state = self.world.state.borrow_mut();
        let pipe = &state.connections[&self.connection].pipes[self.side];
        let count = if pipe.fin_sent { 0 } else { bytes.len().min(pipe.room()) };
        state.transmit(self.connection, self.side, bytes[..count].to_vec());
        count
    }

    /// How many bytes can be read now.
    #[must_use]
    pub fn readable(&self) -> usize {
        if self.gone {
            return 0;
        }
        let state = self.world.state.borrow();
        let connection = state.connections.get(&self.connection);
        connection.map_or(0, |it| it.pipes[1 - self.side].readable())
    }

    /// Reads at most so many bytes of what has arrived. How often and how much a peer reads is how
    /// fast it is: what it leaves holds the sender back.
    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        if self.gone {
            return Vec::new();
        }
        let state = &mut *self.world.state.borrow_mut();
        let Some(it) = state.connections.get_mut(&self.connection) else { return Vec::new() };
        let bytes = it.pipes[1 - self.side].read(bytes_max);
        if !bytes.is_empty() {
            state.trace.word(state.now_ns);
            state.trace.word(self.connection);
            state.trace.bytes(&bytes);
            state.pump_sender(self.connection, 1 - self.side);
        }
        bytes
    }

    /// Whether the far end has ended its direction, in order or not, and all of it has been read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let state = self.world.state.borrow();
        let Some(it) = state.connections.get(&self.connection).filter(|_| !self.gone) else {
            return true;
        };
        let pipe = &it.pipes[1 - self.side];
        pipe.readable() == 0 && (pipe.fin_arrived || it.sides[self.side].failed.is_some())
    }

    /// Whether the far end ended its direction in order (and not by a reset).
    #[must_use]
    pub fn is_far_end_done(&self) -> bool {
        let state = self.world.state.borrow();
        let connection = state.connections.get(&self.connection);
        connection.is_some_and(|it| it.pipes[1 - self.side].fin_arrived)
    }

    /// Ends this direction; the other goes on.
    pub fn shut_down(&mut self) {
        if self.state() == PeerState::Open {
            self.world.state.borrow_mut().finish(self.connection, self.side);
        }
    }

    /// Ends both directions, as a program that closes its socket.
    pub fn close(&mut self) {
        self.leave(false);
    }

    /// Ends both directions at once; the far end learns of it as an error.
    pub fn reset(&mut self) {
        self.leave(true);
    }

    /// Disappears without a word, as a host whose cable was pulled.
    pub fn vanish(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            self.world.state.borrow_mut().vanish_side(self.connection, self.side);
        }
    }

    fn leave(&mut self, reset: bool) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        // While a panic unwinds the world may be in use; it is not looked at again.
        if let Ok(mut state) = self.world.state.try_borrow_mut() {
            state.close_side(self.connection, self.side, reset);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.leave(false);
    }
}

/// A listening socket outside the shards. Dropping it closes it.
pub struct PeerAcceptor {
    world: World,
    id: u64,
    address: SocketAddr,
}

impl PeerAcceptor {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that waits.
    pub fn accept(&mut self) -> Option<Peer> {
        let mut state = self.world.state.borrow_mut();
        let connection = state.acceptors.get_mut(&self.id)?.backlog.pop_front()?;
        let it = state.connections.get_mut(&connection)?;
        it.sides[1].owner = Owner::Peer;
        Some(Peer { world: self.world.clone(), connection, side: 1, gone: false })
    }
}

impl Drop for PeerAcceptor {
    fn drop(&mut self) {
        if let Ok(mut state) = self.world.state.try_borrow_mut() {
            state.close_acceptor(self.id);
        }
    }
}

/// A datagram socket outside the shards. Dropping it closes it.
pub struct PeerDatagrams {
    world: World,
    id: u64,
    address: SocketAddr,
}

impl PeerDatagrams {
    /// Where it is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// It is too large, or the send failed for a fault.
    pub fn send_to(&mut self, to: SocketAddr, payload: &[u8]) -> io::Result<usize> {
        let mut state = self.world.state.borrow_mut();
        state.send_datagrams(self.id, to, payload, None).map_err(errno::error)
    }

    /// The next datagram that waits, and who sent it.
    pub fn receive_from(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let state = &mut *self.world.state.borrow_mut();
        let (from, payload) = state.take_datagram(self.id)?;
        state.trace.word(state.now_ns);
        state.trace.bytes(&payload);
        Some((from, payload))
    }
}

impl Drop for PeerDatagrams {
    fn drop(&mut self) {
        if let Ok(mut state) = self.world.state.try_borrow_mut() {
            state.datagrams.remove(&self.id);
        }
    }
}
