//! What payload formats promise: units come back as they were, or not at all, whatever the network
//! does, and no bytes make trouble.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media_payload::*;
use proptest::prelude::*;

#[allow(clippy::disallowed_methods, reason = "some time to begin at; none passes by itself")]
fn start() -> Instant {
    Instant::now()
}

/// A unit whose bytes say which one it is.
fn unit(codec: Codec, index: usize, size: usize, is_keyframe: bool) -> Bytes {
    // No zeros: a start code in the middle would be an end.
    let body: Vec<u8> = (0..size + 8).map(|at| (at * 7 + index * 13) as u8 | 1).collect();
    let mut unit = Vec::new();
    match codec {
        Codec::H264 => {
            let nals: &[&[u8]] =
                if is_keyframe { &[&[0x67, 1, 2], &[0x68, 3], &[0x65]] } else { &[&[0x41]] };
            for nal in nals {
                unit.extend_from_slice(&[0, 0, 0, 1]);
                unit.extend_from_slice(nal);
            }
            unit.extend_from_slice(&(index as u16 | 0x8080).to_be_bytes());
        }
        Codec::Vp8 => unit.push(if is_keyframe { 0x10 } else { 0x11 }),
        Codec::Vp9 => unit.push(if is_keyframe { 0x82 } else { 0x86 }),
        Codec::Opus => unit.push(0xfc),
        Codec::Av1 => unreachable!("AV1 is not cut"),
    }
    unit.extend_from_slice(&body);
    Bytes::from(unit)
}

fn cut(codec: Codec, units: &[Bytes], first: u16) -> Vec<RtpPacket> {
    let mut packetizer = Packetizer::new(codec, 100).expect("it can be cut");
    let (mut packets, mut sequence) = (Vec::new(), first);
    for (index, unit) in units.iter().enumerate() {
        let mut payloads = Vec::new();
        packetizer.packetize(unit, &mut payloads);
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            assert!(payload.len() <= 100 || codec == Codec::Opus);
            let timestamp = (index as u32).wrapping_mul(3_000).wrapping_sub(6_000);
            packets.push(RtpPacket { sequence, timestamp, marker: at == last, payload });
            sequence = sequence.wrapping_add(1);
        }
    }
    packets
}

fn drain(depacketizer: &mut Depacketizer) -> (Vec<Unit>, usize) {
    let (mut units, mut wanted) = (Vec::new(), 0);
    while let Some(output) = depacketizer.poll() {
        match output {
            Output::Unit(unit) => units.push(unit),
            Output::KeyframeWanted => wanted += 1,
        }
    }
    (units, wanted)
}

const CODECS: [Codec; 4] = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Opus];

#[test]
fn a_keyframe_gets_the_parameter_sets_that_came_before_it() {
    let mut depacketizer = Depacketizer::new(Codec::H264, Limits::default());
    let payloads: [&[u8]; 3] = [&[0x67, 1, 2], &[0x68, 3], &[0x65, 9]];
    for (index, payload) in payloads.into_iter().enumerate() {
        depacketizer.handle(
            start(),
            RtpPacket {
                sequence: index as u16,
                timestamp: 1,
                marker: index == 2,
                payload: Bytes::from_static(payload),
            },
        );
    }
    let alone = RtpPacket {
        sequence: 3,
        timestamp: 2,
        marker: true,
        payload: Bytes::from_static(&[0x65, 8]),
    };
    depacketizer.handle(start(), alone);
    let (units, _) = drain(&mut depacketizer);
    assert_eq!(units.len(), 2);
    assert_eq!(
        &units[1].payload[..],
        &[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 8]
    );
    assert!(units[1].is_keyframe);
}

#[test]
fn a_lost_packet_is_waited_for_and_then_given_up_and_a_keyframe_asked_for() {
    let units: Vec<Bytes> =
        (0..6).map(|index| unit(Codec::Vp8, index, 300, index % 4 == 0)).collect();
    let packets = cut(Codec::Vp8, &units, 65_530);
    let mut depacketizer = Depacketizer::new(Codec::Vp8, Limits::default());
    let now = start();
    let lost = packets
        .iter()
        .position(|packet| packet.timestamp == packets[0].timestamp.wrapping_add(3_000));
    for (index, packet) in packets.iter().enumerate() {
        if Some(index) != lost {
            depacketizer.handle(now, packet.clone());
        }
    }
    let (before, wanted) = drain(&mut depacketizer);
    assert_eq!((before.len(), wanted), (1, 1), "one at the start, which is always wanted");
    let deadline = depacketizer.deadline().expect("it waits");
    depacketizer.on_deadline(deadline + Duration::from_secs(1));
    let (after, wanted) = drain(&mut depacketizer);
    let payloads: Vec<&Bytes> = after.iter().map(|unit| &unit.payload).collect();
    assert_eq!(payloads, [&units[4], &units[5]]);
    assert!(after[0].is_after_loss && !after[1].is_after_loss);
    assert_eq!(wanted, 0, "it came with what was waiting");
    assert_eq!(depacketizer.counters().missed, 1);
    assert_eq!(depacketizer.deadline(), None);
}

