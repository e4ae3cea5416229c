//! Clips: the stream around motion, as it comes, without being encoded anew.
//!
//! ```text
//! packets ─► window, from a keyframe on ─┬─ motion ─► writer: file opened, window written
//!                                      └─ while it goes on, and a while after ─► written on
//! ```
//!
//! The writer is a thread of its own: what passes through the graph never waits for a disk.
//!
//! *Invariants:* the window is bounded by time and by bytes and begins with a keyframe; what waits
//! for the writer is bounded, and a clip that it cannot follow ends with that as its cause.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use media_flow::{End, Kind, Out, Port, Retain, StageError, TrackId};
use media_link::{Clips, Event, Recording, RecordingKind, RecordingTrack, Track, VisionEvent};
use serde_json::{Value, json};

use crate::clock;
use crate::container::{Container, Kind as FileKind};
use crate::packet::{Packet, per_second, rescale};
use crate::shelf::Shelf;
use crate::told::Told;

/// What the window may hold, whatever its time.
const WINDOW_BYTES_MAX: usize = 32 << 20;
/// Packets that wait for the writer, besides a window that is handed over whole.
const WAITING_MAX: usize = 512;
/// How often the length of an open clip is told.
const GREW_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a clip has become too old.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// When motion was last seen, and what is being kept of it: between who looks and who writes.
#[derive(Clone, Default)]
pub struct Trigger(Rc<Seen>);

#[derive(Default)]
struct Seen {
    pulled_at: Cell<Option<Instant>>,
    /// The clip that is being written, as events name it.
    clip: RefCell<Option<Value>>,
    /// The first event of the motion that is kept, for when its clip is whole.
    first: RefCell<Option<Box<VisionEvent>>>,
}

impl Trigger {
    /// There is motion now.
    pub fn pull(&self, now: Instant) {
        self.0.pulled_at.set(Some(now));
    }

    /// What events name as their clip: the one that is being written, from when its file is there.
    pub fn clip(&self) -> Option<Value> {
        self.0.clip.borrow().clone()
    }

    /// An event is told.
    pub fn note(&self, event: &VisionEvent) {
        let mut first = self.0.first.borrow_mut();
        if first.is_none() {
            *first = Some(Box::new(event.clone()));
        }
    }

    /// What became of a clip is heard of; an event to tell with it. Whoever saw the first event of
    /// the motion, in which there could be no clip yet, finds it by the same `frame`.
    fn heard(&self, event: &Event) -> Option<Event> {
        let clip = match event {
            Event::RecordingStarted(clip) | Event::RecordingClosed(clip) => clip,
            // It could not be begun.
            Event::Warning(_) => {
                self.0.first.take();
                return None;
            }
            _ => return None,
        };
        let url = url_of(clip);
        if !clip.is_closed {
            self.0.clip.replace(Some(url));
            return None;
        }
        self.0.clip.replace(None);
        let mut first = self.0.first.take()?;
        first.kind = "clip".into();
        first.emitted_at_usec = clock::wall_us();
        first.data.clip = Some(url);
        Some(Event::Vision(first))
    }

    /// How long ago there was motion.
    fn since(&self, now: Instant) -> Option<Duration> {
        self.0.pulled_at.get().map(|at| now.saturating_duration_since(at))
    }
}

/// How an event of motion names what was kept of it.
pub fn url_of(kept: &Recording) -> Value {
    // Names are made of letters that need no other form here.
    json!({ "url": format!("/artifacts/{}{}", kept.kind.folder(), kept.name) })
}

/// A packet that can go to another thread; its times are in the ticks of its track.
struct Piece {
    track: u8,
    is_keyframe: bool,
    is_picture: bool,
    presentation: i64,
    decode: i64,
    duration: u32,
    ticks: u32,
    payload: bytes::Bytes,
}

impl Piece {
    fn at_us(&self) -> i64 {
        rescale(self.presentation, per_second(self.ticks), 1_000_000)
    }
}

enum Order {
    Open { window: Vec<Piece>, started_at_ms: u64 },
    Write(Piece),
    Close { cause: Option<String> },
}

struct Writer {
    orders: SyncSender<Order>,
    events: Receiver<Event>,
}

/// The stage.
pub struct ClipSink {
    settings: Clips,
    tracks: Vec<Track>,
    trigger: Trigger,
    told: Told,
    window: VecDeque<Piece>,
    window_bytes: usize,
    writer: Writer,
    /// When the open clip began.
    opened_at: Option<Instant>,
}

