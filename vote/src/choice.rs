//! Of all frozen blocks: which one to vote for, if any, and which one to build on.

use {
    crate::{
        Config, Hold, LastVote, TowerState,
        forks::{Forks, Node},
        info::{is_supermajority, on_path, path_to_root},
        propagation::Propagation,
        switch::{self, Switch},
        voters::Voters,
    },
    std::collections::BTreeSet,
    tandem_types::{BlockKey, Slot, mutant::mutant},
};

/// What a choice is made from. The tower holds no unrecorded vote.
pub(crate) struct Situation<'a> {
    pub config: &'a Config,
    pub forks: &'a Forks,
    pub voters: &'a Voters,
    pub rooted: &'a RootedSlots,
    pub tower: &'a TowerState,
    pub last: Option<&'a LastVote>,
    pub last_height: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub vote: Option<Vote>,
    /// `None`: stay where we are (the fork of the last vote is not in the tree, and we may not leave it).
    pub reset: Option<BlockKey>,
    /// The tip of the fork of the last vote: where a refreshed vote could land.
    pub same_fork: Option<BlockKey>,
    /// Why the heaviest block, newer than our last vote, is not voted for.
    pub hold: Option<Hold>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Vote {
    pub block: BlockKey,
    pub switch: bool,
}

impl Situation<'_> {
    /// Agave consensus/fork_choice.rs:select_vote_and_reset_forks.
    pub fn choose(&self, propagation: &mut Propagation) -> Choice {
        let heaviest = self.forks.heaviest();
        let same_fork = self.tip_of_last_vote();
        let last_is_rooted = self.last.is_some_and(|last| self.is_rooted(&last.block));
        let switch = switch::check(self.forks, self.voters, self.last, last_is_rooted, &heaviest);
        let (candidate, reset, hold) = match switch {
            Switch::SameFork => (Some((heaviest, false)), Some(heaviest), None),
            Switch::Proven => (Some((heaviest, true)), Some(heaviest), None),
            Switch::Failed { stake, total } => {
                // Build on our own fork meanwhile. If everybody who may not switch left the fork most had voted for,
                // because few of those votes had landed yet, nobody would make the block in which they could land.
                let hold = Hold::Switch { slot: heaviest.slot, stake, total };
                let candidate = same_fork.filter(|tip| !self.last_vote_can_land(tip)).map(|tip| (tip, false));
                (candidate, same_fork, Some(hold))
            }
            // Somebody has to start a fork without the duplicate, for both sides to switch to.
            Switch::Rollback { duplicate } => {
                (None, Some(heaviest), Some(Hold::DuplicateRollback { slot: heaviest.slot, duplicate }))
            }
        };
        let choice = Choice { vote: None, reset, same_fork, hold };
        let Some((block, switch)) = candidate else { return self.only_if_recent(choice, &heaviest) };
        if !self.is_recent(block.slot) {
            return self.only_if_recent(choice, &heaviest);
        }
        match self.forbidden(&block, propagation) {
            Some(hold) => self.only_if_recent(Choice { hold: choice.hold.or(Some(hold)), ..choice }, &heaviest),
            None => Choice { vote: Some(Vote { block, switch }), reset: Some(block), hold: None, ..choice },
        }
    }

    fn is_rooted(&self, block: &BlockKey) -> bool {
        *block == self.forks.root()
            || (block.slot < self.forks.root().slot && self.rooted.contains(block.slot, self.forks))
    }

    /// That an old block is not voted for needs no explanation.
    fn only_if_recent(&self, choice: Choice, heaviest: &BlockKey) -> Choice {
        Choice { hold: choice.hold.filter(|_| self.is_recent(heaviest.slot)), ..choice }
    }

    fn is_recent(&self, slot: Slot) -> bool {
        slot > self.forks.root().slot && self.tower.last_voted_slot().is_none_or(|last| slot > last)
    }

    /// Agave heaviest_subtree_fork_choice.rs:heaviest_slot_on_same_voted_fork. A fork with an unconfirmed duplicate
    /// is still built on: the block that shows it confirmed can only be made there.
    fn tip_of_last_vote(&self) -> Option<BlockKey> {
        let last = self.last?.block;
        let Some(node) = self.forks.get(&last) else {
            return self.is_rooted(&last).then(|| self.forks.heaviest());
        };
        if node.invalid_ancestor.is_none() { self.forks.best_of(&last) } else { self.forks.deepest_of(&last) }
    }

    /// Whether the last vote has landed behind `tip`, or a block behind it can still take it. If not, and if we may
    /// not switch, we vote for the tip of our own fork instead: that is no switch, and it can land.
    fn last_vote_can_land(&self, tip: &BlockKey) -> bool {
        let Some(last) = self.last.map(|last| last.block.slot) else { return true };
        let Some(info) = self.forks.get(tip).map(|node| &node.info) else { return true };
        let Some(landed) = info.our_last_landed else { return true };
        let distance = self.last_height.map_or(tip.slot.saturating_sub(last), |height| info.block_height - height);
        landed >= last || last >= tip.slot || distance <= SLOT_HASHES_MAX
    }

    /// Agave fork_choice.rs:can_vote_on_candidate_bank, consensus.rs:is_locked_out.
    fn forbidden(&self, block: &BlockKey, propagation: &mut Propagation) -> Option<Hold> {
        let path = path_to_root(self.forks, block);
        let is_ancestor = |slot: Slot| on_path(&path, slot).is_some() || self.rooted.contains(slot, self.forks);
        let slot = block.slot;
        let live = self.tower.votes.iter().take(self.tower.live_at(slot));
        if let Some(vote) = live.rev().find(|vote| !is_ancestor(vote.slot()))
            && !mutant("voter: lockouts are ignored")
            && !mutant("both: voter and check ignore lockouts")
        {
            return Some(Hold::LockedOut { slot, by: vote.slot(), until: vote.last_locked_out_slot() });
        }
        let after = self.tower.after_vote(slot);
        if let Some(root) = after.root.filter(|root| !is_ancestor(*root)) {
            return Some(Hold::RootMissing { slot, root });
        }
        if let Some(hold) = self.threshold(block, &after) {
            return Some(hold);
        }
        // Voting for our own block is what spreads it.
        let is_own = self.forks.get(block).is_some_and(|node| node.info.leader == self.config.identity);
        let missing = if is_own { None } else { propagation.missing(self.config, self.forks, self.voters, &path) };
        missing.map(|own| Hold::NotPropagated { slot, own: own.slot })
    }

    /// Before a vote's lockout grows to 2^9 slots, 2/3 of the stake must have landed votes for it or behind it.
    /// Agave computes shallower thresholds as well, to log them; they do not forbid anything (consensus.rs).
    fn threshold(&self, block: &BlockKey, after: &TowerState) -> Option<Hold> {
        let deep = after.nth_recent(THRESHOLD_DEPTH)?;
        // After a pause one vote can pop many, and the stack then grows again over votes that had passed already.
        let is_unchanged = self.tower.votes.contains(deep);
        if is_unchanged || deep.slot() <= self.forks.root().slot {
            return None;
        }
        let info = &self.forks.get(block)?.info;
        let stake = info.stake_voted(deep.slot());
        (!is_supermajority(stake, info.total_stake)).then_some(Hold::Threshold {
            slot: block.slot,
            deep: deep.slot(),
            stake,
            total: info.total_stake,
        })
    }
}

