//! One pull: what it is doing, what follows a failure, when it is due. It sends nothing itself;
//! `pulls` does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine_node::{PullFailure, SessionId};
use shards_runtime::ShardId;

use crate::directory::MountState;
use crate::upstream::Upstream;

/// How long a pull on demand goes on without a listener.
pub(crate) const UNWANTED_MAX: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: u32 = 10;

/// The pull of one mount.
pub(crate) struct Pull {
    pub(crate) urls: Vec<String>,
    pub(crate) on_demand: bool,
    pub(crate) titles: bool,
    pub(crate) state: State,
    /// The URL of this round that is tried now, or next.
    pub(crate) url_index: usize,
    /// Where the attempt goes: the URL, or where it was redirected.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) redirects_count: u32,
    /// Addresses that are left to try.
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// Rounds that failed one after the other.
    pub(crate) failures_count: u32,
    /// Whether upstream turned out to be ourselves in this round.
    pub(crate) looped: bool,
    /// Since when a pull on demand has nobody to hear it.
    pub(crate) unwanted_since: Option<Instant>,
}

/// What a pull is doing; the picture is in `pulls`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Idle,
    Resolving {
        id: u32,
        until: Instant,
    },
    Connecting {
        order: u32,
        shard: ShardId,
        until: Instant,
    },
    Running {
        session: SessionId,
    },
    /// Its source was told to end.
    Stopping {
        session: SessionId,
    },
    Waiting {
        until: Instant,
    },
}

/// What an attempt is to do after it failed.
pub(crate) enum Next {
    Redirect(Upstream),
    Address,
    Url,
    Wait,
}

impl Pull {
    /// A pull that has not begun, as a mount's settings want it.
    pub(crate) fn of(mount: &MountState) -> Pull {
        Pull {
            urls: mount.settings.pull.clone(),
            on_demand: mount.settings.pull_on_demand,
            titles: mount.settings.pull_titles,
            state: State::Idle,
            url_index: 0,
            upstream: None,
            redirects_count: 0,
            addresses: VecDeque::new(),
            failures_count: 0,
            looped: false,
            unwanted_since: None,
        }
    }

    /// The URLs are tried from the first on again.
    pub(crate) fn begin_round(&mut self) {
        self.url_index = 0;
        self.looped = false;
        self.addresses.clear();
    }

    /// What follows a failure; with why a redirect is not followed.
    pub(crate) fn after(&mut self, failure: &PullFailure) -> (Next, Option<&'static str>) {
        let mut refused_redirect = None;
        match (failure, &self.upstream) {
            (PullFailure::Redirected(location), Some(upstream)) => {
                self.redirects_count += 1;
                if self.redirects_count > REDIRECTS_MAX {
                    refused_redirect = Some("too many redirects");
                } else {
                    match upstream.redirected(location) {
                        Ok(upstream) => return (Next::Redirect(upstream), None),
                        Err(reason) => refused_redirect = Some(reason),
                    }
                }
            }
            (PullFailure::Unreachable(_), _) if !self.addresses.is_empty() => {
                return (Next::Address, None);
            }
            (PullFailure::Loop, _) => self.looped = true,
            _ => {}
        }
        self.url_index += 1;
        let next = if self.url_index < self.urls.len() { Next::Url } else { Next::Wait };
        (next, refused_redirect)
    }

    /// When it has something to do if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let unwanted = self.unwanted_since.map(|since| since + UNWANTED_MAX);
        match self.state {
            State::Idle | State::Stopping { .. } => None,
            State::Resolving { until, .. } | State::Connecting { until, .. } => {
                Some(unwanted.map_or(until, |unwanted| until.min(unwanted)))
            }
            State::Running { .. } => unwanted,
            State::Waiting { until } => Some(until),
        }
    }
}
