use {
    super::*,
    crate::{
        features::StakeMath,
        test_accounts::{key, stake, stake_account},
    },
    solana_stake_interface::state::{Stake, StakeStateV2},
};

const MATH: StakeMath = StakeMath { new_rate_activation_epoch: Some(0), fixed_point: true };

fn features(relax: bool) -> EpochFeatures {
    EpochFeatures { stake_math: MATH, relax_post_exec_min_balance_check: relax, ..EpochFeatures::default() }
}

fn address(index: u64) -> Pubkey {
    let mut bytes = [3; 32];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    Pubkey::new_from_array(bytes)
}

fn cache(count: u64, lamports: u64, delegated: u64) -> StakesCache {
    let account = stake_account(key(1), lamports, stake(key(1), delegated, Epoch::MAX, Epoch::MAX));
    let accounts: Vec<_> = (0..count).map(|index| (address(index), account.clone())).collect();
    let mut cache = StakesCache::from_genesis(accounts.iter().map(|(key, account)| (key, account)), &MATH);
    let plan = cache.plan_epoch(1, &MATH);
    cache.activate_epoch(1, plan);
    cache
}

fn reward(index: u64, delegated: u64, lamports: u64) -> StakeReward {
    let stake = Stake { credits_observed: 7, ..stake(key(1), delegated + lamports, Epoch::MAX, Epoch::MAX) };
    StakeReward { stake_account: address(index), stake, lamports, commission_bps: None }
}

fn read(account: &AccountSharedData) -> Stake {
    match bincode::deserialize(account.data()).unwrap() {
        StakeStateV2::Stake(_, stake, _) => stake,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_reward_is_paid_once() {
    let stakes = cache(500, 10_000, 5_000);
    let rewards = Arc::new((0..500).map(|index| reward(index, 5_000, 10)).collect::<Vec<_>>());
    let value = PointValue { rewards: 6_000, points: 9 };
    let hash = Hash::new_from_array([5; 32]);
    let (distribution, mut sysvar) = RewardDistribution::begin(rewards.clone(), value, 1_000, 77, 5, hash);
    assert_eq!((sysvar.distribution_starting_block_height, sysvar.num_partitions, sysvar.active), (78, 5, true));
    assert_eq!(distribution, RewardDistribution::resume(rewards, &sysvar));
    let rent = Rent::default();
    let block = |height| distribution.block(height, 1, &stakes, &features(false), &rent);
    assert_eq!(block(77), None);
    let mut paid = std::collections::BTreeSet::new();
    for height in 78..83 {
        let block = block(height).unwrap();
        assert_eq!(block.is_last, height == 82);
        assert_eq!((block.minted_lamports, block.burned_lamports), (block.accounts.len() as u64 * 10, 0));
        assert!(block.accounts.len() > 60, "shared evenly");
        sysvar = block.advance(&sysvar);
        assert_eq!(sysvar.active, height < 82);
        for (key, info, account) in block.accounts {
            assert!(paid.insert(key));
            assert_eq!((info.reward_type, info.lamports, info.post_balance), (RewardType::Staking, 10, 10_010));
            assert_eq!(account.lamports(), 10_010);
            assert_eq!((read(&account).delegation.stake, read(&account).credits_observed), (5_010, 7));
        }
    }
    assert_eq!((paid.len(), sysvar.distributed_rewards), (500, 6_000));
    assert!(block(83).unwrap().accounts.is_empty());
}

#[test]
fn without_rewards_one_block_ends_it() {
    let (distribution, sysvar) =
        RewardDistribution::begin(Arc::default(), PointValue::default(), 0, 5, 1, Hash::default());
    assert_eq!(sysvar.total_rewards, 0);
    let block = distribution.block(6, 1, &cache(0, 0, 0), &features(true), &Rent::default()).unwrap();
    assert_eq!(block, BlockRewards { is_last: true, ..BlockRewards::default() });
}

#[test]
fn a_stake_account_that_is_gone_burns_its_reward() {
    let (distribution, _) = RewardDistribution::begin(
        Arc::new(vec![reward(3, 1, 10)]),
        PointValue { rewards: 10, points: 1 },
        0,
        0,
        1,
        Hash::default(),
    );
    let block = distribution.block(1, 1, &cache(0, 0, 0), &features(true), &Rent::default()).unwrap();
    assert_eq!((block.accounts.len(), block.minted_lamports, block.burned_lamports), (0, 0, 10));
}

/// SIMD-0392: lamports 1,000 above rent, so not more than that stays delegated; with nothing above rent the stake ends.
#[test]
fn rent_comes_before_the_delegation() {
    let rent = Rent::default();
    let rent_min = rent.minimum_balance(StakeStateV2::size_of());
    for (spare, delegated, expected, ends) in
        [(1_000, 5_000, 1_010, false), (5_000, 5_000, 5_010, false), (9_000, 5_000, 5_010, false)]
    {
        let (distribution, _) = RewardDistribution::begin(
            Arc::new(vec![reward(0, delegated, 10)]),
            PointValue { rewards: 10, points: 1 },
            0,
            0,
            1,
            Hash::default(),
        );
        let stakes = cache(1, rent_min + spare, delegated);
        let block = distribution.block(1, 9, &stakes, &features(true), &rent).unwrap();
        let stake = read(&block.accounts[0].2);
        assert_eq!((stake.delegation.stake, stake.delegation.deactivation_epoch != Epoch::MAX), (expected, ends));
    }
    let (distribution, _) =
        RewardDistribution::begin(Arc::new(vec![reward(0, 5_000, 0)]), PointValue::default(), 0, 0, 1, Hash::default());
    let block = distribution.block(1, 9, &cache(1, rent_min - 1, 5_000), &features(true), &rent).unwrap();
    let (_, info, account) = &block.accounts[0];
    assert_eq!((read(account).delegation.stake, read(account).delegation.deactivation_epoch), (0, 8));
    assert_eq!(info.reward_type, RewardType::DeactivatedStake);
}

#[test]
fn partitions_take_at_most_a_tenth_of_the_epoch() {
    let schedule = EpochSchedule::custom(8_192, 8_192, false);
    for (rewards, expected) in [(0, 1), (1, 1), (4_096, 1), (4_097, 2), (4_096 * 819, 819), (4_096 * 900, 819)] {
        assert_eq!(partition_count(rewards, 4_096, &schedule, 3), expected, "{rewards} rewards");
    }
    let short = EpochSchedule::custom(32, 32, false);
    assert_eq!(partition_count(1_000_000, 2_048, &short, 1), 3);
    let warming = EpochSchedule::custom(8_192, 8_192, true);
    assert_eq!(partition_count(1_000_000, 4_096, &warming, 2), 1);
    assert_eq!(partition_count(1_000_000, 4_096, &warming, warming.first_normal_epoch), 245);
}
