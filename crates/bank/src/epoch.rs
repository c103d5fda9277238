//! What the first block of an epoch does (protocol.md 6.3; bank.rs:process_new_epoch), and the rewards of the blocks after it.

use {
    crate::{Bank, bank::EpochEntry, runtime},
    solana_account::AccountSharedData,
    solana_sdk_ids::sysvar,
    std::sync::{Arc, atomic::Ordering::Relaxed},
    tandem_epoch::{
        CommissionAccounts, EpochActivation, EpochRewards, EpochStakes, InflationInputs, MAX_EPOCH_STAKES_KEPT,
        RewardDistribution, RewardInfo, RewardInputs, RewardsCalculation, StakesCache, VoteAccounts, calculate_rewards,
        epoch_inflation_lamports, inflation_start_slot, partition_count, pay_commissions,
    },
    tandem_types::{Epoch, Pubkey},
};

impl Bank {
    pub(crate) fn begin_epoch(&mut self, parent_epoch: Epoch) {
        self.activate_pending_features();
        let (activation, admitted, calculation) = self.plan_epoch(parent_epoch);
        self.stakes
            .get_mut()
            .expect("invariant: no panic while the stakes are held")
            .activate_epoch(self.epoch, activation);
        let leader_schedule_epoch = self.chain.epoch_schedule.get_leader_schedule_epoch(self.slot);
        if !self.epoch_stakes.contains_key(&leader_schedule_epoch) {
            self.insert_epoch_stakes(EpochStakes::new(leader_schedule_epoch, admitted));
        }
        self.begin_rewards(&calculation);
        let environment = runtime::environment(&self.features)
            .expect("invariant: environments differ only by features the crate knows");
        self.processor.set_program_runtime_environment(environment);
    }

    /// Adds the stakes of an epoch that no ancestor prepared.
    pub(crate) fn add_epoch_stakes(&mut self, epoch: Epoch) {
        if !self.epoch_stakes.contains_key(&epoch) {
            self.insert_epoch_stakes(self.top_epoch_stakes(epoch));
        }
    }

    pub(crate) fn top_epoch_stakes(&self, epoch: Epoch) -> EpochStakes {
        let stakes = self.stakes.read().expect("invariant: no panic while the stakes are held");
        stakes.epoch_stakes(epoch, &self.epoch_features, &self.rent, self.slot_params.at(self.slot))
    }

    /// Pays the stake accounts whose turn it is in this block, if any.
    pub(crate) fn distribute_stake_rewards(&mut self) {
        let Some(distribution) = self.distribution.clone() else { return };
        let block = {
            let stakes = self.stakes.read().expect("invariant: no panic while the stakes are held");
            distribution.block(self.block_height, self.epoch, &stakes, &self.epoch_features, &self.rent)
        };
        let Some(block) = block else { return };
        let is_in_turn = self.block_height < distribution.first_block_height() + distribution.partitions() as u64;
        if is_in_turn {
            self.store_rewards(&block.accounts);
            self.capitalization.fetch_add(block.minted_lamports, Relaxed);
            let mut sysvar = self.epoch_rewards().expect("invariant: the sysvar exists while rewards are being paid");
            sysvar.distribute(block.accounted_lamports());
            self.write_epoch_rewards(&sysvar);
            // Rewards of zero move credits on; they are not part of the record.
            self.record_rewards(block.accounts.iter().filter(|(_, info, _)| info.lamports > 0));
        }
        if block.is_last {
            self.distribution = None;
            self.end_rewards();
        }
    }

    /// Computes everything from the state at the end of the old epoch before anything of the new one is written.
    fn plan_epoch(&self, rewarded_epoch: Epoch) -> (EpochActivation, VoteAccounts, RewardsCalculation) {
        let stakes = self.stakes.read().expect("invariant: no panic while the stakes are held");
        let activation = stakes.plan_epoch(self.epoch, &self.epoch_features.stake_math);
        let admitted = StakesCache::admitted_vote_accounts(
            &activation.vote_accounts,
            &self.epoch_features,
            &self.rent,
            self.slot_params.at(self.slot),
        );
        let votes_of = |epoch: Epoch| self.epoch_stakes.get(&epoch).map(|entry| entry.stakes.vote_accounts());
        let calculation = calculate_rewards(&RewardInputs {
            rewarded_epoch,
            epoch_lamports: epoch_inflation_lamports(&InflationInputs {
                inflation: &self.inflation,
                capitalization: self.capitalization.load(Relaxed),
                epoch: self.epoch,
                rewarded_epoch,
                start_slot: inflation_start_slot(&self.features),
                schedule: &self.chain.epoch_schedule,
                slot_params: &self.slot_params,
            }),
            stakes: &stakes,
            history: &activation.history,
            distribution_votes: &admitted,
            rewarded_votes: votes_of(self.epoch),
            snapshot_votes: votes_of(rewarded_epoch),
            features: self.epoch_features,
            rent: &self.rent,
        });
        (activation, admitted, calculation)
    }

