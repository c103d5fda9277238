//! One store and its life, then what goes wrong with it.

use {
    super::*,
    crate::{
        check::{Violation, after_vote},
        decision::{VoteDecision, VoteKind},
        exchange::{export_tower, import_tower},
        file::FileKv,
        pace::SystemPace,
        testing::{Network, SharedKv, TestSigner, open, open_with, request, vote},
        tower::TowerSigner,
    },
    tandem_role::{
        hints::{HoldRecord, NoteRecord, PresenceRecord},
        kv::{Op, Txn},
        protocol::DropTower,
    },
};

pub(super) fn claim(store: &mut PromiseStore) -> Claim {
    let snapshot = store.read().unwrap();
    store.claim(request(&snapshot)).unwrap()
}

/// Claims and records votes for these slots.
pub(super) fn owner(kv: &SharedKv, node: u8, slots: &[Slot]) -> PromiseStore {
    let mut store = open(kv, node);
    claim(&mut store);
    for slot in slots {
        let _ = record(&mut store, *slot).unwrap();
    }
    store
}

pub(super) fn record(store: &mut PromiseStore, slot: Slot) -> Result<Promised, RecordError> {
    let tower = store.tower().map(|tower| tower.tower().clone()).unwrap_or_default();
    store.record(vote(&tower, slot, 0), &TestSigner::new())
}

#[test]
fn a_vote_is_promised_after_it_is_in_the_store() {
    let kv = SharedKv::new();
    let mut store = open(&kv, 1);
    let empty = store.read().unwrap();
    assert_eq!((empty.owner.clone(), empty.tower.clone(), empty.facts().has_tower), (None, None, false));
    assert!(matches!(record(&mut store, 1), Err(RecordError::NotOwner { .. })), "holding the key gives no right (I4)");
    assert!(matches!(store.claim_leader_slot(1), Err(RecordError::NotOwner { .. })));
    let claimed = store.claim(request(&empty)).unwrap();
    assert_eq!((claimed.term, claimed.facts().watermark), (Term(1), None));

    let promised = record(&mut store, 1).unwrap();
    assert_eq!((promised.term(), promised.decision().slot), (Term(1), 1));
    let snapshot = open(&kv, 2).read().unwrap();
    let tower = snapshot.tower.unwrap();
    assert_eq!((tower.last_slot(), tower.last_vote().unwrap().hash), (Some(1), promised.decision().hash));
    assert_eq!(tower.last_timestamp(), Some((1, 1_700_000_001)));

    let slot = store.claim_leader_slot(40).unwrap();
    assert_eq!((slot.slot(), slot.term(), *slot.identity()), (40, Term(1), TestSigner::new().identity()));
    let window = open(&kv, 2).read().unwrap().window.unwrap();
    assert_eq!((window.term, window.watermark), (Term(1), 40));
    for again in [40, 39, 0] {
        let refused = store.claim_leader_slot(again);
        assert_eq!(refused, Err(RecordError::SlotNotAboveWatermark { slot: again, watermark: 40 }));
    }
    assert!(store.claim_leader_slot(41).is_ok(), "a refused slot does no harm");
}

#[test]
fn what_is_not_legal_is_not_recorded() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1, 2, 3]);
    let before = kv.memory();
    let signer = TestSigner::new();
    let tower = store.tower().unwrap().tower().clone();

    assert!(matches!(record(&mut store, 3), Err(RecordError::Violation(_))));
    let mut switched = vote(&Tower::default(), 4, 9);
    switched.tower = Tower { votes: vec![(4, 1)], root: None };
    assert!(matches!(store.record(switched, &signer), Err(RecordError::Violation(Violation::LockedOut { .. }))));
    let stranger = VoteDecision { identity: Pubkey::new_from_array([1; 32]), ..vote(&tower, 4, 0) };
    assert!(matches!(store.record(stranger, &signer), Err(RecordError::WrongIdentity { .. })));
    let stranger = VoteDecision { vote_account: Pubkey::new_from_array([1; 32]), ..vote(&tower, 4, 0) };
    assert!(matches!(store.record(stranger, &signer), Err(RecordError::WrongVoteAccount { .. })));
    let other_key = TestSigner(tandem_types::Keypair::new_from_array([1; 32]));
    assert!(matches!(store.record(vote(&tower, 4, 0), &other_key), Err(RecordError::WrongIdentity { .. })));

    assert_eq!(kv.memory(), before, "nothing of this was written");
    assert!(record(&mut store, 4).is_ok(), "and a legal vote is still possible");
}

