//! Events for other servers: each is POSTed as JSON, signed, and tried again for a while.
//!
//! Each hook has a thread of its own, so that a server that is slow holds up no other. What waits
//! for it is bounded; beyond, the newest are dropped and counted.
//!
//! The header `Skywave-Signature: t=SECONDS,v1=HEX` holds an HMAC-SHA256, under the hook's secret,
//! of the seconds, a dot, and the body: whoever checks both knows who sent it, and that it is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use ureq::tls::TlsConfig;

use crate::happening::Happening;

/// Events that wait for one hook.
const WAITING_MAX: usize = 256;
/// Attempts for one event.
const ATTEMPTS_MAX: u32 = 6;
/// The pause before the second attempt; it doubles with each …
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where events are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `http://` or `https://`.
    pub url: String,
    /// Only these; all where there are none. `recording:*` is all that begin so.
    pub events: Vec<String>,
    /// Only of these streams; all where there are none.
    pub streams: Vec<String>,
    /// What the signature is made with; without it there is none.
    pub secret: Option<String>,
    /// How long an attempt may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for WebhookSettings {
    /// Its address may hold a credential, as its secret does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings").field("events", &self.events).finish_non_exhaustive()
    }
}

impl WebhookSettings {
    /// Whether it is to be told of this.
    #[must_use]
    pub fn wants(&self, happening: &Happening) -> bool {
        let is_named = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => happening.name.starts_with(start),
            None => wanted == happening.name,
        };
        (self.events.is_empty() || self.events.iter().any(is_named))
            && (self.streams.is_empty() || self.streams.contains(&happening.stream))
    }
}

/// What hooks came to, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounters {
    /// Lines in the log of events.
    pub logged: u64,
    /// Events that are not in the log, because a disk failed or too many waited.
    pub log_lost: u64,
    /// Events that a hook has taken.
    pub hook_delivered: u64,
    /// Attempts that were made again.
    pub hook_retried: u64,
    /// Events that no attempt delivered.
    pub hook_failed: u64,
    /// Events that found a hook's queue full.
    pub hook_dropped: u64,
}

/// The same where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) logged: AtomicU64,
    pub(crate) log_lost: AtomicU64,
    pub(crate) hook_delivered: AtomicU64,
    pub(crate) hook_retried: AtomicU64,
    pub(crate) hook_failed: AtomicU64,
    pub(crate) hook_dropped: AtomicU64,
}

impl Counts {
    pub(crate) fn read(&self) -> EventCounters {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        EventCounters {
            logged: of(&self.logged),
            log_lost: of(&self.log_lost),
            hook_delivered: of(&self.hook_delivered),
            hook_retried: of(&self.hook_retried),
            hook_failed: of(&self.hook_failed),
            hook_dropped: of(&self.hook_dropped),
        }
    }
}

/// One hook's queue; its thread ends when this is dropped, or soon after.
#[derive(Debug)]
pub(crate) struct Webhook {
    settings: WebhookSettings,
    queue: SyncSender<Arc<Happening>>,
    counts: Arc<Counts>,
}

impl Webhook {
    pub(crate) fn start(
        settings: WebhookSettings,
        counts: Arc<Counts>,
    ) -> std::io::Result<Webhook> {
        let (queue, received) = sync_channel(WAITING_MAX);
        let (of_thread, counted) = (settings.clone(), counts.clone());
        let run = move || Caller::new(&of_thread, counted).run(&received);
        thread::Builder::new().name("webhook".into()).spawn(run)?;
        Ok(Webhook { settings, queue, counts })
    }

