//! Messages as bytes.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;

use crate::{MediaPacket, Message, TRACKS_MAX, Track};

/// Kind and length.
pub const HEAD_BYTES: usize = 5;
/// What stands before a packet's payload.
const PACKET_HEAD_BYTES: usize = 22;
/// What stands before the JSON of a message that has bytes behind it.
const JSON_LENGTH_BYTES: usize = 4;
/// JSON is read into memory several times its size: it has a bound of its own.
const JSON_BYTES_MAX: usize = 1 << 20;

const HELLO: u8 = 1;
const JOB: u8 = 2;
const TRACK: u8 = 3;
const PACKET: u8 = 4;
const KEYFRAME_WANTED: u8 = 5;
const BITRATE_WANTED: u8 = 6;
const EVENT: u8 = 7;
const GRAPH: u8 = 8;
const DRAIN: u8 = 9;
const END: u8 = 10;

const KEYFRAME: u8 = 1;
const AFTER_LOSS: u8 = 2;

/// A message ready to be written: the head, then the payload, which was not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Kind, length and whatever is not payload.
    pub head: Bytes,
    /// Payload, extradata or attachment; often empty.
    pub payload: Bytes,
}

impl Frame {
    /// How many bytes it has.
    pub fn size_bytes(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// The message as bytes.
    ///
    /// # Panics
    /// Where a message of ours cannot be JSON, which none of its types allows.
    pub fn encode(message: &Message) -> Frame {
        match message {
            Message::Hello(hello) => with_json(HELLO, hello),
            Message::Job(job) => with_json(JOB, &**job),
            Message::Track(track) => with_json_and(TRACK, track, &track.extradata),
            Message::Packet(packet) => encode_packet(packet),
            Message::KeyframeWanted { track } => small(KEYFRAME_WANTED, &[*track]),
            Message::BitrateWanted { track, bits_per_second } => {
                let mut body = [*track, 0, 0, 0, 0];
                body[1..].copy_from_slice(&bits_per_second.to_le_bytes());
                small(BITRATE_WANTED, &body)
            }
            Message::Event { event, attachment } => with_json_and(EVENT, &**event, attachment),
            Message::Graph(text) => {
                Frame { head: head(GRAPH, text.len(), 0).freeze(), payload: text.clone() }
            }
            Message::Drain => small(DRAIN, &[]),
            Message::End(ending) => with_json(END, ending),
        }
    }

    /// Takes the next whole message off what has arrived; none where it is not all there.
    ///
    /// # Errors
    /// What the bytes say is no message. Nothing can be read behind it.
    pub fn decode(
        buffer: &mut BytesMut,
        body_bytes_max: usize,
    ) -> Result<Option<Message>, FrameError> {
        let Some((kind, length)) = peek(buffer) else { return Ok(None) };
        if !(HELLO..=END).contains(&kind) {
            return Err(FrameError::UnknownKind(kind));
        }
        if length > body_bytes_max {
            return Err(FrameError::TooLong { kind, length });
        }
        if buffer.len() < HEAD_BYTES + length {
            buffer.reserve(HEAD_BYTES + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEAD_BYTES);
        decode_body(kind, buffer.split_to(length).freeze()).map(Some)
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No message has this kind.
    UnknownKind(u8),
    /// Its body is longer than is allowed.
    TooLong {
        /// Its kind.
        kind: u8,
        /// Its length.
        length: usize,
    },
    /// Its body is shorter than its kind needs, or longer.
    Misshapen(u8),
    /// Its JSON is not what its kind needs.
    Json {
        /// Its kind.
        kind: u8,
        /// What is wrong with it.
        cause: String,
    },
    /// A track whose number is not below [`TRACKS_MAX`].
    TrackNumber(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::UnknownKind(kind) => write!(f, "no message is of kind {kind}"),
            FrameError::TooLong { kind, length } => {
                write!(f, "a message of kind {kind} has {length} bytes, which is too long")
            }
            FrameError::Misshapen(kind) => write!(f, "a message of kind {kind} is cut short"),
            FrameError::Json { kind, cause } => write!(f, "message of kind {kind}: {cause}"),
            FrameError::TrackNumber(number) => {
                write!(f, "track {number}; there are at most {TRACKS_MAX}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

fn peek(buffer: &[u8]) -> Option<(u8, usize)> {
    let (kind, rest) = buffer.split_first()?;
    let length = rest.first_chunk::<4>()?;
    Some((*kind, u32::from_le_bytes(*length) as usize))
}

fn decode_body(kind: u8, mut body: Bytes) -> Result<Message, FrameError> {
    let misshapen = FrameError::Misshapen(kind);
    Ok(match kind {
        HELLO => Message::Hello(json(kind, &body)?),
        JOB => Message::Job(Box::new(json(kind, &body)?)),
        TRACK => {
            let (track, extradata) = json_and_bytes::<Track>(kind, body)?;
            known(track.id)?;
            Message::Track(Track { extradata, ..track })
        }
        PACKET if body.len() < PACKET_HEAD_BYTES => return Err(misshapen),
        PACKET => {
            let (track, flags) = (body.get_u8(), body.get_u8());
            known(track)?;
            Message::Packet(MediaPacket {
                track,
                is_keyframe: flags & KEYFRAME != 0,
                is_after_loss: flags & AFTER_LOSS != 0,
                presentation: body.get_i64_le(),
                decode: body.get_i64_le(),
                duration: body.get_u32_le(),
                payload: body,
            })
        }
        KEYFRAME_WANTED if body.len() == 1 => {
            known(body[0])?;
            Message::KeyframeWanted { track: body[0] }
        }
        BITRATE_WANTED if body.len() == 5 => {
            known(body[0])?;
            Message::BitrateWanted { track: body.get_u8(), bits_per_second: body.get_u32_le() }
        }
        EVENT => {
            let (event, attachment) = json_and_bytes(kind, body)?;
            Message::Event { event: Box::new(event), attachment }
        }
        GRAPH => Message::Graph(body),
        DRAIN if body.is_empty() => Message::Drain,
        END => Message::End(json(kind, &body)?),
        _ => return Err(misshapen),
    })
}

fn known(track: u8) -> Result<(), FrameError> {
    if usize::from(track) < TRACKS_MAX { Ok(()) } else { Err(FrameError::TrackNumber(track)) }
}

fn json<T: DeserializeOwned>(kind: u8, body: &[u8]) -> Result<T, FrameError> {
    if body.len() > JSON_BYTES_MAX {
        return Err(FrameError::TooLong { kind, length: body.len() });
    }
    serde_json::from_slice(body)
        .map_err(|error| FrameError::Json { kind, cause: error.to_string() })
}

fn json_and_bytes<T: DeserializeOwned>(
    kind: u8,
    mut body: Bytes,
) -> Result<(T, Bytes), FrameError> {
    if body.len() < JSON_LENGTH_BYTES {
        return Err(FrameError::Misshapen(kind));
    }
    let length = body.get_u32_le() as usize;
    if length > body.len() {
        return Err(FrameError::Misshapen(kind));
    }
    let text = body.split_to(length);
    Ok((json(kind, &text)?, body))
}

/// A head for a body of `length` bytes, with room for `more` of them.
fn head(kind: u8, length: usize, more: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(HEAD_BYTES + more);
    head.put_u8(kind);
    head.put_u32_le(u32::try_from(length).expect("no message of ours is near 4 GiB"));
    head
}

fn small(kind: u8, body: &[u8]) -> Frame {
    let mut head = head(kind, body.len(), body.len());
    head.put_slice(body);
    Frame { head: head.freeze(), payload: Bytes::new() }
}

fn text(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("maps with text as keys, and nothing that fails")
}

fn with_json(kind: u8, value: &impl serde::Serialize) -> Frame {
    small(kind, &text(value))
}

fn with_json_and(kind: u8, value: &impl serde::Serialize, payload: &Bytes) -> Frame {
    let text = text(value);
    let before = JSON_LENGTH_BYTES + text.len();
    let mut head = head(kind, before + payload.len(), before);
    head.put_u32_le(u32::try_from(text.len()).expect("no message of ours is near 4 GiB"));
    head.put_slice(&text);
    Frame { head: head.freeze(), payload: payload.clone() }
}

fn encode_packet(packet: &MediaPacket) -> Frame {
    let mut head = head(PACKET, PACKET_HEAD_BYTES + packet.payload.len(), PACKET_HEAD_BYTES);
    let keyframe = if packet.is_keyframe { KEYFRAME } else { 0 };
    let after_loss = if packet.is_after_loss { AFTER_LOSS } else { 0 };
    head.put_u8(packet.track);
    head.put_u8(keyframe | after_loss);
    head.put_i64_le(packet.presentation);
    head.put_i64_le(packet.decode);
    head.put_u32_le(packet.duration);
    Frame { head: head.freeze(), payload: packet.payload.clone() }
}
