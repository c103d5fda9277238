//! A pair of this software and agave 2.3: agave's side of the store is played as its source has it.

use {
    super::*,
    crate::{
        testing::{SharedKv, TestSigner, open, request, vote},
        tower::TowerSigner,
    },
    proptest::prelude::*,
    tandem_role::{
        agave_keys::{AgaveKeys, instance_value, is_agave},
        kv::{Op, Txn},
    },
};

/// An agave node's tower store (solana-core 2.3, EtcdTowerStorage): two transactions for a load, one for each vote.
struct Agave {
    instance: [u8; 8],
    tower: Option<Tower>,
}

fn flat() -> AgaveKeys {
    AgaveKeys::new(&TestSigner::new().identity())
}

fn value(kv: &SharedKv, key: &str) -> Option<Vec<u8>> {
    kv.memory().entries.get(key).map(|(value, _)| value.clone())
}

fn put(kv: &SharedKv, key: String, value: Vec<u8>) {
    kv.0.lock().unwrap().memory.apply(&Txn { then: vec![Op::Put { key, value }], ..Txn::default() });
}

impl Agave {
    fn started(at_ms: u64) -> Self {
        Self { instance: at_ms.to_le_bytes(), tower: None }
    }

    /// The first half of a load: no condition at all.
    fn acquire(&self, kv: &SharedKv) {
        put(kv, flat().instance, self.instance.to_vec());
    }

    /// The second half. False: the instance is another's by now, or there is no tower.
    fn load(&mut self, kv: &SharedKv) -> bool {
        if value(kv, &flat().instance).as_deref() != Some(&self.instance) {
            return false;
        }
        let bytes = value(kv, &flat().tower);
        self.tower = bytes.map(|bytes| {
            StoredTower::decode(bytes, &TestSigner::new().identity()).expect("agave can read it").tower().clone()
        });
        self.tower.is_some()
    }

    /// Stores a vote's tower; true when the vote may then be sent.
    fn vote(&mut self, kv: &SharedKv, gap: u64) -> Option<crate::VoteDecision> {
        if value(kv, &flat().instance).as_deref() != Some(&self.instance) {
            self.tower = None;
            return None;
        }
        let tower = self.tower.clone()?;
        let decision = vote(&tower, tower.last_slot().unwrap_or(0) + gap, 9);
        let stored = StoredTower::of_decision(&decision, None, &TestSigner::new()).expect("the key is here");
        put(kv, flat().tower, stored.bytes().to_vec());
        self.tower = Some(decision.tower.clone());
        Some(decision)
    }
}

fn mirrored(kv: &SharedKv, node: u8) -> PromiseStore {
    open(kv, node).mirror_agave()
}

fn take(store: &mut PromiseStore) -> Claim {
    let snapshot = store.read().expect("readable");
    store.claim(request(&snapshot)).expect("claimed")
}

fn cast(store: &mut PromiseStore, gap: u64) -> Result<crate::VoteDecision, RecordError> {
    let tower = store.tower().map(|tower| tower.tower().clone()).unwrap_or_default();
    let decision = vote(&tower, tower.last_slot().unwrap_or(0) + gap, 1);
    store.record(decision.clone(), &TestSigner::new()).map(|_promised| decision)
}

#[test]
fn our_claim_fences_agave_and_agaves_load_fences_us() {
    let kv = SharedKv::new();
    let mut ours = mirrored(&kv, 1);
    take(&mut ours);
    cast(&mut ours, 5).expect("ours");

    let mut agave = Agave::started(1_700_000_000_000);
    agave.acquire(&kv);
    let refused = cast(&mut ours, 1).expect_err("fenced by agave's instance alone");
    assert!(matches!(&refused, RecordError::Fenced { by } if by.contains("agave")), "{refused}");
    assert!(agave.load(&kv), "our tower is where agave looks for it");
    assert_eq!(agave.tower.as_ref().and_then(Tower::last_slot), Some(5));
    agave.vote(&kv, 3).expect("agave votes on");

    // Everybody sees that agave has it, and a claim takes it from there, with agave's newer tower.
    let mut other = mirrored(&kv, 2);
    let seen = other.read().expect("readable");
    assert!(is_agave(seen.owner.as_ref().expect("an owner")), "{seen:?}");
    assert_eq!(seen.tower.as_ref().and_then(StoredTower::last_slot), Some(8));
    let claim = other.claim(request(&seen)).expect("claimed");
    assert_eq!((claim.term, claim.tower.expect("a tower").last_slot()), (Term(2), Some(8)));
    assert_eq!(agave.vote(&kv, 1), None, "agave is fenced from the claim on");
    let keys = Keys::new(&Hash::default(), &TestSigner::new().identity());
    assert_eq!(value(&kv, &keys.tower()), value(&kv, &flat().tower), "both keys are in step before the first vote");
    cast(&mut other, 1).expect("on top of agave's votes");

    // Given back: nobody has it, whatever the old instance says; then agave loads again.
    other.release(UnixMillis(5)).expect("released");
    assert!(mirrored(&kv, 3).read().unwrap().owner.unwrap().released);
    agave.acquire(&kv);
    assert!(agave.load(&kv));
    assert!(is_agave(&mirrored(&kv, 3).read().unwrap().owner.unwrap()));
}

