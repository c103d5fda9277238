//! Oracle: agave's own solana-genesis makes a genesis of the same keys, and ours must be equal account by account.
//!
//! The unpacked peer (`bin/`, `programs/`, `peer-genesis.sh`) is `$TANDEM_PEER`, or is unpacked from `../shared/peer` beside
//! the workspace. Without it the tests say so and pass.

use {
    std::{
        fs,
        path::{Path, PathBuf},
        process::{Command, Stdio},
        sync::OnceLock,
        time::Duration,
    },
    tandem_genesis::{
        DevelopmentGenesis, Genesis, ValidatorSpec, bls_pubkey, features_for_steady_slots, standard_programs,
    },
    tandem_types::{Keypair, Pubkey, Signer},
};

/// What one run of peer-genesis.sh is asked for.
struct Case {
    validators: u8,
    slots_per_epoch: u64,
    hashes_per_tick: Option<u64>,
    all_features: bool,
    /// Stake of all but the first.
    stake_lamports: Option<u64>,
}

#[test]
fn two_validators_as_on_a_desk() {
    check(Case {
        validators: 2,
        slots_per_epoch: 8_192,
        hashes_per_tick: None,
        all_features: false,
        stake_lamports: None,
    });
}

#[test]
fn every_feature_with_hashes_and_unequal_stake() {
    check(Case {
        validators: 3,
        slots_per_epoch: 64,
        hashes_per_tick: Some(500),
        all_features: true,
        stake_lamports: Some(3_000_000_000),
    });
}

fn check(case: Case) {
    let Some(peer) = peer() else {
        println!("SKIPPED: no agave peer; set TANDEM_PEER to the folder setup.sh unpacked it into");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = Keys::write(&folder.path().join("keys"), case.validators);
    let ledger = run_solana_genesis(peer, folder.path(), &case);
    let theirs = Genesis::load(&ledger.join("genesis.bin")).expect("agave's genesis.bin");
    assert_eq!(Genesis::load(&ledger.join("genesis.tar.bz2")).expect("agave's archive"), theirs);

    let ours = keys.genesis(&case, theirs.config.creation_time).build().expect("the same cluster");
    let addresses = |genesis: &Genesis| genesis.config.accounts.keys().copied().collect::<Vec<Pubkey>>();
    assert_eq!(addresses(&ours), addresses(&theirs));
    for (address, account) in &theirs.config.accounts {
        assert_eq!(&ours.config.accounts[address], account, "account {address}");
    }
    assert_eq!(ours.config, theirs.config);
    assert_eq!(ours.hash, theirs.hash);
    println!("{} accounts are equal, genesis hash {}", ours.config.accounts.len(), ours.hash);
}

#[test]
fn bls_key_as_solana_keygen_derives_it() {
    let Some(peer) = peer() else {
        println!("SKIPPED: no agave peer; set TANDEM_PEER to the folder setup.sh unpacked it into");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let identity = Keypair::new_from_array([77; 32]);
    let path = folder.path().join("identity.json");
    write_key(&path, &identity);
    let output =
        Command::new(peer.join("bin/solana-keygen")).arg("bls_pubkey").arg(&path).output().expect("solana-keygen runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let ours = bls_pubkey(&identity).expect("a BLS key");
    assert_eq!(printed.trim(), bs58::encode(ours).into_string(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Keys {
    faucet: Keypair,
    validators: Vec<[Keypair; 3]>,
}

impl Keys {
    /// peer-genesis.sh makes only the keys that are not there.
    fn write(folder: &Path, validators: u8) -> Self {
        fs::create_dir_all(folder).expect("the folder of keys");
        let key = |name: String, seed: u8| {
            let key = Keypair::new_from_array([seed; 32]);
            write_key(&folder.join(format!("{name}.json")), &key);
            key
        };
        let roles = |index: u8| {
            let role = |name, seed| key(format!("{name}-{index}"), 10 * (index + 1) + seed);
            [role("identity", 0), role("vote", 1), role("stake", 2)]
        };
        Self { faucet: key("faucet".into(), 1), validators: (0..validators).map(roles).collect() }
    }

    fn genesis(&self, case: &Case, creation_time: i64) -> DevelopmentGenesis {
        let specs = self.validators.iter().enumerate().map(|(index, [identity, vote, stake])| ValidatorSpec {
            identity: identity.pubkey(),
            vote: vote.pubkey(),
            stake: stake.pubkey(),
            lamports: 500_000_000_000,
            stake_lamports: case.stake_lamports.filter(|_| index > 0).unwrap_or(10_000_000_000_000),
            bls: None,
        });
        let genesis =
            DevelopmentGenesis::new(creation_time, self.faucet.pubkey(), 500_000_000_000_000_000, specs.collect());
        DevelopmentGenesis {
            slots_per_epoch: case.slots_per_epoch,
            hashes_per_tick: case.hashes_per_tick,
            deactivated_features: if case.all_features { Vec::new() } else { features_for_steady_slots() },
            programs: standard_programs(&genesis.rent),
            ..genesis
        }
    }
}

fn write_key(path: &Path, key: &Keypair) {
    let bytes = key.to_bytes().to_vec();
    fs::write(path, serde_json::to_string(&bytes).expect("numbers")).expect("writing a key");
}

fn run_solana_genesis(peer: &Path, folder: &Path, case: &Case) -> PathBuf {
    let hashes = case.hashes_per_tick.map_or("sleep".to_owned(), |hashes| hashes.to_string());
    let mut command = Command::new(peer.join("peer-genesis.sh"));
    command.arg(folder).args([case.validators.to_string(), case.slots_per_epoch.to_string(), hashes]);
    command.env("PEER_ALL_FEATURES", if case.all_features { "1" } else { "0" }).env_remove("PEER_STAKE");
    if let Some(stake) = case.stake_lamports {
        command.env("PEER_STAKE", stake.to_string());
    }
    let output = command.output().expect("peer-genesis.sh runs");
    assert!(output.status.success(), "peer-genesis.sh: {}", String::from_utf8_lossy(&output.stderr));
    folder.join("genesis-ledger")
}

/// `None` if nobody put a peer beside the workspace.
fn peer() -> Option<&'static Path> {
    static PEER: OnceLock<Option<PathBuf>> = OnceLock::new();
    PEER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("TANDEM_PEER") {
            return Some(PathBuf::from(folder)).filter(|folder| folder.join("bin/solana-genesis").is_file());
        }
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?.join("shared/peer");
        let setup = packed.join("setup.sh");
        if !setup.is_file() {
            return None;
        }
        // setup.sh keeps what it unpacked before, so later runs are quick. Tests may be processes of their own: one unpacks,
        // the others wait.
        let lock = fs::File::create(std::env::temp_dir().join("tandem-peer.lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let output = Command::new(&setup).stderr(Stdio::inherit()).output().expect("setup.sh runs");
        assert!(output.status.success(), "{} failed", setup.display());
        Some(PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim()))
    })
    .as_deref()
}

/// The genesis our tests compare must be the one agave would pace its slots by.
#[test]
fn tick_duration_is_the_default() {
    let genesis = DevelopmentGenesis::new(0, Pubkey::default(), 1, Vec::new());
    assert_eq!(genesis.slot_duration / 64, Duration::from_micros(6_250));
}
