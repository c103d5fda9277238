//! The promise store: everything this identity has ever promised, checked, durable and fenced before it can be signed.
//! Owns: the check of a vote against the stored tower, the write under the term, the file store.   Never knows: how to sign or send.
//! In: `VoteDecision`, a leader slot.  Out: `Promised`, `LeaderSlotClaim`.  Invariant: one constructor each, after the fenced write.
//! Read first: `store/promise.rs` (the two constructors), then `check.rs` and `store/mod.rs`; `file/` is the store on disk.
//! Must match: docs/failover.md, sections 1-4; agave's tower file (solana-core/src/consensus/tower_storage.rs, 4.2.2).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod decision;
mod descent;
mod error;
mod exchange;
mod file;
mod known;
mod pace;
mod store;
#[cfg(test)]
mod testing;
mod tower;

pub use {
    check::{Violation, check},
    decision::{Tower, VoteDecision, VoteKind},
    descent::{Contradiction, Relation, relation},
    error::{ClaimError, RecordError, StoreError},
    exchange::{ExchangeError, export_tower, import_tower},
    file::{FileKv, FileKvError, FileLook},
    known::Known,
    pace::{Pace, SystemPace},
    store::{
        Beater, Claim, ClaimRequest, LeaderSlotClaim, Limits, Opening, PromiseStore, Promised, PromisedAt, SignOfLife,
        Skipped, StoreSnapshot, announce, look,
    },
    tower::{BadTower, LastVote, StoredTower, TowerSigner},
};
