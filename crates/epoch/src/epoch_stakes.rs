//! The stakes that count in one epoch: fixed when the epoch's leader schedule is, whatever happens to accounts later.

use {
    crate::{vote_account::VoteAccount, vote_accounts::VoteAccounts},
    std::{collections::BTreeMap, sync::Arc},
    tandem_types::{Epoch, Pubkey},
};

/// Vote accounts of one identity that may vote in the epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeVoteAccounts {
    /// In the order of their keys.
    pub vote_accounts: Vec<Pubkey>,
    pub stake: u64,
}

/// Cheap to clone.
#[derive(Clone, PartialEq, Debug)]
pub struct EpochStakes {
    epoch: Epoch,
    vote_accounts: VoteAccounts,
    total_stake: u64,
    nodes: Arc<BTreeMap<Pubkey, NodeVoteAccounts>>,
    staked_nodes: Arc<BTreeMap<Pubkey, u64>>,
    authorized_voters: Arc<BTreeMap<Pubkey, Pubkey>>,
}

impl EpochStakes {
    /// `epoch` is the one these stakes are for (the leader schedule epoch), not the one they were taken in.
    pub fn new(epoch: Epoch, vote_accounts: VoteAccounts) -> Self {
        let mut total_stake = 0_u64;
        let mut nodes = BTreeMap::<Pubkey, NodeVoteAccounts>::new();
        let mut authorized_voters = BTreeMap::new();
        for (vote, stake, account) in vote_accounts.iter().filter(|(_, stake, _)| *stake > 0) {
            total_stake = total_stake.saturating_add(stake);
            if let Some(voter) = account.state().authorized_voter(epoch) {
                let node = nodes.entry(*account.node()).or_default();
                node.stake = node.stake.saturating_add(stake);
                node.vote_accounts.push(*vote);
                authorized_voters.insert(*vote, *voter);
            }
        }
        let staked_nodes = Arc::new(vote_accounts.staked_nodes());
        Self {
            epoch,
            vote_accounts,
            total_stake,
            nodes: Arc::new(nodes),
            staked_nodes,
            authorized_voters: Arc::new(authorized_voters),
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn vote_accounts(&self) -> &VoteAccounts {
        &self.vote_accounts
    }

    pub fn total_stake(&self) -> u64 {
        self.total_stake
    }

    /// The account and its stake.
    pub fn vote_account(&self, vote: &Pubkey) -> Option<(u64, &VoteAccount)> {
        self.vote_accounts.get(vote).map(|account| (self.vote_accounts.stake(vote), account))
    }

    pub fn vote_account_stake(&self, vote: &Pubkey) -> u64 {
        self.vote_accounts.stake(vote)
    }

    /// Identity behind a vote account.
    pub fn node_of(&self, vote: &Pubkey) -> Option<&Pubkey> {
        self.vote_accounts.get(vote).map(VoteAccount::node)
    }

    /// Who may sign votes of `vote` in this epoch.
    pub fn authorized_voter(&self, vote: &Pubkey) -> Option<&Pubkey> {
        self.authorized_voters.get(vote)
    }

    pub fn authorized_voters(&self) -> &Arc<BTreeMap<Pubkey, Pubkey>> {
        &self.authorized_voters
    }

    /// Identities with accounts that may vote.
    pub fn nodes(&self) -> &Arc<BTreeMap<Pubkey, NodeVoteAccounts>> {
        &self.nodes
    }

    pub fn node_stake(&self, node: &Pubkey) -> Option<u64> {
        self.nodes.get(node).map(|node| node.stake)
    }

    /// Stake by identity, also of accounts nobody may vote with: the weights of turbine and gossip.
    pub fn staked_nodes(&self) -> &Arc<BTreeMap<Pubkey, u64>> {
        &self.staked_nodes
    }
}

/// A bank forgets the stakes of epochs this many before the one it adds (bank.rs: MAX_LEADER_SCHEDULE_STAKES).
pub const MAX_EPOCH_STAKES_KEPT: u64 = 5;

#[cfg(test)]
mod tests {
    use {super::*, crate::test_accounts::vote_account_with_voters};

    #[test]
    fn sums_by_node_and_by_account() {
        let node = Pubkey::new_from_array([9; 32]);
        let voter = Pubkey::new_from_array([8; 32]);
        let votes = [1, 2, 3, 4].map(|key| Pubkey::new_from_array([key; 32]));
        let stakes = EpochStakes::new(
            7,
            [
                (votes[0], (10, vote_account_with_voters(node, &[(3, node), (7, voter)]))),
                (votes[1], (20, vote_account_with_voters(node, &[(8, voter)]))),
                (votes[2], (5, vote_account_with_voters(voter, &[(0, voter)]))),
                (votes[3], (0, vote_account_with_voters(node, &[(0, voter)]))),
            ]
            .into_iter()
            .collect(),
        );
        assert_eq!(stakes.total_stake(), 35);
        assert_eq!(stakes.authorized_voter(&votes[0]), Some(&voter));
        // Nobody may vote with the second account before epoch 8, yet its stake weighs in turbine.
        assert_eq!(stakes.authorized_voter(&votes[1]), None);
        assert_eq!(stakes.node_stake(&node), Some(10));
        assert_eq!(stakes.staked_nodes()[&node], 30);
        assert_eq!(stakes.nodes()[&node].vote_accounts, [votes[0]]);
        assert_eq!(stakes.authorized_voter(&votes[3]), None);
        assert_eq!(stakes.node_of(&votes[2]), Some(&voter));
    }
}
