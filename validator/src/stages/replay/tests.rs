use {
    super::*,
    crate::{
        stages::testing::{VOTE, World, leader, settle, world},
        topology::{Readers, RoleInput},
    },
    solana_transaction::Transaction,
    tandem_entry::{Entry, create_ticks},
    tandem_env::wall_clock,
    tandem_ledger::{Ledger, Source},
    tandem_role::event::Event as RoleEvent,
    tandem_shred::Shredded,
    tandem_types::{BlockId, Hash, Signer, Term, VersionedTransaction},
    tandem_wire::vote_tx,
};

/// A ledger to fill, and what the stage says to others.
struct Case {
    world: World,
    ledger: Ledger,
    inbox: Option<Rx<ReplayInput>>,
    shreds: Rx<ShredInput>,
    vote: Rx<VoteInput>,
    repair: Rx<RepairInput>,
    role: Rx<RoleInput>,
}

impl Case {
    fn new() -> Self {
        let (world, readers, ledger) = world();
        let Readers { replay, shreds, vote, repair, role, .. } = readers;
        Self { world, ledger, inbox: Some(replay), shreds, vote, repair, role }
    }

    fn insert(&mut self, block: &Shredded) {
        self.ledger.insert(block.data.clone(), Source::Turbine, wall_clock()).expect("a disk");
    }

    fn start(&mut self) -> ReplayStage {
        let inbox = self.inbox.take().expect("started once");
        ReplayStage::new(self.world.shared.clone(), inbox, self.world.root.clone(), Some(VOTE))
    }

    /// Starts on the ledger as it is and runs until all is done.
    fn run(&mut self) -> ReplayStage {
        let mut stage = self.start();
        settle(&mut stage);
        stage
    }

    fn tell(&self, stage: &mut ReplayStage, input: ReplayInput) {
        self.world.shared.writers.replay.send(input).expect("a reader");
        settle(stage);
    }

    fn frozen(&self) -> Vec<Arc<Bank>> {
        let banks = std::iter::from_fn(|| self.vote.pop());
        banks.filter_map(|input| if let VoteInput::Frozen { bank, .. } = input { Some(bank) } else { None }).collect()
    }

    fn facts(&self) -> Vec<String> {
        let name = |input| match input {
            ShredInput::Frozen { key } => format!("frozen {}", key.slot),
            ShredInput::Root(slot) => format!("root {slot}"),
            ShredInput::Dead(slot) => format!("dead {slot}"),
            ShredInput::Dump(slot) => format!("dump {slot}"),
            ShredInput::Repaired(_) | ShredInput::Own { .. } => "not from replay".into(),
        };
        std::iter::from_fn(|| self.shreds.pop()).map(name).collect()
    }
}

