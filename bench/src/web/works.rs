//! What is measured: each work with those who do it.

use std::net::SocketAddr;

use super::peers::Peer;
use super::site::Site;
use crate::load::{Kind, LoadOptions};

/// What the server has to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// 13 bytes.
    Greeting,
    /// A file below the root.
    File(&'static str),
}

/// One kind of work.
#[derive(Debug)]
pub(crate) struct Work {
    /// Its name on the command line and in raw results.
    pub(crate) name: &'static str,
    /// Its name in tables.
    pub(crate) title: &'static str,
    /// How connections are used.
    pub(crate) kind: Kind,
    /// What is sent back.
    pub(crate) body: Body,
    /// How many connections.
    pub(crate) connections: usize,
    /// Requests at once on each.
    pub(crate) pipeline: usize,
    /// Size of a message, where there are messages.
    pub(crate) message_bytes: usize,
    /// Whether it goes through TLS.
    pub(crate) secure: bool,
    /// Whether TLS sessions are resumed.
    pub(crate) resumes: bool,
    /// Whether `wrk` makes the load.
    pub(crate) by_wrk: bool,
    /// Who does it.
    pub(crate) peers: &'static [Peer],
}

use Peer::{Bare, Go, Libuv, LibuvGathered, Nginx, Node, Serve};

const USUAL: Work = Work {
    name: "hello",
    title: "GET, 13 bytes",
    kind: Kind::Keep,
    body: Body::Greeting,
    connections: 100,
    pipeline: 1,
    message_bytes: 0,
    secure: false,
    resumes: false,
    by_wrk: false,
    peers: &[Serve, Bare, Libuv, Nginx, Go, Node],
};

/// All of them, in the order of the tables.
pub(crate) const ALL: &[Work] = &[
    USUAL,
    Work {
        name: "hello-1000",
        title: "GET, 13 bytes, 1,000 connections",
        connections: 1_000,
        peers: &[Serve, Bare, Libuv, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "hello-wrk",
        title: "GET, 13 bytes, load by wrk",
        by_wrk: true,
        peers: &[Serve, Bare, Libuv, Nginx],
        ..USUAL
    },
    Work {
        name: "empty",
        title: "GET, empty 200",
        body: Body::Empty,
        peers: &[Serve, Bare, Libuv, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "kib",
        title: "GET, 1 KiB",
        body: Body::File("1k.bin"),
        peers: &[Serve, Bare, Libuv, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "file-64k",
        title: "GET, file of 64 KiB",
        body: Body::File("64k.bin"),
        peers: &[Serve, Bare, Libuv, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "pipelined",
        title: "GET, 13 bytes, pipelined 16",
        pipeline: 16,
        peers: &[Serve, Bare, Libuv, LibuvGathered, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "close",
        title: "GET, 13 bytes, Connection: close",
        kind: Kind::Close,
        peers: &[Serve, Bare, Libuv, Nginx, Go],
        ..USUAL
    },
    Work {
        name: "ws-64",
        title: "WebSocket echo, 64 B",
        kind: Kind::WebSocket,
        message_bytes: 64,
        peers: &[Serve, Go, Node],
        ..USUAL
    },
    Work {
        name: "ws-4k",
        title: "WebSocket echo, 4 KiB",
        kind: Kind::WebSocket,
        message_bytes: 4_096,
        peers: &[Serve, Go, Node],
        ..USUAL
    },
    Work {
        name: "tls",
        title: "TLS 1.3, GET, 13 bytes",
        secure: true,
        peers: &[Serve, Nginx],
        ..USUAL
    },
    Work {
        name: "tls-full",
        title: "TLS 1.3, full handshake and one GET",
        kind: Kind::Close,
        secure: true,
        peers: &[Serve, Nginx],
        ..USUAL
    },
    Work {
        name: "tls-resumed",
        title: "TLS 1.3, resumed handshake and one GET",
        kind: Kind::Close,
        secure: true,
        resumes: true,
        peers: &[Serve, Nginx],
        ..USUAL
    },
];

/// What latency is measured with, at a rate that is known only then.
pub(crate) const LATENCY: Work = Work { name: "latency", title: "GET, 13 bytes", ..USUAL };
/// Whose latency is measured.
pub(crate) const LATENCY_PEERS: &[Peer] = &[Serve, Bare, Libuv, Nginx, Go];

impl Work {
    /// The path that is asked for.
    pub(crate) fn path(&self) -> String {
        match (self.kind, self.body) {
            (Kind::WebSocket, _) => "/echo".into(),
            (_, Body::Empty) => "/empty".into(),
            (_, Body::Greeting) => "/".into(),
            (_, Body::File(name)) => format!("/{name}"),
        }
    }

    /// The load, at a rate or (0) at the most.
    pub(crate) fn load(
        &self,
        peer: Peer,
        address: SocketAddr,
        rate: u64,
        site: &Site,
    ) -> LoadOptions {
        LoadOptions {
            kind: self.kind,
            path: self.path(),
            connections: self.connections,
            pipeline: self.pipeline,
            rate,
            body: match self.body {
                Body::File(name) => Some(site.root().join(name)),
                Body::Empty | Body::Greeting => None,
            },
            is_empty: self.body == Body::Empty,
            // The baselines without a stack have none.
            has_date: !matches!(peer, Bare | Libuv | LibuvGathered),
            message_bytes: self.message_bytes.max(1),
            certificate: self.secure.then(|| site.certificate()),
            resumes: self.resumes,
            ..LoadOptions::new(address)
        }
    }
}
