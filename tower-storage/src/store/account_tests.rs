//! One vote account under several identities: handed over, never doubled.

use {
    super::*,
    crate::{
        check::Violation,
        decision::{Tower, VoteDecision},
        file::FileKv,
        pace::SystemPace,
        testing::{FakePace, Network, SharedKv, TestSigner, request, vote, vote_account},
        tower::TowerSigner,
    },
    proptest::prelude::*,
    std::collections::BTreeSet,
    tandem_role::{
        kv::{Op, Txn},
        records::Record,
    },
    tandem_types::Keypair,
};

fn key(letter: u8) -> TestSigner {
    TestSigner(Keypair::new_from_array([letter; 32]))
}

fn opening(node: u8, letter: u8, vote_account: Pubkey) -> Opening {
    Opening {
        genesis_hash: Hash::default(),
        identity: key(letter).identity(),
        vote_account,
        instance: InstanceId([node; 16]),
        limits: Limits { call_deadline: Duration::from_millis(500), write_timeout: Duration::from_secs(5) },
    }
}

fn open(kv: &SharedKv, node: u8, letter: u8) -> PromiseStore {
    open_for(kv, node, letter, vote_account())
}

fn open_for(kv: &SharedKv, node: u8, letter: u8, vote_account: Pubkey) -> PromiseStore {
    PromiseStore::open(Box::new(kv.clone()), Box::new(FakePace::default()), opening(node, letter, vote_account))
}

/// The first version's transactions are ours without the vote account's key.
fn first_version(kv: &SharedKv, node: u8, letter: u8) -> PromiseStore {
    open_for(kv, node, letter, Pubkey::default())
}

fn take(store: &mut PromiseStore) -> Claim {
    let snapshot = store.read().unwrap();
    store.claim(request(&snapshot)).unwrap()
}

fn decision(store: &PromiseStore, slot: Slot, letter: u8) -> VoteDecision {
    let tower = store.tower().map(|tower| tower.tower().clone()).unwrap_or_default();
    VoteDecision { identity: key(letter).identity(), vote_account: store.vote_account, ..vote(&tower, slot, letter) }
}

fn record(store: &mut PromiseStore, slot: Slot, letter: u8) -> Result<Promised, RecordError> {
    let decision = decision(store, slot, letter);
    store.record(decision, &key(letter))
}

fn owner(kv: &SharedKv, node: u8, letter: u8, slots: &[Slot]) -> PromiseStore {
    let mut store = open(kv, node, letter);
    take(&mut store);
    for slot in slots {
        let _ = record(&mut store, *slot, letter).unwrap();
    }
    store
}

fn last(claim: &Claim) -> Option<Slot> {
    claim.facts().tower_last_vote
}

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;

#[test]
fn a_new_identity_takes_the_tower_over_and_the_old_one_promises_nothing_more() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, A, &[1, 2, 3]);
    let mut new = open(&kv, 2, B);
    let seen = new.read().unwrap();
    let asked = seen.owner.clone().expect("whoever speaks for the account is asked");
    assert_eq!((asked.term, asked.instance, asked.released), (Term(1), InstanceId([1; 16]), false));
    assert_eq!((seen.speaker, seen.facts().tower_last_vote), (Some(key(A).identity()), Some(3)));
    let claimed = new.claim(request(&seen)).unwrap();
    assert_eq!((claimed.term, last(&claimed), claimed.facts().watermark), (Term(2), Some(3), None));

    let Err(RecordError::Fenced { by }) = record(&mut old, 4, A) else { panic!("the old identity must be fenced") };
    assert!(by.contains("vote account belongs to identity") && by.contains(&key(B).identity().to_string()), "{by}");
    let mut also_old = owner(&SharedKv::new(), 1, A, &[]);
    assert!(also_old.claim_leader_slot(5).is_ok());

    // Not below what the old identity promised.
    assert!(matches!(record(&mut new, 3, B), Err(RecordError::Violation(_))));
    let mut other_fork = decision(&new, 4, B);
    other_fork.tower = Tower { votes: vec![(4, 1)], root: None };
    assert!(matches!(new.record(other_fork, &key(B)), Err(RecordError::Violation(Violation::LockedOut { .. }))));
    let promised = record(&mut new, 4, B).unwrap();
    assert_eq!((promised.term(), promised.decision().tower.votes.len()), (Term(2), 4));

    // From its first vote on the tower is the new identity's own.
    let read = open(&kv, 3, B).read().unwrap();
    assert_eq!((read.speaker, read.tower.unwrap().last_slot()), (None, Some(4)));
    // The old one's machines see where it went.
    let seen = open(&kv, 4, A).read().unwrap();
    let text = protocol::describe_owner(seen.owner.as_ref());
    assert!(text.contains(&key(B).identity().to_string()) && text.contains("term 2"), "{text}");
    assert_eq!((seen.speaker, seen.facts().tower_last_vote), (Some(key(B).identity()), Some(4)));
}