impl ClipSink {
    /// For these tracks, with a writer.
    ///
    /// # Errors
    /// The folder cannot be made, or the system has no more threads.
    pub fn new(
        stream: &str,
        settings: &Clips,
        tracks: Vec<Track>,
        trigger: Trigger,
        told: Told,
    ) -> anyhow::Result<ClipSink> {
        let shelf = Shelf::of_clips(stream, settings)?;
        let (orders, ordered) = sync_channel(WAITING_MAX);
        // More than a writer says between two packets.
        let (say, events) = sync_channel(WAITING_MAX);
        let of_writer = tracks.clone();
        let run = move || write(shelf, &of_writer, &ordered, &say);
        thread::Builder::new().name("clips".into()).spawn(run)?;
        Ok(ClipSink {
            settings: settings.clone(),
            tracks,
            trigger,
            told,
            window: VecDeque::new(),
            window_bytes: 0,
            writer: Writer { orders, events },
            opened_at: None,
        })
    }

    fn piece(&self, packet: Packet) -> Option<Piece> {
        let track = self.tracks.iter().find(|track| TrackId(track.id) == packet.track)?;
        let ticks = track.time_base.denominator.get();
        let of = |at: i64| rescale(at, packet.time_base, ticks);
        Some(Piece {
            track: track.id,
            is_keyframe: packet.is_keyframe,
            is_picture: packet.kind == Kind::Video,
            presentation: of(packet.presentation),
            decode: of(packet.decode),
            duration: of(i64::from(packet.duration)).try_into().unwrap_or(0),
            ticks,
            payload: packet.payload,
        })
    }

    /// Adds to the window, and lets go of what a clip that began now would not have.
    fn keep(&mut self, piece: Piece) {
        let newest_us = piece.at_us();
        self.window_bytes += piece.payload.len();
        self.window.push_back(piece);
        let before_us = i64::try_from(self.settings.before_ms).unwrap_or(i64::MAX) * 1000;
        let begins_at = |piece: &Piece| piece.is_picture && piece.is_keyframe;
        let is_old = |piece: &Piece| piece.at_us() <= newest_us.saturating_sub(before_us);
        // The last keyframe that is old enough; without one, the first.
        let start = self.window.iter().rposition(|piece| begins_at(piece) && is_old(piece));
        let start = start.or_else(|| self.window.iter().position(begins_at));
        self.drop_front(start.unwrap_or(self.window.len()));
        while self.window_bytes > WINDOW_BYTES_MAX {
            let next = self.window.iter().skip(1).position(begins_at).map(|at| at + 1);
            self.drop_front(next.unwrap_or(self.window.len()));
        }
    }

    fn drop_front(&mut self, count: usize) {
        let bytes: usize = self.window.drain(..count).map(|piece| piece.payload.len()).sum();
        self.window_bytes -= bytes;
    }

    fn close_clip(&mut self, cause: Option<String>) {
        if self.opened_at.take().is_some() {
            // The writer has room by and by: it is asked with patience, for a clip ends rarely.
            self.writer.orders.send(Order::Close { cause }).ok();
        }
    }

    fn tell(&mut self) {
        while let Ok(event) = self.writer.events.try_recv() {
            let vision = self.trigger.heard(&event);
            self.told.tell(event);
            vision.into_iter().for_each(|event| self.told.tell(event));
        }
    }
}

impl Retain<Packet> for ClipSink {
    fn handle(
        &mut self,
        now: Instant,
        _: Port,
        packet: Packet,
        _: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        self.tell();
        let Some(piece) = self.piece(packet) else { return Ok(()) };
        let after = Duration::from_millis(self.settings.after_ms);
        let is_moving = self.trigger.since(now).is_some_and(|since| since < after);
        if let Some(opened_at) = self.opened_at {
            let length_max = Duration::from_millis(self.settings.length_ms_max);
            let is_long = now.saturating_duration_since(opened_at) >= length_max;
            if !is_moving || is_long {
                self.close_clip(None);
            } else if self.writer.orders.try_send(Order::Write(copy_of(&piece))).is_err() {
                self.close_clip(Some("the disk is too slow".into()));
                // What follows is another clip, if there is still motion then.
                self.drop_front(self.window.len());
            }
            self.keep(piece);
            return Ok(());
        }
        self.keep(piece);
        if is_moving && !self.window.is_empty() {
            let window = self.window.iter().map(copy_of).collect();
            let before = self.window.back().map_or(0, Piece::at_us)
                - self.window.front().map_or(0, Piece::at_us);
            let before_ms = u64::try_from(before / 1000).unwrap_or(0);
            let started_at_ms = clock::wall_ms().saturating_sub(before_ms);
            if self.writer.orders.try_send(Order::Open { window, started_at_ms }).is_ok() {
                self.opened_at = Some(now);
            }
        }
        Ok(())
    }

    fn close(&mut self, _: Instant, _: &End) {
        self.close_clip(None);
        self.tell();
    }
}

