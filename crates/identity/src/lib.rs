//! The keys, and the few things that may be signed with them.
//! Owns: every secret key of the node; the permit that locks them at once; key files.   Never knows: what a good vote is.
//! In: `Promised`, `LeaderSlotClaim`, gossip and repair messages.  Out: `SignedVote`, signatures.  Invariant: no vote and no block root is signed without its promise under a live permit.
//! Read first: `vote.rs` (the one constructor of `SignedVote`), `block.rs`, then `permit.rs` and `vault.rs`.
//! Must match: agave 4.2.2 replay_stage.rs:generate_vote_tx, solana-keypair's JSON files.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod block;
mod keypair_file;
mod node;
mod permit;
mod refusal;
#[cfg(test)]
mod tests;
mod vault;
mod vote;

pub use {
    block::BlockSigner,
    keypair_file::{KeypairFileError, is_readable_by_others, read_keypair, read_keypair_file, write_keypair_file},
    node::NodeKey,
    permit::Permit,
    refusal::Refusal,
    vault::{HeldKey, Vault},
    vote::SignedVote,
};
