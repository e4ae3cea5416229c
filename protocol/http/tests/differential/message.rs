//! What a parser read, in words that two parsers share; and our own reading.

use protocol_http::{Limits, RequestDecoder, ResponseDecoder, Step, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Requests,
    Responses,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The method, or the status code.
    pub first: String,
    pub target: Vec<u8>,
    pub version: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub has_head: bool,
    pub is_whole: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub messages: Vec<Message>,
    /// The bytes of each message's head, where that is known.
    pub heads: Vec<Vec<u8>>,
    /// Why nothing more was read, if there is a reason.
    pub error: Option<String>,
}

impl Message {
    /// Whether the other is a longer reading of the same message.
    pub fn begins(&self, other: &Message) -> bool {
        let head =
            |message: &Message| Message { body: Vec::new(), is_whole: false, ..message.clone() };
        head(self) == head(other) && !self.is_whole && other.body.starts_with(&self.body)
    }

    /// Whether it is a head that was refused for this error.
    pub fn is_refused(&self, error: &str) -> bool {
        let for_its_body = error == "HPE_INVALID_TRANSFER_ENCODING";
        for_its_body && self.body.is_empty() && !self.is_whole
    }

    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = |line: &&(String, Vec<u8>)| line.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_slice()).collect()
    }

    pub fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case(b"chunked"))
    }
}

/// What we read in a connection's bytes, which end there.
pub fn ours(kind: Kind, bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut unread = bytes;
    let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
    let mut requests = RequestDecoder::new(limits.clone());
    let mut responses = ResponseDecoder::new(limits);
    loop {
        let step = match kind {
            Kind::Requests => {
                requests.decode(unread).map_err(|refused| refused.reason).map(|step| {
                    with_head(step, |head| Message {
                        first: head.method.as_str().to_owned(),
                        target: head.target.raw().as_bytes().to_vec(),
                        version: number(head.version),
                        headers: lines(head.headers.iter()),
                        ..Message::default()
                    })
                })
            }
            Kind::Responses => {
                responses.decode(unread).map_err(|malformed| malformed.reason).map(|step| {
                    with_head(step, |head| Message {
                        first: head.status.0.to_string(),
                        version: number(head.version),
                        headers: lines(head.headers.iter()),
                        ..Message::default()
                    })
                })
            }
        };
        let used = match step {
            Ok(Step::Need) => break,
            Ok(Step::Head { head, used }) => {
                reading.messages.push(Message { has_head: true, ..head });
                reading.heads.push(unread[..used].to_vec());
                used
            }
            Ok(Step::Body { range, used }) => {
                let message = reading.messages.last_mut().expect("a head comes first");
                message.body.extend_from_slice(&unread[range]);
                used
            }
            Ok(Step::End { used }) => {
                reading.messages.last_mut().expect("a head comes first").is_whole = true;
                used
            }
            Err(reason) => {
                reading.error = Some(reason.to_owned());
                return reading;
            }
        };
        unread = &unread[used..];
    }
    if kind == Kind::Responses {
        match responses.finish() {
            Ok(()) => reading.messages.iter_mut().for_each(|message| message.is_whole = true),
            Err(malformed) => reading.error = Some(malformed.reason.to_owned()),
        }
    }
    reading
}

fn with_head<H>(step: Step<H>, read: impl FnOnce(H) -> Message) -> Step<Message> {
    match step {
        Step::Need => Step::Need,
        Step::Head { head, used } => Step::Head { head: read(head), used },
        Step::Body { range, used } => Step::Body { range, used },
        Step::End { used } => Step::End { used },
    }
}

fn number(version: Version) -> String {
    match version {
        Version::Http11 => "1.1".to_owned(),
        _ => "1.0".to_owned(),
    }
}

fn lines<'h>(lines: impl Iterator<Item = (&'h str, &'h [u8])>) -> Vec<(String, Vec<u8>)> {
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
