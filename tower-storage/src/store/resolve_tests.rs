//! Writes whose outcome has to be found out.

use {
    super::{
        tests::{claim, owner, record},
        *,
    },
    crate::testing::{Network, SharedKv, open},
};

#[test]
fn the_write_that_crosses_the_quota_is_found_done_though_nothing_can_be_written_any_more() {
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    kv.plan(&[Network::NoSpace]);
    let promised = record(&mut store, 2).expect("it is in the store, and a look shows it");
    assert_eq!(promised.decision().slot, 2);
    // The next one is not.
    let lost = record(&mut store, 3);
    assert!(matches!(lost, Err(RecordError::StoreLost { .. })), "{lost:?}");
    assert_eq!(open(&kv, 2).read().unwrap().tower.unwrap().last_slot(), Some(2));

    // The same for a leader slot, and for a claim.
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    kv.plan(&[Network::NoSpace]);
    assert!(store.claim_leader_slot(9).is_ok());
    let kv = SharedKv::new();
    let mut store = open(&kv, 1);
    kv.plan(&[Network::Fine, Network::NoSpace]);
    assert_eq!(claim(&mut store).term, Term(1));
}

/// A machine that was cloned, or set back to a snapshot, goes on with the same instance, term and revisions.
#[test]
fn what_a_clone_of_this_process_wrote_is_not_ours() {
    // Both claim the first term at the same moment. The clone is faster, and the answer to our claim is lost.
    let kv = SharedKv::new();
    let (mut store, mut clone) = (open(&kv, 1), open(&kv, 1));
    let (seen, also) = (store.read().unwrap(), clone.read().unwrap());
    clone.claim(crate::testing::request(&also)).unwrap();
    let refused = store.claim(crate::testing::request(&seen));
    assert!(matches!(refused, Err(ClaimError::Refused(_))), "{refused:?}");

    // Two owners of one term, as a clone in the middle of it makes them: a leader slot goes to one of them.
    let kv = SharedKv::new();
    let mut store = owner(&kv, 1, &[1]);
    let mut clone = open(&kv, 1);
    clone.recall(&store.known());
    let Ok(tenure) = &store.tenure else { panic!("an owner") };
    clone.tenure = Ok(Tenure {
        held: tenure.held,
        owner: tenure.owner.clone(),
        log: tenure.log.clone(),
        tower: tenure.tower.clone(),
        base: Tower::default(),
    });
    let _ = clone.claim_leader_slot(9).unwrap();
    let refused = store.claim_leader_slot(9);
    assert!(matches!(refused, Err(RecordError::Quarantined { .. })), "{refused:?}");
}
