//! A packet of Opus from outside (RFC 6716 §3): how long it is, and what stands in for a lost one.
//!
//! ```text
//!  config (5) │ stereo (1) │ code (2)     0: one frame │ 1: two of one size │ 2: two │ 3: a count
//! ```

/// Samples in a second: Opus counts at this rate whatever it encodes.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// The longest packet, samples (RFC 6716 §3.4, R5).
const SAMPLES_MAX: u32 = 5_760;
/// The longest frame, bytes (R2).
const FRAME_BYTES_MAX: usize = 1_275;
/// The shortest frame, samples. Only gaps of a multiple of it can be filled.
pub(crate) const SAMPLES_MIN: u32 = 120;

/// What was taken for a packet is none (RFC 6716 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// The samples of a packet, which is checked against all rules of RFC 6716 §3.4.
///
/// # Errors
/// It breaks one of them.
pub fn samples(packet: &[u8]) -> Result<u32, Malformed> {
    let (toc, rest) = packet.split_first().ok_or(Malformed)?;
    let frames = match toc & 3 {
        0 => one(rest)?,
        1 => two_of_one_size(rest)?,
        2 => {
            let (first, rest) = length(rest)?;
            let second = rest.len().checked_sub(first).ok_or(Malformed)?;
            is_frame(first)?;
            is_frame(second)?;
            2
        }
        _ => counted(rest)?,
    };
    let samples = frame_samples(*toc) * frames;
    if samples > SAMPLES_MAX { Err(Malformed) } else { Ok(samples) }
}

/// The samples of a packet of which only the beginning may be known, at most 120 ms.
pub(crate) fn samples_at_most(packet: &[u8]) -> u32 {
    let Some(toc) = packet.first() else { return 0 };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |count| u32::from(count & 0x3f)),
    };
    (frame_samples(*toc) * frames).min(SAMPLES_MAX)
}

/// Packets of one byte that ask for concealment of a gap (RFC 7845 §4.1): of the last packet's mode
/// and frame size as long as they fit, then of ever shorter frames. What is left of a gap that is
/// no multiple of 2.5 ms stays open.
pub(crate) fn fillers(last_toc: u8, gap_samples: u32) -> impl Iterator<Item = (u8, u32)> {
    let (mut toc, mut left) = (last_toc & !3, gap_samples);
    std::iter::from_fn(move || {
        while left < frame_samples(toc) {
            toc = shorter(toc)?;
        }
        left -= frame_samples(toc);
        Some((toc, frame_samples(toc)))
    })
}

/// The same with the next shorter frame. Below 10 ms only CELT has one; it takes over the
/// bandwidth, for which medium is wide.
fn shorter(toc: u8) -> Option<u8> {
    let (config, stereo) = (toc >> 3, toc & 4);
    let config = match config {
        // SILK: narrow, medium, wide, each of 10, 20, 40 and 60 ms; CELT has no medium.
        0 => 17,
        4 | 8 => 21,
        // Hybrid: super-wide and full, of 10 and 20 ms.
        12 => 25,
        14 => 29,
        // CELT of 2.5 ms is the shortest.
        16.. if config & 3 == 0 => return None,
        _ => config - 1,
    };
    Some(config << 3 | stereo)
}

/// The samples of one frame.
fn frame_samples(toc: u8) -> u32 {
    match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    }
}

fn one(rest: &[u8]) -> Result<u32, Malformed> {
    is_frame(rest.len()).map(|()| 1)
}

fn two_of_one_size(rest: &[u8]) -> Result<u32, Malformed> {
    if !rest.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    is_frame(rest.len() / 2).map(|()| 2)
}

