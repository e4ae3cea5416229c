//! `bench rtc`: what it costs to pass a publisher's packets on to viewers, beside what str0m alone
//! takes for them.
//!
//! `cost` happens in memory, on virtual time: peers made of str0m publish and view through sessions
//! of
//! `media/rtc`, answer with feedback, and only our side's CPU time is counted. Then the same with
//! nothing of ours but str0m itself, and the cipher alone.
//!
//! `ramp` happens over real sockets: one publisher, and viewers added until a hundredth of the
//! packets are late or lost, for the server and for Debian's Janus.

mod cipher;
mod cost;
mod janus;
mod live;
mod peer;
mod seat;
mod servers;

use anyhow::Result;
use serde::Serialize;

use crate::args::Args;
use crate::record::{Recorder, table};
use cost::{Cost, Plan};
use live::{LivePlan, Window};
use seat::Kind;

/// Everything that came out.
#[derive(Serialize)]
pub(crate) struct Results {
    plan: Plan,
    /// One for each round and kind.
    costs: Vec<Cost>,
    /// Nanoseconds of AES-128-GCM for a packet of pictures, and of sound.
    cipher_ns: (f64, f64),
    live_plan: LivePlan,
    /// Ever more viewers, of each server.
    ramp: Vec<Window>,
}

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let recorder = Recorder::new(&mut args)?;
    let plan = Plan {
        viewers: args.value("viewers", 50)?,
        seconds: args.value("seconds", 10.0)?,
        packet_bytes: args.value("packet-bytes", 1_150)?,
        bits_per_second: args.value("rate", 1_500_000.0)?,
        has_pacer: !args.switch("no-pacer")?,
    };
    let live_plan = LivePlan {
        step: args.value("step", 20)?,
        viewers_max: args.value("viewers-max", 1_000)?,
        seconds: args.value("window-seconds", 4.0)?,
        packet_bytes: plan.packet_bytes,
        bits_per_second: plan.bits_per_second,
    };
    let rounds: usize = args.value("rounds", 3)?;
    let core: usize = args.value("generator-core", 1)?;
    let parts: Vec<String> = args.list("only", "cost,ramp")?;
    let kinds: Vec<servers::Kind> = args.list("servers", "skywave,janus")?;
    let options = servers::ServerOptions::read(&mut args)?;
    args.finish()?;
    shards_runtime::pin(Some(core))?;
    let asked = |part: &str| parts.iter().any(|it| it == part);
    let costs = if asked("cost") { measure(plan, rounds)? } else { Vec::new() };
    let cipher_ns = (cipher::ns_per_packet(plan.packet_bytes)?, cipher::ns_per_packet(120)?);
    let mut ramp = Vec::new();
    for &kind in kinds.iter().filter(|_| asked("ramp")) {
        ramp.extend(live::ramp(kind, &options, live_plan)?);
    }
    let results = Results { plan, costs, cipher_ns, live_plan, ramp };
    let mut versions = vec![format!("media-rtc: of this commit; str0m: {}", cost::STR0M)];
    let servers = kinds.iter().filter(|_| asked("ramp"));
    versions.extend(servers.map(|kind| format!("{}: {}", kind.name(), options.version(*kind))));
    recorder.write_with_plot("rtc", &results, &text(&results), (versions, None))
}

/// A small size of it, for `bench smoke`: whether all that was sent came, and nothing of how fast.
pub(crate) fn check() -> Result<()> {
    let plan = Plan {
        viewers: 3,
        seconds: 2.0,
        packet_bytes: 600,
        bits_per_second: 300_000.0,
        has_pacer: true,
    };
    for kind in [Kind::Ours, Kind::Str0m] {
        let cost = cost::run(plan, kind)?;
        println!("{}: {} packets passed on, all of them came", kind.name(), cost.forwarded);
    }
    Ok(())
}

