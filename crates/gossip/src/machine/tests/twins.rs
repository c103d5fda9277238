//! Two machines with one key and nothing else in common.

use super::*;

/// Node 3 begins with the key of node 1, a little later than it.
fn with_a_twin() -> Net {
    let mut net = Net::new(3);
    net.run(4_000);
    let key = Key(net.nodes[1].key.0.insecure_clone());
    let at = net.join(SHRED_VERSION);
    let contact = contact(&key, addr_of(at), net.outset(), SHRED_VERSION);
    let seed = net.rng.random();
    net.nodes[at].gossip = Gossip::new(Config::new(vec![addr_of(0)], true), contact, seed);
    net.nodes[at].key = key;
    net.run(20_000);
    net
}

fn elsewhere(net: &Net, at: usize) -> Vec<bool> {
    let alive = |effect: &Effect| match effect {
        Effect::IdentityElsewhere { alive, .. } => Some(*alive),
        _ => None,
    };
    net.nodes[at].seen.iter().filter_map(alive).collect()
}

#[test]
fn the_votes_of_a_twin_are_told_and_our_own_are_not() {
    let mut net = with_a_twin();
    let identity = net.pubkey(1);
    (1..=3).for_each(|slot| net.vote(1, slot));
    net.run(1_000);
    net.vote(3, 7);
    net.run(10_000);
    assert_eq!(net.votes_seen(1), [(identity, 7)], "what the other machine has published under our name, and no more");
    assert!(net.votes_seen(3).contains(&(identity, 3)), "and the other way round");
    assert!(!net.votes_seen(3).contains(&(identity, 7)));
}

#[test]
fn a_later_instance_is_alive_once_it_has_renewed_its_record() {
    let mut net = with_a_twin();
    assert_eq!(elsewhere(&net, 1).first(), Some(&false), "told at once, as a hint");
    net.run(30_000);
    assert_eq!(elsewhere(&net, 1).last(), Some(&true));
    assert!(elsewhere(&net, 3).is_empty(), "the one that began later is the later instance");
}

#[test]
fn the_echo_of_a_run_that_ended_is_never_alive() {
    let mut net = with_a_twin();
    net.nodes[3].up = false;
    net.run(1_000);
    // This machine starts again, with a clock that was set back: the run that ended seems to have begun later.
    let contact = contact(&net.nodes[1].key, addr_of(1), EPOCH_MS * 1_000, SHRED_VERSION);
    let seed = net.rng.random();
    net.nodes[1].gossip = Gossip::new(Config::new(vec![addr_of(0)], true), contact, seed);
    net.nodes[1].seen.clear();
    // Others hold its last record for a while, and say it again and again.
    net.run(30_000);
    let told = elsewhere(&net, 1);
    assert!(!told.is_empty() && told.iter().all(|alive| !alive), "{told:?}");
}
