//! From a transaction as it was sent to one the runtime can execute.

use {
    crate::Bank,
    solana_account::ReadableAccount,
    solana_address_lookup_table_interface::{error::AddressLookupError, program, state::AddressLookupTable},
    solana_message::{
        AddressLoader, VersionedMessage,
        v0::{LoadedAddresses, MessageAddressTableLookup},
    },
    solana_runtime_transaction::runtime_transaction::RuntimeTransaction,
    solana_slot_hashes::SlotHashes,
    solana_transaction::sanitized::{MessageHash, SanitizedTransaction},
    solana_transaction_error::{AddressLoaderError, TransactionError},
    tandem_entry::{TransactionRules, check_transaction, verify_signatures},
    tandem_types::{Hash, VersionedTransaction},
};

/// A sanitised transaction with its lookup tables resolved.
pub type PreparedTx = RuntimeTransaction<SanitizedTransaction>;

/// What is known about a transaction's signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: check them now.
    Signatures,
    /// They were checked, or (in a simulation) shall not be.
    Done,
}

impl Bank {
    /// Size, counts, signatures, lookup tables (bank.rs:verify_transaction_with_serialized_message).
    pub fn prepare(&self, tx: VersionedTransaction, verify: Verify) -> Result<PreparedTx, TransactionError> {
        check_transaction(&tx, self.transaction_rules())?;
        let hash = match verify {
            Verify::Signatures => verify_signatures(&tx)?,
            Verify::Done => VersionedMessage::hash_raw_message(&tx.message.serialize()),
        };
        self.resolve(tx, hash)
    }

    /// As `prepare`, if the signatures were checked and that gave the message's hash (`tandem_entry::verify_entries`).
    pub fn prepare_hashed(&self, tx: VersionedTransaction, hash: Hash) -> Result<PreparedTx, TransactionError> {
        check_transaction(&tx, self.transaction_rules())?;
        self.resolve(tx, hash)
    }

    fn resolve(&self, tx: VersionedTransaction, hash: Hash) -> Result<PreparedTx, TransactionError> {
        RuntimeTransaction::try_create(
            tx,
            MessageHash::Precomputed(hash),
            None,
            LookupTables(self),
            &self.reserved.active,
            self.features.snapshot().limit_instruction_accounts,
        )
    }

    pub fn transaction_rules(&self) -> TransactionRules {
        let features = self.features.snapshot();
        TransactionRules {
            enable_tx_v1: features.enable_tx_v1,
            limit_instruction_accounts: features.limit_instruction_accounts,
        }
    }
}

/// The lookup tables as this bank sees them (bank/address_lookup_table.rs).
#[derive(Clone, Copy)]
struct LookupTables<'a>(&'a Bank);

impl AddressLoader for LookupTables<'_> {
    fn load_addresses(self, lookups: &[MessageAddressTableLookup]) -> Result<LoadedAddresses, AddressLoaderError> {
        let slot_hashes = self
            .0
            .processor
            .sysvar_cache()
            .get_slot_hashes()
            .map_err(|_| AddressLoaderError::SlotHashesSysvarNotFound)?;
        let mut loaded = LoadedAddresses::default();
        for lookup in lookups {
            self.load_one(lookup, &slot_hashes, &mut loaded).map_err(loader_error)?;
        }
        Ok(loaded)
    }
}

impl LookupTables<'_> {
    fn load_one(
        self,
        lookup: &MessageAddressTableLookup,
        slot_hashes: &SlotHashes,
        loaded: &mut LoadedAddresses,
    ) -> Result<(), AddressLookupError> {
        let (account, _) = self.0.load(&lookup.account_key).ok_or(AddressLookupError::LookupTableAccountNotFound)?;
        if !program::check_id(account.owner()) {
            return Err(AddressLookupError::InvalidAccountOwner);
        }
        let table =
            AddressLookupTable::deserialize(account.data()).map_err(|_| AddressLookupError::InvalidAccountData)?;
        let slot = self.0.slot;
        loaded.writable.extend(table.lookup(slot, &lookup.writable_indexes, slot_hashes)?);
        loaded.readonly.extend(table.lookup(slot, &lookup.readonly_indexes, slot_hashes)?);
        Ok(())
    }
}

fn loader_error(error: AddressLookupError) -> AddressLoaderError {
    match error {
        AddressLookupError::LookupTableAccountNotFound => AddressLoaderError::LookupTableAccountNotFound,
        AddressLookupError::InvalidAccountOwner => AddressLoaderError::InvalidAccountOwner,
        AddressLookupError::InvalidAccountData => AddressLoaderError::InvalidAccountData,
        AddressLookupError::InvalidLookupIndex => AddressLoaderError::InvalidLookupIndex,
    }
}
