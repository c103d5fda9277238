//! Which features are active, and what their activation changes.

use {
    crate::{Bank, runtime},
    agave_feature_set::{
        self as feature_set, FeatureSet, deprecate_rent_exemption_threshold, pico_inflation,
        replace_spl_token_with_p_token, set_lamports_per_byte_to_696, set_lamports_per_byte_to_1322,
        set_lamports_per_byte_to_2575, set_lamports_per_byte_to_5080, set_lamports_per_byte_to_6333,
        set_lamports_per_byte_to_6960, upgrade_bpf_stake_program_to_v5, upgrade_bpf_stake_program_to_v5_1,
    },
    agave_precompiles::get_precompiles,
    agave_reserved_account_keys::ReservedAccountKeys,
    solana_builtins::BUILTINS,
    solana_cost_model::cost_tracker::CostTrackerLimits,
    solana_feature_gate_interface as feature,
    solana_inflation::Inflation,
    solana_rent::Rent,
    std::{collections::BTreeSet, sync::Arc},
    tandem_epoch::{EpochFeatures, SlotParamsTable},
    tandem_types::Pubkey,
};

impl Bank {
    /// The features whose accounts say so, and those that wait for the next epoch. With `with_pending` the waiting ones
    /// count as active from this slot on.
    pub(crate) fn active_features(&self, with_pending: bool) -> (FeatureSet, BTreeSet<Pubkey>) {
        let mut features = FeatureSet::clone(&self.features);
        let mut pending = BTreeSet::new();
        for id in self.features.inactive() {
            let Some(feature) = self.load(id).and_then(|(account, _)| feature::state::from_account(&account)) else {
                continue;
            };
            match feature.activated_at {
                Some(slot) if slot <= self.slot => features.activate(id, slot),
                None if with_pending => {
                    pending.insert(*id);
                    features.activate(id, self.slot);
                }
                Some(_) | None => {}
            }
        }
        (features, pending)
    }

    /// Takes the features over into everything that is derived from them and not written to accounts.
    pub(crate) fn apply_features(&mut self, features: FeatureSet) {
        let schedule = &self.chain.epoch_schedule;
        let mut reserved = ReservedAccountKeys::clone(&self.reserved);
        reserved.update_active_set(&features);
        self.reserved = Arc::new(reserved);
        self.epoch_features = EpochFeatures::new(&features, schedule);
        self.slot_params = SlotParamsTable::new(&features, schedule, self.chain.genesis_slot_params);
        self.runtime = runtime::RuntimeCaches::new(&features);
        self.features = Arc::new(features);
        self.apply_cost_limits();
    }

    /// The first thing a new epoch does (bank.rs:compute_and_apply_new_feature_activations). The order is agave's.
    pub(crate) fn activate_pending_features(&mut self) {
        let (features, new) = self.active_features(true);
        let full_inflation = features.full_inflation_features_enabled();
        self.apply_features(features);
        for id in &new {
            if let Some((mut account, _)) = self.load(id)
                && let Some(mut feature) = feature::state::from_account(&account)
            {
                feature.activated_at = Some(self.slot);
                if feature::state::to_account(&feature, &mut account).is_some() {
                    self.store(&[(*id, account)]);
                }
                tracing::info!(feature = %id, slot = self.slot, "feature activated");
            }
        }

        if new.contains(&deprecate_rent_exemption_threshold::id()) {
            self.rent = without_exemption_threshold(&self.rent);
            self.write_rent();
        }
        for (id, lamports_per_byte) in RENT_FEATURES {
            if new.contains(&id) {
                self.rent.lamports_per_byte = lamports_per_byte;
                self.write_rent();
            }
        }
        if new.contains(&pico_inflation::id()) {
            self.inflation = Inflation::pico();
            self.fees.burn_percent = solana_fee_calculator::DEFAULT_BURN_PERCENT;
        }
        if new.iter().any(|id| full_inflation.contains(id)) {
            self.inflation = Inflation::full();
            self.fees.burn_percent = solana_fee_calculator::DEFAULT_BURN_PERCENT;
        }
        if !self.features.snapshot().alpenglow {
            self.hashes_per_tick = self.slot_params.at(self.slot).hashes_per_tick_after(self.hashes_per_tick);
        }
        self.add_new_builtins(&new);
        self.upgrade_programs(&new);
    }

