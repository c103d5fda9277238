//! A promise store in memory, with a network that fails when a test says so.

use {
    super::{VOTE, World, leader},
    crate::{
        exit::Failure,
        stages::promise::{Keeper, When},
    },
    std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
        time::Duration,
    },
    tandem_role::{
        Keys,
        kv::{Kv, KvError, Op, Txn, TxnReply},
        memory::Memory,
        records::{Nonce, OwnerRecord, Preference, Record},
    },
    tandem_tower_storage::{Claim, ClaimRequest, Known, Limits, Opening, Pace, PromiseStore},
    tandem_types::{Hash, InstanceId, Signer, Term, UnixMillis},
};

/// What happens before a transaction reaches the store.
pub type Before = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub struct TestKv(Arc<Mutex<Inside>>);

struct Inside {
    memory: Memory,
    /// Every answer is lost: `true` when the transaction happens all the same.
    silent: Option<bool>,
    before: VecDeque<Before>,
    writes: usize,
    genesis_hash: Hash,
}

impl TestKv {
    pub fn new(world: &World) -> Self {
        let inside = Inside {
            memory: Memory::new(77),
            silent: None,
            before: VecDeque::new(),
            writes: 0,
            genesis_hash: world.genesis.hash,
        };
        Self(Arc::new(Mutex::new(inside)))
    }

    fn inside<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.0.lock().expect("not poisoned"))
    }

    pub fn silent(&self, silent: Option<bool>) {
        self.inside(|inside| inside.silent = silent);
    }

    /// The next write meets this on its way.
    pub fn before_next_write(&self, before: impl FnOnce() + Send + 'static) {
        self.inside(|inside| inside.before.push_back(Box::new(before)));
    }

    /// An empty store answers at the same address.
    pub fn replace(&self) {
        self.inside(|inside| inside.memory = Memory { revision: 99, ..Memory::new(78) });
    }

    /// How many transactions that write were sent.
    pub fn writes(&self) -> usize {
        self.inside(|inside| inside.writes)
    }

    fn keys(&self) -> Keys {
        Keys::new(&self.inside(|inside| inside.genesis_hash), &leader().pubkey())
    }

    pub fn owner(&self) -> Option<OwnerRecord> {
        let key = self.keys().owner();
        self.inside(|inside| {
            inside.memory.entries.get(&key).map(|(value, _)| OwnerRecord::decode(value).expect("a record"))
        })
    }

    /// The store of the leader's identity, as machine `node` opens it.
    pub fn open(&self, node: u8) -> PromiseStore {
        let opening = Opening {
            genesis_hash: self.inside(|inside| inside.genesis_hash),
            identity: leader().pubkey(),
            vote_account: VOTE,
            instance: InstanceId([node; 16]),
            limits: Limits { call_deadline: Duration::from_millis(500), write_timeout: Duration::from_secs(5) },
        };
        PromiseStore::open(Box::new(self.clone()), Box::new(PausesOnly::default()), opening)
    }

    /// Machine `node` takes the identity, whoever has it.
    pub fn claimed_by(&self, node: u8) -> PromiseStore {
        self.claim(node).0
    }

    /// The same with the answer to the claim.
    pub fn claim(&self, node: u8) -> (PromiseStore, Claim) {
        let mut store = self.open(node);
        let seen = store.read().expect("the store answers");
        let request = ClaimRequest {
            owner_revision: seen.owner_revision,
            term_seen: seen.owner.as_ref().map_or(Term(0), |owner| owner.term),
            previous_host: None,
            host: format!("machine {node}"),
            version: "0".into(),
            standby_identity: String::new(),
            preference: Preference::Secondary,
            slot_at_claim: 0,
            reason: "test".into(),
            claimed_at: UnixMillis(1),
            require_tower: false,
        };
        let claim = store.claim(request).expect("nobody else claims");
        (store, claim)
    }
}

/// What the promise stage wanted kept, for the test to look at.
#[derive(Clone, Default)]
pub struct TestMemory(Arc<Mutex<Vec<(Known, When)>>>);

impl TestMemory {
    pub fn kept(&self) -> Vec<(Known, When)> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Keeper for TestMemory {
    fn keep(&mut self, known: &Known, when: When) -> Result<(), Failure> {
        self.0.lock().expect("not poisoned").push((known.clone(), when));
        Ok(())
    }
}

impl Kv for TestKv {
    fn txn(&mut self, txn: &Txn, _: Duration) -> Result<TxnReply, KvError> {
        let writes = txn.then.iter().any(|op| matches!(op, Op::Put { .. } | Op::PutLeased { .. }));
        let before = self.inside(|inside| {
            inside.writes += usize::from(writes);
            if writes { inside.before.pop_front() } else { None }
        });
        if let Some(before) = before {
            before();
        }
        self.inside(|inside| match inside.silent {
            None => Ok(inside.memory.apply(txn)),
            Some(happens) => {
                if happens {
                    inside.memory.apply(txn);
                }
                Err(KvError::Unknown { endpoint: "test store".into(), reason: "no reply".into() })
            }
        })
    }

    fn describe(&self) -> String {
        "test store".into()
    }
}

/// Time that passes in pauses only.
#[derive(Default)]
struct PausesOnly(Duration);

impl Pace for PausesOnly {
    fn now(&mut self) -> Duration {
        self.0
    }

    fn pause(&mut self, span: Duration) {
        self.0 += span;
    }

    fn nonce(&mut self) -> Nonce {
        self.0 += Duration::from_nanos(1);
        Nonce(self.0.as_nanos() as u64)
    }
}
