//! Has our own leader block been seen by enough of the cluster? Building and voting on behind our own unseen block
//! would leave us alone on a fork that nobody else has.

use {
    crate::{Config, forks::Forks, info::is_superminority, voters::Voters},
    std::collections::BTreeSet,
    tandem_types::{BlockKey, Pubkey},
};

/// Blocks of ours that more than a third of the stake has been seen to have.
#[derive(Debug, Default)]
pub(crate) struct Propagation {
    seen: BTreeSet<BlockKey>,
}

impl Propagation {
    /// The newest own block on `path` (newest first, the last one is the root) that is not known to have spread;
    /// `None` if there is none to wait for. The root has spread, by definition.
    pub fn missing(&mut self, config: &Config, forks: &Forks, voters: &Voters, path: &[BlockKey]) -> Option<BlockKey> {
        let unrooted = path.split_last().map_or(path, |(_root, above)| above);
        let own = unrooted.iter().find(|key| forks.get(key).is_some_and(|node| node.info.leader == config.identity))?;
        if self.seen.contains(own) {
            return None;
        }
        if !has_spread(config, forks, voters, own) {
            return Some(*own);
        }
        self.seen.insert(*own);
        None
    }

    pub fn forget_before(&mut self, root: BlockKey) {
        self.seen = self.seen.split_off(&root);
    }
}

/// Who has the block: ourselves, who voted for it or behind it (landed or in gossip), who built on it
/// (agave replay_stage.rs:update_fork_propagated_threshold_from_votes; agave asks EpochSlots as well).
fn has_spread(config: &Config, forks: &Forks, voters: &Voters, own: &BlockKey) -> bool {
    let Some(info) = forks.get(own).map(|node| &node.info) else { return true };
    let mut builders: BTreeSet<Pubkey> = BTreeSet::from([config.identity]);
    for (key, node) in forks.iter() {
        if key.slot > own.slot && forks.descends(key, own) {
            builders.insert(node.info.leader);
        }
    }
    let ours = voters.get(&config.vote_account);
    let stake = voters
        .iter()
        .filter(|(number, voter)| {
            let voted = [voter.landed.map(|(key, _)| key), voter.seen];
            Some(*number) == ours
                || builders.contains(&voter.node)
                || voted.into_iter().flatten().any(|key| forks.descends(&key, own))
        })
        .fold(0u64, |sum, (number, _)| sum.saturating_add(voters.stake(info.epoch, number)));
    info.total_stake == 0 || is_superminority(stake, info.total_stake)
}
