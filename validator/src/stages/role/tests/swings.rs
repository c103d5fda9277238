//! One process that becomes the owner and stands by, again and again: who it is to everybody at each moment.

use {
    super::*,
    crate::{
        stages::testing::{World, leader, settle, store::TestKv, world},
        topology::Readers,
    },
    std::time::Duration,
    tandem_identity::Permit,
    tandem_role::{
        config::{CHAIN_TOWER_HOLD_SLOTS, Config, ConfiguredRole, Failback, OnLoss},
        event::StoreFacts,
        records::IntentRecord,
    },
    tandem_types::{InstanceId, Term},
};

struct Bench {
    world: World,
    readers: Readers,
    stage: RoleStage,
    tls: TpuIdentity,
    standby: Pubkey,
    kv: TestKv,
}

impl Bench {
    fn new(role: Rx<RoleInput>, world: World, readers: Readers) -> Self {
        let vault = &world.shared.views.vault;
        let standby = vault.stand_by_as(Keypair::new_from_array([8; 32]));
        let config = Config {
            role: ConfiguredRole::Secondary,
            host: "beta".into(),
            failback: Failback::Preferred,
            on_identity_loss: OnLoss::Standby,
            on_store_loss: OnLoss::Standby,
            require_tower: false,
            adopt_chain_tower: false,
            store_is_exclusive: false,
            intent_deadline: Duration::from_secs(2),
            caught_up_slots_max: 8,
            replay_deadline: Duration::from_secs(2),
            takeover_deadline: Duration::from_secs(30),
            chain_tower_hold_slots: CHAIN_TOWER_HOLD_SLOTS,
            standby_poll: Duration::from_secs(1_000),
            release_poll: Duration::from_millis(25),
        };
        let tls = TpuIdentity::new(&Keypair::new_from_array([9; 32]));
        let identity = leader().pubkey();
        let setup = RoleSetup {
            machine: Machine::new(config, InstanceId([1; 16]), Some(identity), standby),
            tls: tls.clone(),
            chain: ChainWatch::new(false, 0),
            store_name: "a test".into(),
            auto: None,
            meet: Box::new(|_| Ok(None)),
        };
        let stage = RoleStage::new(world.shared.clone(), role, ExitLatch::default(), setup);
        let kv = TestKv::new(&world);
        Self { world, readers, stage, tls, standby, kv }
    }

    fn tell(&mut self, input: RoleInput) {
        self.world.shared.writers.role.send(input).expect("the link is open");
        settle(&mut self.stage);
    }

    /// What the stage wanted of the promise stage since it was asked last.
    fn wanted(&self) -> Vec<StoreCommand> {
        let store = |input| match input {
            PromiseInput::Store(command) => Some(command),
            PromiseInput::Vote { .. } | PromiseInput::ClaimSlot(_) => None,
        };
        std::iter::from_fn(|| self.readers.promise.pop()).filter_map(store).collect()
    }

    /// As gossip, TLS, JSON-RPC and whoever signs for the node have it.
    #[track_caller]
    fn is(&self, who: Pubkey) {
        let views = &self.world.shared.views;
        assert_eq!(views.vault.node().pubkey(), who, "gossip and repair sign as");
        assert_eq!(self.tls.pubkey(), who, "QUIC shows");
        assert_eq!(**views.identity.load(), who, "JSON-RPC says");
        let Some(GossipCommand::SetIdentity(contact)) = std::iter::from_fn(|| self.readers.gossip.pop()).last() else {
            panic!("gossip was not told");
        };
        assert_eq!(contact.pubkey, who, "gossip shows");
    }

    fn status(&self, role: &str) -> crate::status::NodeStatus {
        self.stage.publish_status(self.world.shared.clock.now());
        let status = (**self.world.shared.views.status.load()).clone();
        assert_eq!(status.role, role);
        status
    }

    /// `set-identity`, with a store that nobody owns, until the answer. Returns what votes and blocks are signed with.
    fn promote(&mut self, term: u64) -> Permit {
        let (reply, mut answer) = oneshot::channel();
        self.tell(RoleInput::Request(RoleRequest::SetIdentity { keypair: leader(), require_tower: false, reply }));
        let read = self.wanted().into_iter().find_map(|command| match command {
            StoreCommand::Read { read } => Some(read),
            _other => None,
        });
        let read = read.expect("the store is looked at first");
        let facts = StoreFacts {
            owner: None,
            owner_revision: 0,
            has_tower: false,
            tower_last_vote: None,
            intent: None,
            accepted: false,
        };
        self.tell(RoleInput::Event(Event::StoreRead { read, facts: Box::new(facts) }));
        assert!(matches!(self.wanted().as_slice(), [StoreCommand::Claim { .. }]));
        let mut claims = std::iter::repeat_with(|| self.kv.claim(1).1);
        let claim = claims.find(|claim| claim.term >= Term(term)).expect("terms grow");
        self.tell(RoleInput::Claimed(Box::new(claim)));
        assert!(matches!(self.readers.vote.pop(), Some(VoteInput::Prepare { .. })), "the voter looks at the tower");
        assert!(!self.world.shared.views.vault.is_unlocked() && answer.try_recv().is_err(), "not before it has");
        // An answer to an earlier claim is none to this one.
        let claimed = self.stage.machine.term().expect("claimed");
        self.tell(RoleInput::Prepared {
            term: Term(claimed.0 - 1),
            last_vote: None,
            last_vote_replayed: true,
            free_from: 0,
        });
        assert_eq!(self.stage.machine.term(), Some(claimed));
        assert!(self.wanted().is_empty(), "nothing was unlocked");
        self.tell(RoleInput::Prepared { term: claimed, last_vote: None, last_vote_replayed: true, free_from: 0 });
        assert!(matches!(self.readers.vote.pop(), Some(VoteInput::Activate)));
        let permits: Vec<Permit> = self
            .wanted()
            .into_iter()
            .filter_map(|command| match command {
                StoreCommand::Resume { permit } => Some(permit),
                _other => None,
            })
            .collect();
        let Some(ProducerInput::Allow { identity, permit }) = self.readers.producer.pop() else {
            panic!("the producer may not lead");
        };
        assert_eq!((identity, permit.term()), (leader().pubkey(), Term(term)));
        assert!(permits.len() == 1 && permits[0].valid() && permit.valid());
        let report = answer.try_recv().expect("answered").expect("done");
        assert_eq!((report.role.as_str(), report.term), ("ACTIVE", Some(term)));
        assert!(report.claimed_unix_nanos >= Some(report.requested_unix_nanos));
        permit
    }

