//! `validator genesis`: a development genesis, and the keypairs it needs when they are not there yet.

use {
    super::read_keypair,
    crate::{
        args::GenesisArgs,
        exit::{Failure, Status},
    },
    serde_json::json,
    std::{
        path::{Path, PathBuf},
        time::{SystemTime, UNIX_EPOCH},
    },
    tandem_genesis::{
        DevelopmentGenesis, GENESIS_FILE, Genesis, ValidatorSpec, bls_pubkey, features_for_steady_slots,
        standard_programs,
    },
    tandem_types::{Keypair, Pubkey, Signer},
};

pub fn genesis(ledger: &Path, args: &GenesisArgs) -> Result<(), Failure> {
    let file = ledger.join(GENESIS_FILE);
    if file.exists() {
        return Err(Failure::refused(format!(
            "{} is there already; another genesis would orphan its ledger",
            file.display()
        ))
        .remedy("remove that ledger folder, or name another with --ledger"));
    }
    let mut keys = KeyFiles::default();
    let genesis = describe(ledger, args, &mut keys)?.build().map_err(|error| Failure::caused(Status::Usage, &error))?;
    genesis.write(ledger).map_err(|error| Failure::caused(Status::Failed, &error))?;
    print(&genesis, &file, &keys.made, args.format.json());
    Ok(())
}

fn describe(ledger: &Path, args: &GenesisArgs, keys: &mut KeyFiles) -> Result<DevelopmentGenesis, Failure> {
    let validators: Vec<&[String]> = args.bootstrap_validator.chunks(3).collect();
    let stakes = &args.bootstrap_validator_stake_lamports;
    if stakes.len() != 1 && stakes.len() != validators.len() {
        return Err(Failure::usage(format!("{} stakes are given for {} validators", stakes.len(), validators.len()))
            .remedy("give --bootstrap-validator-stake-lamports once for all, or once for each"));
    }
    let mut specs = Vec::new();
    for (index, names) in validators.iter().enumerate() {
        let [identity, vote, stake] = names else {
            return Err(Failure::usage("--bootstrap-validator takes three keypair files: IDENTITY VOTE STAKE"));
        };
        let identity = keys.open(identity)?;
        let bls = match &identity {
            Key::Pair(keypair) => Some(bls_pubkey(keypair).map_err(|error| Failure::caused(Status::Failed, &error))?),
            // Whoever holds the key elsewhere registers the BLS key later.
            Key::Address(_) => None,
        };
        specs.push(ValidatorSpec {
            identity: identity.address(),
            vote: keys.open(vote)?.address(),
            stake: keys.open(stake)?.address(),
            lamports: args.bootstrap_validator_lamports,
            stake_lamports: stakes.get(index).or(stakes.first()).copied().unwrap_or_default(),
            bls,
        });
    }
    let default_faucet = ledger.join("faucet-keypair.json").display().to_string();
    let faucet = keys.open(args.faucet_pubkey.as_ref().unwrap_or(&default_faucet))?.address();
    let mut genesis = DevelopmentGenesis::new(creation_time(args), faucet, args.faucet_lamports, specs);
    genesis.slots_per_epoch = args.slots_per_epoch;
    genesis.hashes_per_tick = hashes_per_tick(&args.hashes_per_tick)?;
    genesis.programs = standard_programs(&genesis.rent);
    if !args.all_features {
        genesis.deactivated_features = features_for_steady_slots();
    }
    for feature in &args.deactivate_feature {
        genesis.deactivated_features.push(feature.parse().map_err(|error| {
            Failure::usage(format!("--deactivate-feature {feature}: {error}"))
                .remedy("give the feature's address in base58")
        })?);
    }
    Ok(genesis)
}

fn creation_time(args: &GenesisArgs) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    args.creation_time.unwrap_or_else(|| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

fn hashes_per_tick(text: &str) -> Result<Option<u64>, Failure> {
    match text {
        "sleep" => Ok(None),
        number => number.parse().map(Some).map_err(|error| {
            Failure::usage(format!("--hashes-per-tick {number}: {error}")).remedy("give a number, or `sleep`")
        }),
    }
}

fn print(genesis: &Genesis, file: &Path, made: &[PathBuf], json: bool) {
    if json {
        let report = json!({
            "genesisHash": genesis.hash.to_string(),
            "shredVersion": genesis.shred_version,
            "file": file,
            "keypairsMade": made,
        });
        println!("{report}");
        return;
    }
    for path in made {
        println!("Keypair made:  {}", path.display());
    }
    println!("Genesis hash:  {}", genesis.hash);
    println!("Shred version: {}", genesis.shred_version);
    println!("File:          {}", file.display());
}

/// Opens keypair files, and makes those that do not exist.
#[derive(Default)]
struct KeyFiles {
    made: Vec<PathBuf>,
}

enum Key {
    Pair(Keypair),
    Address(Pubkey),
}

impl KeyFiles {
    fn open(&mut self, name: &str) -> Result<Key, Failure> {
        let path = Path::new(name);
        if path.exists() {
            return read_keypair(path).map(Key::Pair);
        }
        if let Ok(address) = name.parse() {
            return Ok(Key::Address(address));
        }
        let keypair = Keypair::new();
        tandem_identity::write_keypair_file(&keypair, path).map_err(|error| Failure::caused(Status::Failed, &error))?;
        self.made.push(path.to_owned());
        Ok(Key::Pair(keypair))
    }
}

impl Key {
    fn address(&self) -> Pubkey {
        match self {
            Self::Pair(keypair) => keypair.pubkey(),
            Self::Address(address) => *address,
        }
    }
}
