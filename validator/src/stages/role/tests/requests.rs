//! The role stage with a real promise stage behind it; the test is the voter, the producer and the clock.

use {
    super::*,
    crate::{
        stages::{
            promise::{Keeper, OpenStore, PromiseStage, Signature},
            testing::{
                World, leader, port,
                store::{TestKv, TestMemory},
                world,
            },
        },
        topology::Readers,
    },
    tandem_role::{
        config::{CHAIN_TOWER_HOLD_SLOTS, Config, ConfiguredRole, Failback, OnLoss},
        records::Preference,
    },
    tandem_types::InstanceId,
    tokio::sync::oneshot::error::TryRecvError,
};

struct Case {
    stage: RoleStage,
    promise: PromiseStage,
    world: World,
    kv: TestKv,
    exit: ExitLatch,
    now: Tick,
    vote: Rx<VoteInput>,
    producer: Rx<ProducerInput>,
    gossip: Rx<GossipCommand>,
    /// The producer has a slot in production that does not end.
    producer_is_busy: bool,
    /// What others were told, in order.
    told: Vec<String>,
}

const THIS: u8 = 1;
const OTHER: u8 = 2;

fn standby() -> Keypair {
    Keypair::new_from_array([91; 32])
}

fn config(role: ConfiguredRole, on_loss: OnLoss) -> Config {
    Config {
        role,
        host: "machine 1".into(),
        failback: Failback::Preferred,
        on_identity_loss: on_loss,
        on_store_loss: on_loss,
        require_tower: false,
        adopt_chain_tower: false,
        store_is_exclusive: false,
        intent_deadline: Duration::from_secs(2),
        caught_up_slots_max: CAUGHT_UP_SLOTS_MAX,
        replay_deadline: Duration::from_secs(2),
        takeover_deadline: Duration::from_secs(30),
        chain_tower_hold_slots: CHAIN_TOWER_HOLD_SLOTS,
        standby_poll: Duration::from_secs(1),
        release_poll: Duration::from_millis(50),
    }
}

impl Case {
    fn new(config: Config) -> Self {
        let (world, readers, _ledger) = world();
        let vault = world.shared.views.vault.clone();
        vault.stand_by_as(standby());
        vault.hold_identity(leader());
        let kv = TestKv::new(&world);
        let open: OpenStore = {
            let kv = kv.clone();
            Box::new(move |_| Ok((kv.open(THIS), Box::new(TestMemory::default()) as Box<dyn Keeper>)))
        };
        let instance = InstanceId([THIS; 16]);
        let signature = Signature {
            instance,
            host: config.host.clone(),
            version: "0".into(),
            preference: Preference::Primary,
            require_tower: config.require_tower,
        };
        let Readers { promise, role, vote, producer, gossip, .. } = readers;
        let identity = Some(leader().pubkey());
        let account = world.shared.views.vote_account;
        let promise = PromiseStage::new(world.shared.clone(), promise, open, signature, account, port(), identity)
            .expect("an open store");
        let setup = RoleSetup {
            machine: Machine::new(config, instance, identity, vault.standby()),
            tls: TpuIdentity::new(&Keypair::new()),
            chain: ChainWatch::new(false, 0),
            store_name: "test store".into(),
            auto: None,
            meet: Box::new(|_| Ok(None)),
        };
        let exit = ExitLatch::default();
        let stage = RoleStage::new(world.shared.clone(), role, exit.clone(), setup);
        let now = Tick::from_millis(1_000);
        let told = Vec::new();
        Self { stage, promise, world, kv, exit, now, vote, producer, gossip, producer_is_busy: false, told }
    }

    /// A primary that has claimed by itself.
    fn active(on_loss: OnLoss) -> Self {
        let mut case = Self::new(config(ConfiguredRole::Primary, on_loss));
        case.pass(100);
        assert_eq!(case.role(), "ACTIVE", "{:?}", case.told);
        case.told.clear();
        case
    }

    fn role(&self) -> String {
        self.stage.machine.role().to_string()
    }

    /// Steps everybody through this many milliseconds, until nobody has anything to do.
    fn pass(&mut self, ms: u64) {
        for _ in 0..=ms {
            while self.step() {}
            self.now = self.now + Duration::from_millis(1);
        }
    }

