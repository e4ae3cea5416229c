//! Numbers have no gap that is not a loss, clocks go forward, layers change at keyframes.

#![allow(clippy::disallowed_methods, reason = "a test's clock begins somewhere")]

use proptest::prelude::*;

use super::*;
use crate::codec::Codec;
use crate::track::TrackLimits;

/// A publisher of several layers and one viewer.
struct Scene {
    track: Track,
    view: Projection,
    now: Instant,
    next: [u64; 3],
    pictures: u64,
    /// What the viewer was sent: publisher's source and sequence, then the viewer's numbers.
    sent: Vec<(u32, u64, Projected)>,
    is_full: bool,
}

const RIDS: [&str; 3] = ["q", "h", "f"];

impl Scene {
    fn new() -> Self {
        Self {
            track: Track::new(MediaKind::Video, TrackLimits::default()),
            view: Projection::new(MediaKind::Video, 99),
            now: Instant::now(),
            next: [100, 2_000, 30_000],
            pictures: 0,
            sent: Vec::new(),
            is_full: false,
        }
    }

    fn packet(&self, layer: usize, sequence: u64, is_key: bool, bytes: usize) -> RtpPacket {
        let mut payload = vec![0; bytes.max(6)];
        let picture = self.pictures as u16 + 1_000 * layer as u16;
        payload[..5].copy_from_slice(&[
            0x90,
            0x80,
            0x80 | (picture >> 8) as u8,
            picture as u8,
            if is_key { 0x50 } else { 0x51 },
        ]);
        let timestamp = self.pictures * 3_000 + 7_777 * layer as u64;
        let numbers = (sequence, timestamp);
        let mut packet = RtpPacket::new(Codec::Vp8, layer as u32 + 1, numbers, payload, self.now);
        packet.rid = Some(RIDS[layer].into());
        packet
    }

    /// A picture of one packet in each layer; `keys` says which are keyframes.
    fn picture(&mut self, keys: [bool; 3], bytes: [usize; 3]) {
        self.now += Duration::from_millis(33);
        self.pictures += 1;
        for layer in 0..3 {
            let packet = self.packet(layer, self.next[layer], keys[layer], bytes[layer]);
            self.next[layer] += 1;
            self.push(packet);
        }
    }

    fn push(&mut self, packet: RtpPacket) {
        let packet = Arc::new(packet);
        if !self.track.push(self.now, &packet) {
            return;
        }
        let (sent, is_full) = (&mut self.sent, self.is_full);
        self.view.take(self.now, &self.track, &packet, |packet, projected| {
            if is_full {
                return Err(SendError::Full);
            }
            sent.push((packet.source, packet.sequence, *projected));
            Ok(())
        });
    }

    fn join(&mut self) {
        let sent = &mut self.sent;
        self.view.join(self.now, &self.track, |packet, projected| {
            sent.push((packet.source, packet.sequence, *projected));
            Ok(())
        });
    }

    /// Seconds of pictures, with a keyframe of whatever layer is asked for.
    fn run(&mut self, pictures: usize, bytes: [usize; 3]) {
        for _ in 0..pictures {
            let wanted = self.view.keyframe_needed(self.now).flatten();
            let keys = RIDS.map(|rid| wanted == Some(rid.into()));
            self.picture(keys, bytes);
        }
    }

    /// In the order of sequence numbers they are consecutive, and clocks never go back.
    fn assert_continuous(&self) {
        let mut given: Vec<Projected> =
            self.sent.iter().map(|(.., projected)| *projected).collect();
        given.sort_by_key(|projected| projected.sequence);
        for pair in given.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence + 1, "no gap, nothing twice");
            let ahead = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
            assert!(ahead >= 0, "the clock goes back by {ahead}");
        }
    }
}

const BYTES: [usize; 3] = [100, 400, 1_200];

