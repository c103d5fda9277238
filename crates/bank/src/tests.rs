//! A small chain of one validator, and what a bank promises about it.

use {
    crate::{Bank, DeadBlock, Fate, Mode, PreparedTx, Verify},
    agave_feature_set::FEATURE_NAMES,
    solana_account::{Account, AccountSharedData, ReadableAccount},
    solana_cost_model::cost_tracker::CostTrackerLimits,
    solana_feature_gate_interface::{self as feature, Feature},
    solana_genesis_config::GenesisConfig,
    solana_instruction::Instruction,
    solana_keypair::Keypair,
    solana_loader_v3_interface::{get_program_data_address, state::UpgradeableLoaderState},
    solana_rent::Rent,
    solana_sdk_ids::{stake, system_program, vote},
    solana_signer::Signer,
    solana_stake_interface::{
        stake_flags::StakeFlags,
        state::{Delegation, Meta, Stake, StakeStateV2},
    },
    solana_transaction::Transaction,
    solana_transaction_error::TransactionError,
    solana_vote_interface::{
        authorized_voters::AuthorizedVoters,
        state::{VoteStateV4, VoteStateVersions},
    },
    std::sync::Arc,
    tandem_entry::Entry,
    tandem_types::{EpochSchedule, Hash, Pubkey, Slot, VersionedTransaction},
};

const SOL: u64 = 1_000_000_000;
const SLOTS_PER_EPOCH: u64 = 32;

pub(crate) struct World {
    pub(crate) start: Arc<Bank>,
    payers: Vec<Keypair>,
    identity: Pubkey,
}

/// Slot 0, frozen, every feature on but Alpenglow.
fn world() -> World {
    world_with(Vec::new())
}

/// As `world`, with accounts that are added or stand in for others.
pub(crate) fn world_with(accounts: Vec<(Pubkey, AccountSharedData)>) -> World {
    let payers: Vec<Keypair> = (1..=8u8).map(|n| Keypair::new_from_array([n; 32])).collect();
    let identity = Pubkey::new_from_array([100; 32]);
    let mut genesis = GenesisConfig {
        creation_time: 1_700_000_000,
        epoch_schedule: EpochSchedule::custom(SLOTS_PER_EPOCH, SLOTS_PER_EPOCH, false),
        ..GenesisConfig::default()
    };
    let mut put = |pubkey: Pubkey, account: AccountSharedData| {
        genesis.accounts.insert(pubkey, Account::from(account));
    };
    put(identity, AccountSharedData::new(500 * SOL, 0, &system_program::id()));
    for payer in &payers {
        put(payer.pubkey(), AccountSharedData::new(100 * SOL, 0, &system_program::id()));
    }
    put(Pubkey::new_from_array([101; 32]), vote_account(identity));
    put(Pubkey::new_from_array([102; 32]), stake_account(Pubkey::new_from_array([101; 32])));
    for id in FEATURE_NAMES.keys().filter(|id| **id != agave_feature_set::alpenglow::id()) {
        put(*id, feature::create_account(&Feature { activated_at: Some(0) }, 1_000_000));
    }
    accounts.into_iter().for_each(|(pubkey, account)| put(pubkey, account));
    let start = Bank::from_genesis(&genesis, Hash::new_from_array([9; 32])).unwrap();
    finish(&start);
    World { start, payers, identity }
}

fn vote_account(identity: Pubkey) -> AccountSharedData {
    let state = VoteStateV4 {
        node_pubkey: identity,
        block_revenue_collector: identity,
        bls_pubkey_compressed: Some([0; 48]),
        authorized_voters: AuthorizedVoters::new(0, identity),
        authorized_withdrawer: identity,
        ..VoteStateV4::default()
    };
    let mut data = bincode::serialize(&VoteStateVersions::new_v4(state)).unwrap();
    data.resize(VoteStateV4::size_of(), 0);
    let mut account = AccountSharedData::new(10 * SOL, 0, &vote::id());
    account.set_data_from_slice(&data);
    account
}

