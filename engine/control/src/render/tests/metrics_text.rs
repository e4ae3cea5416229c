//! `/metrics` read back by a small parser of the text format that refuses what Prometheus refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

type Labels = BTreeMap<String, String>;

/// The samples of a page; panics where the format is broken.
#[derive(Default)]
struct Parsed {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, Labels, u64)>,
}

impl Parsed {
    fn of(page: &str) -> Parsed {
        assert!(page.ends_with('\n'));
        let mut parsed = Parsed::default();
        let (mut family, mut seen) = (String::new(), BTreeSet::new());
        for line in page.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && !help.contains('\\'));
                assert!(!parsed.kinds.contains_key(name), "{name} twice");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, family, "TYPE behind its HELP");
                parsed.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let base = match parsed.kinds[&family].as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|end| name.strip_suffix(end))
                        .expect("a part of a histogram"),
                    "counter" => {
                        assert!(name.ends_with("_total"), "{name}");
                        name.as_str()
                    }
                    _ => name.as_str(),
                };
                assert_eq!(base, family, "samples stand with their family");
                assert!(seen.insert((name.clone(), labels.clone())), "{line} twice");
                parsed.samples.push((name, labels, value));
            }
        }
        parsed
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let found = self.samples.iter().find(|(n, l, _)| n == name && *l == labels);
        found.unwrap_or_else(|| panic!("{name} {labels:?}")).2
    }
}

fn sample(line: &str) -> (String, Labels, u64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, rest) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').expect("closed labels")),
        None => (series, ""),
    };
    let is_name = |name: &str| {
        let rest_ok = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        rest_ok && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    };
    assert!(is_name(name), "{line}");
    let (mut labels, mut chars) = (Labels::new(), rest.chars());
    while !chars.as_str().is_empty() {
        let label: String = chars.by_ref().take_while(|c| *c != '=').collect();
        assert!(is_name(&label), "{line}");
        assert_eq!(chars.next(), Some('"'));
        let mut text = String::new();
        loop {
            match chars.next().expect("a closed label") {
                '"' => break,
                '\\' => text.push(match chars.next() {
                    Some('n') => '\n',
                    Some(escaped @ ('"' | '\\')) => escaped,
                    other => panic!("escape {other:?}"),
                }),
                char => text.push(char),
            }
        }
        assert!(labels.insert(label, text).is_none());
        assert!(matches!(chars.next(), Some(',') | None), "{line}");
    }
    (name.to_owned(), labels, value.parse().expect("a number"))
}

#[test]
fn everything_that_is_counted_is_told() {
    let mut view = view(vec![mp3(Some("x")), hidden(), mount("/idle", None)]);
    view.counters.slow_listeners = 17;
    view.control.pull_failures = 3;
    view.shards.push(shard(10, 9));
    view.shards[1].io.enters = 99;
    view.shards[1].window_bytes = 4096;
    let parsed = Parsed::of(&metrics(&view));

    for (name, _, value) in view.counters.fields() {
        assert_eq!(parsed.value(&format!("skywave_{name}_total"), &[]), value, "{name}");
    }
    assert_eq!(parsed.value("skywave_slow_listeners_total", &[]), 17);
    assert_eq!(parsed.value("skywave_listeners", &[]), 10);
    assert_eq!(parsed.value("skywave_clients", &[]), 13);
    assert_eq!(parsed.value("skywave_sources", &[]), 2);
    assert_eq!(parsed.value("skywave_window_bytes", &[]), 4096);
    assert_eq!(parsed.value("skywave_control_pull_failures_total", &[]), 3);
    assert_eq!(parsed.value("skywave_shard_io_enters_total", &[("shard", "1")]), 99);
    assert_eq!(parsed.value("skywave_mount_up", &[("mount", "/live.mp3")]), 1);
    assert_eq!(parsed.value("skywave_mount_up", &[("mount", "/idle")]), 0);
    let bytes = parsed.value("skywave_mount_source_bytes_total", &[("mount", "/live.mp3")]);
    assert_eq!(bytes, 67_200);
    let names_hidden = |labels: &Labels| labels.values().any(|value| value == "/secret.mp3");
    assert!(!parsed.samples.iter().any(|(_, labels, _)| names_hidden(labels)));
}

#[test]
fn a_label_holds_any_mount() {
    let nasty = "/a\"b\\c\nd{e=\"f\"} 1";
    let parsed = Parsed::of(&metrics(&view(vec![mount(nasty, Some(source("audio/mpeg")))])));
    assert_eq!(parsed.value("skywave_mount_up", &[("mount", nasty)]), 1);
}

#[test]
fn ticks_are_a_histogram() {
    let mut view = view(vec![]);
    let recorded = [1, 5, 6, 10, 80, 900, 1_900, 3_000, 10_000_000];
    for value in recorded {
        view.shards[0].tick_us.record(value).unwrap();
    }
    view.shards[0].busy_us = recorded.iter().sum();
    let parsed = Parsed::of(&metrics(&view));
    assert_eq!(parsed.kinds["skywave_tick_us"], "histogram");
    let up_to = |le| parsed.value("skywave_tick_us_bucket", &[("shard", "0"), ("le", le)]);
    let table = [("5", 2), ("10", 4), ("100", 5), ("1000", 6), ("2000", 7), ("5000", 8)];
    for (le, count) in table {
        assert_eq!(up_to(le), count, "le={le}");
    }
    assert_eq!(up_to("+Inf"), recorded.len() as u64);
    let count = parsed.value("skywave_tick_us_count", &[("shard", "0")]);
    assert_eq!(count, recorded.len() as u64);
    let sum = parsed.value("skywave_tick_us_sum", &[("shard", "0")]);
    assert_eq!(sum, recorded.iter().sum::<u64>());

    let buckets: Vec<u64> = parsed
        .samples
        .iter()
        .filter(|(name, ..)| name == "skywave_tick_us_bucket")
        .map(|(_, _, value)| *value)
        .collect();
    assert!(buckets.is_sorted() && buckets.len() == 19);
}

#[test]
fn no_shard_is_a_page_too() {
    let mut view = view(vec![]);
    view.shards.clear();
    Parsed::of(&metrics(&view));
}
