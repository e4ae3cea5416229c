//! What stages have to tell: events for the server and wishes for whoever sends media. Stages put
//! them here while they run, the driver takes them out between two steps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use media_link::Event;

/// Events that wait. Beyond, the oldest are dropped: whoever reads them wants to know what is now.
const EVENTS_MAX: usize = 128;

/// Shared by the stages of a graph and its driver.
#[derive(Clone, Default)]
pub struct Told(Rc<Inner>);

#[derive(Default)]
struct Inner {
    events: RefCell<VecDeque<Event>>,
    keyframe_wanted: Cell<bool>,
}

impl Told {
    /// Tells an event.
    pub fn tell(&self, event: Event) {
        let mut events = self.0.events.borrow_mut();
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Asks for a keyframe of the pictures.
    pub fn want_keyframe(&self) {
        self.0.keyframe_wanted.set(true);
    }

    /// The next event.
    pub fn next(&self) -> Option<Event> {
        self.0.events.borrow_mut().pop_front()
    }

    /// Whether a keyframe was asked for since the last time.
    pub fn takes_keyframe_wish(&self) -> bool {
        self.0.keyframe_wanted.take()
    }
}
