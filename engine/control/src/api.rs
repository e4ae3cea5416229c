//! `/api/…`: how the server is and what a browser's application needs, in icey-server's shapes.
//!
//! Who may ask has been decided by the shard, from its table of routes. Names of files are shown
//! without their folders, and of secrets nothing.

use std::collections::BTreeMap;

use engine_config::Config;
use engine_rtc::StreamRow;
use serde_json::{Value, json};

use crate::control::Control;

/// What answers call the program.
const NAME: &str = "skywave";
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Control {
    /// `/api/config`: what a page has to know before it signals.
    pub(crate) fn api_config(&self) -> String {
        let config = &self.config;
        let mut turn = json!({"enabled": config.turn.starts()});
        if config.turn.starts() {
            let listen = config.turn.listen.first().or(config.turn.listen_tls.first());
            turn["host"] = json!(turn_host(config));
            turn["port"] = json!(listen.map(std::net::SocketAddr::port));
            if let Some((username, credential)) = self.turn_credentials(NAME) {
                turn["username"] = json!(username);
                turn["credential"] = json!(credential);
            }
        }
        let stun: Vec<String> = match config.turn.listen.first() {
            Some(listen) if config.turn.starts() => {
                vec![format!("stun:{}:{}", turn_host(config), listen.port())]
            }
            _ => Vec::new(),
        };
        let http = http(config);
        said(&json!({
            "status": "ok",
            "product": NAME,
            "service": NAME,
            "version": VERSION,
            "mode": config.stream_mode(&config.symple.stream).as_str(),
            "source": {"value": "", "kind": "none", "remote": false},
            "http": http,
            "peer": peer(config),
            "turn": turn,
            "stun": {"urls": stun},
            "symple": {
                "enabled": config.symple.enabled,
                "path": "/ws",
                "access": if config.symple_tokens().is_some() { "token" } else { "open" },
            },
            "rtc": {"enabled": config.rtc.is_wanted(), "whip": "/whip/", "whep": "/whep/"},
        }))
    }

    /// `/api/status` and `/api/ready`.
    pub(crate) fn api_status(&self) -> String {
        let config = &self.config;
        let is_ready = self.is_ready();
        let warnings = config.warnings();
        let view = self.view();
        let uptime_s = view.now.saturating_sub(view.started).as_secs();
        let symple = || view.shards.iter().filter_map(|shard| shard.symple.as_deref());
        let sum = |of: fn(&engine_node::SympleStats) -> u64| symple().map(of).sum::<u64>();
        let rtc = || view.shards.iter().filter_map(|shard| shard.rtc.as_deref());
        let publishers: usize = rtc().map(|stats| stats.publishers_count).sum();
        let viewers: usize = rtc().map(|stats| stats.viewers_count).sum();
        let state = match (is_ready, self.is_draining()) {
            (true, _) => "running",
            (false, true) => "stopping",
            (false, false) => "starting",
        };
        let status = match (is_ready, warnings.is_empty()) {
            (false, _) => "error",
            (true, false) => "degraded",
            (true, true) => "ok",
        };
        let result = |is_good: bool| if is_good { "pass" } else { "warn" };
        let listen = config.listen.first().map(|listen| listen.address);
        let certificate = config.tls.certificates.first().and_then(|path| path.file_name());
        let has_tls = !config.tls.certificates.is_empty();
        let turn_detail = if config.turn.starts() { "it runs" } else { "it does not run" };
        let shards = view.shards.len();
        let mut answer = json!({
            "product": NAME,
            "service": NAME,
            "version": VERSION,
            "mode": config.stream_mode(&config.symple.stream).as_str(),
            "host": listen.map(|address| address.ip().to_string()),
            "port": self.setup.port,
            "source": {"value": "", "kind": "none", "remote": false},
            "http": http(config),
            "turn": {
                "enabled": config.turn.starts(),
                "port": config.turn.listen.first().map(std::net::SocketAddr::port),
                "externalIp": config.turn.external.first().cloned().unwrap_or_default(),
                "localRelay": !config.turn.allow_peers.is_empty(),
            },
            "tls": {
                "configured": has_tls,
                "enabled": config.listen.iter().any(|listen| listen.tls),
                "certFile": certificate.map(|name| name.to_string_lossy()).unwrap_or_default(),
            },
            "web": {"root": "embedded"},
            "config": {"exists": true, "valid": true},
            "checks": [
                {"name": "shards", "result": result(shards == self.setup.shards_count),
                 "detail": format!("{shards} of {} report", self.setup.shards_count)},
                {"name": "turn", "result": result(config.turn.starts()), "detail": turn_detail},
            ],
            "warnings": warnings,
            "ready": is_ready,
            "status": status,
            "peer": peer(config),
            "runtime": {"state": state},
            "sessions": {
                "total": publishers + viewers,
                "active": publishers + viewers,
                "publishers": publishers,
                "viewers": viewers,
            },
            "signalling": {
                "enabled": config.symple.enabled,
                "websockets": sum(|stats| stats.websockets_count),
                "sessions": sum(|stats| stats.counters.sessions as u64),
                "rooms": sum(|stats| stats.counters.rooms as u64),
            },
            "uptimeSec": uptime_s,
        });
        for (name, block) in self.status_of_workers() {
            answer[name] = block;
        }
        said(&answer)
    }
}

