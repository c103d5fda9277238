//! The promise store's place: a locked folder, or etcd.

use {
    super::watch,
    crate::{
        config::{Config, TowerStorage},
        exit::{Failure, Status},
        failover::Desk,
        stages::promise::OpenStore,
        topology::RoleInput,
    },
    std::{path::PathBuf, time::Duration},
    tandem_env::Tx,
    tandem_etcd::EtcdKv,
    tandem_role::{Keys, kv::Kv},
    tandem_tower_storage::{FileKv, Limits, Opening, PromiseStore, SystemPace},
    tandem_types::{Hash, InstanceId, Pubkey},
};

pub enum Store {
    File(PathBuf),
    Etcd { kv: EtcdKv, mirror_agave_keys: bool },
}

/// One transaction's patience; an operation's is `--etcd-write-timeout`.
const CALL_DEADLINE: Duration = Duration::from_millis(1_000);
/// A start waits this long for etcd's first answer.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);

/// Opens and checks it: a wrong certificate or an unreachable etcd is said now, not at the first vote.
pub fn open(config: &Config, _runtime: &tokio::runtime::Runtime) -> Result<Store, Failure> {
    match &config.tower_storage {
        TowerStorage::File { dir } => Ok(Store::File(dir.clone())),
        TowerStorage::Etcd { options, mirror_agave_keys } => {
            let kv = EtcdKv::open(options.clone()).map_err(|error| Failure::caused(Status::Usage, &error))?;
            let report = kv.check(CHECK_DEADLINE).map_err(|error| Failure::caused(Status::StoreLost, &error))?;
            for warning in report.warnings {
                tracing::warn!("{warning}");
            }
            Ok(Store::Etcd { kv, mirror_agave_keys: *mirror_agave_keys })
        }
    }
}

impl Store {
    pub fn name(&self) -> String {
        match self {
            Store::File(folder) => format!("folder {}", folder.display()),
            Store::Etcd { kv, .. } => kv.describe(),
        }
    }

    /// How the promise stage opens the store of an identity.
    pub fn opener(
        &self,
        config: &Config,
        genesis_hash: Hash,
        vote_account: Option<Pubkey>,
        instance: InstanceId,
    ) -> OpenStore {
        let limits = Limits { call_deadline: CALL_DEADLINE, write_timeout: config.roles.write_timeout };
        let place = match self {
            Store::File(folder) => Store::File(folder.clone()),
            Store::Etcd { kv, mirror_agave_keys } => {
                Store::Etcd { kv: kv.clone(), mirror_agave_keys: *mirror_agave_keys }
            }
        };
        Box::new(move |identity| {
            let kv: Box<dyn Kv> = match &place {
                Store::File(folder) => {
                    Box::new(FileKv::open(folder).map_err(|error| Failure::caused(Status::Failed, &error))?)
                }
                Store::Etcd { kv, .. } => Box::new(kv.clone()),
            };
            let mirror = matches!(place, Store::Etcd { mirror_agave_keys: true, .. });
            let vote_account = vote_account.unwrap_or_default();
            let opening = Opening { genesis_hash, identity: *identity, vote_account, instance, limits };
            let store = PromiseStore::open(kv, Box::new(SystemPace::start()), opening);
            Ok(if mirror { store.mirror_agave() } else { store })
        })
    }

    /// Where `validator failover` reads and writes. Nothing with a store that no other machine shares.
    pub fn desk(&self, genesis_hash: Hash, identity: Option<Pubkey>, config: &Config) -> Option<Desk> {
        match self {
            Store::File(_) => None,
            Store::Etcd(kv) => {
                Some(Desk { kv: kv.clone(), genesis_hash, identity: identity?, host: config.roles.host.clone() })
            }
        }
    }

    /// Changes of owner and intent as they happen: hints that make a handover fast.
    pub fn watch(&self, genesis_hash: &Hash, identity: &Pubkey, role: Tx<RoleInput>) -> Result<(), Failure> {
        match self {
            Store::File(_) => Ok(()),
            Store::Etcd { kv, mirror_agave_keys } => {
                let keys = Keys::new(genesis_hash, identity);
                let keys = if *mirror_agave_keys { keys.mirror_agave(identity) } else { keys };
                watch::spawn(kv, &keys, role)
            }
        }
    }
}
