//! What happened, as all are told of it: numbered, and encoded once.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use protocol_http::ServerEvent;
use serde_json::json;

use crate::told::Told;

/// Happenings that a window keeps for who comes back …
pub const KEPT_MAX: usize = 1_024;
/// … and their bytes.
pub const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Its number since this start of the server; they follow each other.
    pub number: u64,
    /// Which start that was: when, in milliseconds.
    pub boot: u64,
    /// When it was told, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its name, such as `icey:vision`.
    pub name: &'static str,
    /// The stream's name.
    pub stream: String,
    /// What there is to say of it, as JSON.
    pub data: String,
    /// The server-sent event: a reference for each subscriber.
    pub frame: Bytes,
}

impl Happening {
    /// Numbers what was told; nothing where it is only of use in lists.
    #[must_use]
    pub fn new(boot: u64, number: u64, at_ms: u64, told: Told) -> Option<Happening> {
        let Told { name: Some(name), stream, data, .. } = told else { return None };
        let data = data.to_string();
        let id = format!("{boot}-{number}");
        let event = ServerEvent {
            id: Some(&id),
            event: Some(name),
            data: Some(&data),
            ..ServerEvent::default()
        };
        let mut frame = Vec::with_capacity(data.len() + 96);
        event.encode(&mut frame);
        Some(Happening { number, boot, at_ms, name, stream, data, frame: frame.into() })
    }

    /// As one object, for logs and for other servers.
    #[must_use]
    pub fn envelope(&self) -> String {
        let Happening { boot, number, at_ms, name, stream, data, .. } = self;
        let at = crate::time::iso8601_ms(*at_ms);
        let stream = json!(stream);
        format!(
            "{{\"id\":\"{boot}-{number}\",\"event\":\"{name}\",\"at\":\"{at}\",\
             \"stream\":{stream},\"data\":{data}}}"
        )
    }
}

/// The last happenings, for who was cut off: each shard has one.
#[derive(Debug, Default)]
pub struct Window {
    kept: VecDeque<Arc<Happening>>,
    bytes: usize,
}

impl Window {
    /// The newest. Numbers follow each other.
    pub fn push(&mut self, happening: Arc<Happening>) {
        self.bytes += happening.frame.len();
        self.kept.push_back(happening);
        while self.kept.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX && self.kept.len() > 1 {
            let oldest = self.kept.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.frame.len());
        }
    }

    /// The number of what comes next.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.kept.back().map_or(0, |newest| newest.number + 1)
    }

    /// The number of the oldest that is kept.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.kept.front().map_or(0, |oldest| oldest.number)
    }

    /// Where somebody goes on who has heard this last; at the oldest where that was another start
    /// of the server, and at what comes next where it says nothing.
    #[must_use]
    pub fn resume(&self, last_id: Option<&str>) -> u64 {
        let Some(last_id) = last_id else { return self.head() };
        let parts = last_id.split_once('-');
        let parts =
            parts.and_then(|(boot, number)| Some((boot.parse().ok()?, number.parse().ok()?)));
        let boot = self.kept.back().map(|newest| newest.boot);
        match parts {
            Some((of, number)) if Some::<u64>(of) == boot => {
                u64::min(number, u64::MAX - 1).saturating_add(1).min(self.head())
            }
            _ => self.tail(),
        }
    }

    /// Those from this number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Arc<Happening>> {
        let skipped = number.saturating_sub(self.tail());
        self.kept.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(number: u64, text: &str) -> Arc<Happening> {
        let told = Told {
            name: Some("icey:vision"),
            stream: "hall".into(),
            data: json!({ "text": text }),
            change: None,
        };
        Arc::new(Happening::new(7, number, 1_000, told).expect("it has a name"))
    }

    #[test]
    fn an_event_has_its_name_its_number_and_one_line_of_data() {
        let it = happening(3, "a\nb");
        let text = String::from_utf8(it.frame.to_vec()).expect("UTF-8");
        assert_eq!(text, "event: icey:vision\nid: 7-3\ndata: {\"text\":\"a\\nb\"}\n\n");
        assert_eq!(
            it.envelope(),
            "{\"id\":\"7-3\",\"event\":\"icey:vision\",\"at\":\"1970-01-01T00:00:01.000Z\",\
             \"stream\":\"hall\",\"data\":{\"text\":\"a\\nb\"}}"
        );
    }

    #[test]
    fn who_comes_back_misses_nothing_that_is_kept() {
        let mut window = Window::default();
        assert_eq!((window.resume(None), window.resume(Some("7-1"))), (0, 0));
        (0..10).for_each(|number| window.push(happening(number, "x")));
        assert_eq!(window.resume(None), 10);
        assert_eq!(window.resume(Some("7-3")), 4);
        assert_eq!(window.from(4).count(), 6);
        assert_eq!(window.resume(Some("7-99")), 10, "it cannot have heard the future");
        for other in ["6-3", "nonsense", "", "7-x"] {
            assert_eq!(window.resume(Some(other)), 0, "{other}");
        }
    }

    #[test]
    fn the_ring_is_bounded_by_count_and_by_bytes() {
        let mut window = Window::default();
        (0..2_000).for_each(|number| window.push(happening(number, "x")));
        assert_eq!((window.tail(), window.head()), (2_000 - KEPT_MAX as u64, 2_000));
        let long = "x".repeat(KEPT_BYTES_MAX / 4);
        (2_000..2_010).for_each(|number| window.push(happening(number, &long)));
        assert_eq!(window.from(0).count(), 3);
    }
}
