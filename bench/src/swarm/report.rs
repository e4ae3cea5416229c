//! What listeners heard: as one part tells it, and as the sum of all.

use serde::{Deserialize, Serialize};

use crate::content::frame::BYTES_PER_SECOND;

/// What every listener of a part has reached (or it has failed).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Milestone {
    /// The first byte behind the answer's head.
    Heard,
    /// The whole burst.
    Burst,
}

/// One part's account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartReport {
    /// Why it comes; `None`: it was asked for.
    pub(crate) milestone: Option<Milestone>,
    /// How the listeners stand.
    pub(crate) tally: Tally,
    /// From the start until the last one heard something, µs, if all have.
    pub(crate) all_heard_us: Option<u64>,
    /// The same for the burst.
    pub(crate) all_burst_us: Option<u64>,
    /// From a listener's connect to its first byte, µs.
    pub(crate) first_byte_us: Vec<u32>,
    /// From a listener's connect to the end of its burst, µs.
    pub(crate) burst_us: Vec<u32>,
    /// Length of the window, µs.
    pub(crate) window_us: u64,
    /// Bytes in it, of each that still listens, titles included.
    pub(crate) window_bytes: Vec<u64>,
    /// Receives in it that brought something.
    pub(crate) window_receives: u64,
    /// What the sampled ones heard.
    pub(crate) content: Content,
    /// The first few reasons of those that failed.
    pub(crate) complaints: Vec<String>,
}

/// How the listeners of a part stand, counted as it happens.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many there are to be.
    pub(crate) asked: usize,
    /// Who have had a byte.
    pub(crate) heard: usize,
    /// Who have had their burst.
    pub(crate) burst: usize,
    /// Who failed before their first byte.
    pub(crate) refused: usize,
    /// Who were cut off after it.
    pub(crate) dropped: usize,
    /// Who were cut off after it but before the end of their burst (of `dropped`).
    pub(crate) dropped_in_burst: usize,
}

impl Tally {
    /// Whether everybody has heard something or has failed.
    pub(crate) fn all_heard(&self) -> bool {
        self.heard + self.refused == self.asked
    }

    /// Whether everybody has had the burst or has failed.
    pub(crate) fn all_burst(&self) -> bool {
        self.burst + self.refused + self.dropped_in_burst == self.asked
    }
}

/// What the sampled listeners heard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    /// How many they are.
    pub(crate) sampled: usize,
    /// Whole frames, in order, of all together; the least that one of them heard.
    pub(crate) frames: u64,
    /// The fewest frames that one of them heard.
    pub(crate) frames_min: Option<u64>,
    /// Those who heard something wrong.
    pub(crate) failures: usize,
    /// Most bytes before the first whole frame: 0 when all began at a sync point.
    pub(crate) skipped_bytes_max: usize,
    /// Title blocks of all together, empty ones included.
    pub(crate) title_blocks: u64,
    /// Those who heard a title that is not empty.
    pub(crate) titled: usize,
    /// What was wrong first.
    pub(crate) first_failure: Option<String>,
}

/// The whole swarm's account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// How many there were to be.
    pub(crate) asked: usize,
    /// Who have had a byte.
    pub(crate) heard: usize,
    /// Who have had their burst.
    pub(crate) burst: usize,
    /// Who listen at the end.
    pub(crate) listening: usize,
    /// Who failed before their first byte.
    pub(crate) refused: usize,
    /// Who were cut off after it.
    pub(crate) dropped: usize,
    /// Until everybody heard something, s; `None`: not everybody did.
    pub(crate) all_heard_s: Option<f64>,
    /// Until everybody had the burst, s.
    pub(crate) all_burst_s: Option<f64>,
    /// From connect to first byte.
    pub(crate) first_byte_ms: Spread,
    /// From connect to the end of the burst.
    pub(crate) burst_ms: Spread,
    /// Rate of each listener in the window.
    pub(crate) kbit_per_second: Spread,
    /// The lowest rate as a share of the mount's.
    pub(crate) rate_min_share: f64,
    /// Receives in the window, for each listener and second; about the server's sends.
    pub(crate) receives_per_listener_second: f64,
    /// What the sampled ones heard.
    pub(crate) content: Content,
    /// Why some failed.
    pub(crate) complaints: Vec<String>,
}

