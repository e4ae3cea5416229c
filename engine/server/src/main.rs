//! `skywave`: reads its configuration, starts the shards and the control plane, and waits for
//! signals. The wiring is in `run`.

mod demo;
mod disk;
mod doctor;
mod files;
mod log;
mod rtc;
mod run;
mod tls;
mod turn;
mod workers;

use std::process::ExitCode;

use engine_config::Invocation;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_on_panic();
    let invocation = match engine_config::parse_args(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    match invocation {
        Invocation::Help(text) => println!("{text}"),
        Invocation::Version => println!("skywave {}", env!("CARGO_PKG_VERSION")),
        Invocation::PrintDefaultConfig => print!("{}", engine_config::sample()),
        Invocation::CheckConfig(config) => {
            for warning in config.warnings() {
                println!("warning: {warning}");
            }
            println!("the configuration is in order");
        }
        Invocation::Doctor(config) => return doctor::examine(&config),
        Invocation::Run(config) => {
            if let Err(error) = run::run(*config) {
                eprintln!("skywave: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// A panic is a bug of ours. A shard without its thread would leave its listeners hanging and its
/// siblings waiting, so the process ends at once, with the message, and whoever supervises it
/// starts it anew.
fn end_on_panic() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        std::process::abort();
    }));
}
