use super::*;

/// One line a step, as the protocol is told: milliseconds, what happens, what comes of it. 10 ms a tick, 4 ticks a slot.
struct Run {
    window: Window,
}

impl Run {
    fn new() -> Self {
        Self::with(true)
    }

    fn with(delay_for_pending_fork: bool) -> Self {
        let config = WindowConfig { delay_for_pending_fork, claim_lead: Duration::from_millis(15) };
        let mut run = Self { window: Window::new(config) };
        run.at(0, Event::Allow, "");
        run
    }

    #[track_caller]
    fn at(&mut self, ms: u64, event: Event, expect: &str) {
        let mut out = Vec::new();
        self.window.handle(Tick::from_millis(ms), event, &mut out);
        let told: Vec<String> = out.iter().map(tell).collect();
        assert_eq!(told.join(", "), expect);
    }

    #[track_caller]
    fn due(&self, ms: Option<u64>) {
        assert_eq!(self.window.next_deadline().map(Tick::as_millis), ms);
    }
}

fn tell(effect: &Effect) -> String {
    match effect {
        Effect::Anchor { tick_height, .. } => format!("anchor {tick_height}"),
        Effect::ClaimSlot { slot } => format!("claim {slot}"),
        Effect::WantRun { from, .. } => format!("run from {from}?"),
        Effect::Start { slot, parent, max_tick_height } => format!("start {slot} on {parent} to {max_tick_height}"),
        Effect::Abandon { slot, why } => format!("abandon {slot} {why:?}"),
        Effect::Missed { slot, why } => format!("missed {slot} {why:?}"),
        Effect::Halted => "halted".to_owned(),
    }
}

const PARAMS: BlockParams = BlockParams { ticks_per_slot: 4, hashes_per_tick: None, ns_per_slot: 40_000_000 };

fn reset(parent: Slot, mine: (Slot, Slot)) -> Event {
    Event::Reset(plain(parent, mine))
}

fn plain(parent: Slot, mine: (Slot, Slot)) -> Reset {
    Reset {
        parent,
        parent_blockhash: Hash::new_from_array([u8::try_from(parent % 256).expect("below 256"); 32]),
        parent_was_mine: false,
        others_slot_before: mine.0.checked_sub(1),
        propagated: true,
        mine: Some(mine),
        params: PARAMS,
    }
}

fn claimed(slot: Slot) -> Event {
    Event::SlotClaimed { slot }
}

#[test]
fn a_window_of_four_built_on_the_slot_before_it() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(5, claimed(9), "");
    run.at(42, Event::Finished { slot: 8 }, "");
    run.at(43, reset(8, (9, 11)), "anchor 36, start 9 on 8 to 40, claim 10");
    run.at(45, claimed(10), "");
    run.at(80, Event::Finished { slot: 9 }, "");
    run.at(81, reset(9, (10, 11)), "anchor 40, start 10 on 9 to 44, claim 11");
    run.at(82, claimed(11), "");
    run.at(120, Event::Finished { slot: 10 }, "");
    run.at(121, reset(10, (11, 11)), "anchor 44, start 11 on 10 to 48");
    run.at(160, Event::Finished { slot: 11 }, "");
    run.at(161, reset(11, (40, 43)), "anchor 48");
}

#[test]
fn never_started_without_its_own_claim() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(1, Event::Timer, "");
    run.at(10, claimed(9), "");
    run.at(20, Event::SlotRefused { slot: 8 }, "claim 9");
    // The claim of 9 is there before time reaches 9, but 8 stays refused.
    run.at(21, claimed(9), "");
    run.due(Some(40));
    run.at(40, Event::Timer, "missed 8 Refused, start 9 on 7 to 40, claim 10");
}

#[test]
fn a_claim_that_comes_late_makes_a_later_slot() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(45, claimed(8), "missed 8 Unclaimed, claim 9");
    run.at(46, claimed(9), "start 9 on 7 to 40, claim 10");
}

#[test]
fn waits_for_grace_when_the_previous_leader_is_not_done() {
    // Slots 8-11 are the previous leader's, 9 is the parent, 12-15 are mine: two slots of grace (half of 4 slots).
    let mut run = Run::new();
    run.at(0, reset(9, (12, 15)), "anchor 40");
    run.due(Some(65));
    run.at(65, Event::Timer, "claim 12");
    run.at(66, claimed(12), "");
    run.due(Some(80));
    run.at(80, Event::Timer, "");
    run.at(120, Event::Timer, "claim 13");
    run.at(121, claimed(13), "");
    run.due(Some(160));
    // Grace is over two slots later: time has reached slot 14, so 12 and 13 are gone.
    run.at(160, Event::Timer, "missed 12 Late, missed 13 Late, claim 14");
    run.at(161, claimed(14), "start 14 on 9 to 60, claim 15");
}

