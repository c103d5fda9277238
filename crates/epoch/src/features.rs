//! The features that change this crate's arithmetic, read once per bank.

use {
    agave_feature_set::{
        FeatureSet, alpenglow, block_revenue_sharing, commission_rate_in_basis_points, custom_commission_collector,
        delay_commission_updates, raise_block_limits_to_100m, relax_post_exec_min_balance_check,
        upgrade_bpf_stake_program_to_v5_1, validator_admission_ticket,
    },
    solana_clock::Epoch,
    solana_epoch_schedule::EpochSchedule,
    solana_stake_interface::{
        stake_history::StakeHistory,
        state::{Delegation, StakeActivationStatus},
    },
};

/// Which warm-up and cool-down arithmetic is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StakeMath {
    /// The epoch in which the rate went from 25 % to 9 %; `None` while that feature is off.
    pub new_rate_activation_epoch: Option<Epoch>,
    /// Integers instead of f64 (feature upgrade_bpf_stake_program_to_v5_1). The two differ in the last lamports.
    pub fixed_point: bool,
}

impl StakeMath {
    /// Stake of `delegation` that counts in `epoch`.
    pub fn effective(&self, delegation: &Delegation, epoch: Epoch, history: &StakeHistory) -> u64 {
        self.status(delegation, epoch, history).effective
    }

    /// Effective, activating and deactivating part of `delegation` in `epoch`.
    pub fn status(&self, delegation: &Delegation, epoch: Epoch, history: &StakeHistory) -> StakeActivationStatus {
        if self.fixed_point {
            delegation.stake_activating_and_deactivating_v2(epoch, history, self.new_rate_activation_epoch)
        } else {
            // The floating-point rule is deprecated in the SDK, yet it is consensus until the feature is active.
            #[allow(deprecated)]
            delegation.stake_activating_and_deactivating(epoch, history, self.new_rate_activation_epoch)
        }
    }
}

/// Every feature this crate asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochFeatures {
    pub stake_math: StakeMath,
    pub validator_admission_ticket: bool,
    pub alpenglow: bool,
    pub delay_commission_updates: bool,
    pub commission_rate_in_basis_points: bool,
    pub custom_commission_collector: bool,
    pub relax_post_exec_min_balance_check: bool,
    pub block_revenue_sharing: bool,
    pub raise_block_limits_to_100m: bool,
}

impl EpochFeatures {
    pub fn new(features: &FeatureSet, schedule: &EpochSchedule) -> Self {
        Self {
            stake_math: StakeMath {
                new_rate_activation_epoch: features.new_warmup_cooldown_rate_epoch(schedule),
                fixed_point: features.is_active(&upgrade_bpf_stake_program_to_v5_1::id()),
            },
            validator_admission_ticket: features.is_active(&validator_admission_ticket::id()),
            alpenglow: features.is_active(&alpenglow::id()),
            delay_commission_updates: features.is_active(&delay_commission_updates::id()),
            commission_rate_in_basis_points: features.is_active(&commission_rate_in_basis_points::id()),
            custom_commission_collector: features.is_active(&custom_commission_collector::id()),
            relax_post_exec_min_balance_check: features.is_active(&relax_post_exec_min_balance_check::id()),
            block_revenue_sharing: features.is_active(&block_revenue_sharing::id()),
            raise_block_limits_to_100m: features.is_active(&raise_block_limits_to_100m::id()),
        }
    }
}
