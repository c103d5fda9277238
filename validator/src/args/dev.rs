//! Flags of `validator genesis` and `validator dev`.

use {super::OutputFormat, clap::Args, std::path::PathBuf};

#[derive(Args, Debug)]
#[command(
    after_help = "Writes <LEDGER>/genesis.bin and genesis.tar.bz2, with the core BPF and SPL programs. Keypair files that do not exist \
                        are made."
)]
pub struct GenesisArgs {
    /// Identity, vote account and stake account of a validator: three keypair files (or addresses); may be given several
    /// times
    #[arg(long, num_args = 3, value_names = ["IDENTITY", "VOTE", "STAKE"], action = clap::ArgAction::Append, required = true)]
    pub bootstrap_validator: Vec<String>,

    /// Stake of each validator in lamports; give it once for all, or once for each
    #[arg(long, value_name = "LAMPORTS", default_values_t = [10_000_000_000_000])]
    pub bootstrap_validator_stake_lamports: Vec<u64>,

    /// Lamports of each identity
    #[arg(long, value_name = "LAMPORTS", default_value_t = 500_000_000_000)]
    pub bootstrap_validator_lamports: u64,

    /// Keypair file (or address) of the faucet [default: <LEDGER>/faucet-keypair.json]
    #[arg(long, value_name = "KEYPAIR")]
    pub faucet_pubkey: Option<String>,

    /// Lamports of the faucet
    #[arg(long, value_name = "LAMPORTS", default_value_t = 500_000_000_000_000_000)]
    pub faucet_lamports: u64,

    /// PoH hashes a tick, or `sleep` for none (low power)
    #[arg(long, value_name = "N|sleep", default_value = "sleep")]
    pub hashes_per_tick: String,

    #[arg(long, value_name = "SLOTS", default_value_t = 8192)]
    pub slots_per_epoch: u64,

    /// Feature to leave inactive; may be given several times. The four that shorten slots and the one that refuses deploys
    /// below SBPF v3 are left inactive unless --all-features
    #[arg(long, value_name = "PUBKEY")]
    pub deactivate_feature: Vec<String>,

    /// Leave every feature active (200 ms slots from epoch 1)
    #[arg(long)]
    pub all_features: bool,

    /// Unix time of the genesis [default: now]
    #[arg(long, value_name = "SECONDS")]
    pub creation_time: Option<i64>,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
pub struct DevArgs {
    /// Play and narrate the handovers, check everything both machines released, report, and end
    #[arg(long)]
    pub failover_demo: bool,

    /// Write the report as JSON to FILE
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Folder to work in [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// First port to use
    #[arg(long, value_name = "PORT", default_value_t = 18000, value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub base_port: u16,

    /// Transfers a second during the demonstration
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub transfers_per_second: u32,

    /// Hand the identity over N times, back and forth between the two running nodes, without a restart; report and end
    #[arg(long, value_name = "N", conflicts_with = "failover_demo", value_parser = clap::value_parser!(u32).range(1..))]
    pub handovers: Option<u32>,

    /// So many of the --handovers are from an owner that is stopped (SIGSTOP) before and woken up after
    #[arg(long, value_name = "N", default_value_t = 0, requires = "handovers")]
    pub stops: u32,

    /// The owner is not asked to let go: the --handovers show how soon it notices
    #[arg(long, requires = "handovers")]
    pub unasked: bool,

    /// Planned handovers to measure after the demonstration (for the benchmark)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub planned_handovers: u32,
}
