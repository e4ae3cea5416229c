//! What must hold between keys, and what is allowed but surely not meant.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::define::Section;
use crate::read::Places;
use crate::{Config, Files, Limits, Listen, MOUNT_DEFAULTS, Mount, Rtc, Shards, Stream, Tls, Turn};

/// A key, by section, index of the table and name.
type Spot = (&'static str, usize, &'static str);

/// Every relation that does not hold, at the key that is best changed.
pub(crate) fn faults(config: &Config, places: &Places) -> Vec<(Spot, String)> {
    let mut faults = Vec::new();
    sockets(config, places, &mut faults);
    shards(config, &mut faults);
    mount_sizes(config, &config.mount_defaults, (MOUNT_DEFAULTS, 0), places, &mut faults);
    for (index, mount) in config.mounts.iter().enumerate() {
        mount_sizes(config, mount, (Mount::NAME, index), places, &mut faults);
    }
    mount_names(config, &mut faults);
    turn(config, &mut faults);
    rtc(config, &mut faults);
    fallbacks(config, &mut faults);
    files(config, &mut faults);
    if config.limits.sources_max > config.limits.clients_max {
        let message = format!("must not exceed clients_max, {}", config.limits.clients_max);
        faults.push((("limits", 0, "sources_max"), message));
    }
    faults
}

impl Config {
    /// What is allowed but surely not meant, one sentence each; to print at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |is_so: bool, text: &str| {
            if is_so {
                warnings.push(text.to_owned());
            }
        };
        let credentials = &self.credentials;
        let has_feed = |mount: &Mount| mount.password.is_some() || !mount.pull.is_empty();
        let is_closed = credentials.source_password.is_none()
            && self.mount_defaults.password.is_none()
            && !self.mounts.iter().any(has_feed);
        warn(is_closed && !self.demo.enabled, "no source password is set: every source is refused");
        warn(credentials.admin_password.is_none(), "no admin password is set: /admin/ is closed");
        let turn = &self.turn;
        warn(
            turn.is_wanted() && !turn.has_credentials(),
            "turn has neither users nor secrets: it does not start",
        );
        warn(
            turn.ice_servers != "off" && (turn.secrets.is_empty() || !turn.starts()),
            "turn.ice_servers needs turn.listen and a secret: nothing is handed out",
        );
        let may_publish = !self.rtc.publish_tokens.is_empty()
            || !self.auth.tokens.is_empty()
            || self.streams.iter().any(|stream| stream.publish_token.is_some());
        warn(
            self.rtc.is_wanted() && !may_publish,
            "rtc has no publish_tokens and there are no auth.tokens: nobody may publish",
        );
        let secrets = [&credentials.source_password, &credentials.admin_password];
        let is_well_known =
            secrets.iter().any(|s| s.as_ref().is_some_and(|s| s.expose() == "hackme"));
        warn(is_well_known, "a password is \"hackme\", which every scanner tries first");
        warn(
            self.server.trusted_proxies.is_empty() && self.listen.iter().any(|l| l.proxy_protocol),
            "proxy_protocol is on but trusted_proxies is empty: no PROXY header is believed",
        );
        if let Some(count) = self.shards.count {
            let sockets = count as u64 * u64::from(self.limits.sockets_per_shard_max);
            warn(
                sockets < u64::from(self.limits.clients_max)
                    && self.limits.clients_max != Limits::DEFAULTS.clients_max,
                "clients_max cannot be reached: the shards' sockets_per_shard_max add up to less",
            );
        }
        for mount in &self.mounts {
            let name = &mount.name;
            let no_fallback = mount.fallback.is_none();
            warn(
                no_fallback && (mount.fallback_override || mount.fallback_when_full),
                &format!("{name}: fallback_override and fallback_when_full need a fallback"),
            );
            warn(
                mount.pull.is_empty() && mount.pull_on_demand,
                &format!("{name}: pull_on_demand needs a pull"),
            );
        }
        warnings
    }

    /// The mount that listeners of `name` fall back to, configured or by default.
    fn fallback_of<'a>(&'a self, name: &str) -> Option<&'a str> {
        match self.mounts.iter().find(|mount| mount.name == name) {
            Some(mount) => mount.fallback.as_deref(),
            None => self.mount_defaults.fallback.as_deref().filter(|target| *target != name),
        }
    }
}

