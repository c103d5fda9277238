use {
    super::*,
    crate::{
        features::StakeMath,
        test_accounts::{key, stake, stake_account, vote_data},
    },
    solana_stake_interface::state::StakeStateV2,
    solana_vote_interface::state::VoteStateV4,
};

const MATH: StakeMath = StakeMath { new_rate_activation_epoch: Some(0), fixed_point: true };
const FEATURES: EpochFeatures = EpochFeatures {
    stake_math: MATH,
    validator_admission_ticket: true,
    alpenglow: false,
    delay_commission_updates: true,
    commission_rate_in_basis_points: true,
    custom_commission_collector: true,
    relax_post_exec_min_balance_check: true,
    block_revenue_sharing: true,
    raise_block_limits_to_100m: true,
};

fn rent_min() -> u64 {
    Rent::default().minimum_balance(StakeStateV2::size_of())
}

fn vote(collector: u8, bps: u16, credits: u64) -> AccountSharedData {
    vote_data(VoteStateV4 {
        node_pubkey: key(100),
        inflation_rewards_collector: key(collector),
        inflation_rewards_commission_bps: bps,
        epoch_credits: vec![(0, credits, 0)],
        ..VoteStateV4::default()
    })
}

fn delegating(voter: u8, lamports: u64) -> AccountSharedData {
    stake_account(key(voter), lamports + rent_min(), stake(key(voter), lamports, Epoch::MAX, Epoch::MAX))
}

struct Case {
    stakes: StakesCache,
    history: Arc<StakeHistory>,
    votes: VoteAccounts,
}

fn case(accounts: &[(u8, AccountSharedData)]) -> Case {
    let accounts: Vec<_> = accounts.iter().map(|(address, account)| (key(*address), account.clone())).collect();
    let stakes = StakesCache::from_genesis(accounts.iter().map(|(address, account)| (address, account)), &MATH);
    let plan = stakes.plan_epoch(1, &MATH);
    Case { stakes, history: plan.history.clone(), votes: plan.vote_accounts }
}

impl Case {
    fn calculate(&self, lamports: u64, features: EpochFeatures, snapshot: Option<&VoteAccounts>) -> RewardsCalculation {
        let rent = Rent::default();
        calculate_rewards(&RewardInputs {
            rewarded_epoch: 0,
            epoch_lamports: lamports,
            stakes: &self.stakes,
            history: &self.history,
            distribution_votes: &self.votes,
            rewarded_votes: None,
            snapshot_votes: snapshot,
            features,
            rent: &rent,
        })
    }
}

struct Store(BTreeMap<Pubkey, AccountSharedData>);

impl CommissionAccounts for Store {
    fn load(&mut self, key: &Pubkey) -> Option<AccountSharedData> {
        self.0.get(key).cloned()
    }

    fn is_reserved(&self, key: &Pubkey) -> bool {
        *key == super::tests::key(77)
    }
}

fn system(lamports: u64) -> AccountSharedData {
    AccountSharedData::new(lamports, 0, &solana_sdk_ids::system_program::id())
}

#[test]
fn by_stake_and_credits() {
    let case =
        case(&[(1, vote(1, 1_000, 10)), (2, vote(2, 0, 5)), (10, delegating(1, 3_000)), (11, delegating(2, 4_000))]);
    let calculation = case.calculate(1_000_000, FEATURES, None);
    assert_eq!(calculation.point_value, PointValue { rewards: 1_000_000, points: 3_000 * 10 + 4_000 * 5 });
    let rewards: Vec<_> =
        calculation.stake_rewards.iter().map(|reward| (reward.stake_account, reward.lamports)).collect();
    assert_eq!(rewards, [(key(10), 540_000), (key(11), 400_000)]);
    assert_eq!(calculation.stake_lamports, 940_000);
    assert_eq!(calculation.commissions[&key(1)].lamports, 60_000);
    assert_eq!(calculation.commissions[&key(2)].lamports, 0);
    assert_eq!(calculation.stake_rewards[0].stake.delegation.stake, 543_000);
    assert_eq!(calculation.stake_rewards[0].stake.credits_observed, 10);
    assert_eq!(calculation.stake_rewards[0].commission_bps, None);
}

