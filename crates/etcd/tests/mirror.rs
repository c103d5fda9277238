//! A pair of this software and agave 2.3 over a real etcd. Agave's side sends the transactions that its source has
//! (solana-core 2.3, EtcdTowerStorage): a condition on the instance key's value, none at all for taking it.
#![allow(clippy::unwrap_used)]

use {
    etcd_client::{Compare, CompareOp, TxnOp, TxnOpResponse},
    std::time::Duration,
    tandem_etcd::{
        EtcdKv,
        testing::{EtcdCluster, etcd_is_installed},
    },
    tandem_role::{agave_keys::is_agave, records::Preference},
    tandem_tower_storage::{
        ClaimRequest, Limits, Opening, PromiseStore, Promised, RecordError, StoreSnapshot, StoredTower, SystemPace,
        Tower, TowerSigner, VoteDecision, VoteKind,
    },
    tandem_types::{Hash, InstanceId, Keypair, Pubkey, Signature, Signer, Slot, Term, UnixMillis},
};

struct Key(Keypair);

impl TowerSigner for Key {
    fn identity(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign_tower(&self, tower: &[u8]) -> Option<Signature> {
        Some(self.0.sign_message(tower))
    }
}

fn key() -> Key {
    Key(Keypair::new_from_array([42; 32]))
}

fn open(cluster: &EtcdCluster, node: u8) -> PromiseStore {
    let opening = Opening {
        genesis_hash: Hash::default(),
        identity: key().identity(),
        vote_account: Pubkey::default(),
        instance: InstanceId([node; 16]),
        limits: Limits { call_deadline: Duration::from_secs(1), write_timeout: Duration::from_secs(3) },
    };
    let kv = Box::new(EtcdKv::open(cluster.options()).unwrap());
    PromiseStore::open(kv, Box::new(SystemPace::start()), opening).mirror_agave()
}

fn claim(store: &mut PromiseStore) -> StoreSnapshot {
    let seen = store.read().unwrap();
    let request = ClaimRequest {
        owner_revision: seen.owner_revision,
        term_seen: seen.owner.as_ref().map_or(Term(0), |owner| owner.term),
        previous_host: None,
        host: "test".into(),
        version: "0".into(),
        standby_identity: String::new(),
        preference: Preference::Primary,
        slot_at_claim: 0,
        reason: "test".into(),
        claimed_at: UnixMillis(1),
        require_tower: false,
    };
    store.claim(request).unwrap();
    seen
}

/// Consecutive slots only: each vote confirms all before it once more.
fn vote(store: &mut PromiseStore, slot: Slot) -> Result<Promised, RecordError> {
    let mut votes: Vec<(Slot, u32)> = store.tower().map(|tower| tower.tower().votes.clone()).unwrap_or_default();
    votes.iter_mut().for_each(|(_, count)| *count += 1);
    votes.push((slot, 1));
    let decision = VoteDecision {
        identity: key().identity(),
        vote_account: Pubkey::default(),
        kind: VoteKind::Vote,
        slot,
        hash: Hash::new_from_array([7; 32]),
        block_id: Hash::default(),
        tower: Tower { votes, root: None },
        timestamp: None,
        recent_blockhash: Hash::default(),
        switch: false,
    };
    store.record(decision, &key())
}

/// Agave's client, on a plain connection of its own.
struct Agave {
    client: etcd_client::Client,
    runtime: tokio::runtime::Runtime,
    instance: [u8; 8],
}

impl Agave {
    fn start(cluster: &EtcdCluster, at_ms: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = |file: &str| std::fs::read(cluster.path(file)).unwrap();
        let tls = etcd_client::TlsOptions::new()
            .ca_certificate(etcd_client::Certificate::from_pem(read("ca.pem")))
            .identity(etcd_client::Identity::from_pem(read("client.pem"), read("client-key.pem")));
        let options = etcd_client::ConnectOptions::new().with_tls(tls);
        let client = runtime.block_on(etcd_client::Client::connect(cluster.endpoints(), Some(options))).unwrap();
        Self { client, runtime, instance: at_ms.to_le_bytes() }
    }

    fn names() -> (String, String) {
        (format!("{}/instance", key().identity()), format!("{}/tower", key().identity()))
    }

    fn is_mine(&self) -> Vec<Compare> {
        vec![Compare::value(Self::names().0, CompareOp::Equal, self.instance)]
    }

    /// None: fenced, or no tower.
    fn load(&mut self) -> Option<StoredTower> {
        let (instance, tower) = Self::names();
        let take = etcd_client::Txn::new().and_then(vec![TxnOp::put(instance, self.instance, None)]);
        self.runtime.block_on(self.client.txn(take)).unwrap();
        let read = etcd_client::Txn::new().when(self.is_mine()).and_then(vec![TxnOp::get(tower, None)]);
        let reply = self.runtime.block_on(self.client.txn(read)).unwrap();
        let found = reply.op_responses().into_iter().find_map(|answer| match answer {
            TxnOpResponse::Get(get) => get.kvs().first().map(|kv| kv.value().to_vec()),
            _ => None,
        })?;
        Some(StoredTower::decode(found, &key().identity()).expect("agave can read it"))
    }

    /// False: "lost instance lock", and agave's process ends before it sends the vote.
    fn store(&mut self, tower: &StoredTower) -> bool {
        let put = TxnOp::put(Self::names().1, tower.bytes(), None);
        let write = etcd_client::Txn::new().when(self.is_mine()).and_then(vec![put]);
        self.runtime.block_on(self.client.txn(write)).unwrap().succeeded()
    }
}

#[test]
fn agave_and_we_fence_each_other_and_hand_the_tower_on() {
    if !etcd_is_installed("agave_and_we_fence_each_other_and_hand_the_tower_on") {
        return;
    }
    let cluster = EtcdCluster::start(1).unwrap();
    let mut ours = open(&cluster, 1);
    claim(&mut ours);
    for slot in 1..=3 {
        let _ = vote(&mut ours, slot).unwrap();
    }
    let early = ours.tower().unwrap().clone();
    let _ = vote(&mut ours, 4).unwrap();

    let mut agave = Agave::start(&cluster, 1_700_000_000_000);
    let loaded = agave.load().expect("our tower is where agave looks for it");
    assert_eq!(loaded.last_slot(), Some(4), "the newest one");
    assert!(matches!(vote(&mut ours, 5), Err(RecordError::Fenced { by }) if by.contains("agave")));
    assert!(agave.store(&loaded), "agave votes");

    let mut other = open(&cluster, 2);
    let seen = claim(&mut other);
    assert!(is_agave(seen.owner.as_ref().unwrap()), "{seen:?}");
    assert!(!agave.store(&loaded), "fenced by our claim");
    assert_eq!(other.tower().unwrap().last_slot(), Some(4));
    let _ = vote(&mut other, 5).unwrap();
    assert!(other.claim_leader_slot(9).is_ok());

    // Agave again, after a restart; a tower of a time long past, written by hand, changes nothing for the better.
    let mut agave = Agave::start(&cluster, 1_700_000_111_000);
    assert_eq!(agave.load().and_then(|tower| tower.last_slot()), Some(5));
    assert!(matches!(other.claim_leader_slot(10), Err(RecordError::Fenced { .. })));
    assert!(agave.store(&early));
    let mut third = open(&cluster, 3);
    claim(&mut third);
    assert_eq!(third.tower().unwrap().last_slot(), Some(5), "the newer of the two keys");
    let again = Agave::start(&cluster, 1_700_000_222_000).load().unwrap();
    assert_eq!(again.last_slot(), Some(5), "and the claim has brought agave's key up to it");
}
