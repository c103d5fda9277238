//! Random trees, delivered in random order, executed by a mock that answers when it likes. Checked: what is begun is
//! begun on a frozen parent, parts follow each other, nothing runs twice; and in the end every block that can be
//! frozen is.

use {
    crate::{Config, Effect, Event, Replay},
    proptest::prelude::*,
    std::collections::{BTreeMap, BTreeSet},
    tandem_types::{Hash, Slot},
};

#[derive(Default)]
struct Executor {
    frozen: BTreeSet<Slot>,
    /// Banks that are open, and how far they were executed.
    banks: BTreeMap<Slot, u32>,
    asked: Vec<Event>,
    dumped: Vec<Slot>,
    root: Slot,
}

struct Ledger {
    /// Parent and number of components of each slot, and whether it is invalid.
    blocks: BTreeMap<Slot, (Slot, u32, bool)>,
}

fn hash(slot: Slot) -> Hash {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&slot.to_le_bytes());
    Hash::new_from_array(bytes)
}

impl Executor {
    fn perform(&mut self, effects: Vec<Effect>, ledger: &Ledger, config: &Config) {
        for effect in effects {
            match effect {
                Effect::Begin { slot, parent } => {
                    assert!(parent == self.root || self.frozen.contains(&parent), "{slot} on {parent}, not frozen");
                    assert!(self.banks.insert(slot, 0).is_none(), "{slot} is begun twice");
                }
                Effect::Execute { slot, from, upto, last } => {
                    let through = self.banks.get_mut(&slot).expect("a bank");
                    assert!(*through == from && from < upto, "parts follow each other");
                    *through = upto;
                    let (_, components, is_bad) = ledger.blocks[&slot];
                    assert_eq!(last, upto == components);
                    let fails = is_bad && last;
                    let bad = Event::Failed { slot, reason: String::new() };
                    self.ask(slot, if fails { bad } else { Event::Executed { slot, through: upto } }, config);
                }
                Effect::Finish { slot } => {
                    assert_eq!(self.banks[&slot], ledger.blocks[&slot].1, "all parts are executed");
                    self.ask(slot, Event::Frozen { slot, hash: hash(slot) }, config);
                }
                Effect::Drop { slot } => {
                    self.banks.remove(&slot);
                    self.frozen.remove(&slot);
                }
                Effect::Dead { slot } => assert!(ledger.blocks[&slot].2),
                Effect::Dump { slot, .. } => self.dumped.push(slot),
                Effect::MissingParent { .. } | Effect::Rescan | Effect::Ignored { .. } => {}
                Effect::GaveUp { slot, .. } => panic!("{slot} was dumped once only"),
            }
        }
    }

    fn ask(&mut self, slot: Slot, answer: Event, config: &Config) {
        let is_open = |event: &Event| match event {
            Event::Executed { slot: at, .. } | Event::Frozen { slot: at, .. } | Event::Failed { slot: at, .. } => {
                *at == slot
            }
            _ => false,
        };
        assert!(!self.asked.iter().any(is_open), "{slot} has two questions open");
        self.asked.push(answer);
        assert!(self.asked.len() <= config.executing_max);
    }

    fn answer(&mut self, which: usize) -> Event {
        let event = self.asked.swap_remove(which % self.asked.len());
        if let Event::Frozen { slot, .. } = event
            && self.banks.contains_key(&slot)
        {
            self.frozen.insert(slot);
        }
        event
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_can_be_frozen_is_frozen_in_order(
        shape in prop::collection::vec((1usize..5, 1u32..5, 0u8..100), 1..30),
        order in prop::collection::vec(any::<u16>(), 200..400),
        executing_max in 1usize..4,
        dump in any::<bool>(),
        root_at in 0usize..400,
    ) {
        let config = Config { executing_max, unrooted_max: 1000, ahead_max: 1000 };
        let mut slots: Vec<Slot> = vec![0];
        let mut ledger = Ledger { blocks: BTreeMap::new() };
        for (at, (back, components, luck)) in shape.iter().enumerate() {
            let slot = at as Slot * 2 + 1;
            let parent = slots[slots.len().saturating_sub(*back)];
            ledger.blocks.insert(slot, (parent, *components, *luck < 10));
            slots.push(slot);
        }
        let mut replay = Replay::new(config, 0, hash(0));
        let mut executor = Executor::default();
        // What is left to tell: first that the slot exists, then component by component.
        let mut left: Vec<(Slot, Option<u32>)> = ledger.blocks.keys().map(|slot| (*slot, None)).collect();
        let mut step = 0;
        let mut dumped = !dump;
        while !left.is_empty() || !executor.asked.is_empty() {
            let choice = usize::from(order[step % order.len()]);
            step += 1;
            let mut out = Vec::new();
            if left.is_empty() || (choice % 3 == 0 && !executor.asked.is_empty()) {
                replay.handle(executor.answer(choice / 3), &mut out);
            } else {
                let at = choice / 3 % left.len();
                let (slot, told) = left[at];
                let (parent, components, _) = ledger.blocks[&slot];
                let upto = told.map_or(0, |told| told + 1);
                if upto == components { left.swap_remove(at); } else { left[at].1 = Some(upto); }
                if told.is_none() { replay.handle(Event::Seen { slot, parent }, &mut out); }
                if slot > replay.root() && upto > 0 {
                    replay.handle(Event::Ready { slot, upto, complete: upto == components }, &mut out);
                }
            }
            executor.perform(std::mem::take(&mut out), &ledger, &config);
            // Once, somewhere, the cluster disagrees about a frozen block; we get the right version with the same data.
            let unrooted: Vec<Slot> = executor.frozen.iter().copied().filter(|slot| *slot > replay.root()).collect();
            if !dumped && unrooted.len() > 2 {
                dumped = true;
                let slot = unrooted[choice % 2];
                replay.handle(Event::DuplicateConfirmed { slot, hash: Hash::default() }, &mut out);
                executor.perform(std::mem::take(&mut out), &ledger, &config);
                prop_assert_eq!(std::mem::take(&mut executor.dumped), vec![slot]);
                left.retain(|(at, _)| *at != slot);
                // The version that the cluster has never comes: what hangs on it must stay unexecuted.
                ledger.blocks.get_mut(&slot).expect("a block").2 = true;
            } else if step == root_at
                && let Some(slot) = executor.frozen.first().copied()
            {
                replay.handle(Event::Root(slot), &mut out);
                executor.root = slot;
                executor.perform(std::mem::take(&mut out), &ledger, &config);
            }
        }
        let root = replay.root();
        let is_good = |slot: &Slot| {
            let path: Vec<Slot> = std::iter::successors(Some(*slot), |at| ledger.blocks.get(at).map(|block| block.0))
                .take_while(|at| *at != root && *at != 0).collect();
            let reaches = path.last().is_none_or(|at| ledger.blocks[at].0 == root);
            reaches && path.iter().all(|at| !ledger.blocks[at].2)
        };
        let wanted: BTreeSet<Slot> = ledger.blocks.keys().copied().filter(|slot| *slot > root && is_good(slot)).collect();
        let got: BTreeSet<Slot> = executor.frozen.into_iter().filter(|slot| *slot > root).collect();
        prop_assert_eq!(got, wanted);
    }
}
