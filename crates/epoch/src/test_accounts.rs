//! Vote and stake accounts for tests.

use {
    crate::vote_account::VoteAccount,
    solana_account::AccountSharedData,
    solana_stake_interface::{
        stake_flags::StakeFlags,
        state::{Delegation, Meta, Stake, StakeStateV2},
    },
    solana_vote_interface::{
        authorized_voters::AuthorizedVoters,
        state::{VoteStateV4, VoteStateVersions},
    },
    tandem_types::{Epoch, Pubkey},
};

pub fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

pub fn vote_data(state: VoteStateV4) -> AccountSharedData {
    vote_data_with_lamports(state, 1_000_000_000)
}

pub fn vote_data_with_lamports(state: VoteStateV4, lamports: u64) -> AccountSharedData {
    let mut data = bincode::serialize(&VoteStateVersions::new_v4(state)).unwrap();
    data.resize(VoteStateV4::size_of(), 0);
    AccountSharedData::new_rent_epoch_and_data(lamports, data)
}

trait NewVote {
    fn new_rent_epoch_and_data(lamports: u64, data: Vec<u8>) -> AccountSharedData;
}

impl NewVote for AccountSharedData {
    fn new_rent_epoch_and_data(lamports: u64, data: Vec<u8>) -> AccountSharedData {
        let mut account = AccountSharedData::new(lamports, 0, &solana_sdk_ids::vote::id());
        account.set_data_from_slice(&data);
        account
    }
}

pub fn vote_account(node: Pubkey, bls: Option<[u8; 48]>, lamports: u64) -> VoteAccount {
    let state = VoteStateV4 {
        node_pubkey: node,
        bls_pubkey_compressed: bls,
        authorized_voters: AuthorizedVoters::new(0, node),
        ..VoteStateV4::default()
    };
    VoteAccount::parse(&vote_data_with_lamports(state, lamports)).unwrap()
}

pub fn vote_account_with_voters(node: Pubkey, voters: &[(Epoch, Pubkey)]) -> VoteAccount {
    let mut authorized_voters = AuthorizedVoters::default();
    for (epoch, voter) in voters {
        authorized_voters.insert(*epoch, *voter);
    }
    let state = VoteStateV4 { node_pubkey: node, authorized_voters, ..VoteStateV4::default() };
    VoteAccount::parse(&vote_data(state)).unwrap()
}

pub fn stake_account(vote: Pubkey, lamports: u64, stake: Stake) -> AccountSharedData {
    assert_eq!(vote, stake.delegation.voter_pubkey);
    let state = StakeStateV2::Stake(Meta::default(), stake, StakeFlags::empty());
    let mut account = AccountSharedData::new(lamports, StakeStateV2::size_of(), &solana_sdk_ids::stake::id());
    let mut data = bincode::serialize(&state).unwrap();
    data.resize(StakeStateV2::size_of(), 0);
    account.set_data_from_slice(&data);
    account
}

pub fn stake(vote: Pubkey, stake: u64, activation: Epoch, deactivation: Epoch) -> Stake {
    Stake {
        delegation: Delegation {
            voter_pubkey: vote,
            stake,
            activation_epoch: activation,
            deactivation_epoch: deactivation,
            ..Delegation::default()
        },
        credits_observed: 0,
    }
}