#[test]
fn leader_slots_of_the_old_identity_are_fenced_with_its_votes() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, A, &[1]);
    let _ = old.claim_leader_slot(7).unwrap();
    let mut new = owner(&kv, 2, B, &[]);
    assert!(matches!(old.claim_leader_slot(8), Err(RecordError::Fenced { .. })));
    assert_eq!(new.watermark(), None, "slots are an identity's own");
    assert!(new.claim_leader_slot(3).is_ok());
    assert_eq!(old.release(UnixMillis(1)), Err(StoreError::NotOwner));
}

#[test]
fn a_tower_that_was_handed_on_unused_is_not_lost() {
    let kv = SharedKv::new();
    owner(&kv, 1, A, &[1, 2, 3]);
    // Each claims, and ends before its first vote.
    for (node, letter) in [(2, B), (3, B), (4, C), (5, A), (6, A), (7, B)] {
        let mut store = open(&kv, node, letter);
        assert_eq!(last(&take(&mut store)), Some(3), "node {node}");
        let mut check = open(&kv, node + 100, letter);
        assert_eq!(check.read().unwrap().facts().tower_last_vote, Some(3), "and reads it back, node {node}");
    }
    let mut last_one = owner(&kv, 8, C, &[]);
    assert!(matches!(record(&mut last_one, 2, C), Err(RecordError::Violation(_))));
    assert!(record(&mut last_one, 4, C).is_ok());
    let terms: Vec<u64> = open(&kv, 9, C).history().unwrap().iter().map(|log| log.term.0).collect();
    assert_eq!(terms, [4, 5, 8], "its own two claims, and the one that took the account from it");
    let of_b = open(&kv, 9, B).history().unwrap();
    assert!(
        of_b.iter().any(|log| log.term == Term(4) && log.reason.contains(&key(C).identity().to_string())),
        "{of_b:?}"
    );
}

#[test]
fn a_vote_between_the_look_and_the_claim_is_taken_over_too() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, A, &[1]);
    let mut new = open(&kv, 2, B);
    let seen = new.read().unwrap();
    let _ = record(&mut old, 2, A).unwrap();
    let _ = record(&mut old, 3, A).unwrap();
    let claimed = new.claim(request(&seen)).unwrap();
    assert_eq!(last(&claimed), Some(3));
    assert!(matches!(record(&mut old, 4, A), Err(RecordError::Fenced { .. })));
}

#[test]
fn a_claim_of_another_identity_is_resolved_like_any_other() {
    use Network::{Fine, Late, NoSpace, ReplyLost, Unavailable};
    for plan in [vec![ReplyLost], vec![Late, Fine], vec![Unavailable, Late, ReplyLost], vec![NoSpace]] {
        let kv = SharedKv::new();
        let mut old = owner(&kv, 1, A, &[1, 2]);
        let mut new = open(&kv, 2, B);
        let seen = new.read().unwrap();
        kv.plan(&plan);
        let claimed = new.claim(request(&seen)).unwrap();
        assert_eq!((claimed.term, last(&claimed)), (Term(2), Some(2)), "{plan:?}");
        (0..4).for_each(|_| kv.deliver(0));
        kv.0.lock().unwrap().full = false;
        assert!(matches!(record(&mut old, 3, A), Err(RecordError::Fenced { .. })), "{plan:?}");
        assert!(record(&mut new, 3, B).is_ok(), "{plan:?}");
    }
}

