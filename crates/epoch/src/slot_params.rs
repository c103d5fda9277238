//! What depends on how long a slot is, and from which slot on which row of that table is in force.

use {
    agave_feature_set::{
        FeatureSet, reduce_slot_time_to_200ms, reduce_slot_time_to_250ms, reduce_slot_time_to_300ms,
        reduce_slot_time_to_350ms,
    },
    solana_epoch_schedule::EpochSchedule,
    std::{collections::BTreeMap, ops::Bound, sync::Arc},
    tandem_types::{Epoch, Pubkey, Slot},
};

/// Compute units and bytes a block may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CostLimits {
    pub account_cost: u64,
    pub block_cost: u64,
    pub allocated_bytes: u64,
}

/// One row (protocol.md 8.3; solana-runtime slot_params.rs).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlotParams {
    pub ns_per_slot: u128,
    pub slots_per_year: f64,
    /// Of the table. A cluster whose genesis has no hash count keeps none: ask `hashes_per_tick_after`.
    pub hashes_per_tick: Option<u64>,
    base_limits: CostLimits,
    pub data_shreds_max: u32,
    pub code_shreds_max: u32,
    pub entry_bytes_max: u64,
    pub reward_stores_per_block: u64,
    pub admission_ticket_lamports: u64,
}

impl SlotParams {
    /// Row of slot 0: what the genesis says, and the constants of 400 ms slots for the rest.
    pub fn genesis(ns_per_slot: u128, slots_per_year: f64, hashes_per_tick: Option<u64>) -> Self {
        Self { ns_per_slot, slots_per_year, hashes_per_tick, ..LEGACY }
    }

    pub fn cost_limits(&self, raise_block_limits_to_100m: bool) -> CostLimits {
        let raised = |limit: u64| if raise_block_limits_to_100m { limit * 100 / 60 } else { limit };
        CostLimits {
            account_cost: raised(self.base_limits.account_cost),
            block_cost: raised(self.base_limits.block_cost),
            allocated_bytes: self.base_limits.allocated_bytes,
        }
    }

    /// Hashes per tick once this row is in force in a cluster that had `current` (bank.rs: apply_slot_time_persistent_changes).
    pub fn hashes_per_tick_after(&self, current: Option<u64>) -> Option<u64> {
        current.and(self.hashes_per_tick)
    }
}

/// Which row is in force at which slot. Cheap to clone; equal on every node with equal features.
#[derive(Clone, PartialEq, Debug)]
pub struct SlotParamsTable {
    /// The first slot of each row; always has slot 0.
    rows: Arc<BTreeMap<Slot, SlotParams>>,
}

impl SlotParamsTable {
    /// A row activated in epoch `e` is in force from the first slot of `e + 1`, unless a row at least as short is by then, or
    /// the genesis' own slots are shorter.
    pub fn new(features: &FeatureSet, schedule: &EpochSchedule, genesis: SlotParams) -> Self {
        Self::from_activations(|id| features.activated_slot(id), schedule, genesis)
    }

    fn from_activations(
        activated_slot: impl Fn(&Pubkey) -> Option<Slot>,
        schedule: &EpochSchedule,
        genesis: SlotParams,
    ) -> Self {
        let mut rows = BTreeMap::from([(0, genesis)]);
        let mut shorter_from = Slot::MAX;
        for (feature, row) in rows_shortest_first() {
            let Some(activated) = activated_slot(&feature) else { continue };
            if row.ns_per_slot > genesis.ns_per_slot {
                continue;
            }
            let from = schedule.get_first_slot_in_epoch(schedule.get_epoch(activated).saturating_add(1));
            if from < shorter_from {
                rows.insert(from, row);
                shorter_from = from;
            }
        }
        Self { rows: Arc::new(rows) }
    }

    /// The row in force at `slot`.
    pub fn at(&self, slot: Slot) -> &SlotParams {
        let (_, row) = self.rows.range(..=slot).next_back().expect("invariant: there is a row from slot 0 on");
        row
    }

    /// First slots and their rows, ascending.
    pub fn rows(&self) -> impl Iterator<Item = (Slot, &SlotParams)> {
        self.rows.iter().map(|(slot, row)| (*slot, row))
    }

