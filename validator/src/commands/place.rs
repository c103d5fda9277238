//! Where a command finds an identity's promises: the store of the validator's own flags, an identity, a genesis.

use {
    super::read_keypair,
    crate::{
        args::TowerPlaceArgs,
        config::TowerStorage,
        exit::{Failure, Status},
    },
    std::{path::Path, time::Duration},
    tandem_env::random_instance_id,
    tandem_etcd::EtcdKv,
    tandem_genesis::{GENESIS_FILE, Genesis},
    tandem_role::kv::Kv,
    tandem_tower_storage::{FileKv, FileLook, Limits, Opening, PromiseStore, StoreError, SystemPace},
    tandem_types::{Hash, Pubkey, Signer},
};

/// An identity's promises in one store.
pub struct Place {
    pub genesis_hash: Hash,
    pub identity: Pubkey,
    storage: TowerStorage,
}

/// Whether the store will be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Look,
    Write,
}

impl Place {
    pub fn new(ledger: &Path, args: &TowerPlaceArgs) -> Result<Self, Failure> {
        let Some(identity) = args.identity.as_deref() else {
            return Err(Failure::usage("whose promises? No --identity is given")
                .remedy("give --identity with the address or the keypair file of the vote account's identity"));
        };
        Self::of(ledger, args, address("--identity", identity)?)
    }

    /// For an identity that is known already.
    pub fn of(ledger: &Path, args: &TowerPlaceArgs, identity: Pubkey) -> Result<Self, Failure> {
        let storage = TowerStorage::new(ledger, &args.store)?;
        Ok(Self { genesis_hash: genesis_hash(ledger, args.genesis_hash.as_deref())?, identity, storage })
    }

    pub fn open(&self, access: Access, vote_account: Pubkey) -> Result<PromiseStore, Failure> {
        let (kv, mirror): (Box<dyn Kv>, bool) = match (&self.storage, access) {
            (TowerStorage::File { dir }, Access::Look) => (Box::new(FileLook::new(dir)), false),
            (TowerStorage::File { dir }, Access::Write) => {
                (Box::new(FileKv::open(dir).map_err(|error| Failure::caused(Status::Refused, &error))?), false)
            }
            (TowerStorage::Etcd { options, mirror_agave_keys }, Access::Look | Access::Write) => {
                let kv = EtcdKv::open(options.clone()).map_err(|error| Failure::caused(Status::Usage, &error))?;
                kv.check(CHECK_DEADLINE).map_err(|error| Failure::caused(Status::StoreLost, &error))?;
                (Box::new(kv), *mirror_agave_keys)
            }
        };
        let opening = Opening {
            genesis_hash: self.genesis_hash,
            identity: self.identity,
            vote_account,
            instance: random_instance_id(),
            limits: Limits { call_deadline: Duration::from_secs(1), write_timeout: Duration::from_secs(5) },
        };
        let store = PromiseStore::open(kv, Box::new(SystemPace::start()), opening).find_account();
        Ok(if mirror { store.mirror_agave() } else { store })
    }
}

/// A store that does not answer has another status than one that must not be believed.
pub fn store_failure(error: &StoreError) -> Failure {
    let status = match error {
        StoreError::Unavailable { .. } => Status::StoreLost,
        StoreError::Quarantined { .. } => Status::Refused,
        StoreError::Fenced { .. } => Status::Fenced,
        StoreError::NotOwner => Status::Failed,
    };
    Failure::caused(status, error)
}

/// An address, or a keypair file whose public half is meant.
pub fn address(flag: &str, text: &str) -> Result<Pubkey, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !Path::new(text).exists() {
        return Err(Failure::usage(format!("{flag} {text}: neither an address nor a keypair file"))
            .remedy("give an address in base58, or the path of a keypair file"));
    }
    Ok(read_keypair(Path::new(text))?.pubkey())
}

pub fn genesis_hash(ledger: &Path, given: Option<&str>) -> Result<Hash, Failure> {
    if let Some(text) = given {
        return text.parse().map_err(|error| {
            Failure::usage(format!("--genesis-hash {text}: {error}"))
                .remedy("give it in base58, as `solana genesis-hash` prints it")
        });
    }
    let file = ledger.join(GENESIS_FILE);
    let genesis = Genesis::load(ledger).map_err(|error| {
        Failure::usage(format!("the genesis hash is part of the store's keys, and {}: {error}", file.display()))
            .remedy("name the ledger folder with --ledger, or give --genesis-hash")
    })?;
    Ok(genesis.hash)
}

const CHECK_DEADLINE: Duration = Duration::from_secs(5);