#[test]
fn the_wish_goes_to_whoever_speaks_for_the_account() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, A, &[1]);
    let mut new = open(&kv, 2, B);
    let seen = new.read().unwrap();
    let owner = seen.owner.clone().unwrap();
    let intent = IntentRecord {
        from: owner.host,
        to: "beta".into(),
        instance: InstanceId([2; 16]),
        deadline_ms: 2000,
        reason: "set-identity".into(),
        term_seen: owner.term,
    };
    assert_eq!(new.write_intent(seen.owner_revision, intent.clone()), Ok(None));
    let wish = old.read().unwrap().intent.expect("its own watch shows it");
    assert_eq!((wish.term_seen, wish.instance), (Term(1), InstanceId([2; 16])));
    assert!(wish.reason.contains(&key(B).identity().to_string()), "{wish:?}");
    let _ = record(&mut old, 2, A).unwrap();
    old.release(UnixMillis(9)).unwrap();
    // What the claimant waits for, and what it then takes over.
    let changed = new.write_intent(seen.owner_revision, intent).unwrap().expect("it let go");
    assert!(changed.owner.as_ref().is_some_and(|owner| owner.released && owner.instance == InstanceId([1; 16])));
    assert_eq!(last(&new.claim(request(&changed)).unwrap()), Some(2));
}

#[test]
fn a_claim_on_an_old_look_does_not_pass_by_a_speaker_it_has_not_seen() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, A, &[1]);
    let mut new = open(&kv, 2, B);
    let seen = new.read().unwrap();
    old.release(UnixMillis(1)).unwrap();
    let mut again = owner(&kv, 3, A, &[2]);
    // It has looked since, for somebody else's sake, and claims on the strength of the old look.
    new.read().unwrap();
    let Err(ClaimError::Refused(now)) = new.claim(request(&seen)) else { panic!("another owner is there by now") };
    assert_eq!(now.owner.as_ref().unwrap().term, Term(2));
    assert!(record(&mut again, 3, A).is_ok(), "and goes on undisturbed");
    assert_eq!(last(&new.claim(request(&now)).unwrap()), Some(3));
}

// Stores of the first version.

#[test]
fn a_store_of_the_first_version_gets_the_accounts_key_with_the_next_claim() {
    let kv = SharedKv::new();
    let keys = Keys::new(&Hash::default(), &key(A).identity());
    // As the first version left them: without nonces, and without an account.
    let owner = br#"{"term":7,"instance":"abababababababababababababababab","host":"alpha","version":"0.1.0","standby_identity":"11111111111111111111111111111111","slot_at_claim":5,"released":true,"lease":null,"preference":"primary","claimed_at":1700000000000}"#;
    let window = br#"{"term":7,"watermark":9}"#;
    let values = [(keys.owner(), owner.to_vec()), (keys.window(), window.to_vec()), (keys.tower(), first_tower())];
    let then = values.map(|(key, value)| Op::Put { key, value }).to_vec();
    kv.0.lock().unwrap().memory.apply(&Txn { then, ..Txn::default() });

    let stranger = open(&kv, 9, B).read().unwrap();
    assert_eq!(
        (stranger.owner, stranger.tower, stranger.speaker),
        (None, None, None),
        "nothing says whose votes they are"
    );
    let mut store = open(&kv, 1, A);
    let claimed = take(&mut store);
    assert_eq!((claimed.term, last(&claimed), claimed.facts().watermark), (Term(8), Some(2), Some(9)));
    assert!(record(&mut store, 3, A).is_ok());
    let name = open(&kv, 1, A).keys.account().unwrap().1;
    let account = AccountRecord::decode(&kv.memory().entries[&name].0).unwrap();
    assert_eq!((account.identity, account.term, account.tower_of), (key(A).identity(), Term(8), None));
    assert_eq!(last(&take(&mut open(&kv, 2, B))), Some(3), "from now on the account has its line of votes");
}