#[test]
fn layers_of_vp9_become_a_superframe() {
    let mut depacketizer = Depacketizer::new(Codec::Vp9, Limits::default());
    // Layer indices with a tl0picidx, no picture number; each layer one frame.
    let payloads: [&[u8]; 2] = [&[0x2c, 0x00, 1, 0x82, 5], &[0x2c, 0x02, 1, 0x86, 6, 7]];
    for (index, payload) in payloads.into_iter().enumerate() {
        let payload = Bytes::from_static(payload);
        let packet =
            RtpPacket { sequence: index as u16, timestamp: 0, marker: index == 1, payload };
        depacketizer.handle(start(), packet);
    }
    let (units, _) = drain(&mut depacketizer);
    assert_eq!(&units[0].payload[..], &[0x82, 5, 0x86, 6, 7, 0xd9, 2, 0, 0, 0, 3, 0, 0, 0, 0xd9]);
}

#[test]
fn obus_in_pieces_become_a_temporal_unit() {
    let mut depacketizer = Depacketizer::new(Codec::Av1, Limits::default());
    // A sequence header, and a frame in two pieces.
    let payloads: [&[u8]; 2] = [&[0x68, 2, 0x08, 0xaa, 0x30, 0xbb], &[0x90, 0xcc, 0xdd]];
    for (index, payload) in payloads.into_iter().enumerate() {
        let payload = Bytes::from_static(payload);
        let packet =
            RtpPacket { sequence: index as u16, timestamp: 0, marker: index == 1, payload };
        depacketizer.handle(start(), packet);
    }
    let (units, _) = drain(&mut depacketizer);
    assert_eq!(&units[0].payload[..], &[0x12, 0, 0x0a, 1, 0xaa, 0x32, 3, 0xbb, 0xcc, 0xdd]);
    assert!(units[0].is_keyframe);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn units_come_back_as_they_were(
        codec in prop::sample::select(&CODECS[..]),
        sizes in prop::collection::vec(0_usize..1_000, 1..20),
        first in any::<u16>(),
    ) {
        let units: Vec<Bytes> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| unit(codec, index, *size, index % 5 == 0))
            .collect();
        let mut depacketizer = Depacketizer::new(codec, Limits::default());
        for packet in cut(codec, &units, first) {
            depacketizer.handle(start(), packet);
        }
        let (got, _) = drain(&mut depacketizer);
        let payloads: Vec<Bytes> = got.iter().map(|unit| unit.payload.clone()).collect();
        prop_assert_eq!(payloads, units);
        for (index, unit) in got.iter().enumerate() {
            prop_assert!(!unit.is_after_loss);
            prop_assert_eq!(unit.is_keyframe, codec == Codec::Opus || index % 5 == 0);
        }
    }

    #[test]
    fn whatever_the_network_does_a_unit_is_whole_or_not_there(
        codec in prop::sample::select(&CODECS[..]),
        sizes in prop::collection::vec(0_usize..600, 10..40),
        fates in prop::collection::vec((0_u8..20, 0_usize..8), 400),
        first in any::<u16>(),
    ) {
        let units: Vec<Bytes> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| unit(codec, index, *size, index % 7 == 0))
            .collect();
        // Lost, doubled, or moved back a few places.
        let packets = cut(codec, &units, first);
        let mut arrivals: Vec<(usize, RtpPacket)> = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            let (fate, delay) = fates[index % fates.len()];
            if fate == 0 {
                continue;
            }
            let at = if fate < 4 { index + delay } else { index };
            arrivals.push((at, packet.clone()));
            if fate == 4 {
                arrivals.push((index + delay, packet.clone()));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let wait_max = Duration::from_millis(30);
        let limits = Limits { wait_max, packets_max: 16, ..Limits::default() };
        let mut depacketizer = Depacketizer::new(codec, limits);
        let mut now = start();
        let (mut got, mut wanted) = (Vec::new(), 0);
        for (_, packet) in arrivals {
            now += Duration::from_millis(5);
            if depacketizer.deadline().is_some_and(|deadline| deadline <= now) {
                depacketizer.on_deadline(now);
            }
            depacketizer.handle(now, packet);
            let (units, count) = drain(&mut depacketizer);
            got.extend(units);
            wanted += count;
        }
        let mut last = None;
        for it in &got {
            let index = it.timestamp.wrapping_add(6_000) as usize / 3_000;
            prop_assert_eq!(&it.payload, &units[index], "whole");
            prop_assert!(last.is_none_or(|last| last < index), "in order");
            let follows = last.is_none_or(|last: usize| last + 1 == index);
            prop_assert!(follows || it.is_after_loss, "a loss is told");
            let goes_on = last.is_some() && follows;
            prop_assert!(goes_on || it.is_keyframe, "pictures go on with a keyframe");
            last = Some(index);
        }
        let counters = depacketizer.counters();
        prop_assert_eq!(counters.units as usize, got.len());
        // Where everything came, or nothing came behind what was lost, there is nothing to ask for.
        let has_gap = got.iter().skip(1).any(|unit| unit.is_after_loss);
        prop_assert!(codec.stands_alone() || !has_gap || wanted > 0, "a keyframe is asked for");
    }

    #[test]
    fn any_bytes_may_come(
        payloads in prop::collection::vec(
            (any::<u16>(), 0_u32..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)),
            0..60,
        )
    ) {
        for codec in CODECS.into_iter().chain([Codec::Av1]) {
            let limits = Limits { unit_bytes_max: 200, packets_max: 8, ..Limits::default() };
            let mut depacketizer = Depacketizer::new(codec, limits);
            for (sequence, timestamp, marker, payload) in &payloads {
                depacketizer.handle(start(), RtpPacket {
                    sequence: *sequence,
                    timestamp: *timestamp,
                    marker: *marker,
                    payload: Bytes::from(payload.clone()),
                });
            }
            let (units, _) = drain(&mut depacketizer);
            prop_assert!(units.iter().all(|unit| !unit.payload.is_empty()));
        }
    }
}
