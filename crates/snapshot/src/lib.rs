//! Agave's snapshot archives: the state of the cluster at one slot, in a file that travels.
//! Owns: archive names, the members of an archive and their bytes, and the checks on them.   Never knows: consensus, ledgers, networks.
//! In: `tar.zst` and `tar.lz4` files.  Out: a frozen `Bank`.  Invariant: a bank comes out only if its accounts give the bank hash that the archive says.
//! Read first: `load.rs`, then `manifest.rs`, `account_file.rs`.
//! Must match: agave-snapshots-4.2.2, solana-runtime-4.2.2 serde_snapshot.rs and snapshot_bank_utils.rs, solana-accounts-db-4.2.2 append_vec (protocol.md 9).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account_file;
mod archive;
mod error;
mod gather;
mod load;
mod manifest;
mod name;
mod status_cache;

pub use error::{Member, SnapshotError};
pub use load::{Loaded, Progress, Source, load};
pub use name::{ArchiveName, Compression, Kind, find_newest};