#[test]
fn it_starts_with_a_keyframe_and_asks_for_one() {
    let mut scene = Scene::new();
    assert!(scene.view.keyframe_needed(scene.now).is_some());
    scene.picture([false; 3], BYTES);
    assert_eq!(scene.sent.len(), 0);
    scene.picture([true; 3], BYTES);
    scene.picture([false; 3], BYTES);
    assert_eq!(scene.sent.len(), 2);
    assert_eq!(scene.view.keyframe_needed(scene.now), None);
}

#[test]
fn one_who_joins_late_gets_what_came_since_the_keyframe_at_once() {
    let mut scene = Scene::new();
    let mut other = Projection::new(MediaKind::Video, 5);
    std::mem::swap(&mut other, &mut scene.view);
    scene.picture([true; 3], BYTES);
    for _ in 0..20 {
        scene.picture([false; 3], BYTES);
    }
    std::mem::swap(&mut other, &mut scene.view);
    scene.sent.clear();
    scene.join();
    assert_eq!(scene.sent.len(), 21);
    assert_eq!(scene.view.counters().replays, 1);
    let (first, last) = (scene.sent[0].2.timestamp, scene.sent[20].2.timestamp);
    assert_eq!(last.wrapping_sub(first), 20 * 90, "twenty pictures within twenty milliseconds");
    scene.picture([false; 3], BYTES);
    assert_eq!(scene.sent[21].2.timestamp.wrapping_sub(last), 3_000, "then the publisher's clock");
    scene.assert_continuous();
}

#[test]
fn it_goes_up_when_there_is_room_and_down_at_once_when_there_is_none() {
    let mut scene = Scene::new();
    scene.view.set_budget(60_000);
    scene.picture([true; 3], BYTES);
    scene.run(60, BYTES);
    assert_eq!(scene.view.layer(), Some("q".into()));
    scene.view.set_budget(10_000_000);
    scene.run(10, BYTES);
    assert_eq!(scene.view.layer(), Some("q".into()), "not on a whim");
    scene.run(60, BYTES);
    assert_eq!(scene.view.layer(), Some("f".into()));
    scene.view.set_budget(150_000);
    scene.run(8, BYTES);
    assert_eq!(scene.view.layer(), Some("h".into()));
    scene.view.set_budget(10_000_000);
    scene.run(60, BYTES);
    assert_eq!(scene.view.layer(), Some("h".into()), "it rests after a step down");
    scene.run(120, BYTES);
    assert_eq!(scene.view.layer(), Some("f".into()));
    assert!(scene.view.counters().switches >= 3);
    scene.assert_continuous();
}

#[test]
fn what_the_viewer_asks_for_is_chosen_unless_it_is_too_much() {
    let mut scene = Scene::new();
    scene.view.prefer(Some("h".into()));
    scene.picture([true; 3], BYTES);
    scene.run(60, BYTES);
    assert_eq!(scene.view.layer(), Some("h".into()));
    scene.view.set_budget(50_000);
    scene.run(20, BYTES);
    assert_eq!(scene.view.layer(), Some("q".into()));
    scene.assert_continuous();
}

#[test]
fn a_layer_that_stops_is_left() {
    let mut scene = Scene::new();
    scene.picture([true; 3], BYTES);
    scene.run(60, BYTES);
    assert_eq!(scene.view.layer(), Some("f".into()));
    for _ in 0..60 {
        scene.now += Duration::from_millis(33);
        scene.pictures += 1;
        let is_key = scene.view.keyframe_needed(scene.now) == Some(Some("h".into()));
        for (layer, is_key) in [(0, false), (1, is_key)] {
            let packet = scene.packet(layer, scene.next[layer], is_key, BYTES[layer]);
            scene.next[layer] += 1;
            scene.push(packet);
        }
    }
    assert_eq!(scene.view.layer(), Some("h".into()));
    scene.assert_continuous();
}