    /// Wall-clock time of the slots `first..=last`, in nanoseconds; 0 if the range is empty.
    pub fn duration_ns(&self, first: Slot, last: Slot) -> u128 {
        if first > last {
            return 0;
        }
        let mut cursor = first;
        let mut row = self.at(first);
        let mut duration = 0_u128;
        for (from, next) in self.rows.range((Bound::Excluded(first), Bound::Included(last))) {
            duration = duration.saturating_add(u128::from(from - cursor).saturating_mul(row.ns_per_slot));
            (cursor, row) = (*from, next);
        }
        duration.saturating_add((u128::from(last - cursor) + 1).saturating_mul(row.ns_per_slot))
    }

    /// Wall-clock time of the slots `first..end`, in years. The order of the additions is consensus: they round.
    pub fn duration_years(&self, first: Slot, end: Slot) -> f64 {
        if first >= end {
            return 0.0;
        }
        let mut cursor = first;
        let mut row = self.at(0);
        let mut years = 0.0;
        for (from, next) in self.rows() {
            if from >= end {
                break;
            }
            if from > first {
                years += (from - cursor) as f64 / row.slots_per_year;
                cursor = from;
            }
            row = next;
        }
        years + (end - cursor) as f64 / row.slots_per_year
    }

    /// Length of `epoch` as a part of a year, by the row of its first slot.
    pub fn epoch_years(&self, epoch: Epoch, schedule: &EpochSchedule) -> f64 {
        schedule.get_slots_in_epoch(epoch) as f64 / self.at(schedule.get_first_slot_in_epoch(epoch)).slots_per_year
    }
}

fn rows_shortest_first() -> [(Pubkey, SlotParams); 4] {
    [
        (reduce_slot_time_to_200ms::id(), ROW_200_MS),
        (reduce_slot_time_to_250ms::id(), ROW_250_MS),
        (reduce_slot_time_to_300ms::id(), ROW_300_MS),
        (reduce_slot_time_to_350ms::id(), ROW_350_MS),
    ]
}

const LEGACY: SlotParams = SlotParams {
    ns_per_slot: 400_000_000,
    slots_per_year: 78_892_314.984,
    hashes_per_tick: Some(62_500),
    base_limits: CostLimits { account_cost: 24_000_000, block_cost: 60_000_000, allocated_bytes: 100_000_000 },
    data_shreds_max: 32_768,
    code_shreds_max: 32_768,
    entry_bytes_max: 20_971_520,
    reward_stores_per_block: 4_096,
    admission_ticket_lamports: 1_600_000_000,
};

const ROW_350_MS: SlotParams = SlotParams {
    ns_per_slot: 350_000_000,
    slots_per_year: 90_162_645.696,
    hashes_per_tick: Some(54_687),
    base_limits: CostLimits { account_cost: 21_000_000, block_cost: 52_500_000, allocated_bytes: 87_500_000 },
    data_shreds_max: 28_672,
    code_shreds_max: 28_672,
    entry_bytes_max: 18_350_080,
    reward_stores_per_block: 3_584,
    admission_ticket_lamports: 1_400_000_000,
};

const ROW_300_MS: SlotParams = SlotParams {
    ns_per_slot: 300_000_000,
    slots_per_year: 105_189_753.312,
    hashes_per_tick: Some(46_875),
    base_limits: CostLimits { account_cost: 18_000_000, block_cost: 45_000_000, allocated_bytes: 75_000_000 },
    data_shreds_max: 24_576,
    code_shreds_max: 24_576,
    entry_bytes_max: 15_728_640,
    reward_stores_per_block: 3_072,
    admission_ticket_lamports: 1_200_000_000,
};

const ROW_250_MS: SlotParams = SlotParams {
    ns_per_slot: 250_000_000,
    slots_per_year: 126_227_703.974,
    hashes_per_tick: Some(39_062),
    base_limits: CostLimits { account_cost: 15_000_000, block_cost: 37_500_000, allocated_bytes: 62_500_000 },
    data_shreds_max: 20_480,
    code_shreds_max: 20_480,
    entry_bytes_max: 13_107_200,
    reward_stores_per_block: 2_560,
    admission_ticket_lamports: 1_000_000_000,
};

const ROW_200_MS: SlotParams = SlotParams {
    ns_per_slot: 200_000_000,
    slots_per_year: 157_784_629.968,
    hashes_per_tick: Some(31_250),
    base_limits: CostLimits { account_cost: 12_000_000, block_cost: 30_000_000, allocated_bytes: 50_000_000 },
    data_shreds_max: 16_384,
    code_shreds_max: 16_384,
    entry_bytes_max: 10_485_760,
    reward_stores_per_block: 2_048,
    admission_ticket_lamports: 800_000_000,
};

#[cfg(test)]
mod tests;
