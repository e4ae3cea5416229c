//! What WebRTC's peers say: descriptions and fragments of them, frames of TCP, and payloads.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use media_rtc::{
    Codec, FRAME_BYTES_MAX, Fragment, Framer, IceCredentials, Identity, Input, Limits, Projection,
    Role, RtpPacket, Session, SessionConfig, Track, TrackLimits, Transport,
};

use super::same_for_all_cuts;

fn config() -> &'static SessionConfig {
    static CONFIG: OnceLock<SessionConfig> = OnceLock::new();
    CONFIG.get_or_init(|| SessionConfig { identity: Identity::generate(), ..Default::default() })
}

/// An offer from any text: an answer or an error, in each role, and once more on the session that
/// came of it. A panic of str0m's would be an error like others; ours is a finding.
#[allow(clippy::disallowed_methods, reason = "a session begins somewhere")]
pub fn offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let limits = Limits::default();
    if let Ok(fragment) = Fragment::read(&text, &limits) {
        assert!(fragment.candidate_count <= text.lines().count());
        assert_eq!(fragment.ufrag.is_some(), fragment.password.is_some());
    }
    let credentials = IceCredentials::from_random("s0", [1; 24]).expect("a good prefix");
    let others = IceCredentials::from_random("s1", [2; 24]).expect("a good prefix");
    let now = Instant::now();
    for role in [Role::Publish, Role::View, Role::Both] {
        let answered = Session::answer(now, config(), &credentials, role, &text);
        let Ok((mut session, answer)) = answered else { continue };
        assert!(answer.contains("a=ice-lite"));
        assert!(session.tracks().all(|track| role != Role::Publish || !track.is_outgoing));
        assert!(session.tracks().all(|track| role != Role::View || !track.is_incoming));
        let _ = session.candidate(&text);
        if let Ok(fragment) = Fragment::read(&text, &limits) {
            let _ = session.patch(now, &fragment, &others);
        }
        let _ = session.offer(now, &text, &others);
        let address = "192.0.2.1:9".parse().expect("an address");
        let (source, destination, transport) = (address, address, Transport::Udp);
        session.handle(now, Input::Datagram { source, destination, transport, bytes: data });
        session.handle(now + Duration::from_secs(1), Input::Tick);
        let outputs = std::iter::from_fn(|| session.poll()).take(1_000).count();
        assert!(outputs < 1_000, "it comes to rest");
    }
}

/// Any stream of TCP is cut into the same frames however it came.
pub fn frames(data: &[u8]) {
    same_for_all_cuts(data, |cut| {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for piece in super::pieces(data, cut) {
            let pushed = framer.push(piece, |frame| frames.push(frame.to_vec()));
            if pushed.is_err() {
                return (frames, true);
            }
        }
        assert!(frames.iter().all(|frame| frame.len() <= FRAME_BYTES_MAX));
        (frames, false)
    });
}

/// Any payloads, of any codec, numbered anyhow: each packet gets numbers once or not at all.
///
/// ```text
/// codec 1 │ then for each packet: source 1, step of its number 1, of its time 1, length 1, payload
/// ```
#[allow(clippy::disallowed_methods, reason = "a track begins somewhere")]
pub fn payloads(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let codec = Codec::ALL[usize::from(*first) % Codec::ALL.len()];
    let limits = TrackLimits { cache_bytes_max: 4_096, ..TrackLimits::default() };
    let mut track = Track::new(codec.kind(), limits);
    let mut view = Projection::new(codec.kind(), 1);
    let (mut now, mut sequence, mut timestamp) = (Instant::now(), 1_000u64, 5_000u64);
    let mut given = std::collections::BTreeSet::new();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let (payload, after) = after.split_at(usize::from(head[3]).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(head[2]));
        sequence = sequence.saturating_add_signed(i64::from(head[1] as i8));
        timestamp = timestamp.saturating_add_signed(i64::from(head[2] as i8) * 100);
        let source = u32::from(head[0] & 1);
        let mut packet = RtpPacket::new(codec, source, (sequence, timestamp), payload, now);
        packet.rid =
            (head[0] & 0x80 != 0).then(|| ["q", "h", "f"][usize::from(head[0] % 3)].into());
        let packet = Arc::new(packet);
        if !track.push(now, &packet) {
            continue;
        }
        view.take(now, &track, &packet, |_, projected| {
            assert!(given.insert(projected.sequence), "given twice");
            Ok(())
        });
        let kept: usize = track.rates().count() * (limits.cache_bytes_max + 32 * 255);
        assert!(track.cache_bytes() <= kept, "more is kept than allowed");
        while track.poll(now).is_some() {}
    }
}