#[test]
fn a_first_version_that_claimed_in_between_is_the_owner_and_is_fenced_like_one() {
    let kv = SharedKv::new();
    owner(&kv, 1, A, &[1]).release(UnixMillis(1)).unwrap();
    let mut first = first_version(&kv, 2, A);
    assert_eq!(take(&mut first).term, Term(2));
    let _ = record(&mut first, 2, A).unwrap();
    // Its own identity's next claim, and that of another: both see it, and both fence it.
    let again = open(&kv, 3, A).read().unwrap();
    assert_eq!(again.owner.map(|owner| (owner.term, owner.instance)), Some((Term(2), InstanceId([2; 16]))));
    let mut new = open(&kv, 4, B);
    let seen = new.read().unwrap();
    assert_eq!(seen.owner.as_ref().map(|owner| owner.instance), Some(InstanceId([2; 16])));
    let claimed = new.claim(request(&seen)).unwrap();
    assert_eq!((claimed.term, last(&claimed)), (Term(3), Some(2)));
    assert!(matches!(record(&mut first, 3, A), Err(RecordError::Fenced { .. })), "though it knows of no account");
    assert!(record(&mut new, 3, B).is_ok());
}

#[test]
fn an_account_record_that_cannot_be_read_or_is_newer_is_left_alone() {
    let kv = SharedKv::new();
    owner(&kv, 1, A, &[1]).release(UnixMillis(1)).unwrap();
    let name = open(&kv, 1, A).keys.account().unwrap().1;
    let good = kv.memory().entries[&name].0.clone();
    let newer = String::from_utf8(good.clone()).unwrap().replace(r#""shape":1"#, r#""shape":2"#).into_bytes();
    for (bad, why) in [(b"junk".to_vec(), "vote account record"), (newer, "newer version")] {
        let put = Op::Put { key: name.clone(), value: bad };
        kv.0.lock().unwrap().memory.apply(&Txn { then: vec![put], ..Txn::default() });
        let before = kv.memory();
        for letter in [A, B] {
            let mut store = open(&kv, 2, letter);
            let Err(StoreError::Quarantined { reason, .. }) = store.read() else { panic!("it must be refused") };
            assert!(reason.contains(why), "{reason}");
            assert!(matches!(store.claim(nobodys()), Err(ClaimError::Quarantined { .. })));
        }
        assert_eq!(kv.memory(), before, "nothing was written over it");
    }
}

fn nobodys() -> ClaimRequest {
    request(&open(&SharedKv::new(), 1, A).read().unwrap())
}

#[test]
fn an_account_record_written_by_somebody_else_stops_the_owner() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, A, &[1]);
    let name = store.keys.account().unwrap().1;
    let put = Op::Put { value: kv.memory().entries[&name].0.clone(), key: name };
    kv.0.lock().unwrap().memory.apply(&Txn { then: vec![put], ..Txn::default() });
    let Err(RecordError::Quarantined { reason, .. }) = record(&mut store, 2, A) else { panic!("not by its own claim") };
    assert!(reason.contains("vote account"), "{reason}");
}

// Identities with more than one account.

#[test]
fn an_identity_that_left_for_another_account_is_not_fenced() {
    let kv = SharedKv::new();
    let other = Pubkey::new_from_array([6; 32]);
    owner(&kv, 1, A, &[1, 2]).release(UnixMillis(1)).unwrap();
    let mut left = open_for(&kv, 2, A, other);
    take(&mut left);
    let _ = record(&mut left, 3, A).unwrap();
    let mut new = open(&kv, 3, B);
    let seen = new.read().unwrap();
    assert_eq!(seen.owner, None, "there is nobody to ask");
    // All that A ever voted for the account is in the tower it has now.
    assert_eq!(last(&new.claim(request(&seen)).unwrap()), Some(3));
    assert!(record(&mut left, 4, A).is_ok() && record(&mut new, 4, B).is_ok());
}

#[test]
fn promises_for_another_account_are_not_written_over() {
    let kv = SharedKv::new();
    let other = Pubkey::new_from_array([6; 32]);
    owner(&kv, 1, A, &[1, 2]).release(UnixMillis(1)).unwrap();
    let mut busy = open_for(&kv, 2, B, other);
    take(&mut busy);
    let _ = record(&mut busy, 50, B).unwrap();
    busy.release(UnixMillis(1)).unwrap();
    let before = kv.memory();
    let mut new = open(&kv, 3, B);
    let seen = new.read().unwrap();
    let Err(ClaimError::Quarantined { reason, .. }) = new.claim(request(&seen)) else { panic!("it must be refused") };
    assert!(reason.contains(&other.to_string()) && reason.contains("identity of its own"), "{reason}");
    assert_eq!(kv.memory(), before);
    // Once the other account has gone to somebody else, the tower went with it.
    take(&mut open_for(&kv, 4, C, other));
    assert_eq!(last(&take(&mut open(&kv, 5, B))), Some(2));
}

