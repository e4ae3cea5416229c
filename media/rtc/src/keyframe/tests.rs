//! Vectors: the first bytes of packets, as encoders send them and as they may come.

use proptest::prelude::*;

use super::*;

/// Payload, whether it starts, what it is.
type Vector = (&'static [u8], bool, &'static str);

fn check(codec: Codec, vectors: &[Vector]) {
    for (payload, expected, what) in vectors {
        assert_eq!(starts_at(codec, payload), *expected, "{what}");
    }
}

#[test]
fn h264_starts_at_a_sequence_parameter_set() {
    check(
        Codec::H264,
        &[
            (&[0x67, 0x42, 0xe0, 0x1f], true, "a parameter set alone"),
            (&[0x68, 0xce, 0x3c, 0x80], false, "a picture parameter set"),
            (&[0x65, 0x88, 0x84], false, "an IDR slice alone"),
            (&[0x41, 0x9a], false, "a slice"),
            (&[0x78, 0, 3, 0x67, 0x42, 0xe0, 0, 2, 0x68, 0xce], true, "STAP-A of both"),
            (&[0x78, 0, 2, 0x68, 0xce, 0, 3, 0x67, 0x42, 0xe0], true, "STAP-A, the other order"),
            (&[0x78, 0, 2, 0x06, 0x05, 0, 1, 0x65], false, "STAP-A without"),
            (&[0x79, 0, 7, 0, 2, 0x67, 0x42], true, "STAP-B"),
            (&[0x7c, 0x87, 0x42], true, "the start of a fragmented set"),
            (&[0x7c, 0x47, 0x42], false, "its end"),
            (&[0x7c, 0x85, 0x88], false, "the start of a fragmented IDR"),
            (&[0x78, 0, 9, 0x67], false, "an aggregate cut short"),
            (&[0x78, 0, 0, 0, 0], false, "empty units"),
            (&[], false, "nothing"),
        ],
    );
}

#[test]
fn vp8_starts_at_the_first_partition_of_a_key_frame() {
    check(
        Codec::Vp8,
        &[
            (&[0x10, 0x50, 0x08, 0x00], true, "no extension"),
            (&[0x10, 0x51, 0x08, 0x00], false, "an inter frame"),
            (&[0x00, 0x50, 0x08, 0x00], false, "not the start of a partition"),
            (&[0x11, 0x50, 0x08, 0x00], false, "the second partition"),
            (&[0x90, 0x80, 0x12, 0x50], true, "a picture id of seven bits"),
            (&[0x90, 0x80, 0x92, 0x34, 0x50], true, "of fifteen"),
            (&[0x90, 0xe0, 0x92, 0x34, 0x01, 0x20, 0x50], true, "with TL0PICIDX and TID"),
            (&[0x90, 0xf0, 0x92, 0x34, 0x01, 0x20, 0x51], false, "inter, with all"),
            (&[0x90, 0x80, 0x92], false, "cut short"),
            (&[0x10], false, "a descriptor alone"),
            (&[], false, "nothing"),
        ],
    );
}

#[test]
fn vp9_starts_at_a_frame_that_is_not_predicted() {
    check(
        Codec::Vp9,
        &[
            (&[0x88, 0x12, 0x82, 0x49], true, "flexible off, key"),
            (&[0x8a, 0x92, 0x34, 0x10, 0x82], true, "with a scalability structure"),
            (&[0xc8, 0x12, 0x86], false, "predicted"),
            (&[0x84, 0x12, 0x86], false, "the end of a key frame"),
            (&[0xa8, 0x12, 0x00, 0x00, 0x82], true, "layers, the lowest"),
            (&[0xa8, 0x12, 0x03, 0x00, 0x82], false, "layers, the second spatial one"),
            (&[0x08, 0x82], true, "no picture id"),
            (&[0x88], false, "cut short"),
            (&[], false, "nothing"),
        ],
    );
}

#[test]
fn av1_starts_at_a_new_coded_video_sequence() {
    check(
        Codec::Av1,
        &[
            (&[0x08, 0x0b, 0x0a, 0x00], true, "N"),
            (&[0x18, 0x0a, 0x0b, 0x00], true, "N, one element"),
            (&[0x10, 0x0a, 0x0b, 0x00], true, "a sequence header without N"),
            (&[0x20, 0x02, 0x0a, 0x0b, 0x32], true, "two elements, the first a sequence header"),
            (&[0x10, 0x32, 0x10], false, "a frame"),
            (&[0x20, 0x02, 0x32, 0x10, 0x32], false, "two elements, frames"),
            (&[0x90, 0x0a, 0x0b], false, "continued from the packet before"),
            (&[0x20, 0x80, 0x80, 0x80], false, "a length that does not end"),
            (&[0x08], false, "a header alone"),
            (&[], false, "nothing"),
        ],
    );
}

#[test]
fn sound_starts_anywhere() {
    for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::G722] {
        assert!(starts_at(codec, &[0xfc]));
        assert!(!starts_at(codec, &[]));
    }
}

proptest! {
    /// Whatever comes, there is an answer.
    #[test]
    fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        for codec in Codec::ALL {
            starts_at(codec, &payload);
        }
    }

    /// What is cut off behind the deciding bytes is decided alike or not at all: cutting never
    /// turns "no" into "yes" for the codecs whose descriptors come first.
    #[test]
    fn a_cut_payload_is_never_a_start_that_the_whole_is_not(
        payload in proptest::collection::vec(any::<u8>(), 1..32), at in 0usize..32,
    ) {
        let cut = &payload[..at.min(payload.len())];
        for codec in [Codec::H264, Codec::Vp8, Codec::Vp9] {
            prop_assert!(!starts_at(codec, cut) || starts_at(codec, &payload));
        }
    }
}
