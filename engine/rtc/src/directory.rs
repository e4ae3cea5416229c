//! Who publishes what, and which shards want to know: the streams that are at home on this shard.
//!
//! A stream's home is the shard that its name hashes to. It decides who may publish and tells the
//! shards that follow the stream where its publisher is; no packet of media comes through here.
//!
//! ```text
//! claim ──► granted, or refused        live ──► Source(Some) to all that follow
//!            └─ takes over: the old     gone ──► Source(None)
//!               one is ended
//! ```
//!
//! *Invariant:* a stream that nobody publishes and nobody follows is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use shards_runtime::ShardId;

use crate::ids::SessionId;

/// A stream's name.
pub type Name = Arc<str>;

/// The shard where a stream is at home. The same on all shards, and in every run.
pub(crate) fn home_of(name: &str, shards_count: u16) -> ShardId {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    ShardId((hasher.finish() % u64::from(shards_count.max(1))) as u16)
}

/// Where a stream's packets are: the publisher's session, and the shard that it is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The session.
    pub session: SessionId,
    /// Its shard.
    pub at: ShardId,
}

/// A publisher as people are shown it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// Its address.
    pub client: IpAddr,
    /// Its agent.
    pub agent: Option<String>,
}

/// Somebody wants to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// What.
    pub name: Name,
    /// The session that is to publish it.
    pub session: SessionId,
    /// Whether whoever publishes it now has to go.
    pub takes_over: bool,
    /// Who it is, unless it is one of ours.
    pub who: Option<Who>,
}

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Granted {
    /// The stream is the session's, from now until it is gone.
    Yes,
    /// Somebody else has it.
    Taken,
    /// There are as many streams as may be.
    Full,
}

/// What the directory wants to be said to a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// Where the stream is now.
    Source { name: Name, source: Option<Source> },
    /// This session has lost its stream to another.
    Replaced(SessionId),
}

/// The streams of this home.
pub(crate) struct Directory {
    streams: BTreeMap<Name, Stream>,
    streams_max: usize,
    /// Streams that went live or ended, as they are now, until somebody asks.
    changes: BTreeMap<Name, bool>,
}

#[derive(Default)]
struct Stream {
    /// Whose it is.
    owner: Option<SessionId>,
    who: Option<Who>,
    /// Where its packets are, once there are any.
    source: Option<Source>,
    followers: BTreeSet<ShardId>,
}

impl Directory {
    pub(crate) fn new(streams_max: usize) -> Directory {
        Directory { streams: BTreeMap::new(), streams_max, changes: BTreeMap::new() }
    }

    pub(crate) fn claim(&mut self, claim: &Claim, mut say: impl FnMut(ShardId, Word)) -> Granted {
        let is_full = self.streams.len() >= self.streams_max;
        if is_full && !self.streams.contains_key(&claim.name) {
            return Granted::Full;
        }
        let stream = self.streams.entry(claim.name.clone()).or_default();
        if let Some(owner) = stream.owner.filter(|owner| *owner != claim.session) {
            if !claim.takes_over {
                return Granted::Taken;
            }
            say(owner.shard(), Word::Replaced(owner));
            if stream.source.take().is_some() {
                self.changes.insert(claim.name.clone(), false);
                tell(&claim.name, stream, say);
            }
        }
        stream.owner = Some(claim.session);
        stream.who = claim.who.clone();
        Granted::Yes
    }

