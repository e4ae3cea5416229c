//! What the driver is told at its start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine_config::Config;
use media_rtc::{BitrateBounds, Identity, Limits, LocalCandidate, SessionConfig, Transport};

/// What a viewer's way is taken to take until it is known: several times a usual stream, so that
/// what is kept since a keyframe goes out within a moment, and the viewer is not behind from then
/// on.
const START_BPS: u64 = 5_000_000;

/// What the driver is told at its start. All shards are told the same but for `shard`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration; what of it may change is replaced later.
    pub config: Arc<Config>,
    /// Our certificate for DTLS.
    pub identity: Identity,
    /// Chance, the same on all shards.
    pub seed: [u8; 32],
    /// Which shard, of how many.
    pub shard: (u16, u16),
}

impl Settings {
    /// The same for this shard.
    #[must_use]
    pub fn of_shard(&self, shard: u16) -> Settings {
        Settings { shard: (shard, self.shard.1), ..self.clone() }
    }

    /// How sessions are made.
    pub(crate) fn sessions(&self) -> SessionConfig {
        let rtc = &self.config.rtc;
        let announced = rtc.announced();
        let candidate =
            |transport| move |address: &SocketAddr| LocalCandidate { address: *address, transport };
        let mut candidates: Vec<_> = announced.iter().map(candidate(Transport::Udp)).collect();
        if rtc.tcp {
            candidates.extend(announced.iter().map(candidate(Transport::Tcp)));
        }
        SessionConfig {
            identity: Some(self.identity.clone()),
            candidates,
            bitrate: Some(BitrateBounds {
                start_bps: START_BPS.min(rtc.viewer_bps_max),
                max_bps: rtc.viewer_bps_max,
                ..BitrateBounds::default()
            }),
            limits: Limits {
                connect_timeout: Duration::from_millis(rtc.connect_timeout_ms),
                reconnect_timeout: Duration::from_millis(rtc.silence_timeout_ms),
                ..Limits::default()
            },
            ..SessionConfig::default()
        }
    }
}
