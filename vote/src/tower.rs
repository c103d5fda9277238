//! The stack of lockouts that one voter's votes build.

use {
    crate::{Lockout, MAX_LOCKOUT_HISTORY},
    std::collections::VecDeque,
    tandem_types::{Slot, mutant::mutant},
    thiserror::Error,
};

/// Votes from the oldest to the newest, and the newest slot that fell off the bottom of the full stack.
///
/// ```text
///   votes   1   2   3   4      a vote forbids other forks until slot + 2^confirmations
///   conf    4   3   2   1      vote 4 until 6, vote 3 until 7, vote 2 until 10, vote 1 until 17
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TowerState {
    pub votes: VecDeque<Lockout>,
    pub root: Option<Slot>,
}

/// What is wrong with a tower that did not come from voting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TowerFault {
    #[error("{0} votes, more than 31")]
    TooManyVotes(usize),
    #[error("the vote for slot {0} does not come after the one before it, or after the root")]
    SlotOrder(Slot),
    #[error("the vote for slot {0} has no confirmations, more than 31, or not fewer than the vote before it")]
    ConfirmationOrder(Slot),
    #[error("the last vote is for slot {last:?}, but the block voted for last is of slot {named:?}")]
    LastVote { last: Option<Slot>, named: Option<Slot> },
}

impl TowerState {
    pub fn last_voted_slot(&self) -> Option<Slot> {
        self.votes.back().map(Lockout::slot)
    }

    /// The `n`th newest vote, the newest being number 0.
    pub fn nth_recent(&self, n: usize) -> Option<&Lockout> {
        self.votes.iter().rev().nth(n)
    }

    pub fn after_vote(&self, slot: Slot) -> TowerState {
        let mut after = self.clone();
        after.vote(slot);
        after
    }

    /// Adds a vote. A slot that is not newer than the last vote changes nothing (agave tower_vote_state.rs).
    pub fn vote(&mut self, slot: Slot) {
        if self.last_voted_slot().is_some_and(|last| slot <= last) {
            return;
        }
        let expired_stay = usize::from(mutant("voter: an expired vote stays"));
        self.votes.truncate(self.live_at(slot) + expired_stay);
        if self.votes.len() == MAX_LOCKOUT_HISTORY {
            self.root = self.votes.pop_front().map(|oldest| oldest.slot());
        }
        self.votes.push_back(Lockout::new(slot));
        // A vote gains a confirmation only when the stack above it is higher than it ever was: after votes expired,
        // the ones that replace them confirm nothing new.
        let height = self.votes.len();
        for (index, vote) in self.votes.iter_mut().enumerate() {
            let early = usize::from(mutant("voter: lockouts grow too slowly"));
            if height > index.saturating_add(vote.confirmation_count() as usize + early) {
                vote.increase_confirmation_count(1);
            }
        }
    }

    /// How many votes, from the oldest on, still forbid something at `slot`. Expiry works from the newest vote down
    /// and stops at the first that is still locked, even if an older one below has expired.
    pub fn live_at(&self, slot: Slot) -> usize {
        self.votes.iter().rposition(|vote| vote.is_locked_out_at_slot(slot)).map_or(0, |index| index + 1)
    }

    /// Checks what every tower made by voting fulfils; a stored or received one may not.
    pub fn check(&self) -> Result<(), TowerFault> {
        if self.votes.len() > MAX_LOCKOUT_HISTORY {
            return Err(TowerFault::TooManyVotes(self.votes.len()));
        }
        let mut before = self.root;
        let mut confirmations_before = MAX_LOCKOUT_HISTORY as u32 + 1;
        for vote in &self.votes {
            if before.is_some_and(|slot| vote.slot() <= slot) {
                return Err(TowerFault::SlotOrder(vote.slot()));
            }
            if vote.confirmation_count() == 0 || vote.confirmation_count() >= confirmations_before {
                return Err(TowerFault::ConfirmationOrder(vote.slot()));
            }
            before = Some(vote.slot());
            confirmations_before = vote.confirmation_count();
        }
        Ok(())
    }
}
