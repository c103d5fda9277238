//! `cargo xtask sim`: builds the simulator, with the planted bugs only where they are asked for, and runs it.

use {
    anyhow::{Context, bail},
    std::process::Command,
};

/// What is passed on; the simulator's own help says more.
#[derive(clap::Args)]
pub struct Args {
    /// How many seeds to run; with --mutants, how many at most for each planted bug
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Plant each known bug, one after the other, and show which oracle sees it and how soon
    #[arg(long)]
    mutants: bool,
    /// With --mutants: only those whose name contains this
    #[arg(long, requires = "mutants")]
    only: Option<String>,
    /// Print the whole history of the first seed
    #[arg(long, conflicts_with = "mutants")]
    trace: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--ignore-rust-version", "--locked", "-p", "tandem-sim"]);
    if args.mutants {
        command.args(["--features", "mutants"]);
    }
    command.arg("--").arg(format!("--seeds={}", args.seeds)).arg(format!("--first-seed={}", args.first_seed));
    if args.mutants {
        command.arg("--mutants");
    }
    if let Some(only) = &args.only {
        command.arg(format!("--only={only}"));
    }
    if args.trace {
        command.arg("--trace");
    }
    let status = command.status().context("starting cargo")?;
    if !status.success() {
        bail!(
            "the simulation found something (see above); `cargo xtask sim --trace --first-seed SEED` shows how it came"
        );
    }
    Ok(())
}
