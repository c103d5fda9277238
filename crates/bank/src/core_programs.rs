//! On-chain programs that a feature replaces at an epoch boundary, with the program in a buffer account.
//! Must match: solana-runtime-4.2.2 bank/builtins/core_bpf_migration.

use {
    crate::Bank,
    agave_feature_set::replace_spl_token_with_p_token,
    solana_account::{AccountSharedData, ReadableAccount, WritableAccount},
    solana_instruction::error::InstructionError,
    solana_loader_v3_interface::{get_program_data_address, state::UpgradeableLoaderState},
    solana_program_runtime::{
        deploy::deploy_program, loaded_programs::ProgramCacheForTxBatch, program_metrics::LoadProgramMetrics,
    },
    solana_sdk_ids::{bpf_loader, bpf_loader_upgradeable, stake, system_program},
    tandem_types::Pubkey,
};

/// Why the program stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("account {0} does not exist")]
    Missing(Pubkey),
    #[error("account {0} has another owner or is not executable")]
    NotAProgram(Pubkey),
    #[error("account {0} does not hold what its loader would have put there")]
    Content(Pubkey),
    #[error("account {0} exists where the new program's data belongs")]
    DataAccountExists(Pubkey),
    #[error("the program cannot be deployed: {0}")]
    Deploy(InstructionError),
    #[error("the new account's state has no encoding: {0}")]
    Encode(#[from] bincode::Error),
}

impl Bank {
    /// The stake program keeps its address and its authority, its code comes from `buffer`.
    pub(crate) fn upgrade_stake_program(&self, buffer: &Pubkey) -> Result<(), UpgradeError> {
        let program_id = stake::id();
        let data_address = get_program_data_address(&program_id);
        let program = self.existing(&program_id)?;
        if !bpf_loader_upgradeable::check_id(program.owner()) || !program.executable() {
            return Err(UpgradeError::NotAProgram(program_id));
        }
        match bincode::deserialize(program.data()) {
            Ok(UpgradeableLoaderState::Program { programdata_address }) if programdata_address == data_address => {}
            Ok(_) | Err(_) => return Err(UpgradeError::Content(program_id)),
        }
        let old_data = self.existing(&data_address)?;
        let authority = match head(&old_data, UpgradeableLoaderState::size_of_programdata_metadata()) {
            Some(UpgradeableLoaderState::ProgramData { upgrade_authority_address, .. })
                if bpf_loader_upgradeable::check_id(old_data.owner()) =>
            {
                upgrade_authority_address
            }
            Some(_) | None => return Err(UpgradeError::Content(data_address)),
        };
        let buffer_account = self.buffer(buffer)?;
        let new_data = self.program_data(buffer, &buffer_account, authority)?;
        self.deploy(&program_id, new_data.data())?;
        self.move_capitalization(old_data.lamports() + buffer_account.lamports(), new_data.lamports());
        self.store(&[(data_address, new_data)]);
        self.store(&[(*buffer, AccountSharedData::default())]);
        Ok(())
    }

    /// The token program moves from loader v2 to loader v3 without an authority.
    pub(crate) fn replace_token_program(&self) -> Result<(), UpgradeError> {
        let program_id = replace_spl_token_with_p_token::SPL_TOKEN_PROGRAM_ID;
        let buffer = replace_spl_token_with_p_token::PTOKEN_PROGRAM_BUFFER;
        let data_address = get_program_data_address(&program_id);
        let old_program = self.existing(&program_id)?;
        if !bpf_loader::check_id(old_program.owner()) || !old_program.executable() {
            return Err(UpgradeError::NotAProgram(program_id));
        }
        // Anyone can send lamports to the address; that alone must not stop the upgrade (SIMD-0444).
        let prefunded = match self.load(&data_address) {
            None => 0,
            Some((account, _))
                if self.features.snapshot().relax_programdata_account_check_migration
                    && system_program::check_id(account.owner()) =>
            {
                account.lamports()
            }
            Some(_) => return Err(UpgradeError::DataAccountExists(data_address)),
        };
        let buffer_account = self.buffer(&buffer)?;
        let state = UpgradeableLoaderState::Program { programdata_address: data_address };
        let lamports = self.minimum_balance(UpgradeableLoaderState::size_of_program());
        let mut new_program = AccountSharedData::new_data(lamports, &state, &bpf_loader_upgradeable::id())?;
        new_program.set_executable(true);
        let new_data = self.program_data(&buffer, &buffer_account, None)?;
        self.deploy(&program_id, new_data.data())?;
        self.move_capitalization(
            old_program.lamports() + buffer_account.lamports() + prefunded,
            new_program.lamports() + new_data.lamports(),
        );
        self.store(&[(program_id, new_program)]);
        self.store(&[(data_address, new_data)]);
        self.store(&[(buffer, AccountSharedData::default())]);
        Ok(())
    }

