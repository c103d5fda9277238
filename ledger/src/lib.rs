//! Shreds on disk, and which blocks are complete: the node's memory of what the cluster sent.
//! Owns: slot files, facts about slots (roots, dead slots, bank hashes), FEC recovery on insert.   Never knows: networks, votes, identities, banks.
//! In: verified shreds, facts.  Out: `InsertReport`; `LedgerReader` answers everybody.  Invariant: nothing is said to be there that is not.
//! Read first: `slot_file.rs` (what is on disk), then `insert.rs` (the rules), `ledger.rs`, `reader.rs`.
//! Must match: agave ledger/src/blockstore.rs (v4.2) in what it accepts and when a slot is full; not in its format.
//!
//! Everything about a slot follows from its data shreds, so there is no index that could disagree with them. One writer; readers
//! wait at most for one slot's batch to be written.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bits;
mod checksum;
mod error;
mod insert;
mod journal;
mod ledger;
mod reader;
mod report;
mod shared;
mod slot_file;
mod source;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use {
    error::LedgerError,
    ledger::{Ledger, Options},
    reader::LedgerReader,
    report::{ConflictKind, DuplicateEvidence, InsertReport, Progress, Rejection},
    source::Source,
    state::SlotMeta,
};
