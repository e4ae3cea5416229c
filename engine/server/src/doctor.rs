//! `--doctor`: what of the machine is missing, and what to set.

use std::process::ExitCode;

use engine_config::Config;
use shards_ring::UringIo;

/// Prints what the kernel lacks and what the configuration would use. Fails if it cannot run.
pub fn examine(config: &Config) -> ExitCode {
    let report = UringIo::probe();
    print!("{report}");
    for warning in config.warnings() {
        println!("warning: {warning}");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards_count = config.shards.count_on(cores);
    println!("shards: {shards_count} on {cores} cores");
    println!("turn: {}", crate::turn::state(&config.turn));
    println!("rtc: {}", crate::rtc::state(&config.rtc));
    println!("memory at the limits, at most:");
    let turn = config.turn.memory_terms(shards_count);
    let files = config.files_memory_terms(shards_count);
    let mut total = 0_u64;
    let rtc = config.rtc.memory_terms(shards_count);
    let terms = config.limits.memory_terms(shards_count).into_iter();
    for term in terms.chain(turn).chain(rtc).chain(files) {
        println!("  {:>12} KiB  {}", term.bytes / 1024, term.name);
        total = total.saturating_add(term.bytes);
    }
    println!("  {:>12} KiB  in all", total / 1024);
    if report.is_usable() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
