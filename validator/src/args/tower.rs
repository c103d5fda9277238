//! Flags of `validator tower`.

use {
    super::{OutputFormat, StoreArgs},
    clap::{Args, Subcommand, ValueEnum},
    std::path::PathBuf,
};

#[derive(Subcommand, Debug)]
pub enum TowerCommand {
    /// Show what the promise store holds for an identity: owner, term, last vote, lockouts, watermark
    Show(TowerShowArgs),
    /// Write the store's tower to a file: agave's tower file, or a JSON interchange file
    Export(TowerExportArgs),
    /// Put a tower from a file into the store, under a claim of its own
    Import(TowerImportArgs),
    /// Check the store's tower, or a file: form, lockouts, signature, and whether the chain knows newer votes
    Verify(TowerVerifyArgs),
    /// Compare two towers: files, or the word `store`
    Diff(TowerDiffArgs),
}

/// Whose promises, and where they are. The store's flags are the validator's own.
#[derive(Args, Debug, Clone)]
pub struct TowerPlaceArgs {
    /// Identity whose promises are meant: an address or a keypair file
    #[arg(short = 'i', long, value_name = "ADDRESS")]
    pub identity: Option<String>,

    /// Genesis hash of the cluster [default: that of <LEDGER>/genesis.bin]
    #[arg(long, value_name = "HASH")]
    pub genesis_hash: Option<String>,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "For example: validator --ledger ledger tower show --identity validator-keypair.json --tower-storage etcd \
                  --etcd-endpoint 127.0.0.1:2379 --etcd-cacert-file certs/etcd-ca.pem --etcd-cert-file certs/validator.pem \
                  --etcd-key-file certs/validator-key.pem\nA file store may be looked at while its validator runs."
)]
pub struct TowerShowArgs {
    #[command(flatten)]
    pub place: TowerPlaceArgs,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TowerFormat {
    /// Agave's `tower-1_9-<identity>.bin`
    Bin,
    /// The JSON interchange file: genesis hash, identity, vote account, votes, root, watermark, and the signed tower
    Json,
}

#[derive(Args, Debug)]
pub struct TowerExportArgs {
    /// File to write, or a folder (then the file has agave's name, or the same with .json)
    pub file: PathBuf,

    /// What to write
    #[arg(long, value_enum, default_value = "bin")]
    pub format: TowerFormat,

    /// Vote account, for the interchange file
    #[arg(long, value_name = "ADDRESS")]
    pub vote_account: Option<String>,

    /// Overwrite the file
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub place: TowerPlaceArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Refused: a foreign identity, a signature that does not fit, another genesis, a tower that is older than the stored \
                  one or contradicts it, and, unless --take-from-owner, a store in which somebody owns the identity. The import \
                  claims the identity, writes, and gives it back: whoever owned it before is fenced by that claim."
)]
pub struct TowerImportArgs {
    /// Agave's tower file or an interchange file; a folder means agave's file in it
    pub file: PathBuf,

    /// Import although the store names an owner: that node is fenced and stops (say so after a crash that left no release)
    #[arg(long)]
    pub take_from_owner: bool,

    #[command(flatten)]
    pub place: TowerPlaceArgs,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(after_help = "Exit status 0: nothing is wrong. 1: something is.")]
pub struct TowerVerifyArgs {
    /// Tower file to verify instead of the store
    pub file: Option<PathBuf>,

    /// Vote account to compare with, an address or a keypair file [default: the running validator's, if there is one]
    #[arg(long, value_name = "ADDRESS")]
    pub vote_account: Option<String>,

    /// JSON-RPC to ask for the vote account [default: the running validator's, if there is one]
    #[arg(short = 'u', long, value_name = "URL")]
    pub url: Option<String>,

    #[command(flatten)]
    pub place: TowerPlaceArgs,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit status 0: the same tower. 1: they differ; it says which one can have grown out of the other."
)]
pub struct TowerDiffArgs {
    /// A tower file, an interchange file, or the word `store`
    pub first: PathBuf,

    /// The same
    pub second: PathBuf,

    #[command(flatten)]
    pub place: TowerPlaceArgs,

    #[command(flatten)]
    pub format: OutputFormat,
}
