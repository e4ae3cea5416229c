//! How a client speaks TLS: whom it trusts, and what it remembers of servers.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::time_provider::TimeProvider;

use crate::ConfigError;
use crate::identity::{provider, read_chain};
use crate::version::{Version, supported};

/// Servers of which sessions are remembered.
const REMEMBERED_SERVERS_MAX: usize = 64;

/// What a [`ClientConfig`] is made of.
#[derive(Debug)]
pub struct ClientSettings<'a> {
    /// PEM of the roots that are trusted: the system's bundle, or the certificate of one server.
    pub roots: &'a str,
    /// Protocols for ALPN (RFC 7301) in order of preference; none says nothing.
    pub alpn: Vec<&'static str>,
    /// The versions that are spoken; the highest that both ends speak is taken.
    pub versions: Vec<Version>,
    /// Go on with tickets of earlier sessions.
    pub resumes: bool,
    /// The most bytes of a handshake that a server may send: its certificates, mostly.
    pub handshake_bytes_max: usize,
    /// The wall clock, for the validity of certificates; `None` is the system's.
    pub clock: Option<Arc<dyn TimeProvider>>,
}

impl<'a> ClientSettings<'a> {
    /// The usual: TLS 1.2 and 1.3, HTTP/1.1, resumption, 128 KiB for a handshake.
    #[must_use]
    pub fn new(roots: &'a str) -> ClientSettings<'a> {
        ClientSettings {
            roots,
            alpn: vec!["http/1.1"],
            versions: vec![Version::Tls13, Version::Tls12],
            resumes: true,
            handshake_bytes_max: 128 * 1024,
            clock: None,
        }
    }
}

/// How a client speaks TLS. Each shard makes its own: what is remembered of servers is behind a
/// lock, on which then nobody waits.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub(crate) base: Arc<rustls::ClientConfig>,
    pub(crate) handshake_bytes_max: usize,
}

impl ClientConfig {
    /// A configuration without a certificate of the client's own.
    ///
    /// # Errors
    /// When the roots are not PEM, or none of them can be used, or there is no version.
    pub fn new(settings: ClientSettings<'_>) -> Result<ClientConfig, ConfigError> {
        let mut roots = RootCertStore::empty();
        // A bundle has roots that nobody can use any more; they are left out.
        let (usable_count, _) = roots.add_parsable_certificates(read_chain(settings.roots)?);
        if usable_count == 0 {
            return Err(ConfigError::NoRoots);
        }
        let clock = settings.clock;
        let clock = clock.unwrap_or_else(|| Arc::new(rustls::time_provider::DefaultTimeProvider));
        let mut base = rustls::ClientConfig::builder_with_details(provider(), clock)
            .with_protocol_versions(&supported(&settings.versions))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        base.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        base.resumption = match settings.resumes {
            true => Resumption::in_memory_sessions(REMEMBERED_SERVERS_MAX),
            false => Resumption::disabled(),
        };
        let handshake_bytes_max = settings.handshake_bytes_max;
        Ok(ClientConfig { base: Arc::new(base), handshake_bytes_max })
    }
}
