//! The figures of one slot that pacing needs, and where its tick heights lie.

use {std::time::Duration, tandem_types::Slot};

/// How long and how dense a slot is. Two banks of one chain differ in it when a slot-time feature takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockParams {
    pub ticks_per_slot: u64,
    /// `None` is "sleep": a tick costs one hash and time passes without hashing.
    pub hashes_per_tick: Option<u64>,
    pub ns_per_slot: u64,
}

impl BlockParams {
    /// Time from one tick to the next. A hashing leader runs its slot 50 ms short, to make up for what passes between
    /// slots (freezing, shredding); a sleeping one does not (agave 4.2.2, poh_service.rs: target_tick_ns_adjusted,
    /// low_power_tick_producer).
    pub fn tick_ns(&self) -> u64 {
        let ticks = self.ticks_per_slot.max(1);
        let full = self.ns_per_slot / ticks;
        let spent = match self.hashes_per_tick {
            Some(_) => full.saturating_sub(SLOT_ADJUSTMENT_NS / ticks),
            None => full,
        };
        spent.max(1)
    }

    /// Height of the last tick of `slot`. Heights count from the cluster's first tick, which has height 1.
    pub fn last_tick_of(&self, slot: Slot) -> u64 {
        slot.saturating_add(1).saturating_mul(self.ticks_per_slot)
    }

    pub(crate) fn time_of_ticks(&self, ticks: u64) -> Duration {
        Duration::from_nanos(ticks.saturating_mul(self.tick_ns()))
    }
}

const SLOT_ADJUSTMENT_NS: u64 = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashing_slot_is_paced_fifty_milliseconds_short() {
        let sleeping = BlockParams { ticks_per_slot: 64, hashes_per_tick: None, ns_per_slot: 400_000_000 };
        assert_eq!(sleeping.tick_ns(), 6_250_000);
        let hashing = BlockParams { hashes_per_tick: Some(62_500), ..sleeping };
        assert_eq!(hashing.tick_ns(), 6_250_000 - 781_250);
        assert_eq!(sleeping.last_tick_of(0), 64);
    }

    #[test]
    fn absurd_params_do_not_divide_by_zero() {
        let odd = BlockParams { ticks_per_slot: 0, hashes_per_tick: Some(2), ns_per_slot: 0 };
        assert_eq!(odd.tick_ns(), 1);
    }
}
