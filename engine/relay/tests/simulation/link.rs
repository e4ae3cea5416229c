//! How a client reaches the server: by datagrams, or by a stream that may break and is made anew.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol_stun::Reassembly;
use shards_sim::{Peer, PeerDatagrams, PeerState, World};

/// How long a connection may take to be made before another is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const FRAME_BYTES_MAX: usize = 70_000;

pub enum Link {
    Datagrams(PeerDatagrams),
    Stream(Stream),
}

pub struct Stream {
    world: World,
    server: SocketAddr,
    from: SocketAddr,
    peer: Peer,
    since: Instant,
    input: Reassembly,
    /// What found no room yet.
    output: Vec<u8>,
}

impl Link {
    pub fn stream(world: &World, from: SocketAddr, server: SocketAddr) -> Link {
        Link::Stream(Stream {
            world: world.clone(),
            server,
            from,
            peer: world.connect(from, server),
            since: world.now(),
            input: Reassembly::new(FRAME_BYTES_MAX),
            output: Vec::new(),
        })
    }

    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Link::Datagrams(socket) => Some(socket.address()),
            Link::Stream(stream) => stream.peer.address(),
        }
    }

    /// Sends a message or ChannelData.
    pub fn say(&mut self, server: SocketAddr, bytes: &[u8]) {
        match self {
            // What cannot be sent is lost, as on the way.
            Link::Datagrams(socket) => {
                let _ = socket.send_to(server, bytes);
            }
            Link::Stream(stream) => {
                stream.output.extend_from_slice(bytes);
                stream.output.resize(stream.output.len().next_multiple_of(4), 0);
                stream.pump();
            }
        }
    }

    /// The next message or ChannelData that came.
    pub fn receive(&mut self) -> Option<Result<Vec<u8>, String>> {
        match self {
            Link::Datagrams(socket) => socket.receive_from().map(|(_, bytes)| Ok(bytes)),
            Link::Stream(stream) => {
                stream.pump();
                let bytes = stream.peer.read(FRAME_BYTES_MAX);
                stream.input.push(&bytes);
                match stream.input.next() {
                    Ok(frame) => frame.map(|frame| Ok(frame.to_vec())),
                    Err(_) => Some(Err("a stream that is no TURN".to_owned())),
                }
            }
        }
    }

    /// Whether it must be made anew: it broke, or is not made.
    pub fn is_over(&self, now: Instant) -> bool {
        let Link::Stream(stream) = self else { return false };
        match stream.peer.state() {
            PeerState::Open => stream.peer.is_finished(),
            PeerState::Connecting => now > stream.since + CONNECT_MAX,
            PeerState::Failed(_) | PeerState::Gone => true,
        }
    }

    /// Another stream from another port; what the one before had to say is forgotten.
    pub fn renew(&mut self) {
        if let Link::Stream(stream) = self {
            *self = Link::stream(&stream.world, stream.from, stream.server);
        }
    }

    /// Ends a stream, as a program that is closed or one that is killed; false for datagrams.
    pub fn end(&mut self, in_order: bool) -> bool {
        let Link::Stream(stream) = self else { return false };
        match in_order {
            true => stream.peer.close(),
            false => stream.peer.reset(),
        }
        true
    }

    /// Says nothing any more, and nobody learns of it.
    pub fn vanish(&mut self) {
        if let Link::Stream(stream) = self {
            stream.peer.vanish();
        }
    }
}

impl Stream {
    fn pump(&mut self) {
        let count = self.peer.write(&self.output);
        self.output.drain(..count);
    }
}
