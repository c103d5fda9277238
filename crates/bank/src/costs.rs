//! What a block may cost (protocol.md 8.3).

use {
    crate::{Bank, PreparedTx},
    agave_feature_set::raise_block_limits_to_100m,
    solana_cost_model::{cost_model::CostModel, transaction_cost::TransactionCost},
    solana_runtime_transaction::{transaction_meta::TransactionMeta, transaction_with_meta::TransactionWithMeta},
    solana_transaction_error::TransactionError,
    tandem_epoch::CostLimits,
};

/// How full the block is, in compute units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCost {
    pub used: u64,
    pub limit: u64,
}

/// What a leader weighs a transaction by before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackingFigures {
    /// Lamports its inclusion pays the leader.
    pub reward: u64,
    /// The most compute units it can take of the block.
    pub cost: u64,
    pub alloc_bytes: u64,
    /// Its size in an entry.
    pub entry_bytes: u64,
}

impl Bank {
    /// `None` if its compute budget cannot be read: it could never be processed.
    pub fn packing_figures(&self, tx: &PreparedTx) -> Option<PackingFigures> {
        let config = tx.transaction_configuration(&self.features).ok()?;
        let cost = self.requested_cost(tx);
        Some(PackingFigures {
            reward: self.reward_for(tx, &config),
            cost: cost.sum(),
            alloc_bytes: cost.allocated_accounts_data_size(),
            entry_bytes: bincode::serialized_size(&tx.to_versioned_transaction()).ok()?,
        })
    }

    /// Of this slot's parameter row.
    pub fn block_limits(&self) -> CostLimits {
        self.slot_params().cost_limits(self.features.is_active(&raise_block_limits_to_100m::id()))
    }

    pub fn block_cost(&self) -> BlockCost {
        let costs = self.costs.lock().expect("invariant: no panic while the costs are held");
        BlockCost { used: costs.block_cost(), limit: costs.get_block_limit() }
    }

    /// Takes up the cost of a transaction that was executed.
    pub(crate) fn charge(&self, tx: &PreparedTx, units: u64, loaded_bytes: u32) -> Result<(), TransactionError> {
        let cost = CostModel::calculate_cost_for_executed_transaction(tx, units, loaded_bytes, &self.features);
        let mut costs = self.costs.lock().expect("invariant: no panic while the costs are held");
        costs.try_add(&cost).map(|_| ()).map_err(TransactionError::from)
    }

    /// Takes up the most a transaction may cost, before it is executed.
    pub(crate) fn reserve(&self, tx: &PreparedTx) -> Result<(), TransactionError> {
        let cost = self.requested_cost(tx);
        let mut costs = self.costs.lock().expect("invariant: no panic while the costs are held");
        costs.try_add(&cost).map(|_| ()).map_err(TransactionError::from)
    }

    /// Replaces a reservation by the actual cost.
    pub(crate) fn settle(&self, tx: &PreparedTx, units: u64, loaded_bytes: u32) {
        let cost = self.requested_cost(tx);
        let loaded_cost = CostModel::calculate_loaded_accounts_data_size_cost(loaded_bytes, &self.features);
        let mut costs = self.costs.lock().expect("invariant: no panic while the costs are held");
        costs.update_execution_cost(&cost, units, loaded_cost);
    }

    /// Gives a reservation back.
    pub(crate) fn release(&self, tx: &PreparedTx) {
        let cost = self.requested_cost(tx);
        self.costs.lock().expect("invariant: no panic while the costs are held").remove(&cost);
    }

    fn requested_cost<'a>(&self, tx: &'a PreparedTx) -> TransactionCost<'a, PreparedTx> {
        CostModel::calculate_cost(tx, &self.features)
    }
}