#[test]
fn a_refresh_is_the_same_vote_again() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1, 2]);
    let tower = store.tower().unwrap().tower().clone();
    let refresh = VoteDecision {
        kind: VoteKind::Refresh,
        tower: tower.clone(),
        timestamp: Some(1_700_000_099),
        ..vote(&after_vote(&Tower::default(), 1), 2, 0)
    };
    let promised = store.record(refresh.clone(), &TestSigner::new()).unwrap();
    assert_eq!(promised.decision().kind, VoteKind::Refresh);
    // Not even a byte may differ; the write is still made, for the fence's sake.
    assert!(store.record(refresh.clone(), &TestSigner::new()).is_ok());
    let other = VoteDecision { hash: Hash::new_from_array([1; 32]), ..refresh };
    assert!(matches!(store.record(other, &TestSigner::new()), Err(RecordError::Violation(Violation::RefreshBlock(2)))));
    assert!(record(&mut store, 3).is_ok());
}

#[test]
fn lost_replies_are_resolved_before_anything_else() {
    use Network::{Fine, Late, Refused, ReplyLost, Unavailable};
    for plan in [
        vec![ReplyLost],
        vec![ReplyLost, ReplyLost, Unavailable],
        vec![Unavailable, Refused, Late, ReplyLost],
        vec![Late, Late, Fine],
    ] {
        let kv = SharedKv::new();
        let mut store = owner(&kv, 1, &[1]);
        kv.plan(&plan);
        assert_eq!(record(&mut store, 2).unwrap().decision().slot, 2, "{plan:?}");
        kv.plan(&plan);
        assert_eq!(store.claim_leader_slot(9).unwrap().slot(), 9, "{plan:?}");
        // Copies that arrive afterwards change nothing.
        let before = kv.memory();
        (0..4).for_each(|_| kv.deliver(0));
        assert_eq!(kv.memory(), before, "{plan:?}");
        assert!(record(&mut store, 3).is_ok() && store.claim_leader_slot(10).is_ok());
        kv.plan(&plan);
        store.release(UnixMillis(2)).unwrap();
        let snapshot = open(&kv, 2).read().unwrap();
        assert!(snapshot.owner.unwrap().released);
        kv.plan(&plan);
        let claimed = open(&kv, 2).claim(request(&open(&kv, 3).read().unwrap()));
        // The plan may have hit the read above first; what matters is that the claim is known in the end.
        assert_eq!(claimed.map(|claim| claim.term), Ok(Term(2)), "{plan:?}");
    }
}

#[test]
fn no_store_no_votes() {
    for network in [Network::Unavailable, Network::Refused, Network::Late] {
        let kv = SharedKv::new();
        let mut store = owner(&kv, 1, &[1]);
        kv.always(Some(network));
        let Err(RecordError::StoreLost { unresolved, .. }) = record(&mut store, 2) else { panic!("{network:?}") };
        assert_eq!(unresolved, network == Network::Late);
        assert!(kv.0.lock().unwrap().calls > 10, "it was tried for a while");
        kv.always(None);
        // The store is back, but what it holds is not known: nothing more under this claim.
        assert!(matches!(record(&mut store, 2), Err(RecordError::NotOwner { .. })));
        assert!(matches!(store.claim_leader_slot(5), Err(RecordError::NotOwner { .. })));
        let claimed = claim(&mut store);
        assert_eq!(claimed.term, Term(2));
        // A copy from the old term arrives at last, and is fenced.
        kv.deliver(0);
        assert!(record(&mut store, 3).is_ok());
        assert_eq!(store.tower().unwrap().tower().votes.len(), 2);
    }
}

