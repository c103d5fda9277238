//! Executing transactions against a bank, without changing it; and a whole entry of a block.

use {
    crate::{
        Bank, CommitInfo, DeadBlock, PreparedTx, TransactionBalances, Verify,
        checks::{AGE_MAX, CheckRules},
    },
    solana_program_runtime::{
        loaded_programs::ProgramRuntimeEnvironments, program_cache_entry::DELAY_VISIBILITY_SLOT_OFFSET,
    },
    solana_svm::{
        account_loader::TransactionCheckResult,
        transaction_processing_result::TransactionProcessingResult,
        transaction_processor::{
            ExecutionRecordingConfig, LoadAndExecuteSanitizedTransactionsOutput, TransactionProcessingConfig,
            TransactionProcessingEnvironment,
        },
    },
    solana_transaction_error::TransactionError,
    tandem_types::VersionedTransaction,
};

/// Whose block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Another's: everything must be processed, whatever it costs to load.
    Replay,
    /// Ours: what does not fit is left out.
    Leader,
}

/// What becomes of a transaction that a leader executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes into the block, even if it failed.
    Processed,
    /// Only this block has no room for it, or another transaction was in its way (banking_stage/consumer.rs, retryable errors).
    Later,
    /// No later block can take it as it is.
    Never,
}

/// Results that wait for `Bank::commit`. Dropped without it, nothing happened.
pub struct ExecutedBatch<'a> {
    pub(crate) bank: &'a Bank,
    pub(crate) txs: &'a [PreparedTx],
    pub(crate) results: Vec<TransactionProcessingResult>,
    pub(crate) balances: Vec<Option<TransactionBalances>>,
    /// Which transactions hold a reservation of block cost (leader only).
    pub(crate) reserved: Vec<bool>,
}

impl ExecutedBatch<'_> {
    /// For each transaction whether it was processed: only those may be recorded in a block. `Err` says why not; a
    /// transaction that ran and failed, or that only paid its fee, was processed.
    pub fn processed(&self) -> impl Iterator<Item = Result<(), &TransactionError>> {
        self.results.iter().map(|result| result.as_ref().map(|_| ()))
    }

    /// The same for whoever chooses what goes into a block: what did not fit is worth another try.
    pub fn fates(&self) -> impl Iterator<Item = Fate> {
        self.processed().map(|result| match result {
            Ok(()) => Fate::Processed,
            Err(
                TransactionError::AccountInUse
                | TransactionError::WouldExceedMaxBlockCostLimit
                | TransactionError::WouldExceedMaxVoteCostLimit
                | TransactionError::WouldExceedMaxAccountCostLimit
                | TransactionError::WouldExceedAccountDataBlockLimit,
            ) => Fate::Later,
            Err(_) => Fate::Never,
        })
    }

    pub fn len(&self) -> usize {
        self.results.len()
    }

    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }
}

impl Drop for ExecutedBatch<'_> {
    fn drop(&mut self) {
        for (tx, _) in self.txs.iter().zip(&self.reserved).filter(|(_, reserved)| **reserved) {
            self.bank.release(tx);
        }
    }
}

impl Bank {
    /// Runs the transactions in order; each sees what those before it wrote. Batches that are executed at the same time
    /// must not share writable accounts.
    pub fn execute<'a>(&'a self, txs: &'a [PreparedTx], mode: Mode) -> ExecutedBatch<'a> {
        let rules = CheckRules { age_max: AGE_MAX, strict_nonce_size: mode == Mode::Leader };
        let mut checks = self.check(txs, rules);
        let reserved = match mode {
            Mode::Replay => vec![false; txs.len()],
            Mode::Leader => self.reserve_all(txs, &mut checks),
        };
        let records = self.forks.records_transactions();
        let config = TransactionProcessingConfig {
            limit_to_load_programs: mode == Mode::Leader,
            recording_config: ExecutionRecordingConfig::new_single_setting(records),
            strict_nonce_size_check: mode == Mode::Leader,
            ..TransactionProcessingConfig::default()
        };
        let output = self.run(txs, checks, &config);
        let balances = match output.balance_collector {
            Some(collector) => TransactionBalances::split(collector),
            None => txs.iter().map(|_| None).collect(),
        };
        ExecutedBatch { bank: self, txs, results: output.processing_results, balances, reserved }
    }

