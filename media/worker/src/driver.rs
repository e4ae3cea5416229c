//! Runs a graph: letters in, packets through, what comes out to the server, until it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media_flow::{Graph, Input, Node, Outlet, Output, Refused, Source};
use media_link::{Message, Track};

use crate::clock;
use crate::mailbox::{Arrival, Letter, Mailbox};
use crate::packet::Packet;
use crate::pipe::Outbox;
use crate::stages::for_link;
use crate::told::Told;

/// How often the server hears of the graph's counters.
const DESCRIBE_EVERY: Duration = Duration::from_secs(5);

/// A graph with its ends.
pub struct Pipeline {
    pub graph: Graph<Packet>,
    pub source: Node<Source>,
    pub outlets: Vec<Node<Outlet>>,
    pub told: Told,
}

/// What ended a step of the driver.
pub enum Step {
    /// A letter that is for whoever made the graph.
    Letter(Letter),
    /// The graph is at its end.
    Ended,
}

/// A pipeline that runs.
pub struct Driver {
    pub pipeline: Pipeline,
    mailbox: Arc<Mailbox>,
    held: Option<Packet>,
    described_at: Option<Instant>,
}

impl Driver {
    pub fn new(pipeline: Pipeline, mailbox: Arc<Mailbox>) -> Driver {
        Driver { pipeline, mailbox, held: None, described_at: None }
    }

    /// Pushes a packet, or keeps it until there is room. No media is taken meanwhile.
    pub fn push(&mut self, packet: Packet) {
        match self.pipeline.graph.push(clock::now(), self.pipeline.source, packet) {
            Ok(()) | Err(Refused::Ended(_)) => {}
            Err(Refused::Full(packet) | Refused::Paused(packet)) => self.held = Some(packet),
        }
    }

    /// Ends the source: what is in flight is delivered.
    pub fn drain(&mut self) {
        self.pipeline.graph.handle(clock::now(), Input::Drain);
    }

    /// Ends now.
    pub fn stop(&mut self) {
        self.pipeline.graph.handle(clock::now(), Input::Stop);
    }

    /// Runs until there is something to decide.
    pub fn step(&mut self, outbox: &mut Outbox) -> Step {
        loop {
            let now = clock::now();
            if self.pipeline.graph.deadline().is_some_and(|deadline| deadline <= now) {
                self.pipeline.graph.handle(now, Input::Tick);
            }
            self.poll();
            self.hand_on(outbox);
            if self.pipeline.graph.end().is_some() && !self.has_output() {
                self.describe(now, outbox);
                return Step::Ended;
            }
            if self
                .described_at
                .is_none_or(|at| now.saturating_duration_since(at) >= DESCRIBE_EVERY)
            {
                self.described_at = Some(now);
                self.describe(now, outbox);
            }
            let until = self.pipeline.graph.deadline().unwrap_or(now + DESCRIBE_EVERY);
            let until = until.min(now + DESCRIBE_EVERY);
            let takes_media = self.held.is_none() && self.pipeline.graph.end().is_none();
            match self.mailbox.receive(now, Some(until), takes_media) {
                Arrival::Letter(letter) => return Step::Letter(letter),
                Arrival::Written | Arrival::Timeout => outbox.pump(),
            }
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.pipeline.graph.poll() {
            if let Output::Credit(_) = output
                && let Some(packet) = self.held.take()
            {
                self.push(packet);
            }
        }
    }

    /// A graph that has ended holds nothing; one that drains holds what the server has yet to take.
    fn has_output(&self) -> bool {
        let graph = &self.pipeline.graph;
        graph.end().is_none()
            && self.pipeline.outlets.iter().any(|outlet| !graph.is_closed(*outlet))
    }

    fn hand_on(&mut self, outbox: &mut Outbox) {
        outbox.pump();
        while let Some(event) = self.pipeline.told.next() {
            outbox.tell(event);
        }
        if self.pipeline.told.takes_keyframe_wish() {
            outbox.say(Message::KeyframeWanted { track: 0 });
        }
        for index in 0..self.pipeline.outlets.len() {
            let outlet = self.pipeline.outlets[index];
            while outbox.has_room()
                && let Some(packet) = self.pipeline.graph.take(clock::now(), outlet)
            {
                outbox.say(Message::Packet(for_link(&packet)));
            }
        }
        self.poll();
    }

    fn describe(&self, _now: Instant, outbox: &mut Outbox) {
        // It is made of names and numbers; a graph that cannot be told is not worth an end.
        if let Ok(text) = serde_json::to_vec(&self.pipeline.graph.describe()) {
            outbox.say(Message::Graph(Bytes::from(text)));
        }
    }
}

/// Announces tracks.
pub fn announce(tracks: &[Track], outbox: &mut Outbox) {
    for track in tracks {
        outbox.say(Message::Track(track.clone()));
    }
}