    /// Another machine asks for the identity.
    fn demote(&mut self, term: u64) {
        let intent = IntentRecord {
            from: "beta".into(),
            to: "alpha".into(),
            instance: InstanceId([2; 16]),
            deadline_ms: 2_000,
            reason: "set-identity".into(),
            term_seen: Term(term),
        };
        self.tell(RoleInput::Event(Event::IntentSeen(Box::new(intent))));
        assert!(matches!(self.readers.producer.pop(), Some(ProducerInput::Halt { abandon: false })));
        assert!(self.world.shared.views.vault.is_unlocked(), "the slot in production is finished first");
        self.tell(RoleInput::ProducerHalted);
        assert!(matches!(self.readers.vote.pop(), Some(VoteInput::StandDown)));
        assert!(matches!(self.wanted().as_slice(), [StoreCommand::HaltVotes]));
        self.tell(RoleInput::Event(Event::VotesSettled));
        assert!(!self.world.shared.views.vault.is_unlocked(), "locked before it is given back");
        assert!(matches!(self.wanted().as_slice(), [StoreCommand::Release { .. }]));
        assert_eq!(self.world.shared.views.vault.node().pubkey(), leader().pubkey());
        self.tell(RoleInput::Event(Event::Released));
    }
}

fn bench() -> Bench {
    let (world, mut readers, _ledger) = world();
    let (_, nobody) = tandem_env::link::<RoleInput>(1, &Default::default());
    let role = std::mem::replace(&mut readers.role, nobody);
    Bench::new(role, world, readers)
}

#[test]
fn promoted_and_demoted_again_and_again_everything_follows() {
    let mut bench = bench();
    let (identity, standby) = (leader().pubkey(), bench.standby);
    let mut old: Vec<Permit> = Vec::new();
    for term in 1..=5 {
        let permit = bench.promote(term);
        bench.is(identity);
        let status = bench.status("ACTIVE");
        assert_eq!((status.term, status.identity), (Some(term), identity.to_string()));
        old.push(permit);
        let valid: Vec<bool> = old.iter().map(Permit::valid).collect();
        assert_eq!(valid.iter().filter(|valid| **valid).count(), 1, "of all leave ever given only the last is good");
        bench.demote(term);
        bench.is(standby);
        assert!(old.iter().all(|permit| !permit.valid()));
        let status = bench.status("STANDBY");
        assert_eq!((status.term, status.identity), (None, standby.to_string()));
        let down = status.last_step_down.expect("it stepped down");
        assert!(down.term == Some(term) && down.why == "votes settled" && down.locked_unix_nanos > 0, "{down:?}");
    }
}

#[test]
fn taken_without_being_asked_it_locks_first_and_another_key_speaks_last() {
    let mut bench = bench();
    let permit = bench.promote(1);
    bench.is(leader().pubkey());
    bench.tell(RoleInput::Event(Event::RecordFenced { by: "term 2 belongs to alpha".into() }));
    assert!(!permit.valid());
    assert_eq!(bench.status("LOCKED").identity, leader().pubkey().to_string(), "a block may still be under way");
    assert!(matches!(bench.readers.producer.pop(), Some(ProducerInput::Halt { abandon: true })));
    assert!(matches!(bench.readers.vote.pop(), Some(VoteInput::StandDown)));
    bench.tell(RoleInput::ProducerHalted);
    bench.tell(RoleInput::Event(Event::VotesSettled));
    bench.is(bench.standby);
    bench.status("STANDBY");
    assert!(matches!(bench.wanted().as_slice(), [StoreCommand::HaltVotes]), "there is nothing to give back");
    bench.promote(3);
    bench.is(leader().pubkey());
}

#[test]
fn a_key_that_was_refused_is_not_kept() {
    let mut bench = bench();
    for _ in 0..3 {
        let (reply, mut answer) = oneshot::channel();
        let keypair = Keypair::new_from_array([77; 32]);
        bench.tell(RoleInput::Request(RoleRequest::SetIdentity { keypair, require_tower: false, reply }));
        let refused = answer.try_recv().expect("answered").expect_err("a stranger's identity");
        assert_eq!(refused.status, 5);
    }
    assert!(bench.stage.standby_keys.is_empty() && bench.stage.replies.is_empty());
}
