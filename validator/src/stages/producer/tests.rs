//! A block is made from a claim, signed set by set, and ends when a claim, a signature, the ledger or the role machine says so.

use {
    super::*,
    crate::{
        stages::testing::{VOTE, World, leader, store::TestKv, world},
        topology::Readers,
    },
    tandem_env::wall_clock,
    tandem_ledger::{Ledger, Source},
    tandem_shred::Shred,
    tandem_tower_storage::PromiseStore,
    tandem_types::{Signer, Term},
};

/// Leads every slot from 1 on, on top of slot 0. The test is the promise stage and the clock.
struct Case {
    stage: ProducerStage,
    world: World,
    ledger: Ledger,
    store: PromiseStore,
    now: Tick,
    promise: Rx<PromiseInput>,
    replay: Rx<ReplayInput>,
    shreds: Rx<ShredInput>,
    role: Rx<RoleInput>,
    sent: Vec<(Slot, Shred)>,
}

impl Case {
    fn new() -> Self {
        let (world, readers, ledger) = world();
        let vault = &world.shared.views.vault;
        vault.hold_identity(leader());
        let store = TestKv::new(&world).claimed_by(1);
        let Readers { producer, transactions, promise, replay, shreds, role, .. } = readers;
        let stage = ProducerStage::new(world.shared.clone(), producer, transactions);
        let now = Tick::from_millis(1_000);
        Self { stage, world, ledger, store, now, promise, replay, shreds, role, sent: Vec::new() }
    }

    /// In the middle of slot 1, of which something was sent.
    fn producing() -> Self {
        let mut case = Self::new();
        case.allow(Term(1));
        case.tell(ProducerInput::Reset { bank: case.world.root.clone(), propagated: true });
        assert!(case.claim(true) == Some(1));
        assert!(matches!(case.replay.pop(), Some(ReplayInput::OwnBegun { slot: 1, parent: 0 })));
        case.pass(case.slot_ms() / 2);
        assert!(!case.take_sent(1).is_empty(), "half a block");
        case
    }

    fn slot_ms(&self) -> u64 {
        u64::try_from(self.world.root.ns_per_slot()).expect("a short slot") / 1_000_000
    }

    fn allow(&mut self, term: Term) {
        let permit = self.world.shared.views.vault.unlock(term);
        self.tell(ProducerInput::Allow { identity: leader().pubkey(), permit });
    }

    fn tell(&mut self, input: ProducerInput) {
        self.world.shared.writers.producer.send(input).expect("a reader");
        self.pass(0);
    }

    /// Steps through this many milliseconds.
    fn pass(&mut self, ms: u64) {
        for _ in 0..=ms {
            while self.stage.step(self.now).expect("no failure") == Progress::Busy {}
            self.now = self.now + Duration::from_millis(1);
        }
        while let Some(input) = self.shreds.pop() {
            let ShredInput::Own { slot, data, code, .. } = input else { panic!("its own shreds only") };
            assert!(!data.is_empty() && !code.is_empty());
            self.sent.extend(data.into_iter().map(|shred| (slot, shred)));
        }
    }

    /// The whole process does not run for this long.
    fn stop(&mut self, span: Duration) {
        let pulse = self.world.shared.views.pulse.clone();
        let now = self.world.shared.clock.now();
        pulse.beat(now);
        pulse.beat(now + span);
        self.now = self.now + span;
        self.pass(0);
    }

    /// The data shreds of a slot that left since the last look.
    fn take_sent(&mut self, slot: Slot) -> Vec<Shred> {
        let (of_slot, others) = std::mem::take(&mut self.sent).into_iter().partition(|(other, _)| *other == slot);
        self.sent = others;
        let of_slot: Vec<(Slot, Shred)> = of_slot;
        of_slot.into_iter().map(|(_, shred)| shred).collect()
    }

    /// Answers the claim that is out. The slot it was for.
    fn claim(&mut self, granted: bool) -> Option<Slot> {
        let PromiseInput::ClaimSlot(slot) = self.promise.pop()? else { panic!("claims only") };
        let answer = match self.store.claim_leader_slot(slot) {
            Ok(claim) if granted => ProducerInput::SlotClaimed(claim),
            Ok(_) | Err(_) => ProducerInput::SlotRefused(slot),
        };
        self.tell(answer);
        Some(slot)
    }

