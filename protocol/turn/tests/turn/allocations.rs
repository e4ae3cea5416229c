//! How allocations come, stay and go.

use crate::lab::{Lab, User, address, config, udp, udp_transport};
use protocol_stun::{AttributeKind, ErrorCode, Family, Method};
use protocol_turn::{
    Client, DropCause, End, Input, Limits, Output, Port, Transport, timed_credential,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_allocation_is_made_and_told() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let answer = anna.allocate(&mut lab);
    assert!(answer.is_success());
    assert_eq!(answer.relayed(), [address("203.0.113.1:50002")]);
    let mapped = answer.message().xor_address(AttributeKind::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Ok(Some(anna.client.address)));
    assert_eq!(answer.lifetime_s(), Some(600));
    assert_eq!(lab.turn.counters().allocations, 1);
}

#[test]
fn an_allocation_ends_to_the_second() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    assert_eq!(lab.turn.deadline(), Some(lab.now + 600 * SECOND));
    lab.pass(600 * SECOND - Duration::from_nanos(1));
    assert_eq!(lab.turn.allocation_count(), 1);
    assert_eq!(anna.refresh(&mut lab, 1000).lifetime_s(), Some(1000));
    lab.pass(999 * SECOND);
    assert_eq!(lab.turn.allocation_count(), 1);
    lab.pass(SECOND);
    assert_eq!(lab.turn.allocation_count(), 0);
    assert_eq!((lab.releases.len(), lab.releases[0].end), (1, End::Expired));
    assert_eq!(lab.releases[0].user, "anna");
    assert_eq!(lab.turn.deadline(), None);
    assert_eq!(anna.refresh(&mut lab, 600).code(), Some(ErrorCode::ALLOCATION_MISMATCH));
}

#[test]
fn lifetimes_stay_between_default_and_limit() {
    for (asked, granted) in [(0, 600), (1, 600), (601, 601), (3600, 3600), (u32::MAX, 3600)] {
        let mut lab = Lab::usual();
        let answer = User::anna().ask(&mut lab, Method::ALLOCATE, |builder| {
            udp_transport(builder).u32(AttributeKind::LIFETIME, asked);
        });
        assert_eq!(answer.lifetime_s(), Some(granted), "{asked}");
    }
}

#[test]
fn a_returned_allocation_is_gone_and_can_be_made_again() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    assert_eq!(anna.refresh(&mut lab, 0).lifetime_s(), Some(0));
    assert_eq!(lab.releases[0].end, End::Returned);
    assert_eq!(anna.refresh(&mut lab, 0).code(), Some(ErrorCode::ALLOCATION_MISMATCH));
    assert!(anna.allocate(&mut lab).is_success());
    let ids: Vec<_> = lab.binds.iter().map(|bind| bind.allocation).collect();
    assert_ne!(ids[0], ids[1]);
    lab.tell(Input::Kill { allocation: ids[0] });
    assert_eq!(lab.turn.allocation_count(), 1, "the old name is nobody's");
    lab.tell(Input::Kill { allocation: ids[1] });
    assert_eq!(lab.releases[1].end, End::Killed);
}

#[test]
fn a_repeated_allocate_gets_the_same_answer_and_another_gets_437() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.fetch_nonce(&mut lab);
    let request = anna.request(Method::ALLOCATE, |builder| {
        udp_transport(builder);
    });
    let first = anna.send(&mut lab, &request);
    lab.pass(SECOND);
    let second = anna.send(&mut lab, &request);
    assert!(first.is_success());
    assert_eq!(first.0, second.0);
    assert_eq!(lab.binds.len(), 1);
    assert_eq!(anna.allocate(&mut lab).code(), Some(ErrorCode::ALLOCATION_MISMATCH));
}

#[test]
fn an_allocate_that_is_repeated_while_it_is_worked_on_is_answered_once() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.fetch_nonce(&mut lab);
    let bytes = anna.request(Method::ALLOCATE, |builder| {
        udp_transport(builder);
    });
    let client = anna.client;
    lab.turn.handle(lab.now, Input::FromClient { client, bytes: &bytes });
    let Some(Output::Bind(bind)) = lab.turn.poll() else { panic!("an address is to be opened") };
    assert_eq!(lab.turn.poll(), None);
    lab.turn.handle(lab.now, Input::FromClient { client, bytes: &bytes });
    assert_eq!(lab.turn.poll(), None, "neither a second address nor an answer");
    assert_eq!(lab.turn.counters().dropped(DropCause::Repeated), 1);
    let address = Some(address("203.0.113.1:50000"));
    let (allocation, family) = (bind.allocation, bind.family);
    lab.tell(Input::Bound { allocation, family, address });
    assert_eq!(lab.to_clients.len(), 1);
    assert!(anna.send(&mut lab, &bytes).is_success(), "and again, once it is there");
}

