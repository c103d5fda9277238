//! What an operator decides about roles. No defaults here: the flags own them.

use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfiguredRole {
    /// Started with the contested identity as its own: claims it by itself, once, when caught up.
    Primary,
    /// Waits for `set-identity`.
    Secondary,
}

/// What a primary does when it comes up and another machine owns the identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failback {
    /// Takes it back by a planned hand-over.
    Preferred,
    /// Stays standby until told.
    Sticky,
}

/// What a node does when it must stop speaking for the identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnLoss {
    Exit,
    Standby,
}

/// How long nothing is signed where only the chain's tower is known. Votes that the chain has never seen may be out. A voter that is
/// alone on its fork stacks no more than eight of them: the ninth needs two thirds of the stake at its depth (agave
/// consensus.rs: VOTE_THRESHOLD_DEPTH). The deepest of eight is locked for 2^8 = 256 slots; twice that is beyond doubt.
pub const CHAIN_TOWER_HOLD_SLOTS: u64 = 512;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub role: ConfiguredRole,
    /// Name of this machine in the store. Two nodes of a pair must have different ones, also on one computer.
    pub host: String,
    pub failback: Failback,
    pub on_identity_loss: OnLoss,
    pub on_store_loss: OnLoss,
    /// Refuse to claim while the store has no tower.
    pub require_tower: bool,
    /// A store without a tower is new to this identity, though the chain has votes of it (`--adopt-chain-tower`).
    pub adopt_chain_tower: bool,
    /// The store is a locked folder of this process: an owner that was not released is a dead run of our own.
    pub store_is_exclusive: bool,
    /// How long an owner may take to let go before the claim goes through anyway.
    pub intent_deadline: Duration,
    /// Replay this close to the cluster's tip counts as caught up.
    pub caught_up_slots_max: u64,
    /// How long to wait for replay to reach the block of the adopted tower's last vote, before waiting until its
    /// lockouts have passed instead.
    pub replay_deadline: Duration,
    /// The longest from a claim to the first signature, waits that are there for safety not counted.
    pub takeover_deadline: Duration,
    /// Without any tower but with votes on chain: do not vote before the tip has moved this far past where it was at
    /// the claim, or past any newer vote that lands meanwhile. See [`CHAIN_TOWER_HOLD_SLOTS`].
    pub chain_tower_hold_slots: u64,
    /// How often a standby looks at the store, and how long it waits after a failure.
    pub standby_poll: Duration,
    /// How often a waiting claimant looks whether the owner let go, should the watch have missed it.
    pub release_poll: Duration,
}