#[test]
fn grace_ends_when_the_previous_leaders_last_block_arrives() {
    let mut run = Run::new();
    run.at(0, reset(9, (12, 15)), "anchor 40");
    run.at(70, Event::Timer, "claim 12");
    run.at(71, claimed(12), "");
    run.at(90, reset(11, (12, 15)), "anchor 48, start 12 on 11 to 52, claim 13");
}

#[test]
fn no_grace_after_an_absent_leader_unless_its_fork_is_pending() {
    let far = || reset(3, (12, 15));
    let mut run = Run::new();
    run.at(0, far(), "anchor 16");
    run.at(310, Event::Timer, "claim 12");
    run.at(311, claimed(12), "");
    run.at(320, Event::Timer, "start 12 on 3 to 52, claim 13");

    let mut run = Run::new();
    run.at(0, far(), "anchor 16");
    run.at(310, Event::Timer, "claim 12");
    run.at(311, claimed(12), "");
    run.at(312, Event::PendingForks(vec![11]), "");
    run.at(320, Event::Timer, "");
    run.at(330, Event::PendingForks(vec![]), "start 12 on 3 to 52, claim 13");

    let mut run = Run::with(false);
    run.at(0, far(), "anchor 16");
    run.at(310, Event::PendingForks(vec![11]), "claim 12");
    run.at(311, claimed(12), "");
    run.at(320, Event::Timer, "start 12 on 3 to 52, claim 13");
}

#[test]
fn my_own_parent_needs_no_grace() {
    let mut run = Run::new();
    let mine = Reset { parent_was_mine: true, others_slot_before: Some(11), ..plain(9, (12, 15)) };
    run.at(0, Event::Reset(mine), "anchor 40");
    run.at(70, Event::Timer, "claim 12");
    run.at(71, claimed(12), "");
    run.at(80, Event::Timer, "start 12 on 9 to 52, claim 13");
}

#[test]
fn a_slot_that_has_a_block_is_left_alone() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(1, Event::BlockExists(8), "");
    run.at(2, claimed(8), "claim 9");
    run.at(3, claimed(9), "");
    run.at(40, Event::Timer, "missed 8 Exists, start 9 on 7 to 40, claim 10");
}

#[test]
fn after_a_block_that_broke_the_next_slot_is_made_on_the_same_parent() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(3, claimed(9), "");
    run.at(10, Event::Broken { slot: 7 }, "");
    run.at(12, Event::Broken { slot: 8 }, "");
    run.at(20, reset(7, (8, 11)), "");
    run.at(40, Event::Timer, "start 9 on 7 to 40, claim 10");
    // Who waits for the end of the slot is told, also when the end is this.
    run.at(42, Event::Halt(Halt::AfterSlot), "");
    run.at(50, Event::Broken { slot: 9 }, "halted");
}

#[test]
fn another_fork_winning_abandons_the_slot_and_it_is_not_made_again() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(3, claimed(9), "");
    run.at(10, reset(7, (8, 11)), "");
    run.at(12, reset(5, (8, 11)), "abandon 8 OtherFork, anchor 24");
    // Time counts from the reset: slot 8 comes two slots later, and was ours already. (Slot 5 is not the last of the
    // previous leader, so there is grace: until slot 10.)
    run.at(92, Event::Timer, "");
    run.at(172, Event::Timer, "missed 9 Late, claim 10");
    run.at(173, claimed(10), "start 10 on 5 to 44, claim 11");
}

#[test]
fn halting_finishes_or_abandons_and_claims_of_the_old_term_are_void() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(3, claimed(9), "");
    run.at(4, Event::Halt(Halt::AfterSlot), "");
    run.at(40, Event::Finished { slot: 8 }, "halted");
    run.at(41, reset(8, (9, 11)), "anchor 36");
    run.at(42, claimed(9), "");
    run.at(50, Event::Allow, "claim 9");
    run.at(51, claimed(9), "start 9 on 8 to 40, claim 10");
    run.at(52, Event::Halt(Halt::Now), "abandon 9 Halted, halted");
    run.at(53, Event::Halt(Halt::AfterSlot), "halted");
    run.at(54, claimed(10), "");
}

