//! Points a delegation has earned, and what a stake account gets for them.

use {
    crate::{features::StakeMath, vote_layout::VoteState},
    solana_stake_interface::{
        stake_history::StakeHistory,
        state::{Stake, StakeActivationStatus},
    },
    std::cmp::Ordering,
    tandem_types::Epoch,
};

/// Lamports to split, over that many points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PointValue {
    pub rewards: u64,
    pub points: u128,
}

/// What earning is computed from, the same for every delegation of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointRules<'a> {
    pub rewarded_epoch: Epoch,
    pub history: &'a StakeHistory,
    pub math: StakeMath,
    pub adjust_delegations_for_rent: bool,
}

/// A stake account after its rewards are known, before they are paid.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Redeemed {
    pub stake: Stake,
    pub staker_lamports: u64,
    pub voter_lamports: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Earned {
    points: u128,
    new_credits_observed: u64,
    /// Credits are moved on although nothing is paid (the vote account was made anew with fewer credits).
    forced: bool,
}

/// Lamports of a stake account, and those it must keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Balance {
    pub lamports: u64,
    pub rent_min: u64,
}

impl PointRules<'_> {
    /// Points `stake` earned by the votes of its vote account that it was not paid for yet.
    pub fn points(&self, stake: &Stake, vote: &VoteState) -> u128 {
        self.earned(stake, vote).points
    }

    /// `None` if nothing is to be written to the account (inflation_rewards/mod.rs: redeem_rewards).
    pub fn redeem(
        &self,
        stake: &Stake,
        vote: &VoteState,
        commission_bps: u16,
        value: &PointValue,
        balance: Balance,
    ) -> Option<Redeemed> {
        let status = self.math.status(&stake.delegation, self.rewarded_epoch, self.history);
        let paid = self.paid(stake, vote, commission_bps, value);
        let (staker_lamports, voter_lamports) = paid.map_or((0, 0), |paid| (paid.staker_lamports, paid.voter_lamports));
        let delegated = stake.delegation.stake.saturating_add(staker_lamports);
        // Credits move on even when both sides get nothing, so a payment of zero is still a write.
        let write = paid.is_some()
            || (self.adjust_delegations_for_rent
                && delegation_may_change(
                    stake.delegation.stake,
                    delegated,
                    balance.lamports.saturating_add(staker_lamports),
                    balance.rent_min,
                    status,
                ));
        if !write {
            return None;
        }
        let mut stake = *stake;
        stake.delegation.stake = delegated;
        stake.credits_observed = paid.map_or(stake.credits_observed, |paid| paid.new_credits_observed);
        Some(Redeemed { stake, staker_lamports, voter_lamports })
    }

    /// Whether an account without a vote account must be written, because its delegation exceeds what rent leaves.
    pub fn needs_rent_adjustment(&self, stake: &Stake, balance: Balance) -> bool {
        let delegated = stake.delegation.stake;
        let status = self.math.status(&stake.delegation, self.rewarded_epoch, self.history);
        self.adjust_delegations_for_rent
            && delegation_may_change(delegated, delegated, balance.lamports, balance.rent_min, status)
    }

    fn paid(&self, stake: &Stake, vote: &VoteState, commission_bps: u16, value: &PointValue) -> Option<Paid> {
        let earned = self.earned(stake, vote);
        let nothing = Paid { staker_lamports: 0, voter_lamports: 0, new_credits_observed: earned.new_credits_observed };
        // Without inflation, and in the epoch a stake was activated, credits move on and nothing is paid.
        if earned.forced || value.rewards == 0 || stake.delegation.activation_epoch == self.rewarded_epoch {
            return Some(nothing);
        }
        if earned.points == 0 || value.points == 0 {
            return None;
        }
        let product = earned
            .points
            .checked_mul(u128::from(value.rewards))
            .expect("invariant: points of one stake times an epoch's lamports fit in 128 bits, as agave asserts");
        let lamports = u64::try_from(product / value.points)
            .expect("invariant: one stake's points are part of all points, so its part of u64 lamports fits");
        if lamports == 0 {
            return None;
        }
        let (voter_lamports, staker_lamports) = commission_split(commission_bps, lamports);
        // Both sides should get something and one would not: wait until there is enough for both.
        let is_split = (1..10_000).contains(&commission_bps);
        if is_split && (voter_lamports == 0 || staker_lamports == 0) {
            return None;
        }
        Some(Paid { staker_lamports, voter_lamports, ..nothing })
    }

    fn earned(&self, stake: &Stake, vote: &VoteState) -> Earned {
        let observed = stake.credits_observed;
        match vote.credits().cmp(&observed) {
            Ordering::Less => return Earned { points: 0, new_credits_observed: vote.credits(), forced: true },
            Ordering::Equal => return Earned { points: 0, new_credits_observed: observed, forced: false },
            Ordering::Greater => {}
        }
        let mut points = 0_u128;
        let mut new_credits_observed = observed;
        for entry in &vote.epoch_credits {
            if (entry.epoch, entry.credits, entry.previous) == ALPENGLOW_MIGRATION_MARKER {
                break;
            }
            let credits = if observed < entry.previous {
                entry.credits.saturating_sub(entry.previous)
            } else if observed < entry.credits {
                entry.credits.saturating_sub(new_credits_observed)
            } else {
                0
            };
            new_credits_observed = new_credits_observed.max(entry.credits);
            let effective = self.math.effective(&stake.delegation, entry.epoch, self.history);
            points = points.saturating_add(u128::from(effective) * u128::from(credits));
        }
        Earned { points, new_credits_observed, forced: false }
    }
}

#[derive(Clone, Copy)]
struct Paid {
    staker_lamports: u64,
    voter_lamports: u64,
    new_credits_observed: u64,
}

/// Voter's and staker's part, each rounded down on its own: what is lost belongs to nobody.
fn commission_split(commission_bps: u16, lamports: u64) -> (u64, u64) {
    match u128::from(commission_bps.min(10_000)) {
        0 => (0, lamports),
        10_000 => (lamports, 0),
        bps => {
            let part = |bps: u128| (u128::from(lamports) * bps / 10_000) as u64;
            (part(bps), part(10_000 - bps))
        }
    }
}

/// SIMD-0392: lamports that rent needs must not count as delegated.
fn delegation_may_change(current: u64, new: u64, lamports: u64, rent_min: u64, status: StakeActivationStatus) -> bool {
    (status.effective > 0 || status.activating > 0) && new.min(lamports.saturating_sub(rent_min)) != current
}

/// Written into a vote account's credits where a cluster moves to Alpenglow (agave-votor-messages migration.rs).
const ALPENGLOW_MIGRATION_MARKER: (Epoch, u64, u64) = (u64::MAX, u64::MAX, u64::MAX);

#[cfg(test)]
mod tests;
