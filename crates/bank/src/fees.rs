//! Where a block's fees go (protocol.md 6.9; bank/fee_distribution.rs).

use {
    crate::Bank,
    solana_account::{AccountSharedData, ReadableAccount, WritableAccount},
    solana_fee::FeeFeatures,
    solana_runtime_transaction::transaction_meta::TransactionConfiguration,
    solana_sdk_ids::system_program,
    solana_svm::rent_calculator::check_static_account_rent_state_transition,
    solana_svm_transaction::svm_message::SVMStaticMessage,
    std::sync::atomic::Ordering::Relaxed,
    tandem_epoch::{RewardInfo, RewardType, commission_collector_valid},
    tandem_types::Pubkey,
};

impl Bank {
    /// Half of the signature fees is burned; the rest and all priority fees go to the leader's collector.
    pub(crate) fn distribute_fees(&self) {
        let collected = *self.collected_fees.lock().expect("invariant: no panic while the fees are held");
        let burned = collected.transaction_fee() * BURNED_PERCENT / 100;
        let deposit = collected.prioritization_fee().saturating_add(collected.transaction_fee() - burned);
        let undeliverable = if deposit > 0 && !self.deposit(deposit) { deposit } else { 0 };
        self.capitalization.fetch_sub(burned.saturating_add(undeliverable), Relaxed);
    }

    /// What a leader earns by including the transaction.
    pub fn reward_for(&self, tx: &impl SVMStaticMessage, config: &TransactionConfiguration) -> u64 {
        let details = self.fee_details(tx, config);
        let burned = details.transaction_fee() * BURNED_PERCENT / 100;
        details.prioritization_fee().saturating_add(details.transaction_fee() - burned)
    }

    pub(crate) fn fee_details(
        &self,
        tx: &impl SVMStaticMessage,
        config: &TransactionConfiguration,
    ) -> solana_fee_structure::FeeDetails {
        let features = FeeFeatures::from(self.features.as_ref());
        solana_fee::calculate_fee_details(tx, LAMPORTS_PER_SIGNATURE, config.priority_fee_lamports, features)
    }

    /// Whether the collector may have it and has it now.
    fn deposit(&self, lamports: u64) -> bool {
        let collector = self.fee_collector();
        let mut account = self.load(&collector).map(|(account, _)| account).unwrap_or_default();
        let before = account.lamports();
        if account.checked_add_lamports(lamports).is_err() || !self.may_collect(&collector, before, &account) {
            tracing::warn!(slot = self.slot, %collector, lamports, "the fee collector is not valid, its fees are burned");
            return false;
        }
        let info = RewardInfo {
            reward_type: RewardType::Fee,
            lamports: i64::try_from(lamports).unwrap_or(i64::MAX),
            post_balance: account.lamports(),
            commission_bps: None,
        };
        self.store(&[(collector, account)]);
        self.rewards.lock().expect("invariant: no panic while the rewards are held").push((collector, info));
        true
    }

    /// With SIMD-0232 the leader's vote account names it, as it was when the leader schedule was drawn.
    fn fee_collector(&self) -> Pubkey {
        if !self.epoch_features.custom_commission_collector {
            return self.leader.identity;
        }
        self.epoch_stakes
            .get(&self.epoch)
            .and_then(|entry| entry.stakes.vote_accounts().get(&self.leader.vote))
            .and_then(|account| account.state().block_revenue_collector)
            .unwrap_or(self.leader.identity)
    }

    fn may_collect(&self, collector: &Pubkey, lamports_before: u64, account: &AccountSharedData) -> bool {
        let relax = self.epoch_features.relax_post_exec_min_balance_check;
        if self.epoch_features.custom_commission_collector {
            return *collector == self.leader.vote
                || commission_collector_valid(
                    collector,
                    lamports_before,
                    account,
                    self.reserved.is_reserved(collector),
                    &self.rent,
                    relax,
                );
        }
        system_program::check_id(account.owner())
            && check_static_account_rent_state_transition(
                lamports_before,
                account.lamports(),
                account.data().len(),
                &self.rent,
                0,
                relax,
            )
            .is_ok()
    }
}

/// solana_fee_calculator::DEFAULT_BURN_PERCENT; agave does not look at the genesis' own percentage.
const BURNED_PERCENT: u64 = solana_fee_calculator::DEFAULT_BURN_PERCENT as u64;
/// Of the fee actually charged; the governor's rate only goes into sysvars and nonces.
pub(crate) const LAMPORTS_PER_SIGNATURE: u64 = 5000;
