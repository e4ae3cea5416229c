//! What `/api/status` says of streams that workers open, record and look at, in icey's shapes.
//!
//! What is said is what came here: counters of events, and the last of each kind. What only a
//! worker knows of itself is left out rather than made up.

use engine_events::Told;
use media_link::RecordingKind;
use serde_json::{Value, json};

use crate::control::Control;

/// What was noticed since the start.
#[derive(Default)]
pub(crate) struct Noticed {
    vision_count: u64,
    last_score: f64,
    last_latency_usec: u64,
    speech_count: u64,
    is_voice_active: bool,
    last_level: f64,
    last_peak: f64,
}

impl Noticed {
    pub(crate) fn take(&mut self, told: &Told) {
        let data = &told.data;
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        match told.name {
            // What is told again with its clip was counted before.
            Some("icey:vision") if data["type"] != "clip" => {
                self.vision_count += 1;
                self.last_score = number(&data["data"]["score"]);
                self.last_latency_usec = data["data"]["latencyUsec"].as_u64().unwrap_or(0);
            }
            Some("icey:speech") => {
                self.speech_count += 1;
                self.is_voice_active = data["active"] == true;
                self.last_level = number(&data["level"]);
                self.last_peak = number(&data["peak"]);
            }
            _ => {}
        }
    }
}

impl Control {
    /// The blocks `stream`, `record` and `intelligence`.
    pub(crate) fn status_of_workers(&self) -> [(&'static str, Value); 3] {
        let workers = &self.config.workers;
        let runs = self.config.rtc.is_wanted();
        let sources: Vec<Value> = workers
            .named_sources()
            .map(|(name, source)| json!({"source": name, "sourceKind": kind_of(source)}))
            .collect();
        let first = workers.named_sources().next();
        let stream = json!({
            "source": first.map_or("", |(name, _)| name),
            "sourceKind": first.map_or("none", |(_, source)| kind_of(source)),
            "loop": first.is_some_and(|(_, source)| kind_of(source) == "file"),
            "sources": sources,
        });
        let folder = workers.record_dir.as_ref().and_then(|folder| folder.file_name());
        let catalog = &self.recordings.catalog;
        let recordings = catalog.totals(Some(RecordingKind::Recording));
        let record = json!({
            "dir": folder.map(|name| name.to_string_lossy()).unwrap_or_default(),
            "enabled": runs && workers.record && folder.is_some(),
            "active": recordings.open_count,
            "recordings": recordings.count,
            "bytes": catalog.totals(None).size_bytes,
        });
        let noticed = &self.recordings.noticed;
        let records = workers.record && folder.is_some();
        let is_on = |of_sources: bool, of_recorded: bool| {
            runs && (of_sources && first.is_some() || of_recorded && records)
        };
        let looks = is_on(workers.motion, workers.record_motion);
        let listens = is_on(workers.voice, workers.record_voice);
        let clips = catalog.totals(Some(RecordingKind::Clip));
        let url = |kind| {
            let newest = catalog.newest(kind);
            newest.map(|it| engine_events::row(it)["url"].clone()).unwrap_or(json!(""))
        };
        let intelligence = json!({
            "ready": looks || listens,
            "vision": {
                "enabled": workers.motion || workers.record_motion,
                "active": looks,
                "snapshotsEnabled": looks && workers.snapshots && folder.is_some(),
                "clipsEnabled": looks && workers.clips && folder.is_some(),
                "snapshotDir": "snapshots",
                "clipDir": "clips",
                "detectorEmitted": noticed.vision_count,
                "lastScore": noticed.last_score,
                "lastLatencyUsec": noticed.last_latency_usec,
                "snapshots": catalog.totals(Some(RecordingKind::Snapshot)).count,
                "clips": clips.count,
                "clipActive": clips.open_count > 0,
                "lastSnapshotUrl": url(RecordingKind::Snapshot),
                "lastClipUrl": url(RecordingKind::Clip),
            },
            "speech": {
                "enabled": workers.voice || workers.record_voice,
                "active": listens,
                "detectorEmitted": noticed.speech_count,
                "vadActive": noticed.is_voice_active,
                "lastLevel": noticed.last_level,
                "lastPeak": noticed.last_peak,
            },
        });
        [("stream", stream), ("record", record), ("intelligence", intelligence)]
    }
}

/// What a source is, in icey's words.
fn kind_of(source: &str) -> &'static str {
    match source {
        _ if source.starts_with("rtsp://") => "rtsp",
        _ if source.starts_with("/dev/video") || source.starts_with("v4l2:") => "device",
        _ if source.contains("://") => "url",
        _ => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_by_their_kind_alone() {
        for (source, kind) in [
            ("rtsp://u:p@camera/1", "rtsp"),
            ("/dev/video0", "device"),
            ("https://h/x.mp4", "url"),
            ("film.mp4", "file"),
        ] {
            assert_eq!(kind_of(source), kind);
        }
    }

    #[test]
    fn the_last_of_each_kind_is_remembered() {
        let mut noticed = Noticed::default();
        let told = |name, data| Told { name: Some(name), stream: "a".into(), data, change: None };
        noticed.take(&told("icey:vision", json!({"data": {"score": 0.5, "latencyUsec": 7}})));
        noticed.take(&told("icey:speech", json!({"active": true, "level": 0.25, "peak": 0.5})));
        assert_eq!((noticed.vision_count, noticed.last_score), (1, 0.5));
        assert_eq!((noticed.last_latency_usec, noticed.is_voice_active), (7, true));
        assert_eq!((noticed.last_level, noticed.last_peak), (0.25, 0.5));
    }
}
