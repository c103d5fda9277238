//! What came of an insert.

use {
    std::collections::{BTreeMap, BTreeSet},
    tandem_shred::Shred,
    tandem_types::Slot,
};

#[derive(Clone, Debug, Default)]
pub struct InsertReport {
    /// Shreds that were new and are kept (data on disk, code in memory), recovered ones not counted.
    pub accepted: usize,
    pub duplicates: usize,
    /// Code shreds of sets whose data is all there.
    pub unneeded: usize,
    /// Rebuilt from their sets, data and code: to be sent on. The data shreds among them are kept already.
    pub recovered: Vec<Shred>,
    /// Slots that got data shreds, ascending.
    pub slots: Vec<Progress>,
    pub conflicts: Vec<DuplicateEvidence>,
    /// Slots with a set that is not chained to its neighbour. It is kept; where features say so, the block is dead (agave
    /// core/src/window_service.rs: run_check_duplicate, v4.2). Agave has no gossip proof for this either.
    pub chain_broken: BTreeSet<Slot>,
    pub rejected: BTreeMap<Rejection, usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    pub slot: Slot,
    pub parent: Slot,
    /// Components that can be read from the slot's beginning on.
    pub components: usize,
    /// The last shred's index, once all shreds are there.
    pub complete: Option<u32>,
}

/// The leader made two versions of a block. Told once a slot and kind while the process lives.
#[derive(Clone, Debug)]
pub struct DuplicateEvidence {
    pub slot: Slot,
    pub kind: ConflictKind,
    /// What the ledger holds.
    pub shred1: Shred,
    /// What came later, and is not kept.
    pub shred2: Shred,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConflictKind {
    /// Two roots for one set (or two contents for one index).
    Root,
    /// A shred behind the last one, or a last one before others.
    LastIndex,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rejection {
    /// At or below the root, or on a parent below it.
    Rooted,
    /// Below what was purged.
    Purged,
    /// Another parent than the slot's other shreds name.
    Parent,
    ConflictRoot,
    ConflictLastIndex,
    /// A whole set whose code does not fit its data; counted once a set.
    Unrecoverable,
}

impl InsertReport {
    pub(crate) fn reject(&mut self, why: Rejection) {
        *self.rejected.entry(why).or_default() += 1;
    }

    pub fn rejected_count(&self) -> usize {
        self.rejected.values().sum()
    }
}
