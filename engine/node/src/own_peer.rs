//! The server's own peer of signalling: who it is, and what streams it says there are.
//!
//! ```text
//! a stream's home: live, or over ─► Message::StreamIs ─► every shard: the set of live streams
//!                                     calls that wait for it ◄──┤
//!                           its peers, at most once a second ◄──┘
//! ```
//!
//! Each shard tells its own peers, from what the homes of streams have told it. As a stream that
//! comes and goes is news to everybody, what changes within [`TOLD_EVERY`] is told together.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine_config::Config;
use engine_rtc::Name;
use protocol_symple::{Input, RoomName, VirtualPeer};
use serde_json::{Map, Value, json};
use shards_runtime::{Context, Io, ShardId};

use crate::message::Message;
use crate::node::Node;

/// How often peers are told of other streams.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Streams in a presence, those that are live first. Newcomers are told it, so it has to be short;
/// `/api/streams` has all.
const STREAMS_TOLD_MAX: usize = 64;

/// What a shard knows and has told of streams.
#[derive(Default)]
pub(crate) struct OwnPeer {
    live: BTreeSet<Name>,
    /// What newcomers are told.
    told: Option<VirtualPeer>,
    /// When what has changed is told.
    due: Option<Instant>,
    told_at: Option<Instant>,
}

impl OwnPeer {
    /// What newcomers are told before any stream is live.
    pub(crate) fn new(config: &Config) -> OwnPeer {
        OwnPeer { told: own_peer(config, &BTreeSet::new()), ..OwnPeer::default() }
    }

    /// Something of what is told has changed.
    pub(crate) fn is_stale(&mut self, now: Instant) {
        let soonest = self.told_at.map_or(now, |at| at + TOLD_EVERY);
        self.due.get_or_insert(soonest.max(now));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn is_live(&self, name: &str) -> bool {
        self.live.contains(name)
    }
}

/// The server's own peer while these streams are live: in a room of its own name and in
/// everybody's.
pub(crate) fn own_peer(config: &Config, live: &BTreeSet<Name>) -> Option<VirtualPeer> {
    let (user, id) = config.symple.peer_parts()?;
    let rooms = std::iter::once(user).chain(config.symple.rooms.iter().map(String::as_str));
    let rooms = rooms.filter_map(RoomName::new).collect();
    // What a call that names no stream is about: clients of icey's know no others.
    let mode = config.stream_mode(&config.symple.stream);
    let capabilities = if config.rtc.is_wanted() { mode.capabilities() } else { &[] };
    let mut data = Map::new();
    data.insert("name".to_owned(), json!(config.symple.peer_name));
    data.insert("type".to_owned(), json!("server"));
    data.insert("mode".to_owned(), json!(mode.as_str()));
    data.insert("capabilities".to_owned(), json!(capabilities));
    data.insert("streams".to_owned(), Value::from(streams(config, live)));
    VirtualPeer::new(user, id, rooms, data)
}

/// Streams that are live, that the server has the source of, and that are configured.
fn streams(config: &Config, live: &BTreeSet<Name>) -> Vec<Value> {
    if !config.rtc.is_wanted() {
        return Vec::new();
    }
    let sources = config.workers.named_sources().map(|(name, _)| name);
    let known = sources.chain(config.streams.iter().map(|stream| stream.name.as_str()));
    let known: BTreeSet<&str> = known.filter(|name| !live.contains(*name)).collect();
    let live = live.iter().map(|name| (&**name, true));
    let all = live.chain(known.into_iter().map(|name| (name, false)));
    let row = |(name, is_live): (&str, bool)| {
        let mode = config.stream_mode(name);
        let capabilities = mode.capabilities();
        json!({"name": name, "mode": mode.as_str(), "live": is_live, "capabilities": capabilities})
    };
    all.take(STREAMS_TOLD_MAX).map(row).collect()
}

impl Node {
    /// Streams that are at home here went live or ended: all shards are told.
    pub(crate) fn tell_of_streams<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(rtc) = &mut self.rtc else { return };
        let (me, control) = (cx.me(), cx.control().0);
        for (name, is_live) in rtc.take_stream_changes() {
            for shard in (0..control).map(ShardId).filter(|it| *it != me) {
                cx.send_surely(shard, Message::StreamIs { name: name.clone(), is_live });
            }
            self.stream_is(cx.now(), name, is_live);
        }
    }