#[test]
fn one_folder_two_identities_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let open = |node, letter| {
        let kv = Box::new(FileKv::open(folder.path()).unwrap());
        PromiseStore::open(kv, Box::new(SystemPace::start()), opening(node, letter, vote_account()))
    };
    let mut store = open(1, A);
    take(&mut store);
    let _ = record(&mut store, 5, A).unwrap();
    drop(store);
    let mut store = open(2, B);
    assert_eq!(last(&take(&mut store)), Some(5));
    assert!(matches!(record(&mut store, 5, B), Err(RecordError::Violation(_))));
    assert!(record(&mut store, 6, B).is_ok());
    drop(store);
    assert_eq!(last(&take(&mut open(3, A))), Some(6));
}

#[test]
fn what_the_old_identity_lost_is_forgotten_by_a_persons_word_for_the_new_one_too() {
    let kv = SharedKv::new();
    owner(&kv, 1, A, &[1, 2]).release(UnixMillis(1)).unwrap();
    let mut new = open(&kv, 2, B);
    new.read().unwrap();
    let note = NoteRecord { at: UnixMillis(5), by: "beta".into(), what: "recovered".into() };
    new.forget_tower(600, &note).unwrap();
    let seen = new.read().unwrap();
    assert!(!seen.facts().has_tower && seen.accepted);
    assert_eq!(last(&new.claim(request(&seen)).unwrap()), None);
}

#[test]
fn a_tool_that_is_not_told_the_account_finds_it() {
    let kv = SharedKv::new();
    owner(&kv, 1, A, &[1, 2]);
    take(&mut open(&kv, 2, B));
    // Claimed, and not voted yet: the tower under B's key is A's.
    let tool = |letter| first_version(&kv, 9, letter).find_account().read().unwrap();
    let signer = Some(key(A).identity());
    let taken = tool(B);
    assert_eq!((taken.facts().tower_last_vote, taken.speaker, taken.signed_by), (Some(2), None, signer));
    let moved = tool(A);
    let speaker = Some(key(B).identity());
    assert_eq!((moved.facts().tower_last_vote, moved.speaker, moved.signed_by), (Some(2), speaker, signer));
    assert_eq!(tool(C).facts().tower_last_vote, None, "it never claimed");
}

// Agave's keys.

#[test]
fn an_agave_node_under_the_old_identity_is_fenced_and_its_tower_taken() {
    let kv = SharedKv::new();
    let agave = tandem_role::agave_keys::AgaveKeys::new(&key(A).identity());
    let put = |key: &str, value: Vec<u8>| {
        let put = Op::Put { key: key.to_owned(), value };
        kv.0.lock().unwrap().memory.apply(&Txn { then: vec![put], ..Txn::default() });
    };
    let mut ours = open(&kv, 1, A).mirror_agave();
    take(&mut ours);
    let _ = record(&mut ours, 1, A).unwrap();
    put(&agave.instance, 1_700_000_000_000u64.to_le_bytes().to_vec());
    let next = StoredTower::of_decision(&decision(&ours, 2, A), None, &key(A)).unwrap();
    put(&agave.tower, next.bytes().to_vec());

    let mut new = open(&kv, 2, B).mirror_agave();
    let seen = new.read().unwrap();
    assert!(seen.owner.as_ref().is_some_and(tandem_role::agave_keys::is_agave), "{seen:?}");
    let claimed = new.claim(request(&seen)).unwrap();
    assert_eq!(last(&claimed), Some(2));
    let instance = &kv.memory().entries[&agave.instance].0;
    assert_ne!(instance.as_slice(), 1_700_000_000_000u64.to_le_bytes(), "its records compare that value");
    assert!(record(&mut new, 3, B).is_ok());
    let own = tandem_role::agave_keys::AgaveKeys::new(&key(B).identity());
    assert_eq!(kv.memory().entries[&own.tower].0, kv.memory().entries[&new.keys.tower()].0);
}

// Random lives.

