//! The tree of blocks above the root: which exist, in what state, and what to execute next.
//! Owns: parents, states, order of execution, dumping.   Never knows: how execution works, votes, keys, shreds.
//! In: `Event`.  Out: `Effect`.  Invariant: a block is begun only on a frozen parent, and nothing on a dead or dropped one.
//! Read first: `replay.rs`; cases in `cases.rs`.
//! Must match: agave core/src/replay_stage.rs (generate_new_bank_forks, replay_active_banks, dump_then_repair; v4.2.2).

mod event;
mod replay;
mod tree;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod property;

pub use event::{Config, Effect, Event, Ignored, SlotView, StateView, View};
pub use replay::Replay;