    /// One entry of another's block: every transaction must be processed and fit, or the block is dead.
    pub fn execute_entry(&self, txs: Vec<VersionedTransaction>, verify: Verify) -> Result<Vec<CommitInfo>, DeadBlock> {
        let prepared = txs.into_iter().map(|tx| self.prepare_or_die(tx, verify)).collect::<Result<Vec<_>, _>>()?;
        self.execute_prepared(&prepared)
    }

    /// As `execute_entry`, for transactions prepared already (on other threads, say).
    pub fn execute_prepared(&self, txs: &[PreparedTx]) -> Result<Vec<CommitInfo>, DeadBlock> {
        let batch = self.execute(txs, Mode::Replay);
        // Nothing of the entry is committed if one of it cannot be: the slot is dead anyway.
        for (tx, result) in txs.iter().zip(batch.processed()) {
            result.map_err(|error| DeadBlock::Transaction { signature: *tx.signature(), error: error.clone() })?;
        }
        let committed: Vec<CommitInfo> = self
            .commit(batch)
            .into_iter()
            .map(|result| result.expect("invariant: every transaction was processed"))
            .collect();
        for (tx, info) in txs.iter().zip(&committed) {
            self.charge(tx, info.compute_units, info.loaded_accounts_bytes)
                .map_err(|error| DeadBlock::Cost { signature: *tx.signature(), error })?;
        }
        Ok(committed)
    }

    pub(crate) fn prepare_or_die(&self, tx: VersionedTransaction, verify: Verify) -> Result<PreparedTx, DeadBlock> {
        let signature = tx.signatures.first().copied().unwrap_or_default();
        self.prepare(tx, verify).map_err(|error| DeadBlock::Transaction { signature, error })
    }

    pub(crate) fn run(
        &self,
        txs: &[PreparedTx],
        checks: Vec<TransactionCheckResult>,
        config: &TransactionProcessingConfig<'_>,
    ) -> LoadAndExecuteSanitizedTransactionsOutput {
        let (blockhash, blockhash_lamports_per_signature) = {
            let blockhashes = self.blockhashes.read().expect("invariant: no panic while the blockhashes are held");
            let last = blockhashes.last();
            (last, blockhashes.lamports_per_signature(&last).unwrap_or_default())
        };
        // What is deployed here runs from the next slot on, under that slot's features.
        let deployed_for = self.chain.epoch_schedule.get_epoch(self.slot.saturating_add(DELAY_VISIBILITY_SLOT_OFFSET));
        let environment = TransactionProcessingEnvironment {
            blockhash,
            blockhash_lamports_per_signature,
            alpenglow_migration_succeeded: false,
            epoch_total_stake: self.next_epoch_stakes().total_stake(),
            feature_set: self.runtime.svm_features,
            program_runtime_environments: ProgramRuntimeEnvironments::new(
                self.processor.program_runtime_environment.clone(),
                self.processor.program_runtime_environment_for_epoch(deployed_for),
            ),
            rent: self.rent.clone(),
        };
        self.processor.load_and_execute_sanitized_transactions(self, txs, checks, &environment, config)
    }

    fn reserve_all(&self, txs: &[PreparedTx], checks: &mut [TransactionCheckResult]) -> Vec<bool> {
        txs.iter()
            .zip(checks)
            .map(|(tx, check)| {
                if check.is_err() {
                    return false;
                }
                match self.reserve(tx) {
                    Ok(()) => true,
                    Err(error) => {
                        *check = Err(error);
                        false
                    }
                }
            })
            .collect()
    }
}
