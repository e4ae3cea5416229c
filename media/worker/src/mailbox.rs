//! Where the threads of a worker meet: the link's reader and the demuxer put letters in, the
//! graph's driver takes them out.
//!
//! *Invariant:* both kinds of letters are bounded. Media waits at the sender's while the graph has
//! no room, so that a socket's or a file's own flow control holds; what steers is never behind it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use media_link::{Ending, Message};

use crate::packet::Packet;
use crate::source::SourceTrack;

/// Media that waits for the graph.
const MEDIA_MAX: usize = 16;
/// Letters that steer. Nobody sends so many in earnest: the link's reader waits.
const STEERING_MAX: usize = 256;

/// What a thread has to tell the driver.
pub enum Letter {
    /// The server said something.
    Message(Message),
    /// The server is gone, or does not make sense.
    LinkClosed(String),
    /// The source is open.
    SourceOpened(Vec<SourceTrack>),
    /// Media of the source.
    SourcePacket(SourcePacket),
    /// The source is at its end, or lost.
    SourceEnded(Ending),
}

/// A packet that crosses threads: it carries no decoded frame, which could not.
pub struct SourcePacket {
    pub track: u8,
    pub is_audio: bool,
    pub time_base: media_flow::TimeBase,
    pub presentation: i64,
    pub decode: i64,
    pub duration: u32,
    pub is_keyframe: bool,
    pub payload: bytes::Bytes,
}

impl SourcePacket {
    /// As the graph takes it.
    pub fn into_packet(self) -> Packet {
        Packet {
            track: media_flow::TrackId(self.track),
            kind: if self.is_audio { media_flow::Kind::Audio } else { media_flow::Kind::Video },
            time_base: self.time_base,
            presentation: self.presentation,
            decode: self.decode,
            duration: self.duration,
            is_keyframe: self.is_keyframe,
            payload: self.payload,
            frame: None,
        }
    }
}

#[derive(Default)]
struct State {
    steering: VecDeque<Letter>,
    media: VecDeque<Letter>,
    /// Something was written to the link since the driver looked.
    has_written: bool,
}

/// The mailbox.
#[derive(Default)]
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
    room: Condvar,
}

/// What a wait brought.
pub enum Arrival {
    /// A letter.
    Letter(Letter),
    /// The link has room again.
    Written,
    /// Time is up.
    Timeout,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left whole letters: the state is always consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts a letter; waits while there are too many of its kind.
    pub fn post(&self, letter: Letter) {
        let is_media = match &letter {
            Letter::SourcePacket(_) => true,
            Letter::Message(message) => {
                matches!(message, Message::Packet(_) | Message::Track(_) | Message::Drain)
            }
            _ => false,
        };
        // The end of a source stands behind its last packet.
        let is_media = is_media || matches!(letter, Letter::SourceEnded(_));
        let mut state = self.lock();
        let is_full = |state: &State| match is_media {
            true => state.media.len() >= MEDIA_MAX,
            false => state.steering.len() >= STEERING_MAX,
        };
        while is_full(&state) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if is_media {
            state.media.push_back(letter);
        } else {
            state.steering.push_back(letter);
        }
        self.arrived.notify_one();
    }

    /// The link's writer has written something.
    pub fn note_written(&self) {
        self.lock().has_written = true;
        self.arrived.notify_one();
    }

    /// Waits for a letter. Media stays where it is unless it is wanted.
    pub fn receive(&self, now: Instant, until: Option<Instant>, takes_media: bool) -> Arrival {
        let mut state = self.lock();
        let mut may_wait = true;
        loop {
            let letter = match state.steering.pop_front() {
                Some(letter) => Some(letter),
                None if takes_media => state.media.pop_front(),
                None => None,
            };
            if let Some(letter) = letter {
                self.room.notify_all();
                return Arrival::Letter(letter);
            }
            if std::mem::take(&mut state.has_written) {
                return Arrival::Written;
            }
            if !may_wait {
                return Arrival::Timeout;
            }
            state = match until.map(|until| until.saturating_duration_since(now)) {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(time) => {
                    let waited = self.arrived.wait_timeout(state, time);
                    let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
                    may_wait = !result.timed_out();
                    state
                }
            };
        }
    }
}