impl Summary {
    /// The sum of all parts.
    pub(crate) fn of(parts: &[PartReport]) -> Self {
        let sum = |count: fn(&Tally) -> usize| parts.iter().map(|part| count(&part.tally)).sum();
        let latest = |when: fn(&PartReport) -> Option<u64>| {
            let times: Option<Vec<u64>> = parts.iter().map(when).collect();
            Some(times?.into_iter().max()? as f64 / 1e6)
        };
        let all_ms = |times: fn(&PartReport) -> &Vec<u32>| {
            Spread::of(parts.iter().flat_map(times).map(|&us| f64::from(us) / 1e3))
        };
        let rates = parts.iter().flat_map(|part| {
            let seconds = part.window_us.max(1) as f64 / 1e6;
            part.window_bytes.iter().map(move |&bytes| bytes as f64 * 8.0 / 1e3 / seconds)
        });
        let kbit_per_second = Spread::of(rates);
        let listener_seconds: f64 = parts
            .iter()
            .map(|part| part.window_bytes.len() as f64 * part.window_us as f64 / 1e6)
            .sum();
        let receives: u64 = parts.iter().map(|part| part.window_receives).sum();
        Summary {
            asked: sum(|tally| tally.asked),
            heard: sum(|tally| tally.heard),
            burst: sum(|tally| tally.burst),
            listening: parts.iter().map(|part| part.window_bytes.len()).sum(),
            refused: sum(|tally| tally.refused),
            dropped: sum(|tally| tally.dropped),
            all_heard_s: latest(|part| part.all_heard_us),
            all_burst_s: latest(|part| part.all_burst_us),
            first_byte_ms: all_ms(|part| &part.first_byte_us),
            burst_ms: all_ms(|part| &part.burst_us),
            rate_min_share: kbit_per_second.min * 1e3 / 8.0 / BYTES_PER_SECOND as f64,
            kbit_per_second,
            receives_per_listener_second: receives as f64 / listener_seconds.max(1e-9),
            content: Content::of(parts.iter().map(|part| &part.content)),
            complaints: parts.iter().flat_map(|part| part.complaints.clone()).take(5).collect(),
        }
    }

    /// The first thing that must not be, if there is one.
    pub(crate) fn fault(&self) -> Option<String> {
        let Summary { refused, dropped, content, .. } = self;
        if let Some(failure) = &content.first_failure {
            return Some(format!("{} heard something wrong: {failure}", content.failures));
        }
        if refused + dropped > 0 {
            let why = self.complaints.first().map_or("", String::as_str);
            return Some(format!("{refused} refused, {dropped} dropped: {why}"));
        }
        None
    }
}

impl Content {
    fn of<'a>(parts: impl Iterator<Item = &'a Content>) -> Self {
        parts.fold(Content::default(), |sum, part| Content {
            sampled: sum.sampled + part.sampled,
            frames: sum.frames + part.frames,
            frames_min: [sum.frames_min, part.frames_min].into_iter().flatten().min(),
            failures: sum.failures + part.failures,
            skipped_bytes_max: sum.skipped_bytes_max.max(part.skipped_bytes_max),
            title_blocks: sum.title_blocks + part.title_blocks,
            titled: sum.titled + part.titled,
            first_failure: sum.first_failure.or_else(|| part.first_failure.clone()),
        })
    }
}

/// A few quantiles of many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The least.
    pub(crate) min: f64,
    /// The middle one.
    pub(crate) p50: f64,
    /// 99 % are at most this.
    pub(crate) p99: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Spread {
    /// The quantiles; all 0 when there is no value.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Spread::default() };
        let at = |share: f64| values[(last as f64 * share).ceil() as usize];
        Spread { min: values[0], p50: at(0.5), p99: at(0.99), max: values[last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let tally = Tally { asked: 2, heard: 2, burst: 1, ..Tally::default() };
        let part = PartReport {
            tally,
            all_heard_us: Some(5_000),
            window_us: 2_000_000,
            window_bytes: vec![32_000, 16_000],
            window_receives: 8,
            ..PartReport::default()
        };
        let later = PartReport { all_heard_us: Some(9_000), ..part.clone() };
        let summary = Summary::of(&[part.clone(), later]);
        assert_eq!((summary.asked, summary.listening), (4, 4));
        assert_eq!(summary.all_heard_s, Some(0.009));
        assert_eq!(summary.all_burst_s, None);
        assert_eq!(summary.rate_min_share, 0.5);
        assert_eq!(summary.kbit_per_second.max, 128.0);
        assert_eq!(summary.receives_per_listener_second, 2.0);
        assert_eq!(summary.fault(), None);
        assert!(part.tally.all_heard() && !part.tally.all_burst());
    }

    #[test]
    fn quantiles_are_values() {
        let spread = Spread::of((1..=100).map(f64::from));
        assert_eq!((spread.min, spread.p50, spread.p99, spread.max), (1.0, 51.0, 100.0, 100.0));
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }
}