    /// True while there may be more.
    fn step(&mut self) -> bool {
        let role = self.stage.step(self.now).expect("no failure");
        let promise = self.promise.step(self.now).expect("no failure");
        let mut heard = false;
        // In the order of a change of role; what one step sends over several links has no other.
        while let Some(command) = self.gossip.pop() {
            heard = true;
            let GossipCommand::SetIdentity(contact) = command else { continue };
            let is_leader = contact.pubkey == leader().pubkey();
            self.told.push(if is_leader { "be the identity".into() } else { "be the standby".into() });
        }
        while let Some(input) = self.producer.pop() {
            heard = true;
            match input {
                ProducerInput::Allow { identity, permit } => {
                    assert!(identity == leader().pubkey() && permit.valid());
                    self.told.push("lead".into());
                }
                ProducerInput::Halt { abandon } => {
                    self.told.push(if abandon { "drop the block".into() } else { "end the block".into() });
                    if abandon || !self.producer_is_busy {
                        self.hear(RoleInput::ProducerHalted);
                    }
                }
                ProducerInput::SlotClaimed(_)
                | ProducerInput::SlotRefused(_)
                | ProducerInput::OwnRefused(_)
                | ProducerInput::Reset { .. } => panic!("not from the role stage"),
            }
        }
        while let Some(input) = self.vote.pop() {
            heard = true;
            self.hear_vote(input);
        }
        heard || role == Progress::Busy || promise == Progress::Busy
    }

    fn hear_vote(&mut self, input: VoteInput) {
        match input {
            VoteInput::Prepare { term, adopted, .. } => {
                self.told.push("look at the tower".into());
                let last_vote = adopted.last_vote.map(|last| last.block);
                self.hear(RoleInput::Prepared { term, last_vote, last_vote_replayed: true, free_from: 0 });
            }
            VoteInput::Activate => self.told.push("vote".into()),
            VoteInput::StandDown => self.told.push("do not vote".into()),
            VoteInput::Recorded { .. } | VoteInput::Refused { .. } => self.told.push("answer".into()),
            VoteInput::Frozen { .. } | VoteInput::SeenVotes(_) | VoteInput::Purged(_) | VoteInput::DuplicateSlot(_) => {
                panic!("not from the role stage")
            }
        }
    }

    fn hear(&self, input: RoleInput) {
        self.world.shared.writers.role.send(input).expect("a reader");
    }

    fn ask(&self, keypair: Keypair, require_tower: bool) -> oneshot::Receiver<Result<HandoverReport, AdminError>> {
        let (reply, answer) = oneshot::channel();
        self.hear(RoleInput::Request(RoleRequest::SetIdentity { keypair, require_tower, reply }));
        answer
    }

    fn ended(&self) -> Option<Failure> {
        self.exit.wait(Duration::ZERO)
    }

    fn speaks_as(&self) -> Pubkey {
        self.world.shared.views.vault.node().pubkey()
    }

    fn unlocked(&self) -> bool {
        self.world.shared.views.vault.is_unlocked()
    }
}

#[test]
fn a_primary_that_has_caught_up_claims_adopts_speaks_and_only_then_signs() {
    let mut case = Case::new(config(ConfiguredRole::Primary, OnLoss::Exit));
    assert!(!case.unlocked() && case.speaks_as() == standby().pubkey());
    case.pass(100);
    assert_eq!(case.told, ["look at the tower", "be the identity", "lead", "vote"]);
    assert!(case.unlocked() && case.speaks_as() == leader().pubkey());
    let owner = case.kv.owner().expect("an owner");
    assert_eq!((owner.term.0, owner.host.as_str(), owner.released), (1, "machine 1", false));
    let status = case.world.shared.views.status.load();
    assert_eq!((status.role.as_str(), status.term), ("ACTIVE", Some(1)));
    assert!(status.last_handover.is_some());
}

