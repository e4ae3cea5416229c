//! The messages of RFC 5769 and of RFC 8489's appendix B.1 (with erratum 6268), read and written.

use protocol_stun::{
    AttributeKind, Builder, Class, Integrity, Key, Message, Method, PasswordAlgorithm,
    SecurityFeatures, TransactionId, user_hash,
};

const REQUEST: &str = "
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74
    00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf";

const ANSWER_V4: &str = "
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
    00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    80280004 c07d4c96";

const ANSWER_V6: &str = "
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c
    8292c275 bfe3ed41 80280004 c8fb0b4c";

const LONG_TERM: &str = "
    00010060 2112a442 78ad3433 c6ad72c0 29da412e 00060012 e3839ee3 8388e383 aae38383 e382afe3
    82b90000 0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341 0014000b
    6578616d 706c652e 6f726700 00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

const LONG_TERM_SHA256: &str = "
    00010090 2112a442 78ad3433 c6ad72c0 29da412e 001e0020 4a3cf38f ef6992bd a952c678 0417da0f
    24819415 569e60b2 05c46e41 407f1704 00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b
    39353464 364f4c33 346f4c39 46535476 79363473 41000000 0014000b 6578616d 706c652e 6f726700
    001d0004 00020000 001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c
    c6518e65";

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const USER: &str = "マトリックス";

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal")
    };
    digits.chunks(2).map(pair).collect()
}

#[test]
fn the_sample_request() {
    let bytes = bytes_of(REQUEST);
    let message = Message::decode(&bytes).expect("well-formed");
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.find(AttributeKind::SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(message.u32(AttributeKind::PRIORITY), Ok(Some(0x6e00_01ff)));
    assert_eq!(message.u64(AttributeKind::ICE_CONTROLLED), Ok(Some(0x932f_f9b1_5126_3b36)));
    assert_eq!(message.find(AttributeKind::USERNAME), Some(&b"evtj:h6vY"[..]));
    let at = message.range_of(AttributeKind::USERNAME).expect("it is there");
    assert_eq!(&bytes[at], b"evtj:h6vY");
    assert_eq!(message.range_of(AttributeKind::DATA), None);
    assert!(message.is_from(&Key::short_term(PASSWORD), Integrity::Sha1));
    assert!(!message.is_from(&Key::short_term(b"another"), Integrity::Sha1));
    assert!(!message.is_from(&Key::short_term(PASSWORD), Integrity::Sha256));
    assert!(message.has_good_fingerprint());
    let unknown: Vec<_> = message.unknown_required(&[AttributeKind::USERNAME]).collect();
    assert_eq!(unknown, [AttributeKind::PRIORITY]);
}

#[test]
fn the_answers_are_written_byte_for_byte_but_for_the_padding() {
    let id = TransactionId(bytes_of(ANSWER_V4)[8..20].try_into().expect("12 bytes"));
    let of = |text: &str| text.parse().expect("an address");
    for (vector, seen_from) in [
        (ANSWER_V4, of("192.0.2.1:32853")),
        (ANSWER_V6, of("[2001:db8:1234:5678:11:2233:4455:6677]:32853")),
    ] {
        let wanted = bytes_of(vector);
        let message = Message::decode(&wanted).expect("well-formed");
        assert_eq!(message.xor_address(AttributeKind::XOR_MAPPED_ADDRESS), Ok(Some(seen_from)));
        assert!(message.is_from(&Key::short_term(PASSWORD), Integrity::Sha1));
        assert!(message.has_good_fingerprint());

        let mut buffer = [0xAA; 128];
        let mut builder = Builder::new(&mut buffer, Class::Success, Method::BINDING, id);
        builder.attribute(AttributeKind::SOFTWARE, b"test vector");
        builder.xor_address(AttributeKind::XOR_MAPPED_ADDRESS, seen_from);
        let key = Key::short_term(PASSWORD);
        let used = builder.integrity(Integrity::Sha1, &key).fingerprint().finish();
        let written = &buffer[..used.expect("room")];
        // The RFC pads with a blank, we with zero: so what covers it differs as well.
        let covered_from = wanted.len() - 32;
        assert_eq!(written.len(), wanted.len());
        assert_eq!(written[..35], wanted[..35]);
        assert_eq!(written[35], 0);
        assert_eq!(written[36..covered_from], wanted[36..covered_from]);
        let written = Message::decode(written).expect("well-formed");
        assert!(written.is_from(&key, Integrity::Sha1) && written.has_good_fingerprint());
    }
}

#[test]
fn the_long_term_request_is_written_byte_for_byte() {
    let wanted = bytes_of(LONG_TERM);
    let message = Message::decode(&wanted).expect("well-formed");
    let realm = message.find(AttributeKind::REALM).expect("a realm");
    let user = message.find(AttributeKind::USERNAME).expect("a user");
    let key = Key::long_term(PasswordAlgorithm::Md5, user, realm, b"TheMatrIX");
    assert!(message.is_from(&key, Integrity::Sha1));

    let mut buffer = [0xAA; 200];
    let id = message.transaction_id();
    let mut builder = Builder::new(&mut buffer, Class::Request, Method::BINDING, id);
    for attribute in message.attributes() {
        builder.attribute(attribute.kind, attribute.value);
    }
    let used = builder.integrity(Integrity::Sha1, &key).finish().expect("room");
    assert_eq!(buffer[..used], wanted);
}

#[test]
fn the_request_without_a_name_is_written_byte_for_byte() {
    let wanted = bytes_of(LONG_TERM_SHA256);
    let message = Message::decode(&wanted).expect("well-formed");
    let hash = user_hash(USER.as_bytes(), b"example.org");
    assert_eq!(message.array(AttributeKind::USERHASH), Ok(Some(hash)));
    let algorithm = message.password_algorithm().expect("well-formed").flatten();
    assert_eq!(algorithm, Some(PasswordAlgorithm::Sha256));
    let key =
        Key::long_term(PasswordAlgorithm::Sha256, USER.as_bytes(), b"example.org", b"TheMatrIX");
    assert!(message.is_from(&key, Integrity::Sha256));
    assert!(!message.has_integrity(Integrity::Sha1) && !message.has_fingerprint());

    let mut buffer = [0xAA; 200];
    let id = message.transaction_id();
    let mut builder = Builder::new(&mut buffer, Class::Request, Method::BINDING, id);
    for attribute in message.attributes().filter(|it| it.kind != AttributeKind::PASSWORD_ALGORITHM)
    {
        builder.attribute(attribute.kind, attribute.value);
    }
    builder.password_algorithm(PasswordAlgorithm::Sha256);
    let used = builder.integrity(Integrity::Sha256, &key).finish().expect("room");
    assert_eq!(buffer[..used], wanted);
}

#[test]
fn features_in_a_nonce_come_back() {
    for (has_password_algorithms, has_user_hash) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let features = SecurityFeatures { has_password_algorithms, has_user_hash };
        let nonce = [&b"obMatJos2"[..], &features.letters(), b"rest"].concat();
        assert_eq!(SecurityFeatures::of_nonce(&nonce), features);
    }
    assert_eq!(SecurityFeatures::of_nonce(b"obMatJos"), SecurityFeatures::default());
}

#[test]
fn any_changed_byte_is_noticed() {
    let bytes = bytes_of(REQUEST);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let is_noticed = !Message::decode(&changed).is_ok_and(|message| {
            message.is_from(&Key::short_term(PASSWORD), Integrity::Sha1)
                && message.has_good_fingerprint()
        });
        assert!(is_noticed, "byte {at}");
    }
}
