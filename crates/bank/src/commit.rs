//! Taking results over into the bank (protocol.md 11.4; bank.rs:commit_transactions, account_saver.rs).

use {
    crate::{Bank, ExecutedBatch, OpenGuard, PreparedTx},
    solana_account::AccountSharedData,
    solana_fee_structure::FeeDetails,
    solana_message::inner_instruction::InnerInstructionsList,
    solana_runtime_transaction::transaction_meta::TransactionMeta,
    solana_svm::{
        transaction_balances::{BalanceCollector, SvmTokenInfo},
        transaction_processing_result::{ProcessedTransaction, TransactionProcessingResult},
    },
    solana_svm_transaction::svm_message::SVMMessage,
    solana_transaction_context::transaction::TransactionReturnData,
    solana_transaction_error::TransactionError,
    std::sync::atomic::Ordering::Relaxed,
    tandem_types::{Pubkey, Signature},
};

/// What became of a committed transaction.
#[derive(Clone, Debug)]
pub struct CommitInfo {
    pub signature: Signature,
    pub status: Result<(), TransactionError>,
    pub fee: u64,
    pub compute_units: u64,
    pub loaded_accounts_bytes: u32,
    pub is_simple_vote: bool,
    // Only if `Forks::record_transactions` is on.
    pub logs: Option<Vec<String>>,
    pub inner_instructions: Option<InnerInstructionsList>,
    pub return_data: Option<TransactionReturnData>,
    pub balances: Option<TransactionBalances>,
}

/// Before and after a transaction, by the index of the account in it.
#[derive(Clone, Debug, Default)]
pub struct TransactionBalances {
    pub pre: Vec<u64>,
    pub post: Vec<u64>,
    pub pre_token: Vec<TokenBalance>,
    pub post_token: Vec<TokenBalance>,
}

/// A token account a transaction named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBalance {
    pub account_index: u8,
    pub mint: Pubkey,
    pub amount: u64,
    pub owner: Pubkey,
    pub program_id: Pubkey,
    pub decimals: u8,
}

impl Bank {
    /// Writes the batch. One result per transaction: `Err` for those that were not processed and left no trace.
    pub fn commit(&self, batch: ExecutedBatch<'_>) -> Vec<Result<CommitInfo, TransactionError>> {
        let open = self.hold_open().expect("invariant: what is committed was executed before the bank froze");
        self.commit_held(&open, batch)
    }

    /// As `commit`, for a caller that holds the bank open already (a producer does, from before it records).
    pub fn commit_held(
        &self,
        _open: &OpenGuard<'_>,
        batch: ExecutedBatch<'_>,
    ) -> Vec<Result<CommitInfo, TransactionError>> {
        let mut batch = batch;
        let results = std::mem::take(&mut batch.results);
        let balances = std::mem::take(&mut batch.balances);
        for ((tx, result), reserved) in batch.txs.iter().zip(&results).zip(&mut batch.reserved) {
            if let (Ok(processed), true) = (result, *reserved) {
                self.settle(tx, processed.executed_units(), processed.loaded_accounts_data_size());
                *reserved = false;
            }
        }
        self.count(batch.txs, &results);
        self.store_results(batch.txs, &results);
        self.keep_deployed_programs(&results);
        self.keep_statuses(batch.txs, &results);
        batch
            .txs
            .iter()
            .zip(results)
            .zip(balances)
            .map(|((tx, result), balances)| result.map(|processed| CommitInfo::new(tx, processed, balances)))
            .collect()
    }

    /// Failed transactions count as well: they paid.
    fn count(&self, txs: &[PreparedTx], results: &[TransactionProcessingResult]) {
        let mut fees = FeeDetails::default();
        let (mut transactions, mut signatures) = (0, 0);
        for (tx, processed) in txs.iter().zip(results).filter_map(|(tx, result)| Some((tx, result.as_ref().ok()?))) {
            transactions += 1;
            // Signatures that precompiles check are not the transaction's own.
            signatures += tx.signature_details().num_transaction_signatures();
            fees.accumulate(&processed.fee_details());
        }
        self.transaction_count.fetch_add(transactions, Relaxed);
        self.signature_count.fetch_add(signatures, Relaxed);
        self.collected_fees.lock().expect("invariant: no panic while the fees are held").accumulate(&fees);
    }

