//! What a worker process and RTP bring: the link's messages, and payloads of each codec.

use std::time::{Duration, Instant};

use media_link::{HEAD_BYTES, Limits, Link, Message, Side};
use media_payload::{Codec, Depacketizer, Output, RtpPacket};

use super::{pieces, same_for_all_cuts};

/// The link, at both ends: what comes of bytes does not depend on how they are cut, and what was
/// understood says the same bytes again.
pub fn link(data: &[u8]) {
    for side in [Side::Server, Side::Worker] {
        same_for_all_cuts(data, |cut| {
            let mut link = Link::new(side, Limits { body_bytes_max: 4096, ..Limits::default() });
            let mut said: Vec<Message> = Vec::new();
            for piece in pieces(data, cut) {
                link.receive(piece);
                loop {
                    match link.poll() {
                        Ok(Some(message)) => said.push(message),
                        Ok(None) => break,
                        Err(error) => return (said, Some(error)),
                    }
                }
            }
            assert!(said.len() <= data.len() / HEAD_BYTES, "each takes its head at least");
            (said, None)
        });
    }
}

/// Depacketizers: packets of `codec, sequence, timestamp, flags, length, bytes`.
#[allow(clippy::disallowed_methods, reason = "some time to begin at; the input says how it passes")]
pub fn payload(data: &[u8]) {
    let Some((codec, mut rest)) = data.split_first() else { return };
    let codecs = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];
    let codec = codecs[usize::from(*codec) % codecs.len()];
    let limits = media_payload::Limits {
        packets_max: 16,
        bytes_max: 4096,
        unit_bytes_max: 2048,
        ..media_payload::Limits::default()
    };
    let mut depacketizer = Depacketizer::new(codec, limits);
    let mut now = Instant::now();
    while let [sequence, timestamp, flags, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(flags >> 1) * 8);
        depacketizer.handle(
            now,
            RtpPacket {
                sequence: u16::from(*sequence).wrapping_sub(8),
                timestamp: u32::from(*timestamp),
                marker: flags & 1 != 0,
                payload: payload.to_vec().into(),
            },
        );
        while let Some(output) = depacketizer.poll() {
            let Output::Unit(unit) = output else { continue };
            assert!(!unit.payload.is_empty());
            // Start codes, sizes and parameter sets come on top.
            assert!(unit.payload.len() <= 2048 * 4 + 65_536);
        }
        if depacketizer.deadline().is_some_and(|deadline| deadline <= now) {
            depacketizer.on_deadline(now);
            assert!(depacketizer.deadline().is_none_or(|deadline| deadline > now));
        }
    }
}
