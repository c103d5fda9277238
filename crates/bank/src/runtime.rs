//! The program runtime of a bank: environments, builtins, precompiles, and the upkeep of the program cache.

use {
    crate::{Bank, BankError, SlotTree, store::LAMPORTS_BEFORE_RENT},
    agave_feature_set::FeatureSet,
    agave_precompiles::{get_precompile, get_precompiles, is_precompile},
    solana_account::{Account, AccountSharedData, ReadableAccount},
    solana_builtins::{BUILTINS, prototype::BuiltinPrototype},
    solana_clock::INITIAL_RENT_EPOCH,
    solana_compute_budget::compute_budget::ComputeBudget,
    solana_precompile_error::PrecompileError,
    solana_program_runtime::{
        loaded_programs::{MAX_LOADED_ENTRY_COUNT, ProgramRuntimeEnvironment},
        program_cache_entry::ProgramCacheEntry,
    },
    solana_sdk_ids::{bpf_loader_upgradeable, native_loader},
    solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback},
    solana_svm_feature_set::SVMFeatureSet,
    solana_syscalls::create_program_runtime_environment,
    tandem_types::{Pubkey, Slot},
};

/// Derived from the features once per bank, because every batch wants it.
#[derive(Clone)]
pub(crate) struct RuntimeCaches {
    pub(crate) svm_features: SVMFeatureSet,
}

impl RuntimeCaches {
    pub(crate) fn new(features: &FeatureSet) -> Self {
        Self { svm_features: features.runtime_features() }
    }
}

pub(crate) fn environment(features: &FeatureSet) -> Result<ProgramRuntimeEnvironment, BankError> {
    create_program_runtime_environment(
        &features.runtime_features(),
        &compute_budget(features).to_budget(),
        false, // The check for deployments is the loader's.
        false,
    )
    .map_err(|error| BankError::Runtime(error.to_string()))
}

pub(crate) fn compute_budget(features: &FeatureSet) -> ComputeBudget {
    ComputeBudget::new_with_defaults(features.snapshot().raise_cpi_nesting_limit_to_8)
}

impl Bank {
    /// Registers the active builtins with a fresh processor (bank.rs:add_active_builtin_programs).
    pub(crate) fn register_builtins(&self) {
        for builtin in self.active_builtins() {
            self.register_builtin(builtin);
        }
    }

    pub(crate) fn register_builtin(&self, builtin: &BuiltinPrototype) {
        let activated = builtin.enable_feature_id.and_then(|feature| self.features.activated_slot(&feature));
        self.processor.add_builtin(
            builtin.program_id,
            ProgramCacheEntry::new_builtin(activated.unwrap_or(0), builtin.name.len(), builtin.register_fn),
        );
    }

    /// The accounts of builtins and precompiles, where they do not exist yet (bank.rs:add_builtin_program_accounts).
    pub(crate) fn write_builtin_accounts(&self) {
        for builtin in self.active_builtins() {
            self.write_builtin_account(builtin);
        }
        for precompile in get_precompiles() {
            if precompile.feature.is_none_or(|feature| self.features.is_active(&feature)) {
                self.write_precompile_account(&precompile.program_id);
            }
        }
    }

    pub(crate) fn write_builtin_account(&self, builtin: &BuiltinPrototype) {
        if let Some((existing, _)) = self.load(&builtin.program_id) {
            if native_loader::check_id(existing.owner()) {
                return;
            }
            self.burn(&builtin.program_id, existing);
        }
        self.store_and_count(&builtin.program_id, native_account(builtin.name.as_bytes().to_vec()));
    }

    pub(crate) fn write_precompile_account(&self, program: &Pubkey) {
        if let Some((existing, _)) = self.load(program) {
            if existing.executable() {
                return;
            }
            self.burn(program, existing);
        }
        self.store_and_count(program, native_account(Vec::new()));
    }

    /// Builtins whose feature is active and that were not replaced by an on-chain program.
    fn active_builtins(&self) -> impl Iterator<Item = &'static BuiltinPrototype> + '_ {
        BUILTINS.iter().filter(|builtin| {
            let is_replaced = builtin.core_bpf_migration_config.is_some()
                && self
                    .load(&builtin.program_id)
                    .is_some_and(|(account, _)| bpf_loader_upgradeable::check_id(account.owner()));
            !is_replaced && builtin.enable_feature_id.is_none_or(|feature| self.features.is_active(&feature))
        })
    }