#[test]
fn a_ledger_is_replayed_from_its_root() {
    let mut case = Case::new();
    let one = case.world.block(1);
    case.insert(&one);
    // The hash chain goes on where the first block ended.
    let parent = Bank::child(&case.world.root, 1);
    case.world.entries(&case.world.root, 1).iter().for_each(|entry| parent.register_tick(&entry.hash));
    let id = BlockId(one.next.chained_root);
    let three = case.world.shred(3, 1, id, &case.world.entries(&parent, 3), true);
    drop(parent);
    case.world.root.forks().purge(1);
    case.insert(&three);

    let stage = case.run();
    let frozen = case.frozen();
    assert_eq!(frozen.iter().map(|bank| bank.slot()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(frozen[0].block_id(), Some(id));
    assert_eq!(frozen[1].parent_hash(), frozen[0].hash());
    assert_eq!(case.facts(), ["frozen 1", "frozen 3"]);
    assert_eq!(case.world.shared.views.history.block(3).map(|block| block.parent), Some(1));
    assert_eq!(stage.frozen.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
}

#[test]
fn blocks_that_break_a_rule_are_dead_and_told_why() {
    for (why, last, expected) in [
        ("chained to another", true, "chained to block id"),
        ("a tick too few", true, "before its last tick"),
        ("ticks that do not follow", true, "do not follow"),
    ] {
        let mut case = Case::new();
        let mut events = case.world.shared.views.events.subscribe();
        let mut entries = case.world.entries(&case.world.root, 1);
        let mut chained = case.world.root_id();
        match why {
            "chained to another" => chained = BlockId(Hash::new_from_array([9; 32])),
            "a tick too few" => entries.truncate(3),
            _ => entries[2].hash = Hash::new_from_array([9; 32]),
        }
        let block = case.world.shred(1, 0, chained, &entries, last);
        case.insert(&block);
        case.run();
        assert_eq!(case.facts(), ["dead 1"], "{why}");
        assert!(case.vote.is_empty());
        let Ok(ChainEvent::Dead { slot: 1, reason }) = events.try_recv() else { panic!("{why}: nobody was told") };
        assert!(reason.contains(expected), "{why}: {reason}");
    }
}

#[test]
fn a_block_marked_dead_in_the_ledger_is_not_executed_whatever_it_holds() {
    let mut case = Case::new();
    let one = case.world.block(1);
    case.insert(&one);
    case.ledger.mark_dead(1).expect("a disk");
    // At a start, and with the next word of the slot.
    let mut stage = case.run();
    let progress = tandem_ledger::Progress { slot: 1, parent: 0, components: 1, complete: Some(31) };
    case.tell(&mut stage, ReplayInput::Progress(progress));
    assert_eq!(case.facts(), ["dead 1"]);
    assert!(case.frozen().is_empty());
}

#[test]
fn a_root_ends_the_other_forks() {
    let mut case = Case::new();
    let (one, two) = (case.world.block(1), case.world.block(2));
    case.insert(&one);
    case.insert(&two);
    let mut stage = case.run();
    let frozen = case.frozen();
    assert_eq!(case.facts(), ["frozen 1", "frozen 2"]);
    case.tell(&mut stage, ReplayInput::Root(frozen[1].key().expect("frozen")));
    assert_eq!(case.facts(), ["root 2"]);
    assert_eq!(stage.frozen.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(case.world.root.forks().root(), 2);
    assert!(case.world.shared.views.history.is_rooted(2) && case.world.shared.views.history.block(1).is_none());
}

#[test]
fn another_version_that_the_cluster_agreed_on_takes_the_place_of_ours() {
    let mut case = Case::new();
    let one = case.world.block(1);
    case.insert(&one);
    let mut stage = case.run();
    case.frozen();
    case.facts();
    let agreed = BlockKey::new(1, Hash::new_from_array([7; 32]));
    case.tell(&mut stage, ReplayInput::DuplicateConfirmed(agreed));
    assert!(matches!(case.vote.pop(), Some(VoteInput::Purged(1))));
    assert_eq!(case.facts(), ["dump 1"]);
    assert!(matches!(case.repair.pop(), Some(RepairInput::Wanted(1))));
    assert!(!stage.frozen.contains_key(&1));
    // It can be executed once more: the old bank is gone.
    let progress = tandem_ledger::Progress { slot: 1, parent: 0, components: 1, complete: Some(31) };
    case.tell(&mut stage, ReplayInput::Progress(progress));
    assert!(case.facts().contains(&"frozen 1".to_owned()));
}

#[test]
fn our_own_block_comes_frozen_and_only_if_it_was_begun() {
    let mut case = Case::new();
    let mut stage = case.run();
    let bank = Bank::child(&case.world.root, 1);
    case.world.entries(&case.world.root, 1).iter().for_each(|entry| bank.register_tick(&entry.hash));
    bank.freeze();
    bank.set_block_id(BlockId(Hash::new_from_array([3; 32])));
    let frozen = |bank: &Arc<Bank>| ReplayInput::OwnFrozen { bank: bank.clone(), records: Vec::new() };
    case.tell(&mut stage, frozen(&bank));
    assert!(case.vote.is_empty(), "nobody said that this block is ours");
    case.tell(&mut stage, ReplayInput::OwnBegun { slot: 1, parent: 0 });
    // Our shreds come back through the ledger, and are not executed.
    let block = case.world.block(1);
    case.insert(&block);
    let progress = tandem_ledger::Progress { slot: 1, parent: 0, components: 1, complete: Some(31) };
    case.tell(&mut stage, ReplayInput::Progress(progress));
    case.tell(&mut stage, frozen(&bank));
    assert_eq!(case.frozen().len(), 1);
    case.tell(&mut stage, frozen(&bank));
    assert!(case.vote.is_empty(), "once");
}

#[test]
fn a_node_whose_own_past_comes_out_differently_stops() {
    let mut case = Case::new();
    let block = case.world.block(1);
    case.insert(&block);
    case.ledger.set_bank_hash(1, Hash::new_from_array([8; 32])).expect("a disk");
    case.ledger.mark_root(1).expect("a disk");
    let mut stage = case.start();
    let failure = (0..100).find_map(|_| stage.step(Tick::ZERO).err()).expect("it must not go on");
    assert!(failure.to_string().contains("slot 1 of this node's own ledger"), "{failure}");
    assert!(case.vote.is_empty(), "and nobody votes on it");
}

#[test]
fn a_vote_of_ours_in_a_block_that_this_process_did_not_release_is_told_while_it_owns_the_identity() {
    let vote = |world: &World| -> VersionedTransaction {
        let sync = vote_tx::tower_sync(&[(0, 1)], None, Hash::new_from_array([7; 32]), None, Hash::default());
        let instruction = vote_tx::tower_sync_instruction(&VOTE, &leader().pubkey(), sync, None);
        let blockhash = world.root.last_blockhash();
        Transaction::new_signed_with_payer(&[instruction], Some(&leader().pubkey()), &[&leader()], blockhash).into()
    };
    for (is_owner, is_ours) in [(true, false), (true, true), (false, false)] {
        let mut case = Case::new();
        // As a node does at its start.
        case.world.root.forks().record_transactions(true);
        let vote = vote(&case.world);
        if is_owner {
            case.world.shared.views.vault.unlock(Term(1));
        }
        if is_ours {
            case.world.shared.views.own_votes.releases(0, vote.signatures[0]);
        }
        // The block holds it whether it comes to anything or not.
        let mut entries = vec![Entry::after(&case.world.root.last_blockhash(), 1, vec![vote])];
        entries.extend(create_ticks(case.world.entries(&case.world.root, 1).len() as u64, 0, entries[0].hash));
        let block = case.world.shred(1, 0, case.world.root_id(), &entries, true);
        case.insert(&block);
        case.run();
        assert_eq!(case.facts(), ["frozen 1"]);
        let told = case.role.pop();
        let is_told =
            matches!(told, Some(RoleInput::Event(RoleEvent::VoteElsewhere { slot: 0, voter_stopped: false })));
        assert_eq!(is_told, is_owner && !is_ours, "owner {is_owner}, released here {is_ours}");
        assert!(is_told || told.is_none());
    }
}