/// The slots of the rooted chain, root included, as far back as a tower may ask for them.
#[derive(Debug, Default)]
pub(crate) struct RootedSlots(BTreeSet<Slot>);

impl RootedSlots {
    /// Whether the rooted chain has a block at `slot`. A slot above the root is not rooted, whatever we were told.
    pub fn contains(&self, slot: Slot, forks: &Forks) -> bool {
        slot == forks.root().slot || (slot < forks.root().slot && self.0.contains(&slot))
    }

    pub fn extend(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.0.extend(slots);
    }

    /// Forgets what is long past, but nothing that `tower` has a vote for: its oldest lockouts last for years.
    pub fn trim(&mut self, root: Slot, tower: Option<&TowerState>) {
        let horizon = root.saturating_sub(ROOTED_SLOTS_KEPT);
        let is_voted = |slot: Slot| {
            tower.is_some_and(|tower| {
                tower.root == Some(slot) || tower.votes.binary_search_by_key(&slot, |vote| vote.slot()).is_ok()
            })
        };
        let recent = self.0.split_off(&horizon);
        self.0.retain(|slot| is_voted(*slot));
        self.0.extend(recent);
    }
}

/// The newest of our landed votes on any fork.
pub(crate) fn newest_landed(forks: &Forks) -> Option<(Slot, BlockKey)> {
    let landed = |(key, node): (&BlockKey, &Node)| node.info.our_last_landed.map(|slot| (slot, *key));
    forks.iter().filter_map(landed).max()
}

/// The ninth newest vote, the candidate included (agave consensus.rs:VOTE_THRESHOLD_DEPTH).
const THRESHOLD_DEPTH: usize = 8;
/// A vote lands only where its slot is in the SlotHashes sysvar: 512 blocks.
const SLOT_HASHES_MAX: u64 = 512;
/// A standby that is promoted has its tower's slots checked against these and against what `Adopt` says.
const ROOTED_SLOTS_KEPT: Slot = 8192;
