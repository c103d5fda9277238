//! Vote accounts with the stake delegated to each, and the admission filter over them.

use {
    crate::{features::EpochFeatures, pubkey_map::PubkeyMap, slot_params::SlotParams, vote_account::VoteAccount},
    solana_rent::Rent,
    solana_vote_interface::state::VoteStateV4,
    std::{cmp::Reverse, collections::BTreeMap},
    tandem_types::Pubkey,
};

/// Cheap to clone; iteration is in the order of the vote accounts' keys.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct VoteAccounts {
    accounts: PubkeyMap<(u64, VoteAccount)>,
}

impl VoteAccounts {
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub fn get(&self, vote: &Pubkey) -> Option<&VoteAccount> {
        self.accounts.get(vote).map(|(_, account)| account)
    }

    /// Stake delegated to `vote`; 0 if there is no such account.
    pub fn stake(&self, vote: &Pubkey) -> u64 {
        self.accounts.get(vote).map_or(0, |(stake, _)| *stake)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Pubkey, u64, &VoteAccount)> {
        self.accounts.iter().map(|(vote, (stake, account))| (vote, *stake, account))
    }

    /// Stake by identity, over accounts that have any.
    pub fn staked_nodes(&self) -> BTreeMap<Pubkey, u64> {
        let mut nodes = BTreeMap::<Pubkey, u64>::new();
        for (_, stake, account) in self.iter().filter(|(_, stake, _)| *stake > 0) {
            let sum = nodes.entry(*account.node()).or_default();
            *sum = sum.saturating_add(stake);
        }
        nodes
    }

    /// The account with the most stake; among equals the one with the greatest key. It leads slot 0.
    pub fn highest_staked(&self) -> Option<(&Pubkey, &VoteAccount)> {
        self.iter().max_by_key(|(vote, stake, _)| (*stake, **vote)).map(|(vote, _, account)| (vote, account))
    }

    /// SIMD-0357: the `count_max` most staked accounts that have a BLS key, stake, and `balance_min` lamports. If the cut
    /// falls between equals, all of them are out: a key must not decide (solana-vote vote_account.rs: clone_and_filter_for_vat).
    pub fn admitted(&self, count_max: usize, balance_min: u64) -> VoteAccounts {
        let mut candidates: Vec<_> = self
            .iter()
            .filter(|(_, stake, account)| {
                *stake > 0 && account.state().bls_pubkey.is_some() && account.lamports() >= balance_min
            })
            .collect();
        if candidates.len() > count_max {
            let (_, first_out, _) = candidates.select_nth_unstable_by_key(count_max, |(_, stake, _)| Reverse(*stake));
            let floor = first_out.1;
            candidates.retain(|(_, stake, _)| *stake > floor);
        }
        candidates.into_iter().map(|(vote, stake, account)| (*vote, (stake, account.clone()))).collect()
    }

    pub(crate) fn upsert(&mut self, vote: Pubkey, account: VoteAccount, stake_if_new: u64) {
        let stake = self.accounts.get(&vote).map_or(stake_if_new, |(stake, _)| *stake);
        self.accounts.insert(vote, (stake, account));
    }

    pub(crate) fn remove(&mut self, vote: &Pubkey) {
        self.accounts.remove(vote);
    }

    pub(crate) fn set_stake(&mut self, vote: &Pubkey, stake: u64) {
        if let Some((current, _)) = self.accounts.get_mut(vote) {
            *current = stake;
        }
    }
}

impl FromIterator<(Pubkey, (u64, VoteAccount))> for VoteAccounts {
    fn from_iter<I: IntoIterator<Item = (Pubkey, (u64, VoteAccount))>>(entries: I) -> Self {
        Self { accounts: entries.into_iter().collect() }
    }
}

/// Lamports a vote account must hold to be admitted. Under Alpenglow it must also afford one epoch's ticket.
pub fn admission_balance_min(rent: &Rent, features: &EpochFeatures, params: &SlotParams) -> u64 {
    let rent_min = rent.minimum_balance(VoteStateV4::size_of());
    if features.alpenglow { rent_min.saturating_add(params.admission_ticket_lamports) } else { rent_min }
}

/// Agave bank.rs: MAX_ALPENGLOW_VOTE_ACCOUNTS.
pub const MAX_ADMITTED_VOTE_ACCOUNTS: usize = 2_000;

#[cfg(test)]
mod tests {
    use {super::*, crate::test_accounts::vote_account};

    fn accounts(entries: &[(u8, u64, bool, u64)]) -> VoteAccounts {
        entries
            .iter()
            .map(|&(key, stake, bls, lamports)| {
                let vote = Pubkey::new_from_array([key; 32]);
                (
                    vote,
                    (stake, vote_account(Pubkey::new_from_array([key + 100; 32]), bls.then_some([key; 48]), lamports)),
                )
            })
            .collect()
    }

    fn keys(accounts: &VoteAccounts) -> Vec<u8> {
        accounts.iter().map(|(vote, ..)| vote.to_bytes()[0]).collect()
    }

    #[test]
    fn admission_wants_stake_key_and_balance() {
        let all = accounts(&[(1, 10, true, 100), (2, 0, true, 100), (3, 10, false, 100), (4, 10, true, 99)]);
        assert_eq!(keys(&all.admitted(10, 100)), [1]);
    }

    #[test]
    fn equals_at_the_cut_are_all_out() {
        let all = accounts(&[(1, 30, true, 1), (2, 20, true, 1), (3, 20, true, 1), (4, 10, true, 1)]);
        assert_eq!(keys(&all.admitted(4, 1)), [1, 2, 3, 4]);
        assert_eq!(keys(&all.admitted(3, 1)), [1, 2, 3]);
        assert_eq!(keys(&all.admitted(2, 1)), [1]);
        let equal = accounts(&[(1, 20, true, 1), (2, 20, true, 1)]);
        assert!(equal.admitted(1, 1).is_empty());
    }

    #[test]
    fn highest_staked_prefers_the_greater_key() {
        let all = accounts(&[(1, 30, true, 1), (2, 30, true, 1), (3, 20, true, 1)]);
        assert_eq!(all.highest_staked().unwrap().0.to_bytes()[0], 2);
        assert_eq!(all.staked_nodes().values().sum::<u64>(), 80);
    }
}
