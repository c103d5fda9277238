//! The stakes cache: what vote and stake accounts say, kept up to date after every transaction.

use {
    crate::{
        epoch_stakes::EpochStakes,
        features::{EpochFeatures, StakeMath},
        leader_schedule::SlotLeader,
        pubkey_map::PubkeyMap,
        slot_params::SlotParams,
        vote_account::VoteAccount,
        vote_accounts::{MAX_ADMITTED_VOTE_ACCOUNTS, VoteAccounts, admission_balance_min},
    },
    solana_account::{AccountSharedData, ReadableAccount},
    solana_rent::Rent,
    solana_sdk_ids::{stake, vote},
    solana_stake_interface::{
        stake_flags::StakeFlags,
        stake_history::{StakeHistory, StakeHistoryEntry},
        state::{Delegation, Meta, Stake, StakeActivationStatus, StakeStateV2},
    },
    std::sync::Arc,
    tandem_types::{Epoch, Pubkey},
};

/// A stake account that delegates, with its content read.
#[derive(Clone, PartialEq, Debug)]
pub struct StakeAccount(Arc<StakeInner>);

#[derive(PartialEq, Debug)]
struct StakeInner {
    account: AccountSharedData,
    meta: Meta,
    stake: Stake,
    flags: StakeFlags,
}

impl StakeAccount {
    /// `None` if the account is not the stake program's or delegates nothing.
    pub fn parse(account: &AccountSharedData) -> Option<Self> {
        if !stake::check_id(account.owner()) {
            return None;
        }
        match bincode::deserialize(account.data()).ok()? {
            StakeStateV2::Stake(meta, stake, flags) => {
                Some(Self(Arc::new(StakeInner { account: account.clone(), meta, stake, flags })))
            }
            StakeStateV2::Uninitialized | StakeStateV2::Initialized(_) | StakeStateV2::RewardsPool => None,
        }
    }

    pub fn account(&self) -> &AccountSharedData {
        &self.0.account
    }

    pub fn stake(&self) -> &Stake {
        &self.0.stake
    }

    pub fn delegation(&self) -> &Delegation {
        &self.0.stake.delegation
    }

    pub(crate) fn with_stake(&self, stake: Stake) -> StakeStateV2 {
        StakeStateV2::Stake(self.0.meta, stake, self.0.flags)
    }
}

/// Every vote account, every delegation, and the sums over them, as of one bank. Clone it for the child bank.
#[derive(Clone, PartialEq, Debug)]
pub struct StakesCache {
    vote_accounts: VoteAccounts,
    delegations: PubkeyMap<CachedStake>,
    /// Effective stake by vote account, also for accounts that do not exist: they may come back.
    delegated: PubkeyMap<u64>,
    epoch: Epoch,
    history: Arc<StakeHistory>,
}

#[derive(Clone, PartialEq, Debug)]
struct CachedStake {
    account: StakeAccount,
    /// What this delegation added to `delegated`, so that exactly that is taken away again.
    effective: u64,
}

/// What the first bank of an epoch needs before it may change its cache: rewards are computed from these.
#[derive(Clone, PartialEq, Debug)]
pub struct EpochActivation {
    pub history: Arc<StakeHistory>,
    /// All vote accounts, with the stakes of the new epoch.
    pub vote_accounts: VoteAccounts,
    delegations: PubkeyMap<CachedStake>,
    delegated: PubkeyMap<u64>,
}