    /// Puts it where the thread finds it, if it is wanted.
    pub(crate) fn tell(&self, happening: &Arc<Happening>) {
        if self.settings.wants(happening) && self.queue.try_send(happening.clone()).is_err() {
            self.counts.hook_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Caller<'s> {
    settings: &'s WebhookSettings,
    agent: ureq::Agent,
    counts: Arc<Counts>,
    /// Said once until it works again.
    is_failing: bool,
}

/// What an attempt came to.
enum Attempt {
    Delivered,
    /// Another one may go better.
    Again(String),
    /// The far end does not want it.
    Refused(String),
}

impl<'s> Caller<'s> {
    fn new(settings: &'s WebhookSettings, counts: Arc<Counts>) -> Caller<'s> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            // Another address was not configured.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("skywave/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Caller { settings, agent: config.into(), counts, is_failing: false }
    }

    fn run(mut self, received: &Receiver<Arc<Happening>>) {
        while let Ok(happening) = received.recv() {
            self.deliver(&happening);
        }
    }

    fn deliver(&mut self, happening: &Happening) {
        let body = happening.envelope();
        let mut pause = PAUSE_MIN;
        for attempt in 1..=ATTEMPTS_MAX {
            let cause = match self.attempt(happening, &body) {
                Attempt::Delivered => {
                    self.counts.hook_delivered.fetch_add(1, Ordering::Relaxed);
                    self.is_failing = false;
                    return;
                }
                Attempt::Refused(cause) => return self.give_up(&cause),
                Attempt::Again(cause) if attempt == ATTEMPTS_MAX => return self.give_up(&cause),
                Attempt::Again(cause) => cause,
            };
            tracing::debug!(cause, attempt, "a webhook is tried again");
            self.counts.hook_retried.fetch_add(1, Ordering::Relaxed);
            wait(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn attempt(&self, happening: &Happening, body: &str) -> Attempt {
        let mut request = self
            .agent
            .post(&self.settings.url)
            .header("Content-Type", "application/json")
            .header("Skywave-Event", happening.name)
            .header("Skywave-Delivery", format!("{}-{}", happening.boot, happening.number));
        if let Some(secret) = &self.settings.secret {
            request = request.header("Skywave-Signature", sign(secret, unix_seconds(), body));
        }
        match request.send(body) {
            Ok(response) => match response.status().as_u16() {
                200..=299 => Attempt::Delivered,
                status @ (408 | 425 | 429 | 500..) => Attempt::Again(format!("status {status}")),
                status => Attempt::Refused(format!("status {status}")),
            },
            // Its words may hold the address.
            Err(ureq::Error::BadUri(_)) => Attempt::Refused("the address is none".into()),
            Err(ureq::Error::Timeout(_)) => Attempt::Again("no answer in time".into()),
            Err(ureq::Error::HostNotFound) => Attempt::Again("its name is not known".into()),
            Err(ureq::Error::Io(error)) => Attempt::Again(error.kind().to_string()),
            Err(_) => Attempt::Again("the request failed".into()),
        }
    }

    fn give_up(&mut self, cause: &str) {
        self.counts.hook_failed.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(cause, "a webhook does not take its events");
        }
    }
}

/// The value of `Skywave-Signature`.
#[must_use]
pub fn sign(secret: &str, unix_seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body.as_bytes());
    let hex = |byte: u8| format!("{byte:02x}");
    let hex: String = mac.finalize().into_bytes().into_iter().map(hex).collect();
    format!("t={unix_seconds},v1={hex}")
}

/// Waits on a channel that says nothing: this thread may.
fn wait(time: Duration) {
    let (_kept, nothing) = sync_channel::<()>(1);
    let waited = nothing.recv_timeout(time);
    debug_assert_eq!(waited, Err(RecvTimeoutError::Timeout));
}

#[allow(clippy::disallowed_methods, reason = "the far end compares it with its own clock")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::Told;

    fn happening(name: &'static str, stream: &str) -> Happening {
        let data = serde_json::json!({});
        let told = Told { name: Some(name), stream: stream.into(), data, change: None };
        Happening::new(1, 2, 3, told).expect("it has a name")
    }

    #[test]
    fn a_hook_is_told_what_it_wants() {
        let settings = |events: &[&str], streams: &[&str]| WebhookSettings {
            url: String::new(),
            events: events.iter().map(|it| (*it).to_owned()).collect(),
            streams: streams.iter().map(|it| (*it).to_owned()).collect(),
            secret: None,
            timeout: Duration::from_secs(1),
        };
        let ended = happening("recording:ended", "hall");
        assert!(settings(&[], &[]).wants(&ended));
        assert!(settings(&["recording:*"], &["hall"]).wants(&ended));
        assert!(!settings(&["recording"], &[]).wants(&ended));
        assert!(!settings(&["icey:vision"], &[]).wants(&ended));
        assert!(!settings(&[], &["door"]).wants(&ended));
    }

    /// By `printf '5.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_is_what_others_compute() {
        assert_eq!(sign("key", 5, "{}"), SIGNED);
    }

    const SIGNED: &str = "t=5,v1=9be615aec64f0d044b5ad6854ab1d893ec88617fb728d2149dcd3a3428e8c45d";
}
