//! Accounts by fork: what every block wrote, what is rooted, and the lattice hash over it.
//! Owns: unrooted versions, the rooted store behind `RootedStore`, the owner index, `LtHash`.   Never knows: how transactions execute, networks, votes.
//! In: `store(slot, accounts)`, `root(slot)`, `purge(slot)`.  Out: `load`, `scan`.  Invariant: a version is always findable while it moves from a fork to the root.
//! Read first: `store.rs`, then `rooted.rs`; `lattice.rs` is independent.
//! Must match: solana-accounts-db-4.2.2 accounts_db.rs (`lt_hash_account`, zero-lamport loads), solana-lattice-hash-4.2.2.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ancestors;
mod lattice;
mod rooted;
mod store;

pub use ancestors::Ancestors;
pub use lattice::{Change, Delta, LtHash, account_element};
pub use rooted::{MemoryStore, RootedStore};
pub use store::Accounts;
