//! Flags of `validator ledger`.

use {
    super::OutputFormat,
    clap::{Args, Subcommand},
    std::path::PathBuf,
};

#[derive(Subcommand, Debug)]
pub enum LedgerCommand {
    /// Replay a capture of an agave ledger and compare every bank with agave's
    Verify(VerifyArgs),
    /// Load snapshot archives as a validator would at its start, make every check, and say what state they hold
    CheckSnapshot(CheckSnapshotArgs),
    /// Show the hash of a genesis, and the shred version that follows from it
    GenesisHash(GenesisHashArgs),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit status 0: every bank that agave logged has the same hash, signature count, last blockhash, capitalization \
                        and lattice-hash checksum here; 1: one has not, or the capture cannot be read."
)]
pub struct VerifyArgs {
    /// Folder with genesis.bin, shreds.bin.zst and banks.jsonl
    #[arg(long, value_name = "DIR")]
    pub capture: PathBuf,

    /// At a difference, also name the accounts that the slot wrote
    #[arg(long)]
    pub accounts: bool,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is unpacked to disk and nothing is changed. Checked: names, members and sizes of the archives; the accounts' lattice hash \
                  against the file name; stakes against accounts, epoch stakes, leader, processed transactions against the slot history, \
                  capitalization, bank hash; and that this version knows every feature that is active.\n\
                  Exit status 0: a validator can start from it; 1: it cannot, for the reason given."
)]
pub struct CheckSnapshotArgs {
    /// A full archive, with its increment behind it if there is one; or a folder, whose newest state is taken
    #[arg(value_name = "ARCHIVE_OR_DIR", required = true, num_args = 1..=2)]
    pub archives: Vec<PathBuf>,

    /// The cluster's genesis.bin or genesis.tar.bz2, or a folder with one of them; default: the ledger's
    #[arg(long, value_name = "FILE_OR_DIR")]
    pub genesis: Option<PathBuf>,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
pub struct GenesisHashArgs {
    /// A genesis.bin, a genesis.tar.bz2, or a folder with one of them
    #[arg(value_name = "FILE_OR_DIR")]
    pub path: PathBuf,

    #[command(flatten)]
    pub format: OutputFormat,
}
