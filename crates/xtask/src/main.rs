//! Chores of the repository: `cargo xtask tidy`, `cargo xtask sim`.

mod commands;
mod documents;
mod layers;
mod purity;
mod sim;
mod tidy;

use clap::Parser;

/// Chores of the repository.
#[derive(Parser)]
enum Chore {
    /// Check that crates depend only downwards, that cores stay pure, that documents lead somewhere, that scripts' cargo calls work
    Tidy,
    /// Run simulated failovers by seed, or look whether each planted bug is seen
    Sim(sim::Args),
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Tidy => tidy::run(),
        Chore::Sim(args) => sim::run(&args),
    }
}
