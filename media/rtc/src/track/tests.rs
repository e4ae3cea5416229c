//! What is kept, what is given up, and how often the publisher is asked.

#![allow(clippy::disallowed_methods, reason = "a test's clock begins somewhere")]

use super::*;
use crate::codec::Codec;

const KEY: &[u8] = &[0x10, 0x50, 0, 0];
const DELTA: &[u8] = &[0x10, 0x51, 0, 0];

struct Feed {
    track: Track,
    now: Instant,
}

impl Feed {
    fn new(limits: TrackLimits) -> Self {
        Self { track: Track::new(MediaKind::Video, limits), now: Instant::now() }
    }

    fn push(&mut self, sequence: u64, payload: &[u8]) -> bool {
        self.push_of(1, sequence, payload)
    }

    fn push_of(&mut self, source: u32, sequence: u64, payload: &[u8]) -> bool {
        self.now += Duration::from_millis(10);
        let numbers = (sequence, sequence * 900);
        let packet = RtpPacket::new(Codec::Vp8, source, numbers, payload, self.now);
        self.track.push(self.now, &Arc::new(packet))
    }

    fn kept(&self) -> Vec<u64> {
        self.track.since_keyframe(None).map(|packet| packet.sequence).collect()
    }
}

#[test]
fn everything_since_the_last_keyframe_is_kept() {
    let mut feed = Feed::new(TrackLimits::default());
    for (sequence, payload) in [(1, DELTA), (2, DELTA), (3, KEY), (4, DELTA), (5, DELTA)] {
        feed.push(sequence, payload);
    }
    assert_eq!(feed.kept(), [3, 4, 5]);
    feed.push(6, KEY);
    assert_eq!(feed.kept(), [6]);
    assert_eq!(feed.track.counters().keyframes, 2);
}

#[test]
fn what_overtook_the_keyframe_is_kept_behind_it() {
    let mut feed = Feed::new(TrackLimits::default());
    for (sequence, payload) in [(1, DELTA), (4, DELTA), (3, KEY), (5, DELTA), (2, DELTA)] {
        feed.push(sequence, payload);
    }
    assert_eq!(feed.kept(), [3, 4, 5]);
    for (sequence, payload) in [(8, DELTA), (7, KEY), (6, DELTA)] {
        feed.push(sequence, payload);
    }
    assert_eq!(feed.kept(), [7, 8]);
}

#[test]
fn a_packet_that_comes_again_is_refused() {
    let mut feed = Feed::new(TrackLimits::default());
    assert!(feed.push(3, KEY) && feed.push(5, DELTA) && feed.push(4, DELTA));
    assert!(!feed.push(4, DELTA) && !feed.push(3, KEY));
    assert_eq!(feed.kept(), [3, 4, 5]);
    assert_eq!(feed.track.counters().packets_refused, 2);
}

#[test]
fn another_source_begins_anew() {
    let mut feed = Feed::new(TrackLimits::default());
    feed.push(1000, KEY);
    feed.push_of(2, 7, DELTA);
    assert_eq!(feed.kept(), [0u64; 0]);
    feed.push_of(2, 8, KEY);
    assert_eq!(feed.kept(), [8]);
}

#[test]
fn while_sources_change_nothing_comes_twice() {
    let mut feed = Feed::new(TrackLimits::default());
    assert!(feed.push_of(1, 10, KEY) && feed.push_of(2, 70, KEY) && feed.push_of(1, 11, DELTA));
    assert!(!feed.push_of(1, 10, KEY) && !feed.push_of(2, 70, KEY));
}

#[test]
fn at_each_limit_the_cache_is_given_up_until_the_next_keyframe() {
    let limits = TrackLimits::default();
    for limits in [
        TrackLimits { cache_packets_max: 5, ..limits },
        TrackLimits { cache_bytes_max: 5 * KEY.len(), ..limits },
        TrackLimits { cache_duration_max: Duration::from_millis(45), ..limits },
    ] {
        let mut feed = Feed::new(limits);
        feed.push(1, KEY);
        for sequence in 2..200 {
            feed.push(sequence, DELTA);
        }
        assert_eq!(feed.kept(), [0u64; 0]);
        assert!(feed.track.cache_bytes() <= OVERTAKING_MAX * DELTA.len());
        assert_eq!(feed.track.counters().cache_overflows, 1);
        feed.push(200, KEY);
        assert_eq!(feed.kept(), [200]);
    }
}

#[test]
fn many_wishes_become_one_request_for_each_layer_and_interval() {
    let mut feed = Feed::new(TrackLimits::default());
    let (start, high) = (feed.now, Some(Rid::from("h")));
    for _ in 0..100 {
        feed.track.want_keyframe(None);
        feed.track.want_keyframe(high);
    }
    assert_eq!(feed.track.poll(start), Some(None));
    assert_eq!(feed.track.poll(start), Some(high));
    assert_eq!(feed.track.poll(start), None);
    let soon = start + Duration::from_millis(100);
    feed.track.want_keyframe(None);
    assert_eq!(feed.track.poll(soon), None, "the gate is closed");
    let opens = feed.track.deadline().expect("one waits");
    assert_eq!(opens, start + TrackLimits::default().keyframe_interval);
    assert_eq!(feed.track.poll(opens), Some(None));
    assert_eq!(feed.track.deadline(), None);
    assert_eq!(feed.track.counters().keyframes_requested, 3);
}

#[test]
fn layers_are_bounded() {
    let mut feed = Feed::new(TrackLimits { layers_max: 2, ..TrackLimits::default() });
    let taken = ["q", "h", "f"].map(|rid| {
        let mut packet = RtpPacket::new(Codec::Vp8, 1, (1, 1), KEY, feed.now);
        packet.rid = Some(rid.into());
        feed.track.push(feed.now, &Arc::new(packet))
    });
    assert_eq!(taken, [true, true, false]);
}

#[test]
fn of_sound_nothing_is_kept() {
    let mut track = Track::new(MediaKind::Audio, TrackLimits::default());
    let now = Instant::now();
    let packet = RtpPacket::new(Codec::Opus, 1, (1, 1), &[0xfc, 1][..], now);
    assert!(track.push(now, &Arc::new(packet)));
    assert_eq!((track.since_keyframe(None).len(), track.cache_bytes()), (0, 0));
}