#[test]
fn a_late_vote_that_arrives_before_the_next_claim_is_found_by_it() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    kv.always(Some(Network::Late));
    assert!(record(&mut store, 2).is_err());
    kv.always(None);
    kv.deliver(0);
    let claimed = claim(&mut store);
    assert_eq!(claimed.tower.unwrap().last_slot(), Some(2), "never released, but stricter does no harm");
    assert!(matches!(record(&mut store, 2), Err(RecordError::Violation(_))));
}

#[test]
fn a_paused_owner_wakes_up_and_can_promise_nothing() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, &[1]);
    let mut new = owner(&kv, 2, &[2]);
    assert_eq!(new.term(), Some(Term(2)));
    let before = kv.memory();
    let Err(RecordError::Fenced { by }) = record(&mut old, 2) else { panic!("it must be fenced") };
    assert!(by.contains("term 2"), "{by}");
    assert!(matches!(old.claim_leader_slot(99), Err(RecordError::NotOwner { .. })));
    let mut also_old = owner(&SharedKv::new(), 1, &[1]);
    assert!(also_old.claim_leader_slot(5).is_ok());
    assert_eq!(old.release(UnixMillis(1)), Err(StoreError::NotOwner));
    assert_eq!(kv.memory(), before);
    assert!(record(&mut new, 3).is_ok());
}

#[test]
fn a_paused_owner_is_fenced_even_before_the_new_one_has_voted() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, &[1]);
    let mut new = owner(&kv, 2, &[]);
    assert!(matches!(record(&mut old, 2), Err(RecordError::Fenced { .. })));
    assert_eq!(new.tower().unwrap().last_slot(), Some(1));
    assert!(record(&mut new, 2).is_ok());
}

#[test]
fn a_paused_owner_cannot_claim_a_leader_slot_either() {
    // Hole 1 of the old design: votes were fenced, blocks were not.
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, &[1]);
    let mut new = owner(&kv, 2, &[]);
    assert!(matches!(old.claim_leader_slot(7), Err(RecordError::Fenced { .. })));
    assert!(new.claim_leader_slot(7).is_ok());
}

#[test]
fn a_new_owner_starts_above_the_watermark_it_finds() {
    let kv = SharedKv::new();
    let mut old = owner(&kv, 1, &[]);
    assert!(old.claim_leader_slot(100).is_ok());
    let mut new = owner(&kv, 2, &[]);
    assert_eq!(new.watermark(), Some(100));
    assert!(matches!(new.claim_leader_slot(100), Err(RecordError::SlotNotAboveWatermark { .. })));
    assert!(new.claim_leader_slot(101).is_ok());
}

#[test]
fn a_claim_on_an_owner_that_changed_is_refused() {
    let kv = SharedKv::new();
    let mut first = open(&kv, 1);
    let mut second = open(&kv, 2);
    let (seen_by_first, seen_by_second) = (first.read().unwrap(), second.read().unwrap());
    first.claim(request(&seen_by_first)).unwrap();
    let Err(ClaimError::Refused(now)) = second.claim(request(&seen_by_second)) else { panic!("one of two wins") };
    assert_eq!(now.owner.as_ref().unwrap().instance, InstanceId([1; 16]));
    assert_eq!(second.claim(request(&now)).unwrap().term, Term(2), "with what it was told it can try again");
}

#[test]
fn require_tower_refuses_before_anything_is_claimed() {
    let kv = SharedKv::new();
    let mut store = open(&kv, 1);
    let before = kv.memory();
    let snapshot = store.read().unwrap();
    let wanted = ClaimRequest { require_tower: true, ..request(&snapshot) };
    assert!(matches!(store.claim(wanted.clone()), Err(ClaimError::TowerMissing { .. })));
    assert_eq!(kv.memory(), before);
    owner(&kv, 2, &[1]).release(UnixMillis(0)).unwrap();
    let snapshot = store.read().unwrap();
    assert!(store.claim(ClaimRequest { require_tower: true, ..request(&snapshot) }).is_ok());
}

// I6.

#[test]
fn a_restored_store_is_not_believed() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let backup = kv.memory();
    let _ = record(&mut store, 2).unwrap();
    kv.restore(backup);
    assert!(matches!(record(&mut store, 3), Err(RecordError::Quarantined { .. })));
    assert!(matches!(store.read(), Err(StoreError::Quarantined { .. })), "and stays so");
    assert!(matches!(record(&mut store, 4), Err(RecordError::NotOwner { .. })));
}

