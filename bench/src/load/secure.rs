//! TLS of the load: rustls itself, which accepts one certificate and no other.
//!
//! Both servers are asked for the same: TLS 1.3, X25519, AES-128-GCM. What the client does not
//! verify (the signature of the handshake) it does not have to pay for; the servers sign all the
//! same.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind,
    SignatureScheme,
};

/// Tickets that one connection keeps for its successor.
const SESSIONS_MAX: usize = 8;

/// What one connection, and those that come after it in its place, speak TLS with.
pub(crate) struct Secure {
    config: Arc<ClientConfig>,
    pub(crate) session: Option<Box<ClientConnection>>,
}

impl Secure {
    /// One for each connection: with `resumes` each remembers its own sessions.
    pub(crate) fn several(path: &Path, resumes: bool, count: usize) -> Result<Vec<Self>> {
        let certificate = CertificateDer::from_pem_file(path).context("no certificate")?;
        let config = config(certificate)?;
        let one = |_| {
            let mut config = config.clone();
            config.resumption = if resumes {
                Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX)))
            } else {
                Resumption::disabled()
            };
            Secure { config: Arc::new(config), session: None }
        };
        Ok((0..count).map(one).collect())
    }

    /// Begins a session.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name);
        self.session = Some(Box::new(session.map_err(|error| error.to_string())?));
        Ok(())
    }

    /// How the handshake went, once it is over.
    pub(crate) fn kind(&self) -> Option<HandshakeKind> {
        let session = self.session.as_ref()?;
        if session.is_handshaking() { None } else { session.handshake_kind() }
    }

    /// Receives once. Says how many bytes of plain text are in `plain` now, and whether that was
    /// all that will come.
    pub(crate) fn receive(
        &mut self,
        mut socket: &TcpStream,
        plain: &mut [u8],
    ) -> Result<(usize, bool), String> {
        let Some(session) = &mut self.session else { return Err("no session".into()) };
        let mut is_over = match session.read_tls(&mut socket) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((0, false)),
            Err(error) => return Err(error.to_string()),
        };
        session.process_new_packets().map_err(|error| format!("TLS: {error}"))?;
        let mut length = 0;
        while length < plain.len() {
            match session.reader().read(&mut plain[length..]) {
                Ok(0) => {
                    is_over = true;
                    break;
                }
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        self.flush(socket)?;
        Ok((length, is_over))
    }

    /// Takes plain text to be sent; before the handshake is over it waits inside.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Err("no session".into()) };
        session.writer().write_all(bytes).map_err(|error| error.to_string())
    }

    /// Sends what can be sent; says whether that was all.
    pub(crate) fn flush(&mut self, mut socket: &TcpStream) -> Result<bool, String> {
        let Some(session) = &mut self.session else { return Ok(true) };
        while session.wants_write() {
            match session.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(true)
    }
}

fn config(certificate: CertificateDer<'static>) -> Result<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TheOne { certificate, schemes }))
        .with_no_client_auth();
    Ok(config)
}

/// Accepts one certificate.
#[derive(Debug)]
struct TheOne {
    certificate: CertificateDer<'static>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for TheOne {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