#[test]
fn after_a_sleep_nothing_claimed_before_is_used() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(3, claimed(9), "");
    run.at(60, Event::Slept, "abandon 8 Slept, claim 9");
    run.at(61, Event::Finished { slot: 8 }, "");
    run.at(63, Event::Slept, "claim 9");
    run.at(64, Event::SlotRefused { slot: 9 }, "claim 10");
    // One that is on its way out answers.
    run.at(103, claimed(10), "missed 9 Refused, start 10 on 7 to 44, claim 11");
    run.at(104, Event::Halt(Halt::AfterSlot), "");
    run.at(200, Event::Slept, "abandon 10 Slept, halted, missed 11 Late, run from 13?");
}

#[test]
fn a_halted_slot_that_loses_to_another_fork_ends_the_wait_for_it() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(4, Event::Halt(Halt::AfterSlot), "");
    run.at(20, reset(6, (8, 11)), "abandon 8 OtherFork, halted, anchor 28");
    run.at(40, Event::Finished { slot: 8 }, "");
}

#[test]
fn an_unpropagated_leader_waits() {
    let mut run = Run::new();
    run.at(0, Event::Reset(Reset { propagated: false, ..plain(7, (8, 11)) }), "anchor 32");
    run.at(5, reset(7, (8, 11)), "claim 8");
    run.at(6, claimed(8), "start 8 on 7 to 36, claim 9");
}

#[test]
fn a_window_that_went_by_is_told_once() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 9)), "anchor 32, claim 8");
    run.at(500, Event::Timer, "missed 8 Unclaimed, missed 9 Unclaimed, run from 20?");
    run.at(510, Event::Timer, "");
    run.due(None);
}

fn run_is(parent: Slot, from: Slot, mine: Option<(Slot, Slot)>) -> Event {
    Event::Run(super::Run { parent, from, mine, others_slot_before: mine.and_then(|(first, _)| first.checked_sub(1)) })
}

#[test]
fn a_leader_who_sleeps_through_its_run_makes_the_next_one_though_nobody_resets() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    // Time counted on from the parent: slot 15.
    run.at(300, Event::Slept, "abandon 8 Slept, missed 9 Late, missed 10 Late, missed 11 Late, run from 15?");
    run.at(300, run_is(7, 15, Some((20, 23))), "");
    run.due(Some(465));
    run.at(465, Event::Timer, "claim 20");
    run.at(470, claimed(20), "");
    run.at(480, Event::Timer, "start 20 on 7 to 84, claim 21");
}

#[test]
fn whoever_leads_every_slot_goes_on_after_a_sleep_wherever_its_epoch_ends() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 13)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(90, Event::Slept, "abandon 8 Slept, missed 9 Late, claim 10");
    run.at(95, Event::SlotRefused { slot: 10 }, "claim 11");
    run.at(96, claimed(11), "");
    run.at(120, Event::Timer, "missed 10 Refused, start 11 on 7 to 48, claim 12");
    // Over the end of the epoch, where the run is cut off.
    run.at(300, Event::Slept, "abandon 11 Slept, missed 12 Late, missed 13 Late, run from 15?");
    run.at(300, run_is(7, 15, Some((15, 47))), "claim 15");
    run.at(301, claimed(15), "start 15 on 7 to 64, claim 16");
}

#[test]
fn past_the_end_of_the_schedule_time_starts_again_at_the_parent() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 11)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(5_000, Event::Slept, "abandon 8 Slept, missed 9 Late, missed 10 Late, missed 11 Late, run from 133?");
    run.at(5_000, run_is(7, 133, None), "anchor 32, run from 8?, claim 9");
    // Slot 8 was begun and is not made again, 9 follows when its time has come.
    run.at(5_000, run_is(7, 8, Some((8, 11))), "");
    run.at(5_001, claimed(9), "");
    run.due(Some(5_040));
    run.at(5_040, Event::Timer, "start 9 on 7 to 40, claim 10");
}

