//! `[auth]`, `[rtc]` and `[[stream]]`: browsers that publish and watch.

use std::net::{IpAddr, SocketAddr};

use crate::check;
use crate::define::keys;
use crate::limits::MemoryTerm;
use crate::types::Secret;

keys! {
    /// Who may do what a browser does here: publish, watch what is not public, signal, ask the API.
    pub struct Auth in "auth" {
        /// Tokens that open all of it, sent as `Authorization: Bearer TOKEN`. Sections have tokens
        /// that open less.
        tokens: Vec<Secret> = Vec::new(), example("[\"a long random string\"]"),
            check(|auth| check_tokens(&auth.tokens));
    }
}

keys! {
    /// WebRTC: browsers publish by WHIP at `/whip/NAME` and watch by WHEP at `/whep/NAME`. It runs
    /// on every shard, and only where `listen` names an address.
    pub struct Rtc in "rtc" {
        /// Addresses where media comes, by UDP and TCP; one port for all sessions. Empty: none.
        listen: Vec<SocketAddr> = Vec::new(), example("[\"0.0.0.0:8443\", \"[::]:8443\"]"),
            restart(), check(|rtc| check::ports(&rtc.listen));

        /// Addresses that browsers are told, with the port of `listen` of their family. Empty:
        /// those of `listen` that are not unspecified.
        external: Vec<String> = Vec::new(), example("[\"203.0.113.7\"]"), restart(),
            check(|rtc| check_external(&rtc.external));

        /// Whether browsers that cannot use UDP may come by TCP.
        tcp: bool = true, restart();

        /// Tokens that let publish any stream that has none of its own. Without these and without
        /// `auth.tokens` nobody may.
        publish_tokens: Vec<Secret> = Vec::new(), example("[\"a token of encoders\"]"),
            check(|rtc| check_tokens(&rtc.publish_tokens));

        /// Tokens that let watch, where there are any; then nobody watches without. A stream may
        /// have its own.
        watch_tokens: Vec<Secret> = Vec::new(), example("[\"a token of viewers\"]"),
            check(|rtc| check_tokens(&rtc.watch_tokens));

        /// Whether a stream that is not configured comes to life when somebody publishes it.
        any_stream: bool = true;

        /// Streams at most, configured or not. Then: 503.
        streams_max: usize = 10_000, within(1, 1_000_000), restart();

        /// Sessions of a shard, publishers and viewers. Then: 503.
        sessions_per_shard_max: usize = 10_000, within(1, 1_000_000), restart();

        /// How long a session may take from its answer to being connected, in milliseconds.
        connect_timeout_ms: u64 = 20_000, within(1_000, 600_000), restart();

        /// How long nothing may be heard of a session's far end, in milliseconds.
        silence_timeout_ms: u64 = 30_000, within(2_000, 600_000), restart();

        /// The shortest time between two requests to a publisher for a keyframe of one track, in
        /// milliseconds; what viewers ask for meanwhile is answered by the next one.
        keyframe_interval_ms: u64 = 500, within(50, 60_000), restart();

        /// Bytes that a shard keeps of publishers since their last keyframes, so that who comes to
        /// watch sees a picture at once. What nobody watches there has three quarters of it. Then:
        /// a track is kept again from its next keyframe on.
        cache_bytes_per_shard_max: usize = 268_435_456, within(65_536, 1 << 40), restart();

        /// Bits each second that a viewer is sent at most.
        viewer_bps_max: u64 = 20_000_000, within(50_000, 1_000_000_000), restart();

        /// How long viewers of a stream without a publisher wait for one, in seconds, where the
        /// stream says nothing of its own. 0: they are ended.
        wait_s: u64 = 60, within(0, 86_400);
    }
}

keys! {
    /// A stream that browsers publish and watch.
    pub struct Stream in "stream" {
        /// Its name in `/whip/NAME` and `/whep/NAME`.
        name: String = String::new(), required(), own(), example("\"stage\""),
            check(|stream| stream_name(&stream.name));

        /// The token that lets publish it, instead of those of `rtc.publish_tokens`.
        publish_token: Option<Secret> = None, own(), example("\"a token of its own\"");

        /// The token that lets watch it, instead of those of `rtc.watch_tokens`.
        watch_token: Option<Secret> = None, own(), example("\"another token\"");

        /// Whether a second publisher replaces the first, as a page that is loaded anew does.
        /// Otherwise it is refused with 409.
        takeover: bool = true, own();

        /// The stream that its viewers see while this one has no publisher.
        successor: Option<String> = None, own(), example("\"pause\""),
            check(|stream| stream.successor.as_deref().map_or(Ok(()), stream_name));

        /// The mount that its sound feeds, as Ogg/Opus, while somebody publishes it. Publishing
        /// takes what a source of the mount would have to show: its password as the token, or
        /// `publish_token` of this stream, or one of `auth.tokens`.
        to_mount: Option<String> = None, own(), example("\"/live.opus\""),
            check(|stream| check::mount_path_if_set(&stream.to_mount));

        /// The mount of Ogg/Opus that is heard on this stream, with its fallbacks. Nobody else
        /// publishes it then.
        from_mount: Option<String> = None, own(), example("\"/music.opus\""),
            check(|stream| check::mount_path_if_set(&stream.from_mount));

        /// Viewers at most on each shard. Then: 503. Not set: only `rtc.sessions_per_shard_max`
        /// counts.
        viewers_per_shard_max: Option<usize> = None, own(), within(1, 1_000_000), example("1000");

        /// The room of signalling that hears what happens to it: motion, voice, recordings. Not
        /// set: the rooms that everybody is in, unless watching it needs a token.
        events_room: Option<String> = None, own(), example("\"guards\""),
            check(|stream| stream.events_room.as_deref().map_or(Ok(()), crate::symple::room_name));

        /// Parts of the picture in which motion counts, each `"X Y WIDTH HEIGHT"` in hundredths of
        /// the picture. Empty: all of it. For streams of `workers.sources`, and for those that
        /// are recorded.
        zones: Vec<String> = Vec::new(), own(), example("[\"0 50 100 50\"]"), restart(),
            check(|stream| stream.zones.iter().try_for_each(|it| zone(it).map(drop)));

        /// Parts of the picture in which it does not.
        masks: Vec<String> = Vec::new(), own(), example("[\"80 0 20 10\"]"), restart(),
            check(|stream| stream.masks.iter().try_for_each(|it| zone(it).map(drop)));

        /// How long its viewers wait for a publisher, in seconds. Not set: `rtc.wait_s`.
        wait_s: Option<u64> = None, own(), within(0, 86_400), example("60");
    }
}

