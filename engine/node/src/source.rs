//! A source: from its request to the chunks of its mount.
//!
//! ```text
//! bytes → body framing (raw, chunked, length) → titles stripped → frames → writer → chunks
//!                                                                             │
//!                                     the plain feed, and subscribed shards ◄┘
//! ```
//!
//! * A source is never delayed by a listener: whatever it sends is framed and published.
//! * The session is control's to give; bytes that come before its verdict wait in `input`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media_framing::{AudioInfo, Format, Framer, Unit};
use media_mount::{Chunk, Writer, WriterConfig};
use protocol_http::{RequestDecoder, ResponseDecoder, Step};
use protocol_icy::{Title, TitleStripper, title_block};
use shards_runtime::{Context, Io, Token};

use crate::connection::{Asking, Connection, State};
use crate::message::{EndCause, Message, Question, StreamNews, StreamOffer};
use crate::mount_to_stream::Packets;
use crate::node::Node;
use crate::snapshot::SessionId;

/// The most bytes of a chunk.
const CHUNK_BYTES: usize = 8192;
/// The longest that a chunk stays open.
const CHUNK_AGE_MAX: Duration = Duration::from_millis(250);
/// One block of the writer, bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// How often a title may change; a flood of them is one change.
const TITLE_INTERVAL: Duration = Duration::from_millis(100);
/// How often control hears what a stream's frames show, at most.
const AUDIO_NEWS_INTERVAL: Duration = Duration::from_secs(2);
/// Bytes that may wait while control decides on a claim.
pub(crate) const CLAIM_INPUT_BYTES_MAX: usize = 64 * 1024;

/// A source that has asked for a mount.
pub(crate) struct Offer {
    pub(crate) mount: String,
    pub(crate) stream: StreamOffer,
    pub(crate) body: Body,
    /// Audio bytes between title blocks that the source itself sends.
    pub(crate) metaint_in: Option<usize>,
    /// Sent when the mount is granted.
    pub(crate) welcome: Vec<u8>,
    /// For a pull, its order.
    pub(crate) pull_order: Option<u32>,
}

/// How a source's bytes are wrapped.
pub(crate) enum Body {
    /// Everything until the connection ends.
    Raw,
    /// As its request's head said: chunked, or of a length.
    Framed(Box<RequestDecoder>),
    /// An upstream server's answer.
    Answer(Box<ResponseDecoder>),
}

/// A source that has its mount.
pub(crate) struct Source {
    pub(crate) session: SessionId,
    /// The plain feed, owned by this shard.
    pub(crate) plain: Token,
    pub(crate) timeout: Duration,
    pub(crate) bytes_read: u64,
    body: Body,
    stripper: Option<Box<TitleStripper>>,
    framer: Box<Framer>,
    writer: Writer,
    /// For streams that play the mount, where it may be Opus.
    pub(crate) packets: Option<Packets>,
    title: Option<Title>,
    /// A title that waits for its turn, and when the last one had it.
    next_title: Option<Title>,
    titled_at: Option<Instant>,
    /// Whether `writer` holds bytes that no chunk carries yet.
    pub(crate) dirty: bool,
    /// What control was last told of the stream's audio, and when.
    audio_told: Option<(AudioInfo, Instant)>,
    counted: media_framing::Counters,
}

/// What became of the bytes a source sent.
enum Flow {
    GoesOn,
    /// The body is complete.
    Complete,
    /// The body's framing is broken.
    Broken(&'static str),
}

impl Node {
    /// Asks control for a mount on behalf of a connection whose credentials are good.
    pub(crate) fn claim<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        offer: Offer,
    ) {
        let question = Question::Claim {
            mount: offer.mount.clone(),
            stream: Box::new(offer.stream.clone()),
            pull_order: offer.pull_order,
        };
        self.ask(cx, token, question, Asking::Claim(Box::new(offer)));
    }

