//! One ws frame on the wire (RFC 6455 §5.2).
//!
//! ```text
//!  byte 0              byte 1               then
//!  FIN RSV RSV RSV     MASK  length 0..125  nothing
//!      opcode (4)            126            length, 2 bytes, at least 126
//!                            127            length, 8 bytes, at least 65,536
//!                                           with MASK: the key, 4 bytes; then the payload
//! ```

use crate::close::{CloseCode, cut_reason};
use crate::decoder::Kind;
use crate::malformed::Malformed;
use crate::mask::apply_mask;

/// Longest payload of a control frame (§5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Longest head: two bytes, eight of length, four of key.
pub const FRAME_HEAD_BYTES_MAX: usize = 14;

/// What a ws frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that is under way.
    Continuation,
    /// A message of UTF-8, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The end of the connection.
    Close,
    /// A question whether somebody is there.
    Ping,
    /// Its answer.
    Pong,
}

impl Opcode {
    /// Whether it is about the connection and not part of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Opcode {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// The head of a ws frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// What it is.
    pub opcode: Opcode,
    /// Whether it is the last of its message.
    pub is_final: bool,
    /// RSV1: the message that begins here is compressed (RFC 7692 §6). Only where that was agreed
    /// on, which whoever reads a head has to know.
    pub is_compressed: bool,
    /// The key that a client masks with. It must be unpredictable (§10.3).
    pub mask: Option<[u8; 4]>,
    /// Length of the payload.
    pub payload_bytes: u64,
}

impl FrameHead {
    /// Reads the head at the front of `bytes`, with its length; `None` when more is needed.
    ///
    /// # Errors
    /// What no head may say, whoever sends it. The first two bytes decide that as soon as they are
    /// there, but for the form of a length.
    pub fn decode(bytes: &[u8]) -> Result<Option<(FrameHead, usize)>, Malformed> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(Malformed::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Malformed::ReservedOpcode)?;
        let is_compressed = first & 0x40 != 0;
        if is_compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Malformed::ReservedBits);
        }
        let is_final = first & 0x80 != 0;
        if opcode.is_control() && !is_final {
            return Err(Malformed::ControlFragmented);
        }
        if opcode.is_control() && usize::from(second & 0x7f) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(Malformed::ControlTooLong);
        }
        let (payload_bytes, length_bytes) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        let is_shortest = match length_bytes {
            0 => true,
            2 => payload_bytes > CONTROL_PAYLOAD_BYTES_MAX as u64,
            _ => payload_bytes > u64::from(u16::MAX) && payload_bytes >> 63 == 0,
        };
        if !is_shortest {
            return Err(Malformed::LengthForm);
        }
        let (mask, used) = match second & 0x80 {
            0 => (None, 2 + length_bytes),
            _ => match rest[length_bytes..].first_chunk() {
                Some(key) => (Some(*key), 2 + length_bytes + 4),
                None => return Ok(None),
            },
        };
        let head = FrameHead { opcode, is_final, is_compressed, mask, payload_bytes };
        Ok(Some((head, used)))
    }

    /// Appends the head. The payload follows it, masked with [`apply_mask`] where there is a key.
    ///
    /// # Panics
    /// When a control frame is fragmented, compressed or too long, or a length has 64 bits: a bug.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let is_allowed = self.is_final
            && !self.is_compressed
            && self.payload_bytes <= CONTROL_PAYLOAD_BYTES_MAX as u64;
        assert!(!self.opcode.is_control() || is_allowed, "a control frame that no one may send");
        assert!(self.payload_bytes >> 63 == 0, "a length of 63 bits at most");
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let compressed = if self.is_compressed { 0x40 } else { 0 };
        out.push(if self.is_final { 0x80 } else { 0 } | compressed | self.opcode.bits());
        if self.payload_bytes <= CONTROL_PAYLOAD_BYTES_MAX as u64 {
            out.push(masked | self.payload_bytes as u8);
        } else if let Ok(length) = u16::try_from(self.payload_bytes) {
            out.push(masked | 126);
            out.extend_from_slice(&length.to_be_bytes());
        } else {
            out.push(masked | 127);
            out.extend_from_slice(&self.payload_bytes.to_be_bytes());
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[][..], |key| key));
    }
}

/// Appends a whole ws frame. A server passes no mask, a client always a fresh one.
///
/// # Panics
/// As [`FrameHead::encode`].
pub fn write_frame(
    opcode: Opcode,
    is_final: bool,
    payload: &[u8],
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    let payload_bytes = payload.len() as u64;
    FrameHead { opcode, is_final, is_compressed: false, mask, payload_bytes }.encode(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        apply_mask(&mut out[start..], key, 0);
    }
}

/// Appends a close; without a code its payload is empty. A reason that is too long is cut between
/// two characters.
pub fn write_close(
    code: Option<CloseCode>,
    reason: &str,
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    let mut payload = [0; CONTROL_PAYLOAD_BYTES_MAX];
    let mut payload_bytes = 0;
    if let Some(code) = code {
        let reason = cut_reason(reason);
        payload_bytes = 2 + reason.len();
        payload[..2].copy_from_slice(&code.number().to_be_bytes());
        payload[2..payload_bytes].copy_from_slice(reason.as_bytes());
    }
    write_frame(Opcode::Close, true, &payload[..payload_bytes], mask, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(payload_bytes: u64, mask: Option<[u8; 4]>) -> FrameHead {
        FrameHead {
            opcode: Opcode::Binary,
            is_final: true,
            is_compressed: false,
            mask,
            payload_bytes,
        }
    }

    #[test]
    fn heads_come_back_and_need_all_their_bytes() {
        for payload_bytes in [0, 1, 125, 126, 127, 65_535, 65_536, u64::MAX >> 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut bytes = Vec::new();
                head(payload_bytes, mask).encode(&mut bytes);
                assert!(bytes.len() <= FRAME_HEAD_BYTES_MAX);
                let expected = Ok(Some((head(payload_bytes, mask), bytes.len())));
                assert_eq!(FrameHead::decode(&bytes), expected);
                for cut in 0..bytes.len() {
                    assert_eq!(FrameHead::decode(&bytes[..cut]), Ok(None));
                }
            }
        }
    }

    #[test]
    fn examples_of_the_rfc() {
        let mut out = Vec::new();
        write_frame(Opcode::Text, true, b"Hello", None, &mut out);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        write_frame(Opcode::Text, true, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        out.clear();
        write_close(Some(CloseCode::NORMAL), "bye", None, &mut out);
        assert_eq!(out, b"\x88\x05\x03\xe8bye");
        out.clear();
        write_close(None, "not sent", None, &mut out);
        assert_eq!(out, [0x88, 0x00]);
    }

    #[test]
    fn lengths_in_a_longer_form_than_needed() {
        for bytes in [
            &b"\x82\x7e\x00\x7d"[..],
            b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
            b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(FrameHead::decode(bytes), Err(Malformed::LengthForm));
        }
    }
}
