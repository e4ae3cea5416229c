//! Voice: the level of the sound, and a detector that knows speech from noise.
//!
//! The level decides as icey's rule does; the detector (`earshot`) must agree before a voice
//! begins, so that a tone or a fan is none.

use std::time::Instant;

use earshot::Detector;
use ffmpeg_next::format::Sample;
use ffmpeg_next::software::resampling;
use media_flow::{Inspect, Port, StageError, Verdict};
use media_link::{Event, Sound, SpeechEvent, Voice};
use serde_json::json;

use crate::encode::resample;
use crate::packet::{Decoded, Packet, View, rescale};
use crate::told::Told;

/// The detector's rate and the samples that it takes at a time.
const DETECTOR_SAMPLES: usize = 256;
/// Of three samples at 48 kHz the detector gets one.
const EVERY: usize = 3;

/// The stage.
pub struct Listen {
    stream: String,
    rule: Rule,
    settings: Voice,
    told: Told,
    sequence: u64,
    resampler: Option<(resampling::Context, (Sample, u32, u64))>,
    detector: Box<Detector>,
    waiting: Vec<i16>,
    /// What the detector said lately: the highest within a short time.
    probability: f32,
}

impl Listen {
    pub fn new(stream: &str, settings: Voice, told: Told) -> Listen {
        Listen {
            stream: stream.into(),
            rule: Rule::new(&settings),
            settings,
            told,
            sequence: 0,
            resampler: None,
            detector: Detector::default_boxed(),
            waiting: Vec::new(),
            probability: 0.0,
        }
    }

    /// Lets the detector hear pairs of samples at 48 kHz.
    fn ask(&mut self, pairs: &[i16]) {
        let mono = pairs.chunks_exact(2).map(|pair| (i32::from(pair[0]) + i32::from(pair[1])) / 2);
        let mono: Vec<i32> = mono.collect();
        // The mean of three is filter enough for a detector of speech.
        let thinned = mono.chunks_exact(EVERY).map(|three| (three.iter().sum::<i32>() / 3) as i16);
        self.waiting.extend(thinned);
        while self.waiting.len() >= DETECTOR_SAMPLES {
            let said = self.detector.predict_i16(&self.waiting[..DETECTOR_SAMPLES]);
            self.waiting.drain(..DETECTOR_SAMPLES);
            self.probability = said.max(self.probability * 0.9);
        }
    }
}

impl Inspect<Packet> for Listen {
    fn handle(&mut self, _: Instant, _: Port, view: View<'_>) -> Result<Verdict, StageError> {
        let Some(Decoded::Sound(sound)) = view.frame else { return Ok(Verdict::Pass) };
        let pairs = resample(&mut self.resampler, sound)?;
        if pairs.is_empty() {
            return Ok(Verdict::Pass);
        }
        self.ask(&pairs);
        let loudness = |sample: &i16| f32::from(sample.unsigned_abs()) / 32_768.0;
        let level = pairs.iter().map(loudness).sum::<f32>() / pairs.len() as f32;
        let peak = pairs.iter().map(loudness).fold(0.0, f32::max);
        let time = rescale(view.presentation, view.time_base, 1_000_000);
        let is_voice = self.probability >= self.settings.probability_min;
        let sequence = self.sequence;
        self.sequence += 1;
        let Some((kind, active)) = self.rule.hear(time, level, is_voice) else {
            return Ok(Verdict::Pass);
        };
        let rate = u64::from(sound.rate().max(1));
        let detector = if self.settings.probability_min > 0.0 { "earshot" } else { "energy_vad" };
        self.told.tell(Event::Speech(SpeechEvent {
            kind: kind.into(),
            source: self.stream.clone(),
            detector: detector.into(),
            time,
            audio: Sound {
                sequence,
                time,
                duration: sound.samples() as u64 * 1_000_000 / rate,
                sample_rate: sound.rate(),
                channels: u8::try_from(sound.channels()).unwrap_or(u8::MAX),
                num_samples: u32::try_from(sound.samples()).unwrap_or(u32::MAX),
                sample_fmt: sound.format().name().into(),
            },
            active,
            level,
            peak,
            data: json!({
                "startThreshold": self.settings.start_threshold,
                "stopThreshold": self.settings.stop_threshold,
                "probability": self.probability,
            }),
        }));
        Ok(Verdict::Pass)
    }
}

/// When a voice begins, goes on and ends.
struct Rule {
    start_threshold: f32,
    stop_threshold: f32,
    silence_min_us: i64,
    update_interval_us: i64,
    is_active: bool,
    quiet_since: Option<i64>,
    told_at: i64,
}

impl Rule {
    fn new(settings: &Voice) -> Rule {
        Rule {
            start_threshold: settings.start_threshold,
            stop_threshold: settings.stop_threshold,
            silence_min_us: i64::from(settings.silence_min_ms) * 1000,
            update_interval_us: i64::from(settings.update_interval_ms) * 1000,
            is_active: false,
            quiet_since: None,
            told_at: 0,
        }
    }

    /// What is to be told of a piece of sound, and whether there is voice then.
    fn hear(&mut self, time: i64, level: f32, is_voice: bool) -> Option<(&'static str, bool)> {
        if !self.is_active {
            if level < self.start_threshold || !is_voice {
                return None;
            }
            (self.is_active, self.quiet_since, self.told_at) = (true, None, time);
            return Some(("speech:start", true));
        }
        if level >= self.stop_threshold && is_voice {
            self.quiet_since = None;
        } else {
            let since = *self.quiet_since.get_or_insert(time);
            if time - since >= self.silence_min_us {
                self.is_active = false;
                return Some(("speech:end", false));
            }
        }
        if time - self.told_at >= self.update_interval_us {
            self.told_at = time;
            return Some(("speech:update", true));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_begins_goes_on_and_ends_after_a_silence() {
        let mut rule = Rule::new(&Voice::default());
        let mut said = Vec::new();
        for index in 0..100_i64 {
            // 20 ms each: quiet, loud from 0.2 s to 1 s with a short gap, quiet.
            let level = match index {
                10..30 | 32..50 => 0.1,
                _ => 0.001,
            };
            said.extend(rule.hear(index * 20_000, level, true).map(|(kind, _)| (index, kind)));
        }
        assert_eq!(said.first(), Some(&(10, "speech:start")));
        assert_eq!(said.last(), Some(&(63, "speech:end")));
        assert!(said[1..said.len() - 1].iter().all(|(_, kind)| *kind == "speech:update"));
        assert!(said.len() >= 4);
    }

    #[test]
    fn a_loud_noise_is_no_voice() {
        let mut rule = Rule::new(&Voice::default());
        assert!((0..50).all(|index| rule.hear(index * 20_000, 0.5, false).is_none()));
    }
}
