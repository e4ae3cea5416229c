//! `bench`: measures the server against Icecast and against a bare ring, on one machine and in one
//! run. `README.md` says what is measured, and why so.

mod args;
mod bare;
mod bare_http;
mod bare_udp;
mod clock;
mod content;
mod http;
mod instructions;
mod load;
mod machine;
mod metrics;
mod process;
mod radio;
mod record;
mod rtc;
mod servers;
mod smoke;
mod source;
mod storm;
mod swarm;
mod symple;
mod trial;
mod turn;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};
use args::Args;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
bench COMMAND [--flag value]...
  radio          CPU and memory for each listener: ours, Icecast's, a bare ring's
  connect-storm  all connect at once
  big            more listeners than one descriptor table holds
  http           CPU, latency and memory for each HTTP request: ours, a bare ring's, and those
                 of libuv, nginx, Go and Node (--prepare gets them first)
  symple         CPU for each delivered message of signalling: ours, and Node's
  turn           CPU for each relayed packet: our relay's, coturn's, a bare forwarder's
  rtc            CPU for each packet passed on to viewers: ours, str0m's alone
  instructions   a piece of work to be counted; `cargo xtask instructions` does
  smoke          a small size of everything, with a verdict
  readme         puts the latest figures into README.md
  swarm, source, bare, load, bare-http, bare-udp   the parts, by themselves
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let args = Args::parse(words)?;
    match command.as_str() {
        "radio" => radio::command(args),
        "connect-storm" => storm::connect_storm(args),
        "big" => storm::big(args),
        "http" => web::command(args),
        "instructions" => instructions::command(args),
        "smoke" | "--smoke" => smoke::command(args),
        "readme" => record::readme(args),
        "swarm" => swarm::command(args),
        "swarm-part" => swarm::part_command(args),
        "source" => source::command(args),
        "bare" => bare::command(args),
        "bare-http" => bare_http::command(args),
        "load" => load::command(args),
        "bare-udp" => bare_udp::command(args),
        "symple" => symple::command(args),
        "turn" => turn::command(args),
        "turn-part" => turn::part_command(args),
        "rtc" => rtc::command(args),
        "launch" => process::launch(args),
        _ => bail!("{USAGE}"),
    }
}
