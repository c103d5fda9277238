//! The bank of slot 0 (protocol.md 6.1; bank.rs:new_from_genesis). The order of the steps is agave's.

use {
    crate::{
        Bank, BankError, BlockhashQueue, Forks,
        bank::{Chain, EpochEntry},
        features::without_exemption_threshold,
        runtime::{self, RuntimeCaches},
    },
    agave_feature_set::FeatureSet,
    agave_reserved_account_keys::ReservedAccountKeys,
    solana_account::{AccountSharedData, ReadableAccount},
    solana_cost_model::cost_tracker::CostTracker,
    solana_fee_structure::FeeDetails,
    solana_genesis_config::GenesisConfig,
    solana_hard_forks::HardForks,
    solana_svm::transaction_processor::TransactionBatchProcessor,
    std::{
        collections::BTreeMap,
        sync::{
            Arc, Mutex, OnceLock, RwLock,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    },
    tandem_accounts::Ancestors,
    tandem_epoch::{EpochFeatures, SlotParams, SlotParamsTable, StakeMath, StakesCache},
    tandem_types::{Hash, Pubkey},
};

impl Bank {
    /// Slot 0 before its ticks. `genesis_hash` is the hash of the genesis' bytes.
    pub fn from_genesis(genesis: &GenesisConfig, genesis_hash: Hash) -> Result<Arc<Bank>, BankError> {
        Self::from_genesis_with(genesis, genesis_hash, HardForks::default())
    }

    pub fn from_genesis_with(
        genesis: &GenesisConfig,
        genesis_hash: Hash,
        hard_forks: HardForks,
    ) -> Result<Arc<Bank>, BankError> {
        if genesis.ticks_per_slot == 0 {
            return Err(BankError::NoTicks);
        }
        let mut bank = Self::blank(genesis, genesis_hash, hard_forks)?;
        bank.store_genesis_accounts(genesis)?;
        bank.start_features()?;
        bank.start_epoch_stakes();
        bank.write_stake_history();
        bank.update_clock(None);
        bank.write_rent();
        bank.write_epoch_schedule();
        bank.write_recent_blockhashes();
        bank.write_last_restart_slot();
        bank.processor.fill_missing_sysvar_cache_entries(&bank);
        Ok(Arc::new(bank))
    }

    fn blank(genesis: &GenesisConfig, genesis_hash: Hash, hard_forks: HardForks) -> Result<Self, BankError> {
        let schedule = genesis.epoch_schedule.clone();
        let features = FeatureSet::default();
        let genesis_slot_params =
            SlotParams::genesis(genesis.ns_per_slot(), genesis.slots_per_year(), genesis.hashes_per_tick());
        let stakes = Self::genesis_stakes(genesis);
        // Old genesis files have vote accounts of a layout that counts for nothing today, or none with stake. They have a hash,
        // and a slot 0, all the same; that nobody leads shows in the schedule.
        let leader = stakes.highest_staked_node().unwrap_or_default();
        let forks = Arc::new(Forks::default());
        let processor = TransactionBatchProcessor::new_uninitialized(0, 0);
        processor
            .global_program_cache
            .write()
            .expect("invariant: the cache is new")
            .set_fork_graph(Arc::downgrade(&forks.tree));
        let _ = forks.programs.set(processor.global_program_cache.clone());
        Ok(Self {
            slot_params: SlotParamsTable::new(&features, &schedule, genesis_slot_params),
            epoch_features: EpochFeatures::new(&features, &schedule),
            runtime: RuntimeCaches::new(&features),
            features: Arc::new(features),
            chain: Arc::new(Chain {
                genesis_hash,
                genesis_creation_time: genesis.creation_time,
                genesis_slot_params,
                ticks_per_slot: genesis.ticks_per_slot,
                epoch_schedule: schedule,
                hard_forks,
            }),
            forks,
            parent: RwLock::new(None),
            slot: 0,
            parent_slot: 0,
            parent_hash: Hash::default(),
            epoch: 0,
            block_height: 0,
            leader,
            ancestors: Ancestors::only(0),
            fees: genesis.fee_rate_governor.clone(),
            hashes_per_tick: genesis.hashes_per_tick(),
            max_tick_height: genesis.ticks_per_slot,
            inflation: genesis.inflation,
            rent: genesis.rent.clone(),
            reserved: Arc::new(ReservedAccountKeys::default()),
            epoch_stakes: Arc::new(BTreeMap::new()),
            distribution: None,
            processor,
            stakes: RwLock::new(stakes),
            blockhashes: RwLock::new(Arc::new(BlockhashQueue::from_genesis(
                genesis_hash,
                genesis.fee_rate_governor.lamports_per_signature,
            ))),
            tick_height: AtomicU64::new(0),
            transaction_count: AtomicU64::new(0),
            signature_count: AtomicU64::new(0),
            capitalization: AtomicU64::new(0),
            collected_fees: Mutex::new(FeeDetails::default()),
            costs: Mutex::new(CostTracker::default()),
            rewards: Mutex::new(Vec::new()),
            gate: RwLock::new(()),
            frozen: OnceLock::new(),
            lattice: OnceLock::new(),
            block_id: RwLock::new(None),
        })
    }

    /// With the stake arithmetic of no features at all: agave builds the cache before it looks at them.
    fn genesis_stakes(genesis: &GenesisConfig) -> StakesCache {
        let accounts: Vec<(&Pubkey, AccountSharedData)> =
            genesis.accounts.iter().map(|(pubkey, account)| (pubkey, account.clone().into())).collect();
        StakesCache::from_genesis(accounts.iter().map(|(pubkey, account)| (*pubkey, account)), &StakeMath::default())
    }

    /// Rewards pools exist but are not counted.
    fn store_genesis_accounts(&self, genesis: &GenesisConfig) -> Result<(), BankError> {
        if let Some(repeated) = genesis.rewards_pools.keys().find(|pubkey| genesis.accounts.contains_key(pubkey)) {
            return Err(BankError::RepeatedAccount(*repeated));
        }
        let accounts: Vec<(Pubkey, AccountSharedData)> = genesis
            .accounts
            .iter()
            .chain(&genesis.rewards_pools)
            .map(|(pubkey, account)| (*pubkey, account.clone().into()))
            .collect();
        self.forks.accounts.store(0, &accounts);
        let lamports: u64 = genesis.accounts.values().map(ReadableAccount::lamports).sum();
        self.capitalization.store(lamports, Relaxed);
        Ok(())
    }

    fn start_features(&mut self) -> Result<(), BankError> {
        let (features, _) = self.active_features(false);
        if features.snapshot().deprecate_rent_exemption_threshold {
            self.rent = without_exemption_threshold(&self.rent);
        }
        self.features = Arc::new(features.clone());
        self.write_builtin_accounts();
        self.apply_features(features);
        self.processor.set_execution_cost(runtime::compute_budget(&self.features).to_cost());
        self.processor.program_runtime_environment = runtime::environment(&self.features)?;
        self.register_builtins();
        Ok(())
    }

    /// The genesis' stakes count for every epoch whose leaders must be known already.
    fn start_epoch_stakes(&mut self) {
        let schedule = &self.chain.epoch_schedule;
        let entries = (0..=schedule.get_leader_schedule_epoch(0))
            .map(|epoch| (epoch, Arc::new(EpochEntry::new(self.top_epoch_stakes(epoch), schedule))))
            .collect();
        self.epoch_stakes = Arc::new(entries);
    }
}