fn stake_account(vote: Pubkey) -> AccountSharedData {
    let delegation =
        Delegation { voter_pubkey: vote, stake: 1000 * SOL, activation_epoch: u64::MAX, ..Delegation::default() };
    let state = StakeStateV2::Stake(Meta::default(), Stake { delegation, credits_observed: 0 }, StakeFlags::empty());
    let mut data = bincode::serialize(&state).unwrap();
    data.resize(200, 0);
    let mut account = AccountSharedData::new(1001 * SOL, 0, &stake::id());
    account.set_data_from_slice(&data);
    account
}

/// Ticks to the end, then freezes.
fn finish(bank: &Bank) -> Hash {
    while !bank.is_complete() {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&bank.tick_height().to_le_bytes());
        hash[8..16].copy_from_slice(&bank.slot().to_le_bytes());
        bank.register_tick(&Hash::new_from_array(hash));
    }
    bank.freeze();
    bank.hash()
}

fn transfer(bank: &Bank, from: &Keypair, to: Pubkey, lamports: u64) -> VersionedTransaction {
    solana_system_transaction::transfer(from, &to, lamports, bank.last_blockhash()).into()
}

fn prepared(bank: &Bank, txs: &[VersionedTransaction]) -> Vec<PreparedTx> {
    txs.iter().map(|tx| bank.prepare(tx.clone(), Verify::Signatures).unwrap()).collect()
}

fn lamports(bank: &Bank, pubkey: &Pubkey) -> u64 {
    bank.account(pubkey).map_or(0, |account| account.lamports())
}

fn new_key(n: u8) -> Pubkey {
    Pubkey::new_from_array([n; 32])
}

/// Capitalization is what all accounts hold together.
fn assert_sum(bank: &Bank) {
    let sum: u64 = bank.scan_accounts(|_, _| true).iter().map(|(_, account)| account.lamports()).sum();
    assert_eq!(bank.capitalization(), sum);
}

#[test]
fn a_transfer_moves_lamports_and_half_its_fee_burns() {
    let World { start, payers, identity } = world();
    let bank = Bank::child(&start, 1);
    let tx = transfer(&bank, &payers[0], new_key(50), SOL);
    let infos = bank.execute_entry(vec![tx.clone()], Verify::Signatures).unwrap();
    assert_eq!((infos[0].status.clone(), infos[0].fee), (Ok(()), 5000));
    assert_eq!(lamports(&bank, &new_key(50)), SOL);
    assert_eq!(lamports(&bank, &payers[0].pubkey()), 99 * SOL - 5000);
    assert_eq!(bank.signature_status(&tx.signatures[0]), Some((1, Ok(()))));
    let leader_before = lamports(&bank, &identity);
    finish(&bank);
    assert_eq!(lamports(&bank, &identity), leader_before + 2500);
    assert_eq!((bank.transaction_count(), bank.signature_count()), (1, 1));
    assert_sum(&bank);
    assert_eq!(lamports(&start, &new_key(50)), 0, "the parent does not change");
}

#[test]
fn a_failing_transfer_pays_and_changes_nothing_else() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    let tx = transfer(&bank, &payers[0], new_key(50), 1000 * SOL);
    let infos = bank.execute_entry(vec![tx], Verify::Signatures).unwrap();
    assert!(matches!(infos[0].status, Err(TransactionError::InstructionError(0, _))));
    assert_eq!(lamports(&bank, &payers[0].pubkey()), 100 * SOL - 5000);
    assert_eq!(bank.account(&new_key(50)), None);
}

#[test]
fn an_entry_with_one_bad_transaction_kills_the_block_and_commits_nothing() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    let good = transfer(&bank, &payers[0], new_key(50), SOL);
    let unknown_blockhash: VersionedTransaction =
        solana_system_transaction::transfer(&payers[1], &new_key(51), 1, Hash::new_from_array([1; 32])).into();
    let dead = bank.execute_entry(vec![good.clone(), unknown_blockhash], Verify::Signatures).unwrap_err();
    assert!(matches!(dead, DeadBlock::Transaction { error: TransactionError::BlockhashNotFound, .. }));
    assert_eq!(bank.account(&new_key(50)), None);

    let mut forged = good;
    forged.signatures[0] = Default::default();
    let dead = bank.execute_entry(vec![forged], Verify::Signatures).unwrap_err();
    assert!(matches!(dead, DeadBlock::Transaction { error: TransactionError::SignatureFailure, .. }));
}

