//! What the formats have in common: a unit that grows payload by payload.

use crate::Codec;
use crate::av1::Av1;
use crate::depacketize::RtpPacket;
use crate::h264::H264;
use crate::vp8::Vp8;
use crate::vp9::Vp9;

/// A payload is not one of its codec, or not one that can come here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// A unit that grows.
pub(crate) enum Assembler {
    H264(H264),
    Vp8(Vp8),
    Vp9(Vp9),
    Av1(Av1),
    Opus(Vec<u8>),
}

impl Assembler {
    pub(crate) fn new(codec: Codec) -> Assembler {
        match codec {
            Codec::H264 => Assembler::H264(H264::default()),
            Codec::Vp8 => Assembler::Vp8(Vp8::default()),
            Codec::Vp9 => Assembler::Vp9(Vp9::default()),
            Codec::Av1 => Assembler::Av1(Av1::default()),
            Codec::Opus => Assembler::Opus(Vec::new()),
        }
    }

    /// Adds the next payload of the unit.
    pub(crate) fn add(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        match self {
            Assembler::H264(unit) => unit.add(payload),
            Assembler::Vp8(unit) => unit.add(payload),
            Assembler::Vp9(unit) => unit.add(payload),
            Assembler::Av1(unit) => unit.add(payload),
            Assembler::Opus(unit) => {
                // One packet is one unit.
                if !unit.is_empty() || payload.is_empty() {
                    return Err(Damaged);
                }
                unit.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    /// Whether a unit surely begins with this packet: after a gap it may be out of the middle.
    pub(crate) fn begins(&self, packet: &RtpPacket) -> bool {
        let payload = &packet.payload[..];
        match self {
            Assembler::H264(_) => crate::h264::begins(payload),
            Assembler::Vp8(_) => crate::vp8::begins(payload),
            Assembler::Vp9(_) => crate::vp9::begins(payload),
            Assembler::Av1(_) => crate::av1::begins(payload),
            Assembler::Opus(_) => true,
        }
    }

    /// The unit with whether it is a keyframe; it begins anew.
    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, bool), Damaged> {
        let (bytes, is_keyframe) = match self {
            Assembler::H264(unit) => unit.finish()?,
            Assembler::Vp8(unit) => unit.finish()?,
            Assembler::Vp9(unit) => unit.finish()?,
            Assembler::Av1(unit) => unit.finish()?,
            Assembler::Opus(unit) => (std::mem::take(unit), true),
        };
        if bytes.is_empty() { Err(Damaged) } else { Ok((bytes, is_keyframe)) }
    }

    /// Forgets what there is of a unit.
    pub(crate) fn clear(&mut self) {
        match self {
            Assembler::H264(unit) => unit.clear(),
            Assembler::Vp8(unit) => unit.clear(),
            Assembler::Vp9(unit) => unit.clear(),
            Assembler::Av1(unit) => unit.clear(),
            Assembler::Opus(unit) => unit.clear(),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Assembler::H264(unit) => unit.size_bytes(),
            Assembler::Vp8(unit) => unit.size_bytes(),
            Assembler::Vp9(unit) => unit.size_bytes(),
            Assembler::Av1(unit) => unit.size_bytes(),
            Assembler::Opus(unit) => unit.len(),
        }
    }
}
