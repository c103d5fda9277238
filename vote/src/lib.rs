//! Tower BFT: which block to vote for, what that vote forbids us later, and what the cluster has confirmed.
//! Owns: lockouts, fork weights, the switch rule, confirmation.   Never knows: disks, keys, sockets, clocks, banks.
//! In: `Event`.  Out: `Effect`.  Invariant: a `Decision` never violates a lockout of the adopted tower or of a recorded decision.
//! Read first: `voter.rs`, then `choice.rs` and `tower.rs`; cases in `cases.rs`.
//! Must match: agave core/src/consensus.rs, consensus/fork_choice.rs, replay_stage.rs (v4.2.2), in effect and not in form.

#[cfg(test)]
mod alone;
mod choice;
mod confirm;
mod decide;
mod event;
mod forks;
mod info;
mod propagation;
mod stray;
mod switch;
mod tower;
mod voter;
mod voters;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod harness;

pub use event::{
    Adopted, Config, Decision, DecisionId, DecisionKind, Effect, Event, FrozenBlock, Hold, Ignored, LandedVote,
    LastVote, Now, OurVote, Quarantine, VoteTime,
};
pub use solana_vote_interface::state::{INITIAL_LOCKOUT, Lockout, MAX_LOCKOUT_HISTORY};
pub use tower::{TowerFault, TowerState};
pub use voter::{RoleView, View, Voter};