#[test]
fn the_same_answer_holds_the_first_lifetime_and_token() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.fetch_nonce(&mut lab);
    let request = anna.request(Method::ALLOCATE, |builder| {
        udp_transport(builder).attribute(AttributeKind::EVEN_PORT, &[0x80]);
        builder.u32(AttributeKind::LIFETIME, 700);
    });
    let first = anna.send(&mut lab, &request);
    assert!(first.find(AttributeKind::RESERVATION_TOKEN).is_some());
    assert!(anna.refresh(&mut lab, 900).is_success());
    assert_eq!(anna.send(&mut lab, &request).0, first.0);
    assert_eq!(lab.binds.len(), 1);
    // With another's name and the same transaction it is another question.
    let mut ben = User { next_id: 0, ..User::new("ben", "word", anna.client) };
    ben.nonce.clone_from(&anna.nonce);
    let forged = ben.request(Method::ALLOCATE, |builder| {
        udp_transport(builder);
    });
    assert_eq!(ben.send(&mut lab, &forged).code(), Some(ErrorCode::ALLOCATION_MISMATCH));
}

#[test]
fn a_stream_takes_its_allocation_along() {
    let mut lab = Lab::usual();
    let client = Client { transport: Transport::Stream, ..udp("198.51.100.1:4000") };
    let mut anna = User::new("anna", "secret", client);
    assert!(anna.allocate(&mut lab).is_success());
    lab.tell(Input::Closed { client: udp("198.51.100.1:4000") });
    assert_eq!(lab.turn.allocation_count(), 1, "another transport is another client");
    lab.tell(Input::Closed { client });
    assert_eq!(lab.releases[0].end, End::Closed);
}

#[test]
fn both_families_in_one_allocation() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let both = |builder: &mut protocol_stun::Builder<'_>| {
        udp_transport(builder).family(AttributeKind::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
    };
    let answer = anna.ask(&mut lab, Method::ALLOCATE, both);
    let relayed = [address("203.0.113.1:50002"), address("[2001:db8:ffff::1]:50004")];
    assert_eq!(answer.relayed(), relayed);
    let answer = anna.ask(&mut lab, Method::REFRESH, |builder| {
        builder.u32(AttributeKind::LIFETIME, 0);
        builder.family(AttributeKind::REQUESTED_ADDRESS_FAMILY, Family::V4);
    });
    assert!(answer.is_success() && lab.releases.is_empty());
    assert_eq!(lab.released_families.len(), 1);
    let peers = [address("192.0.2.1:80")];
    let code = anna.permit(&mut lab, &peers).code();
    assert_eq!(code, Some(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
    assert!(anna.permit(&mut lab, &[address("[2001:db8::1]:80")]).is_success());

    let mut lab = Lab::usual();
    lab.has_addresses = [true, false];
    let answer = User::anna().ask(&mut lab, Method::ALLOCATE, both);
    assert_eq!(answer.relayed(), [address("203.0.113.1:50002")]);
    assert_eq!(answer.find(AttributeKind::ADDRESS_ERROR_CODE), Some(vec![2, 0, 5, 8]));

    let mut config = config();
    config.families = vec![Family::V4];
    let mut lab = Lab::new(config, Limits::default());
    let answer = User::anna().ask(&mut lab, Method::ALLOCATE, both);
    assert_eq!(answer.find(AttributeKind::ADDRESS_ERROR_CODE), Some(vec![2, 0, 4, 40]));
}

#[test]
fn without_an_address_there_is_no_allocation() {
    let mut lab = Lab::usual();
    lab.has_addresses = [false; 2];
    let code = User::anna().allocate(&mut lab).code();
    assert_eq!(code, Some(ErrorCode::INSUFFICIENT_CAPACITY));
    assert_eq!((lab.turn.allocation_count(), lab.releases[0].end), (0, End::Unbound));
}

#[test]
fn an_even_port_keeps_the_next_one_for_the_same_user() {
    let even = |bits: u8| {
        move |builder: &mut protocol_stun::Builder<'_>| {
            udp_transport(builder).attribute(AttributeKind::EVEN_PORT, &[bits]);
        }
    };
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    let answer = anna.ask(&mut lab, Method::ALLOCATE, even(0x80));
    let token = answer.find(AttributeKind::RESERVATION_TOKEN).expect("a token");
    let Port::EvenAndNext(kept) = lab.binds[0].port else { panic!("{:?}", lab.binds[0]) };

    let claim = |builder: &mut protocol_stun::Builder<'_>| {
        udp_transport(builder).attribute(AttributeKind::RESERVATION_TOKEN, &token);
    };
    let mut thief = User::new("ben", "word", udp("198.51.100.9:1"));
    let code = thief.ask(&mut lab, Method::ALLOCATE, claim).code();
    assert_eq!(code, Some(ErrorCode::INSUFFICIENT_CAPACITY));
    let mut second = User::new("anna", "secret", udp("198.51.100.1:4001"));
    assert!(second.ask(&mut lab, Method::ALLOCATE, claim).is_success());
    assert_eq!(lab.binds[1].port, Port::Reserved(kept));
    let mut third = User::new("anna", "secret", udp("198.51.100.1:4002"));
    let code = third.ask(&mut lab, Method::ALLOCATE, claim).code();
    assert_eq!(code, Some(ErrorCode::INSUFFICIENT_CAPACITY));

    assert!(third.ask(&mut lab, Method::ALLOCATE, even(0)).is_success());
    assert_eq!(lab.binds[2].port, Port::Even);
    let mut fourth = User::new("anna", "secret", udp("198.51.100.1:4003"));
    fourth.ask(&mut lab, Method::ALLOCATE, even(0x80));
    lab.pass(30 * SECOND);
    assert_eq!(lab.forgotten.len(), 1, "nobody came for it");
}

