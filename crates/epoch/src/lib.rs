//! Arithmetic over stake and vote accounts: who leads, who has which weight, who is paid, what time it is.
//! Owns: stakes cache, epoch stakes, admission filter, leader schedule, slot parameters, inflation, rewards, clock estimate.
//! Never knows: accounts stores, transactions, networks.   In: accounts, votes, features.  Out: weights and accounts to write.
//! Read first: `stakes.rs`, then `epoch_stakes.rs`, `rewards.rs`.
//! Must match: solana-runtime 4.2.2 (stakes.rs, slot_params.rs, inflation_rewards, partitioned_epoch_rewards).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod distribution;
mod epoch_stakes;
mod features;
mod inflation;
mod leader_schedule;
mod points;
mod pubkey_map;
mod rewards;
mod slot_params;
mod stakes;
#[cfg(test)]
mod test_accounts;
mod vote_account;
mod vote_accounts;
mod vote_layout;
mod weighted_index;

pub use clock::{TimestampInputs, next_clock, timestamp_estimate};
pub use distribution::{BlockRewards, RewardDistribution, commission_collector_valid, partition_count};
pub use epoch_stakes::{EpochStakes, MAX_EPOCH_STAKES_KEPT, NodeVoteAccounts};
pub use features::{EpochFeatures, StakeMath};
pub use inflation::{InflationInputs, epoch_inflation_lamports, inflation_start_slot};
pub use leader_schedule::{LeaderSchedule, ScheduleError, SlotLeader};
pub use points::PointValue;
pub use pubkey_map::PubkeyMap;
pub use rewards::{
    Commission, CommissionAccounts, CommissionPayments, RewardInfo, RewardInputs, RewardsCalculation, StakeReward,
    calculate_rewards, pay_commissions, recalculate_stake_rewards,
};
pub use slot_params::{CostLimits, SlotParams, SlotParamsTable};
pub use stakes::{EpochActivation, StakeAccount, StakesCache};
pub use vote_account::{VoteAccount, VoteAccountError};
pub use vote_accounts::{MAX_ADMITTED_VOTE_ACCOUNTS, VoteAccounts, admission_balance_min};
pub use vote_layout::{EpochCredits, LandedVote, VoteLayoutError, VoteState, VoteStateVersion};
pub use weighted_index::WeightedIndex;

pub use solana_epoch_rewards::EpochRewards;
pub use solana_reward_info::RewardType;
pub use solana_stake_interface::stake_history::{StakeHistory, StakeHistoryEntry};
