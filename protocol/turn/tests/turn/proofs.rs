//! Who is let in, and what the others hear.

use crate::lab::{Answer, Lab, REALM, UNIX_S, User, address, config, udp, udp_transport};
use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Integrity, Key, Method, PasswordAlgorithm,
    TransactionId,
};
use protocol_turn::{
    Config, ConfigError, Credentials, DropCause, Input, Limits, Rate, Server, timed_credential,
};
use std::time::Duration;

#[test]
fn nobody_gets_in_with_a_wrong_name_password_or_realm() {
    for (name, password) in [("anna", "word"), ("nobody", "secret"), ("anna ", "secret")] {
        let mut lab = Lab::usual();
        let mut user = User::new(name, password, udp("198.51.100.1:1"));
        let answer = user.allocate(&mut lab);
        assert_eq!(answer.code(), Some(ErrorCode::UNAUTHENTICATED), "{name}");
        assert!(answer.find(AttributeKind::NONCE).is_some());
        assert_eq!(lab.turn.counters().failed_proofs, 1);
        assert_eq!(lab.turn.allocation_count(), 0);
    }
    let mut lab = Lab::new(Config { realm: "elsewhere".into(), ..config() }, Limits::default());
    let mut anna = User::anna();
    let mut nonces = User::anna();
    let mut buffer = [0; 64];
    let mut builder =
        Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId::default());
    let used = udp_transport(&mut builder).finish().expect("room");
    lab.client_sends(anna.client, &buffer[..used]);
    let challenge = Answer(lab.to_clients.pop().expect("a challenge").1);
    nonces.nonce = challenge.find(AttributeKind::NONCE).expect("a nonce");
    anna.nonce.clone_from(&nonces.nonce);
    assert_eq!(anna.allocate(&mut lab).code(), Some(ErrorCode::UNAUTHENTICATED));
}

#[test]
fn a_nonce_serves_one_client_for_its_time() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.fetch_nonce(&mut lab);
    let request = |user: &mut User| {
        user.request(Method::ALLOCATE, |builder| {
            udp_transport(builder);
        })
    };
    let mut thief = User { client: udp("198.51.100.1:4001"), ..anna.clone() };
    let bytes = request(&mut thief);
    let answer = thief.send(&mut lab, &bytes);
    assert_eq!(answer.code(), Some(ErrorCode::STALE_NONCE), "another port");
    for at in [0, 9, 13, 20, anna.nonce.len() - 1] {
        let mut forger = anna.clone();
        forger.nonce[at] = if forger.nonce[at] == b'B' { b'C' } else { b'B' };
        let bytes = request(&mut forger);
        assert_eq!(forger.send(&mut lab, &bytes).code(), Some(ErrorCode::STALE_NONCE), "{at}");
    }
    lab.pass(Duration::from_secs(3599));
    let bytes = request(&mut anna);
    assert!(anna.send(&mut lab, &bytes).is_success());
    lab.pass(Duration::from_secs(1));
    let bytes = request(&mut anna);
    assert_eq!(anna.send(&mut lab, &bytes).code(), Some(ErrorCode::STALE_NONCE));
    assert!(anna.refresh(&mut lab, 600).is_success(), "with the new nonce");
}

#[test]
fn sha256_and_hidden_names() {
    for hides_name in [false, true] {
        for algorithm in [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5] {
            let mut lab = Lab::usual();
            let mut anna = User { algorithm: Some(algorithm), hides_name, ..User::anna() };
            let answer = anna.allocate(&mut lab);
            assert!(answer.is_success(), "{algorithm:?} {hides_name}");
            assert!(answer.message().is_from(&anna.key(), Integrity::Sha256));
            assert!(anna.permit(&mut lab, &[address("192.0.2.1:1")]).is_success());
            assert_eq!(lab.turn.allocations(lab.now).next().map(|it| it.user), Some("anna"));
        }
    }
}

type Given<'a> = (AttributeKind, &'a [u8]);

