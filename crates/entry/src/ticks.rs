//! How many ticks a block must have, and how many hashes each of them.

use crate::entry::{Entry, tick_count};

/// Each of these makes the block dead (ledger/src/blockstore_processor.rs:verify_ticks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TickError {
    #[error("more ticks than the slot has")]
    TooManyTicks,
    #[error("the slot's last shred came before its last tick")]
    TooFewTicks,
    #[error("the slot's last tick came before its last shred")]
    InvalidLastTick,
    #[error("transactions after the slot's last tick")]
    TrailingEntry,
    #[error("a tick with a wrong number of hashes")]
    InvalidTickHashCount,
}

/// Checks the ticks of one block, a batch of entries at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickVerifier {
    missing: u64,
    /// Zero: not counted.
    hashes_per_tick: u64,
    hashes_since_tick: u64,
}

impl TickVerifier {
    /// `ticks`: what lies between the parent's tick height and the slot's, so a block whose parent is k slots back has
    /// k times a slot's ticks. `hashes_per_tick` is that of the block's own slot.
    pub fn new(ticks: u64, hashes_per_tick: Option<u64>) -> Self {
        Self { missing: ticks, hashes_per_tick: hashes_per_tick.unwrap_or(0), hashes_since_tick: 0 }
    }

    /// Ticks still to come.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// `slot_full`: the batch ends with the slot's last shred.
    pub fn check(&mut self, batch: &[Entry], slot_full: bool) -> Result<(), TickError> {
        let ticks = tick_count(batch);
        let missing = self.missing.checked_sub(ticks).ok_or(TickError::TooManyTicks)?;
        if missing > 0 && slot_full {
            return Err(TickError::TooFewTicks);
        }
        if missing == 0 {
            if batch.last().is_some_and(|entry| !entry.is_tick()) {
                return Err(TickError::TrailingEntry);
            }
            if !slot_full {
                return Err(TickError::InvalidLastTick);
            }
        }
        self.missing = missing;
        self.check_hashes(batch)
    }

    fn check_hashes(&mut self, batch: &[Entry]) -> Result<(), TickError> {
        if self.hashes_per_tick == 0 {
            return Ok(());
        }
        for entry in batch {
            self.hashes_since_tick = self.hashes_since_tick.saturating_add(entry.num_hashes);
            if entry.is_tick() {
                if entry.num_hashes == 0 || self.hashes_since_tick != self.hashes_per_tick {
                    return Err(TickError::InvalidTickHashCount);
                }
                self.hashes_since_tick = 0;
            }
        }
        if self.hashes_since_tick < self.hashes_per_tick { Ok(()) } else { Err(TickError::InvalidTickHashCount) }
    }
}

#[cfg(test)]
mod tests {
    use {super::*, crate::testing::transfer, tandem_types::Hash};

    /// `t5` is a tick of five hashes, `x2` an entry with a transaction and two hashes; `|` starts a new batch.
    /// The slot is full with the last batch unless the text ends with `...`.
    fn check(ticks: u64, hashes_per_tick: Option<u64>, block: &str) -> Result<(), TickError> {
        let (block, open) = match block.strip_suffix("...") {
            Some(block) => (block, true),
            None => (block, false),
        };
        let batches: Vec<Vec<Entry>> = block
            .split('|')
            .map(|batch| {
                batch
                    .split_whitespace()
                    .map(|word| Entry {
                        num_hashes: word[1..].parse().unwrap(),
                        hash: Hash::default(),
                        transactions: if word.starts_with('x') { vec![transfer(1)] } else { vec![] },
                    })
                    .collect()
            })
            .collect();
        let mut verifier = TickVerifier::new(ticks, hashes_per_tick);
        let last = batches.len() - 1;
        batches.iter().enumerate().try_for_each(|(i, batch)| verifier.check(batch, i == last && !open))
    }

    #[test]
    fn counts_of_ticks() {
        use TickError::*;
        assert_eq!(check(2, None, "t1 t1"), Ok(()));
        assert_eq!(check(2, None, "t1 | x1 t1"), Ok(()));
        assert_eq!(check(2, None, "t1 ..."), Ok(()));
        assert_eq!(check(2, None, "t1 t1 t1"), Err(TooManyTicks));
        assert_eq!(check(2, None, "t1 x1"), Err(TooFewTicks));
        assert_eq!(check(2, None, "t1 t1 x1"), Err(TrailingEntry));
        assert_eq!(check(2, None, "t1 t1 x1 ..."), Err(TrailingEntry));
        assert_eq!(check(2, None, "t1 t1 ..."), Err(InvalidLastTick));
        assert_eq!(check(2, None, "t1 t1 | x1"), Err(InvalidLastTick));
        assert_eq!(check(8, None, "t1 t1 t1 t1 | t1 t1 t1 t1"), Ok(()), "one skipped slot of four ticks");
    }

    #[test]
    fn hashes_of_ticks() {
        use TickError::*;
        assert_eq!(check(2, Some(5), "t5 t5"), Ok(()));
        assert_eq!(check(2, Some(5), "x1 x2 t2 | x4 | t1"), Ok(()));
        assert_eq!(check(2, Some(5), "x2 t4 t5"), Err(InvalidTickHashCount));
        assert_eq!(check(2, Some(5), "t4 t5"), Err(InvalidTickHashCount));
        assert_eq!(check(2, Some(5), "x5 t0 t5"), Err(InvalidTickHashCount), "a tick costs a hash");
        assert_eq!(check(2, Some(5), "x5 ..."), Err(InvalidTickHashCount), "no room left for the tick");
        assert_eq!(check(2, Some(5), "x4 ..."), Ok(()));
        assert_eq!(check(2, Some(5), "t5 x18446744073709551615 ..."), Err(InvalidTickHashCount));
        assert_eq!(check(2, Some(0), "x9 t0 t77"), Ok(()), "zero means not counted");
        assert_eq!(check(2, None, "x9 t0 t77"), Ok(()));
    }
}
