//! One step of a block: so many hashes after the last one, these transactions.

use {
    crate::{chain::next_hash, codec::VecLen},
    tandem_types::{Hash, VersionedTransaction},
    wincode::{SchemaRead, SchemaWrite, containers},
};

/// An entry without transactions is a tick.
// The schema (field order, length encoding and its allocation bound) is agave's, so that both accept the same bytes:
// entry/src/entry.rs:Entry (v4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Entry {
    /// Hashes since the previous entry, this one's included.
    pub num_hashes: u64,
    /// The chain's value after them.
    pub hash: Hash,
    #[wincode(with = "containers::Vec<VersionedTransaction, VecLen>")]
    pub transactions: Vec<VersionedTransaction>,
}

impl Entry {
    /// The entry `num_hashes` after `previous`. Transactions need at least one hash, so zero is taken as one for them.
    pub fn after(previous: &Hash, num_hashes: u64, transactions: Vec<VersionedTransaction>) -> Self {
        let num_hashes = if transactions.is_empty() { num_hashes } else { num_hashes.max(1) };
        Self { num_hashes, hash: next_hash(previous, num_hashes, &transactions), transactions }
    }

    pub fn is_tick(&self) -> bool {
        self.transactions.is_empty()
    }
}

/// `count` ticks of `hashes_per_tick` hashes each. With zero hashes every tick's hash equals `start`: that is how
/// slot 0 of a cluster without a hash count looks (protocol.md 1.9).
pub fn create_ticks(count: u64, hashes_per_tick: u64, start: Hash) -> Vec<Entry> {
    let mut ticks = Vec::new();
    let mut previous = start;
    for _ in 0..count {
        let tick = Entry::after(&previous, hashes_per_tick, Vec::new());
        previous = tick.hash;
        ticks.push(tick);
    }
    ticks
}

pub fn tick_count(entries: &[Entry]) -> u64 {
    entries.iter().filter(|entry| entry.is_tick()).count() as u64
}

pub fn transaction_count(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.transactions.len() as u64).sum()
}