#[test]
fn what_does_not_belong_together_is_a_bad_request() {
    let full: &[(AttributeKind, &[u8])] = &[
        (AttributeKind::USERNAME, b"anna"),
        (AttributeKind::REALM, REALM.as_bytes()),
        (AttributeKind::NONCE, b""),
    ];
    let without = |kind| full.iter().copied().filter(|(each, _)| *each != kind).collect();
    let with = |more: &[(AttributeKind, &'static [u8])]| [full, more].concat();
    let cases: Vec<(&str, Vec<Given<'_>>)> = vec![
        ("no name", without(AttributeKind::USERNAME)),
        ("no realm", without(AttributeKind::REALM)),
        ("no nonce", without(AttributeKind::NONCE)),
        ("an algorithm alone", with(&[(AttributeKind::PASSWORD_ALGORITHM, &[0, 2, 0, 0])])),
        ("algorithms alone", with(&[(AttributeKind::PASSWORD_ALGORITHMS, &[0, 1, 0, 0])])),
        (
            "a weaker offer than ours",
            with(&[
                (AttributeKind::PASSWORD_ALGORITHMS, &[0, 1, 0, 0]),
                (AttributeKind::PASSWORD_ALGORITHM, &[0, 1, 0, 0]),
            ]),
        ),
        (
            "an algorithm that nobody knows",
            with(&[
                (AttributeKind::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]),
                (AttributeKind::PASSWORD_ALGORITHM, &[0, 3, 0, 0]),
            ]),
        ),
    ];
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.fetch_nonce(&mut lab);
    let mut ask = |attributes: &[(AttributeKind, &[u8])]| {
        let mut buffer = [0; 512];
        let id = TransactionId::default();
        let mut builder = Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
        for (kind, value) in attributes {
            let is_nonce = *kind == AttributeKind::NONCE;
            builder.attribute(*kind, if is_nonce { &anna.nonce } else { value });
        }
        udp_transport(&mut builder);
        let used = builder.integrity(Integrity::Sha1, &anna.key()).finish().expect("room");
        anna.send(&mut lab, &buffer[..used]).code().map(ErrorCode::number)
    };
    for (what, attributes) in &cases {
        assert_eq!(ask(attributes), Some(400), "{what}");
    }
    for name in [&b"an\r\nna"[..], b"an\0na", b"\xFF", b"", &[b'a'; 400].map(|_| 0x7F)] {
        let mut attributes = full.to_vec();
        attributes[0].1 = name;
        assert_eq!(ask(&attributes), Some(400), "{name:?}");
    }
    assert_eq!(ask(full), None);
}

#[test]
fn what_stands_behind_the_integrity_is_not_asked_for() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let mut request = anna.request(Method::REFRESH, |builder| {
        builder.u32(AttributeKind::LIFETIME, 700);
    });
    request.extend_from_slice(&[0, 0x0D, 0, 4, 0, 0, 0, 0]);
    let length = (request.len() - 20) as u16;
    request[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(anna.send(&mut lab, &request).lifetime_s(), Some(700));
    assert_eq!(lab.turn.allocation_count(), 1);
}

#[test]
fn another_user_cannot_use_an_allocation() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let mut ben = User::new("ben", "word", anna.client);
    ben.nonce.clone_from(&anna.nonce);
    let peer = address("192.0.2.1:1");
    assert_eq!(ben.refresh(&mut lab, 0).code(), Some(ErrorCode::WRONG_CREDENTIALS));
    assert_eq!(ben.permit(&mut lab, &[peer]).code(), Some(ErrorCode::WRONG_CREDENTIALS));
    assert_eq!(ben.bind(&mut lab, 0x4000, peer).code(), Some(ErrorCode::WRONG_CREDENTIALS));
    assert_eq!(ben.allocate(&mut lab).code(), Some(ErrorCode::ALLOCATION_MISMATCH));
}

#[test]
fn timed_names_of_every_secret_until_their_time() {
    let credentials = Credentials::new().with_secret(b"old").with_secret(b"new");
    let mut lab = Lab::new(Config::new(REALM, credentials), Limits::default());
    let user = |secret: &[u8], expiry, from| {
        let (name, password) = timed_credential(secret, "carla", expiry);
        User::new(&name, &password, udp(from))
    };
    let mut old = user(b"old", UNIX_S + 60, "198.51.100.1:1");
    let mut new = user(b"new", UNIX_S + 60, "198.51.100.1:2");
    assert!(old.allocate(&mut lab).is_success() && new.allocate(&mut lab).is_success());
    let mut wrong = user(b"none", UNIX_S + 60, "198.51.100.1:3");
    assert_eq!(wrong.allocate(&mut lab).code(), Some(ErrorCode::UNAUTHENTICATED));
    lab.pass(Duration::from_secs(61));
    let mut late = user(b"new", UNIX_S + 60, "198.51.100.1:4");
    assert_eq!(late.allocate(&mut lab).code(), Some(ErrorCode::UNAUTHENTICATED));
    assert!(new.refresh(&mut lab, 600).is_success(), "a call is not ended by its name's time");
    lab.tell(Input::WallClock { unix_s: UNIX_S });
    assert!(late.allocate(&mut lab).is_success(), "the clock was set back");
}

