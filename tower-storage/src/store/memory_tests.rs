//! What a restart must not forget, and who may say that it may be forgotten.

use {
    super::{
        tests::{claim, owner, record},
        *,
    },
    crate::testing::{SharedKv, open},
    tandem_role::{hints::NoteRecord, memory::Memory},
};

/// Another process of the same machine: it has what the first one kept, through its bytes.
fn restarted(kv: &SharedKv, before: &PromiseStore) -> PromiseStore {
    let mut store = open(kv, 9);
    store.remember(&Known::decode(&before.known().encode()).unwrap());
    store
}

fn is_quarantined(store: &mut PromiseStore) -> String {
    match store.read() {
        Err(StoreError::Quarantined { reason, .. }) => reason,
        other => panic!("it must not be believed: {other:?}"),
    }
}

fn note() -> NoteRecord {
    NoteRecord { at: UnixMillis(1), by: "test".into(), what: "recover".into() }
}

/// The same content under another cluster id, as `etcdctl snapshot restore` leaves it.
fn moved(kv: &SharedKv) {
    let mut memory = kv.memory();
    memory.store_id += 1;
    memory.revision += 3;
    kv.restore(memory);
}

#[test]
fn a_restart_does_not_believe_a_store_that_was_wiped_moved_or_restored() {
    let kv = SharedKv::new();
    let store = owner(&kv, 1, &[1]);
    let backup = kv.memory();
    drop(store);
    let mut store = open(&kv, 2);
    claim(&mut store);
    let _ = record(&mut store, 2).unwrap();
    let _ = store.claim_leader_slot(30).unwrap();
    assert!(restarted(&kv, &store).read().is_ok(), "nothing happened to it");

    let truth = kv.memory();
    kv.restore(backup.clone());
    assert!(is_quarantined(&mut restarted(&kv, &store)).contains("went back in time"));
    // Written on until its revision is newer than all that was seen.
    for (key, why) in [("tower", "was there before"), ("window", "went down"), ("owner", "at term")] {
        let mut patched = truth.clone();
        patched.revision += 50;
        let name = truth.entries.keys().find(|name| name.ends_with(key)).unwrap().clone();
        match backup.entries.get(&name) {
            Some(old) => _ = patched.entries.insert(name, old.clone()),
            None => _ = patched.entries.remove(&name),
        }
        kv.restore(patched);
        let reason = is_quarantined(&mut restarted(&kv, &store));
        assert!(reason.contains(why), "{key}: {reason}");
    }
    kv.restore(Memory::new(5));
    assert!(is_quarantined(&mut restarted(&kv, &store)).contains("another store answers"));
    kv.restore(truth);
    moved(&kv);
    assert!(is_quarantined(&mut restarted(&kv, &store)).contains("another store answers"));
    assert!(open(&kv, 4).read().is_ok(), "a machine that never saw it has nothing to compare with");
}

#[test]
fn a_quarantine_outlives_a_restart_and_the_stores_return() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let truth = kv.memory();
    moved(&kv);
    let reason = is_quarantined(&mut store);
    kv.restore(truth);
    let mut next = restarted(&kv, &store);
    assert_eq!(is_quarantined(&mut next), reason, "it ends by a person's word alone");
    assert!(matches!(next.claim(request_of_nobody()), Err(ClaimError::Quarantined { .. })));
    // Which is true this time: the store has all that was ever seen.
    assert!(next.trust().is_ok());
    assert_eq!(next.quarantine(), None);
    assert!(restarted(&kv, &next).read().is_ok(), "and stays true");
    claim(&mut next);
    assert!(record(&mut next, 2).is_ok());
}

fn request_of_nobody() -> ClaimRequest {
    let empty = open(&SharedKv::new(), 1).read().unwrap();
    crate::testing::request(&empty)
}

#[test]
fn a_store_that_was_moved_without_a_loss_is_believed_again_and_one_with_a_loss_is_not() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let older = kv.memory();
    let _ = record(&mut store, 2).unwrap();
    moved(&kv);
    is_quarantined(&mut store);
    assert!(store.trust().is_ok());
    claim(&mut store);
    let _ = record(&mut store, 3).unwrap();

    kv.restore(older);
    let before = {
        is_quarantined(&mut store);
        store.known()
    };
    assert!(store.trust().is_err(), "two votes are missing");
    assert_eq!(store.known(), before, "and nothing is forgotten by asking");
    // A store that does not answer is not believed either.
    kv.always(Some(crate::testing::Network::Unavailable));
    assert!(matches!(store.trust(), Err(StoreError::Unavailable { .. })));
    assert_eq!(store.known(), before);
}

#[test]
fn a_lost_tower_is_forgotten_by_a_persons_word_and_the_word_outlives_a_restart() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let backup = kv.memory();
    let _ = record(&mut store, 2).unwrap();
    kv.restore(backup);
    is_quarantined(&mut store);
    store.forget_tower(600, &note()).unwrap();
    let mut next = restarted(&kv, &store);
    let facts = next.read().unwrap().facts();
    assert!(facts.accepted && !facts.has_tower);
    claim(&mut next);
    assert!(next.adopt_chain_tower(Tower { votes: vec![(1, 1)], root: None }).is_ok());
    // From the first vote on there is a tower again, and its loss would be one.
    let base = Tower { votes: vec![(1, 1)], root: None };
    let vote = crate::testing::vote(&base, 700, 0);
    let _ = next.record(vote, &crate::testing::TestSigner::new()).unwrap();
    assert_eq!(next.known().accepted, None);
    kv.restore(Memory::new(77));
    is_quarantined(&mut restarted(&kv, &next));
}