    /// What replay was told of our blocks.
    fn told(&self) -> Vec<String> {
        let name = |input| match input {
            ReplayInput::OwnBegun { slot, parent } => format!("begun {slot} on {parent}"),
            ReplayInput::OwnFrozen { bank, .. } => {
                assert!(bank.is_complete(), "slot {} lacks ticks: nobody would take this block", bank.slot());
                format!("frozen {}", bank.slot())
            }
            ReplayInput::OwnAbandoned { slot } => format!("abandoned {slot}"),
            ReplayInput::Progress(_) | ReplayInput::Root(_) | ReplayInput::DuplicateConfirmed(_) => "not ours".into(),
        };
        std::iter::from_fn(|| self.replay.pop()).map(name).collect()
    }

    fn halted(&self) -> bool {
        matches!(self.role.pop(), Some(RoleInput::ProducerHalted))
    }
}

fn is_closed(shreds: &[Shred]) -> bool {
    shreds.last().is_some_and(Shred::last_in_slot)
}

#[test]
fn a_claimed_slot_becomes_a_block_and_the_next_is_claimed_meanwhile() {
    let mut case = Case::producing();
    assert_eq!(case.claim(true), Some(2), "one slot ahead");
    case.pass(case.slot_ms());
    assert_eq!(case.told(), ["frozen 1"]);
    assert!(is_closed(&case.take_sent(1)));
    assert_eq!(case.world.count("blocks_produced"), 1);
}

#[test]
fn a_refused_claim_yields_no_shreds() {
    let mut case = Case::new();
    case.allow(Term(1));
    case.tell(ProducerInput::Reset { bank: case.world.root.clone(), propagated: true });
    assert_eq!(case.claim(false), Some(1));
    case.pass(case.slot_ms() / 2);
    assert!(case.told().is_empty() && case.sent.is_empty());
    // The next one is asked for, in time to begin with its slot.
    assert_eq!(case.claim(true), Some(2));
    case.pass(case.slot_ms() * 2);
    assert_eq!(case.told(), ["begun 2 on 0", "frozen 2"]);
    assert!(case.take_sent(1).is_empty() && is_closed(&case.take_sent(2)));
    assert_eq!(case.world.count("leader_slots_missed"), 1);
}

#[test]
fn without_leave_nothing_is_claimed_and_nothing_made() {
    let mut case = Case::new();
    case.tell(ProducerInput::Reset { bank: case.world.root.clone(), propagated: true });
    case.pass(case.slot_ms() * 2);
    assert!(case.promise.is_empty() && case.told().is_empty() && case.sent.is_empty());
}

#[test]
fn a_refused_signature_ends_the_block() {
    let mut case = Case::producing();
    case.world.shared.views.vault.lock();
    case.pass(case.slot_ms() * 3);
    assert_eq!(case.told(), ["abandoned 1"], "what nobody can have must not be voted on here");
    assert!(case.sent.is_empty(), "and nothing of it leaves");
    case.tell(ProducerInput::Halt { abandon: true });
    assert!(case.halted());
    assert!(case.sent.is_empty());
}

#[test]
fn a_claim_of_another_term_makes_no_block() {
    let mut case = Case::new();
    case.allow(Term(1));
    case.tell(ProducerInput::Reset { bank: case.world.root.clone(), propagated: true });
    // Claimed under term 1, but by now the permit is of term 2.
    let permit = case.world.shared.views.vault.unlock(Term(2));
    case.stage.identity = Some((leader().pubkey(), permit));
    assert_eq!(case.claim(true), Some(1));
    case.pass(case.slot_ms() / 2);
    assert!(case.told().is_empty() && case.sent.is_empty());
}

#[test]
fn halting_now_ends_the_block_and_is_answered() {
    let mut case = Case::producing();
    case.tell(ProducerInput::Halt { abandon: true });
    assert_eq!(case.told(), ["abandoned 1"]);
    assert!(case.halted());
    assert!(is_closed(&case.take_sent(1)), "receivers are told that no more comes");
    case.pass(case.slot_ms() * 3);
    assert!(case.told().is_empty() && case.sent.is_empty());
    assert_eq!(case.claim(true), Some(2), "asked for before the halt");
    case.pass(case.slot_ms() * 3);
    assert!(case.told().is_empty() && case.sent.is_empty() && case.promise.is_empty());
}

