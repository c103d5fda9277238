//! Promise, then sign, then send; and when the store or the term is gone, nothing (I5).

use {
    super::*,
    crate::{
        stages::testing::{
            VOTE, World, leader, port, received, settle,
            store::{TestKv, TestMemory},
            world,
        },
        topology::Readers,
    },
    std::{sync::Arc, time::Duration},
    tandem_role::event::ReadId,
    tandem_tower_storage::{FileKv, Limits, Opening, SystemPace},
    tandem_types::{Hash, Signer, Term},
    tandem_vote::{DecisionId, TowerState},
    tandem_wire::contact_info::ContactInfo,
    tandem_witness::{RecordKind, read_log},
};

/// The stage of the only machine, its store, and everybody it speaks to. The next leader's vote port is its own.
struct Case {
    stage: PromiseStage,
    world: World,
    kv: TestKv,
    memory: TestMemory,
    leader_port: UdpPort,
    vote: Rx<VoteInput>,
    role: Rx<RoleInput>,
    producer: Rx<ProducerInput>,
    gossip: Rx<GossipCommand>,
    tower: TowerState,
    decided: u64,
}

const THIS: u8 = 1;
const OTHER: u8 = 2;

impl Case {
    /// Open, and not the owner.
    fn new() -> Self {
        Self::over(|kv, memory| Box::new(move |_| Ok((kv.open(THIS), Box::new(memory.clone()) as Box<dyn Keeper>))))
    }

    fn over(open: impl FnOnce(TestKv, TestMemory) -> OpenStore) -> Self {
        let (world, readers, _ledger) = world();
        let views = &world.shared.views;
        views.vault.hold_identity(leader());
        let leader_port = port();
        let mut contact = ContactInfo::clone(&views.contact.load());
        contact.set_socket(SocketTag::TpuVote, leader_port.local_addr()).expect("a socket");
        views.contact.store(Arc::new(contact));
        let kv = TestKv::new(&world);
        let memory = TestMemory::default();
        let open = open(kv.clone(), memory.clone());
        let signature = Signature {
            instance: InstanceId([THIS; 16]),
            host: "this".into(),
            version: "0".into(),
            preference: Preference::Primary,
            require_tower: false,
        };
        let Readers { promise, vote, role, producer, gossip, .. } = readers;
        let account = views.vote_account;
        let identity = Some(leader().pubkey());
        let stage = PromiseStage::new(world.shared.clone(), promise, open, signature, account, port(), identity)
            .expect("an open store");
        let tower = TowerState::default();
        Self { stage, world, kv, memory, leader_port, vote, role, producer, gossip, tower, decided: 0 }
    }

    /// The owner, and allowed to sign.
    fn active() -> Self {
        Self::new().claim()
    }

    fn claim(self) -> Self {
        let mut case = self;
        case.store(StoreCommand::Read { read: ReadId(1) });
        let RoleEvent::StoreRead { facts, .. } = case.role_event() else { panic!("the store was read") };
        assert_eq!(facts.owner, None);
        case.store(StoreCommand::Claim {
            owner_revision: facts.owner_revision,
            term_seen: Term(0),
            previous_host: None,
            reason: "test".into(),
            slot: 0,
        });
        let Some(RoleInput::Claimed(claim)) = case.role.pop() else { panic!("claimed") };
        let permit = case.world.shared.views.vault.unlock(claim.term);
        case.store(StoreCommand::Resume { permit });
        case
    }

    fn tell(&mut self, input: PromiseInput) {
        self.world.shared.writers.promise.send(input).expect("a reader");
        settle(&mut self.stage);
    }

    fn store(&mut self, command: StoreCommand) {
        self.tell(PromiseInput::Store(command));
    }

    fn role_event(&self) -> RoleEvent {
        match self.role.pop() {
            Some(RoleInput::Event(event)) => event,
            Some(_) | None => panic!("the role stage hears nothing"),
        }
    }

    /// What a voter decides whose votes are all recorded so far.
    fn decision(&mut self, slot: Slot) -> Decision {
        self.decided += 1;
        Decision {
            id: DecisionId(self.decided),
            kind: DecisionKind::Vote,
            slot,
            hash: Hash::new_from_array([slot as u8; 32]),
            block_id: Hash::default(),
            tower: self.tower.after_vote(slot),
            timestamp: Some(1_700_000_000),
            recent_blockhash: self.world.root.last_blockhash(),
            switch: false,
        }
    }

