//! The tables of `bench http`.

use super::Results;
use super::goals::goals;
use super::peers::Peer;
use super::trial::Trial;
use super::works;
use crate::record::table;

/// All of them.
pub(crate) fn all(results: &Results) -> String {
    let mut text = String::new();
    let goals = goals(results);
    if !goals.is_empty() {
        let head =
            ["requests for each CPU-second, and other goals", "reached", "goal", "yes or no"];
        let rows: Vec<_> = goals.iter().map(super::goals::Goal::row).collect();
        text.push_str(&table(&head, &rows));
    }
    let rows = work_rows(results);
    if !rows.is_empty() {
        let head = [
            "work",
            "server",
            "requests / CPU-second (range)",
            "CPU µs / request",
            "skywave to it",
            "requests / s",
            "CPU of the server",
            "errors",
        ];
        text.push_str(&format!(
            "\nMedians of {} rounds of {:.1} s.\n\n{}",
            results.rounds,
            results.window_s,
            table(&head, &rows)
        ));
    }
    text.push_str(&latency(results));
    text.push_str(&memory(results));
    if !results.missing.is_empty() {
        text.push_str(&format!("\nNot measured: {}.\n", results.missing.join("; ")));
    }
    text
}

fn work_rows(results: &Results) -> Vec<Vec<String>> {
    let trials = &results.trials;
    let mut rows = Vec::new();
    for work in works::ALL {
        let figures = |peer| sorted(trials, work.name, peer, |trial| trial.answers_per_cpu_second);
        let ours = median(&figures(Peer::Serve));
        for &peer in work.peers {
            let figures = figures(peer);
            if let (Some(&least), Some(&most)) = (figures.first(), figures.last()) {
                let range = (work.name, [least, most]);
                rows.push(work_row((work.title, peer), trials, ours, range));
            }
        }
    }
    rows
}

fn work_row(
    (title, peer): (&str, Peer),
    trials: &[Trial],
    ours: f64,
    (work, [least, most]): (&str, [f64; 2]),
) -> Vec<String> {
    let middle = |value: fn(&Trial) -> f64| median(&sorted(trials, work, peer, value));
    let figure = middle(|trial| trial.answers_per_cpu_second);
    let errors: u64 = of(trials, work, peer).map(|trial| trial.report.errors).sum();
    vec![
        title.into(),
        peer.name().into(),
        format!("{} ({}–{})", thousands(figure), thousands(least), thousands(most)),
        format!("{:.2}", 1e6 / figure),
        if peer == Peer::Serve || ours.is_nan() {
            "–".into()
        } else {
            format!("{:.2} ×", ours / figure)
        },
        thousands(middle(|trial| trial.report.rate())),
        format!("{:.0} %", middle(|trial| trial.cpu_share * 100.0)),
        errors.to_string(),
    ]
}

fn latency(results: &Results) -> String {
    let trials = &results.trials;
    let mut rows = Vec::new();
    for &(peer, most) in &results.saturation {
        let middle = |value: fn(&Trial) -> f64| median(&sorted(trials, "latency", peer, value));
        let p99 = sorted(trials, "latency", peer, |trial| trial.report.latency.p99_us);
        let (Some(&least), Some(&longest)) = (p99.first(), p99.last()) else { continue };
        let errors: u64 = of(trials, "latency", peer).map(|trial| trial.report.errors).sum();
        rows.push(vec![
            peer.name().into(),
            thousands(most),
            thousands(middle(|trial| trial.report.rate())),
            format!("{:.0}", middle(|trial| trial.report.latency.p50_us)),
            format!("{:.0} ({least:.0}–{longest:.0})", median(&p99)),
            format!("{:.0}", middle(|trial| trial.report.latency.p999_us)),
            format!("{:.0}", middle(|trial| trial.report.latency.max_us)),
            format!("{:.0} %", middle(|trial| trial.cpu_share * 100.0)),
            errors.to_string(),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let head = [
        "server",
        "most it can do / s",
        "requests / s",
        "p50 µs",
        "p99 µs (range)",
        "p99.9 µs",
        "longest µs",
        "CPU of the server",
        "errors",
    ];
    let what = "Latency of 13 bytes over 100 connections, open loop, at 70 % of what the slowest \
                can do, counted from when a request was due.";
    format!("\n{what}\n\n{}", table(&head, &rows))
}

fn memory(results: &Results) -> String {
    if results.memory.is_empty() {
        return String::new();
    }
    let head = ["server", "idle connections", "B / connection"];
    let rows = results.memory.iter().map(|one| {
        vec![
            one.peer.name().into(),
            format!("{}{}", one.connections, if one.secure { ", TLS" } else { "" }),
            format!("{:.0}", one.per_connection()),
        ]
    });
    format!("\n{}", table(&head, &rows.collect::<Vec<_>>()))
}

fn of<'t>(trials: &'t [Trial], work: &'t str, peer: Peer) -> impl Iterator<Item = &'t Trial> {
    trials.iter().filter(move |trial| trial.is(work, peer))
}

/// A value of all rounds of a work, the least first.
pub(crate) fn sorted(
    trials: &[Trial],
    work: &str,
    peer: Peer,
    value: fn(&Trial) -> f64,
) -> Vec<f64> {
    let mut values: Vec<f64> = of(trials, work, peer).map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle value, or the lower one of the two in the middle; no number without values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// `184,210`.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_threes() {
        assert_eq!(thousands(7.4), "7");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(median(&[1.0, 2.0, 5.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