    /// Control gave a connection its mount.
    pub(crate) fn start_source<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        offer: Offer,
        id: SessionId,
    ) {
        let Some(session) = self.session(id).cloned() else {
            // The mount was taken away again before the verdict came.
            self.session_void(cx, id, EndCause::Killed);
            self.close(cx, token);
            return;
        };
        let now = cx.now();
        let Some(plain) = self.open_own_feed(now, &session) else {
            self.session_void(cx, id, EndCause::Failed);
            self.close(cx, token);
            return;
        };
        self.session_granted(cx, id);
        let settings = self.settings_of(session.mount);
        let flush = Duration::from_millis(settings.flush_ms);
        let config = WriterConfig {
            chunk_bytes: CHUNK_BYTES,
            chunk_age_max: (flush / 4).min(CHUNK_AGE_MAX),
            block_bytes: BLOCK_BYTES,
        };
        let timeout = Duration::from_millis(settings.source_timeout_ms);
        let limits = media_framing::Limits::default();
        let source = Source {
            session: id,
            plain,
            timeout,
            bytes_read: 0,
            body: offer.body,
            stripper: offer.metaint_in.map(|metaint| Box::new(TitleStripper::new(metaint))),
            framer: Box::new(Framer::new(session.stream.format, limits, u64::from(id.0))),
            writer: Writer::new(config, 0),
            packets: (session.stream.format == Format::Ogg).then(Packets::default),
            title: None,
            next_title: None,
            titled_at: None,
            dirty: false,
            audio_told: None,
            counted: media_framing::Counters::default(),
        };
        self.sources.insert(id, token);
        self.counters.source_connections += 1;
        self.counters.pull_connections += u64::from(offer.pull_order.is_some());
        let connection = self.connections.get_mut(token).expect("it asked");
        connection.state = State::Source(Box::new(source));
        connection.deadline = Some(now + timeout);
        let early = std::mem::take(&mut connection.input);
        if !offer.welcome.is_empty() {
            self.answer_bytes(cx, token, Bytes::from(offer.welcome));
        }
        self.receive(cx, token);
        self.arm(cx, token);
        self.source_bytes(cx, token, &early);
    }

    /// Bytes of a source came in.
    pub(crate) fn source_bytes<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        bytes: &[u8],
    ) {
        let now = cx.now();
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Connection { state: State::Source(source), input, deadline, .. } = connection else {
            return;
        };
        if !bytes.is_empty() {
            *deadline = Some(now + source.timeout);
        }
        source.bytes_read += bytes.len() as u64;
        self.counters.source_bytes += bytes.len() as u64;
        let mut sink = Sink { now, preludes: Vec::new(), titles: Vec::new() };
        let flow = source.take(bytes, input, &mut sink);
        let source_was_dirty = std::mem::replace(&mut source.dirty, true);
        let (session, plain) = (source.session, source.plain);
        let in_stream_title = source.framer.title().map(Title::new);
        let audio = source.new_audio(now);
        let counters = source.framer.counters();
        self.counters.framing_bytes_dropped +=
            counters.bytes_dropped - source.counted.bytes_dropped;
        self.counters.framing_resyncs += counters.resyncs - source.counted.resyncs;
        source.counted = counters;
        if !source_was_dirty {
            self.dirty_sources.push(token);
        }
        let has_new_headers = !sink.preludes.is_empty();
        if let Some(feed) = self.feeds.get_mut(plain) {
            for (from_offset, prelude) in sink.preludes {
                feed.set_prelude(from_offset, prelude);
            }
        }
        if has_new_headers {
            self.players_follow_sources(cx);
        }
        if let Some(audio) = audio {
            let news = StreamNews::Audio {
                codec: audio.codec.to_owned(),
                sample_rate_hz: audio.sample_rate_hz,
                channels_count: audio.channels_count.into(),
                bitrate_kbps: audio.bitrate_kbps,
            };
            cx.send_surely(cx.control(), Message::StreamNews { session, news: Box::new(news) });
        }
        for title in sink.titles.into_iter().chain(in_stream_title) {
            self.set_title(cx, session, title);
        }
        self.apply_title(cx, session);
        match flow {
            Flow::GoesOn => {}
            Flow::Complete => self.end_source(cx, token, EndCause::Closed),
            Flow::Broken(reason) => {
                tracing::warn!(session = session.0, reason, "source broke its body framing");
                self.end_source(cx, token, EndCause::Failed);
            }
        }
    }

    /// Publishes what has become a chunk by size or by age. Called at the end of each tick.
    pub(crate) fn publish_sources(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty_sources);
        dirty.retain(|token| {
            while let Some((session, chunk)) =
                self.source_at(*token).and_then(|s| Some((s.session, s.writer.poll(now)?)))
            {
                self.publish_own(session, chunk);
            }
            let Some(source) = self.source_at(*token) else { return false };
            source.dirty = source.writer.deadline().is_some();
            source.dirty
        });
        self.dirty_sources = dirty;
    }

    /// A chunk of a source of ours goes to its plain feed; subscribers take it from there.
    fn publish_own(&mut self, session: SessionId, chunk: Chunk) {
        self.counters.chunks_published += 1;
        let contiguous = self.push_chunk(session, chunk);
        assert!(contiguous, "an owner's window has no gaps");
    }

    /// When the first chunk that is still open comes of age.
    pub(crate) fn next_chunk_at(&self) -> Option<Instant> {
        let deadline = |token: &Token| match &self.connections.get(*token)?.state {
            State::Source(source) => source.writer.deadline(),
            _ => None,
        };
        self.dirty_sources.iter().filter_map(deadline).min()
    }

    /// Gives a session of this shard a new title. Titles that come faster than
    /// [`TITLE_INTERVAL`] replace each other; the last one counts.
    pub(crate) fn set_title<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: SessionId,
        title: Title,
    ) {
        if let Some(source) = self.source_mut(session) {
            source.next_title = Some(title);
            self.apply_title(cx, session);
        }
    }

    /// Puts a waiting title into the stream when it is time, and tells control and subscribers.
    fn apply_title<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, session: SessionId) {
        let now = cx.now();
        let Some(source) = self.source_mut(session) else { return };
        if source.titled_at.is_some_and(|at| now < at + TITLE_INTERVAL) {
            return;
        }
        let Some(title) = source.next_title.take() else { return };
        if source.title.as_ref() == Some(&title) {
            return;
        }
        source.title = Some(title.clone());
        source.titled_at = Some(now);
        let block = Bytes::from(title_block(&title));
        let feed = self.plain_feed(session).map(|feed| (feed.subscribers(), feed.window.head()));
        let (subscribers, head) = feed.unwrap_or_default();
        for shard in subscribers {
            cx.send_surely(shard, Message::Title { session, block: block.clone(), head });
        }
        self.set_title_block(session, block);
        self.counters.titles += 1;
        let news = Box::new(StreamNews::Title(title));
        cx.send_surely(cx.control(), Message::StreamNews { session, news });
    }

    /// A source is gone, or is put out.
    pub(crate) fn end_source<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        cause: EndCause,
    ) {
        let now = cx.now();
        let Some(source) = self.source_at(token) else { return };
        let session = source.session;
        let Source { framer, writer, .. } = source;
        let mut preludes = Vec::new();
        framer.finish(&mut |unit: Unit<'_>| {
            preludes.extend(unit.prelude.map(|prelude| (writer.offset(), prelude)));
            writer.append(now, unit.bytes, unit.sync);
        });
        if let Some(feed) = self.plain_feed(session) {
            for (from_offset, prelude) in preludes {
                feed.set_prelude(from_offset, prelude);
            }
        }
        while let Some(chunk) = self.source_at(token).and_then(|source| source.writer.flush()) {
            self.publish_own(session, chunk);
        }
        self.feed_ended(now, session);
        self.pulls.retain(|_, pull| *pull != token);
        self.sources.remove(&session);
        self.counters.sources_timed_out += u64::from(cause == EndCause::TimedOut);
        let connection = self.connections.get_mut(token).expect("looked at above");
        connection.state = State::Answering;
        cx.send_surely(cx.control(), Message::SourceEnded { session, cause });
        self.close(cx, token);
    }

    fn source_at(&mut self, token: Token) -> Option<&mut Source> {
        match &mut self.connections.get_mut(token)?.state {
            State::Source(source) => Some(source),
            _ => None,
        }
    }

    pub(crate) fn source_mut(&mut self, session: SessionId) -> Option<&mut Source> {
        let token = *self.sources.get(&session)?;
        self.source_at(token)
    }
}

