//! One end of a link: the order of what is said, and the bounds of what waits.

use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;

use crate::frame::{Frame, FrameError};
use crate::{Hello, Message, TRACKS_MAX, VERSION};

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Gives the job.
    Server,
    /// Does it.
    Worker,
}

/// Bounds of one end.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest message, without its head.
    pub body_bytes_max: usize,
    /// Bytes that may wait to be written before packets are refused. What steers the link is small
    /// and always taken, up to `steering_max` messages.
    pub output_bytes_max: usize,
    /// Messages that may wait to be written beside packets.
    pub steering_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { body_bytes_max: 8 << 20, output_bytes_max: 4 << 20, steering_max: 1024 }
    }
}

/// A message that was not taken, given back: nothing of it will be written.
#[derive(Debug, PartialEq)]
pub enum Refused {
    /// Too much waits to be written.
    Full(Message),
    /// It is longer than any message may be.
    TooLong(Message),
    /// This side has no such word, or not now.
    OutOfOrder(Message),
}

/// Why a link is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The peer's bytes are no message.
    Frame(FrameError),
    /// The peer speaks another version.
    Version(u16),
    /// The peer said something that it may not say, or not then.
    OutOfOrder(&'static str),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Frame(error) => error.fmt(f),
            LinkError::Version(theirs) => {
                write!(f, "the other end speaks version {theirs}, this one {VERSION}")
            }
            LinkError::OutOfOrder(what) => write!(f, "the other end broke the order: {what}"),
        }
    }
}

impl std::error::Error for LinkError {}

/// What one side has said so far.
#[derive(Debug, Default)]
struct Said {
    hello: bool,
    job: bool,
    tracks: [bool; TRACKS_MAX],
    drain: bool,
    end: bool,
}

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    side: Side,
    limits: Limits,
    received: BytesMut,
    theirs: Said,
    ours: Said,
    outputs: VecDeque<Frame>,
    output_bytes: usize,
    is_broken: bool,
}

impl Link {
    /// An end, whose hello already waits to be written.
    pub fn new(side: Side, limits: Limits) -> Link {
        let mut link = Link {
            side,
            limits,
            received: BytesMut::new(),
            theirs: Said::default(),
            ours: Said::default(),
            outputs: VecDeque::new(),
            output_bytes: 0,
            is_broken: false,
        };
        link.ours.hello = true;
        link.enqueue(Frame::encode(&Message::Hello(Hello { version: VERSION })));
        link
    }

    /// Takes bytes that arrived. They are kept until [`Link::poll`] has made messages of them: poll
    /// until it has nothing before more is given, and what is kept stays below one message.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.is_broken {
            self.received.extend_from_slice(bytes);
        }
    }

    /// The next message of the other end, if it is all there.
    ///
    /// # Errors
    /// The link is over: nothing more is read.
    pub fn poll(&mut self) -> Result<Option<Message>, LinkError> {
        if self.is_broken {
            return Ok(None);
        }
        let result = Frame::decode(&mut self.received, self.limits.body_bytes_max)
            .map_err(LinkError::Frame)
            .and_then(|message| match message {
                None => Ok(None),
                Some(message) => {
                    let from = match self.side {
                        Side::Server => Side::Worker,
                        Side::Worker => Side::Server,
                    };
                    self.theirs.note(from, &message)?;
                    Ok(Some(message))
                }
            });
        if result.is_err() {
            self.is_broken = true;
            self.received = BytesMut::new();
        }
        result
    }

    /// Takes a message to be written.
    ///
    /// # Errors
    /// It is given back: a packet where too much waits, or what this side may not say now.
    #[allow(clippy::result_large_err, reason = "the message comes back as it was")]
    pub fn send(&mut self, message: Message) -> Result<(), Refused> {
        let frame = Frame::encode(&message);
        let is_packet = matches!(message, Message::Packet(_));
        if frame.size_bytes() - crate::HEAD_BYTES > self.limits.body_bytes_max {
            return Err(Refused::TooLong(message));
        }
        // The last word is always taken: without it the other end would call it a crash.
        let is_full = match message {
            Message::End(_) | Message::Drain => false,
            _ if is_packet => self.output_bytes >= self.limits.output_bytes_max,
            _ => self.outputs.len() >= self.limits.steering_max + self.limits.output_bytes_max / 64,
        };
        if is_full {
            return Err(Refused::Full(message));
        }
        if self.ours.note(self.side, &message).is_err() {
            return Err(Refused::OutOfOrder(message));
        }
        self.enqueue(frame);
        Ok(())
    }

    /// What is to be written next, whole and in this order.
    pub fn next_output(&mut self) -> Option<Frame> {
        let frame = self.outputs.pop_front()?;
        self.output_bytes -= frame.size_bytes();
        Some(frame)
    }

    /// How many bytes wait to be written.
    pub fn output_bytes(&self) -> usize {
        self.output_bytes
    }

    /// Whether the other end has said its last word.
    pub fn is_ended(&self) -> bool {
        self.theirs.end
    }

    fn enqueue(&mut self, frame: Frame) {
        self.output_bytes += frame.size_bytes();
        self.outputs.push_back(frame);
    }
}

impl Said {
    /// Holds a side to the order in which things are said.
    fn note(&mut self, side: Side, message: &Message) -> Result<(), LinkError> {
        let wrong = |what| Err(LinkError::OutOfOrder(what));
        if self.end {
            return wrong("something came after the end");
        }
        if !self.hello && !matches!(message, Message::Hello(_)) {
            return wrong("the first word is hello");
        }
        match (side, message) {
            (_, Message::Hello(hello)) => {
                if self.hello {
                    return wrong("hello came twice");
                }
                if hello.version != VERSION {
                    return Err(LinkError::Version(hello.version));
                }
                self.hello = true;
            }
            (Side::Server, Message::Job(_)) if self.job => return wrong("a second job"),
            (Side::Server, Message::Job(_)) => self.job = true,
            (Side::Server, _) if !self.job => return wrong("something came before the job"),
            (Side::Server, Message::Drain) => self.drain = true,
            (Side::Server, Message::Track(_) | Message::Packet(_)) if self.drain => {
                return wrong("media came after the drain");
            }
            (_, Message::Track(track)) => match self.tracks.get_mut(usize::from(track.id)) {
                Some(is_announced) => *is_announced = true,
                None => return wrong("a track's number is too high"),
            },
            (_, Message::Packet(packet)) => {
                if self.tracks.get(usize::from(packet.track)) != Some(&true) {
                    return wrong("a packet of a track that was not announced");
                }
            }
            (_, Message::KeyframeWanted { .. }) => {}
            (Side::Server, Message::BitrateWanted { .. }) => {}
            (Side::Worker, Message::Event { .. } | Message::Graph(_)) => {}
            (Side::Worker, Message::End(_)) => self.end = true,
            (Side::Server, _) => return wrong("a server does not say this"),
            (Side::Worker, _) => return wrong("a worker does not say this"),
        }
        Ok(())
    }
}
