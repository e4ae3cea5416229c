//! What is refused, what is not seen, and what holds for every input.

use proptest::prelude::*;
use protocol_stun::{
    AttributeKind, Builder, ChannelData, Class, ErrorCode, Family, Frame, Full, Icmp, Integrity,
    Key, Malformed, Message, Method, PasswordAlgorithm, Reassembly, Step, TransactionId,
};

fn message_with(attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).expect("short").to_be_bytes();
    [&[0, 1], &length[..], &[0x21, 0x12, 0xA4, 0x42], &[9; 12], attributes].concat()
}

fn decoded(bytes: &[u8]) -> Result<usize, Malformed> {
    Message::decode(bytes).map(|message| message.attributes().count())
}

#[test]
fn what_is_no_message_is_refused_by_its_reason() {
    let good = message_with(&[]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        decoded(&bytes)
    };
    assert_eq!(decoded(&good), Ok(0));
    assert_eq!(decoded(&good[..19]), Err(Malformed::Short));
    assert_eq!(decoded(&[&good[..], &[0]].concat()), Err(Malformed::Long));
    assert_eq!(with(0, 0x40), Err(Malformed::Type));
    assert_eq!(with(0, 0x80), Err(Malformed::Type));
    assert_eq!(with(4, 0x20), Err(Malformed::Cookie));
    assert_eq!(with(3, 2), Err(Malformed::Length));
    assert_eq!(with(3, 4), Err(Malformed::Short));
    let cases: [(&[u8], Result<usize, Malformed>); 5] = [
        (&[0, 6, 0, 0], Ok(1)),
        (&[0, 6, 0, 1], Err(Malformed::Attribute)),
        (&[0, 6, 0, 1, 1, 2, 3, 4], Ok(1)),
        (&[0, 6, 0xFF, 0xFF, 1, 2, 3, 4], Err(Malformed::Attribute)),
        (&[0x80, 0x28, 0, 4, 1, 2, 3, 4, 0, 6, 0, 0], Err(Malformed::Order)),
    ];
    for (attributes, wanted) in cases {
        assert_eq!(decoded(&message_with(attributes)), wanted, "{attributes:?}");
    }
}

#[test]
fn attributes_behind_integrity_are_not_seen() {
    let key = Key::short_term(b"secret");
    for how in [Integrity::Sha1, Integrity::Sha256] {
        let mut buffer = [0; 256];
        let id = TransactionId([1; 12]);
        let mut builder = Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
        builder.u32(AttributeKind::LIFETIME, 600).integrity(how, &key);
        builder.u32(AttributeKind::LIFETIME, 0).attribute(AttributeKind::USERNAME, b"other");
        let used = builder.fingerprint().finish().expect("room");
        let message = Message::decode(&buffer[..used]).expect("well-formed");
        assert!(message.is_from(&key, how) && message.has_good_fingerprint());
        assert_eq!(message.u32(AttributeKind::LIFETIME), Ok(Some(600)));
        assert_eq!(message.find(AttributeKind::USERNAME), None);
        assert_eq!(message.attributes().count(), 1);
    }
}

#[test]
fn both_integrities_hold_in_one_message() {
    let (old, new) = (Key::short_term(b"old"), Key::short_term(b"new"));
    let mut buffer = [0; 256];
    let mut builder =
        Builder::new(&mut buffer, Class::Request, Method::REFRESH, TransactionId::default());
    builder.integrity(Integrity::Sha1, &old).integrity(Integrity::Sha256, &new);
    let used = builder.finish().expect("room");
    let message = Message::decode(&buffer[..used]).expect("well-formed");
    assert!(message.is_from(&old, Integrity::Sha1) && message.is_from(&new, Integrity::Sha256));
    assert!(!message.is_from(&new, Integrity::Sha1) && !message.is_from(&old, Integrity::Sha256));
}

