//! What a session does beside forwarding: restarts, renegotiation, data channels, goodbyes, and
//! what it does not do for strangers.

mod world;

use std::time::Duration;

use media_rtc::{
    CloseCause, Codec, Fragment, Input, Limits, MediaKind as Kind, OfferError, Projected, Role,
    SendError, Session, Transport,
};
use str0m::format::Codec as StrCodec;
use str0m::media::{Direction, MediaKind};
use world::peer::Written;
use world::{Network, World, address};

const VP8_KEY: &[u8] = &[0x90, 0x80, 0x12, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

fn publisher(world: &mut World) -> usize {
    let publisher =
        world.join(Role::Publish, |peer| peer.wish(MediaKind::Video, Direction::SendOnly));
    world.until_connected();
    publisher
}

/// Ten packets; how many came.
fn send_ten(world: &mut World, publisher: usize, from: u64) -> usize {
    let before = world.sessions[publisher].packets.len();
    let mid = world.peers[publisher].mids[0];
    for sequence in from..from + 10 {
        world.peers[publisher].send(
            mid,
            None,
            Written {
                codec: StrCodec::Vp8,
                sequence,
                timestamp: 3000 * sequence as u32,
                is_marked: true,
                is_red: false,
                payload: VP8_KEY,
            },
        );
        world.run(Duration::from_millis(20));
    }
    world.run(Duration::from_millis(100));
    world.sessions[publisher].packets.len() - before
}

#[test]
fn packets_keep_their_numbers_and_say_what_they_are() {
    let mut world = World::new(1, Network::GOOD);
    let publisher = publisher(&mut world);
    assert_eq!(send_ten(&mut world, publisher, 1_000), 10);
    let hosted = &world.sessions[publisher];
    let sequences: Vec<u64> = hosted.packets.iter().map(|(_, packet)| packet.sequence).collect();
    assert_eq!(sequences, (1_000..1_010).collect::<Vec<u64>>());
    let first = &hosted.packets[0].1;
    assert_eq!(first.parameters.codec(), Codec::Vp8);
    assert!(first.is_keyframe_start && first.is_marked && !first.is_red);
    assert_eq!(&*first.payload, VP8_KEY);
    let track = &hosted.tracks[0];
    assert!(track.is_incoming && !track.is_outgoing);
    assert_eq!(track.kind, Kind::Video);
    assert!(track.codecs.iter().any(|codec| codec.codec() == Codec::H264));
}

#[test]
fn a_session_moves_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Session>();
}

#[test]
fn ice_restarts_by_an_offer_and_the_name_is_ours() {
    let mut world = World::new(2, Network::GOOD);
    let publisher = publisher(&mut world);
    assert_eq!(send_ten(&mut world, publisher, 100), 10);
    world.peers[publisher].move_to(address("203.0.113.9:777"));
    world.peers[publisher].wish_restart();
    let offer = world.peers[publisher].offer();
    let credentials = world.chance.credentials("s7");
    let now = world.now;
    let session = &mut world.sessions[publisher].session;
    let answer = session.offer(now, &offer, &credentials).expect("answered");
    assert!(answer.contains(&format!("a=ice-ufrag:{}", credentials.ufrag())));
    assert!(answer.contains(&format!("a=ice-pwd:{}", credentials.password())));
    assert_eq!(session.credentials(), &credentials);
    world.peers[publisher].accept(&answer);
    world.run(Duration::from_secs(3));
    assert_eq!(send_ten(&mut world, publisher, 200), 10);
    let hosted = &world.sessions[publisher];
    assert_eq!(hosted.session.counters().ice_restarts, 1);
    assert_eq!(hosted.closed, None);
}