/// Where a source's units go while a buffer is taken apart.
struct Sink {
    now: Instant,
    preludes: Vec<(u64, Bytes)>,
    titles: Vec<Title>,
}

impl Source {
    /// What the frames show, when it is new. Bit rates settle within the first seconds.
    fn new_audio(&mut self, now: Instant) -> Option<AudioInfo> {
        let audio = self.framer.audio()?;
        let is_news = match &self.audio_told {
            None => true,
            Some((told, at)) => *told != audio && now >= *at + AUDIO_NEWS_INTERVAL,
        };
        if !is_news {
            return None;
        }
        self.audio_told = Some((audio, now));
        Some(audio)
    }

    /// Takes received bytes apart. `input` holds what body framing could not use yet.
    fn take(&mut self, bytes: &[u8], input: &mut Vec<u8>, sink: &mut Sink) -> Flow {
        let Source { body, stripper, framer, writer, packets, .. } = self;
        let mut media = |bytes: &[u8]| {
            let mut units = |unit: Unit<'_>, sink: &mut Sink| {
                if let Some(packets) = packets {
                    packets.take(&unit);
                }
                sink.preludes.extend(unit.prelude.map(|prelude| (writer.offset(), prelude)));
                writer.append(sink.now, unit.bytes, unit.sync);
            };
            feed_framer(stripper, framer, &mut units, bytes, sink);
        };
        if matches!(body, Body::Raw) {
            media(bytes);
            return Flow::GoesOn;
        }
        input.extend_from_slice(bytes);
        let mut at = 0;
        // Until the decoder needs more: only it knows that a body is complete with its last byte.
        let flow = loop {
            let step = match body {
                Body::Raw => unreachable!("handled above"),
                Body::Framed(decoder) => {
                    decoder.decode(&input[at..]).map(forget_head).map_err(|e| e.reason)
                }
                Body::Answer(decoder) => {
                    decoder.decode(&input[at..]).map(forget_head).map_err(|e| e.reason)
                }
            };
            match step {
                Ok(Step::Need) => break Flow::GoesOn,
                Ok(Step::Body { range, used }) => {
                    media(&input[at + range.start..at + range.end]);
                    at += used;
                }
                Ok(Step::Head { .. } | Step::End { .. }) => break Flow::Complete,
                Err(reason) => break Flow::Broken(reason),
            }
        };
        input.drain(..at);
        flow
    }
}

fn forget_head<H>(step: Step<H>) -> Step<()> {
    match step {
        Step::Need => Step::Need,
        Step::Head { used, .. } => Step::Head { head: (), used },
        Step::Body { range, used } => Step::Body { range, used },
        Step::End { used } => Step::End { used },
    }
}

fn feed_framer(
    stripper: &mut Option<Box<TitleStripper>>,
    framer: &mut Framer,
    units: &mut dyn FnMut(Unit<'_>, &mut Sink),
    bytes: &[u8],
    sink: &mut Sink,
) {
    let mut frame = |media: &[u8], sink: &mut Sink| {
        framer.push(media, &mut |unit: Unit<'_>| units(unit, sink));
    };
    match stripper {
        None => frame(bytes, sink),
        Some(stripper) => {
            for piece in stripper.strip(bytes) {
                match piece {
                    protocol_icy::Stripped::Media(media) => frame(media, sink),
                    protocol_icy::Stripped::Title(title) => sink.titles.push(title),
                }
            }
        }
    }
}
