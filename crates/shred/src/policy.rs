//! Which well-formed shreds are worth looking at now (ledger/src/shred/filter.rs:should_discard_shred).

use {
    crate::{
        header::{Body, ShredHeader},
        layout::{DATA_SHREDS_PER_SET, SHREDS_PER_SLOT_MAX},
    },
    tandem_types::Slot,
};

/// Why a shred is dropped although it is well formed. Counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Discard {
    #[error("other shred version")]
    Version,
    #[error("slot too far ahead")]
    SlotAhead,
    #[error("slot already rooted")]
    SlotRooted,
    #[error("parent below the root")]
    ParentRooted,
    #[error("index beyond the slot's limit")]
    Index,
    #[error("batch ends inside a FEC set")]
    DataComplete,
}

/// What the protocol asks of shreds of a slot; changes with features, an epoch after their activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRules {
    pub data_shreds_max: u32,
    pub code_shreds_max: u32,
    /// DATA_COMPLETE only at the end of a set (discard_unexpected_data_complete_shreds).
    pub enforce_data_complete_placement: bool,
}

impl Default for SlotRules {
    fn default() -> Self {
        Self {
            data_shreds_max: SHREDS_PER_SLOT_MAX,
            code_shreds_max: SHREDS_PER_SLOT_MAX,
            enforce_data_complete_placement: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub root: Slot,
    pub max_slot: Slot,
    pub shred_version: u16,
    /// From which slot on which rules hold, ascending. Before the first of them the protocol's widest limits hold.
    pub rules: Vec<(Slot, SlotRules)>,
}

impl Policy {
    pub fn check(&self, shred: &ShredHeader) -> Result<(), Discard> {
        if shred.version != self.shred_version {
            return Err(Discard::Version);
        }
        if shred.slot > self.max_slot {
            return Err(Discard::SlotAhead);
        }
        let rules = self.rules_at(shred.slot);
        match shred.body {
            Body::Code { .. } => {
                if shred.index >= rules.code_shreds_max {
                    return Err(Discard::Index);
                }
                if shred.slot <= self.root {
                    return Err(Discard::SlotRooted);
                }
            }
            Body::Data { .. } => {
                if shred.index >= rules.data_shreds_max {
                    return Err(Discard::Index);
                }
                // A data shred of the root itself has its parent below it, so this covers rooted slots; slot 0 is its
                // own parent (blockstore.rs:verify_shred_slots).
                if shred.parent_slot().is_none_or(|parent| parent < self.root) {
                    return Err(Discard::ParentRooted);
                }
                let end_of_set = (shred.index + 1).is_multiple_of(DATA_SHREDS_PER_SET as u32);
                if rules.enforce_data_complete_placement && shred.data_complete() && !end_of_set {
                    return Err(Discard::DataComplete);
                }
            }
        }
        Ok(())
    }

    pub fn rules_at(&self, slot: Slot) -> SlotRules {
        self.rules.iter().rev().find(|(from, _)| *from <= slot).map(|(_, rules)| *rules).unwrap_or_default()
    }
}

/// The furthest slot whose shreds are kept: half an epoch ahead, for catching up, and never less than 500 slots
/// (filter.rs:max_shred_slot).
pub fn max_slot(root: Slot, slots_per_epoch: u64) -> Slot {
    root.saturating_add((slots_per_epoch / 2).max(AHEAD_MIN))
}

const AHEAD_MIN: u64 = 500;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{self, VERSION},
    };

    fn policy() -> Policy {
        Policy { root: 100, max_slot: 600, shred_version: VERSION, rules: vec![] }
    }

    fn data(slot: Slot, parent: Slot, index: usize) -> ShredHeader {
        *testing::make(slot, parent, &[1; 100], false).data[index].header()
    }

    fn code(slot: Slot) -> ShredHeader {
        *testing::make(slot, slot - 1, &[1; 100], false).code[0].header()
    }

    #[test]
    fn slots_and_versions() {
        let policy = policy();
        assert_eq!(policy.check(&data(101, 100, 0)), Ok(()));
        assert_eq!(policy.check(&data(600, 599, 0)), Ok(()));
        assert_eq!(policy.check(&data(601, 600, 0)), Err(Discard::SlotAhead));
        assert_eq!(policy.check(&data(101, 99, 0)), Err(Discard::ParentRooted));
        assert_eq!(policy.check(&data(100, 99, 0)), Err(Discard::ParentRooted));
        assert_eq!(policy.check(&code(101)), Ok(()));
        assert_eq!(policy.check(&code(100)), Err(Discard::SlotRooted));
        let other = Policy { shred_version: VERSION + 1, ..policy };
        assert_eq!(other.check(&code(101)), Err(Discard::Version));
        let genesis = Policy { root: 0, ..other };
        assert_eq!(Policy { shred_version: VERSION, ..genesis }.check(&data(0, 0, 0)), Ok(()));
    }

    #[test]
    fn limits_change_at_a_slot() {
        let narrow = SlotRules { data_shreds_max: 5, code_shreds_max: 0, enforce_data_complete_placement: true };
        let policy = Policy { rules: vec![(0, SlotRules::default()), (200, narrow)], ..policy() };
        assert_eq!(policy.check(&data(199, 198, 5)), Ok(()));
        assert_eq!(policy.check(&data(200, 198, 4)), Ok(()));
        assert_eq!(policy.check(&data(200, 198, 5)), Err(Discard::Index));
        assert_eq!(policy.check(&code(199)), Ok(()));
        assert_eq!(policy.check(&code(200)), Err(Discard::Index));
    }

    #[test]
    fn a_batch_may_end_inside_a_set_until_that_is_enforced() {
        let mut inside = data(150, 149, 3);
        inside.body = Body::Data { parent_offset: 1, flags: 0x40, size: 88 };
        let rules = SlotRules { enforce_data_complete_placement: true, ..SlotRules::default() };
        assert_eq!(policy().check(&inside), Ok(()));
        let policy = Policy { rules: vec![(150, rules)], ..policy() };
        assert_eq!(policy.check(&inside), Err(Discard::DataComplete));
        assert_eq!(policy.check(&data(150, 149, 31)), Ok(()));
    }

    #[test]
    fn how_far_ahead() {
        assert_eq!(max_slot(10, 432_000), 216_010);
        assert_eq!(max_slot(10, 32), 510);
        assert_eq!(max_slot(u64::MAX, 32), u64::MAX);
    }
}
