//! How many lamports an epoch's validators are paid in all.

use {
    crate::slot_params::SlotParamsTable,
    agave_feature_set::{FeatureSet, pico_inflation},
    solana_epoch_schedule::EpochSchedule,
    solana_inflation::Inflation,
    tandem_types::{Epoch, Slot},
};

/// What the first bank of `epoch` knows.
#[derive(Clone, Copy, Debug)]
pub struct InflationInputs<'a> {
    pub inflation: &'a Inflation,
    /// Of this bank, after feature activations (which may have created accounts).
    pub capitalization: u64,
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The epoch that is paid for.
    pub rewarded_epoch: Epoch,
    /// From `inflation_start_slot`.
    pub start_slot: Slot,
    pub schedule: &'a EpochSchedule,
    pub slot_params: &'a SlotParamsTable,
}

/// Lamports to split by points (bank.rs: calculate_epoch_inflation_rewards). Floating point is consensus here: agave uses
/// the same `powf` of the same libm.
pub fn epoch_inflation_lamports(inputs: &InflationInputs<'_>) -> u64 {
    let InflationInputs { inflation, capitalization, epoch, rewarded_epoch, start_slot, schedule, slot_params } =
        *inputs;
    // Inflation counts from the epoch before the one it was switched on in, because that epoch was paid first.
    let first = schedule.get_first_slot_in_epoch(schedule.get_epoch(start_slot).saturating_sub(1));
    let now = schedule.get_first_slot_in_epoch(epoch);
    let years = slot_params.duration_years(first, now);
    (inflation.validator(years) * capitalization as f64 * slot_params.epoch_years(rewarded_epoch, schedule)) as u64
}

/// The slot inflation was switched on: the first of the full-inflation features, else of pico inflation, else 0.
pub fn inflation_start_slot(features: &FeatureSet) -> Slot {
    features
        .full_inflation_features_enabled()
        .iter()
        .filter_map(|id| features.activated_slot(id))
        .min()
        .or_else(|| features.activated_slot(&pico_inflation::id()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use {super::*, crate::slot_params::SlotParams};

    /// protocol.md 6.11 by hand: epoch 1 begins one epoch after the start, at the rate of that time.
    #[test]
    fn first_epochs_of_a_development_cluster() {
        let schedule = EpochSchedule::custom(64, 64, false);
        let genesis = SlotParams::genesis(400_000_000, 78_892_314.984, None);
        let slot_params = SlotParamsTable::new(&FeatureSet::default(), &schedule, genesis);
        let inflation = Inflation::default();
        let lamports = |epoch, rewarded_epoch| {
            epoch_inflation_lamports(&InflationInputs {
                inflation: &inflation,
                capitalization: 500_000_000_000_000_000,
                epoch,
                rewarded_epoch,
                start_slot: 0,
                schedule: &schedule,
                slot_params: &slot_params,
            })
        };
        let years = 64.0 / 78_892_314.984_f64;
        let rate = 0.08 * 0.85_f64.powf(years);
        assert_eq!(lamports(1, 0), ((rate - rate * 0.05) * 5e17 * years) as u64);
        assert!(lamports(2, 1) < lamports(1, 0));
        assert_eq!(inflation_start_slot(&FeatureSet::default()), 0);
    }

    #[test]
    fn start_slot_prefers_full_inflation() {
        let mut features = FeatureSet::default();
        features.activate(&pico_inflation::id(), 5);
        assert_eq!(inflation_start_slot(&features), 5);
        features.activate(&agave_feature_set::full_inflation::devnet_and_testnet::id(), 77);
        assert_eq!(inflation_start_slot(&features), 77);
    }
}
