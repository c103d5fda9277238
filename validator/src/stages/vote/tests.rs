//! Towers are looked at before they are used, one decision is out at a time, and what is published never goes backwards.

use {
    super::*,
    crate::{
        stages::{
            observe::Observer,
            testing::{VOTE, World, leader, settle, world},
        },
        topology::Readers,
    },
    tandem_types::{BlockId, Hash, Signer},
    tandem_vote::{Decision, DecisionId, LastVote, OurVote, TowerState},
    tokio::sync::broadcast,
};

/// The stage, and a chain of blocks to tell it of, each with this node's last recorded vote in it.
struct Case {
    stage: VoteStage,
    world: World,
    observer: Observer,
    tip: Arc<Bank>,
    landed: TowerState,
    promise: Rx<PromiseInput>,
    role: Rx<RoleInput>,
    replay: Rx<ReplayInput>,
    producer: Rx<ProducerInput>,
    events: broadcast::Receiver<ChainEvent>,
}

impl Case {
    fn new() -> Self {
        let (world, readers, _ledger) = world();
        let Readers { vote, promise, role, replay, producer, .. } = readers;
        let config = tandem_vote::Config { vote_account: VOTE, identity: leader().pubkey() };
        let mut observer = Observer::new(Some(VOTE));
        let (root, tip) = (observer.block(&world.root), world.root.clone());
        let stage = VoteStage::new(world.shared.clone(), vote, config, root, tip.clone(), Some(VOTE));
        let events = world.shared.views.events.subscribe();
        let landed = TowerState::default();
        Self { stage, world, observer, tip, landed, promise, role, replay, producer, events }
    }

    fn active() -> Self {
        let mut case = Self::new();
        case.prepare(Adopted::default());
        case.tell(VoteInput::Activate);
        case
    }

    fn tell(&mut self, input: VoteInput) {
        self.world.shared.writers.vote.send(input).expect("a reader");
        settle(&mut self.stage);
    }

    /// What the role stage is told of the tower.
    fn prepare(&mut self, adopted: Adopted) -> (Option<BlockKey>, bool, Slot) {
        self.tell(VoteInput::Prepare { term: Term(3), identity: leader().pubkey(), adopted: Box::new(adopted) });
        let Some(RoleInput::Prepared { term: Term(3), last_vote, last_vote_replayed, free_from }) = self.role.pop()
        else {
            panic!("the role stage waits for this");
        };
        (last_vote, last_vote_replayed, free_from)
    }

    /// The next block of the chain is frozen.
    fn freeze(&mut self, slot: Slot) -> BlockKey {
        let bank = Bank::child(&self.tip, slot);
        self.world.entries(&self.tip, slot).iter().for_each(|entry| bank.register_tick(&entry.hash));
        bank.set_block_id(BlockId(Hash::new_from_array([slot as u8; 32])));
        bank.freeze();
        let mut block = self.observer.block(&bank);
        let tower = Arc::new(self.landed.clone());
        block.votes.iter_mut().for_each(|vote| vote.tower = tower.clone());
        block.our_landed = Some(OurVote { tower, timestamp: None });
        let key = block.key;
        self.tip = bank.clone();
        self.tell(VoteInput::Frozen { bank, block: Box::new(block), at: Tick::ZERO });
        key
    }

    fn decided(&self) -> Option<Decision> {
        match self.promise.pop()? {
            PromiseInput::Vote { decision, .. } => Some(*decision),
            PromiseInput::ClaimSlot(_) | PromiseInput::Store(_) => panic!("votes only"),
        }
    }

    fn record(&mut self, decision: &Decision) {
        self.landed = decision.tower.clone();
        self.tell(VoteInput::Recorded { id: decision.id });
    }

    /// Finalized, confirmed, processed.
    fn view(&self) -> [Slot; 3] {
        let view = self.world.shared.views.chain.load();
        [view.finalized.slot(), view.confirmed.slot(), view.processed.slot()]
    }
}

#[test]
fn a_tower_is_looked_at_first_and_used_from_activate_on() {
    let mut case = Case::new();
    let one = case.freeze(1);
    assert_eq!(case.decided(), None, "standing by");
    let tower = TowerState::default().after_vote(1);
    let last = |block| Some(LastVote { block, block_id: Hash::default(), timestamp: None });
    let here = Adopted { tower: tower.clone(), last_vote: last(one), ..Adopted::default() };
    // A vote on our own fork keeps nobody waiting. One for 1 with one confirmation forbids other forks until 3.
    assert_eq!(case.prepare(here.clone()), (Some(one), true, 0));
    let elsewhere = BlockKey::new(1, Hash::new_from_array([7; 32]));
    assert_eq!(case.prepare(Adopted { last_vote: last(elsewhere), ..here.clone() }), (Some(elsewhere), false, 4));
    assert_eq!(case.prepare(Adopted::default()), (None, true, 0));

    case.prepare(here);
    case.freeze(2);
    assert_eq!(case.decided(), None, "prepared is not active");
    case.tell(VoteInput::Activate);
    let decision = case.decided().expect("active");
    assert_eq!((decision.slot, &decision.tower), (2, &tower.after_vote(2)), "on top of the tower that was prepared");
    // It is used once: said again, it does not take the voter back to the tower of before.
    case.record(&decision);
    case.tell(VoteInput::Activate);
    case.freeze(3);
    assert_eq!(case.decided().expect("active").tower, decision.tower.after_vote(3));
}

