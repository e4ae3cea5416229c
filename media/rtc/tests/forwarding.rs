//! A stream from a publisher to its viewers over a network that is good, bad or narrow.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use media_rtc::{Codec, Role, keyframe_starts_at};
use str0m::media::{Direction, MediaKind, Simulcast, SimulcastLayer};
use world::hub::Hub;
use world::peer::{Peer, Written};
use world::publisher::{Camera, film, number_of};
use world::{Network, World};

fn publish(world: &mut World) -> usize {
    world.join(Role::Publish, |peer| peer.wish(MediaKind::Video, Direction::SendOnly))
}

fn view(world: &mut World) -> usize {
    world.join(Role::View, |peer| peer.wish(MediaKind::Video, Direction::RecvOnly))
}

/// A publisher, two who view, and what passes packets on between them.
fn two_viewers(seed: u64, network: Network) -> (World, Hub, usize, [usize; 2]) {
    let mut world = World::new(seed, network);
    let publisher = publish(&mut world);
    let viewers = [view(&mut world), view(&mut world)];
    world.until_connected();
    let mut hub = Hub::new(publisher);
    viewers.iter().for_each(|viewer| hub.add(&world, *viewer));
    (world, hub, publisher, viewers)
}

/// The publisher's numbers of what a viewer got.
fn got(world: &World, viewer: usize) -> Vec<u64> {
    world.peers[viewer].packets.iter().map(|packet| number_of(&packet.payload)).collect()
}

/// The viewer's own numbers, sorted: nothing twice.
fn numbers(world: &World, viewer: usize) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        world.peers[viewer].packets.iter().map(|packet| *packet.seq_no).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn what_a_bad_network_loses_is_sent_again_and_every_packet_is_accounted_for() {
    for seed in 1..=6 {
        let (mut world, mut hub, publisher, viewers) = two_viewers(seed, Network::BAD);
        let mut cameras = [Camera::new(publisher, None, 600)];
        film(&mut world, &mut hub, &mut cameras, Duration::from_secs(6));
        world.network = Network::GOOD;
        film(&mut world, &mut hub, &mut cameras, Duration::from_secs(2));
        // What is on its way, or asked for once more, comes.
        world.run_with(Duration::from_secs(1), |world| hub.pump(world));
        assert!(world.lost > 100, "the network is bad");
        let passed: BTreeSet<u64> = world.sessions[publisher]
            .packets
            .iter()
            .map(|(_, packet)| number_of(&packet.payload))
            .collect();
        let arrived = world.sessions[publisher].session.counters().packets_in;
        assert_eq!(passed.len() as u64, arrived, "nothing twice");
        // What was overtaken by the first that came is not asked for again, by either side.
        let first = *passed.first().expect("something came");
        let sent = cameras[0].sequence - first;
        assert!(first < 520 && arrived >= sent - 6, "seed {seed}: {arrived} of {sent} came");
        for viewer in viewers {
            let missed = hub.view_of(viewer).missed;
            let counters = *hub.view_of(viewer).projection.counters();
            let got: BTreeSet<u64> = got(&world, viewer).into_iter().collect();
            assert_eq!(got.len(), world.peers[viewer].packets.len(), "nothing twice");
            assert!(got.is_subset(&passed));
            let left_out = counters.packets_waiting + counters.packets_late + counters.packets_full;
            assert_eq!(counters.packets + left_out + missed, arrived, "seed {seed}: {counters:?}");
            let overtaken = passed.iter().filter(|number| Some(*number) < got.first()).count();
            let missing = (counters.packets - got.len() as u64).saturating_sub(overtaken as u64);
            let estimate = world.sessions[viewer].estimate;
            assert!(missing <= 6, "seed {seed}: {missing} did not arrive, {estimate:?} bit/s");
            let numbers = numbers(&world, viewer);
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}

#[test]
fn many_who_ask_for_a_keyframe_are_one_request() {
    let mut world = World::new(3, Network::GOOD);
    let publisher = publish(&mut world);
    let viewers: Vec<usize> = (0..12).map(|_| view(&mut world)).collect();
    world.until_connected();
    let mut hub = Hub::new(publisher);
    viewers.iter().for_each(|viewer| hub.add(&world, *viewer));
    let mut cameras = [Camera::new(publisher, None, 300)];
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(2));
    let before = world.peers[publisher].keyframes_wanted;
    for _ in 0..10 {
        for viewer in &viewers {
            let mid = world.peers[*viewer].mids[0];
            world.peers[*viewer].request_keyframe(mid);
        }
        film(&mut world, &mut hub, &mut cameras, Duration::from_millis(100));
    }
    let asked = world.peers[publisher].keyframes_wanted - before;
    assert!((1..=3).contains(&asked), "a second of 120 wishes was {asked} requests");
    assert!(hub.video().counters().keyframes_wanted > 60);
}

#[test]
fn one_who_joins_late_starts_with_a_keyframe_at_once() {
    let mut world = World::new(4, Network::GOOD);
    let publisher = publish(&mut world);
    world.until_connected();
    let mut hub = Hub::new(publisher);
    let mut cameras = [Camera::new(publisher, None, 500)];
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(2));
    let asked = world.peers[publisher].keyframes_wanted;
    let viewer = view(&mut world);
    let offered_at = world.now;
    hub.add(&world, viewer);
    while world.peers[viewer].packets.is_empty() {
        film(&mut world, &mut hub, &mut cameras, Duration::from_millis(1));
        assert!(world.now - offered_at < Duration::from_secs(2), "no picture");
    }
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(1));
    let numbers = numbers(&world, viewer);
    assert_eq!(numbers.len() as u64, numbers[numbers.len() - 1] - numbers[0] + 1, "no gap");
    let first = world.peers[viewer].packets.iter().min_by_key(|packet| *packet.seq_no);
    assert!(keyframe_starts_at(Codec::Vp8, &first.expect("one").payload));
    assert_eq!(number_of(&first.expect("one").payload), 500, "the first picture of all");
    assert_eq!(world.peers[publisher].keyframes_wanted, asked, "nobody had to be asked");
}