    /// Towards the end of an epoch: what is deployed now will run under the next epoch's features, and what is loaded is
    /// compiled for them one program per block (bank.rs:prepare_program_cache_for_upcoming_feature_set).
    pub(crate) fn prepare_programs_for_next_epoch(&self) {
        let schedule = &self.chain.epoch_schedule;
        let (_, slot_index) = schedule.get_epoch_and_slot_index(self.slot);
        let slots_in_epoch = schedule.get_slots_in_epoch(self.epoch);
        let phase = (MAX_LOADED_ENTRY_COUNT as u64).min(slots_in_epoch) / 2;
        let mut preparation = self
            .processor
            .epoch_boundary_preparation
            .write()
            .expect("invariant: no panic while the preparation is held");
        if let Some(upcoming) = preparation.upcoming_environment.clone() {
            if let Some((key, program)) = preparation.programs_to_recompile.pop() {
                drop(preparation);
                self.processor.prepare_one_program_for_upcoming_feature_set(
                    self,
                    false,
                    &upcoming,
                    &key,
                    &program.stats,
                );
            }
            return;
        }
        if slot_index.saturating_add(phase) < slots_in_epoch {
            return;
        }
        let (upcoming_features, _) = self.active_features(true);
        let new =
            environment(&upcoming_features).expect("invariant: environments differ only by features the crate knows");
        let current = &self.processor.program_runtime_environment;
        if ***current == **new {
            preparation.programs_to_recompile.clear();
            preparation.upcoming_environment = Some(current.clone());
        } else {
            let programs = self
                .processor
                .global_program_cache
                .read()
                .expect("invariant: no panic while the program cache is held");
            preparation.programs_to_recompile =
                programs.get_flattened_entries().into_iter().map(|(id, _, entry)| (id, entry)).collect();
            preparation.programs_to_recompile.sort_by_cached_key(|(_, program)| program.retention_score());
            preparation.upcoming_environment = Some(new);
        }
        preparation.upcoming_epoch = self.epoch.saturating_add(1);
    }

    /// Before this bank becomes the root (bank.rs:prune_program_cache).
    pub(crate) fn prune_programs(&self, tree: &SlotTree) {
        let outdated = self
            .processor
            .epoch_boundary_preparation
            .write()
            .expect("invariant: no panic while the preparation is held")
            .reroot(self.epoch);
        let environment = outdated.map(|_| self.processor.program_runtime_environment.clone());
        self.processor
            .global_program_cache
            .write()
            .expect("invariant: no panic while the program cache is held")
            .prune(self.slot, environment, tree);
    }
}

impl TransactionProcessingCallback for Bank {
    fn get_account_shared_data(&self, pubkey: &Pubkey) -> Option<(AccountSharedData, Slot)> {
        self.load(pubkey)
    }
}

impl InvokeContextCallback for Bank {
    fn get_epoch_stake(&self) -> u64 {
        self.next_epoch_stakes().total_stake()
    }

    fn get_epoch_stake_for_vote_account(&self, vote_address: &Pubkey) -> u64 {
        self.next_epoch_stakes().vote_account_stake(vote_address)
    }

    fn is_precompile(&self, program_id: &Pubkey) -> bool {
        is_precompile(program_id, |feature| self.features.is_active(feature))
    }

    fn process_precompile(
        &self,
        program_id: &Pubkey,
        data: &[u8],
        instruction_datas: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        get_precompile(program_id, |feature| self.features.is_active(feature))
            .ok_or(PrecompileError::InvalidPublicKey)?
            .verify(data, &instruction_datas, &self.features)
    }
}

fn native_account(data: Vec<u8>) -> AccountSharedData {
    Account {
        lamports: LAMPORTS_BEFORE_RENT,
        data,
        owner: native_loader::id(),
        executable: true,
        rent_epoch: INITIAL_RENT_EPOCH,
    }
    .into()
}
