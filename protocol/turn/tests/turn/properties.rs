//! What holds in every order of events: an oracle that only knows what was granted judges every
//! datagram that reaches a peer.

use crate::lab::{Lab, User, address, send_indication, udp};
use proptest::prelude::*;
use protocol_stun::{AttributeKind, ChannelData, Message};
use protocol_turn::{AllocationId, End, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The last two are closed.
const PEERS: [&str; 5] =
    ["192.0.2.1:5000", "192.0.2.1:5001", "192.0.2.2:5000", "10.0.0.1:5000", "127.0.0.1:3478"];

#[derive(Clone, Debug)]
enum Event {
    Allocate(usize),
    Refresh(usize, u32),
    Permit(usize, usize),
    Bind(usize, u16, usize),
    Send(usize, usize),
    ChannelData(usize, u16),
    FromPeer(usize, usize),
    Kill(usize),
    Pass(u64),
    /// Bytes of chance, or a request with one byte changed.
    Noise(usize, Vec<u8>),
    Changed(usize, usize, u8),
}

fn event() -> impl Strategy<Value = Event> {
    let user = 0..3_usize;
    let peer = 0..PEERS.len();
    let channel = 0x4000..0x4003_u16;
    prop_oneof![
        user.clone().prop_map(Event::Allocate),
        (user.clone(), prop::sample::select(vec![0, 600, 1200]))
            .prop_map(|(u, s)| Event::Refresh(u, s)),
        (user.clone(), peer.clone()).prop_map(|(u, p)| Event::Permit(u, p)),
        (user.clone(), channel.clone(), peer.clone()).prop_map(|(u, c, p)| Event::Bind(u, c, p)),
        (user.clone(), peer.clone()).prop_map(|(u, p)| Event::Send(u, p)),
        (user.clone(), peer.clone()).prop_map(|(u, p)| Event::Send(u, p)),
        (user.clone(), channel.clone()).prop_map(|(u, c)| Event::ChannelData(u, c)),
        (user.clone(), channel).prop_map(|(u, c)| Event::ChannelData(u, c)),
        (user.clone(), peer).prop_map(|(u, p)| Event::FromPeer(u, p)),
        user.clone().prop_map(Event::Kill),
        prop::sample::select(vec![1, 60, 150, 299, 300, 599]).prop_map(Event::Pass),
        (user.clone(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(u, b)| Event::Noise(u, b)),
        (user, any::<usize>(), 1..=255_u8).prop_map(|(u, a, b)| Event::Changed(u, a, b)),
    ]
}

/// Who was granted what, until when, by the answers alone.
#[derive(Default)]
struct Oracle {
    permissions: BTreeMap<(AllocationId, IpAddr), Instant>,
    channels: BTreeMap<(AllocationId, u16), (SocketAddr, Instant)>,
}

fn users() -> Vec<User> {
    let from = |port: u16| udp(&format!("198.51.100.1:{port}"));
    vec![
        User::new("anna", "secret", from(1)),
        User::new("anna", "secret", from(2)),
        User::new("ben", "word", from(3)),
    ]
}

fn id_of(lab: &Lab, user: &User) -> Option<AllocationId> {
    let mut all = lab.turn.allocations(lab.now);
    all.find(|each| each.client == user.client).map(|each| each.allocation)
}

/// Lets an event happen, and tells the oracle what was granted.
fn happen(lab: &mut Lab, users: &mut [User], oracle: &mut Oracle, event: &Event) {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    match event {
        Event::Allocate(user) => drop(users[*user].allocate(lab)),
        Event::Refresh(user, lifetime_s) => drop(users[*user].refresh(lab, *lifetime_s)),
        Event::Permit(user, peer) => {
            let peer = address(PEERS[*peer]);
            if users[*user].permit(lab, &[peer]).is_success() {
                let id = id_of(lab, &users[*user]).expect("it was permitted");
                oracle.permissions.insert((id, peer.ip()), lab.now + minutes(5));
            }
        }
        Event::Bind(user, number, peer) => {
            let peer = address(PEERS[*peer]);
            if users[*user].bind(lab, *number, peer).is_success() {
                let id = id_of(lab, &users[*user]).expect("it was bound");
                oracle.permissions.insert((id, peer.ip()), lab.now + minutes(5));
                oracle.channels.insert((id, *number), (peer, lab.now + minutes(10)));
            }
        }
        Event::Send(user, peer) => {
            lab.client_sends(users[*user].client, &send_indication(address(PEERS[*peer]), b"data"));
        }
        Event::ChannelData(user, number) => {
            let bytes = [&ChannelData::header(*number, 4)[..], b"data"].concat();
            lab.client_sends(users[*user].client, &bytes);
        }
        Event::FromPeer(user, peer) => {
            let Some(id) = id_of(lab, &users[*user]) else { return };
            lab.peer_sends(id, address(PEERS[*peer]), b"data", (48, 3));
        }
        Event::Kill(user) => {
            let Some(allocation) = id_of(lab, &users[*user]) else { return };
            lab.tell(Input::Kill { allocation });
        }
        Event::Pass(seconds) => lab.pass(Duration::from_secs(*seconds)),
        Event::Noise(user, bytes) => {
            // Not a channel's number: chance could hit one that is bound.
            let mut bytes = bytes.clone();
            bytes.iter_mut().take(1).for_each(|first| *first &= 0xBF);
            lab.client_sends(users[*user].client, &bytes);
        }
        Event::Changed(user, at, bits) => {
            let user = &mut users[*user];
            let mut bytes = user.request(protocol_stun::Method::CREATE_PERMISSION, |builder| {
                builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, address(PEERS[0]));
            });
            let at = at % bytes.len();
            bytes[at] ^= bits;
            lab.client_sends(user.client, &bytes);
        }
    }
}

fn is_granted(oracle: &Oracle, lab: &Lab, id: AllocationId, ip: IpAddr) -> bool {
    oracle.permissions.get(&(id, ip)).is_some_and(|until| lab.now < *until)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    })]

    #[test]
    fn nothing_reaches_a_peer_without_a_permission(
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut lab = Lab::usual();
        let mut users = users();
        let mut oracle = Oracle::default();
        for event in &events {
            happen(&mut lab, &mut users, &mut oracle, event);
            let expected = match event {
                Event::Send(user, peer) => {
                    id_of(&lab, &users[*user]).map(|id| (id, address(PEERS[*peer])))
                }
                Event::ChannelData(user, number) => id_of(&lab, &users[*user]).and_then(|id| {
                    let (peer, until) = oracle.channels.get(&(id, *number))?;
                    (lab.now < *until).then_some((id, *peer))
                }),
                _ => None,
            };
            // Exactly what was granted: not more, and not less.
            let granted = expected.filter(|(id, peer)| is_granted(&oracle, &lab, *id, peer.ip()));
            let wanted = granted.map(|(id, peer)| (id, peer, b"data".to_vec()));
            let wanted: Vec<_> = wanted.into_iter().collect();
            let closed = PEERS[3..].iter().map(|each| address(each)).collect::<Vec<_>>();
            prop_assert!(wanted.iter().all(|(_, peer, _)| !closed.contains(peer)), "a hole");
            prop_assert_eq!(std::mem::take(&mut lab.to_peers), wanted, "{:?}", event);
            if let Event::FromPeer(user, peer) = event {
                let granted = id_of(&lab, &users[*user])
                    .is_some_and(|id| is_granted(&oracle, &lab, id, address(PEERS[*peer]).ip()));
                prop_assert_eq!(!lab.to_clients.is_empty(), granted);
            }
            lab.to_clients.clear();
        }
        lab.pass(Duration::from_secs(4000));
        let begun: BTreeSet<_> = lab.binds.iter().map(|bind| bind.allocation).collect();
        let ended: Vec<_> = lab.releases.iter().map(|release| release.allocation).collect();
        prop_assert_eq!(begun.len(), ended.len(), "each begins once and ends once");
        prop_assert_eq!(begun, ended.into_iter().collect());
        prop_assert!(lab.releases.iter().all(|release| release.end != End::Unbound));
        prop_assert_eq!(lab.turn.deadline(), None);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(events in prop::collection::vec(event(), 0..30)) {
        let run = || {
            let mut lab = Lab::usual();
            let (mut users, mut oracle) = (users(), Oracle::default());
            for event in &events {
                happen(&mut lab, &mut users, &mut oracle, event);
            }
            (lab.to_clients, lab.to_peers, lab.binds)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn no_bytes_of_anybody_make_it_panic(
        inputs in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..120)),
            0..20,
        ),
    ) {
        let mut lab = Lab::usual();
        let mut anna = User::anna();
        anna.allocate(&mut lab);
        anna.permit(&mut lab, &[address(PEERS[0])]);
        let id = lab.allocation(anna.client);
        for (is_message, bytes) in &inputs {
            let attributes = &bytes[..bytes.len() & !3];
            let length = (attributes.len() as u16).to_be_bytes();
            let header = [&[0, 0x16][..], &length, &[0x21, 0x12, 0xA4, 0x42], &[1; 12]].concat();
            let message = [&header[..], attributes].concat();
            let bytes = if *is_message { &message } else { bytes };
            let is_proven = Message::decode(bytes).is_ok();
            lab.client_sends(anna.client, bytes);
            for (_, answer) in lab.to_clients.drain(..) {
                prop_assert!(is_proven && answer.len() <= 4 * bytes.len());
            }
            lab.peer_sends(id, address(PEERS[0]), bytes, (bytes.len() % 50, bytes.len() % 4));
            lab.to_clients.clear();
        }
    }
}
