//! A store that several nodes share, with a network that can be told to fail.

use {
    crate::{
        check::after_vote,
        decision::{Tower, VoteDecision, VoteKind},
        pace::Pace,
        store::{ClaimRequest, Limits, Opening, PromiseStore, StoreSnapshot},
        tower::TowerSigner,
    },
    std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
        time::Duration,
    },
    tandem_role::{
        kv::{Kv, KvError, Op, Txn, TxnReply},
        memory::Memory,
        records::{Nonce, Preference},
    },
    tandem_types::{Hash, InstanceId, Keypair, Pubkey, Signature, Signer, Slot, Term, UnixMillis},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    Fine,
    Unavailable,
    Refused,
    /// Happens, but nobody is told.
    ReplyLost,
    /// May happen later.
    Late,
    /// Crosses the quota: it happens and is answered as if nobody knew, and no write is taken any more.
    NoSpace,
}

#[derive(Debug)]
pub struct Shared {
    pub memory: Memory,
    /// What the next calls meet; when empty, all is fine.
    pub plan: VecDeque<Network>,
    /// What every call meets, if anything.
    pub always: Option<Network>,
    pub late: Vec<Txn>,
    pub calls: usize,
    pub full: bool,
}

#[derive(Clone)]
pub struct SharedKv(pub Arc<Mutex<Shared>>);

impl SharedKv {
    pub fn new() -> Self {
        let memory = Memory::new(77);
        Self(Arc::new(Mutex::new(Shared {
            memory,
            plan: VecDeque::new(),
            always: None,
            late: Vec::new(),
            calls: 0,
            full: false,
        })))
    }

    pub fn plan(&self, network: &[Network]) {
        self.0.lock().unwrap().plan = network.iter().copied().collect();
    }

    pub fn always(&self, network: Option<Network>) {
        self.0.lock().unwrap().always = network;
    }

    pub fn memory(&self) -> Memory {
        self.0.lock().unwrap().memory.clone()
    }

    pub fn restore(&self, memory: Memory) {
        self.0.lock().unwrap().memory = memory;
    }

    /// The `n`th copy that was on its way arrives.
    pub fn deliver(&self, n: usize) {
        let mut shared = self.0.lock().unwrap();
        if n < shared.late.len() {
            let txn = shared.late.remove(n);
            shared.memory.apply(&txn);
        }
    }
}

impl Kv for SharedKv {
    fn txn(&mut self, txn: &Txn, _: Duration) -> Result<TxnReply, KvError> {
        let mut shared = self.0.lock().unwrap();
        shared.calls += 1;
        let endpoint = self.describe();
        let unknown = KvError::Unknown { endpoint: endpoint.clone(), reason: "no reply".into() };
        let writes = txn.then.iter().any(|op| !matches!(op, Op::Get { .. } | Op::GetPrefix { .. }));
        if shared.full && writes {
            return Err(unknown);
        }
        match shared.always.or_else(|| shared.plan.pop_front()).unwrap_or(Network::Fine) {
            Network::Fine => Ok(shared.memory.apply(txn)),
            Network::Unavailable => Err(KvError::Unavailable { endpoint, reason: "refused".into() }),
            Network::Refused => Err(KvError::Refused { endpoint, reason: "no space".into() }),
            Network::ReplyLost => {
                shared.memory.apply(txn);
                Err(unknown)
            }
            Network::NoSpace => {
                shared.full = true;
                shared.memory.apply(txn);
                Err(unknown)
            }
            Network::Late => {
                shared.late.push(txn.clone());
                Err(unknown)
            }
        }
    }

    fn describe(&self) -> String {
        "test store".into()
    }
}

/// Time that passes only in pauses.
#[derive(Default)]
pub struct FakePace(Duration);

impl Pace for FakePace {
    fn now(&mut self) -> Duration {
        self.0
    }

    fn pause(&mut self, span: Duration) {
        self.0 += span;
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(rand::random())
    }
}

pub struct TestSigner(pub Keypair);

impl TestSigner {
    pub fn new() -> Self {
        Self(Keypair::new_from_array([42; 32]))
    }
}

impl TowerSigner for TestSigner {
    fn identity(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign_tower(&self, tower: &[u8]) -> Option<Signature> {
        Some(self.0.sign_message(tower))
    }
}

pub fn vote_account() -> Pubkey {
    Pubkey::new_from_array([5; 32])
}

pub fn open(kv: &SharedKv, node: u8) -> PromiseStore {
    open_with(kv, node, Hash::default())
}

pub fn open_with(kv: &SharedKv, node: u8, genesis_hash: Hash) -> PromiseStore {
    let opening = Opening {
        genesis_hash,
        identity: TestSigner::new().identity(),
        vote_account: vote_account(),
        instance: InstanceId([node; 16]),
        limits: Limits { call_deadline: Duration::from_millis(500), write_timeout: Duration::from_secs(5) },
    };
    PromiseStore::open(Box::new(kv.clone()), Box::new(FakePace::default()), opening)
}

pub fn request(snapshot: &StoreSnapshot) -> ClaimRequest {
    ClaimRequest {
        owner_revision: snapshot.owner_revision,
        term_seen: snapshot.owner.as_ref().map_or(Term(0), |owner| owner.term),
        previous_host: None,
        host: "test".into(),
        version: "0".into(),
        standby_identity: String::new(),
        preference: Preference::Primary,
        slot_at_claim: 0,
        reason: "test".into(),
        claimed_at: UnixMillis(1),
        require_tower: false,
    }
}

/// A vote as a correct voter makes it on top of `tower`; `fork` makes its hash differ from that of other forks.
pub fn vote(tower: &Tower, slot: Slot, fork: u8) -> VoteDecision {
    let mut hash = [fork; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    VoteDecision {
        identity: TestSigner::new().identity(),
        vote_account: vote_account(),
        kind: VoteKind::Vote,
        slot,
        hash: Hash::new_from_array(hash),
        block_id: Hash::default(),
        tower: after_vote(tower, slot),
        timestamp: Some(1_700_000_000 + slot as i64),
        recent_blockhash: Hash::default(),
        switch: false,
    }
}
