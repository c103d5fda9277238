//! Whether a prepared transaction may be processed at all (protocol.md 11.4; bank/check_transactions.rs).

use {
    crate::{Bank, BlockhashQueue, PreparedTx, Statuses},
    solana_account::ReadableAccount,
    solana_message::AccountKeys,
    solana_nonce::state::{Data as NonceData, DurableNonce, State as NonceState},
    solana_nonce_account::verify_nonce_account,
    solana_program_runtime::execution_budget::{
        SVMTransactionExecutionAndFeeBudgetLimits, SVMTransactionExecutionBudget,
    },
    solana_runtime_transaction::transaction_meta::TransactionMeta,
    solana_svm::account_loader::{CheckedTransactionDetails, TransactionCheckResult},
    solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage},
    solana_transaction::versioned::TransactionVersion,
    solana_transaction_error::TransactionError,
    std::collections::HashSet,
    tandem_types::{Hash, Pubkey},
};

/// What differs between a block that is replayed, one that is made, and a simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckRules {
    pub(crate) age_max: u64,
    /// A leader refuses nonce accounts of an unusual size; replay must not.
    pub(crate) strict_nonce_size: bool,
}

impl Bank {
    /// One result per transaction, in order.
    pub(crate) fn check(&self, txs: &[PreparedTx], rules: CheckRules) -> Vec<TransactionCheckResult> {
        let blockhashes = self.blockhashes.read().expect("invariant: no panic while the blockhashes are held").clone();
        let statuses = self.forks.statuses.read().expect("invariant: no panic while the statuses are held");
        let mut seen = HashSet::with_capacity(txs.len());
        txs.iter()
            .map(|tx| {
                if !seen.insert(*tx.message_hash()) {
                    return Err(TransactionError::AlreadyProcessed);
                }
                self.check_one(tx, rules, &blockhashes, &statuses)
            })
            .collect()
    }

    /// Whether the transaction could still be processed in a block on top of this one: its age and that it was not yet.
    pub fn check_age(&self, tx: &PreparedTx) -> Result<(), TransactionError> {
        let rules = CheckRules { age_max: AGE_MAX, strict_nonce_size: true };
        self.check(std::slice::from_ref(tx), rules).pop().map_or(Ok(()), |result| result.map(|_| ()))
    }

    fn check_one(
        &self,
        tx: &PreparedTx,
        rules: CheckRules,
        blockhashes: &BlockhashQueue,
        statuses: &Statuses,
    ) -> TransactionCheckResult {
        self.check_locks(tx.account_keys())?;
        if tx.version() == TransactionVersion::Number(1) && !self.features.snapshot().enable_tx_v1 {
            return Err(TransactionError::UnsupportedVersion);
        }
        let limits = self.limits(tx)?;
        let nonce = if blockhashes.is_valid(tx.recent_blockhash(), rules.age_max) {
            None
        } else {
            Some(self.usable_nonce(tx, &blockhashes.last(), rules).ok_or(TransactionError::BlockhashNotFound)?)
        };
        if statuses.is_processed(tx.message_hash(), tx.recent_blockhash(), &self.ancestors) {
            return Err(TransactionError::AlreadyProcessed);
        }
        Ok(CheckedTransactionDetails::new(nonce, limits))
    }

    fn limits(&self, tx: &PreparedTx) -> Result<SVMTransactionExecutionAndFeeBudgetLimits, TransactionError> {
        let config = tx.transaction_configuration(&self.features)?;
        let raised_nesting = self.features.snapshot().raise_cpi_nesting_limit_to_8;
        Ok(SVMTransactionExecutionAndFeeBudgetLimits {
            budget: SVMTransactionExecutionBudget {
                compute_unit_limit: u64::from(config.compute_unit_limit),
                heap_size: config.updated_heap_bytes,
                ..SVMTransactionExecutionBudget::new_with_defaults(raised_nesting)
            },
            loaded_accounts_data_size_limit: config.loaded_accounts_data_size_limit,
            fee_details: self.fee_details(tx, &config),
        })
    }

    /// solana-accounts-db-4.2.2/src/account_locks.rs:validate_account_locks.
    fn check_locks(&self, keys: AccountKeys<'_>) -> Result<(), TransactionError> {
        let locks_max =
            if self.features.snapshot().increase_tx_account_lock_limit { LOCKS_MAX } else { LOCKS_MAX_BEFORE };
        if keys.len() > locks_max {
            return Err(TransactionError::TooManyAccountLocks);
        }
        let has_duplicates = if keys.len() <= FEW_KEYS {
            keys.iter().enumerate().any(|(index, key)| keys.iter().skip(index + 1).any(|other| other == key))
        } else {
            let mut seen = HashSet::with_capacity(keys.len());
            !keys.iter().all(|key| seen.insert(key))
        };
        if has_duplicates { Err(TransactionError::AccountLoadedTwice) } else { Ok(()) }
    }

    /// The nonce account, if the transaction names one that holds its blockhash and may be advanced in this block.
    fn usable_nonce(&self, tx: &PreparedTx, last_blockhash: &Hash, rules: CheckRules) -> Option<Pubkey> {
        let next = DurableNonce::from_blockhash(last_blockhash);
        if tx.recent_blockhash() == next.as_hash() {
            return None;
        }
        self.nonce_of(tx, rules.strict_nonce_size).map(|(address, _)| address)
    }

    pub(crate) fn nonce_of(&self, message: &impl SVMMessage, strict_size: bool) -> Option<(Pubkey, NonceData)> {
        let address = message.get_durable_nonce()?;
        let (account, _) = self.load(address)?;
        if strict_size && account.data().len() != NonceState::size() {
            return None;
        }
        Some((*address, verify_nonce_account(&account, message.recent_blockhash())?))
    }
}

/// solana_clock::MAX_PROCESSING_AGE: how many blocks a blockhash stays good for.
pub(crate) const AGE_MAX: u64 = solana_clock::MAX_PROCESSING_AGE as u64;
/// solana_transaction::sanitized::MAX_TX_ACCOUNT_LOCKS, and what it was before the feature.
const LOCKS_MAX: usize = 128;
const LOCKS_MAX_BEFORE: usize = 64;
/// Up to here comparing all pairs is cheaper than a set.
const FEW_KEYS: usize = 32;
