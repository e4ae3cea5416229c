//! Recordings as the API has them: `GET /api/recordings`, and `DELETE /artifacts/…`.
//!
//! The list is in memory and follows what workers tell, so that no question waits for a disk. Only
//! a removal does: the keeper's thread makes it.
//!
//! *Invariant:* a file is removed only when it is listed and nobody writes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_events::{Catalog, Change, Done, Happening, Order, Told, Wanted, path_of};
use engine_node::Message;
use media_link::RecordingKind;
use protocol_http::Query;
use serde_json::json;

use crate::control::{Asker, Control};
use crate::noticed::Noticed;
use crate::render::Body;
use crate::view::Kept;

/// How long the keeper may take to remove a file.
const REMOVAL_MAX: Duration = Duration::from_secs(5);
/// Removals under way.
const REMOVALS_MAX: usize = 256;

/// The list, and what is being removed of it.
#[derive(Default)]
pub(crate) struct Recordings {
    pub(crate) catalog: Catalog,
    removals: BTreeMap<u32, Removal>,
    numbers: u32,
    /// What happened since the start.
    pub(crate) happenings_count: u64,
    pub(crate) noticed: Noticed,
}

/// In the order of [`crate::ControlCounters::kept`].
pub(crate) const KINDS: [RecordingKind; 3] =
    [RecordingKind::Recording, RecordingKind::Clip, RecordingKind::Snapshot];

fn place_of(kind: RecordingKind) -> usize {
    match kind {
        RecordingKind::Recording => 0,
        RecordingKind::Clip => 1,
        RecordingKind::Snapshot => 2,
    }
}

struct Removal {
    asker: Asker,
    path: String,
    until: Instant,
}

impl Recordings {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.removals.values().map(|removal| removal.until).min()
    }
}

/// What the query of `/api/recordings` asks for.
pub(crate) fn wanted(query: &[u8]) -> Wanted {
    let query = Query::new(query);
    let text = |name: &str| query.get_str(name).map(std::borrow::Cow::into_owned);
    let kind = text("kind").and_then(|name| KINDS.into_iter().find(|kind| kind.name() == name));
    let limit = text("limit").and_then(|text| text.parse().ok()).unwrap_or(0);
    Wanted { stream: text("stream"), kind, after: text("after"), limit }
}

impl Control {
    /// `/api/recordings`.
    pub(crate) fn api_recordings(&self, wanted: &Wanted) -> String {
        let page = self.recordings.catalog.page(wanted);
        let answer = json!({
            "status": "ok",
            "recordings": page.rows,
            "total": page.total_count,
            "next": page.next,
        });
        format!("{answer}\n")
    }

    /// What is kept of each kind now, with what was counted.
    pub(crate) fn kept_now(&self) -> [Kept; 3] {
        let mut kept = self.counters.kept;
        for kind in KINDS {
            kept[place_of(kind)].totals = self.recordings.catalog.totals(Some(kind));
        }
        kept
    }

    /// Something happened to a stream.
    pub(crate) fn happened(&mut self, told: Told) {
        self.recordings.noticed.take(&told);
        match &told.change {
            Some(Change::Is(recording)) => {
                let kept = &mut self.counters.kept[place_of(recording.kind)];
                kept.ended += u64::from(recording.is_closed);
                self.recordings.catalog.note((**recording).clone());
            }
            Some(Change::Gone(recording)) => {
                self.counters.kept[place_of(recording.kind)].removed += 1;
                self.recordings.catalog.forget(&path_of(recording));
            }
            None => {}
        }
        let number = self.recordings.happenings_count;
        let (boot, at_ms) = (self.setup.started.as_millis() as u64, self.wall_clock.as_millis());
        if let Some(happening) = Happening::new(boot, number, at_ms as u64, told) {
            self.recordings.happenings_count += 1;
            let happening = Arc::new(happening);
            self.keep(Order::Note(Arc::clone(&happening)));
            self.broadcast(|| Message::Event(Arc::clone(&happening)));
        }
    }

    /// Has a file removed.
    pub(crate) fn remove_recording(&mut self, asker: Asker, path: String) {
        match self.recordings.catalog.find(&path) {
            None => return self.answer_error(asker, 404, "not_found"),
            Some(recording) if !recording.is_closed => {
                return self.answer_error(asker, 409, "being_recorded");
            }
            Some(_) if self.recordings.removals.len() >= REMOVALS_MAX => {
                return self.answer_error(asker, 503, "busy");
            }
            Some(_) => {}
        }
        self.recordings.numbers = self.recordings.numbers.wrapping_add(1);
        let request = self.recordings.numbers;
        let removal = Removal { asker, path: path.clone(), until: self.now + REMOVAL_MAX };
        self.recordings.removals.insert(request, removal);
        self.keep(Order::Remove { request, path });
    }

    /// The keeper has done something.
    pub(crate) fn kept(&mut self, done: Done) {
        let Done::Removed { request, result } = done;
        let removal = self.recordings.removals.remove(&request);
        match (result, removal) {
            (Ok(()), Some(removal)) => {
                if let Some(recording) = self.recordings.catalog.forget(&removal.path) {
                    self.happened(Told::removed(recording));
                }
                self.answer_body(removal.asker, 200, Body::Json, "{\"status\":\"ok\"}\n");
            }
            (Err(cause), Some(removal)) => {
                tracing::warn!(path = removal.path, cause, "a recording is not removed");
                self.answer_error(removal.asker, 500, "not_removed");
            }
            // It came too late: the next list says what there is.
            (_, None) => {}
        }
    }

    pub(crate) fn expire_removals(&mut self) {
        let now = self.now;
        let is_over = |(_, removal): &(&u32, &Removal)| removal.until <= now;
        let over: Vec<u32> =
            self.recordings.removals.iter().filter(is_over).map(|(request, _)| *request).collect();
        for request in over {
            if let Some(removal) = self.recordings.removals.remove(&request) {
                self.answer_error(removal.asker, 503, "busy");
            }
        }
    }

    fn answer_error(&mut self, asker: Asker, status: u16, error: &str) {
        let body = format!("{{\"status\":\"error\",\"error\":\"{error}\"}}\n");
        self.answer_body(asker, status, Body::Json, &body);
    }
}
