//! What was measured, as tables, and what it was to reach.

use super::client::Framing;
use super::load::LoadPlan;
use super::servers::Kind;
use super::trial::{Trial, best, of_work};
use super::{Many, Results, WORKS};
use crate::record::table;

/// All tables.
pub(crate) fn text(results: &Results) -> String {
    let mut parts = Vec::new();
    let mut add = |head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            parts.push(table(head, &rows));
        }
    };
    add(
        &[
            "relay",
            "data",
            "packets / s",
            "CPU µs / packet (range)",
            "lost",
            "wrong",
            "p50, p99, longest µs",
            "card µs / packet",
            "core busy, stolen",
        ],
        cost_rows(&results.cost),
    );
    add(
        &[
            "relay",
            "data",
            "most packets / s below 0.1 % lost",
            "CPU µs / packet",
            "p99 µs",
            "limit",
        ],
        ramp_rows(&results.ramp),
    );
    add(
        &["relay", "packets / s", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs / packet"],
        results.half.iter().map(half_row).collect(),
    );
    add(
        &["relay", "allocations", "B / allocation"],
        results
            .memory
            .iter()
            .map(|it| {
                let bytes = format!("{:.0}", it.bytes_per_allocation());
                vec![it.server.name().into(), it.allocations.to_string(), bytes]
            })
            .collect(),
    );
    add(
        &["relay", "allocations", "made in", "refreshed in", "failure"],
        results.many.iter().map(many_row).collect(),
    );
    let beside = results.radio.iter().flat_map(|it| {
        let listening = it.swarm.listening;
        let row =
            |name: String, trial: &Trial| [vec![name], half_row(trial)[1..].to_vec()].concat();
        [row("alone".into(), &it.alone), row(format!("beside {listening} listeners"), &it.beside)]
    });
    add(
        &["skywave", "packets / s", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs / packet"],
        beside.collect(),
    );
    add(&["goal", "measured", "to reach", "reached"], goals(results));
    parts.join("\n")
}

fn is_same(a: &LoadPlan, b: &LoadPlan) -> bool {
    (a.payload_bytes, a.run, a.rate as u64) == (b.payload_bytes, b.run, b.rate as u64)
}

/// Trials of one thing, in the order in which such a thing first came.
fn groups(trials: &[Trial]) -> Vec<Vec<&Trial>> {
    let mut groups: Vec<Vec<&Trial>> = Vec::new();
    for trial in trials {
        let same = |group: &&mut Vec<&Trial>| {
            let first = group[0];
            (first.server, first.framing) == (trial.server, trial.framing)
                && is_same(&first.plan, &trial.plan)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    groups
}

fn cost_rows(trials: &[Trial]) -> Vec<Vec<String>> {
    let row = |group: Vec<&Trial>| {
        let first = group[0];
        let LoadPlan { payload_bytes, run, rate, .. } = first.plan;
        let how = match first.framing {
            Framing::Channel => "ChannelData",
            Framing::Indication => "indications",
            Framing::Bare => "as it is",
        };
        let cpu = sorted(&group, |trial| trial.cpu_us_per_packet);
        let worst = |value: fn(&Trial) -> f64| sorted(&group, value)[group.len() - 1];
        vec![
            first.server.name().into(),
            format!("{how}, {}", work_name((payload_bytes, run))),
            format!("{rate:.0}"),
            format!("{:.2} ({:.2}–{:.2})", median(&cpu), cpu[0], cpu[cpu.len() - 1]),
            format!("{:.3} %", worst(|trial| trial.report.lost_share()) * 100.0),
            group.iter().map(|trial| trial.report.wrong).sum::<u64>().to_string(),
            format!(
                "{:.0}, {:.0}, {:.0}",
                median(&sorted(&group, |trial| trial.report.p50_us)),
                median(&sorted(&group, |trial| trial.report.p99_us)),
                worst(|trial| trial.report.max_us)
            ),
            match first.card_us_per_packet {
                Some(_) => format!(
                    "{:.2}",
                    median(&sorted(&group, |it| it.card_us_per_packet.unwrap_or_default()))
                ),
                None => "–".into(),
            },
            format!(
                "{:.0} %, {:.1} %",
                median(&sorted(&group, |trial| trial.core_busy_percent)),
                worst(|trial| trial.core_stolen_percent)
            ),
        ]
    };
    groups(trials).into_iter().map(row).collect()
}

fn kinds(trials: &[Trial]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for trial in trials {
        if !kinds.contains(&trial.server) {
            kinds.push(trial.server);
        }
    }
    kinds
}

fn ramp_rows(trials: &[Trial]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (work, kind) in
        WORKS.into_iter().flat_map(|it| kinds(trials).into_iter().map(move |kind| (it, kind)))
    {
        let own = of_work(trials, kind, work);
        let mut row = vec![kind.name().into(), work_name(work)];
        row.extend(match best(&own) {
            None => ["none", "–", "–", "–"].map(str::to_owned),
            Some((best, bounded)) => [
                format!("{:.0}", best.plan.rate),
                format!("{:.2}", best.cpu_us_per_packet),
                format!("{:.0}", best.report.p99_us),
                if bounded { "the generator's".into() } else { "its own".into() },
            ],
        });
        rows.push(row);
    }
    rows
}

fn work_name((payload_bytes, run): (usize, usize)) -> String {
    let runs = if run > 1 { format!(", runs of {run}") } else { String::new() };
    format!("{payload_bytes} B{runs}")
}

fn half_row(trial: &Trial) -> Vec<String> {
    vec![
        trial.server.name().into(),
        format!("{:.0}", trial.plan.rate),
        format!("{:.0}", trial.report.p50_us),
        format!("{:.0}", trial.report.p99_us),
        format!("{:.0}", trial.report.p999_us),
        format!("{:.2}", trial.cpu_us_per_packet),
    ]
}

fn many_row(many: &Many) -> Vec<String> {
    let time = |seconds: Option<f64>| seconds.map_or("not".into(), |s| format!("{s:.1} s"));
    vec![
        many.server.name().into(),
        many.allocations.to_string(),
        time(many.made_s),
        time(many.refreshed_s),
        many.failure.clone().unwrap_or_else(|| "none".into()),
    ]
}

/// Each promise whose both sides were measured.
fn goals(results: &Results) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |what: String, measured: f64, sign: &str, bound: f64| {
        let reached = if sign == "≤" { measured <= bound } else { measured >= bound };
        let reached = if reached { "yes" } else { "no" };
        rows.push(vec![
            what,
            format!("{measured:.3}"),
            format!("{sign} {bound:.3}"),
            reached.into(),
        ]);
    };
    let cost = |kind: Kind, bytes: usize, run: usize| {
        let same = |trial: &&Trial| {
            trial.server == kind
                && trial.framing != Framing::Indication
                && (trial.plan.payload_bytes, trial.plan.run) == (bytes, run)
        };
        let group: Vec<&Trial> = results.cost.iter().filter(same).collect();
        (!group.is_empty()).then(|| median(&sorted(&group, |trial| trial.cpu_us_per_packet)))
    };
    let carried = |kind: Kind, work: (usize, usize)| {
        best(&of_work(&results.ramp, kind, work)).map(|(it, bounded)| (it.plan.rate, bounded))
    };
    for ours in [Kind::Relay, Kind::Skywave] {
        let name = ours.name();
        let others = [
            (Kind::Coturn, 160, 1, 1.0 / 3.0),
            (Kind::Bare, 160, 1, 1.25),
            (Kind::Coturn, 1_200, 10, 0.25),
        ];
        for (other, bytes, run, bound) in others {
            if let Some((own, its)) = cost(ours, bytes, run).zip(cost(other, bytes, run)) {
                let what = format!("CPU / packet, {bytes} B: {name} to {}", other.name());
                add(what, own / its, "≤", bound);
            }
        }
        for work in WORKS {
            let both = carried(ours, work).zip(carried(Kind::Coturn, work));
            if let Some(((own, bounded), (its, _))) = both {
                let note = if bounded { ", at the generator's end" } else { "" };
                let what = format!("packets / s, {}: {name} to coturn{note}", work_name(work));
                add(what, own / its, "≥", 3.0);
            }
        }
        let at = |kind: Kind| results.half.iter().find(|trial| trial.server == kind);
        if let Some((own, its)) = at(ours).zip(at(Kind::Coturn)) {
            let ratio = own.report.p99_us / its.report.p99_us;
            add(format!("p99 at half of coturn's most: {name} to coturn"), ratio, "≤", 1.0);
        }
    }
    for it in results.memory.iter().filter(|it| it.server.is_ours()) {
        let what = format!("B / allocation: {}", it.server.name());
        add(what, it.bytes_per_allocation(), "≤", 2_048.0);
    }
    for it in results.many.iter().filter(|it| it.server.is_ours()) {
        let what = format!("s to make {} allocations: {}", it.allocations, it.server.name());
        let lost = it.failure.is_some();
        add(what, it.made_s.filter(|_| !lost).unwrap_or(f64::INFINITY), "≤", 60.0);
    }
    for it in &results.radio {
        let ratio = it.beside.report.p99_us / it.alone.report.p99_us;
        add(format!("p99 beside {} listeners to alone", it.swarm.listening), ratio, "≤", 2.0);
    }
    rows
}

fn sorted(trials: &[&Trial], value: fn(&Trial) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = trials.iter().map(|trial| value(trial)).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle value, or the lower one of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
