use {
    super::*,
    crate::{
        stages::testing::{World, leader, port, received, settle, world, world_of},
        topology::Readers,
    },
    std::sync::Arc,
    tandem_net::UdpPort,
    tandem_shred::Shredded,
    tandem_types::{BlockKey, Hash, Keypair, Pubkey, Signer},
    tandem_wire::contact_info::{ContactInfo, SocketTag, Version},
    tandem_witness::read_log,
};

/// The stage, and the TVU socket of the only other node.
struct Case {
    stage: ShredStage,
    world: World,
    peer: UdpPort,
    replay: Rx<ReplayInput>,
    producer: Rx<ProducerInput>,
    vote: Rx<VoteInput>,
    gossip: Rx<GossipCommand>,
}

impl Case {
    fn new() -> Self {
        Self::in_world(world())
    }

    fn in_world((world, readers, ledger): (World, Readers, Ledger)) -> Self {
        let peer = port();
        let mut contact = ContactInfo::new(Pubkey::new_from_array([41; 32]), 1, 1, Version::default());
        contact.set_socket(SocketTag::Tvu, peer.local_addr()).expect("a socket");
        world.shared.views.peers.store(Arc::new(vec![contact]));
        let Readers { tvu_packets, shreds, replay, producer, vote, gossip, .. } = readers;
        let stage = ShredStage::new(world.shared.clone(), tvu_packets, shreds, port(), ledger, AddressRule::Any);
        Self { stage, world, peer, replay, producer, vote, gossip }
    }

    fn tell(&mut self, input: ShredInput) {
        self.world.shared.writers.shreds.send(input).expect("a reader");
        settle(&mut self.stage);
    }

    fn turbine(&mut self, shreds: &[Shred]) {
        let from = self.peer.local_addr();
        for shred in shreds {
            self.world.shared.writers.tvu_packets.offer(Packet { from, bytes: shred.payload().to_vec() });
        }
        settle(&mut self.stage);
    }

    /// Another node's key takes this node's place, so that the leader's shreds are another's.
    fn follow(&self) {
        self.world.shared.views.vault.stand_by_as(Keypair::new_from_array([42; 32]));
    }

    fn is_complete(&self, slot: Slot) -> bool {
        self.world.shared.views.ledger.is_complete(slot)
    }
}

const PROMISED: PromisedAt = PromisedAt { store_id: 7, term: tandem_types::Term(3), revision: 40 };

fn own(slot: Slot, shreds: &Shredded) -> ShredInput {
    ShredInput::Own { slot, at: PROMISED, data: shreds.data.clone(), code: shreds.code.clone() }
}

#[test]
fn our_shreds_are_kept_and_logged_and_each_goes_to_its_receiver() {
    let mut case = Case::new();
    let block = case.world.block(1);
    case.tell(own(1, &block));
    assert!(case.is_complete(1) && case.world.shared.views.ledger.is_own(1));
    let shreds = block.data.len() + block.code.len();
    let log = read_log(&case.world.release_log()).expect("a log");
    assert_eq!(log.len(), shreds);
    let at = tandem_witness::PromisedAt { store: 7, term: 3, revision: 40 };
    assert!(log.iter().all(|record| record.promise == Some(at)), "each says under which claim it was signed");
    assert_eq!(received(&case.peer), shreds);
    let Some(ReplayInput::Progress(progress)) = case.replay.pop() else { panic!("replay must hear of it") };
    assert_eq!((progress.slot, progress.parent), (1, 0));
    assert!(progress.complete.is_some() && case.producer.is_empty());
}

#[test]
fn nothing_of_ours_leaves_where_another_version_is_known() {
    let mut case = Case::new();
    let other = case.world.shred(1, 0, case.world.root_id(), &case.world.entries(&case.world.root, 1)[..2], false);
    case.turbine(&other.data[..1]);
    received(&case.peer);
    case.tell(own(1, &case.world.block(1)));
    case.tell(own(1, &case.world.block(1)));
    assert!(matches!(case.producer.pop(), Some(ProducerInput::OwnRefused(1))));
    assert!(case.producer.is_empty(), "said once");
    assert!(read_log(&case.world.release_log()).expect("a log").is_empty());
    assert_eq!(received(&case.peer), 0);
}

#[test]
fn what_the_leader_signed_is_kept_recovered_and_sent_on_once() {
    let mut case = Case::new();
    case.follow();
    let block = case.world.block(1);
    let half = [&block.data[..16], &block.code[..16]].concat();
    case.turbine(&half);
    case.turbine(&half);
    assert!(case.is_complete(1), "any half of a set is enough");
    let sent = case.world.count("shreds_retransmitted");
    // A tree of two nodes besides the leader: for some shreds the other node is our child, for the rest our parent.
    assert_eq!(received(&case.peer) as u64, sent);
    assert!(sent > 0 && sent < 64, "{sent} of 64");
    assert_eq!(case.world.count("shreds_kept"), 32);
    let tip = &case.world.shared.views.cluster_tip;
    assert_eq!(tip.load(std::sync::atomic::Ordering::Relaxed), 0, "a leader's shreds are one peer's word");
}

#[test]
fn forged_foreign_and_genesis_shreds_are_not_kept() {
    let mut case = Case::new();
    case.follow();
    let entries = case.world.entries(&case.world.root, 1);
    let forger = Keypair::new_from_array([43; 32]);
    let forged = case.world.shred_as(&forger, 1, 0, case.world.root_id(), &entries, true);
    case.turbine(&forged.data);
    assert_eq!(case.world.count("shreds_bad_signature"), 32);
    case.turbine(&case.world.shred(0, 0, case.world.root_id(), &entries, true).data);
    assert_eq!(case.world.count("shreds_discarded"), 32);
    assert!(!case.world.shared.views.ledger.has_shreds(0) && !case.world.shared.views.ledger.has_shreds(1));
    assert_eq!(received(&case.peer), 0);
}

