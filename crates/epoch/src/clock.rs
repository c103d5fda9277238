//! What time it is, by the votes: the stake-weighted median of validators' clocks, kept near the pace of slots.

use {
    crate::{epoch_stakes::EpochStakes, slot_params::SlotParamsTable, vote_accounts::VoteAccounts},
    solana_clock::Clock,
    solana_epoch_schedule::EpochSchedule,
    std::{collections::BTreeMap, time::Duration},
    tandem_types::{Epoch, Slot, UnixTimestamp},
};

/// What the bank of `slot` knows before it executes anything.
#[derive(Clone, Copy, Debug)]
pub struct TimestampInputs<'a> {
    pub slot: Slot,
    /// All vote accounts of the parent, filtered or not: their last timestamps.
    pub vote_accounts: &'a VoteAccounts,
    /// Stakes of the epoch of `slot`; without them there is no estimate.
    pub epoch_stakes: Option<&'a EpochStakes>,
    pub schedule: &'a EpochSchedule,
    pub slot_params: &'a SlotParamsTable,
    /// First slot of the epoch and its time; `None` leaves the estimate unbounded.
    pub epoch_start: Option<(Slot, UnixTimestamp)>,
}

/// `None` if no stake has voted with a timestamp within an epoch's length (stake_weighted_timestamp.rs).
pub fn timestamp_estimate(inputs: &TimestampInputs<'_>) -> Option<UnixTimestamp> {
    let stakes = inputs.epoch_stakes?;
    let elapsed = |from: Slot| elapsed(inputs.slot_params, from, inputs.slot);
    let mut stake_by_estimate = BTreeMap::<UnixTimestamp, u128>::new();
    for (vote, _, account) in inputs.vote_accounts.iter() {
        let last = &account.state().last_timestamp;
        if inputs.slot.checked_sub(last.slot).is_none_or(|age| age > inputs.schedule.slots_per_epoch) {
            continue;
        }
        let estimate = last.timestamp.saturating_add(whole_seconds(elapsed(last.slot)));
        *stake_by_estimate.entry(estimate).or_default() += u128::from(stakes.vote_account_stake(vote));
    }
    let total: u128 = stake_by_estimate.values().sum();
    if total == 0 {
        return None;
    }
    let mut below = 0;
    let median = stake_by_estimate.into_iter().find_map(|(estimate, stake)| {
        below += stake;
        (below > total / 2).then_some(estimate)
    })?;
    Some(inputs.epoch_start.map_or(median, |(slot, start)| bounded(median, start, elapsed(slot))))
}

/// The clock sysvar of a bank. `parent` is the parent's clock (the default at genesis), `parent_epoch` the parent's epoch
/// (`None` at genesis), `genesis_time` the creation time, which slot 0 has (bank.rs: update_clock).
pub fn next_clock(
    parent: &Clock,
    slot: Slot,
    parent_epoch: Option<Epoch>,
    estimate: Option<UnixTimestamp>,
    schedule: &EpochSchedule,
    genesis_time: UnixTimestamp,
) -> Clock {
    let epoch = schedule.get_epoch(slot);
    let leader_schedule_epoch = schedule.get_leader_schedule_epoch(slot);
    if slot == 0 {
        return Clock {
            slot,
            epoch_start_timestamp: genesis_time,
            epoch,
            leader_schedule_epoch,
            unix_timestamp: genesis_time,
        };
    }
    // Time never runs backwards from parent to child.
    let unix_timestamp = estimate.map_or(parent.unix_timestamp, |estimate| estimate.max(parent.unix_timestamp));
    let begins_epoch = parent_epoch.is_some_and(|parent_epoch| parent_epoch != epoch);
    let epoch_start_timestamp = if begins_epoch { unix_timestamp } else { parent.epoch_start_timestamp };
    Clock { slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp }
}

/// Time from the end of slot `from` to the end of slot `to`.
fn elapsed(slot_params: &SlotParamsTable, from: Slot, to: Slot) -> Duration {
    let ns = if from < to { slot_params.duration_ns(from + 1, to) } else { 0 };
    // 2^64 seconds are more than any slot can be away.
    let seconds = u64::try_from(ns / NS_PER_SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, (ns % NS_PER_SECOND) as u32)
}

/// Since the epoch began the estimate may lag behind the slots' pace by 25 % of that time and run ahead of it by 150 %.
fn bounded(estimate: UnixTimestamp, epoch_start: UnixTimestamp, paced: Duration) -> UnixTimestamp {
    // Agave subtracts as u64 as well, so a clock before the start of the epoch counts as no time at all.
    let observed = Duration::from_secs((estimate as u64).saturating_sub(epoch_start as u64));
    let ahead_max = paced.saturating_mul(AHEAD_PERCENT_MAX) / 100;
    let behind_max = paced.saturating_mul(BEHIND_PERCENT_MAX) / 100;
    let paced_time = epoch_start.saturating_add(whole_seconds(paced));
    if observed > paced && observed - paced > ahead_max {
        paced_time.saturating_add(whole_seconds(ahead_max))
    } else if observed < paced && paced - observed > behind_max {
        paced_time.saturating_sub(whole_seconds(behind_max))
    } else {
        estimate
    }
}

fn whole_seconds(span: Duration) -> i64 {
    span.as_secs() as i64
}

/// stake_weighted_timestamp.rs: MAX_ALLOWABLE_DRIFT_PERCENTAGE_SLOW_V2 (slots are slower than the clock says).
const AHEAD_PERCENT_MAX: u32 = 150;
/// stake_weighted_timestamp.rs: MAX_ALLOWABLE_DRIFT_PERCENTAGE_FAST.
const BEHIND_PERCENT_MAX: u32 = 25;
const NS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests;
