//! What a transaction in a block must satisfy before anyone executes it.

use {
    crate::entry::Entry,
    rayon::prelude::*,
    solana_message::{VersionedMessage, v1},
    solana_transaction::versioned::TransactionVersion,
    tandem_types::{Hash, PACKET_BYTES_MAX, TransactionError, VersionedTransaction},
};

/// The features that decide which transactions are well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionRules {
    /// SIMD-0385.
    pub enable_tx_v1: bool,
    /// SIMD-0406.
    pub limit_instruction_accounts: bool,
}

/// Size, counts and inner consistency, in the order agave applies them
/// (runtime/src/bank.rs:verify_transaction_with_serialized_message, runtime-transaction's `try_create`).
/// Signatures are `verify_signatures`' matter; account locks and age are the bank's.
pub fn check_transaction(transaction: &VersionedTransaction, rules: TransactionRules) -> Result<(), TransactionError> {
    let size_max = match transaction.version() {
        TransactionVersion::Number(1) if !rules.enable_tx_v1 => return Err(TransactionError::UnsupportedVersion),
        TransactionVersion::Number(1) => v1::MAX_TRANSACTION_SIZE,
        TransactionVersion::Number(_) | TransactionVersion::Legacy(_) => PACKET_BYTES_MAX,
    };
    let size = wincode::serialized_size(transaction).map_err(|_| TransactionError::SanitizeFailure)?;
    let instructions = transaction.message.instructions();
    let too_many_accounts = rules.limit_instruction_accounts
        && instructions.iter().any(|instruction| instruction.accounts.len() > INSTRUCTION_ACCOUNTS_MAX);
    if size > size_max as u64 || instructions.len() > INSTRUCTIONS_MAX || too_many_accounts {
        return Err(TransactionError::SanitizeFailure);
    }
    transaction.sanitize().map_err(|_| TransactionError::SanitizeFailure)
}

/// Strict ed25519 of every signature; the hash of the message if all hold (the bank wants it, and it shares the
/// serialised bytes with the check).
pub fn verify_signatures(transaction: &VersionedTransaction) -> Result<Hash, TransactionError> {
    let signers = usize::from(transaction.message.header().num_required_signatures);
    let keys = transaction.message.static_account_keys();
    if transaction.signatures.len() != signers || keys.len() < signers {
        return Err(TransactionError::SanitizeFailure);
    }
    let message = transaction.message.serialize();
    // `Signature::verify` is dalek's `verify_strict`; its batch equation accepts more and is not for consensus.
    let genuine =
        transaction.signatures.iter().zip(keys).all(|(signature, key)| signature.verify(key.as_ref(), &message));
    if genuine { Ok(VersionedMessage::hash_raw_message(&message)) } else { Err(TransactionError::SignatureFailure) }
}

/// The message hashes in order, or the first fault found. Transactions are checked in parallel.
pub fn verify_transactions(transactions: &[VersionedTransaction]) -> Result<Vec<Hash>, TransactionError> {
    transactions.par_iter().with_min_len(PARALLEL_TRANSACTIONS_MIN).map(verify_signatures).collect()
}

/// As `verify_transactions`, over a batch of entries at once: `result[e][t]` is the message hash of transaction t of
/// entry e. Entries hold few transactions each, so the work is split across all of them.
pub fn verify_entries(entries: &[Entry]) -> Result<Vec<Vec<Hash>>, TransactionError> {
    let all: Vec<&VersionedTransaction> = entries.iter().flat_map(|entry| &entry.transactions).collect();
    let hashes: Vec<Hash> = all
        .par_iter()
        .with_min_len(PARALLEL_TRANSACTIONS_MIN)
        .map(|transaction| verify_signatures(transaction))
        .collect::<Result<_, _>>()?;
    let mut hashes = hashes.into_iter();
    Ok(entries.iter().map(|entry| hashes.by_ref().take(entry.transactions.len()).collect()).collect())
}

/// One check takes tens of microseconds; a hand-over to another thread a few.
const PARALLEL_TRANSACTIONS_MIN: usize = 2;