#[test]
fn nobody_voted() {
    let case = case(&[(1, vote(1, 0, 0)), (10, delegating(1, 3_000))]);
    assert_eq!(case.calculate(1_000_000, FEATURES, None), RewardsCalculation::default());
}

#[test]
fn commission_of_an_epoch_ago_counts() {
    let now = case(&[(1, vote(1, 10_000, 10)), (10, delegating(1, 3_000))]);
    let before = case(&[(1, vote(1, 500, 0))]);
    let commission = |features, snapshot| now.calculate(1_000_000, features, snapshot).commissions[&key(1)].lamports;
    assert_eq!(commission(FEATURES, Some(&before.votes)), 50_000);
    assert_eq!(commission(FEATURES, None), 1_000_000);
    let at_once = EpochFeatures { delay_commission_updates: false, ..FEATURES };
    assert_eq!(commission(at_once, Some(&before.votes)), 1_000_000);
    // In whole percents until basis points are active.
    let odd = case(&[(1, vote(1, 555, 0))]);
    let percents = EpochFeatures { commission_rate_in_basis_points: false, ..FEATURES };
    assert_eq!(commission(percents, Some(&odd.votes)), 50_000);
    assert_eq!(commission(FEATURES, Some(&odd.votes)), 55_500);
}

#[test]
fn collectors_are_checked_when_they_are_paid() {
    // Votes 1..=6 of equal weight, each 100 % to: itself, a rich system account, the same again, a missing account,
    // a reserved key, the incinerator.
    let incinerator = solana_sdk_ids::incinerator::id();
    let mut accounts = vec![
        (1, vote(1, 10_000, 10)),
        (2, vote(60, 10_000, 10)),
        (3, vote(60, 10_000, 10)),
        (4, vote(61, 10_000, 10)),
        (5, vote(77, 10_000, 10)),
    ];
    accounts.push((
        6,
        vote_data(VoteStateV4 {
            inflation_rewards_collector: incinerator,
            inflation_rewards_commission_bps: 10_000,
            epoch_credits: vec![(0, 10, 0)],
            ..VoteStateV4::default()
        }),
    ));
    accounts.extend((1..=6).map(|voter| (10 + voter, delegating(voter, 1_000))));
    let calculation = case(&accounts).calculate(6_000, FEATURES, None);
    let store = || {
        Store(BTreeMap::from([
            (key(1), vote(1, 10_000, 10)),
            (key(60), system(10_000_000)),
            (key(77), system(10_000_000)),
        ]))
    };
    let payments = pay_commissions(&calculation, &FEATURES, &Rent::default(), store());
    let paid: BTreeMap<_, _> = payments.accounts.iter().map(|(key, info, _)| (*key, info.lamports)).collect();
    assert_eq!(paid, BTreeMap::from([(key(1), 1_000), (key(60), 2_000), (incinerator, 1_000)]));
    assert_eq!(
        (payments.distributed_lamports, payments.incinerator_lamports, payments.burned_lamports),
        (3_000, 1_000, 2_000)
    );
    assert_eq!((payments.accounted_lamports(), payments.minted_lamports()), (6_000, 4_000));
    let (_, info, account) = payments.accounts.iter().find(|(address, ..)| *address == key(60)).unwrap();
    assert_eq!((info.post_balance, account.lamports(), info.reward_type), (10_002_000, 10_002_000, RewardType::Voting));
    // Before collectors could be chosen, everything went to the vote accounts, and those that are gone got nothing.
    let fixed = EpochFeatures { custom_commission_collector: false, ..FEATURES };
    let calculation = case(&accounts).calculate(6_000, fixed, None);
    assert_eq!(calculation.stake_rewards[0].commission_bps, Some(10_000));
    let payments = pay_commissions(&calculation, &fixed, &Rent::default(), store());
    assert_eq!((payments.accounts.len(), payments.distributed_lamports, payments.burned_lamports), (1, 1_000, 0));
}