fn simulcast() -> Simulcast {
    Simulcast { send: ["q", "h", "f"].map(SimulcastLayer::new).to_vec(), recv: Vec::new() }
}

#[test]
fn a_viewer_gets_the_layer_that_its_way_takes() {
    let mut world = World::new(5, Network::GOOD);
    let publisher = world.join(Role::Publish, |peer| peer.wish_simulcast(simulcast()));
    let viewers = [view(&mut world), view(&mut world)];
    world.until_connected();
    let mut hub = Hub::new(publisher);
    viewers.iter().for_each(|viewer| hub.add(&world, *viewer));
    // 3 packets, 30 times a second: 70, 290 and 860 kbit/s.
    let mut cameras = [("q", 100), ("h", 400), ("f", 1_200)]
        .map(|(rid, bytes)| Camera::new(publisher, Some(rid), bytes));
    world.narrow(viewers[1], 450_000);
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(14));
    assert_eq!(world.sessions[publisher].tracks[0].rids.len(), 3);
    let layer = |hub: &mut Hub, viewer| hub.view_of(viewer).projection.layer();
    assert_eq!(layer(&mut hub, viewers[0]), Some("f".into()), "{:?}", world.sessions[1].estimate);
    assert_ne!(layer(&mut hub, viewers[1]), Some("f".into()), "{:?}", world.sessions[2].estimate);
    let fast = world.peers[viewers[0]].packets.len();
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(2));
    let came = world.peers[viewers[0]].packets.len() - fast;
    assert!(came >= 170, "the slow one does not throttle the fast one: {came} of 180");
    let numbers = numbers(&world, viewers[0]);
    assert_eq!(numbers.len() as u64, numbers[numbers.len() - 1] - numbers[0] + 1, "no gap");
    hub.view_of(viewers[0]).projection.prefer(Some("h".into()));
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(2));
    assert_eq!(layer(&mut hub, viewers[0]), Some("h".into()), "asked for");
}