#[test]
fn one_who_falls_behind_goes_on_at_a_keyframe_and_is_left_alone_before() {
    let mut scene = Scene::new();
    scene.picture([true; 3], BYTES);
    scene.run(40, BYTES);
    scene.is_full = true;
    scene.picture([false; 3], BYTES);
    assert!(!scene.view.is_flowing());
    assert_eq!(scene.view.keyframe_needed(scene.now), None, "not at once");
    scene.is_full = false;
    let before = scene.sent.len();
    scene.picture([false; 3], BYTES);
    assert_eq!(scene.sent.len(), before);
    scene.run(30, BYTES);
    assert!(scene.view.is_flowing());
    assert_eq!(scene.view.counters().falls, 1);
    scene.assert_continuous();
}

#[test]
fn picture_numbers_of_vp8_go_on_over_a_seam() {
    let mut scene = Scene::new();
    scene.view.set_budget(60_000);
    scene.picture([true; 3], BYTES);
    scene.run(40, BYTES);
    scene.view.set_budget(10_000_000);
    scene.run(80, BYTES);
    assert_eq!(scene.view.layer(), Some("f".into()));
    let seam = scene.sent.windows(2).find(|pair| pair[0].0 != pair[1].0).expect("a seam");
    let layer_q_numbers = (seam[0].1 - 99) as u16;
    assert_eq!(seam[0].2.vp8, None, "the first run is the publisher's own");
    assert_eq!(seam[1].2.vp8.expect("shifted").picture_id, layer_q_numbers + 1);
}

#[test]
fn sound_starts_at_once_and_goes_on_over_sources() {
    let mut track = Track::new(MediaKind::Audio, TrackLimits::default());
    let mut view = Projection::new(MediaKind::Audio, 3);
    let (mut now, mut given) = (Instant::now(), Vec::new());
    for source in [7, 8] {
        for step in 0..10u64 {
            now += Duration::from_millis(20);
            let numbers = (step + 1_000 * u64::from(source), step * 960);
            let packet = Arc::new(RtpPacket::new(Codec::Opus, source, numbers, &[1][..], now));
            assert!(track.push(now, &packet));
            view.take(now, &track, &packet, |_, projected| {
                given.push(*projected);
                Ok(())
            });
        }
    }
    assert_eq!(given.len(), 20);
    assert!(given.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert!(given.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 960));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is lost, comes late or twice, however budgets jump: given numbers are never given
    /// twice, and in their order the clock does not go back.
    #[test]
    fn numbers_are_given_once_and_clocks_go_forward(
        steps in proptest::collection::vec((0u8..12, 0u64..4_000_000, any::<bool>()), 20..200),
        delays in proptest::collection::vec(0usize..5, 20),
    ) {
        let mut scene = Scene::new();
        let mut late: Vec<(usize, RtpPacket)> = Vec::new();
        for (at, (what, budget, is_key)) in steps.into_iter().enumerate() {
            match what {
                0 => scene.view.set_budget(budget),
                1 => scene.view.prefer(Some(RIDS[budget as usize % 3].into())),
                2 => scene.is_full = is_key,
                3 => scene.join(),
                _ => {}
            }
            scene.now += Duration::from_millis(33);
            scene.pictures += 1;
            let wanted = scene.view.keyframe_needed(scene.now).flatten();
            for layer in 0..3 {
                let is_key = wanted == Some(RIDS[layer].into()) && is_key;
                let packet = scene.packet(layer, scene.next[layer], is_key, BYTES[layer]);
                scene.next[layer] += 1;
                late.push((at + delays[(at + layer) % delays.len()], packet));
            }
            let due: Vec<RtpPacket> =
                late.extract_if(.., |(due, _)| *due <= at).map(|(_, packet)| packet).collect();
            for packet in due {
                scene.push(packet.clone());
                scene.push(packet);
            }
        }
        let mut given: Vec<_> = scene.sent.iter().map(|(.., projected)| projected).collect();
        given.sort_by_key(|projected| projected.sequence);
        for pair in given.windows(2) {
            prop_assert!(pair[0].sequence < pair[1].sequence, "given twice");
            let ahead = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
            prop_assert!(ahead >= 0, "the clock goes back");
        }
    }
}