#[test]
fn after_standing_down_nothing_is_decided_until_a_tower_is_prepared_again() {
    let mut case = Case::active();
    let one = case.freeze(1);
    let first = case.decided().expect("active");
    case.record(&first);
    case.tell(VoteInput::StandDown);
    case.freeze(2);
    case.tell(VoteInput::Activate);
    case.freeze(3);
    assert_eq!(case.decided(), None, "the tower of the time before is not used again");
    // Standing down takes back what was prepared, too.
    let last_vote = Some(LastVote { block: one, block_id: first.block_id, timestamp: None });
    let tower = Adopted { tower: first.tower, last_vote, ..Adopted::default() };
    case.prepare(tower.clone());
    case.tell(VoteInput::StandDown);
    case.tell(VoteInput::Activate);
    assert_eq!(case.decided(), None);
    case.prepare(tower);
    case.tell(VoteInput::Activate);
    assert_eq!(case.decided().map(|decision| decision.slot), Some(3));
}

#[test]
fn one_decision_is_out_at_a_time_and_a_late_answer_counts_for_nothing() {
    let mut case = Case::active();
    case.freeze(1);
    let first = case.decided().expect("active");
    case.freeze(2);
    case.freeze(3);
    assert_eq!(case.decided(), None, "the store has not answered");
    case.tell(VoteInput::Recorded { id: DecisionId(first.id.0 + 7) });
    assert_eq!(case.decided(), None, "that was another question");
    case.record(&first);
    let second = case.decided().expect("the newest block");
    assert_eq!((second.slot, &second.tower), (3, &first.tower.after_vote(3)));
    case.tell(VoteInput::Refused { id: second.id });
    case.freeze(4);
    let third = case.decided().expect("a newer block");
    assert_eq!(third.tower, first.tower.after_vote(4), "what was refused is in no tower");
}

#[test]
fn what_is_published_is_in_order_and_finalization_follows_the_root() {
    let mut case = Case::active();
    let mut roots = Vec::new();
    for slot in 1..=40 {
        let before = case.view();
        case.freeze(slot);
        let decision = case.decided().expect("one chain");
        case.record(&decision);
        let [finalized, confirmed, processed] = case.view();
        assert!(finalized <= confirmed && confirmed <= processed, "{:?}", case.view());
        assert!(before.iter().zip(case.view()).all(|(before, now)| *before <= now), "{before:?} {:?}", case.view());
        assert_eq!(processed, slot);
        while let Some(input) = case.replay.pop() {
            if let ReplayInput::Root(key) = input {
                roots.push(key.slot);
            }
        }
    }
    // 31 votes stand on a root; a root is final once a block shows that the stake has it as well.
    assert_eq!(roots, (1..=9).collect::<Vec<_>>());
    assert_eq!(case.view(), [8, 39, 40]);
    assert_eq!(case.world.shared.views.root.load(Relaxed), 9);
}

#[test]
fn no_reader_ever_sees_the_view_the_wrong_way_round() {
    // Votes for a block may be known before the block: then it is confirmed the moment it is frozen.
    let mut case = Case::new();
    let banks: Vec<Arc<Bank>> = (1..=3)
        .map(|slot| {
            case.freeze(slot);
            case.tip.clone()
        })
        .collect();
    let root = case.world.root.clone();
    case.stage.publish(|view| view.processed = root.clone());
    case.stage.publish(|view| view.confirmed = banks[1].clone());
    assert_eq!(case.view(), [0, 2, 2]);
    case.stage.publish(|view| view.finalized = banks[2].clone());
    assert_eq!(case.view(), [3, 3, 3]);
    case.stage.publish(|view| view.processed = banks[0].clone());
    assert_eq!(case.view(), [3, 3, 3], "a fork choice that goes back does not take back what is final");
}

#[test]
fn the_producer_builds_on_the_newest_block_and_listeners_hear_of_it() {
    let mut case = Case::active();
    while case.producer.pop().is_some() {}
    case.freeze(1);
    let Some(ProducerInput::Reset { bank, .. }) = case.producer.pop() else { panic!("a reset") };
    assert_eq!(bank.slot(), 1);
    assert!(case.producer.is_empty());
    let heard = std::iter::from_fn(|| case.events.try_recv().ok());
    assert!(heard.into_iter().any(|event| matches!(event, ChainEvent::Processed(bank) if bank.slot() == 1)));
}

#[test]
fn an_absurd_vote_of_ours_is_not_remembered() {
    let mut case = Case::active();
    let seen = BlockKey::new(u64::MAX - 1, Hash::new_from_array([5; 32]));
    case.tell(VoteInput::SeenVotes(vec![(VOTE, seen)]));
    assert_eq!(case.world.shared.views.own_vote_seen.load(Relaxed), 0);
}

#[test]
fn a_vote_of_ours_that_the_tower_does_not_know_stops_voting_and_is_told() {
    let mut case = Case::active();
    let seen = BlockKey::new(5, Hash::new_from_array([5; 32]));
    case.tell(VoteInput::SeenVotes(vec![(VOTE, seen)]));
    let Some(RoleInput::Event(RoleEvent::VoteElsewhere { slot: 5, voter_stopped: true })) = case.role.pop() else {
        panic!("the role stage must hear of it")
    };
    case.freeze(1);
    assert_eq!(case.decided(), None);
    assert_eq!(case.world.shared.views.own_vote_seen.load(Relaxed), 5);
}
