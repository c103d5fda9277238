//! What everybody else may ask. Cheap to clone, usable from any thread; never fails: what cannot be read is missing.

use {
    crate::{
        shared::Shared,
        state::{SlotMeta, SlotState, first_of_set},
    },
    std::sync::Arc,
    tandem_entry::{DecodeError, Entry},
    tandem_shred::{Component, Deshredder, Shred},
    tandem_types::{BlockId, Hash, Slot, UnixTimestamp},
};

#[derive(Clone)]
pub struct LedgerReader {
    shared: Arc<Shared>,
}

impl LedgerReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// `None`: there is nothing of this slot.
    pub fn slot_meta(&self, slot: Slot) -> Option<SlotMeta> {
        let meta = self.shared.with(slot, |state| state.is_known().then(|| state.meta(Vec::new())))??;
        Some(SlotMeta { next_slots: self.shared.children(slot), ..meta })
    }

    pub fn is_complete(&self, slot: Slot) -> bool {
        self.shared.with(slot, SlotState::is_complete).unwrap_or(false)
    }

    pub fn has_shreds(&self, slot: Slot) -> bool {
        self.shared.with(slot, |state| state.received() > 0).unwrap_or(false)
    }

    /// The components from number `from` on, as far as they are there without gaps.
    pub fn components(&self, slot: Slot, from: usize) -> Vec<Component> {
        let ranges: Vec<_> =
            self.shared.with(slot, |state| state.components().skip(from).collect()).unwrap_or_default();
        let mut components = Vec::with_capacity(ranges.len());
        for range in ranges {
            let Some(shreds) = self.shared.read(slot, range.clone()) else { break };
            let mut deshredder = Deshredder::starting_at(range.start);
            let joined = shreds.iter().find_map(|shred| deshredder.push(shred).transpose());
            // The range ends where a shred says so; anything else would be a gap, which `read` excludes.
            match joined {
                Some(Ok(component)) => components.push(component),
                Some(Err(_)) | None => break,
            }
        }
        components
    }

    /// All entries of a complete block; `None` while it is not complete.
    pub fn block(&self, slot: Slot) -> Option<Result<Vec<Entry>, DecodeError>> {
        if !self.is_complete(slot) {
            return None;
        }
        let components = self.components(slot, 0);
        if !components.last().is_some_and(|last| last.last_in_slot) {
            return None;
        }
        let mut entries = Vec::new();
        for component in components {
            match component.entries() {
                Ok(more) => entries.extend(more),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(entries))
    }

    /// Of a complete block: the root of its last set (blockstore.rs: get_block_id).
    pub fn block_id(&self, slot: Slot) -> Option<BlockId> {
        self.shared.with(slot, |state| {
            let last = state.last_index.filter(|_| state.is_complete())?;
            state.sets.get(&first_of_set(last)).map(|set| BlockId(set.root))
        })?
    }

    /// What the block is chained to, once a shred of its first set is here.
    pub fn parent_block_id(&self, slot: Slot) -> Option<BlockId> {
        self.shared.with(slot, |state| state.sets.get(&0).map(|set| BlockId(set.chained)))?
    }

    pub fn shred(&self, slot: Slot, index: u32) -> Option<Shred> {
        self.shared.read(slot, index..index.checked_add(1)?)?.pop()
    }

    /// The slot's highest data shred, if its index is `at_least` or more (what a HighestWindowIndex request asks for).
    pub fn highest_shred(&self, slot: Slot, at_least: u32) -> Option<Shred> {
        let highest = self.shared.with(slot, |state| state.received().checked_sub(1))??;
        if highest < at_least { None } else { self.shred(slot, highest) }
    }

    /// Data shreds missing below the highest one there is, lowest first.
    pub fn missing(&self, slot: Slot, limit: usize) -> Vec<u32> {
        self.shared.with(slot, |state| state.missing(limit)).unwrap_or_default()
    }

    /// Slots above `slot` that have data shreds, ascending.
    pub fn slots_from(&self, slot: Slot) -> impl Iterator<Item = Slot> + '_ {
        let slots = slot.checked_add(1).map(|above| self.shared.slots_in(above..)).unwrap_or_default();
        slots.into_iter().filter(|slot| self.has_shreds(*slot))
    }

    /// Slots whose shreds name `slot` as their parent; complete from the root on.
    pub fn next_slots(&self, slot: Slot) -> Vec<Slot> {
        self.shared.children(slot)
    }

    pub fn lowest_slot(&self) -> Option<Slot> {
        self.shared.slots_in(..).into_iter().find(|slot| self.has_shreds(*slot))
    }

    pub fn highest_slot(&self) -> Option<Slot> {
        self.shared.slots_in(..).into_iter().rev().find(|slot| self.has_shreds(*slot))
    }

    pub fn root(&self) -> Slot {
        self.shared.facts().root()
    }

    pub fn is_root(&self, slot: Slot) -> bool {
        self.shared.facts().roots.contains(&slot)
    }

    /// Rooted slots from `from` on, ascending, at most `limit`.
    pub fn roots_from(&self, from: Slot, limit: usize) -> Vec<Slot> {
        self.shared.facts().roots.range(from..).take(limit).copied().collect()
    }

    pub fn is_dead(&self, slot: Slot) -> bool {
        self.shared.facts().dead.contains(&slot)
    }

    /// We began a block for this slot, in this process or an earlier one.
    pub fn is_own(&self, slot: Slot) -> bool {
        self.shared.facts().own.contains(&slot)
    }

    pub fn bank_hash(&self, slot: Slot) -> Option<Hash> {
        self.shared.facts().bank_hashes.get(&slot).copied()
    }

    pub fn block_time(&self, slot: Slot) -> Option<UnixTimestamp> {
        self.shared.facts().block_times.get(&slot).copied()
    }

    pub fn block_height(&self, slot: Slot) -> Option<u64> {
        self.shared.facts().block_heights.get(&slot).copied()
    }

    /// Records found damaged since the start. More than a few mean a failing disk.
    pub fn corrupt_records(&self) -> u64 {
        self.shared.corrupt_records()
    }

    pub fn read_errors(&self) -> u64 {
        self.shared.read_errors()
    }
}
