//! `/artifacts/…`: recordings, clips and snapshots, sent as the files of directories are.
//!
//! A recording that is being written is a file that grows: who asks for it gets what is there at
//! that moment, which plays to its last fragment.

use protocol_http::{Limits, Method, RequestDecoder, Status, Step as HeadStep};
use shards_runtime::{Context, Io, Token};
use shards_storage::FileError;

use crate::files::{Files, Shelf, Step};
use crate::message::{ForwardedRequest, Message};
use crate::node::Node;
use crate::whole::Answer;

/// Where they are below this server's root.
const PREFIX: &str = "/artifacts/";

/// Lines of every answer with one: a recording that grows is another one by then, and a token may
/// have opened it.
pub(crate) const LINES: &[u8] =
    b"Cache-Control: private, no-cache\r\nX-Content-Type-Options: nosniff\r\n";

impl Node {
    /// The same node with a folder of recordings.
    #[must_use]
    pub fn with_artifacts(mut self, artifacts: Option<Files>) -> Node {
        self.artifacts = artifacts;
        self
    }

    /// A request below `/artifacts/`.
    pub(crate) fn artifact_request<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) {
        let found = self.find_artifact(cx, token, request);
        let step = found.unwrap_or(Step::Refused(FileError::NotFound));
        self.file_wish(cx, token, Shelf::Artifacts, step);
    }

    fn find_artifact<I: Io>(
        &mut self,
        cx: &Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) -> Option<Step> {
        let artifacts = self.artifacts.as_mut()?;
        // Indexes and drafts are nobody's business.
        let name = request.path.strip_prefix(PREFIX).filter(|name| is_media(name))?;
        let head = head_of(request);
        match RequestDecoder::new(Limits::default()).decode(&head) {
            Ok(HeadStep::Head { head, .. }) => Some(artifacts.find(cx, (0, name), &head, token)),
            _ => None,
        }
    }
}

/// What a client is told of one that is not sent.
pub(crate) fn refusal(error: FileError) -> Answer {
    let (status, error) = match error {
        FileError::NotFound | FileError::Directory | FileError::Refused => {
            (Status::NOT_FOUND, "not_found")
        }
        FileError::Denied => (Status::FORBIDDEN, "forbidden"),
        FileError::Busy | FileError::Stopped => (Status::SERVICE_UNAVAILABLE, "busy"),
        FileError::Changed | FileError::Failed => (Status::INTERNAL_SERVER_ERROR, "unreadable"),
    };
    Answer::json(status, format!("{{\"status\":\"error\",\"error\":\"{error}\"}}\n"))
}

/// Whether a file of this name is served at all.
fn is_media(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("mp4" | "webm" | "ogg" | "jpg"))
}

/// What the answer depends on of a request, as a request of its own.
fn head_of(request: &ForwardedRequest) -> Vec<u8> {
    let method = if request.method == "HEAD" { Method::Head } else { Method::Get };
    let mut head = format!("{} / HTTP/1.1\r\nHost: h\r\n", method.as_str()).into_bytes();
    let is_needed = |name: &str| name == "range" || name.starts_with("if-");
    for (name, value) in request.headers.iter().filter(|(name, _)| is_needed(name)) {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_are_served() {
        for name in ["a.mp4", "clips/b.webm", "c.ogg", "snapshots/d.jpg"] {
            assert!(is_media(name), "{name}");
        }
        for name in ["a.mp4.json", "a.mp4.json.draft", "mp4", ".mp4.", "a.html"] {
            assert!(!is_media(name), "{name}");
        }
    }
}