    /// A stream's home says that it is live, or over.
    pub(crate) fn stream_is(&mut self, now: Instant, name: Name, is_live: bool) {
        if self.signalling.is_none() {
            return;
        }
        self.own_peer.is_stale(now);
        if is_live {
            self.calls.stream_came(&name);
            self.own_peer.live.insert(name);
        } else {
            self.own_peer.live.remove(&name);
        }
    }

    /// Tells the peers of this shard what has changed, when it is time.
    pub(crate) fn tick_own_peer<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        if self.own_peer.due.take_if(|due| *due <= now).is_none() {
            return;
        }
        let peer = own_peer(&self.snapshot.config, &self.own_peer.live);
        let (Some(signalling), Some(peer)) = (&mut self.signalling, peer) else { return };
        if self.own_peer.told.as_ref() == Some(&peer) {
            return;
        }
        self.own_peer.told = Some(peer.clone());
        self.own_peer.told_at = Some(now);
        signalling.server.handle(now, Input::SetVirtual(peer));
        self.carry_out(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_told_with_its_mode_and_those_that_are_live_first() {
        let text = "[rtc]\nlisten = [\"127.0.0.1:9\"]\n[workers]\nsources = [\"live=/dev/video0\"]\n\
            [[stream]]\nname = \"hall\"\n[[stream]]\nname = \"air\"\nfrom_mount = \"/a.opus\"\n";
        let mut config = Config::parse("f", text).expect("in order");
        let live = |names: &[&str]| names.iter().map(|name| Name::from(*name)).collect();
        let row = |name: &str, mode: &str, is_live: bool| {
            let capabilities =
                if mode == "stream" { json!(["view"]) } else { json!(["publish", "view"]) };
            json!({"name": name, "mode": mode, "live": is_live, "capabilities": capabilities})
        };
        assert_eq!(
            streams(&config, &live(&["page", "air"])),
            [
                row("air", "stream", true),
                row("page", "relay", true),
                row("hall", "relay", false),
                row("live", "stream", false),
            ]
        );
        let of = |config: &Config| own_peer(config, &BTreeSet::new());
        let viewing = of(&config).expect("a peer");
        config.workers.sources.clear();
        assert_ne!(
            Some(viewing),
            of(&config),
            "anybody may publish what the server has no source of"
        );
        let many: Vec<String> = (0..100).map(|number| format!("s{number:03}")).collect();
        let many: BTreeSet<Name> = many.iter().map(|name| Name::from(name.as_str())).collect();
        assert_eq!(streams(&config, &many).len(), STREAMS_TOLD_MAX);
        config.rtc.listen.clear();
        assert!(streams(&config, &many).is_empty(), "without WebRTC there are none");
    }

    #[test]
    fn changes_are_told_at_once_and_then_together() {
        let mut own = OwnPeer::default();
        #[allow(clippy::disallowed_methods, reason = "a test needs some time to begin at")]
        let start = Instant::now();
        own.is_stale(start);
        assert_eq!(own.deadline(), Some(start));
        (own.due, own.told_at) = (None, Some(start));
        own.is_stale(start + Duration::from_millis(300));
        own.is_stale(start + Duration::from_millis(700));
        assert_eq!(own.deadline(), Some(start + TOLD_EVERY));
        (own.due, own.told_at) = (None, Some(start + TOLD_EVERY));
        own.is_stale(start + 3 * TOLD_EVERY);
        assert_eq!(own.deadline(), Some(start + 3 * TOLD_EVERY));
    }
}
