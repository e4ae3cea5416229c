//! What is fuzzed: one function a decoder, from any bytes to a panic or none.
//!
//! Beyond "it does not panic", each target holds what its crate promises: the outcome does not
//! depend on how the bytes were cut, every step goes forward, and nothing is held beyond the
//! limits. So a target decodes its input three times: whole, byte by byte, and in pieces drawn
//! from the input.
//!
//! cargo-fuzz runs these through `fuzz_targets/`; CI replays `corpus/` through them on the stable
//! toolchain (`scripts/tests/fuzz_replay.rs`, which includes this file).

pub mod framing;
pub mod http;
pub mod icy;
pub mod media;
pub mod rtc;
pub mod symple;
pub mod tls;
pub mod turn;
pub mod whip;
pub mod ws;

/// A decoder under test.
pub struct Target {
    /// Its name: that of its file under `fuzz_targets/` and of its folder under `corpus/`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "http_request", run: http::request },
    Target { name: "http_response", run: http::response },
    Target { name: "http_values", run: http::values },
    Target { name: "http_multipart", run: http::multipart },
    Target { name: "http_client", run: http::client },
    Target { name: "icy_source", run: icy::source },
    Target { name: "icy_strip", run: icy::strip },
    Target { name: "icy_values", run: icy::values },
    Target { name: "framing_mpeg", run: framing::mpeg },
    Target { name: "framing_adts", run: framing::adts },
    Target { name: "framing_ogg", run: framing::ogg },
    Target { name: "framing_flac", run: framing::flac },
    Target { name: "framing_wav", run: framing::wav },
    Target { name: "framing_matroska", run: framing::matroska },
    Target { name: "framing_plain", run: framing::plain },
    Target { name: "framing_opus", run: framing::opus },
    Target { name: "media_link", run: media::link },
    Target { name: "media_payload", run: media::payload },
    Target { name: "stun_message", run: turn::message },
    Target { name: "stun_stream", run: turn::stream },
    Target { name: "turn_server", run: turn::server },
    Target { name: "whip_request", run: whip::request },
    Target { name: "ws_frames", run: ws::frames },
    Target { name: "ws_handshake", run: ws::handshake },
    Target { name: "ws_deflate", run: ws::deflate },
    Target { name: "symple", run: symple::server },
    Target { name: "tls_server", run: tls::server },
    Target { name: "tls_client", run: tls::client },
    Target { name: "rtc_offer", run: rtc::offer },
    Target { name: "rtc_frames", run: rtc::frames },
    Target { name: "rtc_payloads", run: rtc::payloads },
];

/// The ways in which an input is cut, as lengths of pieces that repeat. The last is the input's
/// own: equal bytes are cut equally, so that a finding can be replayed.
fn cuts(data: &[u8]) -> [Vec<usize>; 3] {
    let mut state = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let drawn = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        1 + (state % 97) as usize
    });
    [vec![usize::MAX], vec![1], drawn.take(16).collect()]
}

/// The pieces of `data` when it is cut so.
fn pieces<'d>(data: &'d [u8], cut: &[usize]) -> impl Iterator<Item = &'d [u8]> {
    let mut rest = data;
    cut.iter().cycle().map_while(move |length| {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Runs `decode` for each way of cutting and holds it to the same outcome.
fn same_for_all_cuts<T: PartialEq + std::fmt::Debug>(
    data: &[u8],
    mut decode: impl FnMut(&[usize]) -> T,
) {
    let [whole, others @ ..] = cuts(data);
    let expected = decode(&whole);
    for cut in others {
        assert_eq!(decode(&cut), expected, "cut as {cut:?}, the outcome is another");
    }
}
