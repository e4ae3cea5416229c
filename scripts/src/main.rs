//! `cargo xtask`: everything that is checked, run or replayed in this repository, by one name each.
//!
//! `cargo xtask check` is the whole gate, in the order of what fails soonest: format, lints, tidy,
//! tests, pages, simulator, fuzz corpora, instruction counts, bench, documents. Each part is a
//! command of its own, so that what failed can be run again alone.
//!
//! *Invariant:* this binary depends on no other crate of the workspace, so that `tidy` still runs
//! when one of them does not compile.

mod check;
mod conform;
mod instructions;
mod process;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [--only A,B] [--keep-going]
                  every step below, in this order; stops at the first that fails
  fmt             source is formatted as rustfmt would
  clippy          no lint fires, in any target
  tidy            floors, lengths, names and the other rules of STYLE.md
  test [ARGS]     all tests (nextest where it is installed), then the examples in the documents
  web             the pages for browsers: types, modules, and the built pages in Chromium
  sim [ARGS]      a node in a simulated world: [SEED] [--seeds N] [--mutants] [--smoke]
  fuzz-replay     every corpus file, and seeded mutations of it, through its fuzz target
  instructions [--update]
                  instructions of pieces of work, counted by valgrind, within their budgets
  bench [ARGS]    the benches; `--smoke` is the small size that only shows that they run
  doc             the documents build without a warning
  conform SUITE   a conformance suite of others, such as autobahn; not a part of `check`
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = match command.as_str() {
        "check" => check::run(rest),
        "conform" => conform::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        name => match check::step(name) {
            Some(step) => check::run_alone(step, rest),
            None => Err(anyhow::anyhow!("no command `{name}`; `cargo xtask help` lists them")),
        },
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