/// Vote account 2 names vote account 1, which names itself: 2's commission is burned, whoever comes first.
#[test]
fn a_vote_account_collects_for_itself_only() {
    for (own, other) in [(1, 2), (2, 1)] {
        let case = case(&[
            (own, vote(own, 10_000, 10)),
            (other, vote(own, 10_000, 10)),
            (11, delegating(1, 1_000)),
            (12, delegating(2, 1_000)),
            (13, delegating(1, 1_000)),
            (14, delegating(2, 1_000)),
        ]);
        let calculation = case.calculate(4_000, FEATURES, None);
        assert_eq!(
            calculation.commissions[&key(own)],
            Commission { commission_bps: None, lamports: 2_000, burned_lamports: 2_000, is_vote_account: true }
        );
        let store = Store(BTreeMap::from([(key(own), vote(own, 10_000, 10))]));
        let payments = pay_commissions(&calculation, &FEATURES, &Rent::default(), store);
        assert_eq!((payments.distributed_lamports, payments.burned_lamports), (2_000, 2_000));
    }
}

#[test]
fn a_delegation_without_vote_account_is_only_adjusted() {
    let short = stake_account(key(3), 1_000, stake(key(3), 1_000, Epoch::MAX, Epoch::MAX));
    let case = case(&[(1, vote(1, 0, 10)), (10, delegating(1, 1_000)), (11, short), (12, delegating(3, 1_000))]);
    let calculation = case.calculate(500, FEATURES, None);
    let rewards: Vec<_> =
        calculation.stake_rewards.iter().map(|reward| (reward.stake_account, reward.lamports)).collect();
    assert_eq!(rewards, [(key(10), 500), (key(11), 0)]);
    let payments =
        pay_commissions(&calculation, &FEATURES, &Rent::default(), Store(BTreeMap::from([(key(1), vote(1, 0, 10))])));
    assert_eq!(payments.accounts.len(), 1, "nothing is written for the missing vote account");
    let recalculated = recalculate_stake_rewards(
        &RewardInputs {
            rewarded_epoch: 0,
            epoch_lamports: 0,
            stakes: &case.stakes,
            history: &case.history,
            distribution_votes: &case.votes,
            rewarded_votes: None,
            snapshot_votes: None,
            features: FEATURES,
            rent: &Rent::default(),
        },
        calculation.point_value,
    );
    assert_eq!(recalculated, calculation.stake_rewards);
}

proptest::proptest! {
    /// Never more than the epoch's lamports, and the sums are the sums.
    #[test]
    fn nothing_is_made_of_nothing(
        votes in proptest::collection::vec((0_u16..12_000, 0_u64..5_000), 1..5),
        stakes in proptest::collection::vec((0_usize..5, 1_u64..1_000_000_000), 1..20),
        lamports in 0_u64..1_000_000_000_000,
    ) {
        let mut accounts: Vec<_> =
            votes.iter().zip(1_u8..).map(|((bps, credits), address)| (address, vote(address, *bps, *credits))).collect();
        accounts.extend(stakes.iter().zip(20_u8..).map(|((voter, stake), address)| (address, delegating(*voter as u8 + 1, *stake))));
        let case = case(&accounts);
        let calculation = case.calculate(lamports, FEATURES, None);
        let store = Store(accounts.iter().map(|(address, account)| (key(*address), account.clone())).collect());
        let payments = pay_commissions(&calculation, &FEATURES, &Rent::default(), store);
        let staked: u64 = calculation.stake_rewards.iter().map(|reward| reward.lamports).sum();
        proptest::prop_assert_eq!(staked, calculation.stake_lamports);
        proptest::prop_assert!(staked + payments.accounted_lamports() <= lamports);
        proptest::prop_assert!(calculation.stake_rewards.is_sorted_by_key(|reward| reward.stake_account));
    }
}
