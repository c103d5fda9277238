//! Stake rewards, spread over the blocks at the start of an epoch.

use {
    crate::{
        features::EpochFeatures,
        points::PointValue,
        rewards::{RewardInfo, StakeReward},
        stakes::{StakeAccount, StakesCache},
    },
    solana_account::{AccountSharedData, ReadableAccount, WritableAccount},
    solana_epoch_rewards::EpochRewards,
    solana_epoch_rewards_hasher::EpochRewardsHasher,
    solana_epoch_schedule::EpochSchedule,
    solana_rent::Rent,
    solana_reward_info::RewardType,
    solana_sdk_ids::{incinerator, system_program},
    std::sync::Arc,
    tandem_types::{Epoch, Hash, Pubkey},
};

/// Which stake rewards are paid in which block. Cheap to clone; a bank keeps it until its last block is done.
#[derive(Clone, PartialEq, Debug)]
pub struct RewardDistribution {
    first_block_height: u64,
    rewards: Arc<Vec<StakeReward>>,
    /// For each block the indexes into `rewards`.
    partitions: Arc<Vec<Vec<usize>>>,
}

/// What one block writes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BlockRewards {
    /// Accounts to store. Rewards of zero are stored too (credits moved on) but are not part of the record.
    pub accounts: Vec<(Pubkey, RewardInfo, AccountSharedData)>,
    pub minted_lamports: u64,
    pub burned_lamports: u64,
    /// The sysvar becomes inactive in this block, after the payments.
    pub is_last: bool,
}

impl BlockRewards {
    /// What counts as distributed in the sysvar.
    pub fn accounted_lamports(&self) -> u64 {
        self.minted_lamports.saturating_add(self.burned_lamports)
    }

    /// The sysvar's content after this block. (Agave writes it twice in the last block; only the second write is seen.)
    pub fn advance(&self, sysvar: &EpochRewards) -> EpochRewards {
        let mut next = sysvar.clone();
        next.distributed_rewards = next.distributed_rewards.saturating_add(self.accounted_lamports());
        assert!(next.distributed_rewards <= next.total_rewards, "more was paid than the epoch's inflation: {next:?}");
        next.active = !self.is_last;
        next
    }
}

impl RewardDistribution {
    /// For the first block of the epoch, at `block_height`, after commissions of `commission_lamports`. Returns the sysvar's
    /// content as well. `parent_blockhash` is the last blockhash of the parent block.
    pub fn begin(
        rewards: Arc<Vec<StakeReward>>,
        point_value: PointValue,
        commission_lamports: u64,
        block_height: u64,
        partitions: u64,
        parent_blockhash: Hash,
    ) -> (Self, EpochRewards) {
        let sysvar = EpochRewards {
            distribution_starting_block_height: block_height.saturating_add(BLOCKS_OF_CALCULATION),
            num_partitions: partitions,
            parent_blockhash,
            total_points: point_value.points,
            total_rewards: point_value.rewards,
            distributed_rewards: commission_lamports,
            active: true,
        };
        (Self::resume(rewards, &sysvar), sysvar)
    }

    /// From the sysvar's content: after a start from a snapshot.
    pub fn resume(rewards: Arc<Vec<StakeReward>>, sysvar: &EpochRewards) -> Self {
        // The sysvar is the bank's own; the count is at most a tenth of an epoch's slots.
        let count = usize::try_from(sysvar.num_partitions).expect("invariant: a partition is a block of one epoch");
        let hasher = EpochRewardsHasher::new(count, &sysvar.parent_blockhash);
        let mut partitions = vec![Vec::new(); count];
        for (index, reward) in rewards.iter().enumerate() {
            partitions[hasher.clone().hash_address_to_partition(&reward.stake_account)].push(index);
        }
        Self {
            first_block_height: sysvar.distribution_starting_block_height,
            rewards,
            partitions: Arc::new(partitions),
        }
    }