#[test]
fn another_store_at_the_same_address_is_not_believed() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let mut other = kv.memory();
    other.store_id += 1;
    other.revision += 100;
    kv.restore(other);
    let Err(RecordError::Quarantined { reason, .. }) = record(&mut store, 2) else { panic!("another store") };
    assert!(reason.contains("another store answers"), "{reason}");
}

#[test]
fn a_tower_or_watermark_that_went_back_under_a_newer_revision_is_not_believed() {
    // Restored, then written on until its revision is newer than all we saw: a standby that watched notices.
    for key in ["tower", "window"] {
        let kv = SharedKv::new();
        let mut active = owner(&kv, 1, &[1]);
        let _ = active.claim_leader_slot(10).unwrap();
        let mut backup = kv.memory();
        let _ = record(&mut active, 2).unwrap();
        let _ = active.claim_leader_slot(11).unwrap();
        let mut standby = open(&kv, 2);
        standby.read().unwrap();
        backup.revision += 50;
        let mut restored = kv.memory();
        restored.revision = backup.revision;
        let old = backup.entries.iter().find(|(name, _)| name.ends_with(key)).unwrap();
        restored.entries.insert(old.0.clone(), old.1.clone());
        kv.restore(restored);
        let Err(StoreError::Quarantined { reason, .. }) = standby.read() else { panic!("{key} went back") };
        assert!(reason.contains("was there before") || reason.contains("went down"), "{reason}");
    }
}

#[test]
fn somebody_elses_tower_is_not_believed() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let key = kv.memory().entries.keys().find(|key| key.ends_with("tower")).unwrap().clone();
    let put = |value: &[u8]| Txn { then: vec![Op::Put { key: key.clone(), value: value.to_vec() }], ..Txn::default() };
    kv.0.lock().unwrap().memory.apply(&put(b"junk"));
    assert!(matches!(open(&kv, 2).read(), Err(StoreError::Quarantined { .. })));
    let Err(RecordError::Quarantined { reason, .. }) = record(&mut store, 2) else { panic!("not ours") };
    assert!(reason.contains("does not own"), "{reason}");
}

#[test]
fn a_wish_that_cannot_be_read_is_no_wish_and_no_reason_for_distrust() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let key = Keys::new(&Hash::default(), &TestSigner::new().identity()).intent();
    let put = Txn { then: vec![Op::Put { key, value: b"junk".to_vec() }], ..Txn::default() };
    kv.0.lock().unwrap().memory.apply(&put);
    assert_eq!(store.read().unwrap().intent, None);
    assert!(record(&mut store, 2).is_ok());
}

