//! `/metrics`: the Prometheus text format 0.0.4.
//!
//! ```text
//! # HELP skywave_listeners Listeners now.
//! # TYPE skywave_listeners gauge
//! skywave_listeners 10000
//! ```
//!
//! Each family is written once, its samples together. Hidden mounts count in the sums and are not
//! named: the page is public. The number of samples is bounded by the number of mounts and shards.

use std::fmt::{Display, Write as _};

use engine_node::ShardStats;

use super::escape::push_label_value;
use super::rtc::rtc_families;
use super::symple::symple_families;
use super::turn::turn_families;
use crate::recordings::KINDS;
use crate::view::{Kept, MountView, SourceView, View};

/// Everything that is counted.
pub(crate) fn metrics(view: &View) -> String {
    let mut page = Page::default();
    server_families(view, &mut page);
    for (name, help, value) in view.counters.fields() {
        page.one(&format!("{name}_total"), Kind::Counter, help, value);
    }
    control_families(view, &mut page);
    shard_families(&view.shards, &mut page);
    tick_family(&view.shards, &mut page);
    mount_families(view, &mut page);
    turn_families(&view.shards, &mut page);
    symple_families(&view.shards, &mut page);
    rtc_families(&view.shards, &mut page);
    page.out
}

/// Upper bounds of the tick histogram's buckets, microseconds.
const TICK_BOUNDS_US: [u64; 18] = [
    5, 10, 20, 50, 100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000,
    100_000, 1_000_000, 10_000_000,
];

fn server_families(view: &View, page: &mut Page) {
    let sum = |of: fn(&ShardStats) -> u64| view.shards.iter().map(of).sum::<u64>();
    let sources = view.mounts.iter().filter(|mount| mount.source.is_some()).count();
    page.family("info", Kind::Gauge, "What runs here; always 1.");
    page.sample("info", &[("server_id", &view.server_id)], 1);
    let started = view.started.as_secs();
    page.one("start_time_seconds", Kind::Gauge, "Unix time of the start.", started);
    page.one("clients", Kind::Gauge, "Connections of any kind now.", sum(|s| s.clients_count));
    page.one("listeners", Kind::Gauge, "Listeners now.", sum(|s| s.listeners_count));
    page.one("sources", Kind::Gauge, "Mounts that have a source now.", sources);
    let window_bytes = sum(|shard| shard.window_bytes);
    page.one("window_bytes", Kind::Gauge, "Bytes held by the windows of mounts.", window_bytes);
}

fn control_families(view: &View, page: &mut Page) {
    let control = &view.control;
    let families = [
        ("requests", "Requests for pages, statistics and admin commands.", control.requests),
        ("stats_requests", "Of them, requests for statistics.", control.stats_requests),
        ("mounts_in_use", "Sources refused because the mount had one.", control.mounts_in_use),
        ("pull_attempts", "Attempts to pull a mount.", control.pull_attempts),
        ("pull_failures", "Attempts to pull a mount that failed.", control.pull_failures),
        ("reloads", "Configuration reloads.", control.reloads),
        ("snapshots", "Snapshots pushed to the shards.", control.snapshots),
        ("log_lines_written", "Access-log lines written.", control.log_lines_written),
        (
            "log_lines_lost",
            "Access-log lines lost on their way to the disk.",
            control.log_lines_lost,
        ),
        ("events_logged", "Lines in the log of events.", control.events.logged),
        ("events_log_lost", "Events that are not in the log.", control.events.log_lost),
        ("webhook_delivered", "Events that a webhook took.", control.events.hook_delivered),
        ("webhook_retried", "Attempts of webhooks made again.", control.events.hook_retried),
        ("webhook_failed", "Events that a webhook never took.", control.events.hook_failed),
        ("webhook_dropped", "Events for a full queue.", control.events.hook_dropped),
    ];
    for (name, help, value) in families {
        page.one(&format!("control_{name}_total"), Kind::Counter, help, value);
    }
    type Of = fn(&Kept) -> u64;
    let families: [(&str, Kind, &str, Of); 4] = [
        ("kept_files", Kind::Gauge, "Recordings, clips and snapshots that are listed.", |it| {
            it.totals.count as u64
        }),
        ("kept_bytes", Kind::Gauge, "Their bytes.", |it| it.totals.size_bytes),
        ("kept_ended_total", Kind::Counter, "Those that ended.", |it| it.ended),
        ("kept_removed_total", Kind::Counter, "Those that were removed.", |it| it.removed),
    ];
    for (name, kind, help, of) in families {
        page.family(name, kind, help);
        for (what, kept) in KINDS.into_iter().zip(&control.kept) {
            page.sample(name, &[("kind", what.name())], of(kept));
        }
    }
}

