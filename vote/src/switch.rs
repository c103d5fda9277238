//! May we leave the fork of our last vote? Only if more than 38 % of the stake is locked out on other forks, for then
//! what we voted for cannot have been confirmed by 2/3 of it.

use {
    crate::{
        LastVote,
        forks::Forks,
        info::{is_switch_proof, on_path, path_to_root},
        voters::{VoterIx, Voters},
    },
    std::collections::BTreeSet,
    tandem_types::{BlockKey, Slot},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Switch {
    SameFork,
    Proven,
    Failed {
        stake: u64,
        total: u64,
    },
    /// The last vote's fork contains an unconfirmed duplicate, and the candidate is an ancestor of the last vote.
    Rollback {
        duplicate: Slot,
    },
}

/// Agave consensus.rs:make_check_switch_threshold_decision. `last_is_rooted`: the last vote is the root or older, on
/// the rooted chain.
pub(crate) fn check(
    forks: &Forks,
    voters: &Voters,
    last: Option<&LastVote>,
    last_is_rooted: bool,
    candidate: &BlockKey,
) -> Switch {
    let Some(last) = last else { return Switch::SameFork };
    if last_is_rooted || forks.descends(candidate, &last.block) {
        return Switch::SameFork;
    }
    let Some(node) = forks.get(&last.block) else {
        return count(forks, voters, candidate, |tower_slot| tower_slot >= last.block.slot, &last.block, |_| true);
    };
    if let Some(duplicate) = node.invalid_ancestor
        && forks.descends(&last.block, candidate)
    {
        return Switch::Rollback { duplicate };
    }

    // Only forks that split from ours at, or before, the point where the candidate's does are evidence:
    //
    //        /-- Y -- last vote            locked out on `a` or `candidate`: counts
    //   W - X     \-- b                    locked out on `b`: does not, with respect to the candidate
    //    \   \-- a -- candidate            it is on our side
    //     \-- c                            locked out on `c`: counts
    let our_path = path_to_root(forks, &last.block);
    let ours: BTreeSet<BlockKey> = our_path.iter().copied().collect();
    let is_evidence = |tip: &BlockKey| {
        !forks.descends(tip, &last.block)
            && forks.ancestors(tip).find(|at| ours.contains(at)).is_some_and(|split| forks.descends(candidate, &split))
    };
    let root = forks.root().slot;
    let is_foreign = |slot: Slot| {
        // A vote for another version of our last vote's slot is not a vote for an ancestor of it.
        slot > root && (slot == last.block.slot || on_path(&our_path, slot).is_none())
    };
    count(forks, voters, candidate, is_foreign, &last.block, is_evidence)
}

/// Adds up the stake of voters with a lockout, landed in the tip of a fork, that reaches over our last vote, and of
/// voters with a newer vote on another fork that was only seen in gossip.
///
/// Where the last vote's block is not in the tree (dumped, or never received) nothing is known of its ancestors. Then
/// only votes for its slot or later ones count: those blocks are in the tree with all their ancestors, so they
/// neither descend from the missing block nor can they be ancestors of it. Agave counts more there.
fn count(
    forks: &Forks,
    voters: &Voters,
    candidate: &BlockKey,
    is_foreign: impl Fn(Slot) -> bool,
    last: &BlockKey,
    is_evidence: impl Fn(&BlockKey) -> bool,
) -> Switch {
    let Some(info) = forks.get(candidate).map(|node| &node.info) else { return Switch::Failed { stake: 0, total: 0 } };
    let total = info.total_stake;
    let mut counted: BTreeSet<VoterIx> = BTreeSet::new();
    let mut stake = 0u64;
    let mut add = |voter: VoterIx| {
        if counted.insert(voter) {
            stake = stake.saturating_add(voters.stake(info.epoch, voter));
        }
        stake
    };

    let mut sum = 0;
    for (tip, node) in forks.leaves() {
        if tip == last || tip.slot <= forks.root().slot || !is_evidence(tip) {
            continue;
        }
        for (voter, tower) in &node.info.towers {
            let mut live = tower.votes.iter().filter(|vote| vote.last_locked_out_slot() >= last.slot);
            if live.any(|vote| is_foreign(vote.slot())) {
                sum = add(*voter);
            }
        }
        if is_switch_proof(sum, total) {
            return Switch::Proven;
        }
    }
    for (voter, seen) in voters.iter() {
        if let Some(key) = seen.seen
            && key.slot > last.slot
            && forks.contains(&key)
            && is_evidence(&key)
        {
            sum = add(voter);
        }
    }
    if is_switch_proof(sum, total) { Switch::Proven } else { Switch::Failed { stake: sum, total } }
}