    fn existing(&self, address: &Pubkey) -> Result<AccountSharedData, UpgradeError> {
        self.load(address).map(|(account, _)| account).ok_or(UpgradeError::Missing(*address))
    }

    fn buffer(&self, address: &Pubkey) -> Result<AccountSharedData, UpgradeError> {
        let account = self.existing(address)?;
        if !bpf_loader_upgradeable::check_id(account.owner()) {
            return Err(UpgradeError::NotAProgram(*address));
        }
        match head(&account, UpgradeableLoaderState::size_of_buffer_metadata()) {
            Some(UpgradeableLoaderState::Buffer { .. }) => Ok(account),
            Some(_) | None => Err(UpgradeError::Content(*address)),
        }
    }

    fn program_data(
        &self,
        buffer: &Pubkey,
        buffer_account: &AccountSharedData,
        authority: Option<Pubkey>,
    ) -> Result<AccountSharedData, UpgradeError> {
        let Some(UpgradeableLoaderState::Buffer { authority_address }) =
            head(buffer_account, UpgradeableLoaderState::size_of_buffer_metadata())
        else {
            return Err(UpgradeError::Content(*buffer));
        };
        if authority.is_some() && authority != authority_address {
            return Err(UpgradeError::Content(*buffer));
        }
        let elf = &buffer_account.data()[UpgradeableLoaderState::size_of_buffer_metadata()..];
        let metadata_bytes = UpgradeableLoaderState::size_of_programdata_metadata();
        let space = metadata_bytes + elf.len();
        let state = UpgradeableLoaderState::ProgramData { slot: self.slot, upgrade_authority_address: authority };
        let mut account = AccountSharedData::new_data_with_space(
            self.minimum_balance(space),
            &state,
            space,
            &bpf_loader_upgradeable::id(),
        )?;
        account.data_as_mut_slice()[metadata_bytes..].copy_from_slice(elf);
        Ok(account)
    }

    /// Verifies the program and puts it into the cache, visible from the next slot on.
    fn deploy(&self, program_id: &Pubkey, program_data: &[u8]) -> Result<(), UpgradeError> {
        let mut batch = ProgramCacheForTxBatch::new(self.slot);
        deploy_program(
            None,
            &mut LoadProgramMetrics::default(),
            &mut batch,
            self.processor.program_runtime_environment_for_epoch(self.epoch),
            false, // Programs of the runtime may be older than what users may deploy.
            program_id,
            &bpf_loader_upgradeable::id(),
            UpgradeableLoaderState::size_of_program().saturating_add(program_data.len()),
            &program_data[UpgradeableLoaderState::size_of_programdata_metadata()..],
            self.slot,
        )
        .map_err(UpgradeError::Deploy)?;
        self.processor
            .global_program_cache
            .write()
            .expect("invariant: no panic while the program cache is held")
            .merge(&self.processor.program_runtime_environment, self.slot, &batch.drain_modified_entries());
        Ok(())
    }
}

fn head(account: &AccountSharedData, bytes: usize) -> Option<UpgradeableLoaderState> {
    bincode::deserialize(account.data().get(..bytes)?).ok()
}
