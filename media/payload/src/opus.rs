//! Opus (RFC 7587): a payload is a packet.

use bytes::Bytes;

pub(crate) fn packetize(unit: &Bytes, payloads: &mut Vec<Bytes>) {
    payloads.push(unit.clone());
}
