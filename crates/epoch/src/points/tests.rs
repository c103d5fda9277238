use {
    super::*,
    crate::{test_accounts, vote_layout::EpochCredits},
};

fn vote(credits: &[(Epoch, u64, u64)]) -> VoteState {
    let account = test_accounts::vote_account(test_accounts::key(1), None, 1);
    let epoch_credits =
        credits.iter().map(|&(epoch, credits, previous)| EpochCredits { epoch, credits, previous }).collect();
    VoteState { epoch_credits, ..account.state().clone() }
}

fn rules(history: &StakeHistory) -> PointRules<'_> {
    PointRules {
        rewarded_epoch: 0,
        history,
        math: StakeMath { new_rate_activation_epoch: None, fixed_point: true },
        adjust_delegations_for_rent: false,
    }
}

fn staked(lamports: u64, credits_observed: u64) -> Stake {
    Stake { credits_observed, ..test_accounts::stake(test_accounts::key(9), lamports, u64::MAX, u64::MAX) }
}

const RICH: Balance = Balance { lamports: u64::MAX / 2, rent_min: 0 };

fn redeem(stake: &Stake, vote: &VoteState, bps: u16, rewards: u64, points: u128) -> Option<(u64, u64, u64)> {
    rules(&StakeHistory::default())
        .redeem(stake, vote, bps, &PointValue { rewards, points }, RICH)
        .map(|redeemed| (redeemed.staker_lamports, redeemed.voter_lamports, redeemed.stake.credits_observed))
}

/// Cases of inflation_rewards/mod.rs: test_stake_state_calculate_rewards.
#[test]
fn agave_cases() {
    let mut history = StakeHistory::default();
    // Observed everything already: nothing is written.
    assert_eq!(redeem(&staked(1, 0), &vote(&[]), 0, 1_000_000_000, 1), None);
    let two_at_0 = vote(&[(0, 2, 0)]);
    assert_eq!(redeem(&staked(1, 0), &two_at_0, 0, 1, 1), Some((2, 0, 2)));
    assert_eq!(redeem(&staked(1, 1), &two_at_0, 0, 1, 1), Some((1, 0, 2)));
    let three = vote(&[(0, 2, 0), (1, 3, 2)]);
    assert_eq!(redeem(&staked(1, 2), &three, 0, 1, 1), Some((1, 0, 3)));
    let four = vote(&[(0, 2, 0), (1, 3, 2), (2, 4, 3)]);
    assert_eq!(redeem(&staked(1, 2), &four, 0, 2, 2), Some((2, 0, 4)));
    assert_eq!(redeem(&staked(1, 0), &four, 0, 4, 4), Some((4, 0, 4)));
    // One side would get nothing for its percent: wait.
    assert_eq!(redeem(&staked(1, 0), &four, 100, 4, 4), None);
    assert_eq!(redeem(&staked(1, 0), &four, 9_900, 4, 4), None);
    // No inflation: credits move on, nothing is paid.
    assert_eq!(redeem(&staked(1, 0), &four, 0, 0, 4), Some((0, 0, 4)));
    // The vote account was made anew with fewer credits.
    assert_eq!(redeem(&staked(1, 1_000), &four, 0, 4, 4), Some((0, 0, 4)));
    // Less than a lamport.
    assert_eq!(redeem(&staked(1, 0), &four, 0, 3, 100), None);
    // Activated in the rewarded epoch: credits move on only.
    history.add(0, Default::default());
    let activated = Stake { ..test_accounts::stake(test_accounts::key(9), 1, 0, u64::MAX) };
    assert_eq!(redeem(&activated, &four, 0, 4, 4), Some((0, 0, 4)));
}

/// points.rs: test_stake_state_calculate_points_with_typical_values: 10 million SOL for one epoch of votes.
#[test]
fn typical_points() {
    let history = StakeHistory::default();
    let stake = staked(10_000_000 * 1_000_000_000, 0);
    let epoch_slots = 14 * 24 * 3_600 * 160;
    let vote = vote(&[(0, epoch_slots, 0)]);
    let expected = u128::from(stake.delegation.stake) * u128::from(epoch_slots);
    assert_eq!(rules(&history).points(&stake, &vote), expected);
    let year = 1_000 * 1_000_000_000;
    assert_eq!(redeem(&stake, &vote, 0, year, expected), Some((year, 0, epoch_slots)));
}

#[test]
fn credits_after_an_alpenglow_marker_do_not_count() {
    let vote = vote(&[(0, 5, 0), ALPENGLOW_MIGRATION_MARKER, (1, 9, 5)]);
    assert_eq!(redeem(&staked(1, 0), &vote, 0, 1, 1), Some((5, 0, 5)));
}

#[test]
fn commission_rounds_down_on_both_sides() {
    for (bps, lamports, expected) in [
        (0, u64::MAX, (0, u64::MAX)),
        (10_000, u64::MAX, (u64::MAX, 0)),
        (u16::MAX, 10, (10, 0)),
        (9_900, 1, (0, 0)),
        (9_900, 10, (9, 0)),
        (9_900, 1_000, (990, 10)),
        (9_999, 1_000, (999, 0)),
        (1, 10_000, (1, 9_999)),
    ] {
        assert_eq!(commission_split(bps, lamports), expected, "{bps} bps of {lamports}");
    }
}

#[test]
fn delegations_shrink_to_what_rent_leaves() {
    let history = StakeHistory::default();
    let rules = PointRules { adjust_delegations_for_rent: true, ..rules(&history) };
    let none = vote(&[]);
    let value = PointValue { rewards: 1, points: 1 };
    let stake = staked(1_000, 0);
    let enough = Balance { lamports: 1_100, rent_min: 100 };
    let short = Balance { lamports: 1_100, rent_min: 101 };
    assert_eq!(rules.redeem(&stake, &none, 0, &value, enough), None);
    let redeemed = rules.redeem(&stake, &none, 0, &value, short).unwrap();
    assert_eq!((redeemed.staker_lamports, redeemed.stake), (0, stake), "the cut itself is made when it is paid");
    assert!(rules.needs_rent_adjustment(&stake, short) && !rules.needs_rent_adjustment(&stake, enough));
    // A stake that ended long ago is left alone.
    let ended = test_accounts::stake(test_accounts::key(9), 1_000, u64::MAX, 0);
    assert!(!PointRules { rewarded_epoch: 3, ..rules }.needs_rent_adjustment(&ended, short));
}
