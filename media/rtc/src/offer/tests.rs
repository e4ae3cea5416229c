//! Offers within bounds, directions turned, fragments and candidates.

use proptest::prelude::*;

use super::*;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\n\
    a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=end-of-candidates\r\n";

fn read(role: Role) -> String {
    Offer::read(OFFER, role, &Limits::default()).expect("an offer").to_sdp()
}

#[test]
fn directions_are_turned_to_the_role() {
    assert_eq!(read(Role::Publish).matches("a=sendonly\r\n").count(), 2);
    assert_eq!(read(Role::View).matches("a=recvonly\r\n").count(), 2);
    assert_eq!(read(Role::Both).matches("a=sendrecv\r\n").count(), 1);
    assert!(read(Role::View).contains("a=mid:1\r\na=recvonly\r\nm=application"));
}

#[test]
fn one_who_only_wants_to_get_cannot_publish_and_the_other_way_round() {
    assert_eq!(turned("a=recvonly", Role::Publish), "a=inactive");
    assert_eq!(turned("a=sendonly", Role::View), "a=inactive");
    assert_eq!(turned("a=sendonly", Role::Both), "a=sendonly");
}

#[test]
fn candidates_are_left_out() {
    assert!(!read(Role::Both).contains("candidate"));
}

#[test]
fn credentials_are_replaced_wherever_they_stand() {
    let offer = Offer::read(OFFER, Role::View, &Limits::default()).expect("an offer");
    let other = offer.with_credentials("wxyz", "p");
    assert_eq!(other.ufrag(), "wxyz");
    assert!(other.to_sdp().contains("a=ice-pwd:p\r\n"));
    assert_eq!(offer.ufrag(), "abcd");
}

#[test]
fn what_is_too_much_is_refused() {
    let refused =
        |text: &str, limits: &Limits| Offer::read(text, Role::View, limits).expect_err("refused");
    let limits = Limits { offer_bytes_max: 100, ..Limits::default() };
    assert_eq!(refused(OFFER, &limits), OfferError::TooLong);
    let limits = Limits { sections_max: 2, ..Limits::default() };
    assert_eq!(refused(OFFER, &limits), OfferError::TooManySections);
    let without = OFFER.replace("a=ice-ufrag:abcd\r\n", "");
    assert!(matches!(refused(&without, &Limits::default()), OfferError::Malformed(_)));
}

#[test]
fn a_fragment_says_credentials_and_counts_candidates() {
    let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
        a=candidate:3471623853 1 udp 2122194687 a-b.local 61765 typ host\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
        a=end-of-candidates\r\n";
    let fragment = Fragment::read(text, &Limits::default()).expect("a fragment");
    assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
    assert_eq!((fragment.candidate_count, fragment.is_end_of_candidates), (3, true));
}

#[test]
fn a_fragment_with_half_a_pair_or_a_bad_candidate_is_refused() {
    for text in [
        "a=ice-ufrag:EsAw\r\n",
        "a=candidate:1 1 udp x 192.0.2.1 1 typ host\r\n",
        "a=candidate:1 1 udp 1 192.0.2.1 70000 typ host\r\n",
        "a=candidate:1 1 sctp 1 192.0.2.1 7 typ host\r\n",
        "a=candidate:\r\n",
        "{\"candidate\":\"\"}",
    ] {
        assert!(Fragment::read(text, &Limits::default()).is_err(), "{text}");
    }
}

#[test]
fn our_fragment_can_be_read_again() {
    let credentials = IceCredentials::from_random("s1", [7; 24]).expect("a good prefix");
    let address = |text: &str| text.parse().expect("an address");
    let candidates = [
        LocalCandidate { address: address("192.0.2.1:443"), transport: Transport::Udp },
        LocalCandidate { address: address("[2001:db8::1]:443"), transport: Transport::Tcp },
    ];
    let text = Fragment::answer(&credentials, &candidates);
    let fragment = Fragment::read(&text, &Limits::default()).expect("our own");
    assert_eq!(fragment.ufrag.as_deref(), Some(credentials.ufrag()));
    assert_eq!(fragment.candidate_count, 2);
    assert!(text.contains("2001:db8::1 443 typ host tcptype passive"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}", lines in proptest::collection::vec("[avm]=[a-z:0-9 ]{0,20}", 0..20)) {
        let joined = lines.join("\n");
        for text in [&text, &joined] {
            for role in [Role::Publish, Role::View, Role::Both] {
                let _ = Offer::read(text, role, &Limits::default());
            }
            let _ = Fragment::read(text, &Limits::default());
            let _ = check_candidate(text);
        }
    }
}
