//! Rewards of an epoch: computed once by its first block, commissions paid there, stakes paid in the blocks after it.

use {
    crate::{
        distribution::commission_collector_valid,
        features::EpochFeatures,
        points::{Balance, PointRules, PointValue},
        stakes::{StakeAccount, StakesCache},
        vote_account::VoteAccount,
        vote_accounts::VoteAccounts,
    },
    rayon::prelude::*,
    solana_account::{AccountSharedData, ReadableAccount, WritableAccount},
    solana_rent::Rent,
    solana_reward_info::RewardType,
    solana_sdk_ids::incinerator,
    solana_stake_interface::{stake_history::StakeHistory, state::Stake},
    std::{collections::BTreeMap, sync::Arc},
    tandem_types::{Epoch, Pubkey},
};

/// What the rewards of `rewarded_epoch` are computed from.
#[derive(Clone, Copy, Debug)]
pub struct RewardInputs<'a> {
    /// The epoch that ended with the parent block.
    pub rewarded_epoch: Epoch,
    /// From `epoch_inflation_lamports`.
    pub epoch_lamports: u64,
    /// The cache before it enters the new epoch: all delegations.
    pub stakes: &'a StakesCache,
    /// With the entry of `rewarded_epoch` (`EpochActivation::history`).
    pub history: &'a StakeHistory,
    /// Vote accounts at the end of the rewarded epoch, admitted ones only; their credits count.
    pub distribution_votes: &'a VoteAccounts,
    /// Epoch stakes of the epoch that begins: vote accounts at the start of the rewarded epoch.
    pub rewarded_votes: Option<&'a VoteAccounts>,
    /// Epoch stakes of the rewarded epoch: vote accounts one epoch earlier still; their commission counts.
    pub snapshot_votes: Option<&'a VoteAccounts>,
    pub features: EpochFeatures,
    pub rent: &'a Rent,
}

/// A stake account to be written in one of the blocks to come.
#[derive(Clone, PartialEq, Debug)]
pub struct StakeReward {
    pub stake_account: Pubkey,
    /// The stake as it will be, before the adjustment for rent.
    pub stake: Stake,
    pub lamports: u64,
    /// For the record of rewards; `None` once collectors can be chosen.
    pub commission_bps: Option<u16>,
}

/// Commission for one collector, over all stakes of the vote accounts that named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commission {
    pub commission_bps: Option<u16>,
    pub lamports: u64,
    pub burned_lamports: u64,
    /// The collector is the vote account itself, which needs no check.
    pub is_vote_account: bool,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct RewardsCalculation {
    pub point_value: PointValue,
    pub commissions: BTreeMap<Pubkey, Commission>,
    /// In the order of the stake accounts' keys.
    pub stake_rewards: Arc<Vec<StakeReward>>,
    pub stake_lamports: u64,
}

/// One line of a block's record of rewards (what getBlock and getInflationReward answer).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RewardInfo {
    pub reward_type: RewardType,
    pub lamports: i64,
    pub post_balance: u64,
    pub commission_bps: Option<u16>,
}

/// What the first block of the epoch writes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CommissionPayments {
    pub accounts: Vec<(Pubkey, RewardInfo, AccountSharedData)>,
    pub distributed_lamports: u64,
    pub incinerator_lamports: u64,
    pub burned_lamports: u64,
}

impl CommissionPayments {
    /// What the EpochRewards sysvar counts as distributed in the first block.
    pub fn accounted_lamports(&self) -> u64 {
        self.distributed_lamports.saturating_add(self.incinerator_lamports).saturating_add(self.burned_lamports)
    }

    /// What the first block adds to the capitalization; the incinerator takes its part away again at freeze.
    pub fn minted_lamports(&self) -> u64 {
        self.distributed_lamports.saturating_add(self.incinerator_lamports)
    }
}

