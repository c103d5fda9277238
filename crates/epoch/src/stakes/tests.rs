use {
    super::*,
    crate::test_accounts::{key, stake, stake_account, vote_data, vote_data_with_lamports},
    proptest::prelude::*,
    solana_vote_interface::state::VoteStateV4,
    std::collections::BTreeMap,
};

const MATH: StakeMath = StakeMath { new_rate_activation_epoch: Some(0), fixed_point: true };

fn vote(node: u8) -> AccountSharedData {
    vote_data(VoteStateV4 { node_pubkey: key(node), ..VoteStateV4::default() })
}

fn delegating(voter: u8, lamports: u64, activation: Epoch) -> AccountSharedData {
    stake_account(key(voter), lamports, stake(key(voter), lamports, activation, Epoch::MAX))
}

fn genesis(accounts: &[(u8, AccountSharedData)]) -> StakesCache {
    let accounts: Vec<_> = accounts.iter().map(|(address, account)| (key(*address), account.clone())).collect();
    StakesCache::from_genesis(accounts.iter().map(|(address, account)| (address, account)), &MATH)
}

#[test]
fn delegations_may_come_before_their_vote_account() {
    let cache = genesis(&[(10, delegating(1, 70, Epoch::MAX)), (1, vote(101)), (11, delegating(1, 30, Epoch::MAX))]);
    assert_eq!(cache.vote_accounts().stake(&key(1)), 100);
    assert_eq!(cache.highest_staked_node(), Some(SlotLeader { identity: key(101), vote: key(1) }));
}

#[test]
fn update_follows_every_change() {
    let mut cache = genesis(&[(1, vote(101)), (2, vote(102)), (10, delegating(1, 70, Epoch::MAX))]);
    let stakes = |cache: &StakesCache| [1, 2].map(|vote| cache.vote_accounts().stake(&key(vote)));
    assert_eq!(stakes(&cache), [70, 0]);
    // Redelegated, then split, then one part withdrawn.
    cache.update(&key(10), &delegating(2, 60, Epoch::MAX), &MATH);
    assert_eq!(stakes(&cache), [0, 60]);
    cache.update(&key(11), &delegating(1, 10, Epoch::MAX), &MATH);
    assert_eq!(stakes(&cache), [10, 60]);
    cache.update(&key(10), &AccountSharedData::new(0, 0, &stake::id()), &MATH);
    assert_eq!(stakes(&cache), [10, 0]);
    assert_eq!(cache.delegations_len(), 1);
    // An account that stops to delegate is no delegation.
    cache.update(&key(11), &AccountSharedData::new(5, 200, &stake::id()), &MATH);
    assert_eq!((stakes(&cache), cache.delegations_len()), ([0, 0], 0));
    // Stake that is activated now counts from the next epoch on.
    cache.update(&key(12), &delegating(1, 40, 0), &MATH);
    assert_eq!(stakes(&cache), [0, 0]);
}

#[test]
fn vote_accounts_leave_and_come_back_with_their_stake() {
    let mut cache = genesis(&[(1, vote(101)), (10, delegating(1, 70, Epoch::MAX))]);
    let empty_vote = AccountSharedData::new(5, VoteStateV4::size_of(), &vote::id());
    let wrong_size = {
        let mut account = vote(101);
        account.set_data_from_slice(&account.data().to_vec()[..3761]);
        account
    };
    let broke = vote_data_with_lamports(VoteStateV4::default(), 0);
    for gone in [empty_vote, wrong_size, broke] {
        cache.update(&key(1), &gone, &MATH);
        assert!(cache.vote_accounts().get(&key(1)).is_none());
        cache.update(&key(1), &vote(103), &MATH);
        assert_eq!(cache.vote_accounts().stake(&key(1)), 70);
        assert_eq!(cache.vote_accounts().staked_nodes(), BTreeMap::from([(key(103), 70)]));
    }
    // Other owners are none of the cache's business, even for an address it knows (agave keeps the entry as well).
    cache.update(&key(1), &AccountSharedData::new(1, 0, &key(99)), &MATH);
    assert_eq!(cache.vote_accounts().stake(&key(1)), 70);
}

/// 1,000 effective, 1,000 activating: at 9 % an epoch the warm-up admits 90, then 9 % of 1,090 and so on.
#[test]
fn warm_up_is_rationed() {
    let mut cache = genesis(&[
        (1, vote(101)),
        (10, delegating(1, 1_000, Epoch::MAX)),
        (11, delegating(1, 750, 0)),
        (12, delegating(1, 250, 0)),
    ]);
    assert_eq!(cache.vote_accounts().stake(&key(1)), 1_000);
    let mut seen = Vec::new();
    for epoch in 1..=4 {
        let plan = cache.plan_epoch(epoch, &MATH);
        assert_eq!(cache.epoch(), epoch - 1, "a plan changes nothing");
        cache.activate_epoch(epoch, plan);
        seen.push(cache.vote_accounts().stake(&key(1)));
    }
    // 1000 + 67 + 22; then + 9 % of 1089 split 683/911 and 228/911, and so on, each part rounded down.
    assert_eq!(seen[..2], [1_000 + 67 + 22, 1_089 + 73 + 24]);
    assert!(seen.is_sorted());
    let first = cache.history().get(0).unwrap();
    assert_eq!((first.effective, first.activating, first.deactivating), (1_000, 1_000, 0));
    let second = cache.history().get(1).unwrap();
    assert_eq!((second.effective, second.activating), (1_089, 911));
}

