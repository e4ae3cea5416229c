//! Connections that go on behind an answer, and browsers that are sent to https.
//!
//! Pages, statistics and the API keep a connection for whoever asks for that in so many words
//! (`Connection: keep-alive`, as browsers and HTTP libraries do). To all others, and for streams,
//! an answer is Icecast's to the byte and ends its connection.

use std::time::Duration;

use bytes::Bytes;
use protocol_http::{Method, RequestDecoder, RequestHead, ResponseWriter, Status, Version};
use protocol_icy::Answers;
use shards_runtime::{Context, Io, Piece, Token};

use crate::connection::{Head, KeepAlive, State};
use crate::lifecycle::ANSWER_TIMEOUT;
use crate::message::Message;
use crate::node::Node;

impl Node {
    /// Sends control's answer, and keeps the connection where that is wanted and possible.
    pub(crate) fn answer<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        status: u16,
        bytes: Bytes,
    ) {
        match self.may_keep(token).then(|| kept_answer(&bytes)).flatten() {
            Some(answer) => self.answer_kept(cx, token, status, answer),
            None => self.refuse(cx, token, status, bytes),
        }
    }

    /// Whether a connection goes on behind the answer to its request.
    pub(crate) fn may_keep(&self, token: Token) -> bool {
        let requests_max = self.snapshot.config.limits.connection_requests_max;
        let is_draining = self.drain_until.is_some();
        let Some(connection) = self.connections.get(token) else { return false };
        let KeepAlive { is_wanted, requests_count, .. } = connection.keep_alive;
        let has_more = requests_max == 0 || requests_count < requests_max;
        is_wanted && has_more && !is_draining
    }

    /// Sends an answer, head included, that says that the connection goes on.
    pub(crate) fn answer_kept<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        status: u16,
        answer: Vec<u8>,
    ) {
        self.change_state(cx, token, State::Answering);
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.keep_alive.is_granted = true;
        connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
        if let Some(record) = &mut connection.record {
            record.status = status;
        }
        connection.push(Piece::Owned(answer.into()));
        self.arm(cx, token);
        self.send_output(cx, token);
    }

    /// The answer is sent and the connection kept: it begins anew, with what came meanwhile.
    pub(crate) fn next_request<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        self.write_log(cx, token);
        let idle = Duration::from_millis(self.snapshot.config.limits.idle_timeout_ms);
        let decoder = RequestDecoder::new(self.http_limits());
        let Some(connection) = self.connections.get_mut(token) else { return };
        (connection.keep_alive.is_wanted, connection.keep_alive.is_granted) = (false, false);
        (connection.since, connection.bytes_sent) = (cx.now(), 0);
        connection.keep_alive.has_whole_body = false;
        connection.deadline = Some(cx.now() + idle);
        connection.state = State::Head(Box::new(Head { decoder, expects_proxy_header: false }));
        let has_input = !connection.input.is_empty();
        self.arm(cx, token);
        if has_input {
            self.head_input(cx, token, &[]);
        }
        let Some(connection) = self.connections.get_mut(token) else { return };
        // The client has ended its direction, and nothing whole was left of it.
        if matches!(connection.state, State::Head(_)) && !connection.receiving {
            self.close(cx, token);
        }
    }
}

/// Whether a client asks in so many words that its connection be kept.
pub(crate) fn asks_to_be_kept(head: &RequestHead<'_>) -> bool {
    head.keep_alive && head.headers.has_token("connection", "keep-alive")
}

/// Where a browser that wants a page finds it over TLS; `None` for everybody else.
pub(crate) fn redirect_to_https(
    head: &RequestHead<'_>,
    answers: &Answers<'_>,
) -> Option<(u16, Vec<u8>)> {
    let accepts = head.headers.get_str("accept")?;
    let is_page =
        matches!(head.method, Method::Get | Method::Head) && accepts.contains("text/html");
    let host = head.host.filter(|_| is_page)?;
    let query = head.target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("https://{host}{}{query}", head.target.path());
    let mut out = Vec::with_capacity(256);
    let status = Status::TEMPORARY_REDIRECT;
    let mut response = ResponseWriter::new(&mut out, Version::Http11, status);
    response.header("Server", answers.server).header_date("Date", answers.unix_seconds).close();
    response.header("Location", location).content_length(0).finish();
    Some((status.0, out))
}

/// The same answer as one that does not end its connection. Where its end would not be known
/// without that, `None`.
fn kept_answer(bytes: &[u8]) -> Option<Vec<u8>> {
    const CLOSE: &[u8] = b"Connection: Close\r\n";
    const KEEP: &[u8] = b"Connection: keep-alive\r\n";
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = bytes.split_at(end + 2);
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let status = lines.next()?.strip_prefix(b"HTTP/1.")?.get(1..)?;
    let mut out = Vec::with_capacity(bytes.len() + KEEP.len());
    out.extend_from_slice(b"HTTP/1.1");
    out.extend_from_slice(status);
    let (mut has_length, mut had_close) = (false, false);
    for line in lines {
        let is = |name: &[u8]| line.get(..name.len()).is_some_and(|l| l.eq_ignore_ascii_case(name));
        has_length |= is(b"Content-Length:");
        if line.eq_ignore_ascii_case(CLOSE) {
            had_close = true;
            out.extend_from_slice(KEEP);
        } else {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(body);
    (has_length && had_close).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_when_its_end_is_known() {
        let answer = b"HTTP/1.0 200 OK\r\nServer: s\r\nConnection: Close\r\n\
            Content-Length: 19\r\n\r\nConnection: Close\r\n";
        let kept = kept_answer(answer).unwrap();
        let expected = b"HTTP/1.1 200 OK\r\nServer: s\r\nConnection: keep-alive\r\n\
            Content-Length: 19\r\n\r\nConnection: Close\r\n";
        assert_eq!(kept, expected);
        let endless = b"HTTP/1.0 200 OK\r\nConnection: Close\r\n\r\nabc";
        assert_eq!(kept_answer(endless), None);
        assert_eq!(kept_answer(b"ICY 200 OK\r\nContent-Length: 1\r\n\r\nx"), None);
    }
}
