//! What the machine remembers of a frozen block.

use {
    crate::{FrozenBlock, TowerState, VoteTime, forks::Forks, voters::VoterIx},
    std::{collections::BTreeMap, sync::Arc},
    tandem_types::{BlockKey, Epoch, Hash, Pubkey, Slot},
};

#[derive(Debug)]
pub(crate) struct BlockInfo {
    pub block_id: Hash,
    pub last_blockhash: Hash,
    pub block_height: u64,
    pub epoch: Epoch,
    pub leader: Pubkey,
    pub total_stake: u64,
    /// The newest of our votes that landed in this block or before it on its fork.
    pub our_last_landed: Option<Slot>,
    pub our_timestamp: Option<VoteTime>,
    /// The largest slot that more than 2/3 of the stake has rooted, as this block sees it.
    pub majority_root: Option<Slot>,
    /// Stake by the newest unexpired vote of its owner, newest slot first, votes below the root left out.
    voted: Vec<(Slot, u64)>,
    /// All landed towers: the proof that leaving our fork is allowed is made of them. Only the tip of a fork needs
    /// them, so a block gives them up when it gets a child; else a long partition would hold gigabytes.
    pub towers: Vec<(VoterIx, Arc<TowerState>)>,
}

impl BlockInfo {
    /// `path`: the block's ancestors, newest first. `voters` are the indices of `block.votes`, in their order.
    pub fn new(block: &FrozenBlock, path: &[BlockKey], voters: &[VoterIx]) -> Self {
        Self {
            block_id: block.block_id,
            last_blockhash: block.last_blockhash,
            block_height: block.block_height,
            epoch: block.epoch,
            leader: block.leader,
            total_stake: block.total_stake,
            our_last_landed: block.our_landed.as_ref().and_then(|our| our.tower.last_voted_slot()),
            our_timestamp: block.our_landed.as_ref().and_then(|our| our.timestamp),
            majority_root: majority_root(block),
            voted: voted(block, path),
            towers: voters.iter().copied().zip(block.votes.iter().map(|vote| vote.tower.clone())).collect(),
        }
    }

    /// Stake that voted for `slot`, an ancestor of this block, or for a descendant of it on this fork. The votes that
    /// landed in a block all lie on its own fork, so a sum over slots is a sum over descendants.
    pub fn stake_voted(&self, slot: Slot) -> u64 {
        self.voted.iter().take_while(|(voted, _)| *voted >= slot).map(|(_, stake)| stake).sum()
    }
}

/// The position on `path` (newest first) of the block with this slot.
pub(crate) fn on_path(path: &[BlockKey], slot: Slot) -> Option<BlockKey> {
    path.binary_search_by(|key| slot.cmp(&key.slot)).ok().map(|index| path[index])
}

/// A block's ancestors within the tree, newest first, itself included.
pub(crate) fn path_to_root(forks: &Forks, tip: &BlockKey) -> Vec<BlockKey> {
    let mut path = vec![*tip];
    path.extend(forks.ancestors(tip));
    path
}

/// Agave consensus.rs:collect_vote_lockouts: votes that expired at this block's slot do not count, as a vote for the
/// block would pop them.
fn voted(block: &FrozenBlock, path: &[BlockKey]) -> Vec<(Slot, u64)> {
    let mut voted: BTreeMap<Slot, u64> = BTreeMap::new();
    for vote in &block.votes {
        let live = vote.tower.live_at(block.key.slot);
        let newest = live.checked_sub(1).and_then(|index| vote.tower.votes.get(index));
        if let Some(slot) = newest.map(|lockout| lockout.slot())
            && on_path(path, slot).is_some()
        {
            let stake = voted.entry(slot).or_default();
            *stake = stake.saturating_add(vote.stake);
        }
    }
    voted.into_iter().rev().collect()
}

/// Agave commitment_service.rs:get_highest_super_majority_root.
fn majority_root(block: &FrozenBlock) -> Option<Slot> {
    let mut rooted: BTreeMap<Slot, u64> = BTreeMap::new();
    for vote in &block.votes {
        if let Some(root) = vote.tower.root {
            let stake = rooted.entry(root).or_default();
            *stake = stake.saturating_add(vote.stake);
        }
    }
    let mut sum = 0u64;
    rooted.into_iter().rev().find_map(|(slot, stake)| {
        sum = sum.saturating_add(stake);
        is_supermajority(sum, block.total_stake).then_some(slot)
    })
}

/// More than 2/3 (agave VOTE_THRESHOLD_SIZE), exact where agave rounds in floating point.
pub(crate) fn is_supermajority(stake: u64, total: u64) -> bool {
    u128::from(stake) * 3 > u128::from(total) * 2
}

/// More than 52 %: 1 - 0.38 - 0.1 (agave replay_stage.rs:DUPLICATE_THRESHOLD).
pub(crate) fn is_duplicate_confirming(stake: u64, total: u64) -> bool {
    u128::from(stake) * 100 > u128::from(total) * 52
}

/// More than 38 % (agave consensus.rs:SWITCH_FORK_THRESHOLD).
pub(crate) fn is_switch_proof(stake: u64, total: u64) -> bool {
    u128::from(stake) * 100 > u128::from(total) * 38
}

/// More than 1/3 (agave replay_stage.rs:SUPERMINORITY_THRESHOLD).
pub(crate) fn is_superminority(stake: u64, total: u64) -> bool {
    u128::from(stake) * 3 > u128::from(total)
}