/// Code 3: a count, padding, and sizes where they differ.
fn counted(rest: &[u8]) -> Result<u32, Malformed> {
    let (head, mut rest) = rest.split_first().ok_or(Malformed)?;
    let (differs, has_padding, count) = (head & 0x80 != 0, head & 0x40 != 0, head & 0x3f);
    if count == 0 {
        return Err(Malformed);
    }
    if has_padding {
        let mut padding = 0;
        loop {
            let (value, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            // 255 stands for 254 bytes, and more to come.
            padding += usize::from(*value).min(254);
            if *value != 255 {
                break;
            }
        }
        rest = &rest[..rest.len().checked_sub(padding).ok_or(Malformed)?];
    }
    let count = usize::from(count);
    if !differs {
        if !rest.len().is_multiple_of(count) {
            return Err(Malformed);
        }
        is_frame(rest.len() / count)?;
        return Ok(count as u32);
    }
    let mut sum = 0;
    for _ in 1..count {
        let (bytes, after) = length(rest)?;
        is_frame(bytes)?;
        (sum, rest) = (sum + bytes, after);
    }
    is_frame(rest.len().checked_sub(sum).ok_or(Malformed)?)?;
    Ok(count as u32)
}

/// The length of a frame, in one byte or two (RFC 6716 §3.2.1).
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    match bytes {
        [first @ 0..=251, rest @ ..] => Ok((usize::from(*first), rest)),
        [first, second, rest @ ..] => Ok((usize::from(*second) * 4 + usize::from(*first), rest)),
        _ => Err(Malformed),
    }
}

fn is_frame(bytes: usize) -> Result<(), Malformed> {
    if bytes <= FRAME_BYTES_MAX { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_tell_their_length() {
        for (packet, expected) in [
            (&[31 << 3][..], Ok(960)),
            (&[3 << 3 | 1], Ok(5_760)),
            (&[13 << 3 | 2, 0], Ok(1_920)),
            (&[28 << 3 | 3, 5], Ok(600)),
            (&[28 << 3 | 3, 0x40 | 2, 1, 7, 7, 0], Ok(240)),
            (&[28 << 3 | 3, 0x80 | 2, 1, 7, 8], Ok(240)),
            (&[], Err(Malformed)),
            (&[31 << 3 | 1, 1], Err(Malformed)),
            (&[31 << 3 | 2, 5, 1], Err(Malformed)),
            (&[31 << 3 | 3], Err(Malformed)),
            (&[31 << 3 | 3, 0], Err(Malformed)),
            (&[31 << 3 | 3, 0x40 | 1, 9], Err(Malformed)),
            (&[11 << 3 | 3, 3], Err(Malformed)),
            (&[0; 1_277], Err(Malformed)),
        ] {
            assert_eq!(samples(packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn of_a_beginning_the_bound_is_known() {
        assert_eq!(samples_at_most(&[]), 0);
        assert_eq!(samples_at_most(&[31 << 3]), 960, "CELT, 20 ms, one frame");
        assert_eq!(samples_at_most(&[3 << 3 | 1]), 5_760, "SILK, 60 ms, two frames");
        assert_eq!(samples_at_most(&[13 << 3 | 2]), 1_920, "hybrid, 20 ms, two frames");
        assert_eq!(samples_at_most(&[28 << 3 | 3, 5]), 600, "CELT, 2.5 ms, five frames");
        assert_eq!(samples_at_most(&[11 << 3 | 3, 63]), SAMPLES_MAX, "a lie is bounded");
    }

    #[test]
    fn a_gap_is_filled_by_what_was_there_and_then_by_shorter_frames() {
        let fill = |toc, gap| fillers(toc, gap).map(|(toc, samples)| (toc >> 3, samples));
        // The example of RFC 7845 §4.1: 95 ms after 20 ms of CELT.
        let celt: Vec<_> = fill(31 << 3 | 3, 4_560).collect();
        assert_eq!(celt[..4], [(31, 960); 4]);
        assert_eq!(celt[4..], [(30, 480), (29, 240)]);
        // SILK of 60 ms, wide, and 2.5 ms at the end.
        let silk: Vec<_> = fill(11 << 3, 2_880 + 480 + 120).collect();
        assert_eq!(silk, [(11, 2_880), (8, 480), (20, 120)]);
        let hybrid: Vec<_> = fill(15 << 3, 960 + 240 + 60).collect();
        assert_eq!(hybrid, [(15, 960), (29, 240)]);
        assert!(fillers(31 << 3 | 4, 960).all(|(toc, _)| toc & 7 == 4), "stereo stays stereo");
    }

    #[test]
    fn what_is_shorter_is_so_for_every_mode() {
        for toc in 0..=255 {
            let total: u32 = fillers(toc, 5_760).map(|(_, samples)| samples).sum();
            assert_eq!(total, 5_760, "{toc:#x}");
        }
    }
}
