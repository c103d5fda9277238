//! The beginning of a cluster: its configuration, its accounts, its first slot.
//! Owns: reading and writing genesis.bin and genesis.tar.bz2, the content of slot 0, making a development genesis.
//! Never knows: banks, ledgers, networks.   In: files, or a description of a cluster.  Out: `Genesis`, `SlotZero`.
//! Read first: `genesis.rs`, then `development.rs`.
//! Must match: solana-genesis 4.2.2 (main.rs), solana-ledger blockstore.rs:create_new_ledger; tests/peer.rs compares.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
mod development;
mod error;
mod genesis;
mod programs;
mod slot_zero;

pub use development::{
    BlsKeyError, DevelopmentError, DevelopmentGenesis, ValidatorSpec, bls_pubkey, features_for_steady_slots,
};
pub use error::GenesisError;
pub use genesis::{ARCHIVE_FILE, GENESIS_BYTES_MAX, GENESIS_FILE, Genesis};
pub use programs::{Program, standard_programs};
pub use slot_zero::SlotZero;
pub use solana_genesis_config::GenesisConfig;