/// The same bytes, by reference.
fn copy_of(piece: &Piece) -> Piece {
    Piece { payload: piece.payload.clone(), ..*piece }
}

struct Open {
    container: Container,
    recording: Recording,
    told_at: Instant,
}

/// The writer: until its stage is gone.
fn write(mut shelf: Shelf, tracks: &[Track], orders: &Receiver<Order>, say: &SyncSender<Event>) {
    // Nobody listens when the graph has ended.
    let tell = |event: Event| say.try_send(event).is_ok();
    for mended in shelf.mend() {
        tell(Event::RecordingClosed(mended));
    }
    let shelf = &mut shelf;
    tidy(shelf, &tell);
    let mut open: Option<Open> = None;
    loop {
        let order = match orders.recv_timeout(TIDY_EVERY) {
            Ok(order) => order,
            // Nothing has been written for so long.
            Err(RecvTimeoutError::Timeout) => {
                tidy(shelf, &tell);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match order {
            Order::Open { window, started_at_ms } => {
                match begin(shelf, tracks, &window, started_at_ms) {
                    Ok(begun) => {
                        tell(Event::RecordingStarted(begun.recording.clone()));
                        open = Some(begun);
                        window.iter().for_each(|piece| add(shelf, &mut open, piece, &tell));
                    }
                    Err(error) => {
                        let text = format!("a clip cannot be written: {error:#}");
                        tell(Event::Warning(media_link::Alert { text }));
                    }
                }
            }
            Order::Write(piece) => add(shelf, &mut open, &piece, &tell),
            Order::Close { cause } => end(shelf, &mut open, cause, &tell),
        }
    }
    end(shelf, &mut open, None, &tell);
}

/// Removes what is too old or too much.
fn tidy(shelf: &mut Shelf, tell: &impl Fn(Event) -> bool) {
    for removed in shelf.tidy(None) {
        tell(Event::RecordingRemoved(removed));
    }
}

fn begin(
    shelf: &mut Shelf,
    tracks: &[Track],
    window: &[Piece],
    started_at_ms: u64,
) -> anyhow::Result<Open> {
    let (name, path) = shelf.name(FileKind::of(tracks).extension());
    let first = window.first().ok_or_else(|| anyhow::anyhow!("there is no keyframe"))?;
    let base_us = rescale(first.presentation.min(first.decode), per_second(first.ticks), 1_000_000);
    let opened = Container::open(&path, tracks, &first.payload, base_us, 1_000);
    let container = opened.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
    let track = |(track, size): (&Track, &(u32, u32))| RecordingTrack {
        codec: track.codec.name().into(),
        width: size.0,
        height: size.1,
    };
    let recording = Recording {
        name,
        stream: shelf.stream().into(),
        kind: RecordingKind::Clip,
        started_at_ms,
        size_bytes: container.size_bytes(),
        tracks: tracks.iter().zip(container.sizes()).map(track).collect(),
        ..Recording::default()
    };
    shelf.note(&recording)?;
    Ok(Open { container, recording, told_at: clock::now() })
}

fn add(shelf: &mut Shelf, open: &mut Option<Open>, piece: &Piece, tell: &impl Fn(Event) -> bool) {
    let Some(clip) = open else { return };
    let packet = Packet {
        track: TrackId(piece.track),
        kind: if piece.is_picture { Kind::Video } else { Kind::Audio },
        time_base: per_second(piece.ticks),
        presentation: piece.presentation,
        decode: piece.decode,
        duration: piece.duration,
        is_keyframe: piece.is_keyframe,
        payload: piece.payload.clone(),
        frame: None,
    };
    if let Err(error) = clip.container.write(&packet) {
        return end(shelf, open, Some(format!("writing failed: {error}")), tell);
    }
    let now = clock::now();
    if now.saturating_duration_since(clip.told_at) >= GREW_EVERY {
        clip.told_at = now;
        clip.recording.duration_ms = clip.container.duration_ms();
        clip.recording.size_bytes = clip.container.size_bytes();
        tell(Event::RecordingGrew(clip.recording.clone()));
    }
}

fn end(
    shelf: &mut Shelf,
    open: &mut Option<Open>,
    cause: Option<String>,
    tell: &impl Fn(Event) -> bool,
) {
    let Some(mut clip) = open.take() else { return };
    let closed = clip.container.close();
    let recording = &mut clip.recording;
    recording.cause = cause.or_else(|| closed.err().map(|error| error.to_string()));
    recording.duration_ms = clip.container.duration_ms();
    recording.size_bytes = clip.container.size_bytes();
    recording.is_closed = true;
    if let Err(error) = shelf.note(recording) {
        // The next start mends it.
        recording.cause.get_or_insert_with(|| error.to_string());
    }
    tell(Event::RecordingClosed(clip.recording));
    tidy(shelf, tell);
}
