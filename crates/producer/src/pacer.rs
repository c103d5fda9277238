//! Proof of history against the clock: which hashes and ticks are due, where a block's transactions are mixed in.
//!
//! Time and ticks are tied by one anchor: at `at` the chain stood at `start_height`, and every `tick_ns` later one more tick
//! is due. Before a block begins, a hashing chain runs along (the ticks of skipped slots must be real hashes and are kept
//! for the block that will need them); a sleeping chain does nothing, because its ticks cost one hash each when they are due.

use {
    crate::params::BlockParams,
    std::collections::VecDeque,
    tandem_entry::{Poh, PohEntry},
    tandem_types::{Hash, Tick},
};

/// A tick to put into the block, in order; `height` is the cluster's tick count after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacedTick {
    pub height: u64,
    pub entry: PohEntry,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// More is due now than the slice allowed: poll again, after looking for transactions to record.
    Behind,
    /// Nothing to do before this moment; `None`: nothing at all until a reset or a block.
    Wait(Option<Tick>),
    /// The block had its last tick.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("no block is in production")]
    NoBlock,
    #[error("the slot has ended")]
    SlotEnded,
}

pub struct Pacer {
    poh: Poh,
    params: BlockParams,
    at: Tick,
    start_hash: Hash,
    start_height: u64,
    height: u64,
    /// Ticks made before the block they belong to began.
    kept: VecDeque<PacedTick>,
    /// Height of the last tick of the block in production.
    block: Option<u64>,
}

impl Pacer {
    pub fn new(at: Tick, blockhash: Hash, tick_height: u64, params: BlockParams) -> Self {
        Self {
            poh: Poh::new(blockhash, usable(params.hashes_per_tick)),
            params,
            at,
            start_hash: blockhash,
            start_height: tick_height,
            height: tick_height,
            kept: VecDeque::new(),
            block: None,
        }
    }

    /// Another parent (`window::Effect::Anchor`): whatever was made on the old one is void.
    pub fn reset(&mut self, at: Tick, blockhash: Hash, tick_height: u64, params: BlockParams) {
        *self = Self::new(at, blockhash, tick_height, params);
    }