    pub(crate) fn apply_cost_limits(&mut self) {
        let limits = self.slot_params.at(self.slot).cost_limits(self.epoch_features.raise_block_limits_to_100m);
        self.costs.get_mut().expect("invariant: no panic while the costs are held").set_limits(CostTrackerLimits::new(
            limits.account_cost,
            limits.block_cost,
            limits.allocated_bytes,
        ));
    }

    fn add_new_builtins(&self, new: &BTreeSet<Pubkey>) {
        for builtin in BUILTINS {
            if builtin.enable_feature_id.is_some_and(|feature| new.contains(&feature)) {
                self.write_builtin_account(builtin);
                self.register_builtin(builtin);
            }
        }
        for precompile in get_precompiles() {
            if precompile.feature.is_some_and(|feature| new.contains(&feature)) {
                self.write_precompile_account(&precompile.program_id);
            }
        }
    }

    fn upgrade_programs(&self, new: &BTreeSet<Pubkey>) {
        let report = |name: &str, result: Result<(), crate::core_programs::UpgradeError>| {
            // As in agave the epoch goes on without the upgrade: every node fails in the same way.
            if let Err(error) = result {
                tracing::error!(%error, program = name, slot = self.slot, "the program named by a new feature was not upgraded");
            }
        };
        if new.contains(&replace_spl_token_with_p_token::id()) {
            report("p-token", self.replace_token_program());
        }
        if new.contains(&upgrade_bpf_stake_program_to_v5::id()) {
            let buffer = feature_set::upgrade_bpf_stake_program_to_v5::buffer::id();
            report("stake v5", self.upgrade_stake_program(&buffer));
        }
        if new.contains(&upgrade_bpf_stake_program_to_v5_1::id()) {
            let buffer = feature_set::upgrade_bpf_stake_program_to_v5_1::buffer::id();
            report("stake v5.1", self.upgrade_stake_program(&buffer));
        }
    }
}

/// SIMD-0194: the threshold is multiplied into the rate once and for all (rent_collector.rs).
pub(crate) fn without_exemption_threshold(rent: &Rent) -> Rent {
    // The fields are deprecated in the SDK and still part of the sysvar.
    #[allow(deprecated)]
    Rent {
        lamports_per_byte: (rent.lamports_per_byte as f64 * f64::from_le_bytes(rent.exemption_threshold)) as u64,
        exemption_threshold: 1.0f64.to_le_bytes(),
        burn_percent: 50,
    }
}

/// SIMD-0437 in order, then SIMD-0438, which overrides them.
const RENT_FEATURES: [(Pubkey, u64); 6] = [
    (set_lamports_per_byte_to_6333::ID, set_lamports_per_byte_to_6333::LAMPORTS_PER_BYTE),
    (set_lamports_per_byte_to_5080::ID, set_lamports_per_byte_to_5080::LAMPORTS_PER_BYTE),
    (set_lamports_per_byte_to_2575::ID, set_lamports_per_byte_to_2575::LAMPORTS_PER_BYTE),
    (set_lamports_per_byte_to_1322::ID, set_lamports_per_byte_to_1322::LAMPORTS_PER_BYTE),
    (set_lamports_per_byte_to_696::ID, set_lamports_per_byte_to_696::LAMPORTS_PER_BYTE),
    (set_lamports_per_byte_to_6960::ID, set_lamports_per_byte_to_6960::LAMPORTS_PER_BYTE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_multiplied_into_the_rate() {
        #[allow(deprecated)]
        let rent = Rent { lamports_per_byte: 3480, exemption_threshold: 2.0f64.to_le_bytes(), ..Rent::default() };
        let rent = without_exemption_threshold(&rent);
        assert_eq!(rent.lamports_per_byte, 6960);
        assert_eq!(rent.minimum_balance(0), 128 * 6960);
    }
}
