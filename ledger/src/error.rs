//! What stops the ledger's writer. Nonsense from peers is not here: it is counted in `InsertReport`.

use {
    std::{io, path::PathBuf},
    tandem_types::Slot,
};

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "{} is used by another running validator; stop that one, or give this one a ledger folder of its own (--ledger)",
        dir.display()
    )]
    Busy { dir: PathBuf },
    #[error(
        "{} holds a ledger of format {found}, this version reads {expected}; use the version that wrote it, or an empty folder",
        dir.display()
    )]
    Format { dir: PathBuf, found: String, expected: &'static str },
    #[error("{doing} {}; check free space, permissions and the disk, then start again", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Two versions of one block are what slashing is about.
    #[error("slot {slot} already has {what} in this ledger; another version of our block for it must not be made")]
    OwnSlotTaken { slot: Slot, what: &'static str },
    #[error("slot {slot} was not begun as our own before its shreds were inserted")]
    OwnSlotNotBegun { slot: Slot },
    #[error("{refused} of our own shreds of slot {slot} do not fit what the ledger holds of it")]
    OwnShredsRefused { slot: Slot, refused: usize },
}

impl LedgerError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.into(), source }
    }
}
