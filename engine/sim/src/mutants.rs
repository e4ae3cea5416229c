//! Faults planted in the program, to see whether the checkers find them.

use engine_node::{Mutant, plant};

use crate::{Report, Seed, Swarm, run};

/// Seeds that are tried for each fault.
const SEEDS_MAX: u64 = 800;

/// Looks for a seed that finds a planted fault.
#[must_use]
pub fn find(mutant: Mutant) -> Option<Report> {
    let mut found = (1..=SEEDS_MAX).map(move |seed| {
        // Each run has a thread of its own to plant in, so that a panic leaves nothing behind.
        let runs = std::thread::spawn(move || {
            plant(Some(mutant));
            // Every other swarm is about signalling.
            match seed % 2 {
                0 => run(Seed(seed / 2), Swarm::draw_signalling(seed / 2)),
                _ => run(Seed(seed / 2 + 1), Swarm::draw(seed / 2 + 1)),
            }
        });
        runs.join().expect("a run catches its panics")
    });
    found.find(|report| report.violation.is_some())
}

/// Plants one fault after the other, of those whose name begins so, and prints who found it. False:
/// one was not found.
#[must_use]
pub fn hunt(beginning: &str) -> bool {
    // Panics are how asserts speak; here they are expected.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{:<26} {:>15}  {:<9}  what the checker said", "planted fault", "seed", "checker");
    let mut all_found = true;
    for mutant in Mutant::ALL.iter().copied() {
        let name = format!("{mutant:?}");
        if !name.starts_with(beginning) {
            continue;
        }
        let Some(report) = find(mutant) else {
            println!("{name:<26} {:>15}  not found in {SEEDS_MAX} seeds", "-");
            all_found = false;
            continue;
        };
        let violation = report.violation.expect("it was found by one");
        let what: String = violation.what.chars().take(90).collect();
        let checker = format!("{:?}", violation.checker);
        let seed = format!("{}{}", report.kind, report.seed.0);
        println!("{name:<26} {seed:>15}  {checker:<9}  {what}");
    }
    all_found
}