/// Points, commissions and stake rewards of the epoch (calculation.rs: calculate_validator_rewards). Nobody earned a
/// point: an empty calculation with a point value of zero.
pub fn calculate_rewards(inputs: &RewardInputs<'_>) -> RewardsCalculation {
    let delegations = delegations(inputs);
    let rules = inputs.rules();
    let points = delegations
        .par_iter()
        .map(|(_, account)| {
            let vote = inputs.distribution_votes.get(&account.delegation().voter_pubkey);
            vote.map_or(0, |vote| rules.points(account.stake(), vote.state()))
        })
        .sum::<u128>();
    if points == 0 {
        return RewardsCalculation::default();
    }
    let point_value = PointValue { rewards: inputs.epoch_lamports, points };
    let redeemed = redeem_all(inputs, &delegations, &point_value);
    let mut calculation = RewardsCalculation { point_value, ..RewardsCalculation::default() };
    let mut stake_rewards = Vec::with_capacity(redeemed.len());
    for Redemption { reward, collector, commission } in redeemed {
        calculation.stake_lamports = calculation.stake_lamports.saturating_add(reward.lamports);
        stake_rewards.push(reward);
        calculation.commissions.entry(collector).and_modify(|sum| accumulate(sum, &commission)).or_insert(commission);
    }
    calculation.stake_rewards = Arc::new(stake_rewards);
    calculation
}

/// The stake rewards once more, after a start from a snapshot taken while they were being paid: the point value comes from
/// the EpochRewards sysvar, commissions are paid already.
pub fn recalculate_stake_rewards(inputs: &RewardInputs<'_>, point_value: PointValue) -> Arc<Vec<StakeReward>> {
    let redeemed = redeem_all(inputs, &delegations(inputs), &point_value);
    Arc::new(redeemed.into_iter().map(|redemption| redemption.reward).collect())
}

/// Adds the commissions to the collectors' accounts as they are now. `is_reserved` says which keys may not be written.
pub fn pay_commissions(
    calculation: &RewardsCalculation,
    features: &EpochFeatures,
    rent: &Rent,
    mut accounts: impl CommissionAccounts,
) -> CommissionPayments {
    let mut payments = CommissionPayments::default();
    for (collector, commission) in &calculation.commissions {
        let account = accounts.load(collector);
        if account.is_none() && !features.custom_commission_collector {
            // Not even counted as burned: agave forgets these lamports (load_and_reward_commission_accounts).
            continue;
        }
        let mut account = account.unwrap_or_default();
        payments.burned_lamports = payments.burned_lamports.saturating_add(commission.burned_lamports);
        let before = account.lamports();
        let valid = account.checked_add_lamports(commission.lamports).is_ok()
            && (commission.is_vote_account
                || commission_collector_valid(
                    collector,
                    before,
                    &account,
                    accounts.is_reserved(collector),
                    rent,
                    features.relax_post_exec_min_balance_check,
                ));
        if !valid {
            payments.burned_lamports = payments.burned_lamports.saturating_add(commission.lamports);
            continue;
        }
        if !commission.is_vote_account && incinerator::check_id(collector) {
            payments.incinerator_lamports = payments.incinerator_lamports.saturating_add(commission.lamports);
        } else {
            payments.distributed_lamports = payments.distributed_lamports.saturating_add(commission.lamports);
        }
        let info = RewardInfo {
            reward_type: RewardType::Voting,
            lamports: i64::try_from(commission.lamports).unwrap_or(i64::MAX),
            post_balance: account.lamports(),
            commission_bps: commission.commission_bps,
        };
        payments.accounts.push((*collector, info, account));
    }
    payments
}

/// What `pay_commissions` must ask the bank.
pub trait CommissionAccounts {
    /// The account as of now; `None` if it does not exist.
    fn load(&mut self, key: &Pubkey) -> Option<AccountSharedData>;
    /// Whether the key is a sysvar, a builtin or otherwise reserved.
    fn is_reserved(&self, key: &Pubkey) -> bool;
}

struct Redemption {
    reward: StakeReward,
    collector: Pubkey,
    commission: Commission,
}

