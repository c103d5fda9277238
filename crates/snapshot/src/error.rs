//! Why an archive is not used.

use {
    std::{fmt, io, path::PathBuf},
    tandem_bank::RestoreError,
    tandem_types::{Pubkey, Slot},
};

/// Archives come from other nodes: nothing in them is believed, and every refusal says which file to throw away.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "{} is not the name of a snapshot archive (snapshot-SLOT-HASH.tar.zst, incremental-snapshot-BASE-SLOT-HASH.tar.zst, or .tar.lz4)",
        .0.display()
    )]
    Name(PathBuf),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("snapshot archive {} is damaged or cut off: {member}; fetch it again", path.display())]
    Damaged { path: PathBuf, member: Member, source: io::Error },
    #[error("snapshot archive {} is refused: {reason}; fetch another one", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error(
        "the incremental snapshot stands on slot {wanted}, the full snapshot is of slot {found}: use the pair that belongs together"
    )]
    WrongBase { wanted: Slot, found: Slot },
    #[error("account {key} is written twice in slot {slot} by different files of the snapshot; fetch another one")]
    WrittenTwice { key: Pubkey, slot: Slot },
    #[error("the snapshot's content does not hold together")]
    Restore(#[from] RestoreError),
    #[error(
        "the accounts of the snapshot give the hash {computed}, its file name says {named}: it was changed or mixed up; fetch another one"
    )]
    NameHash { computed: tandem_types::Hash, named: tandem_types::Hash },
}

/// Where in the archive it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    Archive,
    Version,
    BankFields,
    StatusCache,
    Accounts { slot: Slot, id: u64 },
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => f.write_str("its list of members"),
            Self::Version => f.write_str("its version"),
            Self::BankFields => f.write_str("the fields of the bank"),
            Self::StatusCache => f.write_str("the status cache"),
            Self::Accounts { slot, id } => write!(f, "the accounts of slot {slot} (file {id})"),
        }
    }
}
