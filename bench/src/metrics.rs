//! Reads Prometheus text: counters, and histograms between two looks.

use std::collections::BTreeMap;

/// All samples of one look, by name and labels as they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads the text; lines of another form are skipped.
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            Some((series.trim().to_owned(), value.parse().ok()?))
        });
        Metrics { samples: samples.collect() }
    }

    /// The sum of all series with that name, whatever their labels; `None` when there is none.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.of(name).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// What a histogram gained since `earlier`, over all its series.
    pub(crate) fn histogram_since(&self, earlier: &Metrics, name: &str) -> Option<Histogram> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, value) in self.of(&name) {
            let bound = label(labels, "le")?.parse().ok()?;
            let before = earlier.samples.get(&format!("{name}{labels}")).copied().unwrap_or(0.0);
            match buckets.iter_mut().find(|(its, _)| *its == bound) {
                Some((_, count)) => *count += value - before,
                None => buckets.push((bound, value - before)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        (buckets.last()?.1 > 0.0).then_some(Histogram { buckets })
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let behind = move |series: &'a str| {
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(labels)
        };
        self.samples.iter().filter_map(move |(series, &value)| Some((behind(series)?, value)))
    }
}

/// Cumulative counts by upper bound, as Prometheus has them.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// The upper bound of the bucket that holds that share of the values: never too small.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let total = self.buckets.last().map_or(0.0, |bucket| bucket.1);
        let wanted = (total * share).ceil();
        self.buckets.iter().find(|bucket| bucket.1 >= wanted).map_or(f64::INFINITY, |b| b.0)
    }
}

/// The value of a label in `{a="x",b="y"}`.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let inner = labels.strip_prefix('{')?.strip_suffix('}')?;
    let find = |pair: &'a str| {
        let (its, value) = pair.split_once('=')?;
        (its.trim() == name).then(|| value.trim_matches('"'))
    };
    inner.split(',').find_map(find)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE t histogram\nt_bucket{shard=\"0\",le=\"1\"} 5\n\
        t_bucket{shard=\"0\",le=\"10\"} 6\nt_bucket{shard=\"0\",le=\"+Inf\"} 6\n";
    const AFTER: &str = "t_bucket{shard=\"0\",le=\"1\"} 95\nt_bucket{shard=\"0\",le=\"10\"} 105\n\
        t_bucket{shard=\"0\",le=\"+Inf\"} 106\nt_bucket{shard=\"1\",le=\"1\"} 0\n\
        t_bucket{shard=\"1\",le=\"10\"} 0\nt_bucket{shard=\"1\",le=\"+Inf\"} 0\n\
        sends_total{shard=\"0\"} 3\nsends_total{shard=\"1\"} 4\nsends_totals 9\nodd\n";

    #[test]
    fn counters_add_up_and_histograms_subtract() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        assert_eq!(after.sum("sends_total"), Some(7.0));
        assert_eq!(after.sum("none"), None);
        let ticks = after.histogram_since(&before, "t").unwrap();
        assert_eq!((ticks.quantile(0.5), ticks.quantile(0.99)), (1.0, 10.0));
        assert_eq!(ticks.quantile(1.0), f64::INFINITY);
        assert!(before.histogram_since(&before, "t").is_none());
    }
}