fn shard_families(shards: &[ShardStats], page: &mut Page) {
    type Of = fn(&ShardStats) -> u64;
    let families: [(&str, Kind, &str, Of); 12] = [
        ("shard_clients", Kind::Gauge, "Connections now.", |s| s.clients_count),
        ("shard_listeners", Kind::Gauge, "Listeners now.", |s| s.listeners_count),
        ("shard_sources", Kind::Gauge, "Sources now.", |s| s.sources_count),
        ("shard_ticks_total", Kind::Counter, "Ticks.", |s| s.ticks_count),
        ("shard_busy_us_total", Kind::Counter, "Time not slept, microseconds.", |s| s.busy_us),
        ("shard_io_enters_total", Kind::Counter, "System calls into the ring.", |s| s.io.enters),
        (
            "shard_io_buffers_exhausted_total",
            Kind::Counter,
            "Times that receiving waited because no buffer was free.",
            |s| s.io.buffers_exhausted,
        ),
        (
            "shard_io_sends_continued_total",
            Kind::Counter,
            "Sends that the kernel took only in part and that were continued.",
            |s| s.io.sends_continued,
        ),
        (
            "shard_io_forwards_total",
            Kind::Counter,
            "Datagrams that were sent on from the buffer they came in.",
            |s| s.io.forwards,
        ),
        (
            "shard_io_forwards_failed_total",
            Kind::Counter,
            "Of these, those that the kernel did not take: a full socket, or no way to there.",
            |s| s.io.forwards_failed,
        ),
        (
            "shard_io_datagrams_overflowed_total",
            Kind::Counter,
            "Datagrams that found the queue of their socket full.",
            |s| s.io.datagrams_overflowed,
        ),
        ("shard_io_operations_in_flight", Kind::Gauge, "Operations in flight now.", |s| {
            s.io.operations_in_flight
        }),
    ];
    for (name, kind, help, of) in families {
        page.family(name, kind, help);
        for (index, shard) in shards.iter().enumerate() {
            page.sample(name, &[("shard", &index.to_string())], of(shard));
        }
    }
}

/// Tick lengths as a histogram of each shard. A value of the recorded histogram stands for all that
/// it cannot tell apart (2 digits), and counts where the highest of them does.
fn tick_family(shards: &[ShardStats], page: &mut Page) {
    page.family("tick_us", Kind::Histogram, "How long ticks took, microseconds.");
    for (index, shard) in shards.iter().enumerate() {
        let shard_label = index.to_string();
        let mut counts = [0_u64; TICK_BOUNDS_US.len()];
        for recorded in shard.tick_us.iter_recorded() {
            let value = recorded.value_iterated_to();
            if let Some(bucket) = TICK_BOUNDS_US.iter().position(|bound| value <= *bound) {
                counts[bucket] += recorded.count_since_last_iteration();
            }
        }
        let mut below = 0;
        for (bound, count) in TICK_BOUNDS_US.iter().zip(counts) {
            below += count;
            let le = bound.to_string();
            page.sample("tick_us_bucket", &[("shard", &shard_label), ("le", &le)], below);
        }
        let ticks_count = shard.tick_us.len();
        page.sample("tick_us_bucket", &[("shard", &shard_label), ("le", "+Inf")], ticks_count);
        page.sample("tick_us_sum", &[("shard", &shard_label)], shard.busy_us);
        page.sample("tick_us_count", &[("shard", &shard_label)], ticks_count);
    }
}

fn mount_families(view: &View, page: &mut Page) {
    type OfMount = fn(&MountView) -> u64;
    type OfSource = fn(&SourceView) -> u64;
    let of_mounts: [(&str, &str, OfMount); 3] = [
        ("mount_up", "Whether the mount has a source.", |mount| u64::from(mount.source.is_some())),
        ("mount_listeners", "Listeners at home on the mount now.", |mount| mount.listeners_count),
        ("mount_listeners_peak", "Most listeners at one moment of the session.", |mount| {
            mount.listeners_peak
        }),
    ];
    let of_sources: [(&str, &str, OfSource); 3] = [
        ("mount_source_bytes_total", "Bytes received from the source.", |s| s.bytes_read),
        ("mount_listener_bytes_total", "Bytes sent to listeners.", |s| s.bytes_sent),
        ("mount_slow_listeners_total", "Listeners dropped because they fell behind.", |s| {
            s.slow_listeners
        }),
    ];
    let named = || view.mounts.iter().filter(|mount| !mount.hidden);
    for (name, help, of) in of_mounts {
        page.family(name, Kind::Gauge, help);
        for mount in named() {
            page.sample(name, &[("mount", &mount.name)], of(mount));
        }
    }
    for (name, help, of) in of_sources {
        page.family(name, Kind::Counter, help);
        for mount in named() {
            if let Some(source) = &mount.source {
                page.sample(name, &[("mount", &mount.name)], of(source));
            }
        }
    }
}

/// What a family's samples are.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The page so far. Names are written without `skywave_`, which it adds.
#[derive(Default)]
pub(super) struct Page {
    out: String,
}

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // A help text is the program's own: it has no backslash and no line end.
        let help = help.trim();
        self.push(format_args!("# HELP skywave_{name} {help}\n# TYPE skywave_{name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.push(format_args!("skywave_{name}"));
        for (index, (label, text)) in labels.iter().enumerate() {
            let separator = if index == 0 { '{' } else { ',' };
            self.push(format_args!("{separator}{label}=\""));
            push_label_value(text, &mut self.out);
            self.out.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        self.push(format_args!("{close} {value}\n"));
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a String takes everything");
    }
}
