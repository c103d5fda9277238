use {
    super::*,
    crate::test_accounts::key,
    proptest::prelude::*,
    solana_vote_interface::{
        authorized_voters::AuthorizedVoters,
        state::{LandedVote as SdkVote, Lockout, VoteState1_14_11, VoteStateV3, VoteStateV4, VoteStateVersions},
    },
};

fn v4(bls: bool, root: Option<Slot>) -> VoteStateV4 {
    let mut authorized_voters = AuthorizedVoters::new(3, key(30));
    authorized_voters.insert(5, key(50));
    VoteStateV4 {
        node_pubkey: key(1),
        authorized_withdrawer: key(2),
        inflation_rewards_collector: key(3),
        block_revenue_collector: key(4),
        inflation_rewards_commission_bps: 1_234,
        block_revenue_commission_bps: 77,
        pending_delegator_rewards: 99,
        bls_pubkey_compressed: bls.then_some([7; 48]),
        votes: (0..31)
            .map(|slot| SdkVote {
                latency: slot as u8,
                lockout: Lockout::new_with_confirmation_count(100 + slot, 31 - slot as u32),
            })
            .collect(),
        root_slot: root,
        authorized_voters,
        epoch_credits: (0..64).map(|epoch| (epoch, epoch * 10 + 10, epoch * 10)).collect(),
        last_timestamp: BlockTimestamp { slot: 130, timestamp: -5 },
    }
}

fn v3(root: Option<Slot>) -> VoteStateV3 {
    let v4 = v4(false, root);
    VoteStateV3 {
        node_pubkey: v4.node_pubkey,
        authorized_withdrawer: v4.authorized_withdrawer,
        commission: 200,
        votes: v4.votes,
        root_slot: root,
        authorized_voters: v4.authorized_voters,
        epoch_credits: v4.epoch_credits,
        last_timestamp: v4.last_timestamp,
        ..VoteStateV3::default()
    }
}

fn check_shared_fields(state: &VoteState, root: Option<Slot>, latencies: bool) {
    assert_eq!((state.node, state.authorized_withdrawer, state.root), (key(1), key(2), root));
    let votes: Vec<_> = (0..31)
        .map(|slot| LandedVote {
            slot: 100 + slot,
            confirmation_count: 31 - slot as u32,
            latency: if latencies { slot as u8 } else { 0 },
        })
        .collect();
    assert_eq!(state.votes, votes);
    assert_eq!(state.last_voted_slot(), Some(130));
    assert_eq!(state.credits(), 640);
    assert_eq!(state.epoch_credits[63], EpochCredits { epoch: 63, credits: 640, previous: 630 });
    assert_eq!(state.last_timestamp, BlockTimestamp { slot: 130, timestamp: -5 });
}

#[test]
fn v4_as_the_sdk_writes_it() {
    for bls in [false, true] {
        for root in [None, Some(42)] {
            let bytes = bincode::serialize(&VoteStateVersions::new_v4(v4(bls, root))).unwrap();
            let state = VoteState::parse(&bytes).unwrap();
            check_shared_fields(&state, root, true);
            assert_eq!(state.version, VoteStateVersion::V4);
            assert_eq!(state.bls_pubkey, bls.then_some([7; 48]));
            assert_eq!(state.inflation_rewards_collector, Some(key(3)));
            assert_eq!(state.block_revenue_collector, Some(key(4)));
            assert_eq!((state.inflation_rewards_commission_bps, state.block_revenue_commission_bps), (1_234, 77));
            assert_eq!((state.commission_percent(), state.pending_delegator_rewards), (12, 99));
            for cut in 0..bytes.len() {
                assert_eq!(VoteState::parse(&bytes[..cut]), Err(VoteLayoutError::TooShort), "cut at {cut}");
            }
        }
    }
}

#[test]
fn v3_and_1_14_11_as_the_sdk_writes_them() {
    for root in [None, Some(42)] {
        let bytes = bincode::serialize(&VoteStateVersions::V3(Box::new(v3(root)))).unwrap();
        let state = VoteState::parse(&bytes).unwrap();
        check_shared_fields(&state, root, true);
        assert_eq!(state.version, VoteStateVersion::V3);
        assert_eq!((state.inflation_rewards_commission_bps, state.commission_percent()), (20_000, 200));
        assert_eq!((state.bls_pubkey, state.inflation_rewards_collector), (None, None));

        let old = VoteStateVersions::V1_14_11(Box::new(VoteState1_14_11::from(v3(root))));
        let state = VoteState::parse(&bincode::serialize(&old).unwrap()).unwrap();
        check_shared_fields(&state, root, false);
        assert_eq!(state.version, VoteStateVersion::V1_14_11);
    }
}

/// The SDK no longer knows this layout; the fields are put together by hand as vote_state_0_23_5.rs had them.
#[test]
fn v0_23_5_by_hand() {
    let mut bytes = 0_u32.to_le_bytes().to_vec();
    bytes.extend(key(1).to_bytes());
    bytes.extend(key(9).to_bytes());
    bytes.extend(6_u64.to_le_bytes());
    bytes.extend(vec![0; 32 * 56 + 8]);
    bytes.extend(key(2).to_bytes());
    bytes.push(10);
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(17_u64.to_le_bytes());
    bytes.extend(3_u32.to_le_bytes());
    bytes.push(1);
    bytes.extend(16_u64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(17_u64.to_le_bytes());
    bytes.extend(1_600_000_000_i64.to_le_bytes());
    let state = VoteState::parse(&bytes).unwrap();
    assert_eq!(state.votes, [LandedVote { slot: 17, confirmation_count: 3, latency: 0 }]);
    assert_eq!((state.node, state.authorized_withdrawer, state.root), (key(1), key(2), Some(16)));
    assert_eq!((state.authorized_voter(5), state.authorized_voter(6)), (None, Some(&key(9))));
    assert_eq!((state.commission_percent(), state.credits()), (10, 0));
    assert_eq!(VoteState::parse(&bytes[..bytes.len() - 1]), Err(VoteLayoutError::TooShort));
}

#[test]
fn authorized_voter_is_carried_forward() {
    let state = VoteState::parse(&bincode::serialize(&VoteStateVersions::new_v4(v4(true, None))).unwrap()).unwrap();
    assert_eq!(state.authorized_voter(2), None);
    assert_eq!(state.authorized_voter(3), Some(&key(30)));
    assert_eq!(state.authorized_voter(4), Some(&key(30)));
    assert_eq!(state.authorized_voter(5), Some(&key(50)));
    assert_eq!(state.authorized_voter(u64::MAX), Some(&key(50)));
}

#[test]
fn nonsense_is_named() {
    assert_eq!(VoteState::parse(&[4, 0, 0, 0]), Err(VoteLayoutError::UnknownVersion(4)));
    let mut bytes = bincode::serialize(&VoteStateVersions::new_v4(VoteStateV4::default())).unwrap();
    let bls_tag = 4 + 4 * 32 + 2 + 2 + 8;
    bytes[bls_tag] = 2;
    assert_eq!(VoteState::parse(&bytes), Err(VoteLayoutError::BadOption(2)));
    bytes[bls_tag] = 0;
    bytes[bls_tag + 2] = 1;
    assert_eq!(VoteState::parse(&bytes), Err(VoteLayoutError::ListTooLong(256)));
}

proptest! {
    #[test]
    fn garbage_never_panics(tag in 0_u8..5, mut bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 4..4000)) {
        bytes[..4].copy_from_slice(&[tag, 0, 0, 0]);
        let _ = VoteState::parse(&bytes);
    }
}
