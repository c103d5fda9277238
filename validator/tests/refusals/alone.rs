//! The only leader of a cluster: whatever interrupts it, nobody else would get the chain going again.

use super::{hostile::status, *};

/// As from a shell: `kill -STOP`.
pub fn signal(child: &Child, signal: libc::c_int) {
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: kill has no memory effects; the process is our child and not reaped yet.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn tip(place: &Place) -> Option<u64> {
    status(place)["tip"].as_u64()
}

fn goes_on(place: &Place, node: &mut Running, blocks: u64) {
    let before = tip(place).unwrap();
    node.wait_until("its tip moves on", || tip(place) > Some(before + blocks));
}

#[test]
fn a_lone_leader_that_was_stopped_makes_its_next_slots() {
    let place = Place::empty();
    // Epochs of 12.8 s.
    place.make_genesis("ledger", "", "--slots-per-epoch 32");
    let mut node = place.run("");
    node.wait_until("it makes blocks", || tip(&place) > Some(5));
    // Longer than a step may take; then over the end of an epoch, where a run of leader slots is cut off.
    for seconds in [3, 14] {
        signal(&node.child, libc::SIGSTOP);
        thread::sleep(Duration::from_secs(seconds));
        signal(&node.child, libc::SIGCONT);
        goes_on(&place, &mut node, 6);
    }
    assert!(node.log().contains("claimed leader slots are given up"), "it was noticed:\n{}", node.log());
    let voted = status(&place)["last_vote"].as_u64();
    drop(node);
    // The blocks made behind slots that were given up are good: replayed from the ledger, they are what is voted on.
    let mut node = place.run("");
    node.wait_until("it votes again", || status(&place)["last_vote"].as_u64() > voted);
    goes_on(&place, &mut node, 6);
    assert!(!node.log().contains("block is dead"), "{}", node.log());
}
