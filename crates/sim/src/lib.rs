//! The failover of a pair, in one thread and without time: the product's machines over a simulated world, by seed.
//! Owns: clocks, networks, etcd, operators and faults that are made up; oracles that are not.   Never knows: how to mend what it finds.
//! In: a seed.  Out: `Outcome`.  Invariant: same seed, same history; every oracle looks at what was released, not at what was meant.
//! Read first: `world.rs` (the scheduler), `fiber.rs` (how blocking code runs in it), `oracle.rs`; then `faults.rs` and `shell.rs`.
//! Must match: docs/failover.md, sections 1-5; the shells follow `validator/src/stages/{promise,role,vote,producer}.rs`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod etcd;
mod faults;
mod fiber;
mod mutants;
mod node;
mod oracle;
mod profile;
mod promise;
mod rng;
mod run;
mod shell;
mod wire;
mod world;

#[cfg(feature = "mutants")]
pub use mutants::{hunt, unseen};
pub use {
    mutants::{Caught, MUTANTS},
    oracle::Violation,
    run::{Outcome, run_seed, run_seed_verbose},
};
