//! A look into a shard from outside, for simulations and tests: what it holds, and whether its
//! tables agree with each other. Nothing here changes anything.

use shards_runtime::ShardId;

use crate::connection::State;
use crate::fanout::Listener;
use crate::feed::{FeedKey, Rendition};
use crate::node::Node;
use crate::snapshot::SessionId;
use crate::stats::Counters;

/// What a shard holds now.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Connections of all kinds.
    pub connections: usize,
    /// Listeners with a feed.
    pub listeners: usize,
    /// Listeners that wait for their mount to come up.
    pub parked: usize,
    /// Listeners at home anywhere.
    pub homes: u64,
    /// Sources.
    pub sources: usize,
    /// Pulls, connecting or running.
    pub pulls: usize,
    /// Feeds of both renditions.
    pub feeds: usize,
    /// Connections that wait for control.
    pub asks_in_flight: usize,
    /// Listeners that are served before the others.
    pub hasty: usize,
    /// Phases that are due.
    pub due: usize,
    /// Bytes that all windows hold.
    pub window_bytes: usize,
    /// WebSockets.
    pub websockets: u64,
    /// Sessions of signalling.
    pub peers: usize,
    /// Rooms of signalling that live here.
    pub rooms: usize,
    /// Counters since the start.
    pub counters: Counters,
}

/// Where one listener stands.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerPlace {
    /// Its public number.
    pub id: u64,
    /// Its address.
    pub peer: std::net::SocketAddr,
    /// Whether a send is in flight.
    pub is_sending: bool,
    /// Whether the machine receives for it.
    pub is_receiving: bool,
    /// What it hears.
    pub session: SessionId,
    /// In which rendition.
    pub titled: bool,
    /// Whether it has begun.
    pub joined: bool,
    /// Next byte that the kernel has not taken.
    pub cursor: u64,
    /// The oldest byte of its window.
    pub oldest: u64,
}

/// How one feed stands.
#[doc(hidden)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedPlace {
    /// Of what session.
    pub session: SessionId,
    /// In which rendition.
    pub titled: bool,
    /// Whether its source is here.
    pub is_owner: bool,
    /// Whether nothing more comes.
    pub is_over: bool,
    /// The oldest byte held.
    pub oldest: u64,
    /// One past the newest byte.
    pub head: u64,
    /// Bytes held.
    pub bytes_held: usize,
    /// Bytes that its mount's settings allow.
    pub window_bytes: usize,
    /// Listeners here.
    pub listeners: usize,
    /// Shards that are sent its chunks.
    pub subscribers: Vec<ShardId>,
}

impl Node {
    /// How many slots for connections there are: the most that there were at a time.
    #[must_use]
    pub fn slots_count(&self) -> usize {
        self.connections.slots_count()
    }

    /// What this shard holds.
    #[doc(hidden)]
    #[must_use]
    pub fn census(&self) -> Census {
        let signalling =
            self.signalling.as_ref().map(|it| it.server.counters()).unwrap_or_default();
        Census {
            connections: self.connections.len(),
            listeners: self.feeds.iter().map(|(_, feed)| feed.listeners_count()).sum(),
            parked: self.parked.values().map(Vec::len).sum(),
            homes: self.homes.values().sum(),
            sources: self.sources.len(),
            pulls: self.pulls.len(),
            feeds: self.feeds.len(),
            asks_in_flight: self.asks_in_flight,
            hasty: self.hasty.len(),
            due: self.due.len(),
            window_bytes: self.feeds.iter().map(|(_, feed)| feed.window.bytes_held()).sum(),
            websockets: self.websockets_count,
            peers: signalling.sessions,
            rooms: signalling.rooms,
            counters: self.counters,
        }
    }

    /// Where each listener stands.
    #[doc(hidden)]
    #[must_use]
    pub fn listener_places(&self) -> Vec<ListenerPlace> {
        let place = |(token, listener): (shards_runtime::Token, &Listener)| {
            let feed = self.feeds.get(listener.feed)?;
            let connection = self.connections.get(token)?;
            Some(ListenerPlace {
                id: listener.id,
                peer: connection.peer,
                is_sending: connection.sending,
                is_receiving: connection.receiving,
                session: feed.key.session,
                titled: feed.key.rendition == Rendition::Titled,
                joined: listener.joined,
                cursor: listener.cursor.offset(),
                oldest: feed.window.oldest(),
            })
        };
        self.listeners().filter_map(place).collect()
    }

