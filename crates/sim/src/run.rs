//! One seed: its history and what the oracles found in it.

use {
    crate::{oracle::Violation, world::World},
    std::{
        collections::BTreeMap,
        panic::{AssertUnwindSafe, catch_unwind},
    },
};

#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    /// Of everything that happened, in order.
    pub trace: u64,
    pub violation: Option<Violation>,
    /// How often what happened, so that nobody believes an empty run.
    pub counts: BTreeMap<&'static str, u64>,
}

pub fn run_seed(seed: u64) -> Outcome {
    run(seed, false).0
}

/// With its history in words.
pub fn run_seed_verbose(seed: u64) -> (Outcome, Vec<String>) {
    run(seed, true)
}

fn run(seed: u64, verbose: bool) -> (Outcome, Vec<String>) {
    let mut world = World::new(seed, verbose);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut violation = world.oracle.found.first().cloned();
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
        violation = Some(Violation { oracle: "no panic", what: text.unwrap_or_else(|| "a panic".into()) });
    }
    let log = world.log.take().unwrap_or_default();
    (Outcome { seed, trace: world.fingerprint(), violation, counts: std::mem::take(&mut world.counts) }, log)
}