// 0 - 1 - 2
//      `- 3
#[test]
fn a_transaction_is_processed_once_per_fork() {
    let World { start, payers, .. } = world();
    let one = Bank::child(&start, 1);
    let tx = transfer(&one, &payers[0], new_key(50), SOL);
    let twice = one.execute_entry(vec![tx.clone(), tx.clone()], Verify::Signatures).unwrap_err();
    assert!(matches!(twice, DeadBlock::Transaction { error: TransactionError::AlreadyProcessed, .. }));
    finish(&one);
    let two = Bank::child(&one, 2);
    two.execute_entry(vec![tx.clone()], Verify::Signatures).unwrap();
    let again = two.execute_entry(vec![tx.clone()], Verify::Signatures).unwrap_err();
    assert!(matches!(again, DeadBlock::Transaction { error: TransactionError::AlreadyProcessed, .. }));
    let three = Bank::child(&one, 3);
    assert_eq!(three.signature_status(&tx.signatures[0]), None);
    three.execute_entry(vec![tx], Verify::Signatures).unwrap();
}

#[test]
fn batches_committed_from_many_threads_end_in_the_same_bank() {
    let World { start, payers, .. } = world();
    let txs: Vec<VersionedTransaction> =
        payers.iter().zip(50..).map(|(payer, n)| transfer(&start, payer, new_key(n), SOL)).collect();
    let sequential = Bank::child(&start, 1);
    for tx in &txs {
        sequential.execute_entry(vec![tx.clone()], Verify::Signatures).unwrap();
    }
    let expected = finish(&sequential);
    start.forks().purge(1);

    let concurrent = Bank::child(&start, 1);
    std::thread::scope(|scope| {
        for tx in &txs {
            let bank = &concurrent;
            scope.spawn(move || {
                let batch = prepared(bank, std::slice::from_ref(tx));
                let executed = bank.execute(&batch, Mode::Leader);
                assert!(executed.processed().all(|result| result.is_ok()));
                bank.commit(executed);
            });
        }
    });
    assert_eq!(finish(&concurrent), expected);
    start.forks().purge(1);

    // As entries of one replay, with conflicts between them: payer 0 pays in two entries.
    let replayed = Bank::child(&start, 1);
    let entry = |transactions| Entry { num_hashes: 1, hash: Hash::default(), transactions };
    let entries = txs.iter().map(|tx| entry(vec![tx.clone()])).collect();
    assert_eq!(replayed.execute_entries(entries, Verify::Signatures).unwrap().len(), txs.len());
    assert_eq!(finish(&replayed), expected);
}

#[test]
fn entries_that_conflict_run_in_order() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    // The second can only be paid from the first.
    let between = Keypair::new_from_array([77; 32]);
    let first = transfer(&bank, &payers[0], between.pubkey(), 2 * SOL);
    let second = transfer(&bank, &between, new_key(60), SOL);
    let entry = |transactions| Entry { num_hashes: 1, hash: Hash::default(), transactions };
    bank.execute_entries(vec![entry(vec![first]), entry(vec![]), entry(vec![second])], Verify::Signatures).unwrap();
    assert_eq!(lamports(&bank, &new_key(60)), SOL);
    assert_eq!(bank.tick_height(), start.tick_height() + 1);
}

