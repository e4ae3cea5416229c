//! What comes out of a framer: units, counters, titles, what the audio is.

use bytes::Bytes;

/// A frame, page or block of the stream, whole wherever the format allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// What every listener hears next.
    pub bytes: &'a [u8],
    /// A decoder may start at this unit's first byte, once it has had the prelude in force.
    pub sync: bool,
    /// Given when the prelude for late joiners changes: in force from this unit on.
    pub prelude: Option<Bytes>,
}

/// What a framer has seen. All only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes pushed.
    pub bytes_in: u64,
    /// Units given out.
    pub units: u64,
    /// Units given out that are sync units.
    pub sync_units: u64,
    /// Bytes that were not passed on: garbage, tags and blocks that are no use in a live stream.
    pub bytes_dropped: u64,
    /// Times that the framer lost its place.
    pub resyncs: u64,
    /// Header sets that took force: chained Ogg links, restarted encoders.
    pub links: u64,
    /// Links refused because their headers exceed a limit or make no sense.
    pub refused: u64,
}

/// What the stream's audio is, as far as its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioInfo {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels, LFE included.
    pub channels_count: u8,
    /// Thousand bits per second, averaged so far; 0 where it is not known.
    pub bitrate_kbps: u32,
    /// The codec's short name: `mp3`, `aac`, `opus`, `vorbis`, `flac`, `pcm` …
    pub codec: &'static str,
}

/// What all parsers keep in the same way.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub counters: Counters,
    pub title: Option<String>,
    audio: Option<AudioInfo>,
    prelude_next: Option<Bytes>,
    measured_bytes: u64,
    measured_samples: u64,
}

impl Shared {
    /// The audio with its average bitrate so far.
    pub fn audio(&self) -> Option<AudioInfo> {
        let mut audio = self.audio?;
        if self.measured_samples > 0 {
            let bits = u128::from(self.measured_bytes) * 8 * u128::from(audio.sample_rate_hz);
            let per_second = bits / u128::from(self.measured_samples);
            audio.bitrate_kbps = u32::try_from((per_second + 500) / 1000).unwrap_or(u32::MAX);
        }
        Some(audio)
    }
}

/// Where a parser puts what it finds.
pub(crate) struct Output<'a> {
    pub shared: &'a mut Shared,
    pub sink: &'a mut dyn FnMut(Unit<'_>),
}

impl Output<'_> {
    /// Gives a unit out.
    pub fn unit(&mut self, bytes: &[u8], sync: bool) {
        let counters = &mut self.shared.counters;
        counters.units += 1;
        counters.sync_units += u64::from(sync);
        (self.sink)(Unit { bytes, sync, prelude: self.shared.prelude_next.take() });
    }

    /// Puts a new prelude in force from the next unit on.
    pub fn prelude(&mut self, prelude: Bytes) {
        self.shared.prelude_next = Some(prelude);
    }

    /// Counts bytes that are not passed on.
    pub fn dropped(&mut self, count: usize) {
        self.shared.counters.bytes_dropped += count as u64;
    }

    /// Counts a lost place.
    pub fn lost(&mut self) {
        self.shared.counters.resyncs += 1;
    }

    /// Counts a link that is refused.
    pub fn refused(&mut self) {
        self.shared.counters.refused += 1;
    }

    /// Says what the audio is, from a new link on.
    pub fn audio(&mut self, audio: AudioInfo) {
        self.shared.audio = Some(audio);
        self.shared.measured_bytes = 0;
        self.shared.measured_samples = 0;
    }

    /// Has a frame count towards the average bitrate.
    pub fn measure(&mut self, bytes: usize, samples: u32) {
        self.shared.measured_bytes += bytes as u64;
        self.shared.measured_samples += u64::from(samples);
    }

    /// Announces a title found inside the stream.
    pub fn title(&mut self, title: String) {
        self.shared.title = Some(title);
    }
}
