//! Certificates and keys, from their files to what the shards are given.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use engine_config::Config;
use protocol_tls::{Identity, ServerConfig, ServerSettings, TicketKeys};

/// Reads what the configuration names. `None` where no socket speaks TLS. With `old`, tickets that
/// were given out before still open.
pub fn load(
    config: &Config,
    old: Option<&ServerConfig>,
    now_unix_seconds: u64,
) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    // TURN speaks it wherever there is a certificate.
    let is_for_turn = config.turn.starts() && !config.tls.certificates.is_empty();
    if !is_for_turn && !config.listen.iter().any(|listen| listen.tls) {
        return Ok(None);
    }
    let mut identities = Vec::new();
    for (index, certificates) in config.tls.certificates.iter().enumerate() {
        let key = config.tls.keys.get(index).unwrap_or(certificates);
        let identity = Identity::from_pem(&read(certificates)?, &read(key)?)
            .with_context(|| format!("{} and {}", certificates.display(), key.display()))?;
        for warning in identity.warnings(now_unix_seconds) {
            tracing::warn!(certificate = %certificates.display(), "{warning}");
        }
        tracing::info!(subject = identity.subject(), file = %certificates.display(), "certificate");
        identities.push(identity);
    }
    let ticket_keys = match old {
        Some(old) => old.ticket_keys().clone(),
        None => TicketKeys::new()?,
    };
    let mut settings = ServerSettings::new(identities, ticket_keys);
    // "stun.turn" is what clients of TURN call it (RFC 7443), where they call it anything.
    settings.alpn = vec!["http/1.1", "http/1.0", "stun.turn"];
    Ok(Some(Arc::new(ServerConfig::new(settings)?)))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
