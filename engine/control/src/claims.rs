//! Sources: who may feed a mount, and when it is free again.
//!
//! * A mount has one source. A second one is refused, or, where the mount allows takeover, put in
//!   its place once the first has ended: their bytes never mix.
//! * Only the end of the very session that feeds a mount frees it; a late end of an older one is
//!   ignored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::Mount;
use engine_node::{
    EndCause, Message, MountId, SessionId, Stream, StreamNews, StreamOffer, Verdict,
};
use media_framing::Format;
use protocol_icy::{StreamInfo, is_supported_type};
use shards_runtime::ShardId;

use crate::control::{Asker, Control};
use crate::directory::Running;

/// How long a source waits for the one that it replaces to end.
const TAKEOVER_MAX: Duration = Duration::from_secs(3);

/// A source that waits for its predecessor's end.
pub(crate) struct Takeover {
    asker: Asker,
    offer: StreamOffer,
    stream: Arc<Stream>,
    pub(crate) until: Instant,
}

/// The session that a source is to replace, and where it is.
type Predecessor = (SessionId, ShardId);

/// Why a source does not get its mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// It has one already.
    InUse,
    /// Its content type is none.
    NotSupported,
    /// The server has as many sources, or mounts, as it may.
    TooMany,
    /// The server is stopping.
    Stopping,
    /// It is a pull whose order was given up.
    Outdated,
}

impl Control {
    pub(crate) fn claim(
        &mut self,
        asker: Asker,
        name: &str,
        offer: StreamOffer,
        pull_order: Option<u32>,
    ) {
        match self.judge(name, &offer, pull_order) {
            Err(refusal) => self.refuse_source(asker, name, &offer, refusal),
            Ok((stream, None)) => {
                let id = self.directory.ensure(self.now, name, &self.config);
                self.grant(asker, id, offer, stream, pull_order);
            }
            Ok((stream, Some((session, owner)))) => {
                let id = self.directory.ensure(self.now, name, &self.config);
                tracing::info!(mount = name, peer = %offer.peer, "another source takes over");
                self.send(owner, Message::KillSource(session));
                let until = self.now + TAKEOVER_MAX;
                self.takeovers.insert(id, Takeover { asker, offer, stream, until });
            }
        }
    }

    /// Decides on a claim: the stream as listeners will be told of it, and the session to replace.
    fn judge(
        &self,
        name: &str,
        offer: &StreamOffer,
        pull_order: Option<u32>,
    ) -> Result<(Arc<Stream>, Option<Predecessor>), Refusal> {
        if self.drain.is_some() {
            return Err(Refusal::Stopping);
        }
        let mount = self.directory.find(name);
        if let Some(order) = pull_order
            && !mount.is_some_and(|mount| self.expects_pull(mount.id, order))
        {
            return Err(Refusal::Outdated);
        }
        let settings = match mount {
            Some(mount) => Arc::clone(&mount.settings),
            None => Arc::new(self.config.mount_named(name)),
        };
        let running = mount
            .and_then(|mount| mount.running.as_ref())
            .map(|running| (running.session.id, running.session.owner));
        let waits = mount.is_some_and(|mount| self.takeovers.contains_key(&mount.id));
        if waits || running.is_some() && (!settings.takeover || pull_order.is_some()) {
            return Err(Refusal::InUse);
        }
        let via = pull_order.map(|_| self.config.server.node_id.as_str());
        let stream = stream_of(offer, &settings, via).ok_or(Refusal::NotSupported)?;
        if running.is_none() {
            let sources_max = self.config.limits.sources_max as usize;
            let mounts_max = self.config.limits.mounts_max as usize;
            let has_room = mount.is_some() || self.directory.len() < mounts_max;
            if self.directory.sessions_count() >= sources_max || !has_room {
                return Err(Refusal::TooMany);
            }
        }
        Ok((Arc::new(stream), running))
    }

    fn refuse_source(&mut self, asker: Asker, name: &str, offer: &StreamOffer, refusal: Refusal) {
        self.counters.mounts_in_use += u64::from(refusal == Refusal::InUse);
        let answers = self.answers();
        let (why, bytes) = match refusal {
            Refusal::InUse => ("the mount has a source", answers.mount_in_use()),
            Refusal::NotSupported => ("content type", answers.unsupported_type()),
            Refusal::TooMany => ("too many sources", answers.too_many_sources()),
            Refusal::Stopping => ("the server is stopping", answers.busy()),
            Refusal::Outdated => ("the pull was given up", Vec::new()),
        };
        let content_type = &offer.content_type;
        tracing::warn!(mount = name, peer = %offer.peer, content_type, why, "source refused");
        self.answer(asker, Verdict::SourceRefused(bytes));
    }