#[test]
fn a_claim_that_finds_a_bad_tower_gives_the_identity_back() {
    let kv = SharedKv::new();
    owner(&kv, 1, &[1]).release(UnixMillis(0)).unwrap();
    let mut store = open(&kv, 2);
    let snapshot = store.read().unwrap();
    let key = kv.memory().entries.keys().find(|key| key.ends_with("tower")).unwrap().clone();
    let put = Txn { then: vec![Op::Put { key, value: b"junk".to_vec() }], ..Txn::default() };
    kv.0.lock().unwrap().memory.apply(&put);
    assert!(matches!(store.claim(request(&snapshot)), Err(ClaimError::Quarantined { .. })));
    let owner = kv.memory().entries.iter().find(|(key, _)| key.ends_with("owner")).unwrap().1.0.clone();
    assert!(String::from_utf8(owner).unwrap().contains(r#""released":true"#));
    assert_eq!(store.term(), None);
}

// The rest of the life of a store.

#[test]
fn two_clusters_never_mix() {
    let kv = SharedKv::new();
    owner(&kv, 1, &[1, 2]);
    let mut other = open_with(&kv, 2, Hash::new_from_array([9; 32]));
    let snapshot = other.read().unwrap();
    assert_eq!((snapshot.owner, snapshot.tower), (None, None));
    let shadow = TestSigner::new().identity();
    assert_eq!(open(&kv, 3).rehearsal(shadow).read().unwrap().owner, None, "nor does a rehearsal");
}

#[test]
fn the_chains_tower_binds_the_first_vote_where_the_store_has_none() {
    let kv = SharedKv::new();
    let mut store = open(&kv, 1);
    claim(&mut store);
    let on_chain = Tower { votes: vec![(10, 2), (11, 1)], root: Some(5) };
    store.adopt_chain_tower(on_chain.clone()).unwrap();
    assert!(matches!(store.record(vote(&Tower::default(), 12, 0), &TestSigner::new()), Err(RecordError::Violation(_))));
    let _ = store.record(vote(&on_chain, 12, 0), &TestSigner::new()).unwrap();
    assert_eq!(store.tower().unwrap().tower().votes, vec![(10, 3), (11, 2), (12, 1)]);
    // From now on the store's own tower counts.
    store.adopt_chain_tower(Tower::default()).unwrap();
    assert!(record(&mut store, 13).is_ok());
    let bad = Tower { votes: vec![(3, 1), (2, 1)], root: None };
    assert!(store.adopt_chain_tower(bad).is_err());
}

#[test]
fn intents_logs_and_history() {
    let kv = SharedKv::new();
    let mut active = owner(&kv, 1, &[7]);
    let mut standby = open(&kv, 2);
    let snapshot = standby.read().unwrap();
    let intent = IntentRecord {
        from: "a".into(),
        to: "b".into(),
        instance: InstanceId([2; 16]),
        deadline_ms: 2000,
        reason: "set-identity".into(),
        term_seen: Term(1),
    };
    assert_eq!(standby.write_intent(snapshot.owner_revision, intent.clone()), Ok(None));
    assert_eq!(active.read().unwrap().intent, Some(intent.clone()));
    active.write_log("restart, 25 ms".into()).unwrap();
    active.explain("restart, 26 ms".into());
    let _ = active.claim_leader_slot(3).unwrap();
    active.release(UnixMillis(99)).unwrap();
    let changed = standby.write_intent(snapshot.owner_revision, intent).unwrap().unwrap();
    assert!(changed.owner.clone().unwrap().released);
    standby.claim(request(&changed)).unwrap();
    let history = standby.history().unwrap();
    let told: Vec<_> =
        history.iter().map(|log| (log.term.0, log.reason.as_str(), log.last_vote_slot, log.watermark)).collect();
    assert_eq!(told, [(1, "restart, 26 ms", Some(7), Some(3)), (2, "test", None, None)]);
    assert_eq!(history[0].released_at, Some(UnixMillis(99)));
    assert_eq!(standby.write_log(String::new()), Ok(()));
}

#[test]
fn old_audit_entries_do_not_pile_up() {
    let kv = SharedKv::new();
    for node in 0..100 {
        owner(&kv, node, &[]);
    }
    let history = open(&kv, 200).history().unwrap();
    assert_eq!((history.len(), history.last().unwrap().term), (64, Term(100)));
}

#[test]
fn on_disk_and_back_and_out_to_agave() {
    let folder = tempfile::tempdir().unwrap();
    let identity = TestSigner::new().identity();
    let opening = |node: u8| Opening {
        genesis_hash: Hash::default(),
        identity,
        vote_account: crate::testing::vote_account(),
        instance: InstanceId([node; 16]),
        limits: Limits { call_deadline: Duration::from_secs(1), write_timeout: Duration::from_millis(50) },
    };
    let open_file = |node| {
        let kv = FileKv::open(folder.path().join("tower-store")).unwrap();
        PromiseStore::open(Box::new(kv), Box::new(SystemPace::start()), opening(node))
    };
    let mut store = open_file(1);
    claim(&mut store);
    for slot in [1, 2, 5] {
        let _ = record(&mut store, slot).unwrap();
    }
    let _ = store.claim_leader_slot(8).unwrap();
    let file = export_tower(store.tower().unwrap(), &identity, folder.path()).unwrap();
    assert!(file.to_string_lossy().ends_with(&format!("tower-1_9-{identity}.bin")));
    drop(store);

    let mut store = open_file(2);
    let claimed = claim(&mut store);
    assert_eq!((claimed.term, claimed.facts().tower_last_vote, claimed.facts().watermark), (Term(2), Some(5), Some(8)));
    assert!(matches!(record(&mut store, 5), Err(RecordError::Violation(_))));

    // Into another, empty store: a migration.
    let kv = SharedKv::new();
    let mut other = open(&kv, 3);
    claim(&mut other);
    let tower = import_tower(folder.path(), &identity).unwrap();
    assert_eq!(other.import(tower.clone()), Ok(true));
    assert_eq!(other.import(tower.clone()), Ok(false), "nothing newer in it");
    assert_eq!(other.tower(), Some(&tower));
    assert!(matches!(record(&mut other, 5), Err(RecordError::Violation(_))));
    assert!(record(&mut other, 6).is_ok());
    assert_eq!(other.import(tower), Ok(false), "an older tower never replaces a newer one");
    let error = import_tower(&file, &Pubkey::new_from_array([1; 32])).expect_err("another identity's").to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}

const DEADLINE: Duration = Duration::from_millis(500);

fn beat(claim: &Claim, kv: &SharedKv, number: u64) -> Result<(), Skipped> {
    let sign = SignOfLife { beat: number, tip: 7, may_vote: true, finalizes: true };
    claim.beater.beat(&mut kv.clone(), DEADLINE, sign, UnixMillis(9))
}

#[test]
fn the_beat_of_an_owner_that_cannot_vote_is_no_sign_of_life() {
    let kv = SharedKv::new();
    let mut store = open(&kv, 1);
    let claimed = claim(&mut store);
    let before = open(&kv, 2).pulse().unwrap();
    let sign = SignOfLife { beat: 1, tip: 7, may_vote: false, finalizes: false };
    claimed.beater.beat(&mut kv.clone(), DEADLINE, sign, UnixMillis(9)).unwrap();
    let mute = open(&kv, 2).pulse().unwrap();
    assert!(mute.newest_sign == before.newest_sign && mute.beat.is_some_and(|beat| !beat.value.may_vote));
    beat(&claimed, &kv, 2).unwrap();
    assert!(open(&kv, 2).pulse().unwrap().newest_sign > before.newest_sign);
}

#[test]
fn a_beat_is_seen_and_a_fenced_owner_learns_of_it() {
    let kv = SharedKv::new();
    let mut active = open(&kv, 1);
    let claimed = claim(&mut active);
    let before = active.pulse().unwrap();
    beat(&claimed, &kv, 1).unwrap();
    let pulse = open(&kv, 2).pulse().unwrap();
    assert_eq!(
        pulse.beat.clone().map(|beat| (beat.value.term, beat.value.beat, beat.value.tip)),
        Some((Term(1), 1, 7))
    );
    assert!(
        pulse.newest_sign > before.newest_sign && pulse.beat.is_some_and(|beat| beat.mod_revision == pulse.newest_sign)
    );
    kv.plan(&[Network::Unavailable]);
    assert!(matches!(beat(&claimed, &kv, 2), Err(Skipped::NoAnswer { .. })));
    assert!(record(&mut active, 2).is_ok(), "a lost beat is no loss");
    let voted = active.pulse().unwrap();
    assert!(voted.newest_sign > pulse.newest_sign, "a vote is a sign of life too");
    let _new = owner(&kv, 2, &[]);
    assert!(matches!(beat(&claimed, &kv, 3), Err(Skipped::Fenced { .. })));
    assert!(matches!(record(&mut active, 3), Err(RecordError::Fenced { .. })));
}

#[test]
fn an_owner_whose_store_was_wiped_is_told_by_its_beat_what_to_do() {
    let kv = SharedKv::new();
    let claimed = claim(&mut open(&kv, 1));
    kv.restore(SharedKv::new().memory());
    let Err(Skipped::Fenced { by }) = beat(&claimed, &kv, 1) else { panic!("nobody owns it any more") };
    assert!(by.contains("failover recover"), "{by}");
}

#[test]
fn a_hold_is_seen_by_all_and_leaves_a_note() {
    let kv = SharedKv::new();
    let hold =
        |on| HoldRecord { on, by: "alpha".into(), reason: "upgrade".into(), at: UnixMillis(5), until: None, count: 0 };
    let mut alpha = open(&kv, 1);
    assert_eq!(alpha.set_hold(hold(true)).unwrap().count, 1);
    kv.plan(&[Network::Fine, Network::ReplyLost]);
    assert_eq!(open(&kv, 2).set_hold(hold(false)).unwrap().count, 2, "once, though the reply was lost");
    let pulse = alpha.pulse().unwrap();
    assert_eq!(pulse.hold.map(|hold| (hold.value.on, hold.value.count)), Some((false, 2)));
    let notes: Vec<String> = alpha.notes().unwrap().into_iter().map(|note| note.what).collect();
    assert_eq!(notes, ["hold on: upgrade", "hold off: upgrade"]);
    let mut raw = kv.clone();
    let key = kv.memory().entries.keys().find(|key| key.ends_with("/hold")).unwrap().clone();
    let put = Op::Put { key, value: b"{".to_vec() };
    raw.txn(&Txn { compares: vec![], then: vec![put], otherwise: vec![] }, DEADLINE).unwrap();
    assert!(alpha.pulse().unwrap().hold.unwrap().value.holds(UnixMillis(0)), "what cannot be read forbids");
}

#[test]
fn a_tower_that_was_dropped_stops_its_owner_and_the_next_one_finds_none() {
    let kv = SharedKv::new();
    let mut active = owner(&kv, 1, &[1, 2]);
    let note = NoteRecord { at: UnixMillis(5), by: "alpha".into(), what: "recovered".into() };
    kv.plan(&[Network::Fine, Network::ReplyLost]);
    assert!(open(&kv, 2).drop_tower(&note).unwrap(), "resolved though the reply was lost");
    assert_eq!(open(&kv, 3).notes().unwrap(), std::slice::from_ref(&note));
    assert!(matches!(record(&mut active, 3), Err(RecordError::Quarantined { .. })), "it does not write over it");
    let mut next = open(&kv, 3);
    assert_eq!(claim(&mut next).tower, None);

    // An owner that votes between the look and the write is not overruled.
    let mut active = owner(&kv, 4, &[5]);
    let pulse = open(&kv, 2).pulse().unwrap();
    let _ = record(&mut active, 6).unwrap();
    let keys = Keys::new(&Hash::default(), &TestSigner::new().identity());
    let stale = DropTower::new(&keys, pulse.owner.unwrap().mod_revision, pulse.tower_revision, &note);
    assert!(!open(&kv, 2).drive(stale).unwrap_or(true));
    assert!(record(&mut active, 7).is_ok());
}

#[test]
fn machines_say_that_they_are_there() {
    let kv = SharedKv::new();
    let keys = Keys::new(&Hash::default(), &TestSigner::new().identity());
    let presence = PresenceRecord {
        host: "beta".into(),
        version: "1".into(),
        role: "STANDBY".into(),
        identity: "b".into(),
        tip: 5,
        caught_up: true,
        auto: None,
        at: UnixMillis(3),
    };
    assert!(announce(&mut kv.clone(), &keys, InstanceId([2; 16]), &presence, DEADLINE));
    assert_eq!(open(&kv, 1).pulse().unwrap().machines, [presence]);
    assert_eq!(look(&mut kv.clone(), &keys, DEADLINE).unwrap().machines.len(), 1);
    kv.plan(&[Network::Unavailable]);
    assert_eq!(look(&mut kv.clone(), &keys, DEADLINE), None);
}

#[test]
fn a_rehearsal_leaves_nothing_behind_and_touches_nothing() {
    let kv = SharedKv::new();
    let _real = owner(&kv, 1, &[1, 2]);
    let before = kv.memory().entries;
    let shadow = TestSigner::new().identity();
    let mut rehearsal = open(&kv, 3).rehearsal(shadow);
    claim(&mut rehearsal);
    let _ = record(&mut rehearsal, 1).unwrap();
    let _ = rehearsal.claim_leader_slot(1).unwrap();
    rehearsal.release(UnixMillis(4)).unwrap();
    assert_eq!(kv.memory().entries.len(), before.len() + 4);
    rehearsal.forget_rehearsal(Term(1)).unwrap();
    assert_eq!(kv.memory().entries, before);
}
