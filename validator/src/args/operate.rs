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
#[command(after_help = "With the key of the vote account's identity this is a takeover: the owner, if alive, finishes its slot, records \
                        its last vote and releases; at the intent deadline the claim goes through anyway. It is safe whatever state \
                        the owner is in. It returns when this node may vote and lead. With any other key the node steps down to it.")]
pub struct SetIdentityArgs {
    /// Keypair file; read from standard input when left out
    pub identity: Option<PathBuf>,

    /// Refuse, before anything is claimed, when the store holds no tower of that identity
    #[arg(long)]
    pub require_tower: bool,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(after_help = "Exit status 0: now is a good moment. Anything else: it is not.")]
pub struct WaitArgs {
    /// Minutes (decimals allowed) in which the identity must not be leader
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    pub min_idle_time: f64,

    /// Identity to watch, an address or a keypair file [default: the validator's own]
    #[arg(long, value_name = "ADDRESS")]
    pub identity: Option<String>,

    /// Largest share of stake, in percent, that may be delinquent
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    pub max_delinquent_stake: u8,

    /// Do not wait for a new snapshot
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