#[test]
fn halting_after_the_slot_finishes_it_first() {
    let mut case = Case::producing();
    case.tell(ProducerInput::Halt { abandon: false });
    assert!(!case.halted() && case.told().is_empty());
    case.pass(case.slot_ms());
    assert_eq!(case.told(), ["frozen 1"]);
    assert!(case.halted() && is_closed(&case.take_sent(1)));
    case.tell(ProducerInput::Halt { abandon: true });
    assert!(case.halted(), "asked again, it answers again");
}

#[test]
fn a_block_that_the_ledger_refuses_ends_and_the_next_slot_is_made() {
    let mut case = Case::producing();
    assert_eq!(case.claim(true), Some(2));
    case.tell(ProducerInput::OwnRefused(1));
    assert_eq!(case.told(), ["abandoned 1"]);
    assert!(case.take_sent(1).is_empty());
    // Nobody resets: the parent is what it was.
    case.pass(case.slot_ms() * 2);
    assert_eq!(case.told(), ["begun 2 on 0", "frozen 2"]);
    assert!(case.take_sent(1).is_empty() && is_closed(&case.take_sent(2)));
}

#[test]
fn a_leader_that_was_stopped_makes_a_later_slot_though_nobody_resets() {
    let mut case = Case::producing();
    assert_eq!(case.claim(true), Some(2));
    case.stop(Duration::from_secs(3));
    assert_eq!(case.told(), ["abandoned 1"]);
    let slot = case.claim(true).expect("the slot that time has reached");
    assert!(slot > 2, "not slot {slot}, whose time is over");
    case.pass(case.slot_ms() * 2);
    assert_eq!(case.told(), [format!("begun {slot} on 0"), format!("frozen {slot}")]);
    assert!(is_closed(&case.take_sent(slot)));
}

#[test]
fn a_stage_that_waited_for_a_disk_keeps_what_it_has_claimed() {
    let mut case = Case::producing();
    assert_eq!(case.claim(true), Some(2));
    case.world.shared.views.pulse.beat(case.world.shared.clock.now());
    // Longer than a process may stand still.
    case.now = case.now + Duration::from_millis(1_200);
    case.pass(0);
    assert_eq!(case.told(), ["frozen 1"], "late, and whole");
    assert!(is_closed(&case.take_sent(1)));
    assert_eq!(case.world.count("process_slept"), 0);
}

#[test]
fn the_run_after_this_one_is_found_wherever_it_begins() {
    let (world, _, _) = world();
    let (identity, schedule) = (leader().pubkey(), world.root.epoch_schedule());
    let end = schedule.get_last_slot_in_epoch(0);
    // Whoever leads every slot has one run an epoch.
    assert_eq!(next_leader_slots(&world.root, &identity, 1), Some((1, end)));
    assert_eq!(next_leader_slots(&world.root, &identity, end - 3), Some((end - 3, end)));
    let after = schedule.get_last_slot_in_epoch(1);
    assert_eq!(next_leader_slots(&world.root, &identity, end + 1), Some((end + 1, after)));
    assert_eq!(next_leader_slots(&world.root, &identity, after + 1), None, "not known yet");
    assert_eq!(next_leader_slots(&world.root, &VOTE, 1), None);
}

#[test]
fn a_slot_of_which_the_ledger_has_shreds_is_not_made() {
    let mut case = Case::new();
    let block = case.world.block(1);
    case.ledger.insert(block.data, Source::Turbine, wall_clock()).expect("a disk");
    case.allow(Term(1));
    case.tell(ProducerInput::Reset { bank: case.world.root.clone(), propagated: true });
    assert_eq!(case.claim(true), Some(1));
    assert_eq!(case.claim(true), Some(2));
    case.pass(case.slot_ms() * 2);
    assert_eq!(case.told(), ["begun 2 on 0", "frozen 2"]);
    assert!(case.take_sent(1).is_empty(), "there would be two blocks");
}