#[test]
fn results_that_are_not_committed_leave_no_trace() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    let txs = prepared(&bank, &[transfer(&bank, &payers[0], new_key(50), SOL)]);
    let executed = bank.execute(&txs, Mode::Leader);
    assert!(bank.block_cost().used > 0, "a leader reserves before it knows what a transaction costs");
    drop(executed);
    assert_eq!(bank.block_cost().used, 0);
    assert_eq!((bank.account(&new_key(50)), bank.signature_count()), (None, 0));

    let executed = bank.execute(&txs, Mode::Leader);
    assert_eq!(executed.fates().collect::<Vec<_>>(), [Fate::Processed]);
    bank.commit(executed);
    let leader_cost = bank.block_cost().used;
    let again = bank.execute(&txs, Mode::Leader);
    assert_eq!(again.fates().collect::<Vec<_>>(), [Fate::Never], "it is in this block already");
    drop(again);
    finish(&bank);
    start.forks().purge(1);
    let replayed = Bank::child(&start, 1);
    replayed.execute_prepared(&txs).unwrap();
    assert_eq!(replayed.block_cost().used, leader_cost, "leader and replay agree on what it did cost");
}

#[test]
fn a_full_block_refuses_ours_and_kills_theirs() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    bank.costs.lock().unwrap().set_limits(CostTrackerLimits::new(100, 100, 100));
    let txs = prepared(&bank, &[transfer(&bank, &payers[0], new_key(50), SOL)]);
    let executed = bank.execute(&txs, Mode::Leader);
    assert_eq!(executed.processed().collect::<Vec<_>>(), [Err(&TransactionError::WouldExceedMaxBlockCostLimit)]);
    assert_eq!(executed.fates().collect::<Vec<_>>(), [Fate::Later], "the next block may have room");
    drop(executed);
    assert!(matches!(bank.execute_prepared(&txs), Err(DeadBlock::Cost { .. })));
}

#[test]
fn freezing_waits_for_whoever_holds_the_bank_open() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    let txs = prepared(&bank, &[transfer(&bank, &payers[0], new_key(50), SOL)]);
    std::thread::scope(|scope| {
        let open = bank.hold_open().unwrap();
        let freezer = scope.spawn(|| bank.freeze());
        let executed = bank.execute(&txs, Mode::Leader);
        assert!(!bank.is_frozen());
        bank.commit_held(&open, executed);
        drop(open);
        freezer.join().unwrap();
    });
    assert!(bank.is_frozen() && bank.hold_open().is_none());
    assert_eq!(lamports(&bank, &new_key(50)), SOL, "what was executed before the end is in the block");
}

#[test]
fn a_simulation_changes_nothing() {
    let World { start, payers, .. } = world();
    let bank = Bank::child(&start, 1);
    finish(&bank);
    let tx = bank.prepare(transfer(&bank, &payers[0], new_key(50), SOL), Verify::Done).unwrap();
    let simulated = bank.simulate(&tx, true);
    assert_eq!((simulated.err, simulated.fee), (None, Some(5000)));
    assert!(simulated.logs.iter().any(|line| line.contains("success")));
    assert_eq!(simulated.post_accounts[1].1.lamports(), SOL);
    assert_eq!(bank.account(&new_key(50)), None);
    assert_eq!(bank.fee_for_message(&tx), Some(5000));
}

#[test]
fn a_blockhash_is_good_for_150_blocks() {
    let World { start, payers, .. } = world();
    let hash = start.last_blockhash();
    let mut bank = start;
    assert_eq!(bank.blockhash_last_valid_block_height(&hash), Some(150));
    let old = transfer(&bank, &payers[0], new_key(50), SOL);
    for slot in 1..=151 {
        bank = Bank::child(&bank, slot);
        if slot == 151 {
            bank.execute_entry(vec![old.clone()], Verify::Signatures).unwrap();
        }
        finish(&bank);
        if slot % 40 == 0 {
            bank.forks().set_root(&bank);
        }
    }
    assert!(!bank.is_blockhash_valid(&hash));
    let next = Bank::child(&bank, 152);
    let dead = next.execute_entry(vec![old], Verify::Signatures).unwrap_err();
    assert!(matches!(dead, DeadBlock::Transaction { error: TransactionError::BlockhashNotFound, .. }));
}