#[test]
fn quotas_hold_and_are_given_back() {
    let limits = Limits {
        user_allocation_count_max: 2,
        address_allocation_count_max: 3,
        allocation_count_max: 4,
        ..Limits::default()
    };
    let mut lab = Lab::new(config(), limits);
    let mut ask = |name: &str, password: &str, from: &str| {
        let mut user = User::new(name, password, udp(from));
        let answer = user.allocate(&mut lab);
        let refreshed = user.refresh(&mut lab, 600).is_success();
        assert_eq!(answer.is_success(), refreshed);
        answer.code().map(ErrorCode::number)
    };
    assert_eq!(ask("anna", "secret", "198.51.100.1:1"), None);
    assert_eq!(ask("anna", "secret", "198.51.100.1:2"), None);
    assert_eq!(ask("anna", "secret", "198.51.100.1:3"), Some(486), "of the user");
    assert_eq!(ask("ben", "word", "198.51.100.1:4"), None);
    assert_eq!(ask("ben", "word", "198.51.100.1:5"), Some(486), "of the address");
    assert_eq!(ask("ben", "word", "198.51.100.2:1"), None);
    assert_eq!(ask("anna", "secret", "198.51.100.3:1"), Some(486));
    lab.pass(600 * SECOND);
    assert_eq!(lab.turn.allocation_count(), 0);
    let mut lab = Lab::new(config(), Limits { allocation_count_max: 1, ..Limits::default() });
    User::anna().allocate(&mut lab);
    let mut ben = User::new("ben", "word", udp("198.51.100.2:1"));
    assert_eq!(ben.allocate(&mut lab).code(), Some(ErrorCode::INSUFFICIENT_CAPACITY));
    lab.pass(600 * SECOND);
    assert!(ben.allocate(&mut lab).is_success());
}

#[test]
fn a_users_quota_counts_for_all_servers_together() {
    let limits = Limits { user_allocation_count_max: 2, ..Limits::default() };
    let mut config = config();
    config.credentials = config.credentials.with_secret(b"secret");
    let mut labs = [0, 1, 2].map(|index| {
        let mut lab = Lab::new(config.clone(), limits.clone());
        lab.share(index, 3);
        lab
    });
    // What each says is heard by the others, at once.
    fn tell(labs: &mut [Lab; 3]) {
        for from in 0..3 {
            let changes = labs[from].turn.take_user_changes();
            for to in (0..3).filter(|to| *to != from) {
                labs[to].turn.users_changed_elsewhere(&changes);
            }
        }
    }
    let quota = Some(ErrorCode::ALLOCATION_QUOTA_REACHED);
    // However many names he has in time.
    let carla = |port: u64| {
        let (name, password) = timed_credential(b"secret", "carla", crate::lab::UNIX_S + port);
        User::new(&name, &password, udp(&format!("198.51.100.1:{port}")))
    };
    for at in 0..2 {
        assert!(carla(1_000 + at as u64).allocate(&mut labs[at]).is_success());
        tell(&mut labs);
    }
    for lab in &mut labs {
        assert_eq!(carla(2_000).allocate(lab).code(), quota);
        assert!(User::anna().allocate(lab).code() != quota, "another user");
        tell_nobody(lab);
    }
    // One is given back, and another may be had, wherever.
    assert!(carla(1_000).refresh(&mut labs[0], 0).is_success());
    assert_eq!(carla(2_000).allocate(&mut labs[2]).code(), quota, "nobody has said so yet");
    tell(&mut labs);
    assert!(carla(2_001).allocate(&mut labs[2]).is_success());
    tell(&mut labs);
    assert_eq!(carla(2_002).allocate(&mut labs[1]).code(), quota);
    labs[2].pass(600 * SECOND);
    tell(&mut labs);
    assert!(carla(2_003).allocate(&mut labs[0]).is_success());
}

/// Forgets what the others would be told.
fn tell_nobody(lab: &mut Lab) {
    lab.turn.take_user_changes();
}

#[test]
fn a_server_without_others_tells_nobody() {
    let mut lab = Lab::usual();
    assert!(User::anna().allocate(&mut lab).is_success());
    assert_eq!(lab.turn.take_user_changes(), []);
}
