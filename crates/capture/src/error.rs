//! Why a folder cannot be replayed. Each is one line and says what to do.

use {std::path::PathBuf, tandem_genesis::GenesisError, tandem_ledger::LedgerError, tandem_types::Slot};

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("{} is no folder; a capture is one with genesis.bin, shreds.bin.zst and banks.jsonl", .0.display())]
    NoFolder(PathBuf),
    #[error("{} cannot be read; copy the capture again", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("line {line} of {} is not what agave logged of a bank: {source}; copy the capture again", path.display())]
    Golden { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("{} ends in the middle of shred {shreds}; copy the capture again", path.display())]
    Truncated { path: PathBuf, shreds: u64 },
    #[error("record {shreds} of {} is no shred: {what}; copy the capture again", path.display())]
    NoShred { path: PathBuf, shreds: u64, what: String },
    #[error("genesis.bin: {0}")]
    Genesis(#[from] GenesisError),
    #[error(
        "genesis.bin and the shreds are of two clusters: our bank of slot 0 has hash {ours}, agave's has {agave}; \
         put the genesis.bin of the ledger the shreds were taken from there"
    )]
    OtherGenesis { ours: String, agave: String },
    #[error("{refused} shreds of slot {slot} do not fit what came before them; copy the capture again")]
    Refused { slot: Slot, refused: usize },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
