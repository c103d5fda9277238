//! What `validator failover` reads and writes in the store: from inside a running node (over the admin socket) or from the
//! command itself when no node runs. Every call opens a view of its own, so nothing here waits for the vote path.

mod rehearse;
pub mod report;

use {
    crate::{
        exit::{Failure, Status},
        topology::Vouch,
    },
    arc_swap::ArcSwapOption,
    report::{HistoryReport, RecoverReport, RehearsalReport, StoreReport},
    std::{sync::Arc, time::Duration},
    tandem_env::{random_instance_id, wall_clock},
    tandem_etcd::EtcdKv,
    tandem_role::{StoreFacts, hints::HoldRecord, machine::Recovery},
    tandem_tower_storage::{Limits, Opening, PromiseStore, StoreError, SystemPace},
    tandem_types::{Hash, Pubkey, UnixMillis},
    tokio::sync::oneshot,
};

/// What only the role stage can answer.
pub enum Question {
    Plan {
        identity: Option<Pubkey>,
        facts: Box<StoreFacts>,
        reply: oneshot::Sender<report::PlanReport>,
    },
    Recovery {
        reply: oneshot::Sender<Recovery>,
    },
    /// A person vouches for the store.
    Vouch {
        vouch: Vouch,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
}

/// The contested identity, when it is known: a secondary learns it from its vote account.
pub type Whose = Arc<ArcSwapOption<Pubkey>>;

pub struct Desk {
    pub kv: EtcdKv,
    pub genesis_hash: Hash,
    pub whose: Whose,
    /// Left out: that of the identity's last claim.
    pub vote_account: Option<Pubkey>,
    /// Who asks, for audit entries.
    pub host: String,
}

/// A person waits for the answer.
const LIMITS: Limits = Limits { call_deadline: Duration::from_millis(1_000), write_timeout: Duration::from_secs(3) };

impl Desk {
    fn identity(&self) -> Result<Pubkey, Failure> {
        self.whose.load().as_deref().copied().ok_or_else(|| {
            Failure::refused("the identity is not known here: the vote account does not exist at this node's root")
                .remedy("wait until it is made, or check --vote-account; see `validator monitor`")
        })
    }

    fn store(&self) -> Result<PromiseStore, Failure> {
        let opening = Opening {
            genesis_hash: self.genesis_hash,
            identity: self.identity()?,
            vote_account: self.vote_account.unwrap_or_default(),
            instance: random_instance_id(),
            limits: LIMITS,
        };
        Ok(PromiseStore::open(Box::new(self.kv.clone()), Box::new(SystemPace::start()), opening).find_account())
    }

    pub fn view(&self) -> Result<StoreReport, Failure> {
        let mut store = self.store()?;
        let snapshot = store.read().map_err(failure)?;
        let pulse = store.pulse().map_err(failure)?;
        Ok(StoreReport::of(store.describe(), self.identity()?, &snapshot, &pulse, wall_clock()))
    }

    pub fn facts(&self) -> Result<StoreFacts, Failure> {
        self.store()?.read().map(|snapshot| snapshot.facts()).map_err(failure)
    }

    pub fn history(&self) -> Result<HistoryReport, Failure> {
        let mut store = self.store()?;
        let terms = store.history().map_err(failure)?;
        Ok(HistoryReport::of(&terms, &store.notes().map_err(failure)?))
    }

    pub fn hold(&self) -> Result<Option<HoldRecord>, Failure> {
        self.store()?.pulse().map(|pulse| pulse.hold.map(|hold| hold.value)).map_err(failure)
    }

    pub fn set_hold(&self, on: bool, reason: String, lasts: Option<Duration>) -> Result<HoldRecord, Failure> {
        let at = wall_clock();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let until = lasts.filter(|_| on).map(|lasts| UnixMillis(at.0.saturating_add(millis(lasts))));
        let wish = HoldRecord { on, by: self.host.clone(), reason, at, until, count: 0 };
        self.store()?.set_hold(wish).map_err(failure)
    }

    pub fn rehearse(&self, rounds: u32) -> Result<RehearsalReport, Failure> {
        rehearse::rehearse(self, rounds)
    }

    /// What the store knows; the chain's side is the node's to add.
    pub fn recovery(&self) -> Result<RecoverReport, Failure> {
        Ok(match self.store()?.read() {
            Ok(snapshot) => RecoverReport::of_store(self.kv_name(), &snapshot),
            Err(error) => RecoverReport::of_failure(self.kv_name(), &error.to_string()),
        })
    }

    fn kv_name(&self) -> String {
        use tandem_role::kv::Kv;
        self.kv.describe()
    }
}

/// A store's error as a command ends with it.
pub fn failure(error: StoreError) -> Failure {
    match &error {
        StoreError::Unavailable { .. } => Failure::caused(Status::StoreLost, &error).remedy(
            "see whether etcd has a quorum (`etcdctl endpoint status --cluster`), and the book's page on status 8",
        ),
        StoreError::Quarantined { .. } => Failure::caused(Status::Refused, &error),
        StoreError::NotOwner | StoreError::Fenced { .. } => Failure::caused(Status::Fenced, &error),
    }
}