#[test]
fn an_offer_with_the_same_name_restarts_nothing() {
    let mut world = World::new(3, Network::GOOD);
    let publisher = publisher(&mut world);
    world.peers[publisher].wish(MediaKind::Audio, Direction::SendOnly);
    let offer = world.peers[publisher].offer();
    let credentials = world.chance.credentials("s7");
    let now = world.now;
    let session = &mut world.sessions[publisher].session;
    let own = session.credentials().clone();
    let answer = session.offer(now, &offer, &credentials).expect("answered");
    assert_eq!(session.credentials(), &own);
    world.peers[publisher].accept(&answer);
    world.run(Duration::from_millis(200));
    let kinds: Vec<Kind> =
        world.sessions[publisher].tracks.iter().map(|track| track.kind).collect();
    assert_eq!(kinds, [Kind::Video, Kind::Audio], "a track was added");
    assert_eq!(send_ten(&mut world, publisher, 100), 10);
    let mid = world.peers[publisher].mids[1];
    let offer = world.peers[publisher].offer_direction(mid, Direction::Inactive);
    let now = world.now;
    let answer = world.sessions[publisher].session.offer(now, &offer, &credentials);
    world.peers[publisher].accept(&answer.expect("answered"));
    world.run(Duration::from_millis(200));
    assert_eq!(world.sessions[publisher].tracks.len(), 1, "and taken away");
    assert_eq!(world.sessions[publisher].ended.len(), 1);
    assert_eq!(send_ten(&mut world, publisher, 200), 10);
}

#[test]
fn a_patch_restarts_ice_and_its_candidates_are_passed_over() {
    let mut world = World::new(4, Network::GOOD);
    let publisher = publisher(&mut world);
    let credentials = world.chance.credentials("s5");
    let now = world.now;
    let session = &mut world.sessions[publisher].session;
    let trickle = "a=candidate:1 1 udp 1 192.0.2.7 1 typ host\r\n";
    let trickle = Fragment::read(trickle, &Limits::default()).expect("a fragment");
    assert_eq!(session.patch(now, &trickle, &credentials), Ok(None));
    assert_eq!(session.counters().candidates_passed_over, 1);
    let restart = "a=ice-ufrag:Anew\r\na=ice-pwd:0123456789012345678901\r\n";
    let restart = Fragment::read(restart, &Limits::default()).expect("a fragment");
    let answer = session.patch(now, &restart, &credentials).expect("taken").expect("a restart");
    let answer = Fragment::read(&answer, &Limits::default()).expect("a fragment");
    assert_eq!(answer.ufrag.as_deref(), Some(credentials.ufrag()));
    assert_eq!(answer.candidate_count, 1);
    assert_eq!(session.credentials(), &credentials);
    // The peer takes part by the names alone, as a browser does that was handed the fragment.
    let peer = &mut world.peers[publisher].rtc;
    let mut direct = peer.direct_api();
    let creds =
        |ufrag: &str, pass: &str| str0m::IceCreds { ufrag: ufrag.into(), pass: pass.into() };
    direct.set_local_ice_credentials(creds("Anew", "0123456789012345678901"));
    direct.set_remote_ice_credentials(creds(credentials.ufrag(), credentials.password()));
    assert_eq!(send_ten(&mut world, publisher, 300), 10);
    world.run(Duration::from_secs(3));
    assert_eq!(send_ten(&mut world, publisher, 400), 10);
    assert_eq!(world.sessions[publisher].closed, None);
}

#[test]
fn messages_pass_both_ways_and_long_ones_are_refused() {
    let mut world = World::new(5, Network::BAD);
    let both = world.join(Role::Both, |peer| {
        peer.wish(MediaKind::Video, Direction::SendRecv);
        peer.wish_channel();
    });
    world.until_connected();
    world.until(|world| !world.sessions[both].channels.is_empty());
    world.until(|world| !world.peers[both].channels.is_empty());
    world.peers[both].write_message("how do you do");
    world.until(|world| !world.sessions[both].messages.is_empty());
    let hosted = &mut world.sessions[both];
    assert_eq!(hosted.messages[0], (true, b"how do you do".to_vec()));
    let (channel, label) = hosted.channels[0].clone();
    assert_eq!(label, "chat");
    let now = world.now;
    hosted.session.send_message(now, channel, true, b"well").expect("taken");
    let long = vec![0; Limits::default().message_bytes_max as usize + 1];
    assert!(hosted.session.send_message(now, channel, false, &long).is_err());
    world.until(|world| !world.peers[both].messages.is_empty());
    assert_eq!(world.peers[both].messages[0], b"well");
}

