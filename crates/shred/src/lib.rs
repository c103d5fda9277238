//! Shreds: how a block travels, in packets of which any 32 of 64 give the whole set back.
//! Owns: the byte layout, merkle proofs, erasure coding, cutting our blocks up, putting others' together.   Never knows: where shreds come from, disks, sockets.
//! In: packets of unknown honesty, or our own entries.  Out: validated shreds, recovered shreds, entry bytes, or a `Reject`.
//! Read first: `layout.rs`, then `shred.rs`; `shredder.rs` is the leader's side, `recover.rs` and `deshred.rs` the receiver's.
//! Must match: agave ledger/src/shred/*.rs and ledger/src/shredder.rs (v4.2); golden data: tests/captures.rs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod dedup;
mod deshred;
mod erasure;
mod header;
mod id;
mod layout;
mod merkle;
mod policy;
mod recover;
mod shred;
mod shredder;
#[cfg(test)]
mod testing;
mod verified;
mod version;

pub use {
    dedup::Deduper,
    deshred::{Component, DeshredError, Deshredder, block_id},
    header::{Body, Reject, ShredHeader, peek},
    id::{FecSetId, ShredId, ShredKind},
    layout::{
        CODE_PAYLOAD_BYTES, CODE_SHREDS_PER_SET, DATA_PAYLOAD_BYTES, DATA_SHREDS_PER_SET, SET_DATA_BYTES,
        SET_DATA_BYTES_LAST, SHREDS_PER_SLOT_MAX, split_nonce,
    },
    policy::{Discard, Policy, SlotRules, max_slot},
    recover::{RecoverError, recover},
    shred::Shred,
    shredder::{Cursor, MakeError, ParentError, Shredded, Shredder},
    verified::VerifiedRoots,
    version::shred_version,
};