#[test]
fn every_typed_value_comes_back() {
    let peers = ["192.0.2.7:1".parse().unwrap(), "[2001:db8::7]:65535".parse().unwrap()];
    let icmp = Icmp { kind: 3, code: 4, data: 1280 };
    let mut buffer = [0xAA; 512];
    let id = TransactionId([3; 12]);
    let mut builder = Builder::new(&mut buffer, Class::Error, Method::ALLOCATE, id);
    builder.error_code(ErrorCode::STALE_NONCE, ErrorCode::STALE_NONCE.reason());
    builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peers[0]);
    builder.xor_address(AttributeKind::XOR_PEER_ADDRESS, peers[1]);
    builder.address(AttributeKind::ALTERNATE_SERVER, peers[1]);
    builder.channel_number(0x4001).icmp(icmp);
    builder.family(AttributeKind::REQUESTED_ADDRESS_FAMILY, Family::V6);
    builder.attribute(AttributeKind::EVEN_PORT, &[0x80]);
    builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    builder.password_algorithm(PasswordAlgorithm::Md5).password_algorithms();
    builder.address_error_code(Family::V6, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
    builder.unknown_attributes([AttributeKind(0x7001)]);
    let used = builder.finish().expect("room");
    let message = Message::decode(&buffer[..used]).expect("well-formed");
    assert_eq!(message.error_code(), Ok(Some((ErrorCode::STALE_NONCE, "Stale Nonce"))));
    let found: Vec<_> = message.xor_addresses(AttributeKind::XOR_PEER_ADDRESS).collect();
    assert_eq!(found, [Ok(peers[0]), Ok(peers[1])]);
    assert_eq!(message.address(AttributeKind::ALTERNATE_SERVER), Ok(Some(peers[1])));
    assert_eq!(message.channel_number(), Ok(Some(0x4001)));
    assert_eq!(message.icmp(), Ok(Some(icmp)));
    let family = message.family(AttributeKind::REQUESTED_ADDRESS_FAMILY);
    assert_eq!(family, Ok(Some(Some(Family::V6))));
    assert_eq!(message.even_port(), Ok(Some(true)));
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.password_algorithm(), Ok(Some(Some(PasswordAlgorithm::Md5))));
    let offered = message.find(AttributeKind::PASSWORD_ALGORITHMS);
    assert_eq!(offered, Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
    let missing = message.find(AttributeKind::ADDRESS_ERROR_CODE);
    assert_eq!(missing, Some(&[2, 0, 4, 40][..]));
    assert_eq!(message.find(AttributeKind::UNKNOWN_ATTRIBUTES), Some(&[0x70, 0x01][..]));
}

#[test]
fn a_value_of_another_shape_is_malformed() {
    let cases: [(u16, &[u8]); 6] = [
        (0x0012, &[0, 1, 0, 80, 1, 2, 3]),
        (0x0012, &[0, 2, 0, 80, 1, 2, 3, 4]),
        (0x0012, &[]),
        (0x000D, &[0, 0, 1]),
        (0x0009, &[0, 0, 2, 0]),
        (0x001D, &[0, 2, 0, 4]),
    ];
    for (kind, value) in cases {
        let mut buffer = [0; 64];
        let id = TransactionId::default();
        let mut builder = Builder::new(&mut buffer, Class::Request, Method::SEND, id);
        let used = builder.attribute(AttributeKind(kind), value).finish().expect("room");
        let message = Message::decode(&buffer[..used]).expect("well-formed");
        let results = [
            message.xor_address(AttributeKind::XOR_PEER_ADDRESS).is_err(),
            message.u32(AttributeKind::LIFETIME).is_err(),
            message.error_code().is_err(),
            message.password_algorithm().is_err(),
        ];
        assert_eq!(results.iter().filter(|is_error| **is_error).count(), 1, "{kind:04x}");
    }
}

