//! One connection of a shard: what it is doing now, what is on its way in and out.
//!
//! A connection is a slot in a slab and an enum of states; its size is what a listener costs.
//!
//! * At most one send is in flight; what is to follow waits in `output`.
//! * `deadline` is the truth, a timer entry is a reminder: one is always armed no later than it.
//!   An entry that comes too early, because the deadline has moved on, is armed again.
//! * After `Op::Close` the state is [`State::Closing`] and nothing else happens to it but `Closed`.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use protocol_http::RequestDecoder;
use protocol_icy::V1Decoder;
use shards_runtime::{Piece, Socket};

use crate::events::Subscriber;
use crate::fanout::Listener;
use crate::files::Sending;
use crate::message::ForwardedRequest;
use crate::pull::Pull;
use crate::routes::Handler;
use crate::snapshot::MountId;
use crate::source::{Offer, Source};
use crate::tls::Wire;
use crate::websocket::WebSocket;

/// A connection and its state.
pub(crate) struct Connection {
    /// Its descriptor; `None` while a pull is still connecting, and where it is an inner one.
    pub(crate) socket: Option<Socket>,
    /// The far end as shown to people and logs: a trusted proxy's word counts.
    pub(crate) peer: SocketAddr,
    /// It has no far end: a stream of WebRTC feeds a mount by it.
    pub(crate) is_inner: bool,
    /// Whether a send is in flight.
    pub(crate) sending: bool,
    /// Whether the machine receives for it.
    pub(crate) receiving: bool,
    /// TLS, if it is spoken.
    pub(crate) wire: Wire,
    /// It counts among its address's; under this one, whatever a proxy says later.
    pub(crate) counted: Option<IpAddr>,
    /// A browser that asks for a page is sent to https.
    pub(crate) redirects: bool,
    /// Whether it may go on behind the answer to come; of a request that has asked for it.
    pub(crate) keep_alive: KeepAlive,
    /// Close as soon as `output` has gone out.
    pub(crate) close_after_output: bool,
    /// Before that close, wait a moment for the far end to close first: it is still sending, and
    /// closing on unread bytes would reset the connection under our answer.
    pub(crate) lingers: bool,
    /// When the earliest timer entry that is armed fires.
    pub(crate) armed_at: Option<Instant>,
    /// When something must have happened; what, depends on the state.
    pub(crate) deadline: Option<Instant>,
    /// When it was accepted.
    pub(crate) since: Instant,
    /// Bytes handed to the kernel and taken by it.
    pub(crate) bytes_sent: u64,
    /// What it is doing.
    pub(crate) state: State,
    /// Received bytes that nobody has taken yet.
    pub(crate) input: Vec<u8>,
    /// What waits for the send in flight to end.
    pub(crate) output: Vec<Piece>,
    /// What the access log will say of its request.
    pub(crate) record: Option<Box<Record>>,
}

/// Whether a connection is kept behind the present answer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct KeepAlive {
    /// The client has asked for it.
    pub(crate) is_wanted: bool,
    /// The answer that is being sent allows it.
    pub(crate) is_granted: bool,
    /// The body of the request that is being answered has been read to its end.
    pub(crate) has_whole_body: bool,
    /// Requests so far.
    pub(crate) requests_count: u32,
}

/// What a connection is doing.
pub(crate) enum State {
    /// Reading a PROXY protocol header, then a request head.
    Head(Box<Head>),
    /// Reading an ICY v1 password and head.
    V1(Box<V1>),
    /// Reading the body of a request.
    Body(Box<Body>),
    /// Waiting for control's answer.
    Asking(Asking),
    /// At home on a mount that has no session yet.
    Parked(Parked),
    /// Sending an answer, then closing.
    Answering,
    /// Hearing what happens.
    Subscriber(Box<Subscriber>),
    /// Being sent a file, or about to be.
    File(Box<Sending>),
    /// Feeding a mount.
    Source(Box<Source>),
    /// Hearing a mount.
    Listener(Listener),
    /// Connecting to upstream, or reading its answer's head.
    Pull(Box<Pull>),
    /// Speaking WebSocket.
    WebSocket(Box<WebSocket>),
    /// `Op::Close` is submitted.
    Closing,
}

/// State of a connection that has not asked for anything yet.
pub(crate) struct Head {
    /// Finds the end of the head.
    pub(crate) decoder: RequestDecoder,
    /// Whether a PROXY protocol header comes first.
    pub(crate) expects_proxy_header: bool,
}

/// State of a SHOUTcast source before it is a source.
pub(crate) struct V1 {
    /// Password line, then head.
    pub(crate) decoder: V1Decoder,
    /// The mount it gets unless its password line names one.
    pub(crate) mount: String,
}

/// A request whose body is still coming in.
pub(crate) struct Body {
    /// The body's framing.
    pub(crate) decoder: RequestDecoder,
    /// Who will answer.
    pub(crate) handler: Handler,
    /// Longest body.
    pub(crate) body_bytes_max: u64,
    /// What is known so far.
    pub(crate) request: ForwardedRequest,
}

/// What a connection waits for control to say.
pub(crate) enum Asking {
    /// Whether the mount is its own.
    Claim(Box<Offer>),
    /// Whether it may listen, and how.
    Admit {
        /// Whether it wants titles.
        titled: bool,
    },
    /// The answer to its request.
    Answer,
}

/// A listener that waits for its mount to have a session.
#[derive(Clone)]
pub(crate) struct Parked {
    pub(crate) home: MountId,
    pub(crate) titled: bool,
}

/// What is kept of a request for its line in the access log.
pub(crate) struct Record {
    /// `GET`.
    pub(crate) method: Box<str>,
    /// The path as asked, without query.
    pub(crate) path: Box<str>,
    /// `HTTP/1.1`.
    pub(crate) protocol: &'static str,
    /// `Referer`.
    pub(crate) referer: Option<Box<str>>,
    /// `User-Agent`.
    pub(crate) agent: Option<Box<str>>,
    /// Whether another node asks, to pull the stream.
    pub(crate) is_pull: bool,
    /// Whether it does not play without a length.
    pub(crate) wants_length: bool,
    /// The status answered.
    pub(crate) status: u16,
}

impl Connection {
    /// A connection that was just made.
    pub(crate) fn new(peer: SocketAddr, now: Instant, state: State) -> Self {
        Connection {
            socket: None,
            is_inner: false,
            peer,
            sending: false,
            receiving: false,
            wire: Wire::Plain,
            counted: None,
            redirects: false,
            keep_alive: KeepAlive::default(),
            close_after_output: false,
            lingers: false,
            armed_at: None,
            deadline: None,
            since: now,
            bytes_sent: 0,
            state,
            input: Vec::new(),
            output: Vec::new(),
            record: None,
        }
    }

    /// Adds to what goes out next.
    pub(crate) fn push(&mut self, piece: Piece) {
        self.output.push(piece);
    }

    /// The `User-Agent` of its request.
    pub(crate) fn agent(&self) -> Option<&str> {
        self.record.as_ref().and_then(|record| record.agent.as_deref())
    }

    /// Whether it waits for an answer.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(Asking::Answer))
    }

    /// Whether it is being closed.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing)
    }
}