#[test]
fn no_more_slots_are_skipped_than_a_block_holds_the_ticks_of() {
    let mut run = Run::new();
    let far = 8 + SKIPPED_SLOTS_MAX;
    run.at(0, reset(7, (8, far + 9_000)), "anchor 32, claim 8");
    run.at(2, Event::SlotRefused { slot: 8 }, "claim 9");
    let late = (SKIPPED_SLOTS_MAX + 1) * 40;
    let mut out = Vec::new();
    run.window.handle(Tick::from_millis(late), Event::Slept, &mut out);
    assert_eq!(out.iter().map(tell).next_back(), Some(format!("run from {}?", far + 1)));
    run.at(late, run_is(7, far + 1, Some((far + 1, far + 9_000))), "anchor 32, run from 8?, claim 8");
    run.at(late, run_is(7, 8, Some((8, far + 9_000))), "");
}

#[test]
fn a_run_that_does_not_exist_is_asked_for_once() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 9)), "anchor 32, claim 8");
    run.at(500, Event::Timer, "missed 8 Unclaimed, missed 9 Unclaimed, run from 20?");
    run.at(500, run_is(7, 20, None), "anchor 32, run from 8?");
    run.at(500, run_is(7, 8, None), "");
    run.at(9_000, Event::Timer, "");
    run.due(None);
    // An answer to an older question is none.
    run.at(9_001, run_is(7, 20, Some((20, 21))), "");
    run.at(9_002, reset(9, (12, 15)), "anchor 40");
}

#[test]
fn a_finished_block_that_never_becomes_the_parent_does_not_end_the_leading() {
    let mut run = Run::new();
    run.at(0, reset(7, (8, 19)), "anchor 32, claim 8");
    run.at(2, claimed(8), "start 8 on 7 to 36, claim 9");
    run.at(3, claimed(9), "");
    run.at(40, Event::Finished { slot: 8 }, "");
    // It came too late, or another fork is heavier: the parent is what it was. Four slots are waited for news.
    run.at(41, reset(7, (8, 19)), "");
    run.due(Some(200));
    run.at(199, Event::Timer, "");
    run.at(200, Event::Timer, "missed 9 Late, missed 10 Late, missed 11 Late, missed 12 Late, claim 13");
    run.at(201, claimed(13), "start 13 on 7 to 56, claim 14");
}

#[test]
fn naming_the_same_parent_again_does_not_stop_time() {
    let mut run = Run::new();
    run.at(0, reset(9, (12, 15)), "anchor 40");
    run.at(60, reset(9, (12, 15)), "");
    run.at(70, Event::Timer, "claim 12");
}

mod random {
    use {super::*, proptest::prelude::*};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