#[test]
fn cool_down_is_rationed_and_ends_in_nothing() {
    let leaving = stake_account(key(1), 500, stake(key(1), 500, Epoch::MAX, 0));
    let mut cache = genesis(&[(1, vote(101)), (10, delegating(1, 500, Epoch::MAX)), (11, leaving)]);
    let mut seen = vec![cache.vote_accounts().stake(&key(1))];
    for epoch in 1..12 {
        let plan = cache.plan_epoch(epoch, &MATH);
        cache.activate_epoch(epoch, plan);
        seen.push(cache.vote_accounts().stake(&key(1)));
    }
    // 9 % of all that is effective may leave in an epoch: 90 of 1,000, then 81 of 910, 74 of 829 ...
    assert_eq!(seen[..4], [1_000, 910, 829, 755]);
    assert!(seen.is_sorted_by(|earlier, later| earlier >= later));
    assert_eq!(seen.last(), Some(&500));
    assert_eq!(cache.history().get(1).map(|entry| entry.deactivating), Some(410));
}

#[test]
fn floating_point_and_fixed_point_differ_only_in_rounding() {
    let float = StakeMath { fixed_point: false, ..MATH };
    let mut history = StakeHistory::default();
    for epoch in 0..20 {
        history.add(
            epoch,
            StakeHistoryEntry { effective: 1_000_000_007 + epoch * 31, activating: 777_777_777, deactivating: 3 },
        );
    }
    let delegation = stake(key(1), 333_333_333, 0, Epoch::MAX).delegation;
    for epoch in 0..20 {
        let fixed = MATH.effective(&delegation, epoch, &history);
        assert!(fixed.abs_diff(float.effective(&delegation, epoch, &history)) <= 20, "epoch {epoch}");
    }
    // Without the feature the rate is a quarter.
    let old_rate = StakeMath { new_rate_activation_epoch: None, fixed_point: true };
    assert_eq!(
        old_rate.effective(&delegation, 1, &history),
        (333_333_333_u128 * 1_000_000_007 / 777_777_777 / 4) as u64
    );
}

#[derive(Clone, Debug)]
enum Change {
    Vote { address: u8, lamports: u64 },
    Stake { address: u8, voter: u8, lamports: u64, activation: bool },
    NextEpoch,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0_u8..4, 0_u64..3).prop_map(|(address, lamports)| Change::Vote { address, lamports }),
        (10_u8..20, 0_u8..4, 0_u64..1_000, any::<bool>()).prop_map(|(address, voter, lamports, activation)| {
            Change::Stake { address, voter, lamports, activation }
        }),
        Just(Change::NextEpoch),
    ]
}

proptest! {
    /// However it came about, the cache is what one would build from the accounts as they are at the end.
    #[test]
    fn updates_add_up_to_a_rebuild(changes in prop::collection::vec(change(), 0..60)) {
        let mut cache = genesis(&[]);
        let mut accounts = BTreeMap::new();
        for change in changes {
            let (address, account) = match change {
                Change::Vote { address, lamports } => {
                    (key(address), vote_data_with_lamports(VoteStateV4 { node_pubkey: key(50), ..VoteStateV4::default() }, lamports))
                }
                Change::Stake { address, voter, lamports, activation } => {
                    let from = if activation { cache.epoch() } else { Epoch::MAX };
                    (key(address), delegating(voter, lamports, from))
                }
                Change::NextEpoch => {
                    let next = cache.epoch() + 1;
                    let plan = cache.plan_epoch(next, &MATH);
                    cache.activate_epoch(next, plan);
                    continue;
                }
            };
            cache.update(&address, &account, &MATH);
            accounts.insert(address, account);
        }
        let rebuilt = StakesCache::restored(accounts.iter(), cache.epoch(), cache.history().clone(), &MATH);
        prop_assert_eq!(&cache, &rebuilt);
        let all: u64 = cache
            .delegations()
            .filter(|(_, stake)| cache.vote_accounts().get(&stake.delegation().voter_pubkey).is_some())
            .map(|(_, stake)| MATH.effective(stake.delegation(), cache.epoch(), cache.history()))
            .sum();
        prop_assert_eq!(cache.vote_accounts().iter().map(|(_, stake, _)| stake).sum::<u64>(), all);
        let stakes = EpochStakes::new(cache.epoch(), cache.vote_accounts().clone());
        prop_assert_eq!(stakes.total_stake(), all);
        prop_assert_eq!(stakes.staked_nodes().values().sum::<u64>(), all);
    }
}
