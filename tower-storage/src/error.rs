//! What can go wrong, in words an operator can act on.

use {
    crate::{check::Violation, store::StoreSnapshot},
    tandem_role::kv::KvError,
    tandem_types::{Pubkey, Slot},
    thiserror::Error,
};

/// Reading, asking, logging.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StoreError {
    #[error("{store} did not answer in time: {source}")]
    Unavailable {
        store: String,
        #[source]
        source: KvError,
    },
    #[error("{store} cannot be trusted: {reason}; nothing is signed on its word, see `failover recover`")]
    Quarantined { store: String, reason: String },
    #[error("this machine does not own the identity")]
    NotOwner,
    #[error("the identity was taken: {by}")]
    Fenced { by: String },
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ClaimError {
    /// The owner changed since it was read: nothing was claimed.
    #[error("the owner changed while it was being claimed")]
    Refused(Box<StoreSnapshot>),
    #[error("the store has no tower for {identity}, and one is required; nothing was claimed")]
    TowerMissing { identity: Pubkey },
    /// The claim did not happen.
    #[error("{store} did not take the claim in time: {source}")]
    Unavailable {
        store: String,
        #[source]
        source: KvError,
    },
    #[error("{store} did not answer the claim ({source}): it may have happened")]
    Unresolved {
        store: String,
        #[source]
        source: KvError,
    },
    #[error("{store} cannot be trusted: {reason}; see `failover recover`")]
    Quarantined { store: String, reason: String },
}

/// A promise was not made. After `Fenced`, `StoreLost` and `Quarantined` none is made any more before a new claim.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    #[error("this machine does not own the identity: {why}")]
    NotOwner { why: String },
    #[error("the vote is not legal, nothing was recorded: {0}")]
    Violation(#[from] Violation),
    #[error("a vote of {found}, but this store is for {expected}")]
    WrongIdentity { expected: Pubkey, found: Pubkey },
    #[error("a vote for vote account {found}, but this store is for {expected}")]
    WrongVoteAccount { expected: Pubkey, found: Pubkey },
    #[error("the key of {identity} is not here: the tower cannot be signed")]
    NoKey { identity: Pubkey },
    #[error("leader slot {slot} is not above the watermark {watermark}: it may have been used already")]
    SlotNotAboveWatermark { slot: Slot, watermark: Slot },
    #[error("the identity was taken: {by}")]
    Fenced { by: String },
    #[error("{store} did not take the record within the write timeout{}: {source}", if *.unresolved { ", and it may have happened" } else { "" })]
    StoreLost {
        store: String,
        unresolved: bool,
        #[source]
        source: KvError,
    },
    #[error("{store} cannot be trusted: {reason}; see `failover recover`")]
    Quarantined { store: String, reason: String },
}
