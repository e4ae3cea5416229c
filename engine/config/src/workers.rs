//! `[workers]`: processes that open sources and write recordings.

use std::path::PathBuf;

use crate::Config;
use crate::define::keys;
use crate::rtc::stream_name;

keys! {
    /// Worker processes (`skywave-worker`, with FFmpeg): they open sources, whose media become
    /// streams of WebRTC, and record streams. They run only where `sources` or `record_dir` are
    /// set and `rtc.listen` names an address.
    pub struct Workers in "workers" {
        /// The program. Not set: `skywave-worker` beside the server's own.
        program: Option<PathBuf> = None, example("\"/usr/lib/skywave/skywave-worker\""), restart();

        /// Sources that become streams, each `NAME=SOURCE`. A source is a file, which repeats, a
        /// URL such as `rtsp://…`, or a device such as `/dev/video0`. It is opened once, whoever
        /// watches.
        sources: Vec<String> = Vec::new(), example("[\"door=rtsp://camera/1\"]"), restart(),
            check(|workers| check_sources(&workers.sources));

        /// Whether pictures of sources are encoded even where browsers understand them as they
        /// are, so that a keyframe comes when it is asked for and the bitrate follows the viewers.
        video_encode: bool = false, restart();

        /// Bits each second that encoded pictures begin with. Then they follow the viewers, and of
        /// these the one in the middle: half of them may have better ways and half worse ones, and
        /// whoever has a worse one loses pictures without spoiling those of the others.
        video_bps: u32 = 2_000_000, within(50_000, 200_000_000), restart();

        /// Encoded pictures have no fewer bits each second than this, whatever the viewers take …
        video_bps_min: u32 = 150_000, within(50_000, 200_000_000), restart();

        /// … and no more than this.
        video_bps_max: u32 = 4_000_000, within(50_000, 200_000_000), restart();

        /// The folder of recordings, clips and snapshots. They are served below `/artifacts/`. Not
        /// set: nothing is kept.
        record_dir: Option<PathBuf> = None, example("\"/var/lib/skywave/recordings\""), restart();

        /// Whether streams are recorded, where `record_dir` is set.
        record: bool = true, restart();

        /// Only these streams are recorded. Empty: all that are published.
        record_streams: Vec<String> = Vec::new(), example("[\"stage\"]"), restart(),
            check(|workers| workers.record_streams.iter().try_for_each(|it| stream_name(it)));

        /// A recording ends and another one begins after so long, in seconds. 0: never.
        record_rotate_s: u64 = 3_600, within(0, 31_536_000), restart();

        /// A recording ends and another one begins at so many bytes. 0: never.
        record_rotate_bytes: u64 = 0, within(0, 1_000_000_000_000_000), restart();

        /// Recordings older than this are removed, in seconds. 0: never.
        record_keep_s: u64 = 0, within(0, 3_153_600_000), restart();

        /// The oldest recordings of a stream are removed beyond so many bytes. 0: never.
        record_keep_bytes: u64 = 0, within(0, 1_000_000_000_000_000), restart();

        /// Whether motion is looked for in the pictures of sources.
        motion: bool = false, restart();

        /// Whether voice is listened for in the sound of sources.
        voice: bool = false, restart();

        /// Whether motion is looked for in what browsers publish, while it is recorded.
        record_motion: bool = false, restart();

        /// Whether voice is listened for in what browsers publish, while it is recorded.
        record_voice: bool = false, restart();

        /// How much of the picture has to change to be motion, in thousandths of full brightness on
        /// average.
        motion_threshold: u32 = 80, within(1, 1_000), restart();

        /// Whether a picture is kept when motion begins, in `snapshots` below `record_dir`.
        snapshots: bool = false, restart();

        /// Snapshots of one stream at most; the oldest go.
        snapshots_max: u32 = 1_000, within(1, 20_000), restart();

        /// Snapshots older than this are removed, in seconds. 0: never.
        snapshot_keep_s: u64 = 0, within(0, 3_153_600_000), restart();

        /// The oldest snapshots of a stream are removed beyond so many bytes. 0: never.
        snapshot_keep_bytes: u64 = 0, within(0, 1_000_000_000_000_000), restart();

        /// Whether the stream is kept around motion, in `clips` below `record_dir`: as it comes,
        /// without being encoded anew.
        clips: bool = false, restart();

        /// What a clip has from before the motion, in milliseconds; it begins at the keyframe
        /// before that.
        clip_before_ms: u64 = 3_000, within(0, 60_000), restart();

        /// What a clip has from after the last motion, in milliseconds.
        clip_after_ms: u64 = 5_000, within(500, 600_000), restart();

        /// A clip is no longer than this, in milliseconds, whatever goes on.
        clip_ms_max: u64 = 120_000, within(1_000, 3_600_000), restart();

        /// Clips of one stream at most; the oldest go.
        clips_max: u32 = 500, within(1, 20_000), restart();

        /// Clips older than this are removed, in seconds. 0: never.
        clip_keep_s: u64 = 0, within(0, 3_153_600_000), restart();

        /// The oldest clips of a stream are removed beyond so many bytes. 0: never.
        clip_keep_bytes: u64 = 0, within(0, 1_000_000_000_000_000), restart();
    }
}

