//! TLS ends that hear anything: a server's first flight is attacked with what clients send, a
//! client's with what servers send.
//!
//! Keys and nonces are drawn, so no input reaches the end of a handshake; that is the fuzzed
//! promise: no panic, nothing kept beyond the bounds, no plaintext, and the same verdict however
//! the bytes were cut.

use std::sync::OnceLock;

use protocol_tls::{
    BUFFERED_BYTES_MAX, ClientConfig, ClientSettings, Fault, Identity, ServerConfig,
    ServerSettings, Session, TicketKeys,
};

use super::{cuts, pieces};

/// More than any flight of ours.
const OUT_BYTES_MAX: usize = 64 * 1024;

struct Configs {
    server: ServerConfig,
    client: ClientConfig,
}

fn configs() -> &'static Configs {
    static CONFIGS: OnceLock<Configs> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let names = vec!["a.example".to_owned(), "*.wild.example".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let identity = Identity::from_pem(&certificate, &key).expect("it fits");
        let keys = TicketKeys::new().expect("randomness");
        let server = ServerConfig::new(ServerSettings::new(vec![identity], keys));
        let client = ClientConfig::new(ClientSettings::new(&certificate));
        Configs { server: server.expect("a server"), client: client.expect("a client") }
    })
}

/// Bytes of a client, or of something else, for a server.
pub fn server(data: &[u8]) {
    let verdicts = cuts(data).map(|cut| hear(Session::server(&configs().server), data, &cut));
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "cuts: {verdicts:?}");
}

/// Bytes of a server, or of something else, for a client.
pub fn client(data: &[u8]) {
    let verdicts = cuts(data).map(|cut| {
        let mut out = Vec::new();
        let session = Session::client(&configs().client, "a.example", &mut out);
        hear(session.expect("a name"), data, &cut)
    });
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "cuts: {verdicts:?}");
}

/// Who was to blame, if it failed.
fn hear(mut session: Session, data: &[u8], cut: &[usize]) -> Option<Fault> {
    let (mut plaintext, mut out) = (Vec::new(), Vec::new());
    let mut verdict = None;
    for piece in pieces(data, cut) {
        let mut piece = piece.to_vec();
        let result = session.receive(&mut piece, &mut plaintext, &mut out);
        assert!(plaintext.is_empty(), "plaintext before there are keys");
        assert!(out.len() <= OUT_BYTES_MAX, "{} bytes to send", out.len());
        assert!(session.buffered_bytes() <= BUFFERED_BYTES_MAX.max(data.len().min(128 * 1024)));
        assert!(session.is_handshaking(), "a handshake without keys");
        let fault = result.err().map(|failed| failed.fault);
        assert!(verdict.is_none() || fault == verdict, "it changed its mind: {fault:?}");
        assert_ne!(fault, Some(Fault::Ours));
        verdict = fault;
    }
    assert!(session.end().is_err());
    verdict
}