#[test]
fn two_versions_become_a_proof_in_gossip() {
    let mut case = Case::new();
    case.follow();
    case.turbine(&case.world.block(1).data);
    let other = case.world.shred(1, 0, case.world.root_id(), &case.world.entries(&case.world.root, 1)[..2], true);
    case.turbine(&other.data);
    assert!(matches!(case.vote.pop(), Some(VoteInput::DuplicateSlot(1))));
    let Some(GossipCommand::Publish(Publication::DuplicateShred { slot: 1, proof })) = case.gossip.pop() else {
        panic!("the cluster must hear of it");
    };
    let holds = crate::stages::gossip::proves(&proof, 1, case.world.genesis.shred_version, &leader().pubkey());
    assert!(holds, "others must be able to believe it");
    assert!(case.vote.is_empty() && case.gossip.is_empty(), "said once");
}

/// The second set is of another version than the first: each is signed, and they do not follow from each other.
fn block_of_two_versions(world: &World, slot: Slot) -> Vec<Shred> {
    let entry =
        |hash| tandem_entry::Entry { num_hashes: 1, hash: Hash::new_from_array([hash; 32]), transactions: vec![] };
    let version = |hash| {
        let entries: Vec<_> = (0..1_000).map(|_| entry(hash)).collect();
        world.shred(slot, slot - 1, world.root_id(), &entries, true).data
    };
    let (one, two) = (version(1), version(2));
    assert!(one.len() == 64 && two.len() == 64, "two sets each");
    [&one[..32], &two[32..]].concat()
}

#[test]
fn a_block_whose_sets_are_not_chained_is_dead_where_features_say_so() {
    let mut case = Case::in_world(world_of(|plan| plan.slots_per_epoch = 32));
    case.follow();
    // Active from genesis, so in force from epoch 1 on.
    for (slot, dies) in [(20, false), (40, true)] {
        let block = block_of_two_versions(&case.world, slot);
        case.turbine(&block);
        let ledger = &case.world.shared.views.ledger;
        assert!(ledger.is_complete(slot), "nothing of slot {slot} is asked for again");
        assert_eq!(ledger.is_dead(slot), dies, "slot {slot}");
    }
    assert_eq!(case.world.count("shred_chains_broken"), 2);
    assert!(case.vote.is_empty() && case.gossip.is_empty(), "it is no proof of two versions");
    // Told as soon as both sets have a shred.
    let mut case = Case::in_world(world_of(|plan| plan.slots_per_epoch = 32));
    case.follow();
    let block = block_of_two_versions(&case.world, 40);
    case.turbine(&block[31..33]);
    let Some(ReplayInput::Progress(progress)) = case.replay.pop() else { panic!("replay must look at it") };
    assert_eq!(progress.slot, 40);
    assert!(case.world.shared.views.ledger.is_dead(40));
}

#[test]
fn without_the_features_a_block_whose_sets_are_not_chained_lives() {
    let mut case = Case::in_world(world_of(|plan| {
        plan.slots_per_epoch = 32;
        plan.deactivated_features.extend([validate_chained_block_id::id(), validate_chained_block_id_2::id()]);
    }));
    case.follow();
    let block = block_of_two_versions(&case.world, 40);
    case.turbine(&block);
    let ledger = &case.world.shared.views.ledger;
    assert!(ledger.is_complete(40) && !ledger.is_dead(40));
}

#[test]
fn after_a_dump_the_other_version_is_taken_from_repair() {
    let mut case = Case::new();
    case.follow();
    case.turbine(&case.world.block(1).data);
    case.tell(ShredInput::Frozen { key: BlockKey::new(1, Hash::new_from_array([5; 32])) });
    case.tell(ShredInput::Dump(1));
    let ledger = case.world.shared.views.ledger.clone();
    assert!(!ledger.has_shreds(1) && ledger.bank_hash(1).is_none());
    let entries = case.world.entries(&case.world.root, 1);
    let other = case.world.shred(1, 0, case.world.root_id(), &entries[..2], true);
    for shred in &other.data {
        case.tell(ShredInput::Repaired(shred.clone()));
    }
    assert_eq!(ledger.block(1).expect("complete").expect("entries").len(), 2);
    let retransmitted = case.world.count("shreds_retransmitted");
    case.tell(ShredInput::Repaired(other.data[0].clone()));
    assert_eq!(case.world.count("shreds_retransmitted"), retransmitted, "repair is between two nodes");
}

#[test]
fn replay_hears_the_newest_word_of_a_slot_even_if_its_link_was_full() {
    let mut case = Case::new();
    case.follow();
    while case.world.shared.writers.replay.offer(ReplayInput::OwnAbandoned { slot: 9 }) {}
    let entries = case.world.entries(&case.world.root, 1);
    let first = case.world.shred(1, 0, case.world.root_id(), &entries[..2], false);
    case.turbine(&first.data);
    assert_eq!(case.stage.progress.len(), 1);
    while case.replay.pop().is_some() {}
    settle(&mut case.stage);
    let Some(ReplayInput::Progress(progress)) = case.replay.pop() else { panic!("nothing may be lost") };
    assert_eq!((progress.components, progress.complete), (1, None));
}

#[test]
fn a_root_that_the_ledger_knows_is_not_marked_again() {
    let mut case = Case::new();
    for slot in [1, 2, 1, 2, 3] {
        case.tell(ShredInput::Root(slot));
    }
    assert_eq!(case.world.shared.views.ledger.roots_from(0, 10), [1, 2, 3]);
}