    /// How each feed stands.
    #[doc(hidden)]
    #[must_use]
    pub fn feed_places(&self) -> Vec<FeedPlace> {
        let place = |feed: &crate::feed::Feed| FeedPlace {
            session: feed.key.session,
            titled: feed.key.rendition == Rendition::Titled,
            is_owner: matches!(feed.role, crate::feed::Role::Owner(_)),
            is_over: feed.ended_at.is_some(),
            oldest: feed.window.oldest(),
            head: feed.window.head(),
            bytes_held: feed.window.bytes_held(),
            window_bytes: self.settings_of(feed.session.mount).window_bytes,
            listeners: feed.listeners_count(),
            subscribers: feed.subscribers(),
        };
        self.feeds.iter().map(|(_, feed)| place(feed)).collect()
    }

    /// Whether the tables agree with each other.
    ///
    /// # Errors
    /// What does not.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        self.audit_feeds()?;
        let count = |is: fn(&State) -> bool| {
            self.connections.iter().filter(|(_, connection)| is(&connection.state)).count()
        };
        let census = self.census();
        let pairs = [
            ("listeners", count(|state| matches!(state, State::Listener(_))), census.listeners),
            ("homes", census.listeners, census.homes as usize),
            ("asks", count(|state| matches!(state, State::Asking(_))), census.asks_in_flight),
            ("sources", count(|state| matches!(state, State::Source(_))), census.sources),
        ];
        for (what, of_connections, of_table) in pairs {
            if of_connections != of_table {
                return Err(format!("{what}: {of_connections} connections, {of_table} in a table"));
            }
        }
        for (home, count) in &self.homes {
            let at_home = self.listeners().filter(|(_, listener)| listener.home == *home).count();
            if at_home as u64 != *count {
                return Err(format!("{home:?}: {at_home} are at home and {count} counted"));
            }
        }
        let is_parked = |token| {
            self.connections.get(token).is_some_and(|c| matches!(c.state, State::Parked(_)))
        };
        if !self.parked.values().flatten().all(|token| is_parked(*token)) {
            return Err("somebody is parked who is not there".to_owned());
        }
        if count(|state| matches!(state, State::Parked(_))) != census.parked {
            return Err("somebody is parked whom nobody will wake".to_owned());
        }
        Ok(())
    }

    /// Whoever has a slot now, of whatever generation. Only planted faults want to know.
    pub(crate) fn tenant_of(&self, slot: u32) -> Option<shards_runtime::Token> {
        self.connections.iter().map(|(token, _)| token).find(|token| token.slot == slot)
    }

    fn audit_feeds(&self) -> Result<(), String> {
        for (token, feed) in self.feeds.iter() {
            if self.feed_index.get(&feed.key) != Some(&token) {
                return Err(format!("{:?} is not in the index", feed.key));
            }
            for phase in 0..feed.phases_count() {
                for (position, token_there) in feed.phase(phase).iter().enumerate() {
                    let found = self.listeners().find(|(token, _)| token == token_there);
                    let agrees = found.is_some_and(|(_, listener)| {
                        (listener.feed, usize::from(listener.phase), listener.position as usize)
                            == (token, phase, position)
                    });
                    if !agrees {
                        let key = feed.key;
                        return Err(format!("{key:?}: phase {phase} has somebody else's listener"));
                    }
                }
            }
            if let Some((titled, _)) = &feed.titled {
                let key = FeedKey { rendition: Rendition::Titled, ..feed.key };
                if self.feeds.get(*titled).map(|feed| feed.key) != Some(key) {
                    return Err(format!("{:?}: its titled rendition is gone", feed.key));
                }
            }
        }
        match self.feed_index.len() == self.feeds.len() {
            true => Ok(()),
            false => Err("the index of feeds holds one that is gone".to_owned()),
        }
    }

    fn listeners(&self) -> impl Iterator<Item = (shards_runtime::Token, &Listener)> {
        self.connections.iter().filter_map(|(token, connection)| match &connection.state {
            State::Listener(listener) => Some((token, listener)),
            _ => None,
        })
    }
}