    fn decide(&mut self, slot: Slot) {
        let decision = self.decision(slot);
        self.tell(input(&decision));
    }

    /// True: recorded. False: refused. Exactly one answer.
    fn answer(&self) -> bool {
        let answer = match self.vote.pop() {
            Some(VoteInput::Recorded { id }) => (id, true),
            Some(VoteInput::Refused { id }) => (id, false),
            Some(_) | None => panic!("a decision is answered"),
        };
        assert_eq!(answer.0, DecisionId(self.decided));
        assert!(self.vote.is_empty(), "answered once");
        answer.1
    }

    /// The slots of the votes that left since the last look: the same to the leader, to gossip, and in the release log.
    fn released(&self) -> Vec<Slot> {
        let gossip: Vec<Slot> = std::iter::from_fn(|| self.gossip.pop())
            .map(|command| match command {
                GossipCommand::PublishVote { slot, .. } => slot,
                GossipCommand::SetIdentity(_) | GossipCommand::Publish(_) => panic!("a vote only"),
            })
            .collect();
        assert_eq!(received(&self.leader_port), gossip.len());
        gossip
    }

    fn logged(&self) -> usize {
        let log = read_log(&self.world.release_log()).expect("a log");
        log.iter().filter(|record| record.kind == RecordKind::Vote).count()
    }
}

fn input(decision: &Decision) -> PromiseInput {
    PromiseInput::Vote { decision: Box::new(decision.clone()), frozen_at: None }
}

#[test]
fn a_recorded_vote_is_released_once() {
    let mut case = Case::active();
    let first = case.decision(1);
    case.tell(input(&first));
    assert!(case.answer());
    assert!(matches!(case.role_event(), RoleEvent::Recorded { slot: 1 }));
    assert_eq!((case.released(), case.logged()), (vec![1], 1));
    // The same decision once more is no second vote.
    case.tell(input(&first));
    assert!(!case.answer());
    assert_eq!((case.released(), case.logged()), (vec![], 1));
    case.tower = first.tower;
    case.decide(2);
    assert!(case.answer());
    assert_eq!((case.released(), case.logged(), case.world.count("votes_released")), (vec![2], 2, 2));
    // Each says where its promise stands, so that the logs of several machines can be put in order.
    let log = read_log(&case.world.release_log()).expect("a log");
    let promises: Vec<_> = log.iter().map(|record| record.promise.expect("its place")).collect();
    let [first, second] = promises[..] else { panic!("two votes") };
    assert_eq!((first.term, first.store), (second.term, second.store));
    assert!(first.revision < second.revision && first.term > 0);
}

#[test]
fn of_two_decisions_that_contradict_each_other_the_later_is_refused() {
    let mut case = Case::active();
    let recorded = case.decision(1);
    // Another tower that knows nothing of the vote before it: a voter that lost its memory.
    let amnesiac = case.decision(2);
    let promise = &case.world.shared.writers.promise;
    promise.send(input(&recorded)).expect("a reader");
    promise.send(input(&amnesiac)).expect("a reader");
    settle(&mut case.stage);
    assert!(matches!(case.vote.pop(), Some(VoteInput::Recorded { id: DecisionId(1) })));
    assert!(matches!(case.vote.pop(), Some(VoteInput::Refused { id: DecisionId(2) })));
    assert_eq!(case.released(), [1]);
}

#[test]
fn a_fenced_record_ends_signing_before_the_role_stage_has_heard_of_it() {
    let mut case = Case::active();
    let _other = case.kv.claimed_by(OTHER);
    case.decide(1);
    assert!(!case.answer());
    // The role stage has not run: what follows is refused without a look at the store.
    assert!(case.stage.permit.is_none());
    let writes = case.kv.writes();
    case.decide(2);
    assert!(!case.answer());
    case.tell(PromiseInput::ClaimSlot(3));
    assert!(matches!(case.producer.pop(), Some(ProducerInput::SlotRefused(3))));
    assert_eq!(case.kv.writes(), writes);
    assert_eq!((case.released(), case.logged()), (vec![], 0));
    let RoleEvent::RecordFenced { by } = case.role_event() else { panic!("it must hear of it") };
    assert!(by.contains("machine 2"), "{by}");
    assert!(case.role.is_empty(), "once");
}

