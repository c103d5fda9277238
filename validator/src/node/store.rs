//! The promise store's place: a locked folder, or etcd.

use {
    super::{
        last_store, memory,
        watch::{self, Turn},
    },
    crate::{
        config::{Config, TowerStorage},
        exit::{Failure, Status},
        failover::{Desk, Whose},
        stages::promise::OpenStore,
        topology::RoleInput,
    },
    std::{
        path::PathBuf,
        sync::{Arc, atomic::AtomicU64},
        time::Duration,
    },
    tandem_env::Tx,
    tandem_etcd::EtcdKv,
    tandem_role::{
        Keys,
        kv::{Kv, Op, Txn},
    },
    tandem_tower_storage::{FileKv, Limits, Opening, PromiseStore, StoreError, SystemPace},
    tandem_types::{Hash, InstanceId, Pubkey},
};

#[derive(Clone)]
pub enum Store {
    File(PathBuf),
    Etcd {
        kv: EtcdKv,
        mirror_agave_keys: bool,
        /// Counts the identities that were watched: only the last one's watch is listened to.
        watched: Arc<AtomicU64>,
    },
}

/// One transaction's patience; an operation's is `--etcd-write-timeout`.
const CALL_DEADLINE: Duration = Duration::from_millis(1_000);
/// A start waits this long for etcd's first answer.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);
/// One identity has a handful, and an audit entry for each of its last terms.
const KEYS_LOOKED_AT: u32 = 10_000;

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
            Ok(Store::Etcd { kv, mirror_agave_keys: *mirror_agave_keys, watched: Arc::default() })
        }
    }
}

/// A folder is one identity's on one cluster. With another's promises in it, and none of ours, somebody has mixed up folders:
/// to begin afresh would forget the votes that were cast.
fn check_is_ours(kv: &mut FileKv, keys: &Keys) -> Result<(), Failure> {
    let everything = Op::GetPrefix { prefix: String::new(), limit: KEYS_LOOKED_AT };
    let reply = kv
        .txn(&Txn { then: vec![everything], ..Txn::default() }, CALL_DEADLINE)
        .map_err(|error| Failure::caused(Status::Failed, &error))?;
    let found: Vec<&str> = reply.reads.iter().flatten().map(|entry| entry.key.as_str()).collect();
    // Of our vote account under another identity: the claim takes its promises over.
    let account = keys.account().map(|(_, name)| name);
    let is_ours = |key: &&str| key.starts_with(keys.prefix()) || account.as_deref() == Some(*key);
    let of_an_identity = found.iter().find(|key| key.ends_with("/owner")).or(found.first());
    let Some(other) = of_an_identity.filter(|_| !found.iter().any(is_ours)) else {
        return Ok(());
    };
    // /tandem/v1/<genesis hash>/<identity>/…
    let mut parts = other.split('/').skip(3);
    let (cluster, identity) = (parts.next().unwrap_or("?"), parts.next().unwrap_or("?"));
    Err(Failure::refused(format!(
        "the tower store {} is of another identity, {identity} on the cluster with genesis hash {cluster}, and has \
         nothing of ours",
        kv.describe()
    ))
    .remedy("give this validator its own store with --tower DIR, or bring its own folder back"))
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
        let place = self.clone();
        let (ledger, leave_etcd) = (config.ledger.clone(), config.leave_etcd);
        Box::new(move |identity| {
            let kind = match &place {
                Store::File(_) => last_store::Kind::File,
                Store::Etcd { .. } => last_store::Kind::Etcd,
            };
            let change = last_store::check(&ledger, identity, kind, leave_etcd)?;
            let kv: Box<dyn Kv> = match &place {
                Store::File(folder) => {
                    let mut kv = FileKv::open(folder).map_err(|error| Failure::caused(Status::Failed, &error))?;
                    let keys = Keys::new(&genesis_hash, identity);
                    let keys = vote_account.iter().fold(keys, Keys::for_account);
                    check_is_ours(&mut kv, &keys)?;
                    Box::new(kv)
                }
                Store::Etcd { kv, .. } => Box::new(kv.clone()),
            };
            let mirror = matches!(place, Store::Etcd { mirror_agave_keys: true, .. });
            let vote_account = vote_account.unwrap_or_default();
            let opening = Opening { genesis_hash, identity: *identity, vote_account, instance, limits };
            let mut store = PromiseStore::open(kv, Box::new(SystemPace::start()), opening);
            if mirror {
                store = store.mirror_agave();
            }
            let (known, memory) = memory::open(&ledger, identity)?;
            if let Some(known) = &known {
                match change {
                    last_store::Change::None => store.remember(known),
                    last_store::Change::OtherKind => store.remember(&known.of_another_store()),
                }
            }
            match store.read() {
                // At first sight: what is there is not what this software writes.
                Err(error @ StoreError::Quarantined { .. }) if known.is_none() => {
                    return Err(Failure::refused(error)
                        .remedy("bring the identity's own store back, or point this validator at the right one"));
                }
                // Said now, and not only when the identity is wanted. The node stands by all the same: what can be done about it
                // takes one that follows the chain (`failover recover`).
                Err(error @ StoreError::Quarantined { .. }) => {
                    tracing::error!(
                        "{error}; bring the identity's own store back, or see `validator failover recover`"
                    );
                }
                // A store that does not answer just now may do so when it is needed.
                Ok(_) | Err(StoreError::Unavailable { .. } | StoreError::Fenced { .. } | StoreError::NotOwner) => {}
            }
            Ok((store, memory))
        })
    }

    /// Where `validator failover` reads and writes. Nothing with a store that no other machine shares.
    pub fn desk(&self, genesis_hash: Hash, whose: Whose, config: &Config) -> Option<Desk> {
        match self {
            Store::File(_) => None,
            Store::Etcd { kv, .. } => {
                let (vote_account, host) = (config.vote_account.filter(|_| config.voting), config.roles.host.clone());
                Some(Desk { kv: kv.clone(), genesis_hash, whose, vote_account, host })
            }
        }
    }

    /// Changes of owner and intent as they happen: hints that make a handover fast. The watch of another identity ends.
    pub fn watch(&self, genesis_hash: &Hash, identity: &Pubkey, role: Tx<RoleInput>) -> Result<(), Failure> {
        match self {
            Store::File(_) => Ok(()),
            Store::Etcd { kv, mirror_agave_keys, watched } => {
                let keys = Keys::new(genesis_hash, identity);
                let keys = if *mirror_agave_keys { keys.mirror_agave(identity) } else { keys };
                watch::spawn(kv, &keys, role, Turn::next(watched))
            }
        }
    }
}