    fn insert_epoch_stakes(&mut self, stakes: EpochStakes) {
        let epoch = stakes.epoch();
        let entry = Arc::new(EpochEntry::new(stakes, &self.chain.epoch_schedule));
        let entries = Arc::make_mut(&mut self.epoch_stakes);
        entries.retain(|kept, _| *kept >= epoch.saturating_sub(MAX_EPOCH_STAKES_KEPT - 1));
        entries.insert(epoch, entry);
    }

    /// Commissions now, stakes from the next block on.
    fn begin_rewards(&mut self, calculation: &RewardsCalculation) {
        let payments = pay_commissions(calculation, &self.epoch_features, &self.rent, Collectors(self));
        self.store_rewards(&payments.accounts);
        self.record_rewards(payments.accounts.iter());
        self.capitalization.fetch_add(payments.minted_lamports(), Relaxed);
        let stores_per_block = self.slot_params.at(self.slot).reward_stores_per_block;
        let (distribution, sysvar) = RewardDistribution::begin(
            calculation.stake_rewards.clone(),
            calculation.point_value,
            payments.accounted_lamports(),
            self.block_height,
            partition_count(calculation.stake_rewards.len(), stores_per_block, &self.chain.epoch_schedule, self.epoch),
            self.last_blockhash(),
        );
        self.distribution = Some(Arc::new(distribution));
        self.write_epoch_rewards(&sysvar);
    }

    fn end_rewards(&self) {
        let mut sysvar = self.epoch_rewards().expect("invariant: the sysvar exists while rewards are being paid");
        sysvar.active = false;
        let data = epoch_rewards_data(&sysvar);
        if self.epoch_features.block_revenue_sharing {
            // What is left of block rewards above the rent-exempt minimum is burned.
            self.store_sysvar_with(&sysvar::epoch_rewards::id(), data, crate::store::LAMPORTS_BEFORE_RENT);
        } else {
            self.store_sysvar(&sysvar::epoch_rewards::id(), data);
        }
    }

    fn epoch_rewards(&self) -> Option<EpochRewards> {
        self.sysvar(&sysvar::epoch_rewards::id())
    }

    fn write_epoch_rewards(&self, sysvar: &EpochRewards) {
        self.store_sysvar(&sysvar::epoch_rewards::id(), epoch_rewards_data(sysvar));
    }

    fn store_rewards(&self, rewards: &[(Pubkey, RewardInfo, AccountSharedData)]) {
        let accounts: Vec<_> = rewards.iter().map(|(pubkey, _, account)| (*pubkey, account.clone())).collect();
        self.store(&accounts);
    }

    fn record_rewards<'a>(&self, rewards: impl Iterator<Item = &'a (Pubkey, RewardInfo, AccountSharedData)>) {
        let mut record = self.rewards.lock().expect("invariant: no panic while the rewards are held");
        record.extend(rewards.map(|(pubkey, info, _)| (*pubkey, *info)));
    }
}

struct Collectors<'a>(&'a Bank);

impl CommissionAccounts for Collectors<'_> {
    fn load(&mut self, key: &Pubkey) -> Option<AccountSharedData> {
        self.0.load(key).map(|(account, _)| account)
    }

    fn is_reserved(&self, key: &Pubkey) -> bool {
        self.0.reserved.is_reserved(key)
    }
}

fn epoch_rewards_data(sysvar: &EpochRewards) -> Vec<u8> {
    crate::sysvars::serialized(sysvar, EPOCH_REWARDS_BYTES)
}

/// protocol.md 6.4.
const EPOCH_REWARDS_BYTES: usize = 81;