/// Each path has one directory.
fn files(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let mut seen = BTreeSet::new();
    for (index, files) in config.files.iter().enumerate() {
        if !files.prefix.is_empty() && !seen.insert(&files.prefix) {
            let message = format!("{:?} already has a directory", files.prefix);
            faults.push(((Files::NAME, index, "prefix"), message));
        }
    }
}

/// TURN needs an address to lend, and certificates for TLS.
fn turn(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let turn = &config.turn;
    if turn.is_wanted() && turn.external_addresses().is_empty() {
        let message = "which address is lent? needed where turn.listen names none".to_owned();
        faults.push(((Turn::NAME, 0, "external"), message));
    }
    if !turn.listen_tls.is_empty() && config.tls.certificates.is_empty() {
        let message = "needs tls.certificates".to_owned();
        faults.push(((Turn::NAME, 0, "listen_tls"), message));
    }
}

/// WebRTC needs an address to tell browsers, and ports that TURN does not have. Streams have names
/// of their own.
fn rtc(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let rtc = &config.rtc;
    if rtc.is_wanted() && rtc.announced().is_empty() {
        let message = "which address are browsers told? needed where rtc.listen names none";
        faults.push(((Rtc::NAME, 0, "external"), message.to_owned()));
    }
    if let Some(taken) = rtc.listen.iter().find(|it| config.turn.listen.contains(it)) {
        faults.push(((Rtc::NAME, 0, "listen"), format!("{taken} is already taken by turn.listen")));
    }
    let (mut seen, mut fed) = (BTreeSet::new(), BTreeSet::new());
    for (index, stream) in config.streams.iter().enumerate() {
        if let Some(mount) = stream.to_mount.as_ref().filter(|mount| !fed.insert(*mount)) {
            let message = format!("{mount:?} is already fed by another stream");
            faults.push(((Stream::NAME, index, "to_mount"), message));
        }
        if stream.to_mount.is_some() && stream.to_mount == stream.from_mount {
            let message = "the mount would be fed with itself".to_owned();
            faults.push(((Stream::NAME, index, "from_mount"), message));
        }
        if !stream.name.is_empty() && !seen.insert(&stream.name) {
            let message = format!("{:?} is already another stream's", stream.name);
            faults.push(((Stream::NAME, index, "name"), message));
        }
        // A successor's own successor is not looked at, so that a circle of two does no harm.
        if stream.successor.as_deref() == Some(&stream.name) {
            let message = "succeeds itself".to_owned();
            faults.push(((Stream::NAME, index, "successor"), message));
        }
    }
}

/// Two sockets cannot have one address; that of ICY v1 sources counts.
fn sockets(config: &Config, places: &Places, faults: &mut Vec<(Spot, String)>) {
    let (certificates, keys) = (config.tls.certificates.len(), config.tls.keys.len());
    if keys != 0 && keys != certificates {
        let message = format!("expected one for each of {certificates} certificates, found {keys}");
        faults.push(((Tls::NAME, 0, "keys"), message));
    }
    for (index, listen) in config.listen.iter().enumerate() {
        if listen.https_redirect && !listen.tls {
            let message = "needs tls = true in the same [[listen]]".to_owned();
            faults.push(((Listen::NAME, index, "https_redirect"), message));
        }
        if listen.tls && config.tls.certificates.is_empty() {
            let message = "needs tls.certificates".to_owned();
            faults.push(((Listen::NAME, index, "tls"), message));
        }
    }
    if config.listen.is_empty() {
        faults.push(((Listen::NAME, 0, "address"), "at least one [[listen]] is needed".into()));
    }
    let mut taken: Vec<(SocketAddr, bool)> = Vec::new();
    for (index, listen) in config.listen.iter().enumerate() {
        // Where the address was refused, the default stands in its place; it clashes with nothing.
        if places.of(Listen::NAME, index, "address").is_none() {
            continue;
        }
        let mut claim = |key, address: SocketAddr, what: &str| {
            let is_dual = address.is_ipv6() && !listen.v6_only && address.ip().is_unspecified();
            let clashes = |(other, other_is_dual): &(SocketAddr, bool)| {
                let covers = (is_dual && other.is_ipv4()) || (*other_is_dual && address.is_ipv4());
                *other == address || (covers && other.port() == address.port())
            };
            if let Some((other, _)) = taken.iter().find(|entry| clashes(entry)) {
                let message = format!("{address}{what} is already taken by {other}");
                faults.push(((Listen::NAME, index, key), message));
            }
            taken.push((address, is_dual));
        };
        claim("address", listen.address, "");
        match listen.shoutcast_address() {
            Some(address) => claim("shoutcast_mount", address, " (the port above this socket's)"),
            None if listen.shoutcast_mount.is_some() => {
                let message = format!("needs the port above {}", listen.address.port());
                faults.push(((Listen::NAME, index, "shoutcast_mount"), message));
            }
            None => {}
        }
    }
}