// 0 - 1 - 2 - 4
//      `- 3
#[test]
fn a_new_root_keeps_its_line_and_drops_the_rest() {
    let World { start, payers, .. } = world();
    let one = Bank::child(&start, 1);
    finish(&one);
    let two = Bank::child(&one, 2);
    two.execute_entry(vec![transfer(&one, &payers[0], new_key(50), SOL)], Verify::Signatures).unwrap();
    finish(&two);
    let three = Bank::child(&one, 3);
    three.execute_entry(vec![transfer(&one, &payers[1], new_key(51), SOL)], Verify::Signatures).unwrap();
    finish(&three);
    let report = start.forks().set_root(&two);
    assert_eq!((report.rooted.as_slice(), report.dropped.as_slice()), (&[1, 2][..], &[3][..]));
    assert!(two.parent().is_none());
    let four = Bank::child(&two, 4);
    assert_eq!(lamports(&four, &new_key(50)), SOL);
    assert_eq!(four.account(&new_key(51)), None);
    assert_sum(&four);
    assert_eq!(start.forks().set_root(&one).rooted, [] as [Slot; 0], "a root never moves back");
}

#[test]
fn a_boundary_that_skips_epochs_is_survived() {
    let World { start, .. } = world();
    let far = Bank::child(&start, 5 * SLOTS_PER_EPOCH + 3);
    assert_eq!((far.epoch(), far.leader()), (5, Default::default()));
    finish(&far);
    assert_sum(&far);
}

#[test]
fn a_long_unrooted_line_can_be_dropped() {
    let World { start, .. } = world();
    let mut bank = start;
    for slot in 1..=1500 {
        bank = Bank::child(&bank, slot);
        bank.freeze();
    }
    std::thread::Builder::new().stack_size(64 * 1024).spawn(move || drop(bank)).unwrap().join().unwrap();
}

#[test]
fn schedules_and_stakes_are_known_for_this_epoch_and_the_next() {
    let World { start, identity, .. } = world();
    assert_eq!(start.leader().identity, identity);
    assert_eq!(start.leader_at(2 * SLOTS_PER_EPOCH - 1).map(|leader| leader.identity), Some(identity));
    assert_eq!(start.leader_at(2 * SLOTS_PER_EPOCH), None);
    assert_eq!(start.epoch_stakes(1).unwrap().total_stake(), 1000 * SOL);
    let next = Bank::child(&start, SLOTS_PER_EPOCH);
    assert!(next.leader_schedule(2).is_some());
    // The 200 ms row holds from the second epoch on.
    assert_eq!((start.ns_per_slot(), next.ns_per_slot()), (400_000_000, 200_000_000));
}

