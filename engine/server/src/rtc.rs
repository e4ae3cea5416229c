//! What WebRTC needs before the shards start: a certificate, chance, free addresses, and a word for
//! `--doctor`.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use engine_config::{Config, Rtc};
use engine_rtc::{Identity, Settings};

/// What all shards share; none where WebRTC is not wanted.
pub fn settings(config: &Arc<Config>, shards_count: usize) -> anyhow::Result<Option<Settings>> {
    if !config.rtc.is_wanted() {
        return Ok(None);
    }
    let identity = Identity::generate().context("cannot make a certificate for DTLS")?;
    let seed = crate::turn::draw_bytes()?;
    let shard = (0, shards_count as u16);
    Ok(Some(Settings { config: Arc::clone(config), identity, seed, shard }))
}

/// Makes sure that every address can be had: the shards share them by `SO_REUSEPORT`, which alone
/// would let a second server in unnoticed.
pub fn probe_addresses(rtc: &Rtc) -> anyhow::Result<()> {
    for address in &rtc.listen {
        UdpSocket::bind(address).with_context(|| format!("WebRTC cannot have UDP {address}"))?;
        if rtc.tcp {
            let listener = TcpListener::bind(address);
            listener.with_context(|| format!("WebRTC cannot have TCP {address}"))?;
        }
    }
    Ok(())
}

/// Says where WebRTC is.
pub fn tell(rtc: &Rtc) {
    if rtc.is_wanted() {
        tracing::info!(listen = ?rtc.listen, announced = ?rtc.announced(), "WebRTC");
    }
}

/// Whether WebRTC starts.
pub fn state(rtc: &Rtc) -> String {
    if !rtc.is_wanted() {
        return "off: rtc.listen names no address".to_owned();
    }
    let announced: Vec<String> = rtc.announced().iter().map(ToString::to_string).collect();
    format!("tells browsers {}", announced.join(", "))
}