#[test]
fn leader_slots_and_beats_are_fenced_by_agave_too() {
    let kv = SharedKv::new();
    let mut ours = mirrored(&kv, 1);
    let claim = take(&mut ours);
    let beat = |number| {
        let sign = SignOfLife { beat: number, tip: 7, may_vote: true, finalizes: true };
        claim.beater.beat(&mut kv.clone(), Duration::from_millis(500), sign, UnixMillis(9))
    };
    ours.claim_leader_slot(4).map(drop).expect("ours");
    beat(1).expect("alive");
    Agave::started(7).acquire(&kv);
    assert!(matches!(beat(2), Err(Skipped::Fenced { .. })));
    let mut ours = mirrored(&kv, 1);
    take(&mut ours);
    Agave::started(8).acquire(&kv);
    assert!(matches!(ours.claim_leader_slot(5), Err(RecordError::Fenced { .. })));
}

#[test]
fn without_the_mirror_agaves_keys_are_left_alone() {
    let kv = SharedKv::new();
    Agave::started(7).acquire(&kv);
    let mut ours = open(&kv, 1);
    assert_eq!(ours.read().unwrap().owner, None, "what is not mirrored is not looked at");
    take(&mut ours);
    cast(&mut ours, 1).expect("ours");
    assert_eq!((value(&kv, &flat().instance), value(&kv, &flat().tower)), (Some(7u64.to_le_bytes().to_vec()), None));
}

#[test]
fn what_others_write_into_agaves_keys_is_not_believed() {
    let kv = SharedKv::new();
    let mut ours = mirrored(&kv, 1);
    take(&mut ours);
    cast(&mut ours, 1).expect("ours");
    kv.0.lock().unwrap().memory.apply(&Txn { then: vec![Op::Delete { key: flat().instance }], ..Txn::default() });
    let refused = cast(&mut ours, 1).expect_err("the fence is gone");
    assert!(
        matches!(&refused, RecordError::Quarantined { reason, .. } if reason.contains("agave instance")),
        "{refused}"
    );
    put(&kv, flat().tower, b"by hand".to_vec());
    let error = mirrored(&kv, 2).read().expect_err("no tower").to_string();
    assert!(error.contains("agave's key"), "{error}");
}

#[test]
fn our_instance_is_never_a_time() {
    for id in [0u8, 1, 0x7f, 0xff] {
        let value = instance_value(&InstanceId([id; 16]));
        let read = u64::from_le_bytes(value.try_into().expect("eight bytes"));
        assert!(read >= 1 << 63, "agave's are milliseconds since 1970");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Take(usize),
    Vote(usize, u64),
    Release(usize),
    AgaveAcquires(usize),
    AgaveLoads(usize),
    AgaveVotes(usize, u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0usize..2).prop_map(Act::Take),
        6 => (0usize..2, 1u64..20).prop_map(|(who, gap)| Act::Vote(who, gap)),
        1 => (0usize..2).prop_map(Act::Release),
        2 => (0usize..2).prop_map(Act::AgaveAcquires),
        3 => (0usize..2).prop_map(Act::AgaveLoads),
        6 => (0usize..2, 1u64..20).prop_map(|(who, gap)| Act::AgaveVotes(who, gap)),
    ]
}

proptest! {
    /// Two nodes of ours and two of agave's: every vote that may be sent follows from the one sent before it.
    #[test]
    fn any_order_of_takeovers_keeps_one_line_of_votes(acts in prop::collection::vec(act(), 1..60)) {
        let kv = SharedKv::new();
        let mut nodes = [mirrored(&kv, 1), mirrored(&kv, 2)];
        let mut agaves = [Agave::started(1), Agave::started(2)];
        let mut line = Tower::default();
        let mut sent: Option<crate::VoteDecision> = None;
        for act in acts {
            let released = match act {
                Act::Take(who) => {
                    let snapshot = nodes[who].read().expect("readable");
                    nodes[who].claim(request(&snapshot)).expect("nobody is in between");
                    None
                }
                Act::Vote(who, gap) => match cast(&mut nodes[who], gap) {
                    Ok(decision) => Some(decision),
                    Err(RecordError::Fenced { .. } | RecordError::NotOwner { .. }) => None,
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                },
                Act::Release(who) => {
                    let _not_the_owner = nodes[who].release(UnixMillis(1));
                    None
                }
                Act::AgaveAcquires(who) => {
                    agaves[who].tower = None;
                    agaves[who].acquire(&kv);
                    None
                }
                Act::AgaveLoads(who) => {
                    agaves[who].load(&kv);
                    None
                }
                Act::AgaveVotes(who, gap) => agaves[who].vote(&kv, gap),
            };
            if let Some(decision) = released {
                let last = sent.as_ref().map(|sent| crate::LastVote {
                    slot: sent.slot,
                    hash: sent.hash,
                    block_id: sent.block_id,
                    timestamp: sent.timestamp,
                });
                prop_assert_eq!(crate::check(&line, last.as_ref(), &decision), Ok(()));
                line = decision.tower.clone();
                sent = Some(decision);
            }
        }
    }
}