    /// The owner's packets are at this shard from now on.
    pub(crate) fn live(&mut self, name: &Name, source: Source, say: impl FnMut(ShardId, Word)) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        if stream.owner == Some(source.session) && stream.source != Some(source) {
            stream.source = Some(source);
            self.changes.insert(name.clone(), true);
            tell(name, stream, say);
        }
    }

    /// A session does not publish any more. Another's stream it leaves alone.
    pub(crate) fn gone(&mut self, name: &Name, session: SessionId, say: impl FnMut(ShardId, Word)) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        if stream.owner != Some(session) {
            return;
        }
        stream.owner = None;
        if stream.source.take().is_some() {
            self.changes.insert(name.clone(), false);
            tell(name, stream, say);
        }
        self.forget_unused(name);
    }

    /// A shard wants to know where the stream is; it is told at once. False where there are too
    /// many streams.
    pub(crate) fn follow(
        &mut self,
        name: &Name,
        shard: ShardId,
        mut say: impl FnMut(ShardId, Word),
    ) {
        let is_full = self.streams.len() >= self.streams_max;
        let source = match self.streams.get_mut(name) {
            None if is_full => None,
            None => {
                let followers = BTreeSet::from([shard]);
                self.streams.insert(name.clone(), Stream { followers, ..Stream::default() });
                None
            }
            Some(stream) => {
                stream.followers.insert(shard);
                stream.source
            }
        };
        say(shard, Word::Source { name: name.clone(), source });
    }

    /// A shard does not want to know any more.
    pub(crate) fn unfollow(&mut self, name: &Name, shard: ShardId) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.followers.remove(&shard);
        }
        self.forget_unused(name);
    }

    /// The names of streams that somebody publishes.
    pub(crate) fn live_names(&self) -> impl Iterator<Item = &Name> {
        let is_live = |(_, stream): &(&Name, &Stream)| stream.source.is_some();
        self.streams.iter().filter(is_live).map(|(name, _)| name)
    }

    /// Streams that went live or ended since this was last asked, each as it is now. Where nobody
    /// asks they are at most as many as names that were published.
    pub(crate) fn take_changes(&mut self) -> BTreeMap<Name, bool> {
        std::mem::take(&mut self.changes)
    }

    /// Who publishes a stream.
    pub(crate) fn who(&self, name: &str) -> Option<&Who> {
        self.streams.get(name).filter(|stream| stream.owner.is_some())?.who.as_ref()
    }

    /// Streams that somebody publishes or follows.
    pub(crate) fn streams_count(&self) -> usize {
        self.streams.len()
    }

    /// Streams that somebody publishes.
    pub(crate) fn live_count(&self) -> usize {
        self.streams.values().filter(|stream| stream.source.is_some()).count()
    }

    fn forget_unused(&mut self, name: &Name) {
        let is_unused = |stream: &Stream| stream.owner.is_none() && stream.followers.is_empty();
        if self.streams.get(name).is_some_and(is_unused) {
            self.streams.remove(name);
        }
    }
}

fn tell(name: &Name, stream: &Stream, mut say: impl FnMut(ShardId, Word)) {
    for follower in &stream.followers {
        say(*follower, Word::Source { name: name.clone(), source: stream.source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Names;

    fn name(text: &str) -> Name {
        text.into()
    }

    fn sessions(shard: u16, count: usize) -> Vec<SessionId> {
        let mut names = Names::new([1; 32], shard);
        (0..count).map(|_| names.session()).collect()
    }

    fn claim(session: SessionId, takes_over: bool) -> Claim {
        Claim { name: name("stage"), session, takes_over, who: None }
    }

    #[test]
    fn a_stream_has_one_owner_and_followers_hear_where_it_is() {
        let (mut directory, stage) = (Directory::new(8), name("stage"));
        let [one, two] = sessions(3, 2)[..] else { unreachable!() };
        let mut said = Vec::new();
        directory.follow(&stage, ShardId(5), |to, word| said.push((to, word)));
        let none = Word::Source { name: stage.clone(), source: None };
        assert_eq!(std::mem::take(&mut said), [(ShardId(5), none.clone())]);
        assert_eq!(directory.claim(&claim(one, false), |_, _| unreachable!()), Granted::Yes);
        assert_eq!(directory.claim(&claim(two, false), |_, _| unreachable!()), Granted::Taken);
        let source = Source { session: one, at: ShardId(4) };
        directory.live(&stage, source, |to, word| said.push((to, word)));
        let there = Word::Source { name: stage.clone(), source: Some(source) };
        assert_eq!(std::mem::take(&mut said), [(ShardId(5), there)]);
        assert_eq!(directory.take_changes(), [(stage.clone(), true)].into());
        // Another takes over: the first is told so, and its late end changes nothing.
        let granted = directory.claim(&claim(two, true), |to, word| said.push((to, word)));
        assert_eq!(granted, Granted::Yes);
        let replaced = (ShardId(3), Word::Replaced(one));
        assert_eq!(std::mem::take(&mut said), [replaced, (ShardId(5), none)]);
        assert_eq!(directory.take_changes(), [(stage.clone(), false)].into());
        directory.gone(&stage, one, |_, _| unreachable!());
        directory.live(&stage, source, |_, _| unreachable!());
        assert_eq!(directory.take_changes(), BTreeMap::new());
        assert_eq!((directory.streams_count(), directory.live_count()), (1, 0));
        directory.gone(&stage, two, |_, _| unreachable!());
        directory.unfollow(&stage, ShardId(5));
        assert_eq!(directory.streams_count(), 0);
    }

    #[test]
    fn at_the_limit_a_new_stream_is_refused_and_a_known_one_is_not() {
        let mut directory = Directory::new(1);
        let ids = sessions(0, 2);
        assert_eq!(directory.claim(&claim(ids[0], false), |_, _| ()), Granted::Yes);
        let other = Claim { name: name("other"), session: ids[1], takes_over: true, who: None };
        assert_eq!(directory.claim(&other, |_, _| ()), Granted::Full);
        assert_eq!(directory.claim(&claim(ids[1], true), |_, _| ()), Granted::Yes);
        directory.follow(&name("third"), ShardId(0), |_, _| ());
        assert_eq!(directory.streams_count(), 1);
    }
}