        /// Whatever happens in whatever order: a slot is started only when allowed, on its own claim, above its parent, once.
        #[test]
        fn never_starts_what_it_may_not(steps in proptest::collection::vec((0u64..60, event()), 1..200)) {
            let mut window = Window::new(WindowConfig { delay_for_pending_fork: true, claim_lead: Duration::from_millis(15) });
            let (mut now, mut allowed) = (0, true);
            window.handle(Tick::ZERO, Event::Allow, &mut Vec::new());
            let (mut requested, mut granted) = (BTreeSet::new(), BTreeSet::new());
            let mut started = None;
            let mut open = None;
            let mut existing = BTreeSet::new();
            let (mut parent, mut wanted) = (None, None);
            for (wait, event) in steps {
                now += wait;
                // Blocks appear around where we are; most answers are those to what was asked.
                let around = started.unwrap_or(8) - 2;
                let event = match event {
                    Event::Reset(reset) => {
                        let (first, last) = reset.mine.expect("always some");
                        let parent = around + reset.parent % 5;
                        let ahead = |slot| parent + (slot - reset.parent);
                        let moved = plain(parent, (ahead(first), ahead(last)));
                        let Reset { parent_was_mine, propagated, .. } = reset;
                        Event::Reset(Reset { parent_was_mine, propagated, ..moved })
                    }
                    Event::Run(run) => match wanted.take() {
                        Some((parent, from)) => {
                            let ahead = |slot: Slot| from + slot % 4;
                            let mine = run.mine.map(|(first, last)| (ahead(first), ahead(first) + last % 6));
                            Event::Run(super::super::Run { parent, from, mine, others_slot_before: None })
                        }
                        None => Event::Run(run),
                    }
                    Event::BlockExists(slot) => Event::BlockExists(around + slot % 5),
                    Event::SlotClaimed { slot: 8..16 } if !requested.is_empty() => {
                        Event::SlotClaimed { slot: *requested.first().expect("not empty") }
                    }
                    Event::Finished { slot: 8..16 } if open.is_some() => Event::Finished { slot: open.expect("some") },
                    Event::Broken { slot: 8..16 } if open.is_some() => Event::Broken { slot: open.expect("some") },
                    other => other,
                };
                match &event {
                    Event::Allow => allowed = true,
                    Event::Halt(_) => { allowed = false; requested.clear(); granted.clear(); }
                    Event::Slept => { requested.clear(); granted.clear(); }
                    // The store answers only what it was asked in this term.
                    Event::SlotClaimed { slot } => {
                        if !requested.remove(slot) { continue; }
                        granted.insert(*slot);
                    }
                    Event::SlotRefused { slot } => if !requested.remove(slot) { continue; },
                    Event::Finished { slot } => if open == Some(*slot) { open = None; },
                    Event::Broken { slot } => {
                        existing.insert(*slot);
                        if open == Some(*slot) { open = None; }
                    }
                    Event::Reset(reset) => existing = existing.split_off(&(reset.parent + 1)),
                    Event::BlockExists(slot) => { existing.insert(*slot); }
                    Event::Timer | Event::PendingForks(_) | Event::Run(_) => {}
                }
                let told_parent = match &event { Event::Reset(reset) => Some(reset.parent), _ => None };
                // Naming our own block as the parent is as good as `Finished`.
                if told_parent.is_some() && told_parent == open {
                    open = None;
                }
                let mut out = Vec::new();
                window.handle(Tick::from_millis(now), event, &mut out);
                for effect in out {
                    match effect {
                        Effect::ClaimSlot { slot } => {
                            prop_assert!(allowed);
                            prop_assert!(requested.insert(slot));
                            prop_assert_eq!(requested.len(), 1);
                        }
                        Effect::Start { slot, parent, max_tick_height } => {
                            prop_assert!(allowed && granted.remove(&slot) && slot > parent);
                            prop_assert!(started.is_none_or(|before| slot > before));
                            prop_assert!(!existing.contains(&slot));
                            prop_assert_eq!(open, None);
                            prop_assert_eq!(max_tick_height, (slot + 1) * 4);
                            started = Some(slot);
                            open = Some(slot);
                        }
                        Effect::Abandon { slot, .. } => {
                            prop_assert_eq!(open, Some(slot));
                            open = None;
                        }
                        Effect::Anchor { tick_height, .. } => {
                            prop_assert_eq!(open, None);
                            prop_assert_eq!(tick_height / 4 - 1, told_parent.or(parent).expect("an anchor has a parent"));
                        }
                        Effect::WantRun { parent: of, from } => {
                            prop_assert_eq!(told_parent.or(parent), Some(of));
                            wanted = Some((of, from));
                        }
                        Effect::Halted => prop_assert!(open.is_none() && !allowed),
                        Effect::Missed { .. } => {}
                    }
                }
                parent = told_parent.or(parent);
                prop_assert_eq!(window.producing(), open);
                if let Some(due) = window.next_deadline() {
                    prop_assert!(due > Tick::from_millis(now));
                }
            }
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        let slot = || 8u64..20;
        prop_oneof![
            6 => (3u64..18, 1u64..6, 0u64..4, any::<bool>(), any::<bool>()).prop_map(|(parent, ahead, more, mine, propagated)| {
                let first = parent + ahead;
                let base = plain(parent, (first, first + more));
                Event::Reset(Reset { parent_was_mine: mine, propagated, ..base })
            }),
            8 => Just(Event::Timer),
            10 => slot().prop_map(|slot| Event::SlotClaimed { slot }),
            1 => slot().prop_map(|slot| Event::SlotRefused { slot }),
            1 => slot().prop_map(Event::BlockExists),
            1 => Just(Event::Slept),
            4 => (slot(), slot(), proptest::option::of((slot(), slot()))).prop_map(|(parent, from, mine)| {
                Event::Run(super::super::Run { parent, from, mine, others_slot_before: None })
            }),
            1 => proptest::collection::vec(slot(), 0..3).prop_map(Event::PendingForks),
            4 => slot().prop_map(|slot| Event::Finished { slot }),
            1 => slot().prop_map(|slot| Event::Broken { slot }),
            3 => Just(Event::Allow),
            1 => prop_oneof![Just(Halt::AfterSlot), Just(Halt::Now)].prop_map(Event::Halt),
        ]
    }
}
