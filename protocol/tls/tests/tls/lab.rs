//! Certificates, configurations and a wire of two buffers.

use std::sync::Arc;

use protocol_tls::{
    ClientConfig, ClientSettings, Failed, Identity, ServerConfig, ServerSettings, Session,
    TicketKeys, Version,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Who vouches for everybody here.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::named("the lab's authority")
    }

    pub fn named(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The PEM of a certificate for these names, and of its key.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| {})
    }

    pub fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        let common_name = names.first().map_or("nobody", String::as_str);
        params.distinguished_name.push(DnType::CommonName, common_name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn identity(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.issue(names);
        Identity::from_pem(&(certificate + &self.pem()), &key).unwrap()
    }

    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let keys = TicketKeys::new().unwrap();
        let settings = ServerSettings::new(vec![self.identity(names)], keys);
        Arc::new(ServerConfig::new(settings).unwrap())
    }

    pub fn client(&self) -> ClientConfig {
        let pem = self.pem();
        ClientConfig::new(ClientSettings::new(&pem)).unwrap()
    }

    pub fn client_of(&self, version: Version) -> ClientConfig {
        let pem = self.pem();
        let settings = ClientSettings { versions: vec![version], ..ClientSettings::new(&pem) };
        ClientConfig::new(settings).unwrap()
    }
}

/// One end of a connection, and what it has heard and has to say.
pub struct End {
    pub session: Session,
    pub plaintext: Vec<u8>,
    pub out: Vec<u8>,
}

impl End {
    pub fn server(config: &ServerConfig) -> End {
        End { session: Session::server(config), plaintext: Vec::new(), out: Vec::new() }
    }

    pub fn client(config: &ClientConfig, host: &str) -> End {
        let mut out = Vec::new();
        let session = Session::client(config, host, &mut out).unwrap();
        End { session, plaintext: Vec::new(), out }
    }

    /// Takes what the other has to say, in pieces of at most so many bytes.
    pub fn hear(&mut self, other: &mut End, piece_bytes: usize) -> Result<(), Failed> {
        let mut heard = std::mem::take(&mut other.out);
        self.take(&mut heard, piece_bytes)
    }

    pub fn take(&mut self, bytes: &mut [u8], piece_bytes: usize) -> Result<(), Failed> {
        for piece in bytes.chunks_mut(piece_bytes) {
            self.session.receive(piece, &mut self.plaintext, &mut self.out)?;
        }
        Ok(())
    }

    pub fn say(&mut self, plaintext: &[u8]) {
        self.session.seal(plaintext, &mut self.out).unwrap();
    }

    pub fn heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plaintext)
    }
}

/// Carries bytes to and fro until nobody has anything to say.
pub fn talk(client: &mut End, server: &mut End, piece_bytes: usize) -> Result<(), Failed> {
    while !client.out.is_empty() || !server.out.is_empty() {
        server.hear(client, piece_bytes)?;
        client.hear(server, piece_bytes)?;
    }
    Ok(())
}

/// Two ends that have shaken hands.
pub fn pair(server: &ServerConfig, client: &ClientConfig, host: &str) -> (End, End) {
    let mut client = End::client(client, host);
    let mut server = End::server(server);
    talk(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
    (client, server)
}
