//! Chores of the repository: `cargo xtask tidy`.

mod layers;
mod purity;
mod tidy;

use clap::Parser;

/// Chores of the repository.
#[derive(Parser)]
enum Chore {
    /// Check that crates depend only downwards and that cores stay pure
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Tidy => tidy::run(),
    }
}