#[derive(Clone, Debug)]
enum Act {
    Claim,
    Look,
    ClaimOnOldLook,
    Vote { gap: u64 },
    Release,
    Deliver(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Claim),
        1 => Just(Act::Look),
        1 => Just(Act::ClaimOnOldLook),
        8 => (1u64..40).prop_map(|gap| Act::Vote { gap }),
        1 => Just(Act::Release),
        2 => (0usize..3).prop_map(Act::Deliver),
    ]
}

fn network() -> impl Strategy<Value = Vec<Network>> {
    let one = prop_oneof![
        6 => Just(Network::Fine),
        1 => Just(Network::Unavailable),
        2 => Just(Network::ReplyLost),
        2 => Just(Network::Late),
    ];
    proptest::collection::vec(one, 0..4)
}

/// Two votes of one account, in the order of their records, by a code of its own.
fn contradiction(old: &VoteDecision, new: &VoteDecision) -> Option<String> {
    if new.slot <= old.slot && (old.slot, old.hash) != (new.slot, new.hash) {
        return Some(format!("slot {} after slot {}", new.slot, old.slot));
    }
    let broken = old.tower.votes.iter().find(|(slot, count)| {
        let kept = new.tower.votes.iter().any(|(kept, _)| kept == slot);
        let rooted = new.tower.root.is_some_and(|root| *slot <= root);
        !kept && !rooted && slot + 2u64.pow(*count) >= new.slot
    });
    broken.map(|(slot, _)| format!("slot {} breaks the lockout of {slot}", new.slot))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Two machines of one identity and one each of two others, over one account.
    #[test]
    fn identities_of_one_account_never_contradict_each_other(
        acts in proptest::collection::vec((0usize..4, act(), network()), 1..60),
    ) {
        let kv = SharedKv::new();
        let letters = [A, A, B, C];
        let mut nodes = [open(&kv, 1, A), open(&kv, 2, A), open(&kv, 3, B), open(&kv, 4, C)];
        let mut looks: [Option<StoreSnapshot>; 4] = [const { None }; 4];
        let mut votes: Vec<VoteDecision> = Vec::new();
        let mut terms = BTreeSet::new();
        for (who, act, network) in acts {
            kv.plan(&network);
            let node = &mut nodes[who];
            let claimed = match act {
                Act::Claim => node.read().ok().and_then(|snapshot| node.claim(request(&snapshot)).ok()),
                Act::Look => {
                    looks[who] = node.read().ok();
                    None
                }
                Act::ClaimOnOldLook => looks[who].take().and_then(|snapshot| node.claim(request(&snapshot)).ok()),
                Act::Vote { gap } => {
                    let slot = node.tower().and_then(StoredTower::last_slot).unwrap_or(0) + gap;
                    if let Ok(promised) = record(node, slot, letters[who]) {
                        let new = promised.decision();
                        if let Some(why) = votes.iter().find_map(|old| contradiction(old, new)) {
                            return Err(TestCaseError::fail(why));
                        }
                        votes.push(new.clone());
                    }
                    None
                }
                Act::Release => {
                    let _not_the_owner = node.release(UnixMillis(0));
                    None
                }
                Act::Deliver(n) => {
                    kv.deliver(n);
                    None
                }
            };
            if let Some(claim) = claimed {
                prop_assert!(terms.iter().all(|term| *term < claim.term.0), "term {} again", claim.term);
                terms.insert(claim.term.0);
            }
            kv.plan(&[]);
            prop_assert!(nodes.iter().all(|node| node.quarantine().is_none()), "nobody tampers here");
        }
    }
}

/// Slots 1 and 2, signed by A, as the first version wrote it.
fn first_tower() -> Vec<u8> {
    let hex: String = FIRST_TOWER.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const FIRST_TOWER: &str = "
    01000000243782043e4d77f5947fd14043ef904092c713827ea2666211860dac0b1e067e5703436c579c7a4be8791d7ae9f88febec31efd9fdb55f9a
    80806b1f5662ad0425070000000000008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c080000000000000055555555
    5555e53f0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000020000000000000001000000000000000200000002000000000000000100000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
    00000000000000000000000000000000000000000000000000001f000000000000000100000000000000000000000000000000000000000000000003
    000000ffffffffffffffff020102010102000000000000000101010101010101010101010101010101010101010101010102f1536500000000000000
    0000000000000000000000000000000000000000000000000000000000020000000000000002f1536500000000
";
