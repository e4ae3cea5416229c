//! What holds for every input and every cut.

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use protocol_tls::{ClientConfig, Fault, ServerConfig};

use crate::lab::{Authority, End, pair, talk};

/// Keys are made once: they are not what varies.
fn ends() -> &'static (Arc<ServerConfig>, ClientConfig) {
    static ENDS: OnceLock<(Arc<ServerConfig>, ClientConfig)> = OnceLock::new();
    ENDS.get_or_init(|| {
        let authority = Authority::new();
        (authority.server(&["a.example"]), authority.client())
    })
}

/// Cuts bytes into pieces whose lengths repeat.
fn take_cut(end: &mut End, bytes: &mut [u8], cuts: &[usize]) -> Result<(), protocol_tls::Failed> {
    let (mut rest, mut at) = (bytes, 0);
    while !rest.is_empty() {
        let cut = cuts[at % cuts.len()].min(rest.len());
        let (piece, later) = rest.split_at_mut(cut);
        end.session.receive(piece, &mut end.plaintext, &mut end.out)?;
        (rest, at) = (later, at + 1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cuts_change_nothing(
        cuts in prop::collection::vec(1_usize..20_000, 1..20),
        messages in prop::collection::vec(0_usize..50_000, 1..6),
    ) {
        let (server_config, client_config) = ends();
        let mut client = End::client(client_config, "a.example");
        let mut server = End::server(server_config);
        while !client.out.is_empty() || !server.out.is_empty() {
            let mut heard = std::mem::take(&mut client.out);
            take_cut(&mut server, &mut heard, &cuts).unwrap();
            let mut heard = std::mem::take(&mut server.out);
            take_cut(&mut client, &mut heard, &cuts).unwrap();
        }
        let mut said = Vec::new();
        for (at, message) in messages.into_iter().enumerate() {
            let message: Vec<u8> = (0..message).map(|byte| (byte * 31 + at) as u8).collect();
            client.say(&message);
            said.extend_from_slice(&message);
        }
        client.session.close(&mut client.out);
        let mut heard = std::mem::take(&mut client.out);
        take_cut(&mut server, &mut heard, &cuts).unwrap();
        prop_assert_eq!(server.heard(), said);
        prop_assert_eq!(server.session.end(), Ok(()));
    }

    #[test]
    fn garbage_is_the_senders_fault_and_ends_the_session(
        garbage in prop::collection::vec(any::<u8>(), 5..2000),
        cuts in prop::collection::vec(1_usize..100, 1..5),
    ) {
        let (server_config, _) = ends();
        let mut server = End::server(server_config);
        let mut bytes = garbage;
        if let Err(failed) = take_cut(&mut server, &mut bytes, &cuts) {
            prop_assert_ne!(failed.fault, Fault::Ours);
        }
        prop_assert!(server.heard().is_empty());
        prop_assert!(server.session.is_handshaking());
    }

    #[test]
    fn one_wrong_bit_of_a_hello_never_panics_and_never_makes_a_session(
        at in 0_usize..2000, bit in 0_u8..8,
    ) {
        let (server_config, client_config) = ends();
        let mut client = End::client(client_config, "a.example");
        let mut server = End::server(server_config);
        let at = at % client.out.len();
        client.out[at] ^= 1 << bit;
        let result = talk(&mut client, &mut server, usize::MAX);
        // The two transcripts differ, so no handshake can finish on both sides.
        let both = !client.session.is_handshaking() && !server.session.is_handshaking();
        prop_assert!(!both || at < 5, "byte {}: {:?}", at, result);
    }

    #[test]
    fn one_wrong_bit_of_a_stream_never_gives_other_plaintext(
        at in 0_usize..40_000, bit in 0_u8..8,
    ) {
        let (server_config, client_config) = ends();
        let (mut client, mut server) = pair(server_config, client_config, "a.example");
        let said: Vec<u8> = (0..40_000_u32).map(|at| at as u8).collect();
        server.say(&said);
        let at = at % server.out.len();
        server.out[at] ^= 1 << bit;
        let _failed_or_waits = client.hear(&mut server, usize::MAX);
        let heard = client.heard();
        prop_assert!(said.starts_with(&heard));
        prop_assert!(heard.len() < said.len() || at < 5 || said == heard);
    }
}