impl<'a> RewardInputs<'a> {
    fn rules(&self) -> PointRules<'a> {
        PointRules {
            rewarded_epoch: self.rewarded_epoch,
            history: self.history,
            math: self.features.stake_math,
            adjust_delegations_for_rent: self.features.relax_post_exec_min_balance_check,
        }
    }

    /// The commission an epoch ago, so that nobody can raise it in the last moment.
    fn commission_bps(&self, vote: &Pubkey, current: &VoteAccount) -> u16 {
        let account = if self.features.delay_commission_updates {
            let of = |votes: Option<&'a VoteAccounts>| votes.and_then(|votes| votes.get(vote));
            of(self.snapshot_votes).or_else(|| of(self.rewarded_votes)).unwrap_or(current)
        } else {
            current
        };
        if self.features.commission_rate_in_basis_points {
            account.state().inflation_rewards_commission_bps
        } else {
            u16::from(account.state().commission_percent()) * 100
        }
    }
}

fn delegations<'a>(inputs: &RewardInputs<'a>) -> Vec<(&'a Pubkey, &'a StakeAccount)> {
    inputs.stakes.delegations().collect()
}

/// In the order of the delegations, whatever rayon does.
fn redeem_all(
    inputs: &RewardInputs<'_>,
    delegations: &[(&Pubkey, &StakeAccount)],
    value: &PointValue,
) -> Vec<Redemption> {
    let rules = inputs.rules();
    delegations.par_iter().filter_map(|(key, account)| redeem(inputs, &rules, key, account, value)).collect()
}

fn redeem(
    inputs: &RewardInputs<'_>,
    rules: &PointRules<'_>,
    key: &Pubkey,
    account: &StakeAccount,
    value: &PointValue,
) -> Option<Redemption> {
    let vote = &account.delegation().voter_pubkey;
    let custom_collector = inputs.features.custom_commission_collector;
    let recorded = |bps: u16| (!custom_collector).then_some(bps);
    let stored = account.account();
    let balance = Balance { lamports: stored.lamports(), rent_min: inputs.rent.minimum_balance(stored.data().len()) };
    let Some(vote_account) = inputs.distribution_votes.get(vote) else {
        // No vote account, no reward; but the delegation may have to shrink. The collector is a vote account that does not
        // exist: it is not valid, so nothing is written to it.
        return rules.needs_rent_adjustment(account.stake(), balance).then(|| Redemption {
            reward: StakeReward {
                stake_account: *key,
                stake: *account.stake(),
                lamports: 0,
                commission_bps: recorded(0),
            },
            collector: *vote,
            commission: Commission {
                commission_bps: recorded(0),
                lamports: 0,
                burned_lamports: 0,
                is_vote_account: false,
            },
        });
    };
    let bps = inputs.commission_bps(vote, vote_account);
    let redeemed = rules.redeem(account.stake(), vote_account.state(), bps, value, balance)?;
    let collector = match vote_account.state().inflation_rewards_collector {
        Some(collector) if custom_collector => collector,
        Some(_) | None => *vote,
    };
    Some(Redemption {
        reward: StakeReward {
            stake_account: *key,
            stake: redeemed.stake,
            lamports: redeemed.staker_lamports,
            commission_bps: recorded(bps),
        },
        collector,
        commission: Commission {
            commission_bps: recorded(bps),
            lamports: redeemed.voter_lamports,
            burned_lamports: 0,
            is_vote_account: collector == *vote,
        },
    })
}

/// Two vote accounts name one collector. If it is a vote account that also names itself, only its own commission is paid:
/// to the other it is no valid collector (SIMD-0232; calculation.rs: accumulate_lamports).
fn accumulate(sum: &mut Commission, more: &Commission) {
    let burned = sum.burned_lamports.saturating_add(more.burned_lamports);
    *sum = match (sum.is_vote_account, more.is_vote_account) {
        (true, false) => Commission { burned_lamports: burned.saturating_add(more.lamports), ..*sum },
        (false, true) => Commission {
            lamports: more.lamports,
            burned_lamports: burned.saturating_add(sum.lamports),
            is_vote_account: true,
            ..*sum
        },
        (true, true) | (false, false) => {
            Commission { lamports: sum.lamports.saturating_add(more.lamports), burned_lamports: burned, ..*sum }
        }
    };
}

#[cfg(test)]
mod tests;