impl Workers {
    /// Whether there is any work.
    pub fn is_wanted(&self) -> bool {
        !self.sources.is_empty() || self.record_dir.is_some()
    }

    /// The sources, each with its stream's name.
    pub fn named_sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().filter_map(|text| text.split_once('='))
    }
}

/// What the server does with a stream, in icey's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamMode {
    /// The server has its source, or hears a mount: it can only be watched.
    Stream,
    /// What is published is passed on, and recorded.
    Record,
    /// What is published is passed on.
    Relay,
}

impl StreamMode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamMode::Stream => "stream",
            StreamMode::Record => "record",
            StreamMode::Relay => "relay",
        }
    }

    /// What a caller can ask of it.
    pub fn capabilities(self) -> &'static [&'static str] {
        match self {
            StreamMode::Stream => &["view"],
            StreamMode::Record | StreamMode::Relay => &["publish", "view"],
        }
    }
}

impl Config {
    /// What is done with the stream of this name, configured or not.
    pub fn stream_mode(&self, name: &str) -> StreamMode {
        let workers = &self.workers;
        let hears_mount =
            |stream: &crate::Stream| stream.name == name && stream.from_mount.is_some();
        let is_chosen = |only: &[String]| only.is_empty() || only.iter().any(|it| it == name);
        if workers.named_sources().any(|(source, _)| source == name)
            || self.streams.iter().any(hears_mount)
        {
            StreamMode::Stream
        } else if workers.record
            && workers.record_dir.is_some()
            && is_chosen(&workers.record_streams)
        {
            StreamMode::Record
        } else {
            StreamMode::Relay
        }
    }
}

fn check_sources(sources: &[String]) -> Result<(), String> {
    for text in sources {
        match text.split_once('=') {
            Some((name, source)) if !source.is_empty() => stream_name(name)?,
            _ => return Err(format!("expected NAME=SOURCE, found {text:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_and_may_have_more_equals_signs() {
        let sources = vec!["door=rtsp://camera/1?a=b".to_owned()];
        assert_eq!(check_sources(&sources), Ok(()));
        let workers = Workers { sources, ..Workers::default() };
        let named: Vec<_> = workers.named_sources().collect();
        assert_eq!(named, [("door", "rtsp://camera/1?a=b")]);
        for bad in ["door", "door=", "=x", "a/b=x"] {
            assert!(check_sources(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
    #[test]
    fn a_stream_has_the_mode_of_what_is_done_with_it() {
        let text = "[workers]\nsources = [\"door=/dev/video0\"]\nrecord_dir = \"/r\"\n\
            record_streams = [\"hall\", \"door\"]\n\
            [[stream]]\nname = \"air\"\nfrom_mount = \"/a.opus\"\n";
        let mut config = Config::parse("f", text).expect("in order");
        let modes = |config: &Config| {
            ["door", "air", "hall", "other"].map(|name| config.stream_mode(name).as_str())
        };
        assert_eq!(modes(&config), ["stream", "stream", "record", "relay"]);
        config.workers.record_streams.clear();
        assert_eq!(modes(&config), ["stream", "stream", "record", "record"]);
        config.workers.record = false;
        assert_eq!(modes(&config), ["stream", "stream", "relay", "relay"]);
    }
}