    fn grant(
        &mut self,
        asker: Asker,
        id: MountId,
        offer: StreamOffer,
        stream: Arc<Stream>,
        pull_order: Option<u32>,
    ) {
        let (now, started, is_pull) = (self.now, self.wall_clock, pull_order.is_some());
        let StreamOffer { content_type, peer, agent, is_v1, .. } = offer;
        let running = |session| Running {
            session,
            peer,
            agent,
            is_v1,
            is_pull,
            since: now,
            started,
            title: None,
            audio: None,
            listeners_peak: 0,
        };
        let session = self.directory.start(id, asker.shard, stream, running);
        self.reports.begin(session);
        let mount = self.directory.get(id).expect("it just got a session");
        let (name, session_number, shard) = (&mount.name, session.0, asker.shard.0);
        tracing::info!(
            mount = %name, session = session_number, shard, %peer, content_type, is_pull, is_v1,
            "source connected"
        );
        if is_pull {
            self.pull_runs(id, session);
        }
        self.answer(asker, Verdict::Granted(session));
        (self.dirty, self.pulls_due) = (true, true);
    }

    /// A session is over. Whoever waited for its mount gets it.
    pub(crate) fn source_ended(&mut self, session: SessionId, cause: EndCause) {
        let Some((id, running)) = self.directory.end(self.now, session) else {
            tracing::debug!(session = session.0, "a session ended that was over");
            return;
        };
        let lasted = self.now.saturating_duration_since(running.since);
        let sum = self.reports.session(session);
        self.reports.forget(session);
        let name = self.directory.get(id).map(|mount| Arc::clone(&mount.name)).expect("it ended");
        let (lasted_s, bytes_read, peer) = (lasted.as_secs(), sum.bytes_read, running.peer);
        tracing::info!(
            mount = %name, session = session.0, %peer, ?cause, lasted_s, bytes_read,
            "source disconnected"
        );
        if running.is_pull {
            self.pull_ended(id, session, lasted);
        }
        (self.dirty, self.pulls_due) = (true, true);
        if let Some(takeover) = self.takeovers.remove(&id) {
            let Takeover { asker, offer, stream, .. } = takeover;
            if self.drain.is_some() {
                self.refuse_source(asker, &name, &offer, Refusal::Stopping);
            } else {
                self.grant(asker, id, offer, stream, None);
            }
        }
    }

    /// Refuses sources that waited too long for their predecessor.
    pub(crate) fn expire_takeovers(&mut self) {
        let now = self.now;
        let due = |(id, takeover): (&MountId, &Takeover)| (now >= takeover.until).then_some(*id);
        let due: Vec<MountId> = self.takeovers.iter().filter_map(due).collect();
        for id in due {
            let Takeover { asker, offer, .. } = self.takeovers.remove(&id).expect("listed above");
            let name = self.directory.get(id).map(|mount| Arc::clone(&mount.name));
            let name = name.unwrap_or_else(|| Arc::from(""));
            self.refuse_source(asker, &name, &offer, Refusal::InUse);
        }
    }

    /// A stream told something about itself.
    pub(crate) fn stream_news(&mut self, session: SessionId, news: StreamNews) {
        let Some(mount) = self.directory.by_session(session) else { return };
        let Some(running) = mount.running.as_mut() else { return };
        match news {
            StreamNews::Title(title) => running.title = Some(title),
            StreamNews::Audio { codec, sample_rate_hz, channels_count, bitrate_kbps } => {
                running.audio = Some((codec, sample_rate_hz, channels_count, bitrate_kbps));
            }
        }
    }
}

/// What listeners will be told of an offered stream, the mount's settings applied; `None` when its
/// content type is that of no stream.
fn stream_of(offer: &StreamOffer, settings: &Mount, via: Option<&str>) -> Option<Stream> {
    let content_type = settings.content_type.as_ref().unwrap_or(&offer.content_type).clone();
    if !is_supported_type(&content_type) {
        return None;
    }
    let format = Format::from_content_type(&content_type)?;
    let mut info = offer.info.clone();
    override_info(&mut info, settings);
    if let Some(node_id) = via {
        info.add_via(node_id);
    }
    // Titled renditions begin anywhere: a player that must have the stream's header first would
    // never play.
    let begins_anywhere = matches!(format, Format::Mpeg | Format::Adts | Format::Plain);
    let metaint = (settings.metaint > 0 && begins_anywhere).then_some(settings.metaint);
    Some(Stream { content_type, format, info, metaint: metaint.map(|bytes| bytes as usize) })
}

/// The operator's words stand over the source's.
fn override_info(info: &mut StreamInfo, settings: &Mount) {
    let said = |value: &Option<String>, set: fn(&mut StreamInfo, &str), info: &mut StreamInfo| {
        if let Some(value) = value {
            set(info, value);
        }
    };
    said(&settings.stream_name, StreamInfo::set_name, info);
    said(&settings.stream_description, StreamInfo::set_description, info);
    said(&settings.genre, StreamInfo::set_genre, info);
    said(&settings.stream_url, StreamInfo::set_url, info);
    said(&settings.bitrate.map(|kbps| kbps.to_string()), StreamInfo::set_bitrate, info);
    if let Some(public) = settings.public {
        info.set_public(public);
    }
}
