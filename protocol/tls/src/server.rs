//! How a server speaks TLS: immutable, shared by all shards, replaced as a whole.

use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;

use crate::identity::provider;
use crate::names::Names;
use crate::version::{Version, supported};
use crate::{ConfigError, Identity, TicketKeys};

/// What a [`ServerConfig`] is made of.
#[derive(Debug)]
pub struct ServerSettings {
    /// Who we are; the first is for clients that name nobody. A name may have several identities of
    /// different kinds of keys, in order of preference.
    pub identities: Vec<Identity>,
    /// Keys of session tickets: those of the configuration that this one replaces, or fresh ones.
    pub ticket_keys: TicketKeys,
    /// Protocols for ALPN (RFC 7301) in order of preference. A client that offers others only is
    /// refused; one that offers none is not. With none here, nobody is asked.
    pub alpn: Vec<&'static str>,
    /// The versions that are spoken; the highest that both ends speak is taken.
    pub versions: Vec<Version>,
    /// Refuse clients that name a host without an identity, instead of giving them the first.
    pub refuses_unknown_names: bool,
    /// The most bytes of a handshake that a client may send.
    pub handshake_bytes_max: usize,
    /// The wall clock, for the age of tickets; `None` is the system's.
    pub clock: Option<Arc<dyn TimeProvider>>,
}

impl ServerSettings {
    /// The usual: TLS 1.2 and 1.3, HTTP/1.1, any name, 32 KiB for a handshake.
    #[must_use]
    pub fn new(identities: Vec<Identity>, ticket_keys: TicketKeys) -> ServerSettings {
        ServerSettings {
            identities,
            ticket_keys,
            alpn: vec!["http/1.1"],
            versions: vec![Version::Tls13, Version::Tls12],
            refuses_unknown_names: false,
            handshake_bytes_max: 32 * 1024,
            clock: None,
        }
    }
}

/// How a server speaks TLS. To reload certificates or to rotate ticket keys, make another one and
/// give it to the shards: sessions begin with the one that they are given and keep it.
#[derive(Debug)]
pub struct ServerConfig {
    pub(crate) base: rustls::ServerConfig,
    pub(crate) names: Arc<Names>,
    pub(crate) handshake_bytes_max: usize,
    ticket_keys: TicketKeys,
}

impl ServerConfig {
    /// A configuration without client certificates, and without early data, which could be
    /// replayed.
    ///
    /// # Errors
    /// When there is no identity, or no version.
    pub fn new(settings: ServerSettings) -> Result<ServerConfig, ConfigError> {
        if settings.identities.is_empty() {
            return Err(ConfigError::NoIdentity);
        }
        let names = Names::new(&settings.identities, settings.refuses_unknown_names);
        let names = Arc::new(names);
        let builder = rustls::ServerConfig::builder_with_provider(provider());
        let resolver = Arc::new(crate::names::Asked::new(Arc::clone(&names)));
        let mut base = builder
            .with_protocol_versions(&supported(&settings.versions))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        base.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Tickets alone: the store of sessions would be behind a lock.
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.ticketer = settings.ticket_keys.producer();
        if let Some(clock) = settings.clock {
            base.time_provider = clock;
        }
        Ok(ServerConfig {
            base,
            names,
            handshake_bytes_max: settings.handshake_bytes_max,
            ticket_keys: settings.ticket_keys,
        })
    }

    /// The keys of its tickets, for the configuration that will replace it.
    #[must_use]
    pub fn ticket_keys(&self) -> &TicketKeys {
        &self.ticket_keys
    }

    /// The same configuration with rotated ticket keys, see [`TicketKeys::rotated`].
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn with_rotated_tickets(&self) -> Result<ServerConfig, ConfigError> {
        let ticket_keys = self.ticket_keys.rotated()?;
        let mut base = self.base.clone();
        base.ticketer = ticket_keys.producer();
        Ok(ServerConfig {
            base,
            names: Arc::clone(&self.names),
            handshake_bytes_max: self.handshake_bytes_max,
            ticket_keys,
        })
    }
}
