//! Units into payloads.

use bytes::Bytes;

use crate::{Codec, h264, opus, vp8, vp9};

/// Less than this leaves no room beside a descriptor.
const PAYLOAD_BYTES_MIN: usize = 64;

/// Cuts the units of one track into payloads.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    payload_bytes_max: usize,
    picture: u16,
}

impl Packetizer {
    /// For payloads of at most so many bytes, of which there are between 64 and 65,535; 1,200 fits
    /// most ways with all that stands before and behind. None for AV1, which only comes from RTP.
    pub fn new(codec: Codec, payload_bytes_max: usize) -> Option<Packetizer> {
        let payload_bytes_max = payload_bytes_max.clamp(PAYLOAD_BYTES_MIN, usize::from(u16::MAX));
        (codec != Codec::Av1).then_some(Packetizer { codec, payload_bytes_max, picture: 0 })
    }

    /// Appends the payloads of a unit, in order; the last gets the marker. An Opus packet is never
    /// cut, whatever its size.
    pub fn packetize(&mut self, unit: &Bytes, payloads: &mut Vec<Bytes>) {
        if unit.is_empty() {
            return;
        }
        let max = self.payload_bytes_max;
        match self.codec {
            Codec::H264 => h264::packetize(unit, max, payloads),
            Codec::Vp8 => vp8::packetize(unit, self.picture, max, payloads),
            Codec::Vp9 => vp9::packetize(unit, self.picture, max, payloads),
            Codec::Opus => opus::packetize(unit, payloads),
            Codec::Av1 => {}
        }
        self.picture = self.picture.wrapping_add(1);
    }
}