/// A session: its keys and state, a thousand packets that wait and a thousand that may be sent
/// again, by reference.
const SESSION_BYTES: u64 = (64 + 2 * 1_000 / 4) * 1024;

/// What viewers of a stream refer to together: a thousand packets that may be sent again.
const STREAM_BYTES: u64 = 1_000 * 1_200;

impl Rtc {
    /// Whether it is wanted at all.
    pub fn is_wanted(&self) -> bool {
        !self.listen.is_empty()
    }

    /// What WebRTC adds to [`crate::Limits::memory_terms`] with so many shards; nothing where it is
    /// not wanted.
    pub fn memory_terms(&self, shards_count: usize) -> Vec<MemoryTerm> {
        if !self.is_wanted() {
            return Vec::new();
        }
        let shards = shards_count as u64;
        let sessions = shards.saturating_mul(self.sessions_per_shard_max as u64);
        vec![
            MemoryTerm::new("rtc sessions", sessions, SESSION_BYTES),
            MemoryTerm::new("rtc streams", self.streams_max as u64, STREAM_BYTES),
            MemoryTerm::new("rtc keyframe caches", shards, self.cache_bytes_per_shard_max as u64),
        ]
    }

    /// Where browsers are told to send: each external address with the port of its family.
    pub fn announced(&self) -> Vec<SocketAddr> {
        let of_listen = self.listen.iter().copied().filter(|it| !it.ip().is_unspecified());
        if self.external.is_empty() {
            return of_listen.collect();
        }
        let ips = self.external.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        let with_port = |ip: IpAddr| {
            let listen = self.listen.iter().find(|it| it.is_ipv4() == ip.is_ipv4());
            listen.map(|listen| SocketAddr::new(ip, listen.port()))
        };
        ips.filter_map(with_port).collect()
    }
}

/// A name that stands in a path as it is: letters, digits and `- . _`, at most 64.
pub fn stream_name(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_dots = name.chars().all(|c| c == '.');
    if (1..=64).contains(&name.len()) && name.chars().all(is_good) && !is_dots {
        return Ok(());
    }
    Err(format!("expected 1 to 64 letters, digits and - . _, found {name:?}"))
}

/// A part of a picture: left edge, upper edge, width and height, in hundredths of the picture.
///
/// # Errors
/// It is none, or not within the picture.
pub fn zone(text: &str) -> Result<[u8; 4], String> {
    let numbers: Option<Vec<u8>> = text.split_whitespace().map(|it| it.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, width, height])
            if width > 0
                && height > 0
                && u32::from(x) + u32::from(width) <= 100
                && u32::from(y) + u32::from(height) <= 100 =>
        {
            Ok([x, y, width, height])
        }
        _ => Err(format!("expected X Y WIDTH HEIGHT within 0 to 100, found {text:?}")),
    }
}

fn check_tokens(tokens: &[Secret]) -> Result<(), String> {
    let is_token = |secret: &Secret| {
        let text = secret.expose();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match tokens.iter().all(is_token) {
        true => Ok(()),
        false => Err("expected tokens without spaces, found one that is none".to_owned()),
    }
}

fn check_external(list: &[String]) -> Result<(), String> {
    let is_address = |text: &&String| {
        text.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified() && !ip.is_multicast())
    };
    match list.iter().find(|text| !is_address(text)) {
        Some(text) => Err(format!("expected an address, found {text:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_address_has_the_port_of_its_family() {
        let listen = ["0.0.0.0:8443", "[::]:8444"];
        let listen = listen.iter().map(|text| text.parse().expect("an address")).collect();
        let external = vec!["203.0.113.7".to_owned(), "2001:db8::1".to_owned()];
        let rtc = Rtc { listen, external, ..Rtc::default() };
        let told: Vec<String> = rtc.announced().iter().map(SocketAddr::to_string).collect();
        assert_eq!(told, ["203.0.113.7:8443", "[2001:db8::1]:8444"]);
    }

    #[test]
    fn a_zone_lies_within_the_picture() {
        assert_eq!(zone("0 50 100 50"), Ok([0, 50, 100, 50]));
        for bad in ["", "0 0 0 10", "50 0 51 10", "0 0 10", "0 0 10 10 10", "-1 0 5 5", "a b c d"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_streams_name_stands_in_a_path() {
        for good in ["a", "stage-1", "x.y_z"] {
            assert_eq!(stream_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(stream_name(bad).is_err(), "{bad}");
        }
    }
}
