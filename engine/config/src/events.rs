//! `[events]` and `[[webhook]]`: what happens to streams, written down and told to other servers.

use std::path::PathBuf;

use crate::Config;
use crate::define::keys;
use crate::types::Secret;

keys! {
    /// What happens to streams: motion, voice, sources, recordings. It is told at `/api/events`, in
    /// rooms of signalling (`stream.events_room`), to webhooks, and in a log.
    pub struct Events in "events" {
        /// File for one line of JSON an event. Not set: `events.jsonl` in `server.data_dir`, where
        /// that is set.
        log: Option<PathBuf> = None, example("\"/var/log/skywave/events.jsonl\""), restart();

        /// Bytes of that file; then another one begins, and the old one is called `….1`.
        log_bytes_max: u64 = 16_777_216, within(4_096, 1_000_000_000_000), restart();

        /// Such files at most, the present one among them; the oldest go.
        log_files_max: u32 = 8, within(1, 1_000), restart();
    }
}

keys! {
    /// Another server that is told what happens to streams, by POST with JSON. There may be
    /// several.
    pub struct Webhook in "webhook" {
        /// Where: `http://…` or `https://…`.
        url: Secret = Secret::new(String::new()), required(), own(), restart(),
            example("\"https://guards.example/hook\""),
            check(|hook| check_url(hook.url.expose()));

        /// Only these events, such as `"icey:vision"` or `"recording:*"`. Empty: all.
        events: Vec<String> = Vec::new(), own(), restart(), example("[\"icey:vision\"]");

        /// Only what happens to these streams. Empty: to any.
        streams: Vec<String> = Vec::new(), own(), restart(), example("[\"door\"]"),
            check(|hook| hook.streams.iter().try_for_each(|it| crate::stream_name(it)));

        /// What each request is signed with: `Skywave-Signature: t=SECONDS,v1=HEX` is the
        /// HMAC-SHA256 of the seconds, a dot, and the body. Not set: no signature.
        secret: Option<Secret> = None, own(), restart(), example("\"a secret of both\"");

        /// How long the other server may take to answer, in milliseconds. Then it is asked again,
        /// six times in all, later each time.
        timeout_ms: u64 = 5_000, own(), restart(), within(100, 60_000);
    }
}

impl Config {
    /// Where the log of events is, if there is one.
    pub fn events_log(&self) -> Option<PathBuf> {
        let in_data_dir = || self.server.data_dir.as_ref().map(|it| it.join("events.jsonl"));
        self.events.log.clone().or_else(in_data_dir)
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_good = |host: &str| {
        !host.is_empty() && !host.starts_with('/') && url.bytes().all(|it| it.is_ascii_graphic())
    };
    match host.is_some_and(is_good) {
        true => Ok(()),
        // It may hold a credential, so that it is not repeated.
        false => Err("expected an address that begins with http:// or https://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_an_address() {
        let text = "[[webhook]]\nurl = \"https://u:p@h/x\"\nevents = [\"recording:*\"]\n";
        let config = Config::parse("f", text).expect("in order");
        assert_eq!(config.webhooks[0].url.expose(), "https://u:p@h/x");
        assert!(!format!("{config:?}").contains("u:p@h"), "an address is a secret");
        for bad in ["", "ftp://h", "http://", "http:///x", "https://a b"] {
            assert!(Config::parse("f", &format!("[[webhook]]\nurl = \"{bad}\"\n")).is_err());
        }
    }
}