/// Features that wait at a boundary: the rent rate falls, the token and the stake program are replaced from buffers.
#[test]
fn pending_features_take_effect_at_the_boundary() {
    use agave_feature_set::{
        replace_spl_token_with_p_token as p_token, set_lamports_per_byte_to_696,
        upgrade_bpf_stake_program_to_v5_1 as v5_1,
    };
    let rent = Rent::default();
    let pending = |id: Pubkey| (id, feature::create_account(&Feature { activated_at: None }, 1_000_000));
    let token = solana_program_binaries::by_id(&p_token::SPL_TOKEN_PROGRAM_ID, &rent).unwrap();
    let token_elf = &token[1].1.data()[UpgradeableLoaderState::size_of_programdata_metadata()..];
    let stake_program = solana_program_binaries::by_id(&stake::id(), &rent).unwrap();
    let stake_elf = &stake_program[1].1.data()[UpgradeableLoaderState::size_of_programdata_metadata()..];
    let (_, old_token) =
        solana_program_binaries::bpf_loader_program_account(&p_token::SPL_TOKEN_PROGRAM_ID, token_elf, &rent);
    let token_data = get_program_data_address(&p_token::SPL_TOKEN_PROGRAM_ID);
    let mut accounts = vec![
        pending(set_lamports_per_byte_to_696::id()),
        pending(p_token::id()),
        pending(v5_1::id()),
        (p_token::SPL_TOKEN_PROGRAM_ID, old_token.into()),
        (token_data, AccountSharedData::new(77, 0, &system_program::id())),
        (p_token::PTOKEN_PROGRAM_BUFFER, buffer(token_elf, None)),
        (v5_1::buffer::id(), buffer(stake_elf, Some(Pubkey::default()))),
    ];
    accounts.extend(stake_program);
    let World { start, payers, .. } = world_with(accounts);
    assert_sum(&start);

    let first = Bank::child(&start, SLOTS_PER_EPOCH);
    assert_eq!(first.feature_set().activated_slot(&p_token::id()), Some(SLOTS_PER_EPOCH));
    let stored: Rent = first.sysvar(&solana_sdk_ids::sysvar::rent::id()).unwrap();
    assert_eq!((stored.lamports_per_byte, first.rent().lamports_per_byte), (696, 696));
    let loader = solana_sdk_ids::bpf_loader_upgradeable::id();
    assert_eq!(first.account(&p_token::SPL_TOKEN_PROGRAM_ID).unwrap().owner(), &loader);
    assert_eq!(first.account(&token_data).unwrap().owner(), &loader);
    assert_eq!(first.account(&p_token::PTOKEN_PROGRAM_BUFFER), None);
    assert_eq!(first.account(&v5_1::buffer::id()), None);
    let stake_data = first.account_with_slot(&get_program_data_address(&stake::id())).unwrap();
    assert_eq!(stake_data.1, SLOTS_PER_EPOCH);
    finish(&first);
    assert_sum(&first);

    // The new program is visible from the next slot on.
    let second = Bank::child(&first, SLOTS_PER_EPOCH + 1);
    let call = Instruction::new_with_bytes(p_token::SPL_TOKEN_PROGRAM_ID, &[255], vec![]);
    let tx =
        Transaction::new_signed_with_payer(&[call], Some(&payers[0].pubkey()), &[&payers[0]], second.last_blockhash());
    start.forks().record_transactions(true);
    let infos = second.execute_entry(vec![tx.into()], Verify::Signatures).unwrap();
    let logs = infos[0].logs.clone().unwrap();
    assert!(logs.iter().any(|line| line.contains("invoke [1]")) && infos[0].compute_units > 0, "{logs:?}");
    assert!(!logs.iter().any(|line| line.contains("not deployed")), "{logs:?}");
    assert_eq!(infos[0].balances.as_ref().unwrap().pre[0], 100 * SOL);
}

fn buffer(elf: &[u8], authority: Option<Pubkey>) -> AccountSharedData {
    let state = UpgradeableLoaderState::Buffer { authority_address: authority };
    let mut data = bincode::serialize(&state).unwrap();
    data.resize(UpgradeableLoaderState::size_of_buffer_metadata(), 0);
    data.extend_from_slice(elf);
    let mut account = AccountSharedData::new(5 * SOL, 0, &solana_sdk_ids::bpf_loader_upgradeable::id());
    account.set_data_from_slice(&data);
    account
}

#[test]
fn a_genesis_in_which_nobody_can_lead_has_a_slot_zero() {
    let vote = Pubkey::new_from_array([101; 32]);
    let good = world().start;
    // Tag 0: the layout of the first genesis files, which today counts as no vote account.
    let old = AccountSharedData::from(Account {
        lamports: SOL,
        data: vec![0; 3762],
        owner: vote::id(),
        ..Account::default()
    });
    let unstaked = AccountSharedData::new(SOL, 0, &system_program::id());
    for (account, with) in [(vote, old), (Pubkey::new_from_array([102; 32]), unstaked)] {
        let start = world_with(vec![(account, with)]).start;
        assert!(start.is_frozen() && start.hash() != good.hash());
        assert_eq!(start.slot(), 0);
        assert!(start.leader_schedule(0).is_none() && start.leader_at(1).is_none(), "nobody leads");
        assert_eq!(start.last_blockhash(), good.last_blockhash(), "its ticks are those of its genesis hash");
    }
}
