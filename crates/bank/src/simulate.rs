//! Running a transaction to see what it would do.

use {
    crate::{
        Bank, PreparedTx, TransactionBalances,
        checks::{AGE_MAX, CheckRules},
    },
    solana_account::{AccountSharedData, ReadableAccount},
    solana_clock::MAX_TRANSACTION_FORWARDING_DELAY,
    solana_message::inner_instruction::InnerInstructionsList,
    solana_sdk_ids::sysvar,
    solana_svm::{
        account_overrides::AccountOverrides,
        transaction_processing_result::ProcessedTransaction,
        transaction_processor::{ExecutionRecordingConfig, TransactionProcessingConfig},
    },
    solana_svm_transaction::svm_message::SVMMessage,
    solana_transaction_context::transaction::TransactionReturnData,
    solana_transaction_error::TransactionError,
    tandem_types::Pubkey,
};

/// What `simulateTransaction` answers.
#[derive(Clone, Debug, Default)]
pub struct SimulationResult {
    pub err: Option<TransactionError>,
    pub logs: Vec<String>,
    pub units_consumed: u64,
    pub loaded_accounts_bytes: u32,
    pub fee: Option<u64>,
    pub return_data: Option<TransactionReturnData>,
    pub inner_instructions: Option<InnerInstructionsList>,
    /// The transaction's accounts after it, in its order; empty if it was not executed.
    pub post_accounts: Vec<(Pubkey, AccountSharedData)>,
    pub balances: Option<TransactionBalances>,
}

impl Bank {
    /// Runs the transaction on top of this bank and keeps nothing. Prepare it with `Verify::Done` to leave signatures
    /// unchecked. Its blockhash must be young enough to survive the way to a leader.
    pub fn simulate(&self, tx: &PreparedTx, with_inner_instructions: bool) -> SimulationResult {
        let txs = std::slice::from_ref(tx);
        let rules = CheckRules { age_max: AGE_MAX - MAX_TRANSACTION_FORWARDING_DELAY as u64, strict_nonce_size: false };
        let overrides = self.simulation_overrides(tx);
        let config = TransactionProcessingConfig {
            account_overrides: Some(&overrides),
            limit_to_load_programs: true,
            recording_config: ExecutionRecordingConfig {
                enable_cpi_recording: with_inner_instructions,
                enable_log_recording: true,
                enable_return_data_recording: true,
                enable_transaction_balance_recording: true,
            },
            ..TransactionProcessingConfig::default()
        };
        let output = self.run(txs, self.check(txs, rules), &config);
        let balances =
            output.balance_collector.and_then(|collector| TransactionBalances::split(collector).pop().flatten());
        let result = output.processing_results.into_iter().next();
        let mut simulation = SimulationResult { balances, ..SimulationResult::default() };
        match result {
            None => simulation.err = Some(TransactionError::InvalidProgramForExecution),
            Some(Err(error)) => simulation.err = Some(error),
            Some(Ok(processed)) => simulation.take(processed, tx.account_keys().len()),
        }
        simulation
    }

    /// A frozen bank's slot history names its own slot already; programs that run in the block do not see that yet.
    fn simulation_overrides(&self, tx: &PreparedTx) -> AccountOverrides {
        let mut overrides = AccountOverrides::default();
        let id = sysvar::slot_history::id();
        if tx.account_keys().iter().any(|key| *key == id)
            && self.forks.accounts.written_in(&id, self.slot).is_some()
            && let Some((account, _)) = self.forks.accounts.load(&id, &self.ancestors.without_tip())
            && account.lamports() > 0
        {
            overrides.set_slot_history(Some(account));
        }
        overrides
    }
}

impl SimulationResult {
    fn take(&mut self, processed: ProcessedTransaction, account_count: usize) {
        self.err = processed.status().err();
        self.fee = Some(processed.fee_details().total_fee());
        self.units_consumed = processed.executed_units();
        self.loaded_accounts_bytes = processed.loaded_accounts_data_size();
        if let ProcessedTransaction::Executed(executed) = processed {
            self.logs = executed.execution_details.log_messages.unwrap_or_default();
            self.return_data = executed.execution_details.return_data;
            self.inner_instructions = executed.execution_details.inner_instructions;
            self.post_accounts = executed.loaded_transaction.accounts.into_iter().take(account_count).collect();
        }
    }
}