#[test]
fn padding_is_zero_whatever_was_in_the_buffer() {
    let mut buffer = [0xAA; 128];
    let id = TransactionId::default();
    let mut builder = Builder::new(&mut buffer, Class::Error, Method::ALLOCATE, id);
    builder.error_code(ErrorCode::STALE_NONCE, "x").attribute(AttributeKind::REALM, b"abcde");
    let used = builder.unknown_attributes([AttributeKind(0x7001)]).finish().expect("room");
    // What stands behind 5, 5 and 2 bytes of value: 3, 3 and 2 bytes.
    assert_eq!(buffer[29..32], [0; 3]);
    assert_eq!(buffer[41..44], [0; 3]);
    assert_eq!(buffer[50..52], [0; 2]);
    assert_eq!(used, 52);
}

#[test]
fn a_shorter_code_than_the_whole_is_nobodys() {
    let mut buffer = [0; 128];
    let id = TransactionId::default();
    let key = Key::short_term(b"k");
    for (how, bytes) in [(Integrity::Sha1, 20), (Integrity::Sha256, 32)] {
        let mut builder = Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
        let used = builder.integrity(how, &key).finish().expect("room");
        let whole = buffer[..used].to_vec();
        assert!(Message::decode(&whole).expect("a message").is_from(&key, how));
        for shorter in (0..bytes).step_by(4) {
            // What a sender would sign and shorten: the header says where the code ends.
            let mut message = whole[..24].to_vec();
            message[3] = 4 + shorter as u8;
            message[23] = shorter as u8;
            let code = mac(how, b"k", &message[..20]);
            message.extend_from_slice(&code[..shorter]);
            let message = Message::decode(&message).expect("a message");
            assert!(!message.is_from(&key, how), "{how:?} {shorter}");
        }
    }
}

fn mac(how: Integrity, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, Mac};
    match how {
        Integrity::Sha1 => Hmac::<sha1::Sha1>::new_from_slice(key)
            .expect("any length")
            .chain_update(bytes)
            .finalize()
            .into_bytes()
            .to_vec(),
        Integrity::Sha256 => Hmac::<sha2::Sha256>::new_from_slice(key)
            .expect("any length")
            .chain_update(bytes)
            .finalize()
            .into_bytes()
            .to_vec(),
    }
}

#[test]
fn a_buffer_that_is_too_short_is_told_and_not_overrun() {
    let write = |buffer: &mut [u8]| {
        let mut builder =
            Builder::new(buffer, Class::Success, Method::BINDING, TransactionId::default());
        builder.attribute(AttributeKind::SOFTWARE, b"five.");
        builder.integrity(Integrity::Sha1, &Key::short_term(b"k")).fingerprint().finish()
    };
    for length in 0..64 {
        assert_eq!(write(&mut vec![0; length]), Err(Full), "{length}");
    }
    assert_eq!(write(&mut [0; 64]), Ok(64));
    let mut large = vec![0; 70_000];
    let id = TransactionId::default();
    let mut builder = Builder::new(&mut large, Class::Success, Method::BINDING, id);
    let value = vec![1; 65_528];
    assert_eq!(builder.attribute(AttributeKind::DATA, &value).finish(), Ok(65_552));
    assert_eq!(builder.integrity(Integrity::Sha1, &Key::hashed(b"k")).finish(), Err(Full));
}

#[test]
fn channel_data_is_found_where_it_lies() {
    let decode = |bytes: &[u8]| ChannelData::decode(bytes).map(|it| (it.number, it.data));
    assert_eq!(decode(&[0x40, 1, 0, 2, 7, 8]), Ok((0x4001, 4..6)));
    assert_eq!(decode(&[0x40, 1, 0, 2, 7, 8, 0, 0]), Ok((0x4001, 4..6)));
    assert_eq!(decode(&[0x7F, 0xFF, 0, 0]), Ok((0x7FFF, 4..4)));
    assert_eq!(decode(&[0x40, 1, 0, 3, 7, 8]), Err(Malformed::Short));
    assert_eq!(decode(&[0x40, 1, 0]), Err(Malformed::Short));
    assert_eq!(decode(&[0x80, 0, 0, 0]), Err(Malformed::Type));
    assert_eq!(ChannelData::header(0x4001, 2), [0x40, 1, 0, 2]);
}