impl StakesCache {
    /// The cache of slot 0, from every account of the genesis.
    pub fn from_genesis<'a>(
        accounts: impl IntoIterator<Item = (&'a Pubkey, &'a AccountSharedData)>,
        math: &StakeMath,
    ) -> Self {
        Self::restored(accounts, 0, StakeHistory::default(), math)
    }

    /// The cache of a bank that was loaded from a snapshot.
    pub fn restored<'a>(
        accounts: impl IntoIterator<Item = (&'a Pubkey, &'a AccountSharedData)>,
        epoch: Epoch,
        history: StakeHistory,
        math: &StakeMath,
    ) -> Self {
        let mut cache = Self {
            vote_accounts: VoteAccounts::default(),
            delegations: PubkeyMap::default(),
            delegated: PubkeyMap::default(),
            epoch,
            history: Arc::new(history),
        };
        for (key, account) in accounts {
            cache.update(key, account, math);
        }
        cache
    }

    /// Takes in an account a successful transaction (or the bank itself) wrote. Accounts of other owners are ignored: an
    /// account whose owner changes stays in the cache, as in agave (stakes.rs: check_and_store).
    pub fn update(&mut self, key: &Pubkey, account: &AccountSharedData, math: &StakeMath) {
        if vote::check_id(account.owner()) {
            match VoteAccount::parse(account) {
                Ok(parsed) if account.lamports() > 0 => {
                    let delegated = self.delegated.get(key).copied().unwrap_or_default();
                    self.vote_accounts.upsert(*key, parsed, delegated);
                }
                Ok(_) | Err(_) => self.vote_accounts.remove(key),
            }
        } else if stake::check_id(account.owner()) {
            let parsed = if account.lamports() > 0 { StakeAccount::parse(account) } else { None };
            self.replace_delegation(key, parsed, math);
        }
    }

    pub fn vote_accounts(&self) -> &VoteAccounts {
        &self.vote_accounts
    }

    /// In the order of the stake accounts' keys.
    pub fn delegations(&self) -> impl Iterator<Item = (&Pubkey, &StakeAccount)> {
        self.delegations.iter().map(|(key, cached)| (key, &cached.account))
    }

    pub fn delegation(&self, key: &Pubkey) -> Option<&StakeAccount> {
        self.delegations.get(key).map(|cached| &cached.account)
    }

    pub fn delegations_len(&self) -> usize {
        self.delegations.len()
    }

    pub fn history(&self) -> &StakeHistory {
        &self.history
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The leader of slot 0.
    pub fn highest_staked_node(&self) -> Option<SlotLeader> {
        let (vote, account) = self.vote_accounts.highest_staked()?;
        Some(SlotLeader { identity: *account.node(), vote: *vote })
    }

    /// Closes this epoch in the stake history and computes the stakes of `next_epoch`; changes nothing yet.
    pub fn plan_epoch(&self, next_epoch: Epoch, math: &StakeMath) -> EpochActivation {
        let mut closing = StakeActivationStatus::default();
        for (_, stake) in self.delegations() {
            closing = add_status(closing, math.status(stake.delegation(), self.epoch, &self.history));
        }
        let mut history = StakeHistory::clone(&self.history);
        history.add(
            self.epoch,
            StakeHistoryEntry {
                effective: closing.effective,
                activating: closing.activating,
                deactivating: closing.deactivating,
            },
        );
        let mut delegated = PubkeyMap::default();
        let delegations = self
            .delegations()
            .map(|(key, account)| {
                let effective = math.effective(account.delegation(), next_epoch, &history);
                add_stake(&mut delegated, &account.delegation().voter_pubkey, effective);
                (*key, CachedStake { account: account.clone(), effective })
            })
            .collect();
        let vote_accounts = self
            .vote_accounts
            .iter()
            .map(|(vote, _, account)| (*vote, (delegated.get(vote).copied().unwrap_or_default(), account.clone())))
            .collect();
        EpochActivation { history: Arc::new(history), vote_accounts, delegations, delegated }
    }

    /// Enters `next_epoch` with what `plan_epoch` computed from this very cache.
    pub fn activate_epoch(&mut self, next_epoch: Epoch, activation: EpochActivation) {
        let EpochActivation { history, vote_accounts, delegations, delegated } = activation;
        *self = Self { vote_accounts, delegations, delegated, epoch: next_epoch, history };
    }

    /// The vote accounts that count for an epoch's stakes: filtered if the admission ticket is active.
    pub fn admitted_vote_accounts(
        vote_accounts: &VoteAccounts,
        features: &EpochFeatures,
        rent: &Rent,
        params: &SlotParams,
    ) -> VoteAccounts {
        if features.validator_admission_ticket {
            vote_accounts.admitted(MAX_ADMITTED_VOTE_ACCOUNTS, admission_balance_min(rent, features, params))
        } else {
            vote_accounts.clone()
        }
    }

    /// The stakes for `leader_schedule_epoch` as this cache has them now (slot 0, and epochs nobody prepared).
    pub fn epoch_stakes(
        &self,
        leader_schedule_epoch: Epoch,
        features: &EpochFeatures,
        rent: &Rent,
        params: &SlotParams,
    ) -> EpochStakes {
        let admitted = Self::admitted_vote_accounts(&self.vote_accounts, features, rent, params);
        EpochStakes::new(leader_schedule_epoch, admitted)
    }

    fn replace_delegation(&mut self, key: &Pubkey, account: Option<StakeAccount>, math: &StakeMath) {
        let added = account.map(|account| {
            let effective = math.effective(account.delegation(), self.epoch, &self.history);
            CachedStake { account, effective }
        });
        let new = added.as_ref().map(|cached| (cached.account.delegation().voter_pubkey, cached.effective));
        let old = match added {
            Some(cached) => self.delegations.insert(*key, cached),
            None => self.delegations.remove(key),
        };
        let old = old.map(|cached| (cached.account.delegation().voter_pubkey, cached.effective));
        if old == new {
            return;
        }
        if let Some((vote, effective)) = old {
            sub_stake(&mut self.delegated, &vote, effective);
            self.refresh_vote_stake(&vote);
        }
        if let Some((vote, effective)) = new {
            add_stake(&mut self.delegated, &vote, effective);
            self.refresh_vote_stake(&vote);
        }
    }

    fn refresh_vote_stake(&mut self, vote: &Pubkey) {
        self.vote_accounts.set_stake(vote, self.delegated.get(vote).copied().unwrap_or_default());
    }
}

fn add_status(sum: StakeActivationStatus, more: StakeActivationStatus) -> StakeActivationStatus {
    StakeActivationStatus {
        effective: sum.effective.saturating_add(more.effective),
        activating: sum.activating.saturating_add(more.activating),
        deactivating: sum.deactivating.saturating_add(more.deactivating),
    }
}

fn add_stake(delegated: &mut PubkeyMap<u64>, vote: &Pubkey, stake: u64) {
    if stake > 0 {
        let sum = delegated.get(vote).copied().unwrap_or_default().saturating_add(stake);
        delegated.insert(*vote, sum);
    }
}

fn sub_stake(delegated: &mut PubkeyMap<u64>, vote: &Pubkey, stake: u64) {
    let left = delegated.get(vote).copied().unwrap_or_default().saturating_sub(stake);
    if left > 0 {
        delegated.insert(*vote, left);
    } else {
        delegated.remove(vote);
    }
}

#[cfg(test)]
mod tests;
