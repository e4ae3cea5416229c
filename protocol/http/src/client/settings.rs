//! The bounds of a client.

use std::time::Duration;

use crate::limits::Limits;

/// What a client may hold and how long it waits.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Heads and bodies of answers.
    pub limits: Limits,
    /// Exchanges that have not ended, those that wait for a connection included.
    pub exchanges_max: usize,
    /// Connections in all, idle ones included.
    pub connections_max: usize,
    /// Connections to one origin; who wants more waits.
    pub connections_per_origin_max: usize,
    /// Requests on one connection, after which it is closed. 0 is no limit.
    pub requests_per_connection_max: u32,
    /// Redirects of one exchange; 0 hands the redirect itself out.
    pub redirects_max: u32,
    /// Interim answers (1xx) before the final one.
    pub interim_count_max: u32,
    /// Bytes of a body that nobody wants (of a redirect) that are read to keep a connection; one
    /// with more to come is closed instead.
    pub drain_bytes_max: u64,
    /// Bytes of a request's body that wait for the connection to take them.
    pub send_buffer_bytes_max: usize,
    /// Until a connection is made, TLS included.
    pub connect: Duration,
    /// Between the end of a request and the end of the answer's head.
    pub head: Duration,
    /// Between two pieces of a body, in either direction.
    pub body_idle: Duration,
    /// The whole exchange; `None` is no limit, for streams without end.
    pub total: Option<Duration>,
    /// How long an idle connection is kept. Shorter than servers keep theirs, or a request meets
    /// a connection that is being closed.
    pub idle: Duration,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            limits: Limits { body_bytes_max: 16 << 20, ..Limits::default() },
            exchanges_max: 256,
            connections_max: 64,
            connections_per_origin_max: 6,
            requests_per_connection_max: 1000,
            redirects_max: 5,
            interim_count_max: 8,
            drain_bytes_max: 16 << 10,
            send_buffer_bytes_max: 64 << 10,
            connect: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            total: Some(Duration::from_secs(300)),
            idle: Duration::from_secs(20),
        }
    }
}