#[test]
fn a_stream_of_something_else_is_refused_at_its_first_bytes() {
    assert!(Frame::decode(b"GET / HT", 2048).is_err());
    assert_eq!(Frame::decode(&[0x16, 3, 1, 0, 9], 2048), Err(Malformed::Cookie));
    assert_eq!(Frame::decode(&[0xFF; 4], 2048), Err(Malformed::Type));
    assert_eq!(Frame::decode(&[0x40, 0, 8, 0], 2048), Err(Malformed::Length));
    assert_eq!(Frame::decode(&[0x40, 0, 0], 2048), Ok(Step::Need(4)));
    assert_eq!(Frame::decode(&[0x40, 0, 0, 3, 1, 2, 3], 2048), Ok(Step::Need(8)));
}

/// An attribute that protects nothing.
fn attribute() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let kind = any::<u16>().prop_filter("it protects", |kind| ![0x8, 0x1C, 0x8028].contains(kind));
    (kind, prop::collection::vec(any::<u8>(), 0..40))
}

/// Messages and ChannelData one behind another, and the same as frames.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let frame =
        (any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(is, data)| {
            if is {
                let mut buffer = [0; 128];
                let id = TransactionId::default();
                let mut builder = Builder::new(&mut buffer, Class::Indication, Method::SEND, id);
                let used = builder.attribute(AttributeKind::DATA, &data).finish().expect("room");
                buffer[..used].to_vec()
            } else {
                let length = u16::try_from(data.len()).expect("short");
                [&ChannelData::header(0x4abc, length)[..], &data].concat()
            }
        });
    prop::collection::vec(frame, 0..12)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let as_message = message_with(&bytes[..bytes.len() & !3]);
        for bytes in [&bytes, &as_message] {
            let _ = ChannelData::decode(bytes);
            let _ = Frame::decode(bytes, 1500);
            let Ok(message) = Message::decode(bytes) else { continue };
            let _ = message.has_good_fingerprint();
            for how in [Integrity::Sha1, Integrity::Sha256] {
                prop_assert!(!message.is_from(&Key::short_term(b"k"), how));
            }
            for attribute in message.attributes() {
                let _ = (message.address(attribute.kind), message.xor_address(attribute.kind));
                let _ = (message.u32(attribute.kind), message.family(attribute.kind));
                let _ = (message.error_code(), message.password_algorithm(), message.icmp());
                let _ = (message.even_port(), message.channel_number());
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        attributes in prop::collection::vec(attribute(), 0..12),
    ) {
        let mut buffer = [0xAA; 1024];
        let id = TransactionId([5; 12]);
        let mut builder = Builder::new(&mut buffer, Class::Request, Method::ALLOCATE, id);
        for (kind, value) in &attributes {
            builder.attribute(AttributeKind(*kind), value);
        }
        let key = Key::short_term(b"a key");
        let used = builder.integrity(Integrity::Sha256, &key).fingerprint().finish().unwrap();
        let message = Message::decode(&buffer[..used]).unwrap();
        let read: Vec<_> = message.attributes().map(|it| (it.kind.0, it.value.to_vec())).collect();
        prop_assert_eq!(read, attributes);
        prop_assert!(message.is_from(&key, Integrity::Sha256) && message.has_good_fingerprint());
    }

    #[test]
    fn how_a_stream_was_cut_changes_nothing(
        frames in stream(),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        for frame in &frames {
            bytes.extend_from_slice(frame);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let mut reassembly = Reassembly::new(256);
        let mut found = Vec::new();
        let mut cuts = cuts.iter().cycle();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            rest = later;
            reassembly.push(now);
            while let Some(frame) = reassembly.next().unwrap() {
                found.push(frame.to_vec());
            }
            prop_assert!(reassembly.pending_bytes() < 256);
        }
        prop_assert_eq!(found, frames);
        prop_assert_eq!(reassembly.pending_bytes(), 0);
    }
}
