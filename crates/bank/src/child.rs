//! How a block begins on its parent (protocol.md 6.2; bank.rs:_new_from_parent, prepare_for_block_execution).

use {
    crate::Bank,
    solana_fee_calculator::FeeRateGovernor,
    solana_fee_structure::FeeDetails,
    solana_svm::transaction_processor::TransactionBatchProcessor,
    std::sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    tandem_types::{Epoch, Slot},
};

impl Bank {
    /// A new block at `slot`, later than the parent's; crosses epoch boundaries. Freezes the parent. There must be no
    /// other bank of that slot (see `Forks::purge`).
    pub fn child(parent: &Arc<Bank>, slot: Slot) -> Arc<Bank> {
        assert!(slot > parent.slot, "slot {slot} cannot be a child of slot {}", parent.slot);
        parent.freeze();
        let root = {
            let mut tree = parent.forks.tree.write().expect("invariant: no panic while the tree is held");
            tree.add(slot, parent.slot);
            tree.root()
        };
        let mut bank = Self::inherit(parent, slot, root);
        bank.begin(parent);
        Arc::new(bank)
    }

    fn inherit(parent: &Arc<Bank>, slot: Slot, root: Slot) -> Self {
        let epoch = parent.chain.epoch_schedule.get_epoch(slot);
        Self {
            forks: parent.forks.clone(),
            chain: parent.chain.clone(),
            parent: RwLock::new(Some(parent.clone())),
            slot,
            parent_slot: parent.slot,
            parent_hash: parent.hash(),
            epoch,
            block_height: parent.block_height + 1,
            // A leader may build on a parent so old that this line does not know the slot's epoch. Nobody else sees a
            // leader then either; the bank only has to survive it.
            leader: parent.leader_at(slot).unwrap_or_default(),
            ancestors: parent.ancestors.child(slot, root),
            fees: FeeRateGovernor::new_derived(&parent.fees, parent.signature_count()),
            hashes_per_tick: parent.hashes_per_tick,
            max_tick_height: (slot + 1) * parent.chain.ticks_per_slot,
            slot_params: parent.slot_params.clone(),
            inflation: parent.inflation,
            rent: parent.rent.clone(),
            features: parent.features.clone(),
            epoch_features: parent.epoch_features,
            reserved: parent.reserved.clone(),
            epoch_stakes: parent.epoch_stakes.clone(),
            distribution: parent.distribution.clone(),
            processor: TransactionBatchProcessor::new_from(&parent.processor, slot, epoch),
            runtime: parent.runtime.clone(),
            stakes: RwLock::new(parent.stakes.read().expect("invariant: no panic while the stakes are held").clone()),
            blockhashes: RwLock::new(parent.blockhashes.read().expect("invariant: no panic while held").clone()),
            tick_height: AtomicU64::new(parent.tick_height()),
            transaction_count: AtomicU64::new(parent.transaction_count()),
            signature_count: AtomicU64::new(0),
            capitalization: AtomicU64::new(parent.capitalization.load(Relaxed)),
            collected_fees: Mutex::new(FeeDetails::default()),
            costs: Mutex::new(
                parent.costs.lock().expect("invariant: no panic while the costs are held").new_from_parent_limits(),
            ),
            rewards: Mutex::new(Vec::new()),
            gate: RwLock::new(()),
            frozen: OnceLock::new(),
            lattice: OnceLock::new(),
            block_id: RwLock::new(None),
        }
    }

    fn begin(&mut self, parent: &Bank) {
        if parent.epoch < self.epoch {
            self.begin_epoch(parent.epoch);
        } else {
            self.add_epoch_stakes(self.chain.epoch_schedule.get_leader_schedule_epoch(self.slot));
        }
        self.distribute_stake_rewards();
        self.prepare_programs_for_next_epoch();
        self.write_slot_hashes();
        if parent.epoch != self.epoch {
            self.write_stake_history();
        }
        self.update_clock(Some(parent.epoch));
        self.write_last_restart_slot();
        self.processor.fill_missing_sysvar_cache_entries(self);
    }

    pub(crate) fn update_clock(&self, parent_epoch: Option<Epoch>) {
        let parent_clock = self.clock();
        let schedule = &self.chain.epoch_schedule;
        let estimate = {
            let stakes = self.stakes.read().expect("invariant: no panic while the stakes are held");
            tandem_epoch::timestamp_estimate(&tandem_epoch::TimestampInputs {
                slot: self.slot,
                vote_accounts: stakes.vote_accounts(),
                epoch_stakes: self.epoch_stakes.get(&self.epoch).map(|entry| entry.stakes.as_ref()),
                schedule,
                slot_params: &self.slot_params,
                epoch_start: Some((
                    schedule.get_first_slot_in_epoch(parent_epoch.unwrap_or(self.epoch)),
                    parent_clock.epoch_start_timestamp,
                )),
            })
        };
        self.write_clock(&tandem_epoch::next_clock(
            &parent_clock,
            self.slot,
            parent_epoch,
            estimate,
            schedule,
            self.chain.genesis_creation_time,
        ));
    }
}