#[test]
fn a_publisher_who_comes_again_goes_on_in_the_viewers_numbers() {
    let mut world = World::new(6, Network::GOOD);
    let first = publish(&mut world);
    let viewer = view(&mut world);
    world.until_connected();
    let mut hub = Hub::new(first);
    hub.add(&world, viewer);
    let mut cameras = [Camera::new(first, None, 300)];
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(1));
    let second = publish(&mut world);
    world.until_connected();
    (hub.publisher, hub.tracks) = (second, Vec::new());
    let mut cameras = [Camera::new(second, None, 300)];
    cameras[0].sequence = 9_000;
    film(&mut world, &mut hub, &mut cameras, Duration::from_secs(1));
    assert!(got(&world, viewer).iter().filter(|number| **number >= 9_000).count() > 60);
    let numbers = numbers(&world, viewer);
    assert_eq!(numbers.len() as u64, numbers[numbers.len() - 1] - numbers[0] + 1, "no gap");
    let mut packets: Vec<_> = world.peers[viewer].packets.iter().collect();
    packets.sort_by_key(|packet| *packet.seq_no);
    assert!(packets.windows(2).all(|pair| pair[0].time <= pair[1].time), "the clock goes on");
}

#[test]
fn sound_keeps_its_level_and_red_is_taken_off_for_who_does_not_know_it() {
    let mut world = World::new(7, Network::GOOD);
    let sound = |direction| move |peer: &mut Peer| peer.wish(MediaKind::Audio, direction);
    let publisher = world.join(Role::Publish, sound(Direction::SendOnly));
    let knows = world.join(Role::View, sound(Direction::RecvOnly));
    let plain = world.join_with(Role::View, false, sound(Direction::RecvOnly));
    world.until_connected();
    let mut hub = Hub::new(publisher);
    hub.add(&world, knows);
    hub.add(&world, plain);
    let mid = world.peers[publisher].mids[0];
    for sequence in 0..50 {
        world.peers[publisher].send(
            mid,
            None,
            Written {
                codec: str0m::format::Codec::Opus,
                sequence: 10 + sequence,
                timestamp: 960 * sequence as u32,
                is_marked: false,
                is_red: sequence >= 25,
                payload: if sequence >= 25 {
                    &[0xef, 0, 0, 2, 0x6f, 8, 8, 1, 2, 3]
                } else {
                    &[1, 2, 3]
                },
            },
        );
        world.run_with(Duration::from_millis(20), |world| hub.pump(world));
    }
    let came: Vec<bool> =
        world.sessions[publisher].packets.iter().map(|(_, packet)| packet.is_red).collect();
    assert_eq!(came.iter().filter(|is_red| **is_red).count(), 25);
    assert_eq!(world.sessions[publisher].packets[0].1.audio_level, Some(23));
    let payloads = |peer: usize| {
        let packets = world.peers[peer].packets.iter();
        packets.map(|packet| packet.payload.to_vec()).collect::<Vec<_>>()
    };
    let (with, without) = (payloads(knows), payloads(plain));
    assert!(with.len() >= 48 && without.len() >= 48, "{} and {}", with.len(), without.len());
    assert!(without.iter().all(|payload| payload == &[1, 2, 3]));
    assert!(with.iter().any(|payload| payload.len() == 10));
    let header = &world.peers[knows].packets[5].header;
    assert_eq!(header.ext_vals.audio_level, Some(-23));
    assert_eq!(header.ext_vals.voice_activity, Some(true));
}

#[test]
fn one_whose_way_is_too_narrow_skips_to_keyframes_and_is_never_far_behind() {
    let (mut world, mut hub, publisher, viewers) = two_viewers(7, Network::GOOD);
    // 430 kbit/s.
    let mut cameras = [Camera::new(publisher, None, 600)];
    world.narrow(viewers[1], 200_000);
    let mut behind = Vec::new();
    for _ in 0..200 {
        film(&mut world, &mut hub, &mut cameras, Duration::from_millis(100));
        let newest = got(&world, viewers[1]).into_iter().max().expect("something came");
        behind.push(cameras[0].sequence - newest);
    }
    let falls = hub.view_of(viewers[1]).projection.counters().falls;
    assert!(falls >= 2, "it fell {falls} times");
    let asked = world.peers[publisher].keyframes_wanted;
    assert!(asked < 20, "{asked} keyframes for one who cannot take them");
    // 300 ms in the network's own buffer, 500 ms here, and the picture on its way.
    let at_most_behind = |share: usize| {
        let mut sorted = behind.clone();
        sorted.sort_unstable();
        sorted[behind.len() * share / 100]
    };
    assert!(at_most_behind(50) < 90 * 3 / 2, "{behind:?}");
    let full = world.peers[viewers[0]].packets.len() as u64;
    assert!(cameras[0].sequence - 500 - full < 10, "the other one gets all");
}