#[test]
fn set_identity_is_answered_once_and_only_when_the_node_may_vote() {
    let mut case = Case::new(config(ConfiguredRole::Secondary, OnLoss::Exit));
    case.pass(50);
    let mut first = case.ask(leader(), false);
    let mut second = case.ask(leader(), false);
    let answer = (0..1_000).find_map(|_| {
        case.step();
        first.try_recv().ok()
    });
    let report = answer.expect("it comes to an end").expect("taken over");
    assert!(case.unlocked() && report.role == "ACTIVE", "{report:?}");
    // The sender is used up by its answer: there cannot be another.
    case.pass(50);
    assert!(case.stage.replies.is_empty());
    assert_eq!(case.told, ["look at the tower", "be the identity", "lead", "vote"]);
    // Asked twice, it is one takeover, and both are told of it.
    let joined = second.try_recv().expect("answered").expect("taken over");
    assert_eq!((joined.role, joined.term, joined.phases_ms), (report.role, report.term, report.phases_ms));
    assert!(joined.ms >= report.ms);

    // Asked again, by somebody who does not wait: it is there already, and nothing is claimed again.
    drop(case.ask(leader(), false));
    let mut again = case.ask(leader(), false);
    case.pass(50);
    let report = again.try_recv().expect("answered").expect("active already");
    assert_eq!((report.role.as_str(), report.term), ("ACTIVE", Some(1)));
    assert_eq!(case.kv.owner().expect("an owner").term.0, 1);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut case = Case::new(config(ConfiguredRole::Secondary, OnLoss::Exit));
    case.pass(50);
    let mut no_tower = case.ask(leader(), true);
    case.pass(50);
    let refused = no_tower.try_recv().expect("answered").expect_err("there is no tower");
    assert_eq!(refused.status, Status::TowerMissing as u8);
    let mut stranger = case.ask(Keypair::new_from_array([92; 32]), false);
    case.pass(50);
    let refused = stranger.try_recv().expect("answered").expect_err("not the vote account's identity");
    assert_eq!(refused.status, Status::Refused as u8);
    assert!(refused.reason.contains(&leader().pubkey().to_string()), "{refused:?}");
    assert!(case.kv.owner().is_none() && case.told.is_empty() && !case.unlocked());
    assert_eq!((case.role().as_str(), case.speaks_as()), ("STANDBY", standby().pubkey()));
    // With a store that does not answer, the operator is told so, and with the status that says it.
    case.kv.silent(Some(false));
    let mut lost = case.ask(leader(), false);
    case.pass(50);
    assert_eq!(lost.try_recv().expect("answered").expect_err("no store").status, Status::StoreLost as u8);
}

#[test]
fn a_wish_that_is_refused_does_not_leave_its_key_behind() {
    let held = Keypair::new_from_array([93; 32]);
    let case = |holds: bool| {
        let mut case = Case::new(config(ConfiguredRole::Secondary, OnLoss::Exit));
        let before = case.world.shared.views.vault.exchange_identity(held.insecure_clone());
        if !holds {
            case.world.shared.views.vault.put_back_identity(None);
        }
        drop(before);
        case.pass(50);
        case
    };
    for holds in [true, false] {
        let mut case = case(holds);
        let vault = case.world.shared.views.vault.clone();
        let mut no_tower = case.ask(leader(), true);
        case.pass(50);
        assert_eq!(no_tower.try_recv().expect("answered").expect_err("no tower").status, Status::TowerMissing as u8);
        assert_eq!(vault.identity(), holds.then(|| held.pubkey()));
        // And one that goes through keeps it.
        let mut takes = case.ask(leader(), false);
        case.pass(100);
        assert_eq!(takes.try_recv().expect("answered").expect("taken over").role, "ACTIVE");
        assert_eq!(vault.identity(), Some(leader().pubkey()));
    }
}

#[test]
fn a_lost_fence_locks_and_ends_the_node_with_its_own_status() {
    let mut case = Case::active(OnLoss::Exit);
    case.producer_is_busy = true;
    let _other = case.kv.claimed_by(OTHER);
    // The next write finds out.
    case.world.shared.writers.promise.send(PromiseInput::ClaimSlot(1)).expect("a reader");
    for _ in 0..20 {
        // The promise stage's refusal to the producer is not the role stage's.
        let _ = case.promise.step(case.now).expect("no failure");
        while case.producer.pop().is_some() {}
        let _ = case.stage.step(case.now).expect("no failure");
    }
    assert!(!case.unlocked());
    case.pass(0);
    let reason = case.ended().expect("it ends");
    assert_eq!(reason.status, Status::Fenced);
    assert_eq!(reason.status as u8, 7);
    assert!(reason.what.contains("machine 2"), "{reason}");
    assert!(!case.kv.owner().expect("the other").released, "what is not ours is not given back");
}

