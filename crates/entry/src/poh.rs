//! The leader's side of the chain: hash, mix in, tick.

use {
    crate::chain::{hash_times, sha256},
    tandem_types::Hash,
};

/// A hash chain that knows when the next tick is due. Without a hash count ("sleep") a tick may come at any time and
/// pacing is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poh {
    hash: [u8; 32],
    /// Hashes since the last entry.
    num_hashes: u64,
    /// u64::MAX stands for "no hash count".
    hashes_per_tick: u64,
    remaining: u64,
    /// Ticks since the last reset.
    ticks: u64,
}

/// What the chain contributes to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PohEntry {
    pub num_hashes: u64,
    pub hash: Hash,
}

impl Poh {
    /// A tick of one hash would leave no room for transactions; agave refuses it too (entry/src/poh.rs).
    pub fn new(hash: Hash, hashes_per_tick: Option<u64>) -> Self {
        let hashes_per_tick = hashes_per_tick.unwrap_or(NO_HASH_COUNT);
        assert!(hashes_per_tick > 1, "a tick needs at least two hashes");
        Self { hash: hash.to_bytes(), num_hashes: 0, hashes_per_tick, remaining: hashes_per_tick, ticks: 0 }
    }

    /// Starts again from `hash`, as after a new parent block.
    pub fn reset(&mut self, hash: Hash, hashes_per_tick: Option<u64>) {
        *self = Self::new(hash, hashes_per_tick);
    }

    pub fn current(&self) -> Hash {
        Hash::new_from_array(self.hash)
    }

    pub fn hashes_per_tick(&self) -> Option<u64> {
        (self.hashes_per_tick != NO_HASH_COUNT).then_some(self.hashes_per_tick)
    }

    /// Hashes until the tick, the tick's own included; `None` without a hash count.
    pub fn remaining_until_tick(&self) -> Option<u64> {
        self.hashes_per_tick().map(|_| self.remaining)
    }

    /// Hashes since the last entry.
    pub fn pending_hashes(&self) -> u64 {
        self.num_hashes
    }

    /// Ticks since the chain was made or reset.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Hashes at most `max` times but never the tick's own hash. True when only that one is left: call `tick`.
    pub fn hash(&mut self, max: u64) -> bool {
        let count = max.min(self.remaining - 1);
        hash_times(&mut self.hash, count);
        self.num_hashes += count;
        self.remaining -= count;
        self.remaining == 1
    }

    /// Mixes transactions in. `None` when only the tick's hash is left: tick first, then record.
    pub fn record(&mut self, mixin: Hash) -> Option<PohEntry> {
        if self.remaining == 1 {
            return None;
        }
        self.hash = sha256(&[&self.hash, mixin.as_ref()]);
        self.remaining -= 1;
        Some(self.emit())
    }

    /// Mixes several sets in, one entry each: the first carries the pending hashes, the others one. All or none.
    pub fn record_batches(&mut self, mixins: &[Hash]) -> Option<Vec<PohEntry>> {
        if self.remaining <= mixins.len() as u64 {
            return None;
        }
        mixins.iter().map(|mixin| self.record(*mixin)).collect()
    }

    /// One hash, and the tick if it was the last. Without a hash count every call is a tick.
    pub fn tick(&mut self) -> Option<PohEntry> {
        hash_times(&mut self.hash, 1);
        self.remaining -= 1;
        if self.hashes_per_tick != NO_HASH_COUNT && self.remaining != 0 {
            self.num_hashes += 1;
            return None;
        }
        self.remaining = self.hashes_per_tick;
        self.ticks += 1;
        Some(self.emit())
    }

    /// The entry that ends with the hash just made.
    fn emit(&mut self) -> PohEntry {
        let num_hashes = self.num_hashes + 1;
        self.num_hashes = 0;
        PohEntry { num_hashes, hash: Hash::new_from_array(self.hash) }
    }
}

const NO_HASH_COUNT: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::{
            chain::{hash_transactions, verify_chain},
            entry::Entry,
            testing::transfer,
            ticks::TickVerifier,
        },
    };

    #[test]
    fn ticks_come_when_the_hashes_are_used_up() {
        let mut poh = Poh::new(Hash::default(), Some(3));
        assert_eq!(poh.tick(), None);
        assert_eq!(poh.remaining_until_tick(), Some(2));
        assert!(poh.hash(1_000_000), "stops before the tick's own hash");
        assert!(poh.hash(1_000_000), "and stays there");
        assert_eq!(poh.record(Hash::default()), None, "a mix would take the tick's hash");
        assert_eq!(poh.tick().unwrap().num_hashes, 3);
        assert_eq!(poh.ticks(), 1);
        assert_eq!(poh.remaining_until_tick(), Some(3));
        assert_eq!(poh.record(Hash::default()).unwrap().num_hashes, 1);
    }

    #[test]
    fn batches_are_all_or_none() {
        let mut poh = Poh::new(Hash::default(), Some(10));
        assert!(!poh.hash(4));
        let counts = |entries: Vec<PohEntry>| entries.iter().map(|entry| entry.num_hashes).collect::<Vec<_>>();
        assert_eq!(poh.record_batches(&[Hash::default(); 3]).map(counts), Some(vec![5, 1, 1]));
        let before = poh.clone();
        assert_eq!(poh.record_batches(&[Hash::default(); 3]), None);
        assert_eq!(poh, before);
        assert_eq!(poh.record_batches(&[Hash::default(); 2]).map(counts), Some(vec![1, 1]));
        assert_eq!(poh.remaining_until_tick(), Some(1));
    }

    #[test]
    fn sleep_mode_ticks_on_every_call() {
        let mut poh = Poh::new(Hash::default(), None);
        assert_eq!(poh.tick().unwrap().num_hashes, 1);
        assert!(!poh.hash(4));
        assert_eq!(poh.tick().unwrap().num_hashes, 5);
        assert_eq!(poh.remaining_until_tick(), None);
    }

    #[test]
    fn what_it_makes_verifies() {
        for hashes_per_tick in [Some(7), Some(100), None] {
            let start = Hash::new_from_array([1; 32]);
            let mut poh = Poh::new(start, hashes_per_tick);
            let mut entries = Vec::new();
            for slot_tick in 0..4u8 {
                poh.hash(2);
                let transactions = vec![transfer(slot_tick)];
                let PohEntry { num_hashes, hash } = poh.record(hash_transactions(&transactions)).unwrap();
                entries.push(Entry { num_hashes, hash, transactions });
                let PohEntry { num_hashes, hash } = loop {
                    poh.hash(3);
                    if let Some(tick) = poh.tick() {
                        break tick;
                    }
                };
                entries.push(Entry { num_hashes, hash, transactions: vec![] });
            }
            assert!(verify_chain(&start, &entries));
            assert_eq!(TickVerifier::new(4, hashes_per_tick).check(&entries, true), Ok(()));
        }
    }
}