fn measure(plan: Plan, rounds: usize) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for round in 0..rounds {
        let mut kinds = [Kind::Ours, Kind::Str0m];
        if round % 2 == 1 {
            kinds.reverse();
        }
        for kind in kinds {
            let cost = cost::run(plan, kind)?;
            eprintln!("{}: {:.3} us a packet", kind.name(), cost.us_per_packet());
            costs.push(cost);
        }
    }
    Ok(costs)
}

fn text(results: &Results) -> String {
    let mut goals = Vec::new();
    let (video, audio) = results.cipher_ns;
    let mut text = format!(
        "AES-128-GCM alone: {:.2} µs for {} B, {:.2} µs for 120 B.\n",
        video / 1_000.0,
        results.plan.packet_bytes,
        audio / 1_000.0
    );
    if !results.costs.is_empty() {
        text.push_str(&format!("\n{}", costs_text(results, &mut goals)));
    }
    if !results.ramp.is_empty() {
        text.push_str(&format!("\n{}", ramp_text(results, &mut goals)));
    }
    let head = ["goal", "ratio", "reach", "reached"];
    format!("{text}\n{}", table(&head, &goals))
}

fn costs_text(results: &Results, goals: &mut Vec<Vec<String>>) -> String {
    let median = |kind: Kind| {
        let of_kind = results.costs.iter().filter(|cost| cost.kind == kind);
        let mut all: Vec<f64> = of_kind.map(Cost::us_per_packet).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    };
    let rows = [Kind::Ours, Kind::Str0m].map(|kind| {
        let (middle, least, most) = median(kind);
        let cost = results.costs.iter().find(|cost| cost.kind == kind);
        vec![
            kind.name().to_owned(),
            results.plan.viewers.to_string(),
            cost.map_or(0, |cost| cost.forwarded).to_string(),
            format!("{middle:.2} ({least:.2}–{most:.2})"),
        ]
    });
    let (ours, bare) = (median(Kind::Ours).0, median(Kind::Str0m).0);
    goals.push(vec![
        "CPU / packet in memory: media-rtc to str0m alone".to_owned(),
        format!("{:.3}", ours / bare),
        "≤ 1.5".to_owned(),
        yes(ours <= 1.5 * bare),
    ]);
    table(&["passed on in memory by", "viewers", "packets", "CPU / packet, µs"], &rows)
}

fn ramp_text(results: &Results, goals: &mut Vec<Vec<String>>) -> String {
    let row = |window: &Window| {
        vec![
            window.server.name().to_owned(),
            window.viewers.to_string(),
            format!("{:.0}", window.received as f64 / window.seconds),
            format!("{:.2} %", 100.0 * window.bad_share()),
            format!("{}, {}, {}", window.p50_us, window.p99_us, window.max_us),
            format!("{:.2}", window.cpu_us_per_packet()),
            format!("{:.0} %", 100.0 * window.server_cpu_s / window.seconds),
            format!("{:.0} %", 100.0 * window.generator_cpu_s / window.seconds),
        ]
    };
    let rows: Vec<Vec<String>> = results.ramp.iter().map(row).collect();
    let most = |kind: servers::Kind| {
        let of_kind = results.ramp.iter().filter(|window| window.server == kind);
        of_kind.filter(|window| window.is_good()).map(|window| window.viewers).max()
    };
    if let (Some(ours), Some(theirs)) = (most(servers::Kind::Skywave), most(servers::Kind::Janus)) {
        let ratio = ours as f64 / theirs as f64;
        let name = "viewers: skywave to janus".to_owned();
        goals.push(vec![name, format!("{ratio:.2}"), "≥ 2".to_owned(), yes(ratio >= 2.0)]);
    }
    let head = [
        "server",
        "viewers",
        "packets / s",
        "late or lost",
        "p50, p99, max, µs",
        "CPU / packet, µs",
        "server's core",
        "generator's core",
    ];
    table(&head, &rows)
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
