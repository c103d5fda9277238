use {
    super::*,
    crate::{
        slot_params::SlotParams,
        test_accounts::{key, vote_data},
        vote_account::VoteAccount,
    },
    agave_feature_set::{FeatureSet, reduce_slot_time_to_200ms},
    solana_vote_interface::state::{BlockTimestamp, VoteStateV4},
};

const START: i64 = 1_578_909_061;

/// Estimate at `slot` of votes (stake, slot of the timestamp, timestamp), the epoch having begun at slot 0 and START.
fn estimate(slot: Slot, votes: &[(u64, Slot, i64)], bound: bool, features: &FeatureSet) -> Option<i64> {
    let schedule = EpochSchedule::custom(64, 64, false);
    let slot_params = SlotParamsTable::new(features, &schedule, SlotParams::genesis(400_000_000, 78_892_314.984, None));
    let vote_accounts: VoteAccounts = votes
        .iter()
        .zip(1..)
        .map(|(&(stake, slot, timestamp), address)| {
            let last_timestamp = BlockTimestamp { slot, timestamp };
            let account = vote_data(VoteStateV4 { last_timestamp, ..VoteStateV4::default() });
            (key(address), (stake, VoteAccount::parse(&account).unwrap()))
        })
        .collect();
    let stakes = EpochStakes::new(0, vote_accounts.clone());
    timestamp_estimate(&TimestampInputs {
        slot,
        vote_accounts: &vote_accounts,
        epoch_stakes: Some(&stakes),
        schedule: &schedule,
        slot_params: &slot_params,
        epoch_start: bound.then_some((0, START)),
    })
}

fn free(slot: Slot, votes: &[(u64, Slot, i64)]) -> Option<i64> {
    estimate(slot, votes, false, &FeatureSet::default())
}

fn bounded_to(slot: Slot, votes: &[(u64, Slot, i64)]) -> i64 {
    estimate(slot, votes, true, &FeatureSet::default()).unwrap()
}

/// stake_weighted_timestamp.rs: test_calculate_stake_weighted_timestamp_uses_median.
#[test]
fn median_by_stake() {
    let big = 1_000_000;
    assert_eq!(free(5, &[(1, 5, 0), (1, 5, START), (big, 5, START), (big, 5, START), (big, 5, START)]), Some(START));
    assert_eq!(free(5, &[(1, 5, i64::MAX), (1, 5, 0), (big, 5, START), (big, 5, START), (big, 5, START)]), Some(START));
    // Two of three parts of the stake lie: they win.
    assert_eq!(free(5, &[(big, 5, 0), (big, 5, i64::MAX), (big, 5, i64::MAX)]), Some(i64::MAX));
    assert_eq!(free(5, &[(big, 5, 0), (big, 5, 0), (big, 5, START)]), Some(0));
    // Exactly half below is not yet more than half.
    assert_eq!(free(5, &[(1, 5, 10), (1, 5, 20)]), Some(20));
    assert_eq!(free(5, &[(0, 5, 10)]), None);
    assert_eq!(free(5, &[]), None);
}

#[test]
fn old_votes_are_carried_forward_or_dropped() {
    // 5 slots of 400 ms are 2 seconds; 4 slots are 1.6, of which whole seconds count.
    assert_eq!(free(10, &[(1, 5, 100)]), Some(102));
    assert_eq!(free(9, &[(1, 5, 100)]), Some(101));
    assert_eq!(free(69, &[(1, 5, 100)]), Some(125));
    assert_eq!(free(70, &[(1, 5, 100)]), None, "older than an epoch");
    assert_eq!(free(4, &[(1, 5, 100)]), None, "from the future");
    // From slot 64 on 200 ms: slots 61..=63 at 400, 64..=66 at 200 are 1.8 seconds; 67 makes it two.
    let mut features = FeatureSet::default();
    features.activate(&reduce_slot_time_to_200ms::id(), 0);
    assert_eq!(estimate(66, &[(1, 60, 100)], false, &features), Some(101));
    assert_eq!(estimate(67, &[(1, 60, 100)], false, &features), Some(102));
}

/// As test_calculate_stake_weighted_timestamp_poh, with the limits of 25 % behind and 150 % ahead: 20 slots are 8 seconds.
#[test]
fn kept_near_the_pace_of_slots() {
    let at = |offset| bounded_to(20, &[(1, 20, START + offset)]);
    for (offset, expected) in [(8, 8), (20, 20), (21, 20), (1_000, 20), (6, 6), (5, 6), (0, 6), (-1_000, 6)] {
        assert_eq!(at(offset), START + expected, "offset {offset}");
    }
    assert_eq!(bounded_to(20, &[(1, 20, i64::MAX)]), START + 20);
}

#[test]
fn clock_of_a_bank() {
    let schedule = EpochSchedule::custom(64, 64, false);
    let genesis = next_clock(&Clock::default(), 0, None, Some(5), &schedule, START);
    assert_eq!(
        genesis,
        Clock { slot: 0, epoch: 0, leader_schedule_epoch: 1, unix_timestamp: START, epoch_start_timestamp: START }
    );
    let child = |parent: &Clock, slot, parent_epoch, estimate| {
        next_clock(parent, slot, Some(parent_epoch), estimate, &schedule, START)
    };
    let clock = child(&genesis, 1, 0, Some(START + 3));
    assert_eq!((clock.unix_timestamp, clock.epoch_start_timestamp, clock.slot), (START + 3, START, 1));
    // Backwards is not a direction, and no estimate is no progress.
    assert_eq!(child(&clock, 2, 0, Some(START)).unix_timestamp, START + 3);
    assert_eq!(child(&clock, 2, 0, None).unix_timestamp, START + 3);
    let next = child(&clock, 70, 0, Some(START + 30));
    assert_eq!(
        next,
        Clock {
            slot: 70,
            epoch: 1,
            leader_schedule_epoch: 2,
            unix_timestamp: START + 30,
            epoch_start_timestamp: START + 30
        }
    );
    assert_eq!(child(&next, 71, 1, Some(START + 31)).epoch_start_timestamp, START + 30);
}
