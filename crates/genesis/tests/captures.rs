//! Golden data: ledgers made by agave (README.md of the captures). From genesis.bin alone we must find the shred version
//! of the cluster, the last blockhash agave's bank 0 had, the very shreds of slot 0 up to the signature agave throws away,
//! and the block id that slot 1 names.
//!
//! The folder is `$TANDEM_SHARED/captures`, or `../shared/captures` beside the workspace. Without it the tests say so
//! and pass.

use {
    solana_account::AccountSharedData,
    solana_vote_interface::state::VoteStateV4,
    std::{
        fs::{self, File},
        io::{BufReader, Read},
        path::{Path, PathBuf},
    },
    tandem_epoch::{EpochFeatures, EpochStakes, LeaderSchedule, MAX_ADMITTED_VOTE_ACCOUNTS, StakeMath, StakesCache},
    tandem_genesis::Genesis,
    tandem_shred::Shred,
    tandem_types::Pubkey,
};

#[test]
fn all_features_200ms() {
    check("all-features-200ms");
}

#[test]
fn forks_real_poh() {
    check("forks-real-poh");
}

#[test]
fn stakes_programs_12_epochs() {
    check("stakes-programs-12-epochs");
}

/// Two validators with 80 % and 20 % of the stake: each shred is signed by whom the schedule names. The stakes of epoch 2 are
/// those at the end of epoch 0, which are the genesis' as well.
#[test]
fn leaders_of_the_first_epochs_signed_their_shreds() {
    let Some(folder) = captures().map(|folder| folder.join("forks-real-poh")) else {
        println!("SKIPPED leaders: no captures; set TANDEM_SHARED to the folder that holds `captures`");
        return;
    };
    let genesis = Genesis::load(&folder.join("genesis.bin")).expect("a genesis made by agave");
    let accounts: Vec<(Pubkey, AccountSharedData)> =
        genesis.config.accounts.iter().map(|(key, account)| (*key, account.clone().into())).collect();
    let math = StakeMath { new_rate_activation_epoch: Some(0), fixed_point: true };
    let features = EpochFeatures { stake_math: math, validator_admission_ticket: true, ..EpochFeatures::default() };
    let cache = StakesCache::from_genesis(accounts.iter().map(|(key, account)| (key, account)), &features.stake_math);
    let rent_min = genesis.config.rent.minimum_balance(VoteStateV4::size_of());
    let admitted = cache.vote_accounts().admitted(MAX_ADMITTED_VOTE_ACCOUNTS, rent_min);
    assert_eq!((admitted.len(), cache.delegations_len()), (2, 2));
    let schedule = genesis.epoch_schedule();
    let schedules = [0, 1, 2].map(|epoch| {
        let stakes = EpochStakes::new(epoch, admitted.clone());
        LeaderSchedule::new(epoch, schedule.get_slots_in_epoch(epoch), &stakes).expect("validators with stake")
    });
    let mut signed_by = std::collections::BTreeMap::<Pubkey, usize>::new();
    for_each_shred(&folder, |shred| {
        let (epoch, index) = schedule.get_epoch_and_slot_index(shred.slot());
        let Some(leaders) = schedules.get(epoch as usize) else { return false };
        // Slot 0 is signed by a key that was thrown away.
        if shred.slot() > 0 {
            let leader = leaders.slot_leader(index).identity;
            assert!(shred.verify(&leader), "slot {} is not signed by {leader}", shred.slot());
            *signed_by.entry(leader).or_default() += 1;
        }
        true
    });
    println!("shreds by leader: {signed_by:?}");
    assert_eq!(signed_by.len(), 2, "both validators led");
}

fn check(name: &str) {
    let Some(folder) = captures().map(|folder| folder.join(name)) else {
        println!("SKIPPED {name}: no captures; set TANDEM_SHARED to the folder that holds `captures`");
        return;
    };
    let genesis = Genesis::load(&folder.join("genesis.bin")).expect("a genesis made by agave");
    assert_eq!(genesis.hash, genesis.config.hash());
    let zero = genesis.slot_zero();
    let shreds = first_shreds(&folder);
    let of_slot = |slot| shreds.iter().filter(move |shred| shred.slot() == slot);

    // create_new_ledger stores the data shreds of slot 0 only.
    let ours: Vec<_> = zero.data_shreds.iter().map(unsigned).collect();
    let theirs: Vec<_> = of_slot(0).map(unsigned).collect();
    assert!(ours == theirs, "{name}: slot 0 differs");

    let first = of_slot(1).find(|shred| shred.index() == 0).expect("the capture has slot 1");
    assert_eq!(first.chained_root(), zero.block_id.0, "{name}: block id of slot 0");
    assert_eq!(first.version(), genesis.shred_version, "{name}: shred version");

    let banks = fs::read_to_string(folder.join("banks.jsonl")).expect("the capture's banks");
    let bank: serde_json::Value = banks
        .lines()
        .map(|line| serde_json::from_str(line).expect("a bank"))
        .find(|bank: &serde_json::Value| bank["slot"] == 0)
        .expect("bank 0");
    assert_eq!(bank["last_blockhash"], zero.last_blockhash.to_string(), "{name}: last blockhash of slot 0");
    println!("{name}: genesis {}, block id {}", genesis.hash, zero.block_id);
}

/// All that is not made with the throw-away key.
fn unsigned(shred: &Shred) -> Vec<u8> {
    shred.payload()[64..].to_vec()
}

fn first_shreds(folder: &Path) -> Vec<Shred> {
    let mut shreds = Vec::new();
    for_each_shred(folder, |shred| {
        let wanted = shred.slot() <= 1;
        shreds.extend(wanted.then_some(shred));
        wanted
    });
    shreds
}

/// Ascending by slot, as long as `each` wants more.
fn for_each_shred(folder: &Path, mut each: impl FnMut(Shred) -> bool) {
    let file = File::open(folder.join("shreds.bin.zst")).expect("the capture's shreds");
    let mut decoder = zstd::Decoder::new(BufReader::new(file)).expect("zstd");
    decoder.window_log_max(27).expect("the window the captures were made with");
    loop {
        let mut len = [0; 4];
        decoder.read_exact(&mut len).expect("more slots follow");
        let mut payload = vec![0; u32::from_le_bytes(len) as usize];
        decoder.read_exact(&mut payload).expect("a whole shred");
        if !each(Shred::parse(payload).expect("a valid shred")) {
            return;
        }
    }
}

fn captures() -> Option<PathBuf> {
    let shared = match std::env::var_os("TANDEM_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?.join("shared"),
    };
    let folder = shared.join("captures");
    folder.is_dir().then_some(folder)
}
