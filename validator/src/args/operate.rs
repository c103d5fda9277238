//! Flags of the commands that talk to a running validator.

use {
    clap::{Args, Subcommand, ValueEnum},
    std::path::PathBuf,
};

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    Text,
    Json,
}

#[derive(Args, Debug, Clone, Copy)]
pub struct OutputFormat {
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

impl OutputFormat {
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "With the key of the vote account's identity this is a takeover: the owner, if alive, finishes its slot, records \
                        its last vote and releases; at the intent deadline the claim goes through anyway. It is safe whatever state \
                        the owner is in. It returns when this node may vote and lead. With any other key the node steps down to it."
)]
pub struct SetIdentityArgs {
    /// Keypair file; read from standard input when left out
    pub identity: Option<PathBuf>,

    /// Refuse, before anything is claimed, when the store holds no tower of that identity
    #[arg(long)]
    pub require_tower: bool,

    /// Accepted for scripts written for agave 4.2: there is no vote history besides the tower
    #[arg(long, hide = true)]
    pub do_not_require_vote_history: bool,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug, Clone)]
#[command(after_help = "Exit status 0: now is a good moment. Anything else: it is not.")]
pub struct WaitArgs {
    /// Minutes (decimals allowed) in which the identity must not be leader
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    pub min_idle_time: f64,

    /// Identity to watch, an address or a keypair file [default: the validator's own]
    #[arg(long, value_name = "ADDRESS")]
    pub identity: Option<String>,

    /// Largest share of stake, in percent, that may be delinquent
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_delinquent_stake: u8,

    /// Do not wait for a new snapshot (this version makes none, so there is nothing to wait for)
    #[arg(long)]
    pub skip_new_snapshot_check: bool,

    /// Do not ask the node for its health
    #[arg(long)]
    pub skip_health_check: bool,

    /// Give up after this many seconds (exit status 6) [default: wait for ever]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,

    #[command(flatten)]
    pub format: OutputFormat,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    // A month: far beyond any epoch, and far from overflowing slot arithmetic.
    if (0.0..=43_200.0).contains(&minutes) { Ok(minutes) } else { Err("give minutes between 0 and 43200".into()) }
}

#[derive(Args, Debug)]
#[command(after_help = "Waits for a restart window first, as wait-for-restart-window does, unless --force.")]
pub struct ExitArgs {
    /// Stop now instead of at a restart window
    #[arg(short = 'f', long)]
    pub force: bool,

    /// Return only when the validator has ended
    #[arg(long)]
    pub wait_for_exit: bool,

    #[command(flatten)]
    pub window: WaitArgs,
}

#[derive(Subcommand, Debug)]
pub enum AuthorizedVoterCommand {
    /// Add a keypair (from standard input when no file is given)
    Add {
        /// Keypair file
        keypair: Option<PathBuf>,
    },
    /// Remove all: the validator stops voting
    RemoveAll,
}

#[derive(Args, Debug)]
pub struct MonitorArgs {
    /// Print one line and end
    #[arg(long)]
    pub once: bool,

    #[command(flatten)]
    pub format: OutputFormat,
}
