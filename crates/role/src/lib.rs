//! Who may speak for an identity: the role machine, and the store protocol that makes its answer binding.
//! Owns: terms, claims, the fence every write compares, the order of a hand-over.   Never knows: slots' contents, keys, etcd's wire.
//! In: `Event`, `TxnReply`.  Out: `Effect`, `Txn`.  Invariant: nothing is unlocked but under a claim that a store confirmed.
//! Read first: `records.rs`, `protocol.rs`, then `machine.rs` and `joining.rs`; cases in `machine/cases.rs` and `protocol/explore.rs`.
//! Must match: docs/failover.md, sections 1-6; agave's promises to operators (`set-identity`, `wait-for-restart-window`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agave_keys;
pub mod auto;
pub mod config;
pub mod event;
pub mod hints;
pub mod joining;
pub mod keys;
pub mod kv;
pub mod machine;
pub mod memory;
pub mod protocol;
pub mod reach;
pub mod records;
pub mod status;

pub use {
    config::{Config, ConfiguredRole, Failback, OnLoss},
    event::{
        Candidate, ChainStatus, ClaimFacts, Effect, Event, HandoverReport, NodeIdentity, Phases, ReadId, Refused,
        RefusedKind, RequestId, RoleState, SetIdentity, StoreCall, StoreFacts, TowerSource, Transition,
    },
    keys::Keys,
    machine::Machine,
    status::ExitStatus,
};