    /// Begins the block that ends at `max_tick_height`; `out` gets the ticks of skipped slots that are there already. Those
    /// that are not follow from `poll`, before anything can be recorded behind them.
    pub fn begin_block(&mut self, now: Tick, params: BlockParams, max_tick_height: u64, out: &mut Vec<PacedTick>) {
        if params.tick_ns() != self.params.tick_ns() {
            // The new slot length holds from here on, it does not rewrite how many ticks have passed so far.
            let passed = params.time_of_ticks(self.due_height(now).saturating_sub(self.start_height));
            self.at = Tick(now.0.saturating_sub(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)));
        }
        if usable(params.hashes_per_tick) != self.poh.hashes_per_tick() {
            // Ticks kept so far have the parent's hash count, and this block must have its own (poh_recorder.rs: set_bank).
            self.poh.reset(self.start_hash, usable(params.hashes_per_tick));
            self.height = self.start_height;
            self.kept.clear();
        }
        self.params = params;
        self.block = Some(max_tick_height);
        while let Some(tick) = self.kept.pop_front_if(|tick| tick.height <= max_tick_height) {
            out.push(tick);
        }
        self.kept.clear();
        if self.poh.hashes_per_tick().is_none() {
            self.tick_while_due(now, out);
        }
    }

    /// The block in production is whole; until the next reset nothing more is made.
    pub fn end_block(&mut self) {
        self.block = None;
        self.kept.clear();
    }

    /// The block in production is given up. A later one on the same parent needs the ticks that went into this one, as ticks of
    /// skipped slots: the chain starts again at the parent, and what the time passed since owes it is made anew.
    pub fn give_up_block(&mut self) {
        self.end_block();
        self.poh.reset(self.start_hash, self.poh.hashes_per_tick());
        self.height = self.start_height;
    }

    /// Makes what is due at `now`, at most `hashes_max` hashes of it.
    pub fn poll(&mut self, now: Tick, hashes_max: u64, out: &mut Vec<PacedTick>) -> Pace {
        if self.ended() {
            return Pace::Ended;
        }
        match self.poh.hashes_per_tick() {
            None if self.block.is_none() => Pace::Wait(None),
            None => {
                self.tick_while_due(now, out);
                if self.ended() { Pace::Ended } else { Pace::Wait(Some(self.time_of(self.height.saturating_add(1)))) }
            }
            Some(per_tick) => self.hash_while_due(now, per_tick, hashes_max, out),
        }
    }

    /// Mixes the hash of some transactions in. `out` may get the tick that had to come first; it precedes the entry.
    pub fn record(&mut self, mixin: Hash, out: &mut Vec<PacedTick>) -> Result<PohEntry, RecordError> {
        if self.block.is_none() {
            return Err(RecordError::NoBlock);
        }
        while !self.ended() {
            if let Some(entry) = self.poh.record(mixin) {
                return Ok(entry);
            }
            self.tick(out);
        }
        Err(RecordError::SlotEnded)
    }

    /// Height of the last tick made.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The last tick's hash, or the last entry's if one followed it.
    pub fn current_hash(&self) -> Hash {
        self.poh.current()
    }

    pub fn ended(&self) -> bool {
        self.block.is_some_and(|max| self.height >= max)
    }

    fn tick_while_due(&mut self, now: Tick, out: &mut Vec<PacedTick>) {
        let due = self.due_height(now);
        while self.height < due && !self.ended() {
            self.tick(out);
        }
    }

    fn hash_while_due(&mut self, now: Tick, per_tick: u64, hashes_max: u64, out: &mut Vec<PacedTick>) -> Pace {
        let due = self.due_hashes(now, per_tick);
        let mut left = hashes_max;
        loop {
            if self.ended() {
                return Pace::Ended;
            }
            if self.block.is_none() && self.kept.len() >= TICKS_KEPT_MAX {
                // We led nothing for so long that the cluster must have moved on; a reset will say to where.
                return Pace::Wait(None);
            }
            let remaining = self.poh.remaining_until_tick().unwrap_or(per_tick);
            let done = (self.height - self.start_height).saturating_mul(per_tick).saturating_add(per_tick - remaining);
            if done >= due {
                let slice = (per_tick / SLICES_PER_TICK).max(1).min(remaining);
                return Pace::Wait(Some(self.time_of_hash(done.saturating_add(slice), per_tick)));
            }
            if left == 0 {
                return Pace::Behind;
            }
            let count = (due - done).min(left);
            if remaining > 1 {
                let made = count.min(remaining - 1);
                self.poh.hash(made);
                left -= made;
            } else {
                self.tick(out);
                left -= 1;
            }
        }
    }

    /// Makes the tick; the caller has seen that only the tick's hash is left (or that the chain sleeps).
    fn tick(&mut self, out: &mut Vec<PacedTick>) {
        let Some(entry) = self.poh.tick() else { return };
        self.height += 1;
        let tick = PacedTick { height: self.height, entry };
        match self.block {
            Some(max) => {
                assert!(self.height <= max, "a block ends exactly at its last tick");
                out.push(tick);
            }
            None => self.kept.push_back(tick),
        }
    }

    fn due_height(&self, now: Tick) -> u64 {
        let passed = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.start_height.saturating_add(passed / self.params.tick_ns())
    }

    fn due_hashes(&self, now: Tick, per_tick: u64) -> u64 {
        let passed = now.since(self.at).as_nanos();
        let hashes = passed.saturating_mul(u128::from(per_tick)) / u128::from(self.params.tick_ns());
        u64::try_from(hashes).unwrap_or(u64::MAX)
    }

    fn time_of(&self, height: u64) -> Tick {
        self.at + self.params.time_of_ticks(height.saturating_sub(self.start_height))
    }

    fn time_of_hash(&self, hashes: u64, per_tick: u64) -> Tick {
        let nanos = (u128::from(hashes) * u128::from(self.params.tick_ns())).div_ceil(u128::from(per_tick));
        Tick(self.at.0.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Zero means "not checked" on the verifying side, and a tick of one hash has no room for transactions: both are made asleep.
fn usable(hashes_per_tick: Option<u64>) -> Option<u64> {
    hashes_per_tick.filter(|count| *count > 1)
}

/// About 1,000 slots of 64 ticks, 3 MB.
const TICKS_KEPT_MAX: usize = 64 * 1024;
/// How finely a waiting chain is woken: the work left when a tick falls due is at most this part of it.
const SLICES_PER_TICK: u64 = 8;

#[cfg(test)]
mod tests {
    use {
        super::*,
        proptest::prelude::*,
        tandem_entry::{Entry, TickVerifier},
    };

    const SLEEP: BlockParams = BlockParams { ticks_per_slot: 4, hashes_per_tick: None, ns_per_slot: 40_000_000 };
    /// 40 ms a slot after the 50 ms adjustment, 10 ms a tick.
    const HASHING: BlockParams = BlockParams { ticks_per_slot: 4, hashes_per_tick: Some(100), ns_per_slot: 90_000_000 };

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn heights(out: &mut Vec<PacedTick>) -> Vec<u64> {
        out.drain(..).map(|tick| tick.height).collect()
    }

    fn run_until_waiting(pacer: &mut Pacer, now: Tick, out: &mut Vec<PacedTick>) -> Pace {
        loop {
            match pacer.poll(now, 17, out) {
                Pace::Behind => {}
                pace @ (Pace::Wait(_) | Pace::Ended) => return pace,
            }
        }
    }

    #[test]
    fn a_sleeping_chain_does_nothing_between_ticks_and_catches_up_when_late() {
        let mut out = Vec::new();
        let mut pacer = Pacer::new(at(0), Hash::default(), 32, SLEEP);
        assert_eq!(pacer.poll(at(500), u64::MAX, &mut out), Pace::Wait(None));
        pacer.reset(at(1000), Hash::default(), 32, SLEEP);
        pacer.begin_block(at(1000), SLEEP, 36, &mut out);
        assert_eq!(pacer.poll(at(1000), u64::MAX, &mut out), Pace::Wait(Some(at(1010))));
        assert!(heights(&mut out).is_empty());
        assert_eq!(pacer.poll(at(1035), u64::MAX, &mut out), Pace::Wait(Some(at(1040))));
        assert_eq!(heights(&mut out), [33, 34, 35]);
        assert_eq!(pacer.record(Hash::default(), &mut out).map(|entry| entry.num_hashes), Ok(1));
        assert_eq!(pacer.poll(at(5000), u64::MAX, &mut out), Pace::Ended);
        assert_eq!(heights(&mut out), [36]);
        assert_eq!(pacer.record(Hash::default(), &mut out), Err(RecordError::SlotEnded));
    }

    #[test]
    fn ticks_of_skipped_slots_come_first() {
        for params in [SLEEP, HASHING] {
            let mut out = Vec::new();
            let mut pacer = Pacer::new(at(0), Hash::default(), 32, params);
            // Two slots (8-9, 80 ms) go by, then slot 10 begins.
            run_until_waiting(&mut pacer, at(85), &mut out);
            assert!(heights(&mut out).is_empty(), "nothing leaves before a block begins");
            assert_eq!(pacer.record(Hash::default(), &mut out), Err(RecordError::NoBlock));
            pacer.begin_block(at(85), params, 44, &mut out);
            assert_eq!(heights(&mut out), (33..=40).collect::<Vec<_>>());
            run_until_waiting(&mut pacer, at(200), &mut out);
            assert_eq!(heights(&mut out), [41, 42, 43, 44]);
        }
    }

    #[test]
    fn a_hashing_chain_works_in_slices_and_is_never_early() {
        let mut out = Vec::new();
        let mut pacer = Pacer::new(at(0), Hash::default(), 0, HASHING);
        pacer.begin_block(at(0), HASHING, 4, &mut out);
        assert_eq!(pacer.poll(at(10), 30, &mut out), Pace::Behind);
        assert_eq!(pacer.poll(at(10), 69, &mut out), Pace::Behind);
        assert!(heights(&mut out).is_empty());
        let Pace::Wait(Some(next)) = pacer.poll(at(10), 30, &mut out) else { panic!("all of 10 ms is done") };
        assert_eq!(heights(&mut out), [1]);
        assert!(next > at(10) && next <= at(12), "{next:?}");
        run_until_waiting(&mut pacer, at(19), &mut out);
        assert!(heights(&mut out).is_empty());
    }

    #[test]
    fn after_a_block_given_up_the_next_on_the_same_parent_has_all_its_ticks() {
        for params in [SLEEP, HASHING] {
            let mut out = Vec::new();
            let mut pacer = Pacer::new(at(0), Hash::default(), 32, params);
            pacer.begin_block(at(0), params, 36, &mut out);
            run_until_waiting(&mut pacer, at(25), &mut out);
            pacer.record(Hash::new_from_array([1; 32]), &mut out).expect("room");
            assert_eq!(heights(&mut out), [33, 34]);
            pacer.give_up_block();
            run_until_waiting(&mut pacer, at(45), &mut out);
            pacer.begin_block(at(45), params, 40, &mut out);
            run_until_waiting(&mut pacer, at(100), &mut out);
            let entries = entries(&out);
            assert_eq!(TickVerifier::new(8, params.hashes_per_tick).check(&entries, true), Ok(()));
            assert_eq!(heights(&mut out), (33..=40).collect::<Vec<_>>());
            let mut chain = Poh::new(Hash::default(), usable(params.hashes_per_tick));
            chain.hash(entries[0].num_hashes - 1);
            assert_eq!(chain.tick().map(|tick| tick.hash), Some(entries[0].hash), "from the parent's hash on");
        }
    }

    #[test]
    fn another_hash_count_voids_the_kept_ticks() {
        let mut out = Vec::new();
        let mut pacer = Pacer::new(at(0), Hash::default(), 0, HASHING);
        run_until_waiting(&mut pacer, at(40), &mut out);
        let child = BlockParams { hashes_per_tick: Some(50), ..HASHING };
        pacer.begin_block(at(40), child, 8, &mut out);
        assert!(heights(&mut out).is_empty());
        run_until_waiting(&mut pacer, at(40), &mut out);
        let entries = entries(&out);
        assert_eq!(TickVerifier::new(4, Some(50)).check(&entries, true), Ok(()));
    }

    #[test]
    fn a_shorter_slot_counts_from_where_it_begins() {
        let mut out = Vec::new();
        let mut pacer = Pacer::new(at(1000), Hash::default(), 32, SLEEP);
        let half = BlockParams { ns_per_slot: 20_000_000, ..SLEEP };
        pacer.begin_block(at(1040), half, 40, &mut out);
        assert_eq!(heights(&mut out), [33, 34, 35, 36]);
        assert_eq!(pacer.poll(at(1040), u64::MAX, &mut out), Pace::Wait(Some(at(1045))));
    }

    #[test]
    fn a_hashing_chain_keeps_a_bounded_number_of_ticks() {
        let params = BlockParams { ticks_per_slot: 64, hashes_per_tick: Some(2), ns_per_slot: 400_000_000 };
        let mut out = Vec::new();
        let mut pacer = Pacer::new(at(0), Hash::default(), 0, params);
        assert_eq!(pacer.poll(at(10_000_000), u64::MAX, &mut out), Pace::Wait(None));
        assert_eq!(pacer.kept.len(), TICKS_KEPT_MAX);
    }

    fn entries(ticks: &[PacedTick]) -> Vec<Entry> {
        ticks
            .iter()
            .map(|tick| Entry { num_hashes: tick.entry.num_hashes, hash: tick.entry.hash, transactions: vec![] })
            .collect()
    }

    proptest! {
        /// Whatever the timing of polls and records, the block is one that the cluster's tick rules accept.
        #[test]
        fn every_block_verifies(
            hashes in prop_oneof![Just(None), (2u64..40).prop_map(Some)],
            skipped in 0u64..3,
            steps in proptest::collection::vec((0u64..9, 0usize..4, 1u64..60), 1..60),
        ) {
            let params = BlockParams { ticks_per_slot: 4, hashes_per_tick: hashes, ns_per_slot: 90_000_000 };
            let start = Hash::new_from_array([7; 32]);
            let max = 8 + 4 * (skipped + 1);
            let mut out = Vec::new();
            let mut pacer = Pacer::new(at(0), start, 8, params);
            pacer.poll(at(skipped * 40), u64::MAX, &mut out);
            let mut now = skipped * 40;
            // (num_hashes, hash, mixin): the block as it would be sent.
            let mut block: Vec<(PohEntry, Option<Hash>)> = Vec::new();
            let take = |out: &mut Vec<PacedTick>, block: &mut Vec<(PohEntry, Option<Hash>)>| {
                block.extend(out.drain(..).map(|tick| (tick.entry, None)));
            };
            pacer.begin_block(at(now), params, max, &mut out);
            take(&mut out, &mut block);
            for (wait, records, slice) in steps {
                now += wait;
                pacer.poll(at(now), slice, &mut out);
                take(&mut out, &mut block);
                for number in 0..records {
                    let mixin = Hash::new_from_array([u8::try_from(number).unwrap(); 32]);
                    let entry = pacer.record(mixin, &mut out);
                    take(&mut out, &mut block);
                    if let Ok(entry) = entry {
                        block.push((entry, Some(mixin)));
                    }
                }
            }
            while pacer.poll(at(now + 10_000), 1000, &mut out) == Pace::Behind {}
            take(&mut out, &mut block);
            prop_assert!(pacer.ended());
            prop_assert_eq!(pacer.height(), max);
            prop_assert_eq!(block.iter().filter(|(_, mixin)| mixin.is_none()).count() as u64, 4 * (skipped + 1));
            prop_assert!(block.last().is_some_and(|(_, mixin)| mixin.is_none()));
            let mut chain = Poh::new(start, None);
            let mut in_tick = 0;
            for (entry, mixin) in &block {
                chain.hash(entry.num_hashes - 1);
                in_tick += entry.num_hashes;
                let made = match mixin {
                    Some(mixin) => chain.record(*mixin).unwrap(),
                    None => {
                        if let Some(per_tick) = hashes {
                            prop_assert_eq!(in_tick, per_tick);
                        }
                        in_tick = 0;
                        chain.tick().unwrap()
                    }
                };
                prop_assert_eq!(made.hash, entry.hash);
            }
        }
    }
}
