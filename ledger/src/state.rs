//! What is known of one slot: it follows from the data shreds that are there, and from nothing else.

use {
    crate::bits::Bits,
    std::{collections::BTreeMap, ops::Range},
    tandem_shred::{DATA_SHREDS_PER_SET, Shred},
    tandem_types::{Hash, Slot, UnixMillis},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMeta {
    pub slot: Slot,
    /// Unknown while only code shreds came.
    pub parent: Option<Slot>,
    /// One more than the highest data shred there is.
    pub received: u32,
    /// The first data shred that is missing.
    pub consumed: u32,
    pub last_index: Option<u32>,
    pub first_shred_at: UnixMillis,
    /// Shred ranges of the components that can be read, from the slot's beginning on, without gaps.
    pub components: Vec<Range<u32>>,
    /// Slots whose shreds name this one as parent.
    pub next_slots: Vec<Slot>,
}

impl SlotMeta {
    pub fn is_complete(&self) -> bool {
        self.last_index.is_some_and(|last| self.consumed > last)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SlotState {
    pub slot: Slot,
    pub parent: Option<Slot>,
    pub first_shred_at: UnixMillis,
    pub present: Bits,
    /// Shreds that end a component.
    ends: Bits,
    pub consumed: u32,
    pub last_index: Option<u32>,
    pub sets: BTreeMap<u32, SetState>,
    /// Shreds of which memory still has a copy.
    pub recent: BTreeMap<u32, Shred>,
}

/// An FEC set, named by its first data shred.
#[derive(Clone, Debug)]
pub(crate) struct SetState {
    pub root: Hash,
    pub chained: Hash,
    /// Kept in memory only, and only until the set is whole: they are worth nothing after that.
    pub code: Vec<Shred>,
    /// The leader signed a set that does not fit together; trying again is useless.
    pub unrecoverable: bool,
}

impl SlotState {
    pub fn new(slot: Slot, first_shred_at: UnixMillis) -> Self {
        Self {
            slot,
            parent: None,
            first_shred_at,
            present: Bits::default(),
            ends: Bits::default(),
            consumed: 0,
            last_index: None,
            sets: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }

    pub fn received(&self) -> u32 {
        self.present.end()
    }

    pub fn is_complete(&self) -> bool {
        self.last_index.is_some_and(|last| self.consumed > last)
    }

    /// Any shred of it is here, if only a code shred.
    pub fn is_known(&self) -> bool {
        self.received() > 0 || !self.sets.is_empty()
    }

    /// Takes note of a data shred that is (or is about to be) on disk.
    pub fn add(&mut self, shred: &Shred) {
        let index = shred.index();
        self.present.insert(index);
        if shred.data_complete() {
            self.ends.insert(index);
        }
        if shred.last_in_slot() {
            self.last_index = Some(index);
        }
        self.parent = self.parent.or(shred.parent_slot());
        if self.consumed == index {
            self.consumed = self.present.first_zero(index);
        }
        self.set_of(shred);
    }

    /// A data shred turned out not to be there after all.
    pub fn forget(&mut self, index: u32) {
        self.present.remove(index);
        self.ends.remove(index);
        self.recent.remove(&index);
        self.consumed = self.consumed.min(index);
        if self.last_index == Some(index) {
            self.last_index = None;
        }
        let first = first_of_set(index);
        if self.data_count(first) == 0 && self.sets.get(&first).is_some_and(|set| set.code.is_empty()) {
            self.sets.remove(&first);
        }
    }

    pub fn set_of(&mut self, shred: &Shred) -> &mut SetState {
        self.sets.entry(shred.fec_set_index()).or_insert_with(|| SetState {
            root: shred.merkle_root(),
            chained: shred.chained_root(),
            code: Vec::new(),
            unrecoverable: false,
        })
    }

    /// Data shreds there are of the set.
    pub fn data_count(&self, first: u32) -> usize {
        self.present.count(range_of_set(first))
    }

    pub fn components(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut start = 0;
        self.ends.ones(0..self.consumed).map(move |last| {
            let range = start..last + 1;
            start = last + 1;
            range
        })
    }

    pub fn missing(&self, limit: usize) -> Vec<u32> {
        self.present.zeros(self.consumed..self.received()).take(limit).collect()
    }

    pub fn meta(&self, next_slots: Vec<Slot>) -> SlotMeta {
        SlotMeta {
            slot: self.slot,
            parent: self.parent,
            received: self.received(),
            consumed: self.consumed,
            last_index: self.last_index,
            first_shred_at: self.first_shred_at,
            components: self.components().collect(),
            next_slots,
        }
    }
}

pub(crate) fn range_of_set(first: u32) -> Range<u32> {
    first..first.saturating_add(SET)
}

pub(crate) fn first_of_set(index: u32) -> u32 {
    index - index % SET
}

pub(crate) const SET: u32 = DATA_SHREDS_PER_SET as u32;