/// solana-transaction-context: MAX_INSTRUCTION_TRACE_LENGTH, MAX_ACCOUNTS_PER_INSTRUCTION.
const INSTRUCTIONS_MAX: usize = 64;
const INSTRUCTION_ACCOUNTS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{resign, transfer, v0_transfer, v1_transfer},
        solana_message::compiled_instruction::CompiledInstruction,
    };

    const ALL: TransactionRules = TransactionRules { enable_tx_v1: true, limit_instruction_accounts: true };

    fn legacy(transaction: &mut VersionedTransaction) -> &mut solana_message::Message {
        match &mut transaction.message {
            VersionedMessage::Legacy(message) => message,
            VersionedMessage::V0(_) | VersionedMessage::V1(_) => panic!("a legacy transaction"),
        }
    }

    #[test]
    fn good_ones_of_every_version_pass() {
        for transaction in [transfer(1), v0_transfer(1), v1_transfer(1)] {
            assert_eq!(check_transaction(&transaction, ALL), Ok(()));
            assert_eq!(verify_signatures(&transaction), Ok(transaction.message.hash()));
        }
    }

    #[test]
    fn version_one_needs_its_feature() {
        let rules = TransactionRules { enable_tx_v1: false, ..ALL };
        assert_eq!(check_transaction(&v1_transfer(1), rules), Err(TransactionError::UnsupportedVersion));
        assert_eq!(check_transaction(&v0_transfer(1), rules), Ok(()));
    }

    #[test]
    fn sizes_and_counts() {
        let refused = Err(TransactionError::SanitizeFailure);
        let mut large = transfer(1);
        legacy(&mut large).instructions[0].data = vec![0; PACKET_BYTES_MAX];
        assert_eq!(check_transaction(&large, ALL), refused);

        let mut many = transfer(1);
        let instruction = CompiledInstruction { program_id_index: 2, accounts: vec![], data: vec![] };
        legacy(&mut many).instructions = vec![instruction; 64];
        assert_eq!(check_transaction(&many, ALL), Ok(()));
        let extra = legacy(&mut many).instructions[0].clone();
        legacy(&mut many).instructions.push(extra);
        assert_eq!(check_transaction(&many, ALL), refused);

        let mut wide = transfer(1);
        legacy(&mut wide).instructions[0].accounts = vec![0; 255];
        assert_eq!(check_transaction(&wide, ALL), Ok(()));
        legacy(&mut wide).instructions[0].accounts = vec![0; 256];
        assert_eq!(check_transaction(&wide, ALL), refused);
        assert_eq!(check_transaction(&wide, TransactionRules { limit_instruction_accounts: false, ..ALL }), Ok(()));

        let mut outside = transfer(1);
        legacy(&mut outside).instructions[0].program_id_index = 77;
        assert_eq!(check_transaction(&outside, ALL), refused);

        let mut unsigned = transfer(1);
        unsigned.signatures.clear();
        assert_eq!(check_transaction(&unsigned, ALL), refused);
    }

    #[test]
    fn one_wrong_signature_refuses_the_batch() {
        let good: Vec<_> = (0..20).map(transfer).collect();
        let hashes: Vec<_> = good.iter().map(|transaction| transaction.message.hash()).collect();
        assert_eq!(verify_transactions(&good), Ok(hashes.clone()));
        let entries = [
            Entry::after(&Hash::default(), 1, good[..7].to_vec()),
            Entry::after(&Hash::default(), 1, vec![]),
            Entry::after(&Hash::default(), 1, good[7..].to_vec()),
        ];
        assert_eq!(verify_entries(&entries), Ok(vec![hashes[..7].to_vec(), vec![], hashes[7..].to_vec()]));

        let mut bad = good;
        bad[13].signatures[0] = resign(&bad[12]);
        assert_eq!(verify_transactions(&bad), Err(TransactionError::SignatureFailure));
        bad[13].signatures.clear();
        assert_eq!(verify_transactions(&bad), Err(TransactionError::SanitizeFailure));
    }
}