#[test]
fn a_lost_fence_with_the_flag_leaves_a_standby_that_can_be_asked_again() {
    let mut case = Case::active(OnLoss::Standby);
    let mut other = case.kv.claimed_by(OTHER);
    case.hear(RoleInput::Event(Event::RecordFenced { by: "machine 2".into() }));
    case.pass(100);
    assert!(case.ended().is_none());
    assert_eq!(case.told, ["drop the block", "do not vote", "be the standby"]);
    assert_eq!((case.role().as_str(), case.speaks_as()), ("STANDBY", standby().pubkey()));
    assert!(!case.unlocked());
    // It does not take the identity back by itself, but when told.
    case.pass(3_000);
    assert_eq!(case.kv.owner().expect("an owner").term.0, 2);
    other.release(tandem_types::UnixMillis(1)).expect("the store answers");
    case.told.clear();
    let mut answer = case.ask(leader(), false);
    case.pass(200);
    assert_eq!(answer.try_recv().expect("answered").expect("taken over").term, Some(3));
    assert_eq!(case.told, ["look at the tower", "be the identity", "lead", "vote"]);
}

#[test]
fn a_twin_shows_in_the_status_for_ten_minutes() {
    let mut case = Case::active(OnLoss::Exit);
    let shown = |case: &Case| case.world.shared.views.status.load().twin.clone();
    assert!(shown(&case).is_none());
    case.stage.perform(case.now, Effect::Alarm { reason: "a second process".into() }).expect("no failure");
    case.pass(100);
    assert_eq!(shown(&case).map(|twin| twin.reason).as_deref(), Some("a second process"));
    case.now = case.now + Duration::from_secs(599);
    case.pass(100);
    assert_eq!(shown(&case).map(|twin| twin.seconds_ago), Some(599));
    case.now = case.now + Duration::from_secs(2);
    case.pass(100);
    assert!(shown(&case).is_none(), "whoever stopped it would never see it go");
}

#[test]
fn a_lost_store_ends_the_node_with_its_own_status() {
    let mut case = Case::active(OnLoss::Exit);
    case.hear(RoleInput::Event(Event::RecordTimeout { reason: "no reply".into() }));
    case.pass(50);
    assert!(!case.unlocked());
    assert_eq!(case.ended().expect("it ends").status, Status::StoreLost);
}

#[test]
fn a_shutdown_gives_the_identity_back_before_it_ends() {
    let mut case = Case::active(OnLoss::Exit);
    case.producer_is_busy = true;
    let (reply, mut asked) = oneshot::channel();
    case.hear(RoleInput::Request(RoleRequest::Exit { reply }));
    case.pass(400);
    assert_eq!(case.told, ["end the block"], "a quarter of the patience is the block's");
    assert!(case.ended().is_none() && !case.kv.owner().expect("an owner").released);
    assert_eq!(asked.try_recv(), Err(TryRecvError::Empty));
    for _ in 0..1_000 {
        let released = case.kv.owner().expect("an owner").released;
        if let Some(reason) = case.ended() {
            assert!(released, "given back first");
            assert!(!case.unlocked());
            assert_eq!(reason.status, Status::Done);
            assert_eq!(case.told, ["end the block", "drop the block", "do not vote"]);
            assert_eq!(asked.try_recv(), Ok(()));
            return;
        }
        assert!(!(released && case.unlocked()), "locked first");
        if !case.step() {
            case.now = case.now + Duration::from_millis(1);
        }
    }
    panic!("it does not end: {:?} {}", case.told, case.role());
}

#[test]
fn a_standby_ends_at_once_when_asked() {
    let mut case = Case::new(config(ConfiguredRole::Secondary, OnLoss::Exit));
    case.pass(10);
    let (reply, mut asked) = oneshot::channel();
    case.hear(RoleInput::Request(RoleRequest::Exit { reply }));
    case.pass(0);
    assert_eq!(case.ended().expect("it ends").status, Status::Done);
    assert_eq!(asked.try_recv(), Ok(()));
    let mut late = case.ask(leader(), false);
    case.pass(0);
    assert!(late.try_recv().expect("answered").expect_err("too late").reason.contains("stopping"));
}