    pub fn first_block_height(&self) -> u64 {
        self.first_block_height
    }

    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// The rewards of the block at `block_height` of epoch `epoch`; `None` before the distribution begins.
    /// The accounts are taken from `stakes`, which is up to date.
    pub fn block(
        &self,
        block_height: u64,
        epoch: Epoch,
        stakes: &StakesCache,
        features: &EpochFeatures,
        rent: &Rent,
    ) -> Option<BlockRewards> {
        let index = usize::try_from(block_height.checked_sub(self.first_block_height)?).unwrap_or(usize::MAX);
        let mut block =
            BlockRewards { is_last: index.saturating_add(1) >= self.partitions.len(), ..Default::default() };
        for reward in self.partitions.get(index).into_iter().flatten() {
            let reward = &self.rewards[*reward];
            let paid = stakes
                .delegation(&reward.stake_account)
                .and_then(|account| pay(reward, account, epoch, stakes, features, rent));
            match paid {
                Some((info, account)) => {
                    block.minted_lamports = block.minted_lamports.saturating_add(reward.lamports);
                    block.accounts.push((reward.stake_account, info, account));
                }
                None => block.burned_lamports = block.burned_lamports.saturating_add(reward.lamports),
            }
        }
        Some(block)
    }
}

/// Blocks the stake rewards are spread over: at most a tenth of the epoch's slots (mod.rs: get_reward_distribution_num_blocks).
pub fn partition_count(rewards: usize, stores_per_block: u64, schedule: &EpochSchedule, epoch: Epoch) -> u64 {
    if schedule.warmup && epoch < schedule.first_normal_epoch {
        return 1;
    }
    (rewards as u64).div_ceil(stores_per_block.max(1)).clamp(1, (schedule.slots_per_epoch / 10).max(1))
}

/// SIMD-0232: who may collect, other than a vote account for itself (fee_distribution.rs: collector_type_checked).
/// `account` is the collector after the deposit, `lamports_before` what it had.
pub fn commission_collector_valid(
    collector: &Pubkey,
    lamports_before: u64,
    account: &AccountSharedData,
    is_reserved: bool,
    rent: &Rent,
    relax_post_exec_min_balance_check: bool,
) -> bool {
    if !system_program::check_id(account.owner()) || is_reserved {
        return false;
    }
    incinerator::check_id(collector)
        || rent.is_exempt(account.lamports(), account.data().len())
        || (relax_post_exec_min_balance_check && lamports_before > 0)
}

/// The account with its reward (distribution.rs: build_updated_stake_reward).
fn pay(
    reward: &StakeReward,
    current: &StakeAccount,
    epoch: Epoch,
    stakes: &StakesCache,
    features: &EpochFeatures,
    rent: &Rent,
) -> Option<(RewardInfo, AccountSharedData)> {
    let mut account = current.account().clone();
    account.checked_add_lamports(reward.lamports).ok()?;
    let mut stake = reward.stake;
    if features.relax_post_exec_min_balance_check {
        let spendable = account.lamports().saturating_sub(rent.minimum_balance(account.data().len()));
        if stake.delegation.stake > spendable {
            stake.delegation.stake = spendable;
            // Nothing is left to delegate: the stake ends at once, in the epoch that was paid.
            if spendable == 0 {
                stake.delegation.deactivation_epoch = epoch.saturating_sub(1);
            }
        }
    }
    let data = bincode::serialize(&current.with_stake(stake)).ok()?;
    account.data_as_mut_slice().get_mut(..data.len())?.copy_from_slice(&data);
    let effective = features.stake_math.effective(&stake.delegation, epoch, stakes.history());
    let info = RewardInfo {
        reward_type: if effective == 0 { RewardType::DeactivatedStake } else { RewardType::Staking },
        lamports: i64::try_from(reward.lamports).ok()?,
        post_balance: account.lamports(),
        commission_bps: reward.commission_bps,
    };
    Some((info, account))
}

/// The block that calculates pays no stakes (mod.rs: REWARD_CALCULATION_NUM_BLOCKS).
const BLOCKS_OF_CALCULATION: u64 = 1;

#[cfg(test)]
mod tests;
