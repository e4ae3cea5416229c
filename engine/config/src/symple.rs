//! `[symple]`: signalling for browsers.

use crate::Config;
use crate::define::keys;
use crate::types::Secret;

keys! {
    /// Symple v4: signalling for browsers, over WebSocket at `/ws` and at `/`. It runs on every
    /// shard.
    pub struct Symple in "symple" {
        /// Whether it is served.
        enabled: bool = true, restart();

        /// Who may come in: `open` is everybody under whatever name, `token` is who knows one of
        /// `symple.tokens` or `auth.tokens`, `auto` is `token` where there is one and else `open`.
        access: String = "auto".into(), check(|symple| check_access(&symple.access));

        /// Tokens that open signalling and nothing else.
        tokens: Vec<Secret> = Vec::new(), example("[\"a token for visitors\"]"),
            check(|symple| check_tokens(&symple.tokens));

        /// Pages that may open a WebSocket besides this server's own: `https://radio.example`,
        /// `https://*.radio.example`, or `*`. Programs that are no browsers name no page.
        allowed_origins: Vec<String> = Vec::new(), example("[\"https://radio.example\"]"),
            restart(), check(|symple| check_origins(&symple.allowed_origins));

        /// Rooms that everybody is in.
        rooms: Vec<String> = vec!["public".into()], restart(),
            check(|symple| check_names(&symple.rooms));

        /// Rooms that a client may choose besides: names, beginnings such as `"team-*"`, or `"*"`
        /// for any. Empty: none.
        chosen_rooms: Vec<String> = Vec::new(), example("[\"team-*\"]"), restart(),
            check(|symple| check_names(&symple.chosen_rooms));

        /// Whether the room of a user's own name is closed to others.
        private_user_rooms: bool = true, restart();

        /// The server's own peer, `user|id`. Empty: there is none.
        peer: String = "icey|icey-server".into(), restart(),
            check(|symple| check_peer(&symple.peer));

        /// What people see of the server's own peer.
        peer_name: String = "icey".into(), restart(),
            check(|symple| check_names(std::slice::from_ref(&symple.peer_name)));

        /// The stream that a call to the server's own peer is about where the caller names none.
        stream: String = "live".into(), check(|symple| crate::stream_name(&symple.stream));

        /// How long a client may take to say who it is, in milliseconds. Then: 408.
        auth_timeout_ms: u64 = 10_000, within(100, 600_000), restart();

        /// Longest message in bytes. Then: 413.
        message_bytes_max: usize = 65_536, within(1_024, 1_048_576), restart();

        /// Messages of a client within `messages_within_ms`, at most so many at once. Then: 429.
        messages_max: u32 = 100, within(1, 1_000_000), restart();

        /// See `messages_max`.
        messages_within_ms: u64 = 10_000, within(100, 600_000), restart();

        /// Sessions of a shard. Then: 503.
        sessions_per_shard_max: usize = 16_384, within(1, 1_000_000), restart();

        /// Rooms of one session. Then: 403.
        session_rooms_max: usize = 32, within(1, 1_000), restart();

        /// Members of one room. Then: 503.
        room_members_max: usize = 16_384, within(1, 1_000_000), restart();

        /// Rooms that live on a shard. Then: 503.
        rooms_per_shard_max: usize = 65_536, within(1, 1_000_000), restart();

        /// Bytes that may wait for a client that does not read. Then it is closed with 1008.
        queue_bytes_max: usize = 8_388_608, within(65_536, 1_073_741_824), restart();

        /// What comes within so many microseconds for a client that was sent something as lately
        /// waits as long, and leaves together. 0: nothing waits.
        gather_us: u32 = 1_000, within(0, 1_000_000);

        /// Silence after which a client is asked whether it is there, in milliseconds; after as
        /// much again it is given up.
        ping_ms: u64 = 20_000, within(1_000, 600_000), restart();

        /// Connections of a shard whose messages may be compressed (permessage-deflate), some 64
        /// KiB each. 0: none.
        compressed_per_shard_max: usize = 1_024, within(0, 100_000), restart();
    }
}

impl Symple {
    /// User and id of the server's own peer, if there is one.
    pub fn peer_parts(&self) -> Option<(&str, &str)> {
        self.peer.split_once('|')
    }
}

impl Config {
    /// The tokens of which one is needed to signal; `None`: everybody may.
    pub fn symple_tokens(&self) -> Option<Vec<&Secret>> {
        let all: Vec<&Secret> = self.auth.tokens.iter().chain(&self.symple.tokens).collect();
        match self.symple.access.as_str() {
            "open" => None,
            "token" => Some(all),
            _ => (!all.is_empty()).then_some(all),
        }
    }
}

fn check_access(access: &str) -> Result<(), String> {
    match access {
        "auto" | "open" | "token" => Ok(()),
        other => Err(format!("expected \"auto\", \"open\" or \"token\", found {other:?}")),
    }
}

fn check_tokens(tokens: &[Secret]) -> Result<(), String> {
    match tokens.iter().any(|token| token.expose().is_empty()) {
        true => Err("expected tokens, found an empty one".to_owned()),
        false => Ok(()),
    }
}

fn check_origins(origins: &[String]) -> Result<(), String> {
    let is_rule = |text: &&String| *text == "*" || *text == "null" || text.contains("://");
    match origins.iter().find(|text| !is_rule(text)) {
        Some(text) => {
            Err(format!("expected an origin such as \"https://a.example\", found {text:?}"))
        }
        None => Ok(()),
    }
}

/// A room's name.
pub(crate) fn room_name(name: &str) -> Result<(), String> {
    check_names(&[name.to_owned()])
}

fn check_names(names: &[String]) -> Result<(), String> {
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("expected 1 to 128 bytes without |, found {name:?}")),
        None => Ok(()),
    }
}

fn check_peer(peer: &str) -> Result<(), String> {
    let is_right = peer.is_empty()
        || peer.split_once('|').is_some_and(|(user, id)| is_name(user) && is_name(id));
    match is_right {
        true => Ok(()),
        false => Err(format!("expected user|id, found {peer:?}")),
    }
}

fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.contains(|c: char| c == '|' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_come_in() {
        let tokens = |text: &str| {
            let config = Config::parse("f", text).expect("in order");
            config.symple_tokens().map(|all| all.len())
        };
        assert_eq!(tokens(""), None);
        assert_eq!(tokens("[auth]\ntokens = [\"a\"]\n[symple]\ntokens = [\"b\"]\n"), Some(2));
        assert_eq!(tokens("[auth]\ntokens = [\"a\"]\n[symple]\naccess = \"open\"\n"), None);
        assert_eq!(tokens("[symple]\naccess = \"token\"\n"), Some(0));
    }

    #[test]
    fn what_is_no_peer_and_no_room() {
        for bad in ["peer = \"icey\"", "peer = \"a|b|c\"", "rooms = [\"\"]", "access = \"x\""] {
            assert!(Config::parse("f", &format!("[symple]\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