    fn store_results(&self, txs: &[PreparedTx], results: &[TransactionProcessingResult]) {
        let mut accounts: Vec<(Pubkey, AccountSharedData)> = Vec::new();
        for (tx, result) in txs.iter().zip(results) {
            let rollback = match result {
                Err(_) => continue,
                Ok(ProcessedTransaction::Executed(executed)) if executed.was_successful() => {
                    let loaded = &executed.loaded_transaction;
                    let written = loaded.accounts.iter().zip(&*loaded.touched_flags).take(tx.account_keys().len());
                    for (index, ((pubkey, account), touched)) in written.enumerate() {
                        // A program that is only called cannot have been changed.
                        let only_invoked = tx.is_invoked(index) && !tx.is_instruction_account(index);
                        if *touched && tx.is_writable(index) && !only_invoked {
                            accounts.push((*pubkey, account.clone()));
                        }
                    }
                    continue;
                }
                Ok(ProcessedTransaction::Executed(executed)) => &executed.loaded_transaction.rollback_accounts,
                Ok(ProcessedTransaction::FeesOnly(fees_only)) => &fees_only.rollback_accounts,
            };
            accounts.extend(rollback.into_iter().cloned());
        }
        self.forks.accounts.store(self.slot, &accounts);
        self.update_stakes(txs, results);
    }

    /// The stakes cache looks at every account of every successful transaction, and at no other (protocol.md 6.13).
    fn update_stakes(&self, txs: &[PreparedTx], results: &[TransactionProcessingResult]) {
        let mut stakes = None;
        for (tx, result) in txs.iter().zip(results) {
            let Ok(ProcessedTransaction::Executed(executed)) = result else { continue };
            if !executed.was_successful() {
                continue;
            }
            for (pubkey, account) in executed.loaded_transaction.accounts.iter().take(tx.account_keys().len()) {
                if !is_stake_or_vote(account) {
                    continue;
                }
                stakes
                    .get_or_insert_with(|| self.stakes.write().expect("invariant: no panic while the stakes are held"))
                    .update(pubkey, account, &self.epoch_features.stake_math);
            }
        }
    }

    fn keep_deployed_programs(&self, results: &[TransactionProcessingResult]) {
        for result in results {
            if let Ok(ProcessedTransaction::Executed(executed)) = result
                && executed.was_successful()
                && !executed.programs_modified_by_tx.is_empty()
            {
                self.processor
                    .global_program_cache
                    .write()
                    .expect("invariant: no panic while the program cache is held")
                    .merge(&self.processor.program_runtime_environment, self.slot, &executed.programs_modified_by_tx);
            }
        }
    }

    fn keep_statuses(&self, txs: &[PreparedTx], results: &[TransactionProcessingResult]) {
        let mut statuses = self.forks.statuses.write().expect("invariant: no panic while the statuses are held");
        for (tx, result) in txs.iter().zip(results) {
            if let Ok(processed) = result {
                statuses.insert(self.slot, *tx.message_hash(), *tx.signature(), processed.status());
            }
        }
    }
}

impl CommitInfo {
    fn new(tx: &PreparedTx, processed: ProcessedTransaction, balances: Option<TransactionBalances>) -> Self {
        let mut info = Self {
            signature: *tx.signature(),
            status: processed.status(),
            fee: processed.fee_details().total_fee(),
            compute_units: processed.executed_units(),
            loaded_accounts_bytes: processed.loaded_accounts_data_size(),
            is_simple_vote: tx.is_simple_vote_transaction(),
            logs: None,
            inner_instructions: None,
            return_data: None,
            balances,
        };
        if let ProcessedTransaction::Executed(executed) = processed {
            info.logs = executed.execution_details.log_messages;
            info.inner_instructions = executed.execution_details.inner_instructions;
            info.return_data = executed.execution_details.return_data;
        }
        info
    }
}

impl TransactionBalances {
    /// One per transaction of the batch.
    pub(crate) fn split(collector: BalanceCollector) -> Vec<Option<Self>> {
        let (pre, post, pre_token, post_token) = collector.into_vecs();
        let tokens = |infos: Vec<SvmTokenInfo>| infos.into_iter().map(TokenBalance::from).collect::<Vec<_>>();
        pre.into_iter()
            .zip(post)
            .zip(pre_token.into_iter().zip(post_token))
            .map(|((pre, post), (pre_token, post_token))| {
                Some(Self { pre, post, pre_token: tokens(pre_token), post_token: tokens(post_token) })
            })
            .collect()
    }
}

impl From<SvmTokenInfo> for TokenBalance {
    fn from(info: SvmTokenInfo) -> Self {
        Self {
            account_index: info.account_index,
            mint: info.mint,
            amount: info.amount,
            owner: info.owner,
            program_id: info.program_id,
            decimals: info.decimals,
        }
    }
}

fn is_stake_or_vote(account: &AccountSharedData) -> bool {
    use solana_account::ReadableAccount;
    solana_sdk_ids::vote::check_id(account.owner()) || solana_sdk_ids::stake::check_id(account.owner())
}