#[test]
fn goodbyes_are_heard_from_either_side() {
    let mut world = World::new(6, Network::GOOD);
    let (ours, theirs) = (publisher(&mut world), publisher(&mut world));
    let now = world.now;
    world.sessions[ours].session.close(now);
    world.peers[theirs].rtc.close().expect("closed");
    world.run(Duration::from_secs(1));
    assert!(world.peers[ours].is_closed);
    assert_eq!(world.sessions[ours].closed, Some(CloseCause::Local));
    assert_eq!(world.sessions[theirs].closed, Some(CloseCause::Remote));
    assert!(world.sessions.iter().all(|hosted| hosted.session.deadline().is_none()));
}

#[test]
fn one_who_never_comes_and_one_who_is_gone_are_given_up() {
    let mut world = World::new(7, Network::GOOD);
    let gone = publisher(&mut world);
    world.network.loss = 1_000;
    let never = world.join(Role::View, |peer| peer.wish(MediaKind::Video, Direction::RecvOnly));
    world.run(Duration::from_secs(90));
    assert_eq!(world.sessions[never].closed, Some(CloseCause::NotConnected));
    assert_eq!(world.sessions[gone].closed, Some(CloseCause::Lost));
    assert_eq!(world.sessions[gone].disconnected, 1);
}

#[test]
fn what_strangers_send_ends_nothing() {
    let mut world = World::new(8, Network::GOOD);
    let publisher = publisher(&mut world);
    let now = world.now;
    for first in 0..=255u8 {
        for length in [1usize, 2, 3, 12, 20, 40, 200, 1_500] {
            let mut bytes: Vec<u8> = (0..length).map(|_| world.chance.next() as u8).collect();
            bytes[0] = first;
            // From a stranger's address, and from the publisher's own.
            for source in [address("203.0.113.66:6666"), world.peers[publisher].address()] {
                let destination = address(world::SERVER);
                let transport = Transport::Udp;
                let input = Input::Datagram { source, destination, transport, bytes: &bytes };
                world.sessions[publisher].session.handle(now, input);
            }
        }
    }
    assert!(world.sessions[publisher].session.counters().datagrams_refused > 1_000);
    assert_eq!(send_ten(&mut world, publisher, 100), 10);
    assert_eq!(world.sessions[publisher].session.counters().panics, 0);
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut world = World::new(9, Network::GOOD);
    let publisher = publisher(&mut world);
    send_ten(&mut world, publisher, 100);
    let packet = world.sessions[publisher].packets[0].1.clone();
    let viewer = world.join(Role::View, |peer| peer.wish(MediaKind::Audio, Direction::RecvOnly));
    let now = world.now;
    let track = world.sessions[viewer].outgoing();
    let send = |world: &mut World, track| {
        let session = &mut world.sessions[viewer].session;
        session.send(now, track, &packet, &Projected::unchanged(&packet))
    };
    assert_eq!(send(&mut world, track), Err(SendError::NotConnected));
    world.until_connected();
    assert_eq!(send(&mut world, track), Err(SendError::NoCodec));
    assert_eq!(send(&mut world, media_rtc::TrackId(77)), Err(SendError::NoTrack));
    assert_eq!(world.sessions[viewer].session.counters().packets_unsent, 3);
}

#[test]
fn what_is_no_offer_is_refused() {
    let mut world = World::new(10, Network::GOOD);
    let credentials = world.chance.credentials("s0");
    let (now, config) = (world.now, world.config.clone());
    let refused = |text: &str| {
        Session::answer(now, &config, &credentials, Role::View, text).map(|_| ()).expect_err(text)
    };
    assert!(matches!(refused(""), OfferError::Malformed(_)));
    assert!(matches!(
        refused("v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:x\r\n"),
        OfferError::Malformed(_)
    ));
    let mut peer = world::peer::Peer::new(now, 0, true);
    peer.wish(MediaKind::Video, Direction::RecvOnly);
    let offer = peer.offer();
    let without = offer.replace("a=fingerprint", "a=nothing");
    assert!(matches!(refused(&without), OfferError::Refused(_)), "no certificate is announced");
    for line in offer.lines() {
        // Whatever line is missing: an answer or an error.
        let text = offer.replacen(&format!("{line}\r\n"), "", 1);
        let _ = Session::answer(now, &config, &credentials, Role::View, &text);
    }
}