#[test]
fn a_fenced_slot_claim_ends_signing_as_well() {
    let mut case = Case::active();
    let _other = case.kv.claimed_by(OTHER);
    case.tell(PromiseInput::ClaimSlot(3));
    assert!(matches!(case.producer.pop(), Some(ProducerInput::SlotRefused(3))));
    let writes = case.kv.writes();
    case.decide(1);
    assert!(!case.answer());
    assert_eq!((case.kv.writes(), case.released(), case.logged()), (writes, vec![], 0));
    assert!(matches!(case.role_event(), RoleEvent::RecordFenced { .. }));
}

#[test]
fn a_look_that_finds_another_store_ends_signing() {
    let mut case = Case::active();
    case.kv.replace();
    case.store(StoreCommand::Read { read: ReadId(2) });
    let RoleEvent::StoreQuarantined { reason } = case.role_event() else { panic!("it must hear of it") };
    assert!(reason.contains("another store answers"), "{reason}");
    let writes = case.kv.writes();
    case.decide(1);
    assert!(!case.answer());
    assert_eq!((case.kv.writes(), case.released()), (writes, vec![]));
}

#[test]
fn a_quarantine_is_durable_before_anything_else_is_done_and_ends_by_a_persons_word() {
    let mut case = Case::active();
    let kept = |case: &Case| case.memory.kept().last().cloned().expect("something was kept");
    let (first, when) = case.memory.kept()[0].clone();
    assert!(when == When::Now && first.store_id == Some(77), "the first sight of a store: {first:?}");
    case.kv.replace();
    case.store(StoreCommand::Read { read: ReadId(2) });
    assert!(matches!(case.role_event(), RoleEvent::StoreQuarantined { .. }));
    let (known, when) = kept(&case);
    assert!(when == When::Now && known.quarantine.is_some(), "{known:?}");

    // An empty store is not what was seen, whoever says so; without its tower it may be taken, once the slot has passed.
    let vouch = |case: &mut Case, vouch| {
        let (reply, mut answer) = oneshot::channel();
        case.store(StoreCommand::Vouch { vouch, reply });
        answer.try_recv().expect("answered").is_ok()
    };
    assert!(!vouch(&mut case, Vouch::Store));
    assert_eq!(kept(&case).0.quarantine, known.quarantine);
    assert!(vouch(&mut case, Vouch::NoTower { slot: 600 }));
    assert!(matches!(case.role_event(), RoleEvent::StoreVouched { tower_forgotten: true }));
    let (known, when) = kept(&case);
    assert_eq!((when, known.quarantine, known.accepted), (When::Now, None, Some(600)));
}

#[test]
fn a_store_that_does_not_answer_releases_nothing_whether_the_write_happened_or_not() {
    for happened in [false, true] {
        let mut case = Case::active();
        case.kv.silent(Some(happened));
        case.decide(1);
        assert!(!case.answer(), "unresolved is not recorded");
        assert!(matches!(case.role_event(), RoleEvent::RecordTimeout { .. }));
        // The store comes back; the permit does not.
        assert!(case.stage.permit.is_none());
        case.kv.silent(None);
        let writes = case.kv.writes();
        case.decide(2);
        assert!(!case.answer());
        case.tell(PromiseInput::ClaimSlot(3));
        assert!(matches!(case.producer.pop(), Some(ProducerInput::SlotRefused(3))));
        assert_eq!((case.kv.writes(), case.released(), case.logged()), (writes, vec![], 0));
    }
}

#[test]
fn a_lost_reply_is_resolved_and_the_vote_released_once() {
    let mut case = Case::active();
    let kv = case.kv.clone();
    case.kv.silent(Some(true));
    // The write happened unheard; the look after it, before the retry, finds it.
    case.kv.before_next_write(move || {
        let kv = kv.clone();
        kv.clone().before_next_write(move || kv.silent(None));
    });
    case.decide(1);
    assert!(case.answer());
    assert_eq!((case.released(), case.logged()), (vec![1], 1));
}

#[test]
fn while_halted_decisions_and_slots_are_refused() {
    let mut case = Case::active();
    case.store(StoreCommand::HaltVotes);
    assert!(matches!(case.role_event(), RoleEvent::VotesSettled));
    let writes = case.kv.writes();
    case.decide(1);
    assert!(!case.answer());
    case.tell(PromiseInput::ClaimSlot(1));
    assert!(matches!(case.producer.pop(), Some(ProducerInput::SlotRefused(1))));
    assert_eq!((case.kv.writes(), case.released()), (writes, vec![]));
    // A node that was never allowed to sign is no different.
    let mut standby = Case::new();
    standby.decide(1);
    assert!(!standby.answer());
    assert_eq!((standby.kv.writes(), standby.released()), (0, vec![]));
}

