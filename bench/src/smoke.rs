//! `bench smoke`: a small size of everything, so that no part of the bench rots. It measures
//! nothing that could be quoted; it says whether all were served and heard the right bytes. How
//! fast is not asked: a loaded machine is no fault of the program.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::process::myself;
use crate::rtc;
use crate::servers::{Kind, ServerOptions};
use crate::symple;
use crate::trial::{self, Case, Timing, Trial};
use crate::turn;
use crate::web;

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let options = ServerOptions::read(&mut args, "0")?;
    let parts: Vec<String> = args.list("parts", "radio,http,turn,symple,rtc")?;
    let has_part = |name: &str| parts.iter().any(|part| part == name);
    let kinds: Vec<Kind> = args.list("servers", "bare,skywave")?;
    let listeners = args.value("listeners", 50)?;
    let relays: Vec<turn::Kind> = args.list("relays", "bare,relay")?;
    let relay_options = turn::RelayOptions::beside(&mut args)?;
    let timing = Timing {
        lead_bytes: 100_000,
        warm_up: Duration::from_millis(500),
        patience: Duration::from_secs(20),
        settle: Duration::from_millis(200),
        window: Duration::from_secs(args.value("seconds", 2)?),
        swarm_cores: Vec::new(),
    };
    args.finish()?;
    if has_part("radio") && kinds.contains(&Kind::Skywave) && !options.skywave.exists() {
        build(&options.skywave, &["-p", "engine-server", "--bin", "skywave"])?;
    }
    for &server in kinds.iter().filter(|_| has_part("radio")) {
        for case in cases(server, listeners) {
            let trial = trial::run(&case, &options, &timing)?;
            judge(&trial).with_context(|| format!("{case:?}"))?;
            let frames = trial.swarm.content.frames;
            println!(
                "{}: {} listeners, {} B writes, titles {}: {frames} frames in order, none dropped",
                server.name(),
                case.listeners,
                case.write_bytes,
                case.titles,
            );
        }
    }
    if has_part("http") {
        web::smoke(|serve| build(serve, &["-p", "protocol-http", "--example", "serve"]))?;
    }
    if has_part("symple") {
        if !options.skywave.exists() {
            build(&options.skywave, &["-p", "engine-server", "--bin", "skywave"])?;
        }
        symple::check(&options.skywave)?;
    }
    if has_part("turn") {
        if relays.contains(&turn::Kind::Relay) && !relay_options.relay().exists() {
            build(relay_options.relay(), &["-p", "protocol-turn", "--example", "relay"])?;
        }
        turn::check(&relays, &relay_options)?;
    }
    if has_part("rtc") {
        rtc::check()?;
    }
    Ok(())
}

fn cases(server: Kind, listeners: usize) -> Vec<Case> {
    let plain = Case { server, write_bytes: 417, titles: false, listeners, rate: 0 };
    match server {
        Kind::Skywave => {}
        Kind::Bare => return vec![plain],
        // Its accept queue holds 5.
        Kind::Icecast => return vec![Case { rate: 100, ..plain }],
    }
    vec![
        plain.clone(),
        Case { write_bytes: 1_400, rate: 500, ..plain.clone() },
        Case { titles: true, ..plain.clone() },
        Case { listeners: 4 * listeners, ..plain },
    ]
}

fn judge(trial: &Trial) -> Result<()> {
    let Trial { case, swarm, .. } = trial;
    if let Some(fault) = swarm.fault() {
        bail!("{fault}");
    }
    if swarm.all_burst_s.is_none() {
        let (heard, burst) = (swarm.heard, swarm.burst);
        bail!("{heard} of {} have heard something, {burst} their burst", swarm.asked);
    }
    let content = &swarm.content;
    if content.sampled == 0 || content.frames_min.unwrap_or(0) == 0 {
        bail!("nobody was listened to");
    }
    // A titled stream begins behind a title block, wherever in a frame that is; Icecast anywhere.
    let aligned = case.server != Kind::Icecast && !case.titles;
    if aligned && content.skipped_bytes_max > 0 {
        bail!("one began {} bytes before a sync point", content.skipped_bytes_max);
    }
    if case.titles && content.titled < content.sampled {
        bail!("only {} of {} heard the title", content.titled, content.sampled);
    }
    Ok(())
}

/// Builds a server with the profile that the bench was built with, next to it.
fn build(server: &Path, what: &[&str]) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet"]).args(what);
    let directory = myself()?.parent().map(Path::to_owned).unwrap_or_default();
    if directory.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = directory.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().context("cannot run cargo to build the server")?;
    if !status.success() || !server.exists() {
        bail!("there is no server at {}", server.display());
    }
    Ok(())
}