#[test]
fn when_the_configuration_changes_calls_go_on() {
    let mut lab = Lab::usual();
    let mut anna = User::anna();
    anna.allocate(&mut lab);
    let only_ben = Config::new(REALM, Credentials::new().with_user("ben", "word"));
    lab.turn.configure(only_ben).expect("a configuration");
    assert!(anna.refresh(&mut lab, 600).is_success());
    assert!(anna.refresh(&mut lab, 0).is_success());
    assert_eq!(anna.allocate(&mut lab).code(), Some(ErrorCode::UNAUTHENTICATED));
}

#[test]
fn there_is_no_server_without_credentials() {
    let lab = Lab::usual();
    let start = |config: Config| {
        Server::new(config, Limits::default(), [0; 32], lab.now, UNIX_S).map(|_| ())
    };
    let nobody = Config::new(REALM, Credentials::new());
    assert_eq!(start(nobody), Err(ConfigError::NobodyMayAllocate));
    for realm in ["", "a\nb", "twenty-nine letters is too long"] {
        assert_eq!(start(Config { realm: realm.into(), ..config() }), Err(ConfigError::Realm));
    }
    assert_eq!(start(Config { families: vec![], ..config() }), Err(ConfigError::NoFamily));
}

#[test]
fn strangers_are_answered_so_often_and_not_more() {
    let rate = Rate { per_s: 2, burst: 5 };
    let mut lab = Lab::new(config(), Limits { unproven_rate: rate, ..Limits::default() });
    let mut buffer = [0; 64];
    let id = TransactionId::default();
    let used = Builder::new(&mut buffer, Class::Request, Method::BINDING, id).finish().unwrap();
    for port in 1..100 {
        lab.client_sends(udp(&format!("198.51.100.1:{port}")), &buffer[..used]);
    }
    assert_eq!(lab.to_clients.len(), 5);
    assert_eq!(lab.turn.counters().dropped(DropCause::Unproven), 94);
    lab.client_sends(udp("198.51.100.2:1"), &buffer[..used]);
    assert_eq!(lab.to_clients.len(), 6, "another source");
    lab.pass(Duration::from_secs(1));
    for _ in 0..10 {
        lab.client_sends(udp("198.51.100.1:1"), &buffer[..used]);
    }
    assert_eq!(lab.to_clients.len(), 8);
}

#[test]
fn no_answer_to_a_stranger_is_over_four_times_its_question() {
    for method in [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::CHANNEL_BIND] {
        for extra in 0..20 {
            let realm = "a-realm-of-twenty-eight-bytes";
            let config = Config { realm: realm[..28].into(), ..config() };
            let mut lab = Lab::new(config, Limits::default());
            let mut buffer = [0; 512];
            let id = TransactionId::default();
            let mut builder = Builder::new(&mut buffer, Class::Request, method, id);
            for _ in 0..extra {
                builder.attribute(AttributeKind(0x7001), &[]);
            }
            if extra % 2 == 1 {
                builder.integrity(Integrity::Sha1, &Key::hashed(b"x")).fingerprint();
            }
            let used = builder.finish().expect("room");
            lab.client_sends(udp("[2001:db8::1]:1"), &buffer[..used]);
            assert_eq!(lab.to_clients.len(), 1, "{method:?} {extra}: everybody gets an answer");
            assert!(lab.to_clients[0].1.len() <= 4 * used, "{method:?} {extra}");
        }
    }
}

#[test]
fn a_wrong_fingerprint_is_dropped() {
    let mut lab = Lab::usual();
    let mut buffer = [0; 64];
    let id = TransactionId::default();
    let mut builder = Builder::new(&mut buffer, Class::Request, Method::BINDING, id);
    let used = builder.fingerprint().finish().expect("room");
    buffer[used - 1] ^= 1;
    lab.client_sends(udp("198.51.100.1:1"), &buffer[..used]);
    assert!(lab.to_clients.is_empty());
    assert_eq!(lab.turn.counters().dropped(DropCause::Malformed), 1);
}
