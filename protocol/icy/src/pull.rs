//! Pulling a stream from another server (Icecast 2.4.4, src/slave.c, `open_relay_connection`).
//!
//! ```text
//!  GET /live.mp3 HTTP/1.0          1.0, so that the answer is not chunked
//!  User-Agent: …
//!  Host: upstream.example          without the port
//!  Icy-MetaData: 1
//!  Authorization: Basic …
//!  Via: 1.1 node-a                 our own: who is asking, so that a loop is seen
//!
//! ```
//!
//! A node that finds its own name in a request's `Via` ([`passed_through`]) would pull from itself.
//! One that finds it in an answer's ([`PullAnswer::passed`]) would be fed with its own stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol_http::Status;

use crate::source::{header, metaint_of};
use crate::stream_info::{StreamInfo, VALUE_BYTES_MAX, via_nodes};
use crate::text::{line_of, one_line, value_of};

const LOCATION_BYTES_MAX: usize = 4096;

/// What is asked of an upstream server.
#[derive(Clone, Copy)]
pub struct PullRequest<'a> {
    /// Path and query there, as it stands on the wire.
    pub path: &'a str,
    /// The server's name or address.
    pub host: &'a str,
    /// Our `User-Agent`.
    pub agent: &'a str,
    /// Whether to ask for titles.
    pub titles: bool,
    /// User and password.
    pub credentials: Option<&'a (String, String)>,
    /// Our node's name, for the `Via`; several with commas, the nearest last. Empty: none.
    pub via: &'a str,
}

/// The bytes of the request.
pub fn pull_request(request: &PullRequest<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"GET ");
    push_path(request.path, &mut out);
    out.extend_from_slice(b" HTTP/1.0\r\n");
    let mut line = |name: &str, value: &str| {
        let line = format!("{name}: {}\r\n", one_line(value));
        out.extend_from_slice(line.as_bytes());
    };
    line("User-Agent", request.agent);
    line("Host", request.host);
    if request.titles {
        line("Icy-MetaData", "1");
    }
    if let Some((user, password)) = request.credentials {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        line("Authorization", &format!("Basic {encoded}"));
    }
    let nodes: Vec<String> = request
        .via
        .split(',')
        .map(|node| node.trim().to_owned())
        .filter(|n| !n.is_empty())
        .collect();
    if !nodes.is_empty() {
        line("Via", &via_value(&nodes));
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Whether a request comes from, or through, the node of this name.
pub fn passed_through<'a>(
    mut headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    node_id: &str,
) -> bool {
    !node_id.is_empty()
        && headers.any(|(name, value)| {
            name.eq_ignore_ascii_case("via")
                && via_nodes(&line_of(value, VALUE_BYTES_MAX)).iter().any(|node| node == node_id)
        })
}

/// The head of an upstream answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullAnswer {
    /// The status code.
    pub status: u16,
    /// Where to go instead, of a redirect.
    pub location: Option<String>,
    /// The stream's type; `None` is taken as `audio/mpeg`.
    pub content_type: Option<String>,
    /// What upstream says about the stream.
    pub info: StreamInfo,
    /// Media bytes between title blocks; `None` when there are none inside.
    pub metaint: Option<usize>,
}

impl PullAnswer {
    /// Reads the lines of an answer; names in any case.
    pub fn from_head<'a>(
        status: Status,
        headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> PullAnswer {
        let get = |wanted: &str| header(headers.clone(), wanted);
        let text = |wanted: &str, max| get(wanted).and_then(|raw| value_of(raw, max));
        PullAnswer {
            status: status.0,
            location: text("location", LOCATION_BYTES_MAX),
            content_type: text("content-type", VALUE_BYTES_MAX),
            metaint: get("icy-metaint").and_then(metaint_of),
            info: StreamInfo::from_headers(headers),
        }
    }

    /// Whether the stream has come through the node of this name before.
    pub fn passed(&self, node_id: &str) -> bool {
        self.info.passed(node_id)
    }
}

/// `1.1 a, 1.1 b` (RFC 9110 §7.6.3).
pub(crate) fn via_value(nodes: &[String]) -> String {
    nodes.iter().map(|node| format!("1.1 {node}")).collect::<Vec<_>>().join(", ")
}

/// A path always begins with `/` and holds no byte that would end it.
fn push_path(path: &str, out: &mut Vec<u8>) {
    if !path.starts_with('/') {
        out.push(b'/');
    }
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