#[test]
fn keys_locked_during_the_commit_release_nothing_though_it_is_recorded() {
    let mut case = Case::active();
    let vault = case.world.shared.views.vault.clone();
    case.kv.before_next_write(move || vault.lock());
    case.decide(1);
    assert!(case.answer(), "the tower has it, so the voter must count it");
    assert!(matches!(case.role_event(), RoleEvent::Recorded { slot: 1 }));
    assert_eq!((case.released(), case.logged()), (vec![], 0));
}

#[test]
fn a_slot_is_claimed_once_and_never_below_the_watermark() {
    let mut case = Case::active();
    case.tell(PromiseInput::ClaimSlot(5));
    let Some(ProducerInput::SlotClaimed(claim)) = case.producer.pop() else { panic!("ours") };
    assert_eq!((claim.slot(), claim.term()), (5, Term(1)));
    for slot in [5, 4] {
        case.tell(PromiseInput::ClaimSlot(slot));
        assert!(matches!(case.producer.pop(), Some(ProducerInput::SlotRefused(refused)) if refused == slot));
    }
    assert!(case.role.is_empty(), "a slot that is taken is no reason to stop");
}

#[test]
fn released_means_no_promise_any_more() {
    let mut case = Case::active();
    case.store(StoreCommand::Release { reason: "test".into() });
    assert!(matches!(case.role_event(), RoleEvent::Released));
    assert!(case.kv.owner().expect("an owner record").released);
    case.decide(1);
    assert!(!case.answer());
    assert!(case.released().is_empty());
}

/// A folder for a store, as the product opens it, and an identity that it is refused to.
fn folder_for_all_but(stranger: Pubkey) -> Case {
    Case::over(move |_, memory| {
        let folder = tempfile::tempdir().expect("a folder");
        Box::new(move |identity| {
            let kv = FileKv::open(folder.path()).map_err(|error| Failure::caused(Status::Failed, &error))?;
            if *identity == stranger {
                return Err(Failure::refused("the store is another's").remedy("give it its own"));
            }
            let limits = Limits { call_deadline: Duration::from_secs(1), write_timeout: Duration::from_secs(1) };
            let opening = Opening {
                genesis_hash: Hash::default(),
                identity: *identity,
                vote_account: VOTE,
                instance: InstanceId([THIS; 16]),
                limits,
            };
            let store = PromiseStore::open(Box::new(kv), Box::new(SystemPace::start()), opening);
            Ok((store, Box::new(memory.clone()) as Box<dyn Keeper>))
        })
    })
}

#[test]
fn a_store_is_let_go_and_given_back_before_another_is_opened() {
    let (other, stranger) = (Pubkey::new_from_array([5; 32]), Pubkey::new_from_array([6; 32]));
    let mut case = folder_for_all_but(stranger).claim();
    let opened = |case: &Case| match case.role_event() {
        RoleEvent::StoreOpened { identity } => identity,
        event => panic!("{event:?}"),
    };
    // The folder has one lock.
    case.store(StoreCommand::Open { identity: other });
    assert_eq!(opened(&case), other);
    case.store(StoreCommand::Read { read: ReadId(2) });
    let RoleEvent::StoreRead { facts, .. } = case.role_event() else { panic!("the store was read") };
    // The account's last owner, under whatever identity.
    assert!(facts.owner.is_some_and(|owner| owner.released), "whoever comes next need not ask a process that left");
    case.decide(1);
    assert!(!case.answer(), "nothing is signed under what was left");

    // A refusal ends nothing, and the way back is open.
    case.store(StoreCommand::Open { identity: stranger });
    let RoleEvent::StoreNotOpened { identity, kind, reason } = case.role_event() else { panic!("it is refused") };
    assert_eq!((identity, kind), (stranger, RefusedKind::WrongStore));
    assert!(reason.contains("another's") && reason.contains("its own"), "{reason}");
    case.store(StoreCommand::Read { read: ReadId(3) });
    assert!(matches!(case.role_event(), RoleEvent::StoreUnavailable { .. }));
    case.store(StoreCommand::Open { identity: leader().pubkey() });
    assert_eq!(opened(&case), leader().pubkey());
    case.store(StoreCommand::Read { read: ReadId(4) });
    let RoleEvent::StoreRead { facts, .. } = case.role_event() else { panic!("the store was read") };
    assert!(facts.owner.is_some(), "the claim of before");
}