impl Control {
    /// `/api/streams`: what is published, and what is configured and may be soon. It is as old as
    /// the shards' last reports, so that it asks nothing of them however often it is asked for.
    pub(crate) fn api_streams(&self) -> String {
        let view = self.view();
        let reports = view.shards.iter().filter_map(|shard| shard.rtc.as_deref());
        let streams = streams_of(reports.flat_map(|stats| &stats.streams), &self.config);
        said(&json!({"status": "ok", "streams": streams}))
    }
}

/// One row for each stream that somebody publishes or that is configured. What is only waited for
/// is left out: viewers choose those names.
fn streams_of<'a>(rows: impl Iterator<Item = &'a StreamRow>, config: &'a Config) -> Vec<Value> {
    let mut streams: BTreeMap<&str, (bool, usize, usize)> = BTreeMap::new();
    for row in rows {
        let (is_published, tracks, viewers) = streams.entry(&row.name).or_default();
        *is_published |= row.is_published;
        *tracks += row.tracks_count;
        *viewers += row.viewers_count;
    }
    streams.retain(|name, (is_published, ..)| {
        *is_published || config.streams.iter().any(|stream| stream.name == **name)
    });
    for stream in &config.streams {
        streams.entry(&stream.name).or_default();
    }
    let rows = streams.into_iter();
    rows.map(|(name, (live, tracks, viewers))| {
        let mode = config.stream_mode(name).as_str();
        let mut row = json!({
            "name": name, "mode": mode, "live": live, "tracks": tracks, "viewers": viewers,
        });
        let configured = config.streams.iter().find(|stream| stream.name == name);
        let mounts =
            configured.map(|it| [("to_mount", &it.to_mount), ("from_mount", &it.from_mount)]);
        for (key, mount) in mounts.into_iter().flatten() {
            if let Some(mount) = mount {
                row[key] = mount.as_str().into();
            }
        }
        row
    })
    .collect()
}

fn http(config: &Config) -> Value {
    let listen = config.listen.first();
    let has_tls = listen.is_some_and(|listen| listen.tls);
    json!({
        "host": listen.map(|listen| listen.address.ip().to_string()),
        "port": listen.map(|listen| listen.address.port()),
        "scheme": if has_tls { "https" } else { "http" },
        "tls": has_tls,
    })
}

/// The server's own peer.
fn peer(config: &Config) -> Value {
    let (user, id) = config.symple.peer_parts().unwrap_or_default();
    json!({"id": id, "user": user, "name": config.symple.peer_name, "type": "server"})
}

/// Where a browser finds TURN; an address that is none is the page's own host.
fn turn_host(config: &Config) -> String {
    let external = config.turn.external_addresses();
    match external.first() {
        Some((announced, _)) => announced.to_string(),
        None => config.server.hostname.clone(),
    }
}

fn said(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, is_published: bool, viewers_count: usize) -> StreamRow {
        let tracks_count = if is_published { 2 } else { 0 };
        StreamRow { name: name.into(), is_published, tracks_count, viewers_count }
    }

    #[test]
    fn streams_are_added_up_over_shards_and_what_is_only_waited_for_is_left_out() {
        let text = "[[stream]]\nname = \"hall\"\nto_mount = \"/hall.opus\"\n";
        let config = Config::parse("f", text).expect("in order");
        let rows = [row("b", true, 1), row("b", false, 3), row("secret", false, 1)];
        assert_eq!(
            Value::from(streams_of(rows.iter(), &config)),
            json!([
                {"name": "b", "mode": "relay", "live": true, "tracks": 2, "viewers": 4},
                {
                    "name": "hall",
                    "mode": "relay",
                    "live": false,
                    "tracks": 0,
                    "viewers": 0,
                    "to_mount": "/hall.opus",
                },
            ])
        );
    }
}