fn shards(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let cores = &config.shards.cores;
    let mut seen = BTreeSet::new();
    if let Some(twice) = cores.iter().find(|core| !seen.insert(**core)) {
        faults.push(((Shards::NAME, 0, "cores"), format!("core {twice} is named twice")));
    }
    if let Some(count) = config.shards.count
        && !cores.is_empty()
        && cores.len() != count
    {
        let message = format!("{count} shards are to be pinned to {} cores", cores.len());
        faults.push(((Shards::NAME, 0, "count"), message));
    }
}

/// Pairs of a mount's sizes and times. A pair that is wrong in the defaults is reported there only.
fn mount_sizes(
    config: &Config,
    mount: &Mount,
    (section, index): (&'static str, usize),
    places: &Places,
    faults: &mut Vec<(Spot, String)>,
) {
    let window_max = config.limits.window_bytes_max as u64;
    let window = mount.window_bytes as u64;
    // A listener who asks for titles joins at one of them: some must stand in the window.
    let pairs = [
        ("burst_bytes", mount.burst_bytes as u64, "window_bytes", window),
        ("metaint", u64::from(mount.metaint), "half of window_bytes", window / 2),
        ("window_bytes", window, "limits.window_bytes_max", window_max),
    ];
    for (key, value, bound_key, bound) in pairs {
        if value <= bound {
            continue;
        }
        let bound_name = bound_key.trim_start_matches("half of ");
        let set = [key, bound_name].into_iter().find(|k| places.of(section, index, k).is_some());
        if set.is_some() || section == MOUNT_DEFAULTS {
            let spot = (section, index, set.unwrap_or(key));
            faults.push((spot, format!("{key} {value} exceeds {bound_key}, {bound}")));
        }
    }
}

fn mount_names(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let mut seen = BTreeSet::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        if !mount.name.is_empty() && !seen.insert(&mount.name) {
            let message = format!("{:?} is already another mount's", mount.name);
            faults.push(((Mount::NAME, index, "name"), message));
        }
    }
    if config.mounts.len() > config.limits.mounts_max as usize {
        let message = format!("{} mounts are configured", config.mounts.len());
        faults.push((("limits", 0, "mounts_max"), message));
    }
}

/// Every cycle once, with the chain, at the mount of it that comes first in the file.
fn fallbacks(config: &Config, faults: &mut Vec<(Spot, String)>) {
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        let mut chain: Vec<&str> = vec![&mount.name];
        while let Some(next) = config.fallback_of(chain[chain.len() - 1]) {
            let is_back_at_start = next == mount.name;
            // A cycle that this mount only leads to is reported at one of its own mounts.
            let is_old = chain.contains(&next) || reported.contains(next);
            if !is_back_at_start && is_old {
                break;
            }
            chain.push(next);
            if is_back_at_start {
                let message = match chain.len() {
                    2 => "falls back to itself".into(),
                    _ => format!("falls back in a circle: {}", chain.join(" → ")),
                };
                faults.push(((Mount::NAME, index, "fallback"), message));
                reported.extend(chain);
                break;
            }
        }
    }
}
