//! One publisher's packets through two sessions to a viewer, and what else a session does.

mod world;

use std::time::Duration;

use media_rtc::{Codec, Projected, Role};
use str0m::format::Codec as StrCodec;
use str0m::media::{Direction, MediaKind};
use world::peer::Written;
use world::{Network, World};

const VP8_KEY: &[u8] = &[0x90, 0x80, 0x12, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Forwards what the publisher's session got, as it is.
fn forward(world: &mut World, publisher: usize, viewer: usize) {
    for (_, packet) in std::mem::take(&mut world.sessions[publisher].fresh) {
        let track = world.sessions[viewer].outgoing();
        let now = world.now;
        let projected = Projected::unchanged(&packet);
        let session = &mut world.sessions[viewer].session;
        session.send(now, track, &packet, &projected).expect("sent");
    }
}

#[test]
fn a_publishers_packets_reach_a_viewer() {
    let mut world = World::new(1, Network::GOOD);
    let publisher =
        world.join(Role::Publish, |peer| peer.wish(MediaKind::Video, Direction::SendOnly));
    let viewer = world.join(Role::View, |peer| peer.wish(MediaKind::Video, Direction::RecvOnly));
    world.until_connected();
    let mid = world.peers[publisher].mids[0];
    for sequence in 0..200u64 {
        world.peers[publisher].send(
            mid,
            None,
            Written {
                codec: StrCodec::Vp8,
                sequence: 1000 + sequence,
                timestamp: 3000 * sequence as u32,
                is_marked: true,
                payload: VP8_KEY,
            },
        );
        world.run_with(Duration::from_millis(20), |world| forward(world, publisher, viewer));
    }
    world.run_with(Duration::from_millis(200), |world| forward(world, publisher, viewer));
    assert_eq!(world.sessions[publisher].packets.len(), 200);
    let first = &world.sessions[publisher].packets[0].1;
    assert_eq!(first.parameters.codec(), Codec::Vp8);
    assert!(first.is_keyframe_start && first.is_marked);
    let got = &world.peers[viewer].packets;
    assert_eq!(got.len(), 200);
    let numbers: Vec<u64> = got.iter().map(|packet| *packet.seq_no).collect();
    assert_eq!(numbers, (1000..1200).collect::<Vec<u64>>());
    assert!(got.iter().all(|packet| &*packet.payload == VP8_KEY));
}
