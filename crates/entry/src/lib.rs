//! Entries: what a block's data is made of, and the hash chain (PoH) that orders it.
//! Owns: bytes <-> entries, the hash chain, tick rules, strict signature checks.   Never knows: shreds, banks, clocks, keys.
//! In: bytes and entries.  Out: entries, hashes, or a reason to call the block dead.
//! Read first: `entry.rs`, then `poh.rs`; the tick rules are in `ticks.rs`.
//! Must match: agave entry/src/{entry,poh,block_component}.rs and ledger/src/blockstore_processor.rs:verify_ticks (v4.2).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod codec;
mod entry;
mod poh;
#[cfg(test)]
mod testing;
mod ticks;
mod transactions;

pub use {
    chain::{hash_transactions, next_hash, verify_chain},
    codec::{DecodeError, ENTRY_BYTES_MIN, EncodeError, decode_entries, encode_entries, encoded_size},
    entry::{Entry, create_ticks, tick_count, transaction_count},
    poh::{Poh, PohEntry},
    ticks::{TickError, TickVerifier},
    transactions::{TransactionRules, check_transaction, verify_entries, verify_signatures, verify_transactions},
};
